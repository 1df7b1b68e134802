from pathlib import Path
from types import SimpleNamespace

import pytest

from policies.memory import free_memory


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a process in the group job/step, on a machine with 100 GB free."""
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=100e9))
    (tmp_path / "groups/job/step").mkdir(parents=True)
    file = tmp_path / "own"
    file.write_text("4:memory:/of/version/1\n0::/job/step\n")
    return file


def limit(group: Path, most: str, used: int, files: int) -> None:
    (group / "memory.max").write_text(f"{most}\n")
    (group / "memory.current").write_text(f"{used}\n")
    (group / "memory.stat").write_text(f"anon 7\ninactive_file {files}\n")


def test_the_limit_of_a_job_counts_though_the_machine_has_more(own: Path) -> None:
    groups = own.parent / "groups"
    assert free_memory(groups, own) == 100e9
    limit(groups / "job/step", "max", used=10**9, files=0)
    assert free_memory(groups, own) == 100e9
    limit(groups / "job", str(16 * 10**9), used=6 * 10**9, files=2 * 10**9)  # of the whole job; its files make room
    assert free_memory(groups, own) == 12e9
    limit(groups, str(2 * 10**9), used=3 * 10**9, files=0)
    assert free_memory(groups, own) == 0.0


def test_without_control_groups_it_is_what_the_machine_has(own: Path) -> None:
    assert free_memory(own.parent / "nowhere", own) == 100e9
    assert free_memory(own.parent / "groups", own.parent / "nowhere") == 100e9


def test_of_this_machine_there_is_some() -> None:
    assert free_memory() > 0.0
