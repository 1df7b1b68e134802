"""The report of a store: one file that says what is there, what is wrong and what to do."""

import re
from pathlib import Path

import numpy as np
import pytest

from deploy.report.findings import grouped
from robot_stack.cli import main
from robot_stack.quality.finding import Finding, Severity
from robot_stack.spec import Field, Spec
from robot_stack.station import Station
from robot_stack.store import Store
from robot_stack.types import Source

STATION = Station("cell", 6, {"front": (48, 64)}, objects=("cube",))


def record(store: Store, number: int, verdict: str = "success", kind: str = "collect", rows: int = 40) -> None:
    """A reach to the cube; the policy flies the first half of a deployed one."""
    writer = store.writer({"kind": kind, "task": "lift", "operator": ["ada", "bob"][number % 2]})
    for step in range(rows):
        time = step / STATION.rate
        row = STATION.row.record(time=time, source=Source.OPERATOR, image__front=4 * step)
        if kind == "deploy" and step < rows // 2:
            row["source"] = Source.POLICY
        row["pose"] = row["target.pose"] = [0.4 + 0.002 * step, 0.001 * number * step, 0.2, 1, 0, 0, 0]
        row["objects.cube"] = [0.5, 0.02 * number, 0.0, 0, 0, 0, 1]
        for stream in ("state", "grip", "objects", "image.front"):
            row[f"{stream}.time"] = time - 0.01
        writer.append(row)
    writer.commit(verdict)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    path = tmp_path / "cell"
    with Store.create(path, STATION.row, {"name": "cell", "robot": "ur5e", "rate": STATION.rate}) as store:
        for number in range(4):
            record(store, number, "failure" if number == 3 else "success")
        record(store, 4, kind="deploy")
    return path


def report(place: Path, capsys: pytest.CaptureFixture[str]) -> str:
    destination = place.with_name("report.html")
    assert main(["data", "report", f"store={place}", f"to={destination}"]) == 0
    assert capsys.readouterr().out.strip() == str(destination)
    return destination.read_text()


def words(page: str) -> str:
    """What a person reads."""
    return re.sub("<.*?>", "", page)


def test_report_has_a_chapter_on_everything_and_needs_no_other_file(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = report(place, capsys)
    assert re.findall("<h2>(.*?)</h2>", page) == [
        "What to do",
        "What it looks like",
        "Watch it",
        "How long, and how it ended",
        "Who flew",
        "When it was measured",
        "Where it began, and where it went",
        "What is wrong",
        "How well it was demonstrated",
        "How it was computed",
    ]
    assert "5 episodes of lift with a ur5e: 200 rows, 0.3 min at 10 Hz. Verdicts: 4 success, 1 failure." in page
    assert page.count("data:image/jpeg;base64,") == 5 * 3
    assert page.count("data:video/mp4;base64,") == 1
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", page)


def test_report_advises_on_missing_verdicts_and_lost_rows(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Store.open(place) as store:
        record(store, 5, "unknown")
        writer = store.writer({"kind": "collect", "task": "lift"})
        for step in (*range(10), *range(20, 30)):
            writer.append(STATION.row.record(time=step / STATION.rate))
        writer.commit("success")
    page = report(place, capsys)
    assert "1 episode has no verdict" in page
    assert "of the rows are missing" in page
    assert "Look at ep-000006 in" in words(page)


def test_damaged_episode_is_reported_and_the_others_are_measured(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = next((place / "episodes" / "ep-000002" / "q").glob("c.*"))
    table.write_bytes(table.read_bytes()[:-20])
    page = report(place, capsys)
    assert "Do not train on ep-000002" in words(page)
    assert "4 episodes of lift" in page


def test_store_without_pictures_or_motion_is_reported_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Store.create(tmp_path / "cell", Spec([Field("time"), Field("force", (3,))]), {"rate": 10.0}) as store:
        writer = store.writer({"kind": "import", "time_source": "synthetic"})
        for step in range(5):
            writer.append(store.spec.record(time=step / 10, force=np.arange(3) * step))
        writer.commit()
    page = report(tmp_path / "cell", capsys)
    assert "What it looks like" not in page
    assert "made up" in page


def test_empty_store_and_missing_folder_are_refused_with_words(
    tmp_path: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Store.create(tmp_path / "empty", STATION.row, {"rate": 10.0})
    assert main(["data", "report", f"store={tmp_path / 'empty'}", f"to={tmp_path / 'report.html'}"]) == 1
    assert main(["data", "report", f"store={place}", f"to={tmp_path / 'nowhere' / 'report.html'}"]) == 2
    said = capsys.readouterr().err
    assert "has no episodes to report on" in said
    assert "there is no folder" in said


def test_findings_that_differ_in_numbers_only_are_one_line_the_worst_first() -> None:
    found = [
        Finding("ep-000001", 3, Severity.ADVICE, "stands still for 4.5 s", "trim"),
        Finding("ep-000002", 9, Severity.ADVICE, "stands still for 12.0 s", "trim"),
        Finding("ep-000002", -1, Severity.ERROR, "q is not what was recorded: its hash differs", "restore it"),
    ]
    assert grouped(found) == [
        ("error", "q is not what was recorded: its hash differs", "1", "ep-000002", "restore it"),
        ("advice", "stands still for 4.5 s, and the like", "2", "ep-000001, ep-000002", "trim"),
    ]
