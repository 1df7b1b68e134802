"""Bags come in by their mapping; what is wrong with one is said, or repaired and said."""

import sqlite3
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcap.writer import CompressionType

from robot_stack import cli
from robot_stack.store import Store
from robot_stack.store.formats import Source, import_source, open_source
from robot_stack.types import ConfigError, StoreError
from tests.robot_stack.store.formats.bag_maker import (
    CUSTOM,
    EPOCH,
    Sent,
    compressed,
    header,
    image,
    joints,
    make,
    number,
    write_mcap,
    write_rosbag2,
)

S = 10**9
START = EPOCH * S
JOINTS, IMAGE, FLOAT = "sensor_msgs/msg/JointState", "sensor_msgs/msg/Image", "std_msgs/msg/Float64"
BOOL, STRING = "std_msgs/msg/Bool", "std_msgs/msg/String"
QUATERNION = "geometry_msgs/msg/Quaternion"
WAYS = st.sampled_from(
    [{"use_chunking": False}, {"compression": CompressionType.NONE, "enable_crcs": False}, {"enable_crcs": False}, {}]
)
"""To write a file."""
Q = "q: {topic: /joints, path: position, joints: [a, b]}"


def state(n: int, received: int | None = None, **values: Any) -> Sent:
    """Joints of the `n`-th tenth of a second: n and -n."""
    time = START + n * S // 10
    return Sent("/joints", JOINTS, time if received is None else received, joints(time, [n, -n], **values))


def grip(n: float, value: float) -> Sent:
    return Sent("/grip", FLOAT, START + int(n * S / 10), number(value))


def open_bag(bag: Path, fields: str = Q, head: str = "rate: 10", **options: Any) -> Source:
    """Open a bag with a mapping of these fields, one a line."""
    mapping = bag.with_suffix(".yaml")
    mapping.write_text("\n".join([head, "fields:", *(f"  {line}" for line in fields.splitlines())]))
    return open_source(bag, mapping=str(mapping), **options)


def rows(source: Source, episode: int = 0) -> np.ndarray:
    return np.concatenate([np.zeros(0, source.spec.dtype), *source.rows(episode)])


# what fields can be made of


def test_joints_come_in_the_order_of_the_mapping_whatever_the_order_of_the_message(tmp_path: Path) -> None:
    bag = write_mcap(tmp_path / "b.mcap", [state(0), state(1, names=["b", "a"])])
    assert rows(open_bag(bag))["q"].tolist() == [[0, 0], [-1, 1]]


def test_messages_of_another_device_on_the_same_topic_are_passed_over_and_counted(tmp_path: Path) -> None:
    hand = Sent("/joints", JOINTS, START + 1, joints(START + 1, [9.0], names=["finger"]))
    source = open_bag(
        write_mcap(tmp_path / "b.mcap", [state(0), hand, state(1)]),
        f"{Q}\ngrip: {{topic: /joints, path: position, joints: [finger]}}",
    )
    assert rows(source)["grip"].tolist() == [[9.0]]
    assert source.warnings == [
        "b.mcap: 1 messages of /joints without these joints left out",
        "b.mcap: 2 messages of /joints without these joints left out",
    ]


def test_a_pose_is_seven_numbers_of_which_a_scale_spares_the_quaternion(tmp_path: Path) -> None:
    point = make("geometry_msgs/msg/Point", x=1000.0, y=2000.0, z=3000.0)
    turn = make(QUATERNION, x=0.0, y=0.6, z=0.0, w=0.8)
    pose = make("geometry_msgs/msg/Pose", position=point, orientation=turn)
    message = make("geometry_msgs/msg/PoseStamped", header=header(START), pose=pose)
    bag = write_mcap(tmp_path / "b.mcap", [Sent("/tcp", "geometry_msgs/msg/PoseStamped", START, message)])
    source = open_bag(
        bag,
        "pose: {topic: /tcp, path: pose, scale: 0.001, unit: 'm,1', frame: base_from_tcp}\n"
        "height: {topic: /tcp, path: pose.position.z}\n"
        "flat: {topic: /tcp, path: [pose.position.y, pose.position.x]}",
    )
    row = rows(source)[0]
    assert row["pose"].tolist() == [1.0, 2.0, 3.0, 0.0, 0.6, 0.0, 0.8]
    assert (row["height"], row["flat"].tolist()) == (3000.0, [2000.0, 1000.0])
    assert (source.spec["pose"].unit, source.spec["pose"].frame) == ("m,1", "base_from_tcp")


