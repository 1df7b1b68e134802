"""Writes a store as a LeRobotDataset: v3.0, which lerobot 0.4 and later read, or v2.1, which those before it read.

Episodes are first written one by one as v2.1 has them, so that an interrupted export goes on after the last whole one.
v3.0 then has them joined into files of about 100 MB of rows and 200 MB of video, packet by packet, as LeRobot's own
converter does. `observation.state` and `action` are joined of fields in float32; every field is a feature of its own
besides, under its own name and type, so nothing is rounded or dropped.
"""

import json
import os
import shutil
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from robot_stack.store.episode import Episode
from robot_stack.store.formats.exporting import compare
from robot_stack.store.formats.lerobot import film as lerobot_film
from robot_stack.store.formats.lerobot import join as lerobot_join
from robot_stack.store.formats.lerobot import stats as lerobot_stats
from robot_stack.store.formats.lerobot.features import ACTION, STATE, Kind
from robot_stack.store.formats.lerobot.layout import (
    DATA_FILE_MB,
    DATA_PATH,
    FILES_PER_CHUNK,
    INDICES,
    INFO,
    OLD_DATA_PATH,
    OLD_EPISODES,
    OLD_STATS,
    OLD_TASKS,
    OLD_VIDEO_PATH,
    STATS,
    VIDEO_FILE_MB,
    VIDEO_PATH,
)
from robot_stack.store.formats.lerobot.piece import Piece, PieceWriter, video_file
from robot_stack.store.formats.lerobot.plan import Plan
from robot_stack.store.formats.lerobot.source import LeRobotSource
from robot_stack.store.formats.sidecar import Sidecar
from robot_stack.store.store import Store
from robot_stack.types import StoreError

_PIECES = ".pieces"
_LEAST_PSNR = 20.0
"""An encoded picture that is farther from its row's is damaged or another row's [dB]."""


