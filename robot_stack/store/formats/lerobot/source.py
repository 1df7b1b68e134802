"""Brings in LeRobotDatasets, v3.0 and v2.1 (and v2.0, which lies alike), from a folder or the hub."""

import hashlib
import json
from collections.abc import Iterator
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from robot_stack.spec import Field, Spec
from robot_stack.store.formats.lerobot import depth as lerobot_depth
from robot_stack.store.formats.lerobot import hub as lerobot_hub
from robot_stack.store.formats.lerobot import rows as lerobot_rows
from robot_stack.store.formats.lerobot import table as lerobot_table
from robot_stack.store.formats.lerobot import video as lerobot_video
from robot_stack.store.formats.lerobot.columns import Finder, why
from robot_stack.store.formats.lerobot.features import Column, Kind
from robot_stack.store.formats.lerobot.layout import INDICES, OLD_STATS, STATS, Layout, Listed
from robot_stack.store.formats.lerobot.packets import NotCopiedError, copy_in
from robot_stack.store.formats.lerobot.rows import BLOCK_ROWS, Span
from robot_stack.store.formats.lerobot.video import ShiftedError
from robot_stack.store.formats.protocol import Film, Stream
from robot_stack.store.formats.sidecar import NAME, Sidecar
from robot_stack.types import StoreError

if TYPE_CHECKING:
    import pyarrow as pa

TIME_TOLERANCE = 1e-4
"""Most that LeRobot lets a timestamp be away from frame_index / fps [s]."""


