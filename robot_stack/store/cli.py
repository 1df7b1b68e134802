"""The verb `robot-stack data`: import, info, check, list."""

import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from robot_stack.progress import bar
from robot_stack.quality.finding import Finding, Severity
from robot_stack.store.check import check_episode, leftovers
from robot_stack.store.info import Info, describe
from robot_stack.store.store import Store
from robot_stack.types import ConfigError

_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.ADVICE: "cyan"}
_WORDS = {
    Severity.ERROR: ("error", "errors"),
    Severity.WARNING: ("warning", "warnings"),
    Severity.ADVICE: ("piece of advice", "pieces of advice"),
}
_PLAIN_WIDTH = 200  # columns when nobody measures them


def run(cfg: Mapping[str, Any]) -> int:
    """Do `cfg.action` on the store `cfg.store`; the exit code."""
    actions = {"import": import_data, "info": info, "check": check, "list": list_episodes}
    if cfg.get("action") not in actions:
        raise ConfigError(f"no action {cfg.get('action')!r} of data; there are: {', '.join(actions)}")
    return actions[cfg["action"]](cfg)


def import_data(cfg: Mapping[str, Any]) -> int:
    """Bring a replay buffer of diffusion_policy into a store."""
    from robot_stack.store.diffusion_policy import ReplayBuffer, import_buffer  # zarr takes 0.8 s to import

    source, store = _path(cfg, "from"), _path(cfg, "store")
    buffer = ReplayBuffer(Path(source))
    with bar("importing episodes", len(buffer.ends)) as progress:
        result = import_buffer(buffer, store, progress.update)
    came = f"{_count(result.new, 'episode', 'episodes')} came in, each read back and compared"
    before = f", {result.skipped} were there before" if result.skipped else ""
    text = f"{came}{before}: {result.rows:,} steps in {store}"
    _console().print(text, highlight=False, soft_wrap=True)
    return 0


def info(cfg: Mapping[str, Any]) -> int:
    """Say what is in a store."""
    store = Store.open(_path(cfg, "store"))
    found = describe(store)
    console = _console()
    console.print(_overview(store, found))
    if found.streams:
        console.print(_stream_table(found))
    return 0


def check(cfg: Mapping[str, Any]) -> int:
    """Look for what is wrong with a store; 1 if there are errors."""
    store = Store.open(_path(cfg, "store"))
    findings = list(leftovers(store))
    episodes = store.episodes
    with bar("checking episodes", len(episodes)) as progress:
        for number, episode in enumerate(episodes):
            findings += check_episode(episode)
            progress.update(number + 1)
    console = _console()
    if findings:
        console.print(_finding_table(findings))
    counts = Counter(finding.severity for finding in findings)
    said = [_count(counts[severity], *words) for severity, words in _WORDS.items() if counts[severity]]
    checked = _count(len(episodes), "episode", "episodes")
    console.print(f"{checked} checked: {', '.join(said) or 'nothing wrong found'}", highlight=False)
    return 1 if counts[Severity.ERROR] else 0


def list_episodes(cfg: Mapping[str, Any]) -> int:
    """One line an episode."""
    table = _table("episode", "started", "task", "kind", "operator", "rows", "seconds", "verdict", "checkpoint")
    for episode in Store.open(_path(cfg, "store")).episodes:
        a = episode.attrs
        seconds = f"{len(episode) / a['rate']:.1f}"
        verdict = a["verdict"] + (" (salvaged)" if a["salvaged"] else "")
        started = a["started"].replace("T", " ")[:19]
        row = [episode.id, started, a["task"], a["kind"], a["operator"], str(len(episode)), seconds, verdict]
        table.add_row(*map(Text, [*row, str(a["checkpoint"])]))
    _console().print(table)
    return 0


def _overview(store: Store, found: Info) -> Table:
    station = " ".join(str(store.station[key]) for key in ("name", "robot") if store.station.get(key))
    per_row = found.bytes / max(1, found.rows)
    lines = {
        "store": f"{store.path} (station {station})",
        "episodes": f"{found.episodes}" + (f", {found.salvaged} of them salvaged" if found.salvaged else ""),
        "steps": f"{found.rows:,}, {found.seconds / 60:.1f} min",
        "tasks": _counts(found.tasks),
        "kinds": _counts(found.kinds),
        "verdicts": _counts(found.verdicts),
        "flown by": ", ".join(f"{name} {share:.1%}" for name, share in found.sources.items()),
        "rate": f"{found.rate:.2f} Hz" + (" (made up: the source had no times)" if found.synthetic else ""),
        "missing rows": f"{found.drops}",
        "size": f"{found.bytes / 1e6:.1f} MB in {found.files} files, {per_row / 1e3:.1f} kB a step",
    }
    if found.streams:
        lines["skew"] = f"median {_ms(found.skew_median)} ms, p99 {_ms(found.skew_p99)} ms between the streams of a row"
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in lines.items():
        table.add_row(Text(name, style="bold"), Text(value))
    return table


def _stream_table(found: Info) -> Table:
    table = _table("stream", "rate [Hz]", "age median [ms]", "age p99 [ms]", "repeated rows", "longest gap [ms]")
    for stream in found.streams:
        ages = _ms(stream.age_median), _ms(stream.age_p99)
        table.add_row(stream.name, f"{stream.rate:.1f}", *ages, str(stream.repeats), _ms(stream.longest_gap))
    return table


def _finding_table(findings: list[Finding]) -> Table:
    table = _table("episode", "step", "severity", "what", "what to do")
    for finding in findings:
        step = "" if finding.step < 0 else str(finding.step)
        severity = Text(finding.severity.value, style=_COLOURS[finding.severity])
        table.add_row(finding.episode, step, severity, Text(finding.what), Text(finding.advice))
    return table


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD if sys.stdout.isatty() else None, pad_edge=False)
    for column in columns:
        table.add_column(Text(column))  # a Text, because [ms] in a string would be a style
    return table


def _console() -> Console:
    return Console() if sys.stdout.isatty() else Console(width=_PLAIN_WIDTH)


def _count(number: int, one: str, more: str) -> str:
    return f"{number} {one if number == 1 else more}"


def _path(cfg: Mapping[str, Any], key: str) -> str:
    if not cfg.get(key):
        raise ConfigError(f"data {cfg['action']} needs {key}=<path>")
    return str(cfg[key])


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{count} {name or 'not named'}" for name, count in counter.most_common())


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.1f}"