class LeRobot21Export:
    """Writes v2.1. state, action: fields that are joined to `observation.state` and `action`; by default `q` and
    `grip`, and `target.q` and `target.grip`. pictures: video, or image for lossless PNGs in the parquet
    files; by default as they were in a data set that was imported, else video."""

    def __init__(
        self,
        place: Path,
        store: Store,
        state: Sequence[str] | None = None,
        action: Sequence[str] | None = None,
        pictures: str | None = None,
    ) -> None:
        self._place, self._station = Path(place), store.station
        known = store.station.get("lerobot", {}).get("features", {})
        self._plan = Plan.make(store.spec, state, action, pictures, known)
        self._rate = float(store.station["rate"])
        indices = {name: {"dtype": "int64", "shape": [1], "names": None} for name in INDICES}
        indices["timestamp"] = {**indices["timestamp"], "dtype": "float32"}
        self._features = {**self._plan.features(known, store.station.get("names", {})), **indices}
        (self._place / _PIECES).mkdir(parents=True, exist_ok=True)
        (self._place / "meta").mkdir(exist_ok=True)
        self._writer = PieceWriter(self._root, self._plan, self._features, self._rate)
        self._sidecar = Sidecar.begin(_shelf(self._place), store, self._plan.layout)

    @property
    def _root(self) -> Path:
        """Where episodes are written one by one."""
        return self._place

    def done(self) -> int:
        """How many episodes are whole."""
        if (self._place / INFO).exists():
            return int(json.loads((self._place / INFO).read_text())["total_episodes"])
        return len(self._pieces)

    @cached_property
    def _pieces(self) -> list[Piece]:
        """The episodes that are whole, in order."""
        pieces: list[Piece] = []
        while (path := self._piece_file(len(pieces))).exists():
            pieces.append(Piece.load(path))
        return pieces

    def _piece_file(self, number: int) -> Path:
        return self._place / _PIECES / f"{number:06d}.json"

    def write(self, number: int, episode: Episode) -> None:
        """Add an episode; it counts once its piece of the index is there."""
        pieces = self._pieces
        del pieces[number:]
        tasks = _tasks(pieces)
        words = _words(episode)
        first = pieces[-1].first + pieces[-1].length if pieces else 0
        piece = self._writer.write(number, episode, (tasks.get(words, len(tasks)), words), first)
        self._sidecar.add(number, episode)
        piece.save(self._piece_file(number))
        pieces.append(piece)

    def close(self) -> None:
        """Write the index, `info.json` last of all; after a kill, again."""
        if not (self._place / INFO).exists():
            self._describe_videos()
            self._finish()
            _write_json(self._place / INFO, self._info())
        shutil.rmtree(self._place / _PIECES, ignore_errors=True)

    def check(self, number: int, episode: Episode) -> None:
        """Compare what a reader finds with the episode: numbers and single pictures bit for bit, videos by PSNR."""
        if reasons := self._read_back.repairs(number):
            raise StoreError(f"episode {number} does not read back as it was written: {'; '.join(reasons)}")
        at = 0
        for rows in self._read_back.rows(number):
            for column in self._plan.columns:
                name = column.field.name
                wanted = episode.read(name, at, at + len(rows))
                if column.kind is Kind.VIDEO:
                    _compare_pictures(f"episode {number}", name, at, wanted, rows[name])
                else:
                    compare(f"episode {number}", name, wanted, np.ascontiguousarray(rows[name]))
            at += len(rows)
        if at != len(episode):
            raise StoreError(f"episode {number} does not read back as it was written: {at} rows, not {len(episode)}")

    @cached_property
    def _read_back(self) -> LeRobotSource:
        return LeRobotSource(str(self._place))

    @property
    def warnings(self) -> list[str]:
        """What LeRobot lacks or loses of this store."""
        said = []
        for feature, option in ((STATE, "state"), (ACTION, "action")):
            if feature not in self._features:
                said.append(f"no field is {feature}: LeRobot's policies need one; name them with {option}=[...]")
        encoded = {feature for piece in self._pieces for feature in piece.encoded}
        if names := [column.field.name for column in self._plan.videos if column.feature in encoded]:
            said.append(
                f"{', '.join(names)}: encoded with LeRobot's defaults, which lose detail; pictures=image keeps it"
            )
        if self._rate != int(self._rate):
            said.append(f"LeRobot expects a whole fps, the store has {self._rate:g} Hz; lerobot 0.6 reads it")
        return said

    def _describe_videos(self) -> None:
        for column in self._plan.videos:
            info = lerobot_film.describe(
                video_file(self._root, 0, column.feature), self._rate, encoded=column.feature in self._pieces[0].encoded
            )
            self._features[column.feature]["info"] = info

    def _finish(self) -> None:
        pieces = self._pieces
        tasks = [{"task_index": index, "task": words} for words, index in _tasks(pieces).items()]
        _write_lines(self._place / OLD_TASKS, tasks)
        listed = [{"episode_index": n, "tasks": [p.task], "length": p.length} for n, p in enumerate(pieces)]
        _write_lines(self._place / OLD_EPISODES, listed)
        plain = ("min", "max", "mean", "std", "count")  # v2.1 knows no quantiles
        stats = [{name: {key: one[key] for key in plain} for name, one in p.stats.items()} for p in pieces]
        _write_lines(self._place / OLD_STATS, [{"episode_index": n, "stats": one} for n, one in enumerate(stats)])

    def _info(self) -> dict[str, Any]:
        count = len(self._pieces)
        return self._totals("v2.1") | {
            "total_videos": count * len(self._plan.videos),
            "total_chunks": -(-count // FILES_PER_CHUNK),
            "data_path": OLD_DATA_PATH,
            "video_path": OLD_VIDEO_PATH if self._plan.videos else None,
        }

    def _totals(self, version: str) -> dict[str, Any]:
        pieces = self._pieces
        return {
            "codebase_version": version,
            "robot_type": self._station.get("robot") or None,
            "total_episodes": len(pieces),
            "total_frames": sum(piece.length for piece in pieces),
            "total_tasks": len(_tasks(pieces)),
            "chunks_size": FILES_PER_CHUNK,
            "fps": int(self._rate) if self._rate == int(self._rate) else self._rate,
            "splits": {"train": f"0:{len(pieces)}"},
            "features": self._features,
        }


class LeRobotExport(LeRobot21Export):
    """Writes v3.0, with the options of v2.1."""

    @property
    def _root(self) -> Path:
        return self._place / _PIECES

    def _finish(self) -> None:
        pieces = self._pieces
        lerobot_join.join(self._root, self._place, pieces, [c.feature for c in self._plan.videos], self._rate)
        lerobot_join.write_tasks(self._place, _tasks(pieces))
        named = {name: [_arrays(piece.stats[name]) for piece in pieces] for name in pieces[0].stats}
        stats = {name: lerobot_stats.together(each) for name, each in named.items()}
        _write_json(self._place / STATS, {n: {k: v.tolist() for k, v in one.items()} for n, one in stats.items()})

    def _info(self) -> dict[str, Any]:
        return self._totals("v3.0") | {
            "data_files_size_in_mb": DATA_FILE_MB,
            "video_files_size_in_mb": VIDEO_FILE_MB,
            "data_path": DATA_PATH,
            "video_path": VIDEO_PATH if self._plan.videos else None,
        }


def _tasks(pieces: list[Piece]) -> dict[str, int]:
    """Words -> task index, in the order of their first episode."""
    return {piece.task: piece.task_index for piece in pieces}


def _words(episode: Episode) -> str:
    """What was to be done, in words if there are any."""
    return str(episode.attrs.get("language") or episode.attrs.get("task") or "")


def _compare_pictures(where: str, name: str, first: int, wanted: Any, got: Any) -> None:
    for row, (one, other) in enumerate(zip(wanted, got, strict=True), first):
        error = np.mean((one.astype(np.float32) - other) ** 2)
        if error > 255**2 * 10 ** (-_LEAST_PSNR / 10):
            raise StoreError(
                f"{where} does not read back as it was written: {name} of step {row} is another picture "
                f"(off by {np.sqrt(error):.0f} of 255); export with pictures=image, which is lossless"
            )


def _arrays(stats: dict[str, Any]) -> lerobot_stats.Stats:
    return {name: np.array(value) for name, value in stats.items()}


def _shelf(place: Path) -> Any:
    import zarr  # 0.8 s that nobody else has to wait for

    from robot_stack.store.formats.zarr_shelf import ZarrShelf

    return ZarrShelf(zarr.open_group(place / "meta", mode="a", zarr_format=3))


def _write_json(path: Path, content: Any) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=4))
    os.replace(partial, path)


def _write_lines(path: Path, lines: list[Any]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
