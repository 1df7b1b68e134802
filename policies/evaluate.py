"""How good a policy is: flown in lockstep from fixed start seeds, the same for every policy, with intervals.

`robot-stack eval` calls `run`. Several episodes fly at once and their chunks are computed as one batch. Each episode
draws from a generator of its own seed, so neither their number at once nor the number of processes changes what happens
in it. With several workers, each is a process that gets its job as JSON and answers a line an episode.
"""

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryFile
from typing import IO, Any, Protocol

import numpy as np
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from torch import Generator

from policies import checkpoint, ranges
from policies.intervals import bootstrap_mean, wilson
from policies.pilot import Flown, Pilot, engage
from robot_stack.lockstep import Rollout
from robot_stack.progress import bar
from robot_stack.spec import Record
from robot_stack.types import ConfigError, RobotStackError

FIRST_SEED = 100_000
"""Start seeds are this and the following ones: the states that Diffusion Policy tests PushT from."""

RANGES: ranges.Ranges = {
    **dict.fromkeys(("episodes", "parallel", "workers", "threads", "steps"), (1, math.inf)),
    "first": (0, math.inf),
}
"""Of keys of the config."""


class Flight(Rollout, Protocol):
    """A rollout that says what a policy must know to fly it."""

    @property
    def station(self) -> Flown: ...


@dataclass(frozen=True)
class Outcome:
    """One episode. score: of the task, the largest so far. seconds: how long the episode was, on its own clock."""

    seed: int
    success: bool
    score: float
    seconds: float


def run(config: DictConfig) -> int:
    """The verb `eval`."""
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    result = evaluate(plain, Console())
    print(write(result, plain["out"]))
    return 0


def evaluate(config: Mapping[str, Any], console: Console) -> dict[str, Any]:
    """Fly as configs/eval.yaml says, and sum up: what is written as the result file."""
    ranges.check(config, RANGES)
    loaded = checkpoint.load(config["checkpoint"])
    task = loaded.config["task"]["name"]
    seeds = [FIRST_SEED + config["first"] + i for i in range(config["episodes"])]
    began = time.perf_counter()
    outcomes: list[Outcome] = []
    with bar(f"eval {task}", len(seeds)) as progress:
        for outcome in fly_with_workers(config, seeds) if config["workers"] > 1 else fly(config, seeds):
            outcomes.append(outcome)
            progress.update(len(outcomes), _note(outcomes))
    outcomes.sort(key=lambda outcome: outcome.seed)
    summary = summarise(outcomes)
    console.print(
        f"{task}: success {summary['success']:.0%} [{_percent(summary['success_95'])}], "
        f"mean score {summary['score']:.3f} ± {summary['score_error']:.3f} "
        f"[{_plain(summary['score_95'])}], {len(outcomes)} episodes in {time.perf_counter() - began:.0f} s"
    )
    return {
        "checkpoint": str(loaded.folder),
        "task": task,
        "steps": config["steps"],
        "seconds": round(time.perf_counter() - began, 1),
        **summary,
        "outcomes": [asdict(outcome) for outcome in outcomes],
    }


