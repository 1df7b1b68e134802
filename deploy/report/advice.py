"""What to do about a store, in plain words, the most important first."""

from collections.abc import Iterator, Sequence

import numpy as np

from deploy.report.findings import episodes
from deploy.report.survey import Glance
from robot_stack.quality.figures import Quality
from robot_stack.quality.finding import Finding, Severity
from robot_stack.quality.summary import Coverage
from robot_stack.store.info import Info
from robot_stack.terminal import count

MISSING = 0.01
"""A larger share of missing rows is worth looking into."""

IDLE = 0.3
"""A larger median share of idle rows teaches a policy to wait."""

CLUMPED = 0.6
"""A smaller Clark and Evans index: starts come in clumps."""


def advise(info: Info, glances: Sequence[Glance], quality: Quality, covered: Coverage | None) -> list[str]:
    """Sentences; one that says so when there is nothing to do."""
    return [
        *_about_findings([finding for glance in glances for finding in glance.findings]),
        *_about_verdicts(info),
        *_about_times(info),
        *_about_motion(quality, covered),
    ] or ["Nothing: no error, no warning, every episode has a verdict."]


def _about_findings(findings: Sequence[Finding]) -> Iterator[str]:
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    warnings = [finding for finding in findings if finding.severity is Severity.WARNING]
    if errors:
        yield f"Do not train on {episodes(errors)}: what is there is not what was recorded. See the findings below."
    if warnings:
        yield f"Look at {episodes(warnings)} in `robot-stack data view`: something failed while they were recorded."


def _about_verdicts(info: Info) -> Iterator[str]:
    unknown = info.verdicts["unknown"]
    if unknown:
        episodes = count(unknown, "episode has", "episodes have")
        yield f"{episodes} no verdict: S and F in `robot-stack data view` give one, a key an episode."
    if info.salvaged:
        episodes = count(info.salvaged, "episode was", "episodes were")
        yield f"{episodes} salvaged after a crash: the end is missing. Look at them, trim or delete."


def _about_times(info: Info) -> Iterator[str]:
    if info.drops > MISSING * info.rows:
        yield f"{info.drops / (info.rows + info.drops):.1%} of the rows are missing: find what held the recorder up."
    if info.synthetic:
        yield "Times of imported episodes are made up, row by row: nothing here says how old their pictures were."
    if info.skew_p99 * info.rate > 2.0:
        yield (
            f"In one row of a hundred the streams are {1e3 * info.skew_p99:.0f} ms apart, more than two rows: "
            "see which stream below, and its cable, load or exposure."
        )


def _about_motion(quality: Quality, covered: Coverage | None) -> Iterator[str]:
    idle = [episode.idle for episode in quality.episodes if episode.idle is not None]
    if idle and np.median(idle) > IDLE:
        yield f"Half of the episodes stand still for {np.median(idle):.0%} of their rows or more: trim, or fly faster."
    if covered is not None and covered.index < CLUMPED:
        yield f"The starts come in clumps (index {covered.index:.2f}): begin where there are gaps in the picture below."
    suspicious = [episode.id for episode in quality.episodes if episode.suspicious]
    if suspicious:
        some = ", ".join(suspicious[:4]) + (f" and {len(suspicious) - 4:,} more" if len(suspicious) > 4 else "")
        yield f"{some}: parts that no other demonstration has. They may be mistakes, or the only ones that know better."
