"""`robot-stack data`: info, list and check."""

import shlex
from collections import Counter
from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from robot_stack import terminal
from robot_stack.progress import bar
from robot_stack.quality.finding import Finding, Severity
from robot_stack.store.check import check_episode, check_store, fix_store, is_damaged
from robot_stack.store.info import Info, describe
from robot_stack.store.store import Store

_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.ADVICE: "cyan"}
_WORDS = {
    Severity.ERROR: ("error", "errors"),
    Severity.WARNING: ("warning", "warnings"),
    Severity.ADVICE: ("piece of advice", "pieces of advice"),
}


def info(cfg: Mapping[str, Any]) -> int:
    """Say what is in a store."""
    store = Store.open(cfg["store"])
    found = describe(store)
    console = terminal.console()
    console.print(_overview(store, found))
    if found.streams:
        console.print(_stream_table(found))
    if found.raw:
        console.print(_raw_table(found))
    _say_broken(store)
    return 0


def check(cfg: Mapping[str, Any]) -> int:
    """Look for what is wrong with a store, and mend it if asked to; 1 if there are errors left."""
    with Store.open(cfg["store"]) as store:
        findings = list(check_store(store))
        episodes = store.episodes
        with bar("checking episodes", len(episodes)) as progress:
            for number, episode in enumerate(episodes):
                findings += check_episode(episode)
                progress.update(number + 1)
        console = terminal.console()
        if findings:
            console.print(_finding_table(findings))
        counts = Counter(finding.severity for finding in findings)
        said = [terminal.count(counts[severity], *words) for severity, words in _WORDS.items() if counts[severity]]
        checked = terminal.count(len(episodes), "episode", "episodes")
        console.print(f"{checked} checked: {', '.join(said) or 'nothing wrong found'}")
        if not cfg.get("fix"):
            return 1 if counts[Severity.ERROR] else 0
        damaged = [episode.id for episode in episodes if is_damaged(episode)]
        mended = {*damaged, *store.catalog.broken}
        for line in fix_store(store, damaged) or ["nothing to mend"]:
            console.print(line, soft_wrap=True)
    return int(any(one.severity is Severity.ERROR and one.episode not in mended for one in findings))


def list_episodes(cfg: Mapping[str, Any]) -> int:
    """One line an episode."""
    table = terminal.table("episode", "started", "task", "kind", "operator", "rows", "seconds", "verdict", "checkpoint")
    store = Store.open(cfg["store"])
    for episode in store.episodes:
        a = episode.attrs
        seconds = f"{len(episode) / a['rate']:.1f}"
        verdict = a["verdict"] + (" (salvaged)" if a["salvaged"] else "")
        started = a["started"].replace("T", " ")[:19]
        row = [episode.id, started, a["task"], a["kind"], a["operator"], str(len(episode)), seconds, verdict]
        table.add_row(*map(Text, [*row, str(a["checkpoint"])]))
    terminal.console().print(table)
    _say_broken(store)
    return 0


def _say_broken(store: Store) -> None:
    """Name the episodes that are not among those shown because they cannot be read."""
    if broken := ", ".join(store.catalog.broken):
        command = shlex.join(["robot-stack", "data", "check", f"store={store.folder}"])
        said = Text(f"not counted, because they cannot be read: {broken}; `{command}` says why", style="red")
        terminal.console().print(said, soft_wrap=True)


def _overview(store: Store, found: Info) -> Table:
    station = " ".join(str(store.station[key]) for key in ("name", "robot") if store.station.get(key))
    per_row = f", {found.bytes / found.rows / 1e3:.1f} kB a step" if found.rows and not store.view else ""
    whole = " of the whole store" if store.view else ""
    lines = {
        "store": f"{store.name} (station {station})",
        "episodes": f"{found.episodes}" + (f", {found.salvaged} of them salvaged" if found.salvaged else ""),
        "steps": f"{found.rows:,}, {found.seconds / 60:.1f} min",
        "tasks": _counts(found.tasks),
        "kinds": _counts(found.kinds),
        "verdicts": _counts(found.verdicts),
        "flown by": ", ".join(f"{name} {share:.1%}" for name, share in found.sources.items()),
        "rate": f"{found.rate:.2f} Hz" + (" (made up: the source had no times)" if found.synthetic else ""),
        "missing rows": f"{found.drops}",
        "size": "elsewhere"
        if not found.files
        else f"{found.bytes / 1e6:.1f} MB in {found.files} files{whole}{per_row}",
        "views": ", ".join(f"{store.folder}@{view}" for view in store.catalog.state.views),
    }
    if not found.rows:  # of nothing there is no rate, and nobody flew it
        lines = {name: lines[name] for name in ("store", "episodes", "size", "views")}
    if not lines["views"]:
        del lines["views"]
    if not found.files:  # it is elsewhere
        del lines["size"]
    if found.streams:
        lines["skew"] = f"median {_ms(found.skew_median)} ms, p99 {_ms(found.skew_p99)} ms between the streams of a row"
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in lines.items():
        table.add_row(Text(name, style="bold"), Text(value))
    return table


def _stream_table(found: Info) -> Table:
    table = terminal.table(
        "stream", "rate [Hz]", "age median [ms]", "age p99 [ms]", "repeated rows", "longest gap [ms]"
    )
    for stream in found.streams:
        ages = _ms(stream.age_median), _ms(stream.age_p99)
        table.add_row(stream.name, f"{stream.rate:.1f}", *ages, str(stream.repeats), _ms(stream.longest_gap))
    return table


def _raw_table(found: Info) -> Table:
    kept = "raw stream", "messages", "rate [Hz]", "lost", "repeated", "backwards", "longest gap [ms]"
    table = terminal.table(*kept)
    for raw in found.raw:
        counts = map(str, (raw.drops, raw.repeats, raw.backwards))
        table.add_row(raw.name, f"{raw.count:,}", f"{raw.rate:.1f}", *counts, _ms(raw.longest_gap))
    return table


def _finding_table(findings: list[Finding]) -> Table:
    table = terminal.table("episode", "step", "severity", "what", "what to do")
    for finding in findings:
        step = "" if finding.step < 0 else str(finding.step)
        severity = Text(finding.severity.value, style=_COLOURS[finding.severity])
        table.add_row(finding.episode, step, severity, Text(finding.what), Text(finding.advice))
    return table


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{count} {name or 'not named'}" for name, count in counter.most_common())


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.1f}"
