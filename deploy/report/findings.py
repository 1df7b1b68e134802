"""Findings of a whole store, put together when they say the same of different rows."""

import re
from collections.abc import Sequence

from robot_stack.quality.finding import Finding, Severity

_NUMBER = re.compile(r"-?\d[\d,.]*(e[-+]?\d+)?")
_SHOWN = 4  # ids in a cell, before "and 12 more"


def grouped(findings: Sequence[Finding]) -> list[tuple[str, str, str, str, str]]:
    """Rows of a table: severity, an example, how often, in which episodes, what to do; the worst first."""
    groups: dict[tuple[Severity, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.severity, _NUMBER.sub("#", finding.what)), []).append(finding)
    order = list(Severity)
    ranked = sorted(groups.items(), key=lambda item: (order.index(item[0][0]), -len(item[1])))
    return [
        (severity.value, _example(group), f"{len(group):,}", episodes(group), group[0].advice)
        for (severity, _), group in ranked
    ]


def episodes(findings: Sequence[Finding]) -> str:
    """The episodes that they are in, the first few by name."""
    ids = list(dict.fromkeys(finding.episode for finding in findings))
    more = f" and {len(ids) - _SHOWN:,} more" if len(ids) > _SHOWN else ""
    return ", ".join(ids[:_SHOWN]) + more


def _example(group: Sequence[Finding]) -> str:
    return group[0].what if len(group) == 1 else f"{group[0].what}, and the like"
