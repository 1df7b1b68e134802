"""The part of a store's report on when everything was measured."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from deploy.report import store_figures
from deploy.report.page import pair, paragraph, section, table
from deploy.report.survey import Glance
from robot_stack.store.info import Info


def times_section(info: Info, glances: Sequence[Glance], rate: float) -> str:
    """Rates, ages and gaps of the rows, and of what is kept beside them. rate: of the rows, as wanted [Hz]."""
    made_up = paragraph("The times were made up by the import: its source had none.") if info.synthetic else ""
    facts = [
        ("rate of the rows", f"{info.rate:.2f} Hz, wanted {rate:g} Hz"),
        ("missing rows", f"{info.drops:,} of {info.rows + info.drops:,}"),
    ]
    if not info.streams:
        return section("When it was measured", made_up, table(("rows", ""), facts))
    skew = f"median {1e3 * info.skew_median:.0f} ms, p99 {1e3 * info.skew_p99:.0f} ms"
    facts.append(("streams of a row, apart", skew))
    header = ("stream", "rate [Hz]", "age median [ms]", "age p99 [ms]", "repeated rows", "longest gap [ms]")
    rows = [
        (
            stream.name,
            f"{stream.rate:.1f}",
            f"{1e3 * stream.age_median:.1f}",
            f"{1e3 * stream.age_p99:.1f}",
            f"{stream.repeats:,}",
            f"{1e3 * stream.longest_gap:.0f}",
        )
        for stream in info.streams
    ]
    side = f"<div>{table(('rows', ''), facts)}</div>"
    pictures = pair(store_figures.ages(info.streams), side)
    return section("When it was measured", made_up, pictures, table(header, rows), _raw_streams(glances))


def _raw_streams(glances: Sequence[Glance]) -> str:
    """What is kept beside the rows, every message of it."""
    kept: dict[str, list[Mapping[str, Any]]] = {}
    for glance in glances:
        for name, about in glance.attrs.get("streams", {}).items():
            kept.setdefault(name, []).append(about)
    if not kept:
        return ""
    rows = [
        (
            name,
            f"{sum(about['count'] for about in those):,}",
            f"{np.median([about['rate'] for about in those]):.1f}",
            f"{1e3 * max(about['longest_gap'] for about in those):.0f}",
            f"{sum(about.get('drops', 0) for about in those):,}" if any("drops" in about for about in those) else "–",
        )
        for name, those in kept.items()
    ]
    header = ("kept beside the rows", "messages", "rate [Hz]", "longest gap [ms]", "frames that never came")
    return table(header, rows)
