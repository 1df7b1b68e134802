"""`bench store`, part record: cameras and an arm through the real bus into the real recorder; others beside it."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

import numpy as np
import psutil

from deploy import cell
from deploy.bench.figure import Figure, count
from deploy.bench.store_scene import FILMED, film, shown
from deploy.bench.store_work import Say, disk_bytes, rival
from deploy.worker import Worker, spawn
from robot_stack.bus import SharedBus, Subscriber
from robot_stack.clock import now
from robot_stack.station import EPISODE, RECORDING, Station
from robot_stack.store import Episode, Store
from robot_stack.store.codecs import codec
from robot_stack.store.codecs.similarity import psnr, ssim
from robot_stack.store.store import CODEC
from robot_stack.types import RobotStackError

CAMERAS = ("front", "wrist", "side")
CODECS = (CODEC, *(name for name in ("jpeg", "zstd", "lz4") if name != CODEC))
STARTING = 60.0
"""Publishers and recorder must be up in this time, and the commit done [s]."""

_COMPARED = 12  # pictures of each camera that are compared with what was filmed
_SETTLING = 1.0  # [s]


@dataclass(frozen=True)
class Session:
    """One recording. truth: topic -> when its messages were captured, and when they were sent (n, 2) [s]. cpu: the
    recorder's time of a core while it recorded; committing: until the episode was in the store, of which it computed
    `commit_cpu` [s]."""

    episode: Episode
    truth: dict[str, np.ndarray[Any, Any]]
    seconds: float
    cpu: float
    committing: float
    commit_cpu: float


def measure(config: Mapping[str, Any], folder: Path, say: Say) -> list[Figure]:
    """All recording codecs, then LeRobot's recorder and a zarr v2 buffer on the same pictures."""
    size = tuple(config["picture"])
    station = Station("bench", 6, dict.fromkeys(CAMERAS, size), rate=FILMED, control_rate=500.0)
    say("filming")
    pictures = film(len(CAMERAS), size)
    np.save(folder / "film.npy", pictures)
    figures: list[Figure] = []
    for name in CODECS:
        seconds = float(config["record_seconds"] if name == CODEC else config["codec_seconds"])
        say(f"recording {seconds:.0f} s in {name}")
        recorded = record(folder / name, station, folder / "film.npy", name, seconds)
        figures += _judged(name, recorded, pictures)
    rows = round(FILMED * config["rival_seconds"])
    for way in ("default", "streaming"):
        say(f"LeRobot, {way}: {rows / FILMED:.0f} s")
        figures += _lerobot(way, rival("record_lerobot", folder, film=str(folder / "film.npy"), rows=rows, way=way))
    say("zarr v2 buffer")
    figures += _zarr(rival("record_zarr", folder, film=str(folder / "film.npy"), rows=rows))
    return figures


def record(folder: Path, station: Station, film: Path, codec: str, seconds: float) -> Session:
    """One episode through the real path."""
    session = f"bench-store-{token_hex(4)}"
    (folder / "truth").mkdir(parents=True)
    here = cell.to_json(station)
    config = {"station": here, "robot": "ur5e", "store": str(folder / "store"), "codec": codec}
    attrs = {"kind": "collect", "task": "bench"}
    with SharedBus(session) as bus:
        answers, wanted = bus.subscriber(RECORDING), bus.publisher(EPISODE)
        with (
            _worker(
                "deploy.bench.store_cell:publish",
                session,
                {"station": here, "film": str(film), "truth": str(folder / "truth")},
                folder,
            ) as publisher,
            _worker("recorder", session, {**config, "attrs": attrs}, folder) as recorder,
        ):
            workers = (publisher, recorder)
            _until(answers, lambda answer: True, workers)
            control = bus.subscriber(station.control)
            _until(control, lambda message: message["tick"] > 0, workers)
            _sleep(_SETTLING, workers)
            os.sync()  # what was written before is not to be paid for now
            wanted.send(EPISODE.spec.record(time=now(), number=1, recording=1, verdict=-1))
            _until(answers, lambda answer: answer["rows"] > 0, workers)
            before = _cpu(recorder)
            _sleep(seconds, workers)
            after, ended = _cpu(recorder), now()
            wanted.send(EPISODE.spec.record(time=now(), number=1, recording=0, verdict=1))
            _until(answers, lambda answer: answer["committed"] == 1, workers)
            committing, committed = now() - ended, _cpu(recorder)
    (episode,) = Store.open(folder / "store").episodes
    truth = {path.stem: np.load(path) for path in (folder / "truth").glob("*.npy")}
    return Session(episode, truth, seconds, after - before, committing, committed - after)


def rows_missed(episode: Episode) -> int:
    """Deadlines of rows that went by: those that the recorder says, or those that the times show."""
    periods = np.rint(np.diff(episode["time"]) * episode.attrs["rate"]).astype(int)
    return max(int(episode.attrs["missed"]), int((periods - 1).sum()))


def messages_lost(session: Session) -> int:
    """Messages of the arm, the gripper and the cameras that were published during the episode and are not in it."""
    first, last = session.episode["time"][[0, -1]]
    lost = 0
    for topic, messages in session.truth.items():
        times = messages[:, 0]
        published = times[(times >= first) & (times <= last)]
        lost += len(np.setdiff1d(published, session.episode.stream(topic)[:, 0]))
    return lost


