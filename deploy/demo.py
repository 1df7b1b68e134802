"""The verb `demo`: the whole story once, each chapter by the very command that a user would type.

Chapters run as processes of their own and write to a log; what is shown beside a running chapter is the last line of
its log. Nothing here knows how to record, train or fly.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from robot_stack.clock import now
from robot_stack.types import ConfigError, RobotStackError

PLAIN_PERIOD = 10.0
"""Between two lines about a running chapter where there is no terminal [s]."""
PATIENCE = 20.0
"""A chapter that was asked to end is killed after this long [s]."""


@dataclass
class Chapter:
    """One step of the story. commands: name of the log -> arguments of `robot-stack`; they run side by side."""

    title: str
    why: str
    commands: Mapping[str, Sequence[str]]
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)


def run(cfg: DictConfig) -> int:
    """Tell the story; print where the report is, last."""
    out = Path(cfg.out or f"runs/demo-{datetime.now():%Y%m%d-%H%M%S}")
    if out.exists() and any(out.iterdir()):
        raise ConfigError(f"{out} is not empty; give another out=…, or leave it out for a new folder")
    (out / "logs").mkdir(parents=True, exist_ok=True)
    show = Show(Console(), f"http://{cfg.host}:{cfg.port}")
    began = now()
    story = Story(cfg, out, show)
    results = story.tell()
    results["seconds"] = round(now() - began, 1)
    (out / "results.json").write_text(json.dumps(results, indent=1))

    from deploy.report.demo import write  # matplotlib takes a second, and is wanted only now

    report = write(out, results)
    show.say(f"\nDone in {results['seconds'] / 60:.1f} minutes. Everything is in {out}; the report:")
    print(report.resolve())
    return 0


class Story:
    """The chapters in order. Every number it decides by is read from a file that a command wrote."""

    def __init__(self, cfg: DictConfig, out: Path, show: "Show") -> None:
        self.cfg, self.out, self.show = cfg, out, show
        self.store = out / "episodes.zarr"
        self.chapters: list[Chapter] = []
        self.evaluations: list[dict[str, str]] = []

    def tell(self) -> dict[str, Any]:
        """All of it; returns what the report needs."""
        self._collect()
        self._check()
        self._train("Train two policies on the demonstrations", _FIRST, _POLICIES, "uniform")
        first = self._evaluate("Evaluate both", _STARTS, ["bc", "diffusion"])
        best = max(first, key=lambda name: (first[name]["success"], name))
        self._deploy(best)
        names = {f"{best}-sirius": "sirius", f"{best}-uniform": "uniform"}
        self._retrain(best, names)
        self._evaluate("Evaluate again", _AGAIN, list(names))
        return {
            "task": self.cfg.task.name,
            "robot": self.cfg.robot.name,
            "best": best,
            "store": self.store.name,
            "seed": self.cfg.seed,
            "chapters": [asdict(chapter) for chapter in self.chapters],
            "runs": ["bc", "diffusion", *names],
            "evaluations": self.evaluations,
        }

    def _collect(self) -> None:
        count = self.cfg.demonstrations
        command = ["collect", f"store={self.store}", f"episodes={count}", f"seed={self.cfg.seed}", *self._service()]
        why = "A scripted person teleoperates the simulated arm, through the real service and in real time."
        self._run(Chapter(f"Collect {count} demonstrations", why, {"1-collect": command}))

    def _check(self) -> None:
        commands = {
            "2-check": ["data", "check", f"store={self.store}"],
            "2-info": ["data", "info", f"store={self.store}"],
        }
        self._run(Chapter("Check what was recorded", "Bad data is cheaper to find now than in a policy.", commands))

    def _train(self, title: str, why: str, policies: Mapping[str, str], weights: str) -> None:
        self._run(
            Chapter(
                title, why, {f"3-train-{name}": self._training(name, kind, weights) for name, kind in policies.items()}
            )
        )

    def _retrain(self, policy: str, names: Mapping[str, str]) -> None:
        commands = {
            f"6-train-{name}": self._training(name, _POLICIES[policy], weights) for name, weights in names.items()
        }
        self._run(Chapter("Train again with the take-overs", _RETRAIN, commands))

    def _training(self, name: str, policy: str, weights: str) -> list[str]:
        choice = [*self._cell(), f"policy={policy}", f"weights={weights}", f"seed={self.cfg.seed}"]
        return ["train", f"store={self.store}", *choice, f"steps={self.cfg.steps}", f"out={self.out / name}"]

    def _evaluate(self, title: str, why: str, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Fly each on the same starts; returns the result of each."""
        files = {name: self.out / f"eval-{name}.json" for name in names}
        commands = {
            f"eval-{name}": ["eval", f"checkpoint={self.out / name}", f"episodes={self.cfg.starts}", f"out={file}"]
            for name, file in files.items()
        }
        chapter = Chapter(title, why, commands)
        self._run(chapter)
        results = {name: json.loads(file.read_text()) for name, file in files.items()}
        self.evaluations += [{"name": name, "file": file.name} for name, file in files.items()]
        for name, result in results.items():
            low, high = result["success_95"]
            self.show.note(
                chapter, f"{name}: {result['success']:.0%} of {result['episodes']} (95 %: {low:.0%} to {high:.0%})"
            )
        return results

    def _deploy(self, name: str) -> None:
        count = self.cfg.deployed
        # seeds of their own: the policy has seen none of these starts, and the evaluation uses none of them
        command = ["deploy", f"checkpoint={self.out / name}", f"store={self.store}", f"episodes={count}"]
        command += [f"seed={self.cfg.seed + 1000}", *self._service()]
        why = "It flies; the scripted person watches and, after a reaction time, takes over when it struggles."
        self._run(Chapter(f"Deploy {name} for {count} episodes", why, {"5-deploy": command}))

    def _service(self) -> list[str]:
        return [*self._cell(), f"host={self.cfg.host}", f"port={self.cfg.port}"]

    def _cell(self) -> list[str]:
        return [f"robot=sim_{self.cfg.robot.name}", f"task={self.cfg.task.name}"]

    def _run(self, chapter: Chapter) -> None:
        self.chapters.append(chapter)
        began = now()
        with self.show.running(chapter) as tick, _processes(chapter.commands, self.out / "logs") as processes:
            while any(process.poll() is None for process in processes.values()):
                tick({name: _last_line(self.out / "logs" / f"{name}.log") for name in processes})
                time.sleep(0.25)
            for name, process in processes.items():
                if process.returncode:
                    raise RobotStackError(_failed(chapter, name, process.returncode, self.out / "logs" / f"{name}.log"))
        chapter.seconds = round(now() - began, 1)
        self.show.done(chapter)