class LeRobotSource:
    """A LeRobotDataset, opened and found readable. Episodes keep the numbers that they have there.

    An episode whose rows or pictures are damaged has no rows here, and `repairs` says why.
    """

    def __init__(self, path_or_id: str) -> None:
        self.root = lerobot_hub.find(path_or_id)
        self.name = path_or_id if self.root != Path(path_or_id) else self.root.name
        self.layout = Layout(self.root)
        self.warnings = list(self.layout.warnings)
        self._sidecar = _sidecar(self.root)
        self._spans, damaged = lerobot_rows.find_episodes(self.layout.data_files)
        self.warnings += damaged
        if not self._spans:
            reason = why(damaged) or "there is no parquet file under data/; copy or download it whole"
            raise StoreError(f"{self.root} has no rows that can be read: {reason}")
        self._numbers = sorted({*self.layout.episodes, *self._spans})
        self._guess_clips()
        self._notes: dict[int, list[str]] = {}
        self._decoded: dict[int, list[str]] = {}
        self._copied: dict[int, dict[str, Film]] = {}
        self.columns = self._find_columns()
        if self._sidecar is not None and not self._fits(self._sidecar):
            self._sidecar = None
            self.warnings.append(f"the sidecar meta/{NAME} is of other episodes or features: it was not used")
        self.spec = self._spec()
        self.station = self._station()

    def __len__(self) -> int:
        return len(self._numbers)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the features, the statistics, and each episode's number, length and tasks."""
        stats = self.root / (OLD_STATS if self.layout.old else STATS)
        seen = hashlib.sha256(stats.read_bytes() if stats.exists() else b"")
        listed = [(n, self._listed(n).length, self._listed(n).tasks) for n in self._numbers]
        content = [self.layout.version, self.layout.fps, self.layout.features, listed]
        seen.update(json.dumps(content, sort_keys=True).encode())
        return seen.hexdigest()

    def attrs(self, number: int) -> dict[str, Any]:
        """Those of the sidecar where there is one, else what the data set says of an episode."""
        if self._sidecar is not None:
            return self._sidecar.attrs(self._numbers[number])
        tasks = self._tasks(number)
        attrs: dict[str, Any] = {
            "kind": "import",
            "task": tasks[0] if tasks else "",
            "language": "; ".join(tasks),
            "verdict": self._verdict(number),
            "time_source": "synthetic" if self._times(number)[1] else "measured",
            "started": "",
            "clock_offset": 0.0,
        }
        if extra := self._listed(self._numbers[number]).extra:
            attrs["lerobot"] = extra
        if texts := {c.field.name: self._texts(number, c.feature) for c in self.columns if c.kind is Kind.TEXT}:
            attrs["texts"] = texts
        return attrs

    def streams(self, number: int) -> dict[str, Stream]:
        """Those of the sidecar; a LeRobotDataset has none itself."""
        return {} if self._sidecar is None else self._sidecar.streams(self._numbers[number])

    def repairs(self, number: int) -> list[str]:
        """What was repaired in an episode, or why it is left out."""
        return self._notes.get(number, [])

    def films(self, number: int) -> dict[str, Film]:
        """Videos whose packets are stored as they are; the others are decoded, and `repairs` says why."""
        self._copied[number] = films = {}
        self._decoded[number] = reasons = []
        for column in self._videos if self._spans.get(self._numbers[number]) else ():
            clip = self.layout.clip(column.feature, self._numbers[number])
            try:
                if clip is not None and not column.is_depth:
                    times = self._place(number)[column.feature].times
                    films[column.field.name] = copy_in(clip, times, self.layout.fps, column.field.shape)
            except NotCopiedError as error:
                reasons.append(f"{column.field.name} was decoded and compressed again: {error}")
            except ShiftedError:
                return {}  # `rows` says so
        return films

    def rows(self, number: int) -> Iterator[NDArray[np.void]]:
        """Rows of an episode, some pictures' worth at a time; none when it is damaged."""
        self._notes[number] = notes = []
        spans = self._spans.get(self._numbers[number], [])
        if not spans:
            if self._listed(self._numbers[number]).length:
                notes.append("left out: `meta` lists it, and no readable file has rows of it")
            return
        try:
            placed = self._place(number)
        except ShiftedError as error:
            notes.append(f"left out: {error}. Its pictures must be mended or recorded again")
            return
        notes += [note for clip in placed.values() for note in clip.notes] + self._findings(number)
        notes += self._decoded.get(number, [])
        times, _ = self._times(number)
        copied = self._copied.get(number, {})
        films = {
            column.feature: self._film(column, number, placed[column.feature].times)
            for column in self._videos
            if column.field.name not in copied
        }
        at = 0
        for batch in self._batches(spans):
            yield self._block(number, batch, times[at : at + batch.num_rows], films)
            at += batch.num_rows

    def _block(
        self, number: int, batch: "pa.RecordBatch", times: NDArray[np.float64], films: dict[str, Iterator[NDArray[Any]]]
    ) -> NDArray[np.void]:
        rows = np.zeros(batch.num_rows, self.spec.dtype)
        rows["time"] = times
        for column in self.columns:
            name = column.field.name
            if column.feature in films:
                for row in rows[name]:
                    row[...] = next(films[column.feature])
            elif column.kind is Kind.VIDEO:
                continue
            elif column.kind is Kind.IMAGE:
                for row, value in zip(rows[name], batch.column(column.feature), strict=True):
                    row[...] = self._picture(value.as_py(), column)
            elif column.kind is Kind.TEXT:
                texts = self._texts(number, column.feature)
                rows[name] = [texts.index(_text(value)) for value in batch.column(column.feature).to_pylist()]
            else:
                rows[name] = self._values(batch.column(column.feature), column)
        return rows

    def _values(self, values: "pa.Array", column: Column) -> NDArray[Any]:
        try:
            found = lerobot_rows.numbers(values, column.field.shape)
        except StoreError as error:
            raise StoreError(f"{column.feature} of {self.name}: {error}") from error
        cast = found.astype(column.field.dtype)
        if not np.array_equal(cast, found, equal_nan=cast.dtype.kind == "f"):
            raise StoreError(
                f"{column.feature} of {self.name} is {column.field.dtype} in one file, {found.dtype} in another"
            )
        return cast

    def _film(self, column: Column, number: int, times: NDArray[np.float64]) -> Iterator[NDArray[Any]]:
        clip = self.layout.clip(column.feature, self._numbers[number])
        assert clip is not None  # it has been placed
        if not column.is_depth:
            return lerobot_video.pictures(clip, times, self.layout.fps)
        quantizer = lerobot_depth.Quantizer.of(self.layout.features[column.feature])
        return map(quantizer.millimetres, lerobot_video.pictures(clip, times, self.layout.fps, "gray12le"))

    def _picture(self, value: dict[str, Any] | None, column: Column) -> NDArray[Any]:
        picture = lerobot_table.decode(self.root, value, f"{column.feature} of {self.name}")
        if picture.shape != column.field.shape or picture.dtype != column.field.dtype:
            found, wanted = f"{picture.dtype}{list(picture.shape)}", f"{column.field.dtype}{list(column.field.shape)}"
            raise StoreError(f"{column.feature} of {self.name} has a picture {found} among others {wanted}")
        return picture

    def _place(self, number: int) -> dict[str, lerobot_video.Placed]:
        """Where each row's pictures are in the videos."""
        placed = {}
        for column in self._videos:
            clip = self.layout.clip(column.feature, self._numbers[number])
            if clip is None:
                raise ShiftedError(f"meta/episodes does not say where its {column.feature} is")
            stamps = self._column(number, "timestamp").astype(np.float64)
            placed[column.feature] = lerobot_video.place(clip, stamps, self.layout.fps)
        return placed

    def _findings(self, number: int) -> list[str]:
        """What is odd in the rows of an episode and was brought in nevertheless."""
        found = []
        stamps, frames = self._column(number, "timestamp"), self._column(number, "frame_index")
        listed = self._listed(self._numbers[number]).length
        if listed not in (-1, len(stamps)):
            found.append(f"`meta` lists {listed} rows and there are {len(stamps)}: these came in")
        if len(jumps := np.flatnonzero(np.diff(frames, prepend=-1) != 1)):
            found.append(f"frame_index does not count up by one at row {jumps[0]}")
        if not self._times(number)[1] and "time" not in self._features:
            off = np.abs(stamps - frames / self.layout.fps)
            found.append(
                f"timestamps are not frame_index / fps, by {off.max():.3g} s at row {off.argmax()}: taken as measured"
            )
        return found

    @lru_cache(maxsize=2)  # noqa: B019  a source lives as long as its import
    def _times(self, number: int) -> tuple[NDArray[np.float64], bool]:
        """The time of each row (n,) [s], and whether it is made up: LeRobot's own recorder writes frame_index / fps."""
        if "time" in self._features and self._features["time"]["dtype"] == "float64":
            return self._column(number, "time"), False
        stamps = self._column(number, "timestamp").astype(np.float64)
        made_up = self._column(number, "frame_index") / self.layout.fps
        if (np.abs(stamps - made_up) <= TIME_TOLERANCE + np.finfo(np.float32).eps * made_up).all():
            return made_up, True
        return stamps, False

    def _verdict(self, number: int) -> str:
        if "next.success" not in self._features:
            return "unknown"
        return "success" if self._column(number, "next.success").any() else "failure"

    @lru_cache(maxsize=8)  # noqa: B019
    def _texts(self, number: int, feature: str) -> list[str]:
        """The different texts of a feature in an episode, in the order of their first rows."""
        spans = self._spans.get(self._numbers[number], [])
        batches = (b for span in spans for b in lerobot_rows.read_blocks(span, [feature]))
        return list(dict.fromkeys(_text(value) for batch in batches for value in batch.column(0).to_pylist()))

    def _tasks(self, number: int) -> list[str]:
        """What was to be done in an episode: by its rows, else by `meta`."""
        indices = self._column(number, "task_index") if self.layout.tasks else np.zeros(0, int)
        named = [self.layout.tasks.get(int(index), "") for index in dict.fromkeys(indices.tolist())]
        return [task for task in named if task] or self._listed(self._numbers[number]).tasks

    @lru_cache(maxsize=16)  # noqa: B019
    def _column(self, number: int, name: str) -> NDArray[Any]:
        spans = self._spans.get(self._numbers[number], [])
        parts = [lerobot_rows.read_column(span.path, name, span.start, span.stop) for span in spans]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _listed(self, episode: int) -> Listed:
        return self.layout.episodes.get(episode, Listed())

    @property
    def _features(self) -> dict[str, dict[str, Any]]:
        return self.layout.features

    @property
    def _videos(self) -> list[Column]:
        return [column for column in self.columns if column.kind is Kind.VIDEO]

    def _batches(self, spans: list[Span]) -> Iterator["pa.RecordBatch"]:
        pictures = max((c.field for c in self.columns if c.kind is not Kind.NUMBERS), key=_bytes, default=None)
        rows = BLOCK_ROWS if pictures is None else max(1, min(BLOCK_ROWS, (16 << 20) // _bytes(pictures)))
        columns = [column.feature for column in self.columns if column.kind is not Kind.VIDEO] or ["timestamp"]
        for span in spans:
            for batch in lerobot_rows.read_blocks(span, columns):
                for start in range(0, batch.num_rows, rows):
                    yield batch.slice(start, rows)

    def _guess_clips(self) -> None:
        """Find the videos of episodes that `meta` does not list: episodes follow each other in them without a gap."""
        lengths = {number: sum(span.stop - span.start for span in spans) for number, spans in self._spans.items()}
        for key in self.layout.video_keys if not self.layout.old else ():
            if any(self.layout.clip(key, number) is None for number in lengths):
                guessed = lerobot_video.in_turn(self.layout.video_files(key), lengths, self.layout.fps)
                for number, clip in guessed.items():
                    self.layout.episodes.setdefault(number, Listed()).clips.setdefault(key, clip)

    def _find_columns(self) -> list[Column]:
        """Every feature that is brought in, in the order of info.json."""
        several = len(self.layout.tasks) > 1 and any(len(self._tasks(n)) > 1 for n in range(len(self._numbers)))
        finder = Finder(self.layout, min(self._spans.items())[1][0], self._numbers)
        self.warnings += finder.warnings
        return finder.columns({"time", *INDICES} - ({"task_index"} if several else set()))

    def _fits(self, sidecar: Sidecar) -> bool:
        """Whether a sidecar is of this data set, and not of what it was before another program edited it."""
        there = {sidecar.layout["fields"].get(name) for name in (*(c.feature for c in self.columns), "time")}
        try:
            lengths = {number: sidecar.attrs(number)["rows"] for number in self._spans}
        except KeyError:
            return False
        found = {number: sum(span.stop - span.start for span in spans) for number, spans in self._spans.items()}
        return lengths == found and there >= sidecar.spec.fields.keys()

    def _spec(self) -> Spec:
        fields = [column.field for column in self.columns]
        if self._sidecar is None:
            return Spec([Field("time", unit="s"), *fields])
        names = self._sidecar.layout["fields"]  # feature -> field of the store that was exported
        known = [column for column in self.columns if column.feature in names]
        self.columns = [Column(c.feature, self._sidecar.spec[names[c.feature]], c.kind) for c in known]
        return self._sidecar.spec

    def _station(self) -> dict[str, Any]:
        if self._sidecar is not None:
            return self._sidecar.station
        names = {
            column.field.name: self._features[column.feature]["names"]
            for column in self.columns
            if self._features[column.feature].get("names")
        }
        return {
            "name": self.name.rpartition("/")[2],
            "robot": self.layout.info.get("robot_type") or "",
            "rate": self.layout.fps,
            "names": names,
            "tasks": {str(number): task for number, task in self.layout.tasks.items()},
            "lerobot": {"version": self.layout.version, "features": self._features},
        }


def _bytes(field: Field) -> int:
    return int(np.prod(field.shape, dtype=int)) * np.dtype(field.dtype).itemsize


def _text(value: Any) -> str:
    """Text as it is; anything else that is no number as JSON, so that nothing is lost."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _sidecar(root: Path) -> Sidecar | None:
    if not (root / "meta" / NAME).is_dir():
        return None
    import zarr  # 0.8 s that nobody else has to wait for

    from robot_stack.store.formats.zarr_shelf import ZarrShelf

    return Sidecar(ZarrShelf(zarr.open_group(root / "meta", mode="r")))
