"""`robot-stack data`: what a person sees, and the exit code."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robot_stack.station import Station
from robot_stack.store import Store, cli
from robot_stack.store.info import describe
from robot_stack.types import Source, StoreError

STATION = Station("cell", 6, {"front": (48, 64)}, rate=10.0, objects=("cube",))


def record(store: Store, seconds: float = 3.0, seed: int = 0, **broken: Any) -> str:
    """An episode of a moving arm, whose camera delivers every second row and whose streams have known ages."""
    rng, steps = np.random.default_rng(seed), round(seconds * 10)
    writer = store.writer({"kind": "deploy", "task": "lift", "operator": "ada"})
    for step in range(steps):
        row = STATION.row.record(time=100 + step / 10, source=Source.OPERATOR if step < 10 else Source.POLICY)
        row["pose"] = [0.4 + 0.01 * step, 0.02 * seed, 0.3, 0, 0, 0, 1]
        row["q"] = row["target.q"] = 0.01 * step
        row["state.time"] = row["grip.time"] = row["objects.time"] = row["time"] - 0.002
        row["image.front.time"] = 100 + (step - step % 2) / 10 - 0.03
        row["image.front"] = rng.integers(0, 256, (48, 64, 3))
        for name, change in broken.items():
            row[name.replace("__", ".")] = change(step, row[name.replace("__", ".")])
        writer.append(row)
    writer.commit("success")
    return writer.id


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "s", STATION.row, {"name": "cell", "robot": "ur5e", "rate": 10.0}, "zstd")


def check(store: Store, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    store.close()
    code = cli.check({"store": str(store.path)})
    return code, capsys.readouterr().out


def test_info_measures_rates_ages_skew_and_repeats(store: Store) -> None:
    for seed in range(2):
        record(store, seed=seed)
    found = describe(store)
    assert (found.episodes, found.rows, found.drops, found.salvaged) == (2, 60, 0, 0)
    assert found.verdicts == {"success": 2}
    assert found.sources == {"policy": pytest.approx(2 / 3), "operator": pytest.approx(1 / 3)}
    streams = {stream.name: stream for stream in found.streams}
    assert streams.keys() == {"state", "grip", "objects", "image.front"}
    assert streams["state"].rate == pytest.approx(10.0)
    assert streams["image.front"].rate == pytest.approx(5.0)
    assert streams["image.front"].repeats == 30
    assert streams["image.front"].age_p99 == pytest.approx(0.13)
    assert streams["image.front"].longest_gap == pytest.approx(0.2)
    assert found.skew_p99 == pytest.approx(0.128)
    assert found.bytes > 60 * 48 * 64 * 3


def test_info_prints_it_and_says_so_of_an_empty_store(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.info({"store": str(store.path)}) == 0
    assert ["episodes", "0"] in [line.split() for line in capsys.readouterr().out.splitlines()]
    record(store)
    assert cli.info({"store": str(store.path)}) == 0
    printed = capsys.readouterr().out
    for piece in (
        "1 success",
        "policy 66.7%",
        "10.00 Hz",
        "age p99 [ms]",
        "image.front",
        "p99 128.0 ms",
        "station cell ur5e",
    ):
        assert piece in printed


def test_list_has_a_line_an_episode(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    record(store)
    record(store)
    assert cli.list_episodes({"store": str(store.path)}) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[2].split()[0] == "ep-000001"


def test_check_finds_nothing_in_good_data(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    record(store)
    assert check(store, capsys) == (0, "1 episode checked: nothing wrong found\n")


def test_check_names_the_array_whose_bytes_changed(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("q", "image.front"):
        episode = record(store)
        file = next((store[episode].path / name).glob("c.*"))
        content = bytearray(file.read_bytes())
        content[40] ^= 255
        file.write_bytes(content)
    code, printed = check(store, capsys)
    assert code == 1
    assert "ep-000000" in printed
    assert "ep-000001" in printed
    assert "restore this episode" in printed


def test_check_names_a_missing_and_a_short_array(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = record(store), record(store, seconds=2.0)
    (store[first].path / "q" / "zarr.json").unlink()
    for file in (store[first].path / "dq").iterdir():
        (store[second].path / "dq" / file.name).write_bytes(file.read_bytes())
    code, printed = check(store, capsys)
    assert code == 1
    assert "cannot be read" in printed
    assert "dq has 30 rows, the episode 20" in printed


def test_check_tells_what_was_salvaged_and_what_waits_for_it(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    writer = store.writer({"kind": "collect"})
    writer.append(STATION.row.record(time=1.0))
    code, printed = check(store, capsys)
    assert (code, "recording was cut off before its commit" in printed) == (0, True)
    store.salvage()
    code, printed = check(store, capsys)
    assert (code, "salvaged after its recorder died: 1 rows were whole" in printed) == (0, True)


def test_check_does_not_take_a_recording_in_progress_for_a_wreck(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    store.writer({"kind": "collect"})
    assert cli.check({"store": str(store.path)}) == 0
    assert "nothing wrong" in capsys.readouterr().out
    store.close()


def test_a_store_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store at"):
        cli.info({"store": str(tmp_path / "none")})


def test_a_damaged_picture_is_named_with_its_file_and_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store.create(tmp_path / "s", STATION.row, {"name": "cell", "rate": 10.0}, "jpeg")
    episode = store[record(store)]
    array = episode.recordings[0].array("image.front")
    sizes = [len(chunk) for chunk in array.chunks()]
    shard = next(array.path.glob("c.*"))
    content = bytearray(shard.read_bytes())
    content[sum(sizes[:7]) + sizes[7] // 2] ^= 4
    shard.write_bytes(content)
    with pytest.raises(StoreError, match=rf"{shard}, row 7: .*checksum is wrong; restore the file"):
        episode["image.front"]
    code, printed = check(store, capsys)
    assert (code, "row 7" in " ".join(printed.split())) == (1, True)
    assert printed.count("error") == 2  # the finding and the sum: the hash of the content says nothing new
    store.close()


def test_check_says_of_a_copy_that_was_cut_off_that_nothing_is_lost(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    episode = store[record(store)]
    store.copy(episode, {}).close()
    store.close()
    code, printed = check(store, capsys)
    assert (code, "nothing is lost" in " ".join(printed.split())) == (0, True)
    assert "recording was cut off" not in printed


def test_what_cannot_be_read_is_named_where_it_is_missing(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    record(store)
    (store[record(store)].path / "zarr.json").unlink()
    for look in (cli.info, cli.list_episodes):
        assert look({"store": str(store.path)}) == 0
        assert "not counted, because they cannot be read: ep-000001; `robot-stack data check" in capsys.readouterr().out


def test_check_that_hides_says_what_brings_back_and_what_removes(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    (store[record(store)].path / "q" / "c.0.0").write_bytes(b"")
    store.close()
    assert cli.check({"store": str(store.path), "fix": True}) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "edit=1` shows it again; `data compact` puts it aside" in printed


def test_pictures_in_a_codec_that_is_not_installed_are_named_and_not_hidden(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store.create(tmp_path / "s", STATION.row, {"name": "cell", "rate": 10.0}, "jpeg")
    array = store[record(store)].path / "image.front"
    text = (array / "zarr.json").read_text()
    (array / "zarr.json").write_text(text.replace("imagecodecs_jpeg", "imagecodecs_jpegxs"))
    store.close()
    with pytest.raises(StoreError, match=r"sharding_indexed, imagecodecs_jpegxs, crc32c, of which this machine lacks"):
        Store.open(store.path).episodes[0]["image.front"]
    assert cli.check({"store": str(store.path), "fix": True}) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "lacks one: install" in printed
    assert "hid " not in printed
    (array / "zarr.json").write_text(text)
    assert len(Store.open(store.path)) == 1
    assert check(store, capsys)[0] == 0


def test_info_of_nothing_has_no_rate_and_of_a_store_names_its_views(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    record(store)
    store.filter("rows > 1", "good")
    assert cli.info({"store": str(store.path)}) == 0
    assert f"{store.path}@good" in capsys.readouterr().out.replace("\n", "")
    store.delete(["ep-000000"])
    assert cli.info({"store": f"{store.path}@good"}) == 0
    printed = capsys.readouterr().out
    assert "nan" not in printed
    assert "a step" not in printed
    assert [line.split()[0] for line in printed.splitlines()][:3] == ["store", "episodes", "size"]