def summarise(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Success rate with its Wilson interval, mean score with its standard error and bootstrap interval."""
    scores = [outcome.score for outcome in outcomes]
    successes = sum(outcome.success for outcome in outcomes)
    return {
        "episodes": len(outcomes),
        "success": successes / len(outcomes),
        "success_95": wilson(successes, len(outcomes)),
        "score": float(np.mean(scores)),
        "score_error": float(np.std(scores, ddof=1) / np.sqrt(len(scores))) if len(scores) > 1 else 0.0,
        "score_95": bootstrap_mean(scores),
    }


def write(result: Mapping[str, Any], out: str | None) -> Path:
    """Write the result file, by default beside the checkpoint; return its path."""
    folder = Path(result["checkpoint"])
    file = Path(out) if out else folder.with_name(f"eval-{folder.name}-{result['episodes']}.json")
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    partial.write_text(json.dumps(result, indent=1))
    partial.replace(file)
    return file


def fly(config: Mapping[str, Any], seeds: Sequence[int]) -> Iterator[Outcome]:
    """Fly all seeds in this process, `config.parallel` at once; outcomes as they come."""
    pilot = engage(config)
    if config.get("language") and not pilot.reads_words:
        raise ConfigError(f"language=…: {pilot.checkpoint.folder} was trained without conditioning=instruction")
    make = checkpoint.rollout(pilot.checkpoint.config)
    rollouts = [make(cameras=pilot.cameras) for _ in range(min(config["parallel"], len(seeds)))]
    pilot.check(rollouts[0].station, f"task {pilot.checkpoint.config['task']['name']}")
    return fly_rollouts(pilot, rollouts, seeds)


def fly_rollouts(pilot: Pilot, rollouts: Sequence[Flight], seeds: Iterable[int]) -> Iterator[Outcome]:
    """Fly every seed once, in whichever rollout is free."""
    waiting = iter(seeds)
    flying = [_start(rollout, seed) for rollout, seed in zip(rollouts, waiting, strict=False)]
    while flying:
        histories = [rollout.observe(pilot.window.history) for rollout, _, _ in flying]
        chunks = pilot.chunks(histories, rollouts[0].station, [generator for _, _, generator in flying])
        still_flying = []
        for (rollout, seed, generator), chunk in zip(flying, chunks, strict=True):
            _fly_chunk(rollout, chunk, pilot.window.execute)
            if not rollout.done:
                still_flying.append((rollout, seed, generator))
                continue
            yield Outcome(seed, bool(rollout.success), float(rollout.score), float(rollout.time))
            still_flying += [_start(rollout, seed) for seed in islice(waiting, 1)]
        flying = still_flying


def _start(rollout: Flight, seed: int) -> tuple[Flight, int, Generator]:
    rollout.reset(seed)
    return rollout, seed, Generator().manual_seed(seed)


def _fly_chunk(rollout: Flight, chunk: Record, rows: int) -> None:
    for _ in range(rows):
        if rollout.done:
            return
        rollout.advance(chunk)


def fly_with_workers(config: Mapping[str, Any], seeds: Sequence[int]) -> Iterator[Outcome]:
    """As `fly`, in `config.workers` processes."""
    shares = [list(seeds[i :: config["workers"]]) for i in range(config["workers"])]
    jobs = [{**config, "seeds": share} for share in shares if share]
    queue: SimpleQueue[Outcome | RobotStackError | None] = SimpleQueue()
    with ThreadPoolExecutor(len(jobs)) as readers, _workers(len(jobs)) as workers:
        for (worker, log), job in zip(workers, jobs, strict=True):
            readers.submit(_read, worker, log, job, queue.put)
        running = len(jobs)
        while running:
            match queue.get():
                case None:
                    running -= 1
                case RobotStackError() as error:
                    raise error
                case Outcome() as outcome:
                    yield outcome


@contextmanager
def _workers(count: int) -> Iterator[list[tuple[subprocess.Popen[str], IO[str]]]]:
    """Processes that wait for a job, each with what it says beside its answers; none is left, however this ends."""
    command = [sys.executable, "-m", "policies.evaluate"]
    pipe = subprocess.PIPE
    with ExitStack() as stack:
        workers = []
        for _ in range(count):
            log = stack.enter_context(TemporaryFile("w+", errors="replace"))  # a pipe that nobody reads stops all
            worker = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=log, text=True)
            stack.callback(worker.kill)
            workers.append((worker, log))
        yield workers


def _read(
    worker: subprocess.Popen[str],
    log: IO[str],
    job: Mapping[str, Any],
    put: Callable[[Outcome | RobotStackError | None], None],
) -> None:
    """Give a worker its job and pass on what it answers; None at its end."""
    line = ""
    try:
        with worker:
            assert worker.stdin is not None
            assert worker.stdout is not None
            worker.stdin.write(json.dumps(job))
            worker.stdin.close()
            for line in worker.stdout:
                put(Outcome(**json.loads(line)))
            if worker.wait() != 0:
                log.seek(0)
                said = log.read().strip()[-2000:]
                put(RobotStackError(f"an eval worker ended with exit code {worker.returncode}: {said}"))
    except (OSError, TypeError, ValueError) as error:
        put(RobotStackError(f"an eval worker answered {line.strip()!r}, which is no outcome: {error}"))
    finally:
        put(None)


def _serve() -> int:
    """A worker: one job on standard input, an outcome a line on standard output; what anybody else writes there goes to
    standard error."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    job = json.loads(sys.stdin.read())
    try:
        for outcome in fly(job, job["seeds"]):
            print(json.dumps(asdict(outcome)), file=answers)
    except RobotStackError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _note(outcomes: Sequence[Outcome]) -> str:
    successes = sum(outcome.success for outcome in outcomes)
    return f"success {successes}/{len(outcomes)}  score {np.mean([o.score for o in outcomes]):.3f}"


def _percent(interval: tuple[float, float]) -> str:
    return f"{interval[0]:.0%}, {interval[1]:.0%}"


def _plain(interval: tuple[float, float]) -> str:
    return f"{interval[0]:.3f}, {interval[1]:.3f}"


if __name__ == "__main__":
    sys.exit(_serve())
