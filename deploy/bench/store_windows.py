"""`bench store`, part windows: random windows for training, straight and from the cache, beside what others read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from deploy.bench.figure import Figure
from deploy.bench.store_scene import FILMED, film, motion, shown
from deploy.bench.store_work import Say, disk_bytes, ratio, rival
from robot_stack.clock import now
from robot_stack.spec import Field, Spec
from robot_stack.store import Store
from robot_stack.store.cache import FrameCache
from robot_stack.store.frames import Decoded

SPEED, NO_SLOWER, CACHED = 2.0, 1.0, 10.0
"""Targets: straight against LeRobot; straight against zarr v2; through the cache against LeRobot."""

CODECS = ("jpeg", "zstd")
CAMERAS = ("image.front", "image.wrist")
SEED = 3

Rates = dict[str, list[float]]


def measure(config: Mapping[str, Any], folder: Path, say: Say) -> list[Figure]:
    """Windows a second of all ways; the ratios that have targets are of pairs measured one after the other."""
    size, episodes, rows = tuple(config["small_picture"]), int(config["window_episodes"]), int(config["window_rows"])
    say("filming, and writing stores")
    pictures = film(len(CAMERAS), size)
    np.save(folder / "film.npy", pictures)
    stores = {codec: str(_store(folder / f"store-{codec}", codec, pictures, episodes, rows)) for codec in CODECS}
    sets: dict[str, Any] = {"film": str(folder / "film.npy"), "into": str(folder), "episodes": episodes, "rows": rows}
    say("writing LeRobot's data set and the zarr v2 buffer")
    rival("make_sets", folder, **sets)
    built = _fill(Path(stores["jpeg"]), folder / "cache")
    figures = [
        Figure(f"windows: {episodes * rows} rows as {n}", {"": b}, "MB") for n, b in _sizes(folder, stores).items()
    ]
    figures.append(Figure("windows: building the cache, two pictures", {"": built / (episodes * rows)}, "ms"))
    for workers, called in ((0, "1 process"), (2, "2 workers")):
        say(f"reading windows, {called}")
        how: dict[str, Any] = {
            "workers": workers,
            "repeats": config["repeats"],
            "cold": config["cold_windows"],
            "seed": SEED,
        }
        paths: dict[str, Any] = {"stores": stores, "cache": str(folder / "cache")}
        done = rival("load_windows", folder, **sets, **how, **paths)
        for warmth, rates in done["rates"].items():
            figures += _judged(f"windows {warmth}, {called}", rates)
        figures += [Figure(f"windows {called}, memory: {n}", {"": float(b)}, "MB") for n, b in done["memory"].items()]
    return figures


def _judged(what: str, rates: Rates) -> list[Figure]:
    """The rates, and what they are held against: LeRobot by whichever of its decoders is faster here.

    The cache is judged by what training does with it, which needs no workers; through a DataLoader, whose workers copy
    each batch once more, it is shown.
    """
    figures = [Figure(f"{what}: {name}", {"": float(np.median(one))}, "/s") for name, one in rates.items()]
    lerobot = max((n for n in rates if n.startswith("LeRobot")), key=lambda name: float(np.median(rates[name])))
    for name, rival_name, least in (
        ("store jpeg", lerobot, SPEED),
        ("store zstd", lerobot, SPEED),
        ("store jpeg", "zarr v2", NO_SLOWER),
        ("store zstd", "zarr v2", None),
        ("cache", lerobot, None),
        ("training, cache on disk", lerobot, CACHED),
        ("training, cache in memory", lerobot, CACHED),
    ):
        figures.append(ratio(f"{what}: {name} / {rival_name}", rates[name], rates[rival_name], least))
    return figures


def _store(path: Path, codec: str, pictures: np.ndarray[Any, Any], episodes: int, rows: int) -> Path:
    """Episodes of the same rows as the others have."""
    frames = [Field(name, pictures.shape[2:], "u1") for name in CAMERAS]
    spec = Spec([Field("time", unit="s"), Field("q", (6,)), Field("target.q", (6,)), *frames])
    states = motion(rows)
    with Store.create(path, spec, {"name": "bench", "robot": "ur5e", "rate": FILMED}, codec) as store:
        for episode in range(episodes):
            writer = store.writer({"kind": "collect", "task": "bench"})
            for row in range(rows):
                record = spec.record(time=row / FILMED, q=states[row], target__q=states[row])
                for place, name in enumerate(CAMERAS):
                    record[name] = pictures[shown(7 * episode + row, len(pictures)), place]
                writer.append(record)
            writer.commit("success")
    return path


def _fill(store: Path, cache: Path) -> float:
    """Build the training cache; how long it took [s]."""
    episodes = Store.open(store).episodes
    began = now()
    FrameCache(cache).fill([Decoded(episode, name) for episode in episodes for name in CAMERAS])
    return now() - began


def _sizes(folder: Path, stores: Mapping[str, str]) -> dict[str, float]:
    sizes = {f"store {codec}": float(disk_bytes(Path(path))) for codec, path in stores.items()}
    others = {"LeRobot": "lerobot", "zarr v2": "zarr", "cache": "cache"}
    return sizes | {name: float(disk_bytes(folder / place)) for name, place in others.items()}
