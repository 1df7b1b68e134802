"""The action `robot-stack data report`: a whole store as one HTML page with pictures, findings and advice."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deploy.report import figures, store_figures
from deploy.report.advice import advise
from deploy.report.film import film
from deploy.report.findings import grouped
from deploy.report.page import bullets, page, pair, paragraph, section, table
from deploy.report.quality import quality_sections
from deploy.report.survey import Glance, camera, start_field, survey
from deploy.report.times import times_section
from robot_stack.interventions import Label
from robot_stack.progress import bar
from robot_stack.quality.figures import Quality, measure
from robot_stack.quality.summary import Coverage, coverage
from robot_stack.store import Episode, Store
from robot_stack.store.info import Info, describe
from robot_stack.terminal import console
from robot_stack.types import ConfigError, StoreError

TIMELINES = 24
"""Deployed episodes in the picture of who flew when."""

COVERED = 1000
"""Episodes whose starts are compared with each other: every pair of them is."""

METHODS = (
    "Take-over: the operator in a deployed episode; before it: the policy's last 0.75 s (Sirius, RSS 2023).",
    "Coverage: mean distance of the starts to their nearest neighbour, over that of random starts (Clark, Evans 1954).",
    "Jerk: log dimensionless (Balasubramanian 2012), nearer to 0 is smoother. Idle: rows slower than 2 % of the "
    "episode's 95th percentile of speed.",
    "Action variance: how unlike the actions of others in like states, 0 alike, 1 as unlike as in any state. State "
    "similarity: share of the store's rows nearby (Data Quality in Imitation Learning, NeurIPS 2023).",
    "TQ: share of successes. SACo: share of the cells that all visit together (Dataset Perspective, CoLLAs 2022). "
    "Ways: entropy of going left, right or straight, 0 is one way (D3IL, ICLR 2024).",
    "Quality is advice: nothing was dropped because of it, and no figure here was fitted to a policy's success.",
)


@dataclass(frozen=True)
class Material:
    """All that the report is written from."""

    store: Store
    episodes: list[Episode]
    info: Info
    glances: list[Glance]
    quality: Quality
    coverage: Coverage | None


def run(cfg: Mapping[str, Any]) -> int:
    """Write the page; print where it is."""
    if not cfg.get("store"):
        raise ConfigError("data report needs store=<path>, as in: robot-stack data report store=data/lift")
    destination = Path(str(cfg["to"]))
    if not destination.absolute().parent.is_dir():
        raise ConfigError(f"there is no folder {destination.parent} to write {destination.name} into; make it first")
    write(collect(Store.open(str(cfg["store"]))), destination)
    console().print(str(destination.resolve()), soft_wrap=True)
    return 0


def collect(store: Store) -> Material:
    """Read the store: checks of all episodes, and figures of their quality."""
    episodes = store.episodes
    if not episodes:
        raise StoreError(f"{store.name} has no episodes to report on; `robot-stack collect` records some")
    with bar("looking at episodes", len(episodes)) as progress:
        glances = survey(episodes, progress.update)
    broken = {glance.id for glance in glances if any(finding.severity == "error" for finding in glance.findings)}
    whole = [episode for episode in episodes if episode.id not in broken]
    with bar("measuring quality", len(whole)) as progress:
        quality = measure(whole, progress.update)
    return Material(store, episodes, describe(store, whole), glances, quality, coverage(_spread(whole, COVERED)))


def write(material: Material, destination: Path) -> None:
    """Make the file, under a temporary name until it is whole."""
    sections = [
        _summary(material),
        section("What to do", bullets(advise(material.info, material.glances, material.quality, material.coverage))),
        _contact_sheet(material),
        _watch(material),
        _contents(material),
        _who(material),
        times_section(material.info, material.glances, float(material.store.station["rate"])),
        _space(material),
        _findings(material),
        *quality_sections(material.quality, _unit(material.glances)),
        _method(material),
    ]
    partial = destination.with_name(f".{destination.name}.{os.getpid()}")
    try:
        partial.write_text(page(f"Episodes in {Path(material.store.name).name}", sections))
        partial.replace(destination)
    except OSError as error:
        raise ConfigError(f"cannot write {destination}: {error.strerror}; choose another place with to=…") from error


def _summary(material: Material) -> str:
    info, station = material.info, material.store.station
    robot = " with a " + str(station["robot"]) if station.get("robot") else ""
    tasks = ", ".join(name or "a task without a name" for name in info.tasks)
    verdicts = ", ".join(f"{count:,} {verdict}" for verdict, count in info.verdicts.most_common())
    return paragraph(
        f"{info.episodes:,} episodes of {tasks}{robot}: {info.rows:,} rows, {_time(info.seconds)} at "
        f"{station['rate']:g} Hz. Verdicts: {verdicts}.",
        "lead",
    ) + paragraph(f"Station {station.get('name') or 'without a name'}; {info.bytes / 1e6:,.1f} MB on disk.", "muted")


def _contact_sheet(material: Material) -> str:
    shown = [glance for glance in material.glances if glance.frames]
    if not shown:
        return ""
    name = str(camera(material.store.spec)).removeprefix("image.")
    cells = []
    for glance in shown:
        pictures = "".join(f'<img alt="" src="{figures.jpeg_source(frame)}">' for frame in glance.frames)
        verdict = glance.attrs["verdict"]
        dot = f'<i style="background:{store_figures.VERDICT_COLOURS.get(verdict, "#9aa5b1")}"></i>'
        caption = f"<figcaption>{dot}{glance.id} · {verdict} · {glance.seconds:.1f} s</figcaption>"
        cells.append(f"<figure><div>{pictures}</div>{caption}</figure>")
    words = f"First, middle and last picture of the {name} camera, of episodes evenly through the store."
    return section("What it looks like", paragraph(words), f'<div class="sheet">{"".join(cells)}</div>')


def _watch(material: Material) -> str:
    """The newest success, one that a policy flew if there is any, as a film."""
    good = [glance for glance in material.glances if glance.attrs["verdict"] == "success" and len(glance.labels)]
    flown = [glance for glance in good if (glance.labels == Label.ROBOT).any()]
    if not good:
        return ""
    chosen = (flown or good)[-1]
    episode = next(episode for episode in material.episodes if episode.id == chosen.id)
    words = "The newest success that a policy flew" if flown else "The newest success"
    moving = film(episode)
    return section("Watch it", paragraph(f"{words}:"), moving) if moving else ""


def _contents(material: Material) -> str:
    seconds: dict[str, list[float]] = {}
    for glance in material.glances:
        seconds.setdefault(glance.attrs["verdict"], []).append(glance.seconds)
    everything = [glance.seconds for glance in material.glances]
    lengths = [
        ("median", f"{np.median(everything):.1f} s"),
        ("shortest", f"{min(everything):.1f} s"),
        ("longest", f"{max(everything):.1f} s"),
        ("salvaged after a crash", f"{material.info.salvaged:,}"),
        ("edited since", f"{sum(bool(glance.attrs.get('edited')) for glance in material.glances):,}"),
        ("kinds", ", ".join(f"{count:,} {kind}" for kind, count in material.info.kinds.most_common())),
    ]
    side = f"<div>{table(('duration', ''), lengths)}</div>"
    return section("How long, and how it ended", pair(store_figures.durations(seconds), side))


def _who(material: Material) -> str:
    parts = [_sources(material.info), _verdicts(material.glances)]
    deployed = [g for g in material.glances if (g.labels == Label.ROBOT).any()]
    if deployed:
        shown = _spread(deployed, TIMELINES)
        of = "" if len(shown) == len(deployed) else f", {len(shown)} of {len(deployed)}"
        rate = float(material.store.station["rate"])
        parts += [
            paragraph(f"Episodes that a policy flew{of}; an operator in one of them is a take-over:"),
            figures.timelines({glance.id: glance.labels for glance in shown}, rate),
        ]
    return section("Who flew", *parts)


def _sources(info: Info) -> str:
    if len(info.sources) < 2:
        return "".join(paragraph(f"All rows are of one source: {name}.") for name in info.sources)
    bars = store_figures.shares({"all rows": info.sources}, store_figures.SOURCE_COLOURS)
    return paragraph("Rows, by who flew them:") + bars


def _verdicts(glances: Sequence[Glance]) -> str:
    operators: dict[str, Counter[str]] = {}
    for glance in glances:
        name = glance.attrs.get("operator") or "not named"
        operators.setdefault(name, Counter())[glance.attrs["verdict"]] += 1
    if len(operators) == 1 and len(next(iter(operators.values()))) == 1:
        name, counts = next(iter(operators.items()))
        return paragraph(f"All {counts.total():,} episodes: operator {name}, verdict {next(iter(counts))}.")
    rows = {f"{name} ({counts.total():,})": store_figures.fractions(counts) for name, counts in operators.items()}
    bars = store_figures.shares(rows, store_figures.VERDICT_COLOURS)
    return paragraph("Episodes, by operator and verdict:") + bars


def _space(material: Material) -> str:
    starts: dict[str, list[Any]] = {}
    paths: dict[str, list[Any]] = {}
    for glance in material.glances:
        verdict = glance.attrs["verdict"]
        if glance.start is not None:
            starts.setdefault(verdict, []).append(glance.start)
        if len(glance.path):
            paths.setdefault(verdict, []).append(glance.path)
    pictures, words = [], ""
    name = start_field(material.store.spec)
    if name is not None and starts:
        unit = material.store.spec[name].unit.partition(",")[0]
        pictures.append(store_figures.starts({key: np.array(rows) for key, rows in starts.items()}, unit))
        words = f"{_thing(name)} in the first row (dots). " + _covered(material.coverage, unit)
    if paths:
        unit = _unit(material.glances)
        pictures.append(store_figures.paths(paths, unit))
        words += "Lines: the ways that were taken, over each other; each ends in a dot."
    return section("Where it began, and where it went", paragraph(words), pair(*pictures)) if pictures else ""


def _unit(glances: Sequence[Glance]) -> str:
    """Of the ways that were taken."""
    return next((glance.unit for glance in glances if glance.unit), "")


def _thing(name: str) -> str:
    return f"Where the {name.removeprefix('objects.')} stood" if name != "pose" else "Where the tool was"


def _covered(found: Coverage | None, unit: str) -> str:
    if found is None:
        return ""
    width, height = found.extent
    return (
        f"They spread over {width:.3g} by {height:.3g} {unit}; Clark and Evans' index {found.index:.2f} "
        "(1: as even as chance, 0: all at one place). "
    )


def _findings(material: Material) -> str:
    rows = grouped([finding for glance in material.glances for finding in glance.findings])
    if not rows:
        return section("What is wrong", paragraph("Nothing wrong was found in any episode."))
    header = ("severity", "what was found", "times", "episodes", "what to do")
    return section("What is wrong", f'<div class="findings">{table(header, rows)}</div>')


def _method(material: Material) -> str:
    software = Counter(str(episode.attrs.get("software", "")) for episode in material.episodes)
    written = ", ".join(name for name, _ in software.most_common())
    words = [
        "Every row of every episode that is not deleted was read, with its edits applied; hashes were compared.",
        f"Recorded by {written}. The same numbers: `robot-stack data info`, `data check`, `data quality`.",
        *METHODS,
    ]
    return section("How it was computed", bullets(words))


def _spread[T](things: Sequence[T], most: int) -> list[T]:
    """At most so many of them, evenly through all."""
    rows = np.linspace(0, len(things) - 1, min(most, len(things))).round().astype(int)
    return [things[row] for row in rows]


def _time(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
