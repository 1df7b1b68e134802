"""`robot-stack doctor`: what this machine has and lacks, what that costs, and what to do about it.

Each check is a function that returns a `Finding`; the three files of this folder hold them by subject.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rich.console import Console
from rich.table import Table

from robot_stack.doctor import devices, machine, software
from robot_stack.doctor.finding import Finding, Level

SIGNS = {Level.OK: "[green]ok[/]", Level.WARN: "[yellow]warn[/]", Level.FAIL: "[red]FAIL[/]"}


def run(config: Any) -> int:
    """Print the findings; 1 if something is missing without which nothing works."""
    findings = examine(config.host, config.port, config.store)
    console = Console(highlight=False)
    console.print(table(findings))
    console.print(_verdict(findings))
    return int(any(finding.level is Level.FAIL for finding in findings))


def examine(host: str, port: int, store: str) -> list[Finding]:
    """All findings, in the order of the table. Checks that wait for something run at the same time."""
    checks = [
        software.python,
        software.simulator,
        software.opencv,
        software.shared_memory_bus,
        software.rendering,
        software.ur_driver,
        machine.gpu,
        machine.kernel,
        machine.priority,
        machine.processors,
        machine.memory,
        machine.shared_memory,
        lambda: machine.disk(store),
        lambda: machine.port(host, port),
        devices.realsense,
        devices.video,
    ]
    with ThreadPoolExecutor(len(checks)) as pool:
        return [future.result() for future in [pool.submit(check) for check in checks]]


def table(findings: list[Finding]) -> Table:
    """One row a finding; what is not well says what it costs and what to do."""
    table = Table.grid(padding=(0, 2))
    for finding in findings:
        advice = [f"[dim]costs:[/] {finding.cost}", f"[dim]do:[/]    {finding.remedy}"] * (
            finding.level is not Level.OK
        )
        table.add_row(SIGNS[finding.level], finding.subject, "\n".join([finding.found, *advice]))
    return table


def _verdict(findings: list[Finding]) -> str:
    failed = [finding.subject for finding in findings if finding.level is Level.FAIL]
    warned = sum(finding.level is Level.WARN for finding in findings)
    if failed:
        return f"\nThis machine cannot run robot-stack yet: {', '.join(failed)}."
    return f"\nThis machine can run robot-stack{f', with {warned} things to know' if warned else ''}."