def test_a_quaternion_that_begins_with_w_is_turned_round_and_parts_of_lists_can_be_taken(tmp_path: Path) -> None:
    finger = make(CUSTOM, header=header(START), opening=0.04, wxyz=np.array([0.8, 0.1, 0.2, 0.3]), mood="")
    bag = write_mcap(tmp_path / "b.mcap", [Sent("/finger", CUSTOM, START, finger)])
    source = open_bag(
        bag,
        "turn: {topic: /finger, path: wxyz, quaternion: wxyz}\n"
        "two: {topic: /finger, path: 'wxyz[1:3]'}\n"
        "one: {topic: /finger, path: 'wxyz[0]', scale: 10}",
    )
    row = rows(source)[0]
    assert row["turn"].tolist() == [0.1, 0.2, 0.3, 0.8]
    assert (row["two"].tolist(), row["one"]) == ([0.1, 0.2], 8.0)


RGB = np.arange(40 * 50 * 3, dtype=np.uint8).reshape(40, 50, 3)
DEPTH = np.arange(40 * 50, dtype=np.uint16).reshape(40, 50)


@pytest.mark.parametrize(
    ("name", "message", "wanted"),
    [
        ("image.a", image(START, RGB, "rgb8"), RGB),
        ("image.a", image(START, RGB, "rgb8", padding=10), RGB),
        ("image.a", image(START, RGB[..., ::-1], "bgr8"), RGB),
        ("image.a", image(START, np.dstack([RGB[..., ::-1], RGB[..., :1]]), "bgra8"), RGB),
        ("image.a", image(START, RGB[..., 0], "mono8"), np.dstack([RGB[..., 0]] * 3)),
        ("depth.a", image(START, DEPTH, "16UC1"), DEPTH),
        ("depth.a", image(START, DEPTH.byteswap(), "16UC1", is_bigendian=1), DEPTH),
        ("depth.a", image(START, (DEPTH / 1e3).astype(np.float32), "32FC1"), DEPTH),
        ("image.a", compressed(START, cv2.imencode(".png", RGB[..., ::-1])[1].tobytes(), "rgb8; png"), RGB),
        ("depth.a", compressed(START, cv2.imencode(".png", DEPTH)[1].tobytes(), "16UC1; png"), DEPTH),
        (
            "depth.a",
            compressed(START, b"\1" * 12 + cv2.imencode(".png", DEPTH)[1].tobytes(), "16UC1; compressedDepth png"),
            DEPTH,
        ),
    ],
)
def test_pictures_of_every_encoding_come_in_pixel_by_pixel(
    tmp_path: Path, name: str, message: Any, wanted: np.ndarray
) -> None:
    bag = write_mcap(tmp_path / "b.mcap", [Sent("/camera", message.__msgtype__, START, message)])
    source = open_bag(bag, f"{name}: {{topic: /camera}}")
    assert np.array_equal(rows(source)[name][0], wanted)
    assert source.spec[name].dtype == wanted.dtype.str


def test_a_jpeg_comes_in_as_rgb(tmp_path: Path) -> None:
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 250
    data = cv2.imencode(".jpg", red[..., ::-1])[1].tobytes()
    kind = "sensor_msgs/msg/CompressedImage"
    bag = write_mcap(tmp_path / "b.mcap", [Sent("/camera", kind, START, compressed(START, data, "jpeg"))])
    pixels = rows(open_bag(bag, "image.a: {topic: /camera}"))["image.a"].astype(int)
    assert np.abs(pixels - red).max() < 6


def test_distances_are_rounded_to_millimetres_those_that_are_none_become_zero_and_that_is_said(tmp_path: Path) -> None:
    metres = np.array([[np.nan, -1.0, np.inf, 1.2344]], np.float32)
    bag = write_mcap(tmp_path / "b.mcap", [Sent("/depth", IMAGE, START, image(START, metres, "32FC1"))])
    source = open_bag(bag, "depth.a: {topic: /depth}")
    assert rows(source)["depth.a"].tolist() == [[[0, 0, 0, 1234]]]
    assert source.warnings == ["b.mcap: the distances of /depth are rounded to 1 mm; those that are none are 0"]


# how episodes are cut