_POLICIES = {"bc": "bc", "diffusion": "diffusion_mlp"}  # what the demo calls them -> configs/policy: a minute on a core
_FIRST = "Behaviour cloning and diffusion, the same data, one core each."
_STARTS = "In lockstep, faster than real time, both from the same start states, which no episode of the data has."
_RETRAIN = "From scratch on all episodes: weighted by what the take-overs say (Sirius), and uniformly, as the control."
_AGAIN = "The same start states as before, so that the difference is the policy's."


class Show:
    """What a person sees: a live list on a terminal, plain lines elsewhere."""

    def __init__(self, console: Console, page: str) -> None:
        self.console = console
        self.console.print(
            f"[bold]robot-stack demo[/]: collect, train, deploy, take over, learn. Watch the arm at {page}"
        )

    def say(self, text: str) -> None:
        """A line."""
        self.console.print(text, highlight=False)

    @contextmanager
    def running(self, chapter: Chapter) -> "Iterator[Any]":
        """While a chapter runs; call what this yields with the newest line of each command."""
        self.say(f"\n[bold]{chapter.title}[/]  [dim]{chapter.why}[/]")
        for command in chapter.commands.values():
            self.say(f"  [dim]$ robot-stack {' '.join(command)}[/]")
        if not self.console.is_terminal:
            yield self._plain(now())
            return
        with Live(console=self.console, refresh_per_second=8, transient=True) as live:
            spinners = {name: Spinner("dots", style="cyan") for name in chapter.commands}

            def tick(lines: Mapping[str, str]) -> None:
                for name, line in lines.items():
                    spinners[name].update(text=Text(f" {line}"))
                live.update(Group(*spinners.values()))

            yield tick

    def _plain(self, shown: float) -> Any:
        def tick(lines: Mapping[str, str]) -> None:
            nonlocal shown
            if now() - shown > PLAIN_PERIOD:
                shown = now()
                for line in lines.values():
                    self.say(f"  {line}")

        return tick

    def note(self, chapter: Chapter, text: str) -> None:
        """A result of a chapter."""
        chapter.notes.append(text)
        self.say(f"  {text}")

    def done(self, chapter: Chapter) -> None:
        """The end of a chapter."""
        self.say(f"  [green]✓[/] {chapter.seconds:.0f} s")


@contextmanager
def _processes(commands: Mapping[str, Sequence[str]], logs: Path) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Start them side by side, each on one core; none is left, however this ends."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", "COLUMNS": "120"}
    processes = {}
    try:
        for name, command in commands.items():
            with open(logs / f"{name}.log", "wb") as log:
                processes[name] = subprocess.Popen(
                    [sys.executable, "-m", "robot_stack", *command],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=environment,
                )
        yield processes
    finally:
        for process in processes.values():
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let a process end by itself, as after Ctrl-C: the arm at rest, the episode whole."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "starting")


def _failed(chapter: Chapter, name: str, code: int, log: Path) -> str:
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
    return f"{chapter.title}: {name} ended with exit code {code}. Its log is {log}; its last lines:\n{tail}"
