"""Every codec gives back what it should, the right frame at the right place, and never damage as a picture."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from robot_stack.realtime import no_gain_of_priority
from robot_stack.spec import Field
from robot_stack.store import codecs
from robot_stack.store.codecs import checksum, mp4, video
from robot_stack.store.codecs.depth import DEPTH
from robot_stack.store.codecs.similarity import psnr, ssim
from robot_stack.types import ConfigError, StoreError

VIDEO = Path(__file__).parents[3].parent / "shared/data/hand_video_dexretargeting/human_hand_video.mp4"
LOSSLESS = ("zstd", "lz4", "depth")
LOSSY = ("jpeg", "av1", "h264")
BITS = 6
"""Frames carry their number as so many black or white blocks along their top edge."""

few = settings(max_examples=12, deadline=None)
sizes = st.tuples(st.integers(24, 60).map(lambda n: 2 * n), st.integers(24, 60).map(lambda n: 2 * n))


def picture(number, height, width, seed=0):
    """A smooth scene with edges and a little sensor noise that moves from frame to frame and carries its number."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    colours = random.uniform(0, 255, (3, 3))
    shade = (x[..., None] * colours[0] / width + y[..., None] * colours[1] / height) / 2
    centre = (width // 2 + 2 * number % 7, height // 2)
    scene = np.ascontiguousarray(np.clip(shade, 0, 255).astype(np.uint8))
    cv2.circle(scene, centre, height // 5, colours[2].tolist(), -1)
    noisy = scene + np.random.default_rng(number).normal(0, 1, scene.shape)
    for bit in range(BITS):
        noisy[: height // 4, bit * width // BITS : (bit + 1) * width // BITS] = 255 * (number >> bit & 1)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def number_of(frame):
    height, width = frame.shape[:2]
    blocks = (frame[: height // 4, bit * width // BITS : (bit + 1) * width // BITS].mean() for bit in range(BITS))
    return sum((block > 127) << bit for bit, block in enumerate(blocks))


def film(frames, height=64, width=96, first=0, seed=0):
    return np.stack([picture(first + number, height, width, seed) for number in range(frames)])


def field(array):
    return Field("image.front", array.shape[1:], array.dtype.str)


def decoded(codec, chunk, like, first=0):
    out = np.zeros_like(like)
    codec.decode_into(chunk, out, first)
    return out


arrays = st_numpy.arrays(
    st.sampled_from(["u1", "i1", "<u2", "<i4", "<f4", "<f8", "?"]).map(np.dtype),
    st_numpy.array_shapes(min_dims=1, max_dims=4, max_side=12),
)


@pytest.mark.parametrize("name", LOSSLESS)
@given(array=arrays)
@few
def test_lossless_gives_back_every_bit_of_any_array(name, array):
    codec = codecs.codec(name)
    codec.check(field(array[None]))
    out = decoded(codec, codec.encode(array[None]), array[None])
    assert out.tobytes() == array.tobytes()


@pytest.mark.parametrize(("name", "stored"), [("zstd", b"\x02\x01\x13\x01"), ("lz4", b"\x02\x01\x33\x01")])
def test_lossless_chunks_begin_as_those_of_stores_that_exist(name, stored):
    codec = codecs.codec(name)
    chunk = codec.encode(film(1))
    assert chunk[:2] == stored[:2]
    assert chunk[3] == 1
    configuration = codec.metadata(field(film(1)))[1]["configuration"]
    assert configuration == {"typesize": 1, "blocksize": 0, "cname": name, "clevel": 1, "shuffle": "noshuffle"}


@pytest.mark.parametrize(("name", "floor", "decibels"), [("jpeg", 0.9, 34), ("av1", 0.75, 25), ("h264", 0.75, 25)])
@given(size=sizes, seed=st.integers(0, 1000))
@few
def test_lossy_is_near_any_picture_even_a_tiny_noisy_one(name, floor, decibels, size, seed):
    codec = codecs.codec(name)
    frames = film(codec.group, *size, seed=seed)
    out = decoded(codec, codec.encode(frames), frames)
    assert min(map(ssim, frames, out)) > floor
    assert min(map(psnr, frames, out)) > decibels


@pytest.mark.skipif(not VIDEO.exists(), reason="no ../shared/data here")
@pytest.mark.parametrize(("name", "floor"), [("jpeg", 0.98), ("av1", 0.975), ("h264", 0.97)])
def test_lossy_is_near_a_real_picture(name, floor):
    codec = codecs.codec(name)
    capture = cv2.VideoCapture(str(VIDEO))
    real = [cv2.resize(capture.read()[1], (320, 240), interpolation=cv2.INTER_AREA) for _ in range(codec.group)]
    capture.release()
    frames = np.stack(real)[..., ::-1]
    assert np.mean([*map(ssim, frames, decoded(codec, codec.encode(frames), frames))]) > floor


@pytest.mark.parametrize("name", LOSSY)
@given(data=st.data())
@few
def test_the_right_frame_is_at_the_right_index_of_a_chunk_that_may_be_the_last(name, data):
    codec = codecs.codec(name)
    length = data.draw(st.integers(1, codec.group))
    first = data.draw(st.integers(0, length - 1))
    count = data.draw(st.integers(1, length - first))
    start = data.draw(st.integers(0, 40))
    frames = film(length, first=start)
    out = decoded(codec, codec.encode(frames), frames[:count], first)
    assert [*map(number_of, out)] == [start + first + index for index in range(count)]


@pytest.mark.parametrize("name", ["av1", "h264"])
@pytest.mark.parametrize("group", [1, 2, 8, 30])
def test_a_group_of_any_length_decodes_to_its_own_frames(name, group):
    codec = video.Video(name, group, 30, codecs.codec(name).preset)
    frames = film(group)
    chunk = codec.encode(frames)
    assert len(video.packets(chunk)) == group
    assert [*map(number_of, decoded(codec, chunk, frames))] == [*range(group)]


@pytest.mark.parametrize("name", codecs.NAMES)
def test_the_same_frames_give_the_same_bytes_and_the_same_pixels(name):
    codec = codecs.codec(name)
    frames = film(codec.group)
    chunk = codec.encode(frames)
    assert codec.encode(frames) == chunk
    assert np.array_equal(decoded(codec, chunk, frames), decoded(codec, bytearray(chunk), frames))
    assert np.array_equal(decoded(codec, chunk, frames), decoded(codec, memoryview(chunk), frames))


@pytest.mark.parametrize("name", LOSSY)
@given(data=st.data())
@few
def test_a_changed_or_lost_byte_is_an_error_and_never_a_picture(name, data):
    codec = codecs.codec(name)
    frames = film(codec.group)
    chunk = codec.encode(frames)
    place = data.draw(st.integers(0, len(chunk) - 1))
    changed = bytearray(chunk)
    changed[place] ^= data.draw(st.integers(1, 255))
    for bad in (bytes(changed), chunk[:place], chunk + b"\0", b""):
        with pytest.raises(StoreError, match="damaged"):
            decoded(codec, bad, frames)


@pytest.mark.parametrize("name", LOSSY)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_damage_under_a_right_checksum_is_an_error_or_a_picture_and_never_a_crash(name, data):
    codec = codecs.codec(name)
    frames = film(codec.group)
    content = bytearray(codec.encode(frames)[:-4])
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        out = decoded(codec, checksum.seal(bytes(content)), frames)
    except StoreError:
        return
    assert out.shape == frames.shape


@pytest.mark.parametrize("name", LOSSY)
@given(content=st.binary(max_size=200))
@few
def test_a_chunk_that_was_never_a_picture_is_an_error(name, content):
    codec = codecs.codec(name)
    with pytest.raises(StoreError):
        decoded(codec, checksum.seal(content), film(codec.group))


@pytest.mark.parametrize("name", LOSSLESS)
@given(data=st.data())
@few
def test_a_lossless_chunk_that_is_cut_short_is_an_error(name, data):
    codec = codecs.codec(name)
    chunk = codec.encode(film(1))
    with pytest.raises(StoreError, match="damaged"):
        decoded(codec, chunk[: data.draw(st.integers(0, len(chunk) - 1))], film(1))


@pytest.mark.parametrize("name", LOSSY)
def test_pictures_of_another_size_or_number_are_an_error(name):
    codec = codecs.codec(name)
    chunk = codec.encode(film(codec.group))
    for height in (48, 80):
        with pytest.raises(StoreError, match=f"64x96, expected {height}x96"):
            decoded(codec, chunk, film(codec.group, height=height))
    with pytest.raises(StoreError):
        decoded(codec, chunk, film(1), first=codec.group)


@given(content=st.lists(st.binary(max_size=50), min_size=1, max_size=40))
@few
def test_packets_of_a_chunk_of_packets_are_those_packets(content):
    assert video.packets(video.from_packets(content)) == content


@pytest.mark.parametrize("name", ["av1", "h264"])
def test_a_chunk_of_the_packets_of_a_chunk_is_that_chunk(name):
    chunk = codecs.codec(name).encode(film(3))
    assert video.from_packets(video.packets(chunk)) == chunk


@pytest.mark.parametrize("name", ["av1", "h264"])
@pytest.mark.parametrize("shape", [(63, 64, 3), (64, 63, 3), (6, 64, 3), (64, 64, 1), (64, 64), (64, 64, 4)])
def test_video_refuses_what_it_cannot_hold_before_anything_is_recorded(name, shape):
    with pytest.raises(ConfigError, match=r"image.front is uint8.*choose jpeg or zstd"):
        codecs.codec(name).check(Field("image.front", shape, "u1"))


def test_jpeg_refuses_what_is_no_picture():
    for shape, dtype in [((64, 64), "u1"), ((64, 64, 3), "u2"), ((70_000, 8, 3), "u1")]:
        with pytest.raises(ConfigError, match="choose zstd"):
            codecs.codec("jpeg").check(Field("x", shape, dtype))


@pytest.mark.parametrize("shape", [(8, 8, 3), (16, 34, 3), (96, 96, 3), (97, 63, 3)])
@pytest.mark.parametrize("name", LOSSY)
def test_small_and_odd_pictures_are_held_or_refused_never_lost(name, shape):
    codec = codecs.codec(name)
    frames = np.full((codec.group, *shape), 200, np.uint8)
    try:
        codec.check(Field("image.front", shape, "u1"))
    except ConfigError:
        assert name != "jpeg"
        assert shape == (97, 63, 3)
    else:
        assert np.abs(decoded(codec, codec.encode(frames), frames).astype(int) - 200).max() < 4


def test_a_name_that_does_not_exist_is_answered_with_those_that_do():
    with pytest.raises(ConfigError, match="no image codec 'webp'; there are: zstd, lz4, depth, jpeg, av1, h264"):
        codecs.codec("webp")


def test_a_field_goes_into_the_codec_that_suits_it():
    av1 = codecs.codec("av1")
    assert codecs.for_field(Field("image.front", (240, 320, 3), "u1"), av1) is av1
    assert codecs.for_field(Field("depth", (240, 320), "u2"), av1) is DEPTH
    assert codecs.for_field(Field("depth", (240, 320, 1), "u2"), av1) is DEPTH
    assert codecs.for_field(Field("grey", (240, 320, 1), "u1"), av1).name == "zstd"
    assert codecs.for_field(Field("mask", (240, 320), "?"), codecs.codec("lz4")).name == "lz4"


@pytest.mark.parametrize("name", codecs.NAMES)
def test_metadata_names_the_codec_that_reads_it(name):
    codec = codecs.codec(name)
    frames = film(codec.group) if name != "depth" else film(1)[..., 0].astype("<u2")
    metadata = json.loads(json.dumps(codec.metadata(field(frames))))
    found = codecs.from_metadata(metadata, (codec.group, *frames.shape[1:]), frames.dtype)
    assert found is not None
    assert (found.group, found.lossless) == (codec.group, codec.lossless)
    assert np.array_equal(decoded(found, codec.encode(frames), frames), decoded(codec, codec.encode(frames), frames))
    assert found.metadata(field(frames)) == metadata


def test_metadata_of_others_is_left_to_the_zarr_library():
    zstd = codecs.codec("zstd").metadata(field(film(1)))
    big = [{"name": "bytes", "configuration": {"endian": "big"}}, zstd[1]]
    shape, byte, wide = (1, 64, 96, 3), np.dtype("u1"), np.dtype("u2")
    assert codecs.from_metadata(zstd, (2, 64, 96, 3), byte) is None
    assert codecs.from_metadata(big, shape, wide) is None
    assert codecs.from_metadata([{"name": "bytes"}, {"name": "gzip"}], shape, byte) is None
    assert codecs.from_metadata([{"name": "imagecodecs_jpeg"}, {"name": "crc32c"}], shape, byte) is None
    for name in LOSSY:
        metadata = codecs.codec(name).metadata(field(film(1)))
        assert codecs.from_metadata(metadata[:1], shape, byte) is None
        assert codecs.from_metadata(metadata, shape, wide) is None
        assert codecs.from_metadata(metadata, shape[:3], byte) is None


READ_BY_ZARR = """
import sys
sys.modules.update({name: None for name in sys.argv[2:]})
import numpy as np, zarr
if "robot_stack" in sys.argv:  # not installed: without its entry point, and imagecodecs asked to register its own
    import imagecodecs.zarr, zarr.registry
    zarr.registry._codec_registries["imagecodecs_jpeg"].lazy_load_list.clear()
    imagecodecs.zarr.register_codecs()
np.save(sys.argv[1] + ".npy", zarr.open_array(sys.argv[1], mode="r")[:])
"""


def write_array(path, codec, frames):
    """A zarr v3 array of one file a chunk, as FORMAT.md describes it."""
    path.mkdir()
    for number in range(0, len(frames), codec.group):
        (path / f"c.{number // codec.group}.0.0.0").write_bytes(codec.encode(frames[number : number + codec.group]))
    content = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": frames.shape,
        "data_type": "uint8",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [codec.group, *frames.shape[1:]]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
        "fill_value": 0,
        "codecs": codec.metadata(field(frames)),
        "attributes": {},
    }
    (path / "zarr.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("name", "absent"),
    [("jpeg", ()), ("jpeg", ("imagecodecs",)), ("jpeg", ("robot_stack",)), ("av1", ()), ("h264", ())],
)
def test_the_zarr_library_reads_the_same_pixels_from_a_chunk_that_is_not_full_too(tmp_path, name, absent):
    if name == "jpeg" and "imagecodecs" not in absent:
        pytest.importorskip("imagecodecs")
    codec, frames = codecs.codec(name), film(4)
    write_array(tmp_path / "a", codec, frames)
    without = [sys.executable, "-W", "error", "-c", READ_BY_ZARR, str(tmp_path / "a"), *absent]
    subprocess.run(without, check=True, timeout=60)
    ours = np.concatenate(
        [decoded(codec, codec.encode(part), part) for part in np.split(frames, range(codec.group, 4, codec.group))]
    )
    assert np.array_equal(np.load(tmp_path / "a.npy"), ours)


@pytest.mark.parametrize("name", LOSSY)
def test_the_zarr_library_writes_what_this_package_reads(tmp_path, name):
    import zarr
    from zarr.core.metadata.v3 import parse_codecs

    codec, frames = codecs.codec(name), film(3)
    serializer, *rest = parse_codecs(codec.metadata(field(frames)))
    chunks = (codec.group, *frames.shape[1:])
    array = zarr.create_array(
        tmp_path / "a", shape=frames.shape, chunks=chunks, dtype="u1", serializer=serializer, compressors=rest
    )
    array[:] = frames
    assert [*map(number_of, array[:])] == [0, 1, 2]
    chunk = (tmp_path / "a/c/0/0/0/0").read_bytes()
    assert number_of(decoded(codec, chunk, frames[:1])[0]) == 0


def test_importing_the_codecs_imports_nothing_that_only_some_of_them_need():
    code = "import json, sys, robot_stack.store.codecs; print(json.dumps(list(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60).stdout
    assert not {"av", "cv2", "zarr", "numcodecs", "imagecodecs"} & set(json.loads(loaded))


def test_video_without_pyav_says_what_to_install():
    code = """
import sys
sys.modules["av"] = None
from robot_stack.spec import Field
from robot_stack.store import codecs
try:
    codecs.codec("av1").check(Field("image.front", (64, 64, 3), "u1"))
except codecs.ConfigError as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60).stdout
    assert "PyAV" in said
    assert "pip install av" in said


def test_chunks_of_another_program_can_be_read_and_not_made():
    theirs = video.Video("av1", 2, None, None)
    chunk = video.Video("av1", 2, 30, "12").encode(film(2))
    assert [*map(number_of, decoded(theirs, chunk, film(2)))] == [0, 1]
    with pytest.raises(ConfigError, match="another program"):
        theirs.encode(film(2))


def write_mp4(path, frames, encoder, **options):
    """A video as another program, LeRobot's recorder for one, writes it."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream(encoder, 30, options=options)
        stream.pix_fmt, stream.height, stream.width = "yuv420p", *frames.shape[1:3]
        with no_gain_of_priority():
            container.start_encoding()
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode())


def read_mp4(path):
    """All frames of a video by FFmpeg's own reader (n, h, w, 3)."""
    import av

    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


@pytest.mark.parametrize(
    ("encoder", "options", "lengths"),
    [
        ("libsvtav1", {"g": "2", "crf": "30", "preset": "12"}, [2, 2, 2, 1]),  # as LeRobot 0.6.1
        ("libx264", {"g": "2", "crf": "23"}, [2, 2, 2, 1]),
        ("libx264", {"g": "5", "crf": "23", "bf": "2"}, [5, 2]),  # its packets are not in the order of the frames
    ],
)
def test_a_video_of_another_program_becomes_chunks_without_being_encoded_again(tmp_path, encoder, options, lengths):
    write_mp4(tmp_path / "a.mp4", film(7), encoder, **options)
    name, groups = mp4.read(tmp_path / "a.mp4")
    groups = list(groups)
    assert [len(group.packets) for group in groups] == lengths
    assert np.allclose(np.concatenate([group.times for group in groups]), np.arange(7) / 30, atol=1e-4)
    codec = video.Video(name, max(lengths), None, None)
    out = [decoded(codec, video.from_packets(g.packets), film(len(g.packets))) for g in groups]
    assert [*map(number_of, np.concatenate(out))] == [*range(7)]
    assert np.abs(np.concatenate(out).astype(int) - read_mp4(tmp_path / "a.mp4")).max() < 8  # swscale rounds coarser
    last = video.from_packets(groups[0].packets)
    assert number_of(decoded(codec, last, film(1), first=lengths[0] - 1)[0]) == lengths[0] - 1


@pytest.mark.parametrize("name", ["av1", "h264"])
def test_chunks_become_an_mp4_file_and_come_back_as_the_same_pixels(tmp_path, name):
    codec = codecs.codec(name)
    parts = [film(3), film(3, first=3), film(1, first=6)]
    chunks = [codec.encode(part) for part in parts]
    mp4.write(tmp_path / "a.mp4", name, map(video.packets, chunks), 30)
    assert [*map(number_of, read_mp4(tmp_path / "a.mp4"))] == [*range(7)]
    found, groups = mp4.read(tmp_path / "a.mp4")
    assert found == name
    for part, chunk, group in zip(parts, chunks, groups, strict=True):
        assert np.array_equal(decoded(codec, video.from_packets(group.packets), part), decoded(codec, chunk, part))


def test_a_file_that_is_no_video_of_ours_is_an_error(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"nothing of the kind")
    write_mp4(tmp_path / "b.mp4", film(2), "mpeg4")
    for path, said in [("a.mp4", "cannot be read"), ("none.mp4", "cannot be read"), ("b.mp4", "encoded again")]:
        with pytest.raises(StoreError, match=said):
            mp4.read(tmp_path / path)


@given(a=st.integers(0, 255), b=st.integers(0, 255))
@few
def test_similarity_of_flat_pictures_is_its_closed_form(a, b):
    flat = [np.full((16, 20, 3), value, np.uint8) for value in (a, b)]
    c1 = 2.55**2
    assert ssim(*flat) == pytest.approx((2 * a * b + c1) / (a * a + b * b + c1))


def test_similarity_is_one_for_equals_symmetric_and_falls_with_noise():
    frame = picture(5, 64, 96)
    noise = np.random.default_rng(0).normal(0, 1, frame.shape)
    worse, worst = (np.clip(frame + scale * noise, 0, 255).astype(np.uint8) for scale in (4, 16))
    assert ssim(frame, frame) == pytest.approx(1)
    assert psnr(frame, frame) == float("inf")
    assert ssim(frame, worse) == pytest.approx(ssim(worse, frame))
    assert ssim(frame, frame) > ssim(frame, worse) > ssim(frame, worst)
    assert psnr(np.zeros((11, 11), np.uint8), np.full((11, 11), 255, np.uint8)) == pytest.approx(0)


def test_similarity_of_one_window_is_the_formula_of_the_paper():
    x, y = np.random.default_rng(1).integers(0, 256, (2, 11, 11), dtype=np.uint8)
    offsets = np.arange(11) - 5
    weights = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
    weights /= weights.sum()
    mean_x, mean_y = (weights * x).sum(), (weights * y).sum()
    dx, dy = x - mean_x, y - mean_y
    c1, c2 = 2.55**2, 7.65**2
    means = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    spread = (weights * (dx**2 + dy**2)).sum() + c2
    assert ssim(x, y) == pytest.approx(means * (2 * (weights * dx * dy).sum() + c2) / spread)