def rows_misaligned(session: Session) -> int:
    """Rows of which a picture is not the newest that was captured at or before their time.

    The recorder makes a row when its time comes: a picture that was captured before and sent after may be in it or not.
    """
    rows, wrong = session.episode["time"], np.zeros(len(session.episode), bool)
    for topic, messages in session.truth.items():
        if topic.startswith("camera."):
            captured, sent = messages.T
            newest = np.searchsorted(captured, rows, side="right") - 1
            known = np.minimum(newest, np.searchsorted(sent, rows, side="right") - 1)
            used = np.searchsorted(captured, session.episode[f"image.{topic.removeprefix('camera.')}.time"])
            wrong |= (used < known) | (used > newest)
    return int(wrong.sum())


def likeness(session: Session, pictures: np.ndarray[Any, Any]) -> tuple[float, float]:
    """SSIM, and PSNR [dB], of pictures as they are read back with those that were filmed; worst camera."""
    found = []
    for place, name in enumerate(CAMERAS[: pictures.shape[1]]):
        times, pairs = session.truth[f"camera.{name}"][:, 0], []
        for row in np.linspace(0, len(session.episode) - 1, _COMPARED).astype(int).tolist():
            sequence = np.searchsorted(times, session.episode.read(f"image.{name}.time", row, row + 1)[0])
            original = pictures[shown(int(sequence), len(pictures)), place]
            stored = session.episode.read(f"image.{name}", row, row + 1)[0]
            pairs.append((ssim(stored, original), psnr(stored, original)))
        found.append(np.mean(pairs, axis=0))
    return float(min(one[0] for one in found)), float(min(one[1] for one in found))


def _judged(name: str, session: Session, pictures: np.ndarray[Any, Any]) -> list[Figure]:
    """Figures of one recording; only the default codec promises that nothing is lost at this size and rate."""
    what, none = f"record {name}, {session.seconds:.0f} s", 0 if name == CODEC else None
    similarity, lossless = likeness(session, pictures), codec(name).lossless
    figures = [
        count(f"{what}: rows missed", rows_missed(session.episode), none),
        count(f"{what}: messages lost", messages_lost(session), none),
        count(f"{what}: misaligned rows", rows_misaligned(session), 0),
        Figure(f"{what}: CPU, of one core", {"": session.cpu / session.seconds}, "%"),
        Figure(f"{what}: a row computes", {"": session.cpu / len(session.episode)}, "ms"),
        Figure(f"{what}: commit", {"takes": session.committing, "computes": session.commit_cpu}, "s"),
        Figure(f"{what}: on disk", {"": disk_bytes(session.episode.path) / session.seconds}, "MB/min"),
        Figure(f"{what}: SSIM", {"": similarity[0]}, "", "1" * lossless, similarity[0] == 1.0 if lossless else None),
    ]
    return figures if lossless else [*figures, Figure(f"{what}: PSNR", {"": similarity[1]}, "dB")]


def _lerobot(way: str, done: dict[str, Any]) -> list[Figure]:
    what = f"record LeRobot {way}, {done['rows'] / FILMED:.0f} s"
    return [
        count(f"{what}: rows missed", done["missed"]),
        count(f"{what}: frames dropped by its encoder", done["dropped"]),
        Figure(f"{what}: a row", {"p50": done["p50"], "p99": done["p99"], "max": done["max"]}, "ms"),
        Figure(f"{what}: CPU with saving, of one core", {"": done["cpu"] * FILMED / done["rows"]}, "%"),
        Figure(f"{what}: save_episode", {"": done["save"]}, "s"),
        Figure(f"{what}: on disk", {"": done["bytes"] * FILMED / done["rows"]}, "MB/min"),
        Figure(f"{what}: SSIM", {"": done["ssim"]}, ""),
        Figure(f"{what}: PSNR", {"": done["psnr"]}, "dB"),
    ]


def _zarr(done: dict[str, Any]) -> list[Figure]:
    what = "record zarr v2, appended"
    return [
        Figure(f"{what}: a row", {"p50": done["p50"], "p99": done["p99"], "max": done["max"]}, "ms"),
        Figure(f"{what}: rows a second", {"": done["rows"] / done["busy"]}, ""),
        Figure(f"{what}: CPU for 30 rows/s, of one core", {"": done["cpu"] * FILMED / done["rows"]}, "%"),
        Figure(f"{what}: on disk", {"": done["bytes"] * FILMED / done["rows"]}, "MB/min"),
    ]


@contextmanager
def _worker(kind: str, session: str, config: Mapping[str, Any], folder: Path) -> Iterator[Worker]:
    worker = spawn(kind, session, config, folder, name=kind.rpartition(":")[2])
    try:
        yield worker
    finally:
        worker.stop(timeout=STARTING)


def _cpu(worker: Worker) -> float:
    """Time of a core that it took so far [s]."""
    times = psutil.Process(worker.pid).cpu_times()
    return float(times.user + times.system)


def _sleep(seconds: float, workers: tuple[Worker, ...]) -> None:
    end = now() + seconds
    while now() < end:
        _check(workers)
        time.sleep(max(0.0, min(0.2, end - now())))


def _until(subscriber: Subscriber, arrived: Any, workers: tuple[Worker, ...]) -> None:
    end = now() + STARTING
    while now() < end:
        if any(arrived(message) for message in subscriber.drain()):
            return
        _check(workers)
        time.sleep(0.01)
    raise RobotStackError(f"bench waited {STARTING:.0f} s in vain for {' and '.join(w.name for w in workers)}")


def _check(workers: tuple[Worker, ...]) -> None:
    for worker in workers:
        if not worker.alive:
            raise RobotStackError(f"{worker.name} ended with code {worker.exitcode}:\n{worker.log_tail()}")