def test_a_silence_ends_an_episode_and_nothing_from_before_it_stands_in_the_next(tmp_path: Path) -> None:
    sent = [grip(n, 0.0) for n in (0, 5)] + [state(n) for n in range(6)] + [state(n) for n in range(100, 110)]
    sent += [grip(103, 1.0)]
    source = open_bag(
        write_mcap(tmp_path / "b.mcap", sent),
        f"{Q}\ngrip: {{topic: /grip, path: data}}",
        "rate: 10\nepisodes: {gap: 2}",
    )
    assert [len(rows(source, n)) for n in range(len(source))] == [6, 7]
    assert rows(source, 1)["q"][0].tolist() == [103, -103]
    assert (rows(source, 1)["grip"] == 1.0).all()
    assert source.attrs(1)["started"] == "2023-11-14T22:13:30.300+00:00"


def test_an_episode_without_a_stream_has_no_rows_and_that_is_said(tmp_path: Path) -> None:
    sent = [grip(0, 0.0), *[state(n) for n in range(6)], *[state(n) for n in range(100, 110)]]
    source = open_bag(
        write_mcap(tmp_path / "b.mcap", sent),
        f"{Q}\ngrip: {{topic: /grip, path: data}}",
        "rate: 10\nepisodes: {gap: 2}",
    )
    assert len(rows(source, 1)) == 0
    assert source.warnings == ["episode 1 of b.mcap has no rows: no message of /grip in it"]


def test_a_switch_cuts_episodes_and_what_was_set_before_holds_on(tmp_path: Path) -> None:
    switch = [
        Sent("/recording", BOOL, START + int(n * S / 10), make(BOOL, data=on))
        for n, on in ((-1, False), (10, True), (11, True), (14.5, False), (20, True))
    ]
    sent = [grip(0, 0.5), *switch, *[state(n) for n in range(30)]]
    source = open_bag(
        write_mcap(tmp_path / "b.mcap", sent),
        f"{Q}\ngrip: {{topic: /grip, path: data}}",
        "rate: 10\nverdict: success\nepisodes: {topic: /recording}",
    )
    assert [rows(source, n)["q"][:, 0].tolist() for n in range(len(source))] == [
        [10, 11, 12, 13, 14],
        list(range(20, 30)),
    ]
    assert rows(source, 1)["grip"].tolist() == [0.5] * 10
    assert source.repairs(0) == []
    assert source.repairs(1) == ["/recording did not end it: it ends with its bag"]
    assert source.attrs(0)["verdict"] == "success"


