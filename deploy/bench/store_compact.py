"""`bench store`, part compact: what a store takes as AV1, and what LeRobot's default makes of the same pictures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.bench.figure import Figure
from deploy.bench.store_scene import FILMED, FRAMES, film, shown
from deploy.bench.store_work import Say, disk_bytes, rival
from robot_stack.clock import now
from robot_stack.spec import Field, Spec
from robot_stack.store import Episode, Store
from robot_stack.store.codecs.similarity import psnr, ssim
from robot_stack.store.compact import compact
from robot_stack.store.store import CODEC

IMAGE = "image.front"
_COMPARED = 20  # pictures
_READS = 100  # of two pictures


def measure(config: Mapping[str, Any], folder: Path, say: Say) -> list[Figure]:
    """From a store recorded in the default codec, which is what happens, and from one in zstd.

    LeRobot encodes the pictures that are in the store, and both are compared with those: what jpeg lost before, it has
    lost for both. With zstd nothing was lost, and they are what the camera saw.
    """
    size, rows = tuple(config["picture"]), int(config["compact_rows"])
    say("filming")
    pictures = film(1, size)[shown(np.arange(rows), FRAMES), 0]
    at = np.random.default_rng(5).integers(1, rows, _READS).tolist()
    figures = []
    for codec in (CODEC, "zstd"):
        say(f"compacting a store recorded in {codec}, and LeRobot's default encoding of it")
        figures += _compared(folder / codec, codec, pictures, at)
    return figures


def _compared(folder: Path, codec: str, pictures: NDArray[np.uint8], at: list[int]) -> list[Figure]:
    """One store before and after, and LeRobot's video of its pictures. at: rows up to which two pictures are read."""
    folder.mkdir()
    path, what, rows = folder / "store", f"compact, recorded in {codec}", len(pictures)
    _record(path, codec, pictures)
    (recorded,) = Store.open(path).episodes
    stored = recorded[IMAGE]
    before = disk_bytes(recorded.path / IMAGE)
    every = max(1, rows // _COMPARED)
    np.save(folder / "film.npy", stored[:, None])
    theirs = rival("encode_lerobot", folder, film=str(folder / "film.npy"), rows=rows, every=every, at=at)
    began = now()
    with Store.open(path) as store:
        compact(store, "av1")
    took = now() - began
    (episode,) = Store.open(path).episodes
    after, similarity = disk_bytes(episode.path / IMAGE), _likeness(episode, stored, every)
    times = [_read(episode, row) for row in at]
    return [
        Figure(f"{what}: a picture before", {"": before / rows}, "kB"),
        _at_most(f"{what}: a picture", after / rows, theirs["bytes"] / rows),
        _at_least(f"{what}: SSIM", similarity[0], theirs["ssim"]),
        Figure(f"{what}: PSNR", {"": similarity[1], "LeRobot": theirs["psnr"]}, "dB"),
        Figure(f"{what}: SSIM with what the camera saw", {"": _likeness(episode, pictures, every)[0]}, ""),
        Figure(f"{what}: compacting, a picture", {"": took / rows}, "ms"),
        Figure(f"{what}: two pictures at random", {"": float(np.median(times))}, "ms"),
        *(
            Figure(f"{what}: two pictures at random, LeRobot {name}", {"": float(np.median(cost))}, "ms")
            for name, cost in theirs["costs"].items()
        ),
    ]


def _record(path: Path, codec: str, pictures: NDArray[np.uint8]) -> None:
    spec = Spec([Field("time", unit="s"), Field(IMAGE, pictures.shape[1:], "u1")])
    with Store.create(path, spec, {"name": "bench", "rate": FILMED}, codec) as store:
        writer = store.writer({"kind": "collect", "task": "bench"})
        for row, picture in enumerate(pictures):
            record = spec.record(time=row / FILMED)
            record[IMAGE] = picture
            writer.append(record)
        writer.commit("success")


def _likeness(episode: Episode, pictures: NDArray[np.uint8], every: int) -> tuple[float, float]:
    """SSIM, and PSNR [dB]."""
    pairs = []
    for row in range(0, len(episode), every):
        stored = episode.read(IMAGE, row, row + 1)[0]
        pairs.append((ssim(stored, pictures[row]), psnr(stored, pictures[row])))
    mean = np.mean(pairs, axis=0)
    return float(mean[0]), float(mean[1])


def _read(episode: Episode, row: int) -> float:
    """Two pictures, up to a row [s]."""
    began = now()
    episode.read(IMAGE, row - 1, row + 1)
    return now() - began


def _at_most(what: str, value: float, limit: float) -> Figure:
    return Figure(what, {"": value}, "kB", f"<= {limit * 1e-3:.3g} kB (LeRobot)", value <= limit)


def _at_least(what: str, value: float, limit: float) -> Figure:
    return Figure(what, {"": value}, "", f">= {limit:.4f} (LeRobot)", value >= limit)