def test_words_begin_and_end_episodes_with_a_verdict_and_discarded_ones_stay_out(tmp_path: Path) -> None:
    words = [(0, "go"), (5, "good"), (10, "go"), (14, "never mind"), (20, "go"), (22, "hello"), (25, "bad")]
    sent = [Sent("/say", STRING, START + n * S // 10, make(STRING, data=word)) for n, word in words]
    head = "rate: 10\nepisodes: {topic: /say, start: go, stop: {good: success, bad: failure, never mind: discard}}"
    source = open_bag(write_mcap(tmp_path / "b.mcap", [*sent, *[state(n) for n in range(30)]]), Q, head)
    assert [source.attrs(n)["verdict"] for n in range(len(source))] == ["success", "failure"]
    assert rows(source, 1)["q"][:, 0].tolist() == [20, 21, 22, 23, 24, 25]


def test_a_topic_that_begins_nothing_is_refused_with_its_values(tmp_path: Path) -> None:
    sent = [Sent("/say", STRING, START, make(STRING, data="go")), state(0)]
    with pytest.raises(StoreError, match="/say begins no episode; its values: 'go'"):
        open_bag(
            write_mcap(tmp_path / "b.mcap", sent), Q, "rate: 10\nepisodes: {topic: /say, start: GO, stop: {x: success}}"
        )


def test_bags_in_a_folder_are_episodes_one_after_the_other(tmp_path: Path) -> None:
    folder = tmp_path / "bags"
    folder.mkdir()
    write_rosbag2(folder / "a", [state(n) for n in range(3)])
    write_rosbag2(folder / "c", [state(n) for n in range(5)])
    source = open_bag(folder)
    assert [source.attrs(n)["bag"] for n in range(2)] == ["a", "c"]
    assert [len(rows(source, n)) for n in range(2)] == [3, 5]


# time


def test_an_offset_moves_a_topic_and_receive_ignores_its_stamps(tmp_path: Path) -> None:
    bag = write_mcap(tmp_path / "b.mcap", [state(n, received=START + (n + 5) * S // 10) for n in range(4)])
    origin = rows(open_bag(bag))["time"][0]
    later = open_bag(bag, "q: {topic: /joints, path: position, joints: [a, b], offset: 0.25}")
    received = open_bag(bag, "q: {topic: /joints, path: position, joints: [a, b], time: receive}")
    assert rows(later)["time"][0] - origin == pytest.approx(0.25, abs=1e-9)
    assert rows(received)["time"][0] - origin == pytest.approx(0.5, abs=1e-9)
    assert (later.attrs(0)["clocks"], received.attrs(0)["clocks"]) == ({"q": "header.stamp"}, {"q": "receive"})


def test_messages_out_of_order_are_sorted_and_counted(tmp_path: Path) -> None:
    source = open_bag(write_mcap(tmp_path / "b.mcap", [state(n) for n in (0, 2, 1, 3)]))
    assert rows(source)["q"][:, 0].tolist() == [0, 1, 2, 3]
    assert source.warnings == ["b.mcap: 1 messages of /joints were out of order: sorted by capture time"]


def test_stamps_that_are_zero_give_way_to_the_time_of_reception(tmp_path: Path) -> None:
    zero = [Sent("/joints", JOINTS, START + n * S // 10, joints(0, [n, n])) for n in range(3)]
    source = open_bag(write_mcap(tmp_path / "b.mcap", zero))
    assert rows(source)["q"][:, 0].tolist() == [0, 1, 2]
    assert source.warnings == ["b.mcap: the stamps of /joints are all 0: the time of reception counts"]
    some = open_bag(write_mcap(tmp_path / "c.mcap", [state(0), zero[1], state(2)]))
    assert rows(some)["q"][:, 0].tolist() == [0, 0, 2]
    assert some.warnings == ["c.mcap: 1 of 3 messages of /joints without stamp left out"]


def test_a_clock_that_is_ahead_is_named_with_the_offset_that_would_bring_it_back(tmp_path: Path) -> None:
    ahead = [state(n, received=START + n * S // 10 - S // 2) for n in range(4)]
    source = open_bag(write_mcap(tmp_path / "b.mcap", ahead))
    assert (
        "of /joints are 0.500 s later than their reception: its clock is ahead; `offset: -0.500`" in source.warnings[0]
    )


def test_streams_of_two_clocks_that_do_not_overlap_are_refused_with_their_times(tmp_path: Path) -> None:
    simulated = [Sent("/sim", JOINTS, START + n * S, joints(n * S + 1, [n, n])) for n in range(4)]
    bag = write_mcap(tmp_path / "b.mcap", [*simulated, *[state(n) for n in range(4)]])
    with pytest.raises(
        StoreError, match=r"/sim ends before /joints begins, because their clocks differ(.|\n)*0.000 to 3"
    ):
        open_bag(bag, f"{Q}\ns: {{topic: /sim, path: position}}")


def test_a_stamp_that_is_far_off_is_left_out_and_a_time_of_reception_that_is_refused(tmp_path: Path) -> None:
    boot = Sent("/joints", JOINTS, START, joints(30 * S, [7, 7]))  # before the camera's clock was set
    source = open_bag(write_mcap(tmp_path / "b.mcap", [boot, *[state(n) for n in range(4)]]))
    assert rows(source)["q"][:, 0].tolist() == [0, 1, 2, 3]
    assert source.warnings == ["b.mcap: 1 messages of /joints left out: their stamps are far off"]
    with pytest.raises(StoreError, match=r"an episode of 12 days, from 1700000000.000 to .*`episodes: {gap: 60}`"):
        open_bag(write_mcap(tmp_path / "c.mcap", [grip(0, 1.0), grip(1e7, 1.0)]), "g: {topic: /grip, path: data}")


def test_a_stream_that_stops_early_is_named(tmp_path: Path) -> None:
    sent = [*[state(n) for n in range(40)], *[grip(n, n) for n in range(10)]]
    source = open_bag(write_mcap(tmp_path / "b.mcap", sent), f"{Q}\ngrip: {{topic: /grip, path: data}}")
    assert rows(source)["grip"][-1] == 9.0
    assert source.repairs(0) == ["/grip stops 3.0 s before the episode: its last message stands in the rows after it"]


# what is damaged


def test_messages_with_nan_are_left_out_and_counted(tmp_path: Path) -> None:
    bad = Sent("/joints", JOINTS, START + S // 10, joints(START + S // 10, [np.nan, 0.0]))
    source = open_bag(write_mcap(tmp_path / "b.mcap", [state(0), bad, state(2)]))
    assert rows(source)["q"][:, 0].tolist() == [0, 0, 2]
    assert source.warnings == ["b.mcap: 1 messages of /joints with NaN or infinity left out"]
    with pytest.raises(StoreError, match="all 1 messages of /joints have NaN or infinity in q"):
        open_bag(write_mcap(tmp_path / "c.mcap", [bad]))


def test_a_picture_that_cannot_be_read_is_replaced_by_the_one_before_with_its_time(tmp_path: Path) -> None:
    kind = "sensor_msgs/msg/CompressedImage"
    shots = [cv2.imencode(".png", np.full((40, 40, 3), n, np.uint8))[1].tobytes() for n in range(4)]
    shots[2] = shots[2][:30]
    sent = [
        Sent("/camera", kind, START + n * S // 10, compressed(START + n * S // 10, d, "png"))
        for n, d in enumerate(shots)
    ]
    source = open_bag(write_mcap(tmp_path / "b.mcap", sent), "image.a: {topic: /camera}")
    got = rows(source)
    assert got["image.a"][:, 0, 0, 0].tolist() == [0, 1, 1, 3]
    assert got["image.a.time"].tolist() == pytest.approx([0.0, 0.1, 0.1, 0.3], abs=1e-9)
    assert "1 pictures of /camera cannot be read, the ones before them stand in" in source.repairs(0)[0]


def test_a_picture_of_another_size_is_refused_with_its_place(tmp_path: Path) -> None:
    sent = [
        Sent(
            "/camera", IMAGE, START + n * S // 10, image(START + n * S // 10, np.zeros((8, size, 3), np.uint8), "rgb8")
        )
        for n, size in enumerate((8, 8, 16))
    ]
    source = open_bag(write_mcap(tmp_path / "b.mcap", sent), "image.a: {topic: /camera}")
    with pytest.raises(StoreError, match=r"of /camera captured at 1700000000\.200000 s is 16 x 8, the first was 8 x 8"):
        rows(source)


@pytest.mark.parametrize("options", [{}, {"use_chunking": False}])
def test_a_recorder_that_was_killed_leaves_all_whole_messages(tmp_path: Path, options: dict[str, Any]) -> None:
    sent = [state(n) for n in range(200)]
    bag = write_mcap(tmp_path / "b.mcap", sent, finish=False, chunk_size=2000, **options)
    source = open_bag(bag)
    assert 150 < len(rows(source)) <= 200  # an open chunk was in the recorder's memory
    assert "b.mcap was cut or is damaged at byte" in source.warnings[0]


@pytest.mark.parametrize("compression", ["ZSTD", "LZ4", "NONE"])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.77])
def test_of_a_file_cut_anywhere_the_whole_messages_before_the_cut_come_in(
    tmp_path: Path, compression: str, share: float
) -> None:
    random = np.random.default_rng(3)  # noise, so that a compressor gives out its blocks as it goes
    sent = [
        Sent("/joints", JOINTS, START + n * S // 10, joints(START + n * S // 10, [n, n], velocity=random.random(500)))
        for n in range(400)
    ]
    bag = write_mcap(tmp_path / "b.mcap", sent, chunk_size=500_000, compression=CompressionType[compression])
    whole = bag.read_bytes()
    bag.write_bytes(whole[: int(share * len(whole))])
    source = open_bag(bag)
    got = rows(source)["q"][:, 0].tolist()
    assert got == list(range(len(got)))
    assert len(got) > 400 * share - 60
    assert f"of {bag.stat().st_size:,}: the whole messages before it come in" in source.warnings[0]


def test_a_chunk_whose_checksum_differs_is_left_out_and_named(tmp_path: Path) -> None:
    sent = [state(n) for n in range(200)]
    bag = write_mcap(tmp_path / "b.mcap", sent, chunk_size=2000, compression=CompressionType.NONE)
    content = bytearray(bag.read_bytes())
    content[len(content) // 2] ^= 0xFF
    bag.write_bytes(content)
    source = open_bag(bag)
    assert "is damaged (its checksum differs): its messages are left out" in source.warnings[0]
    got = rows(source)["q"][:, 0]
    assert len(got) == 200
    assert 0 < (np.diff(got) == 0.0).sum() < 40


def test_of_a_database_that_was_cut_what_can_be_read_comes_in(tmp_path: Path) -> None:
    bag = write_rosbag2(tmp_path / "b", [state(n) for n in range(3000)])
    file = next(bag.glob("*.db3"))
    file.write_bytes(file.read_bytes()[: int(0.6 * file.stat().st_size)])
    source = open_bag(bag)
    got = rows(source)["q"][:, 0].tolist()
    assert got == list(range(len(got)))
    assert len(got) > 500
    assert "was cut or is damaged" in source.warnings[0]


def test_a_split_bag_whose_recorder_was_killed_has_no_metadata_and_is_one_bag(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for part in (10, 9):
        write_mcap(folder / f"run_{part}.mcap", [state(n) for n in range(5 * (part - 9), 5 * (part - 8))])
    source = open_bag(folder)
    assert rows(source)["q"][:, 0].tolist() == list(range(10))
    assert source.warnings == ["run has no metadata.yaml, so its recorder was killed: its 2 files are read as one bag"]


# what is asked for wrongly


def test_a_topic_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"no topic /arm; there are:\n  /joints  sensor_msgs/msg/JointState  1 messages"
    ):
        open_bag(write_mcap(tmp_path / "b.mcap", [state(0)]), "q: {topic: /arm, path: position}")


def test_a_topic_without_messages_is_refused(tmp_path: Path) -> None:
    bag = write_rosbag2(tmp_path / "b", [state(0), grip(0, 1.0)])
    with sqlite3.connect(next(bag.glob("*.db3"))) as database:
        database.execute("DELETE FROM messages WHERE topic_id = (SELECT id FROM topics WHERE name = '/grip')")
    database.close()
    with pytest.raises(
        StoreError, match=r"b has no message of /grip: take it out(.|\n)*/grip  std_msgs/msg/Float64  0"
    ):
        open_bag(bag, f"{Q}\ngrip: {{topic: /grip, path: data}}")


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (
            "path: positon",
            "no 'positon' in sensor_msgs/msg/JointState; its fields: header, name, position, velocity, effort",
        ),
        ("path: header.stamp.x", "no 'x' in builtin_interfaces/msg/Time; its fields: sec, nanosec"),
        ("path: position.x", "no 'x' in a list of numbers; its fields: none, it is a value"),
        ("path: header.frame_id", "a text is no number"),
        ("path: 'position[7]'", "there is no number 7 in a list of 2"),
        ("path: 'position]'", "cannot read the path 'position]'; as in pose.position.x"),
        ("path: position, joints: [a, c]", "no c here; there are: a, b"),
        ("path: position, joints: [c]", "none of the 1 messages of /joints has the joints c"),
        ("path: position, quaternion: wxyz", "has 2 numbers, which is no quaternion"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused_with_what_there_is(tmp_path: Path, field: str, message: str) -> None:
    bag = write_mcap(tmp_path / "b.mcap", [state(0)])
    with pytest.raises((ConfigError, StoreError), match=message):
        open_bag(bag, f"q: {{topic: /joints, {field}}}")


def test_a_list_that_changes_its_length_is_refused_with_its_place(tmp_path: Path) -> None:
    longer = Sent("/joints", JOINTS, START + S, joints(START + S, [1, 2, 3], names=["a", "b", "c"]))
    with pytest.raises(
        StoreError, match=r"/joints that was received at 1700000001.000000 s .*: q has 3 numbers here, 2 before"
    ):
        open_bag(write_mcap(tmp_path / "b.mcap", [state(0), longer]), "q: {topic: /joints, path: position}")


@pytest.mark.parametrize(
    ("head", "field", "message"),
    [
        ("", Q, "rate is missing: rows a second"),
        ("rate: -1", Q, "expected rows a second above 0, found -1"),
        ("rate: 10\nrat: 3", Q, "the file has no rat; there are: fields, rate"),
        ("rate: 10\nverdict: great", Q, "verdict: there is no 'great'; there are: success, failure, unknown"),
        ("rate: 10\nepisodes: {gap: 1, topic: /x}", Q, "give either gap or topic"),
        ("rate: 10\nepisodes: {topic: /x, start: go}", Q, "start and stop come together"),
        ("rate: 10\nepisodes: [", Q, "is no YAML file"),
        ("rate: 10", "q: {path: position}", "fields: q needs a topic"),
        ("rate: 10", "q: {topic: /joints}", "fields: q needs a path into the message"),
        ("rate: 10", "q: {topic: /joints, paht: position}", "fields: q has no paht; there are: topic, path"),
        ("rate: 10", "image.a: {topic: /joints, path: data}", "is a picture, which takes no path"),
        ("rate: 10", "q.time: {topic: /joints, path: position}", "the import makes this field itself"),
        (
            "rate: 10",
            "q: {topic: /joints, path: position, time: now}",
            "there is no 'now'; there are: header.stamp, receive",
        ),
        (
            "rate: 10",
            "g: {topic: /grip, path: data, time: header.stamp}",
            "/grip .std_msgs/msg/Float64. has no header.stamp",
        ),
    ],
)
def test_a_mapping_that_is_wrong_is_refused_with_what_would_be_right(
    tmp_path: Path, head: str, field: str, message: str
) -> None:
    bag = write_mcap(tmp_path / "b.mcap", [state(0), grip(0, 1.0)])
    with pytest.raises(ConfigError, match=message):
        open_bag(bag, field, head)


def test_a_bag_without_definitions_falls_back_to_those_of_ros_and_says_so(tmp_path: Path) -> None:
    source = open_bag(write_mcap(tmp_path / "b.mcap", [state(n) for n in range(3)], definitions=False))
    assert rows(source)["q"][:, 0].tolist() == [0, 1, 2]
    assert source.warnings == [
        "b.mcap does not define sensor_msgs/msg/JointState (/joints): that of ROS 2 Humble is used"
    ]


def test_a_type_that_nobody_knows_is_refused_unless_its_definition_is_given(tmp_path: Path) -> None:
    finger = make(CUSTOM, header=header(START), opening=0.04, wxyz=np.ones(4), mood="")
    bag = write_mcap(tmp_path / "b.mcap", [Sent("/finger", CUSTOM, START, finger)], definitions=False)
    field = "grip: {topic: /finger, path: opening}"
    with pytest.raises(StoreError, match=r"does not hold the definition of my_robot/msg/Finger .*definitions: FOLDER"):
        open_bag(bag, field)
    (tmp_path / "ws/my_robot/msg").mkdir(parents=True)
    (tmp_path / "ws/my_robot/msg/Finger.msg").write_text(
        "std_msgs/Header header\nfloat64 opening\nfloat64[4] wxyz\nstring mood\n"
    )
    assert rows(open_bag(bag, field, "rate: 10\ndefinitions: ws"))["grip"].tolist() == [0.04]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty: neither"),
        (b"hello, this is no bag", "begins with b'hello, t': neither"),
        (b"\x89MCAP0\r\n", "has no topics in it"),
    ],
)
def test_a_file_that_is_no_bag_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "b.mcap").write_bytes(content)
    with pytest.raises(StoreError, match=message):
        open_bag(tmp_path / "b.mcap")


def test_a_bag_of_another_encoding_is_refused(tmp_path: Path) -> None:
    from mcap.writer import Writer

    with (tmp_path / "b.mcap").open("wb") as file:
        writer = Writer(file)
        writer.start()
        writer.add_message(writer.register_channel("/joints", "protobuf", 0), 1, b"x", 1)
        writer.finish()
    with pytest.raises(StoreError, match=r"/joints are encoded as protobuf; those of ROS 2 \(cdr\) can be read"):
        open_bag(tmp_path / "b.mcap")


def test_the_same_bag_and_mapping_have_the_same_fingerprint_and_others_have_not(tmp_path: Path) -> None:
    bag = write_mcap(tmp_path / "b.mcap", [state(0), state(1)])
    other = write_mcap(tmp_path / "c.mcap", [state(0), state(2)])
    assert open_bag(bag).fingerprint == open_bag(bag, head="# the same\nrate: 10").fingerprint
    assert len({open_bag(bag).fingerprint, open_bag(bag, rate=5.0).fingerprint, open_bag(other).fingerprint}) == 3


# the verb


def test_the_verb_imports_by_a_mapping_and_says_what_was_repaired(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = write_mcap(tmp_path / "b.mcap", [state(n) for n in (0, 2, 1, 3)])
    (tmp_path / "b.yaml").write_text(f"rate: 10\nfields:\n  {Q}\n")
    store = tmp_path / "store"
    assert cli.main(["data", "import", f"from={bag}", f"mapping={tmp_path / 'b.yaml'}", f"store={store}"]) == 0
    said = capsys.readouterr().out
    assert "1 messages of /joints were out of order: sorted by capture time" in said
    assert "1 episode came in, each read back and compared: 4 steps" in said
    assert Store.open(store).episodes[0]["q"][:, 0].tolist() == [0, 1, 2, 3]


def test_without_a_mapping_the_verb_says_what_is_in_the_bag_with_a_mapping_that_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sent = [Sent("/mood", CUSTOM, START, make(CUSTOM, header=header(START), opening=0.0, wxyz=np.ones(4), mood=""))]
    for n in range(20):
        time = START + n * S // 10
        sent += [state(n, velocity=np.ones(2)), grip(n, n)]
        sent += [Sent("/front/color/image_raw", IMAGE, time, image(time, np.zeros((30, 40, 3), np.uint8), "rgb8"))]
        sent += [Sent("/front/depth/image_raw", IMAGE, time, image(time, np.zeros((30, 40), np.uint16), "16UC1"))]
    bag = write_mcap(tmp_path / "b.mcap", sent)
    assert cli.main(["data", "import", f"from={bag}", f"store={tmp_path / 'store'}"]) == 2
    said = capsys.readouterr().err
    assert "#   /joints                 sensor_msgs/msg/JointState  20  10.0 Hz" in said
    assert "  # mood: {topic: /mood, path: ?}    # my_robot/msg/Finger" in said
    (tmp_path / "b.yaml").write_text(said[said.index("\n\n") :])
    source = open_source(bag, mapping=str(tmp_path / "b.yaml"))
    assert set(source.spec.fields) - {"time", "source"} >= {"q", "dq", "grip", "image.front", "depth.front"}
    assert len(rows(source)) == 20


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_file_with_any_damage_gives_rows_or_a_sentence(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    whole = bytearray(write_mcap(folder / "b.mcap", [state(n) for n in range(20)], **data.draw(WAYS)).read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    (folder / "b.mcap").write_bytes(whole[: data.draw(st.sampled_from([len(whole), len(whole) // 2]))])
    try:
        source = open_bag(folder / "b.mcap")
    except (StoreError, ConfigError):
        return
    assert (np.diff(rows(source)["time"]) > 0).all()


def test_the_mapping_in_the_manual_imports_a_bag_that_has_its_topics(tmp_path: Path) -> None:
    manual = (Path(__file__).parents[4] / "docs/mcap.md").read_text()
    (tmp_path / "cups.yaml").write_text(manual.split("```yaml\n")[1].split("```")[0])
    names, at = ("elbow", "shoulder", "wrist"), START
    point = make("geometry_msgs/msg/Point", x=1.0, y=2.0, z=3.0)
    pose = make("geometry_msgs/msg/Pose", position=point, orientation=make(QUATERNION, x=0.0, y=0.0, z=0.0, w=1.0))
    stamped = make("geometry_msgs/msg/PoseStamped", header=header(at), pose=pose)
    png = cv2.imencode(".png", RGB[..., ::-1])[1].tobytes()
    sent = {
        "/joint_states": joints(at, [1, 2, 3], names, velocity=np.array([4.0, 5.0, 6.0])),
        "/tcp_pose": stamped,
        "/gripper": number(80.0),
        "/front/color/image_raw/compressed": compressed(at, png, "rgb8; png"),
        "/front/depth/image_raw": image(at, DEPTH, "16UC1"),
    }
    bag = write_mcap(tmp_path / "b.mcap", [Sent(topic, m.__msgtype__, at, m) for topic, m in sent.items()])
    row = rows(open_source(bag, mapping=str(tmp_path / "cups.yaml")))[0]
    assert (row["q"].tolist(), row["dq"].tolist(), row["grip"]) == ([2, 1, 3], [5, 4, 6], 0.08)
    assert row["pose"].tolist() == [1.0, 2.0, 3.0, 0.0, 0.0, 0.0, 1.0]
    assert np.array_equal(row["image.front"], RGB)
    assert row["image.front.time"] == pytest.approx(row["q.time"] - 0.021, abs=1e-9)


def test_an_import_that_was_interrupted_goes_on_with_the_next_episode(tmp_path: Path) -> None:
    head = "rate: 10\nepisodes: {gap: 2}"
    bag = write_mcap(tmp_path / "b.mcap", [state(n + 50 * part) for part in range(3) for n in range(5)])

    def stop(done: float) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_source(open_bag(bag, head=head), tmp_path / "store", stop)
    done = import_source(open_bag(bag, head=head), tmp_path / "store")
    assert (done.new, done.skipped, done.rows) == (1, 2, 15)
    firsts = [episode["q"][0, 0] for episode in Store.open(tmp_path / "store").episodes]
    assert firsts == [0, 50, 100]
