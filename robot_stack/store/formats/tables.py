"""Writes episodes as CSV or Parquet: a row a step, columns `q.0`, `q.1`, …; for spreadsheets and statistics.

Pictures are left out, or lie beside the tables as .png, one a step. Not read back by an import: it is the way out.
"""

import csv
import json
import os
import shutil
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_stack.spec import Field
from robot_stack.store.arrays import is_frame
from robot_stack.store.episode import Episode
from robot_stack.store.formats.exporting import compare
from robot_stack.store.store import Store
from robot_stack.types import ConfigError, StoreError

_PICTURES = {"|u1": (2, 3), "<u2": (2,)}  # dtype -> dimensions of what a .png holds without loss


class _TableExport(ABC):
    """A folder with a file an episode; or, where the name ends like a table, the one file of one episode.

    images: write pictures beside the tables; None leaves them out.
    """

    suffix: str

    def __init__(self, place: Path, store: Store, images: bool | None = None) -> None:
        self._place, self._single = place, place.suffix == self.suffix
        self._tables = [field for field in store.spec if not is_frame(field)]
        frames = [field for field in store.spec if is_frame(field)]
        self._pictures = [field for field in frames if _is_picture(field)] if images else []
        if images and self._single:
            raise ConfigError(f"images=true needs a folder for them: say to=<folder>, not {place.name}")
        left = [field.name for field in frames if field not in self._pictures]
        self.warnings = [f"{name} is left out: a table holds no pictures; images=true writes .png" for name in left]
        self.warnings.append(f"units, frames and raw streams are left out: a {self.suffix} has no place for them")

    def done(self) -> int:
        """Whole episodes in the folder: a table goes under its name last."""
        if self._single:
            self._place.unlink(missing_ok=True)
            return 0
        self._place.mkdir(exist_ok=True)
        return len(list(self._place.glob(f"*{self.suffix}")))

    def write(self, number: int, episode: Episode) -> None:
        """One table, and its attributes as JSON beside it."""
        if self._single and number:
            raise ConfigError(f"{self._place.name} holds one episode: say episodes=[{episode.id}], or to=<folder>")
        path = self._path(episode)
        for field in self._pictures:
            _write_pictures(path.with_suffix("") / field.name, episode, field)
        if not self._single:
            path.with_suffix(".json").write_text(json.dumps(episode.attrs, indent=1))
        partial = path.with_name(f"{path.name}.partial")
        self._save(partial, {name: column for field in self._tables for name, column in columns(episode, field)})
        os.rename(partial, path)

    def close(self) -> None:  # noqa: B027  a default
        """Nothing comes last."""

    def check(self, number: int, episode: Episode) -> None:
        """Every column, read back."""
        found = self._load(self._path(episode))
        wanted = {name: column for field in self._tables for name, column in columns(episode, field)}
        if list(found) != list(wanted):
            raise StoreError(f"{episode.id} does not read back as it was written: its columns differ; export again")
        for name, column in wanted.items():
            compare(episode.id, name, column, np.asarray(found[name]).astype(column.dtype))
        for field in self._pictures:
            for step, picture in enumerate(p for block in episode.blocks(field.name) for p in block):
                path = self._path(episode).with_suffix("") / field.name / f"{step:06d}.png"
                compare(episode.id, field.name, picture, _read_picture(path))

    def _path(self, episode: Episode) -> Path:
        return self._place if self._single else self._place / f"{episode.id}{self.suffix}"

    @abstractmethod
    def _save(self, path: Path, table: dict[str, NDArray[Any]]) -> None: ...

    @abstractmethod
    def _load(self, path: Path) -> dict[str, Any]: ...


class CsvExport(_TableExport):
    """Comma-separated values as in RFC 4180; floats with all the digits that tell them apart."""

    suffix = ".csv"

    def _save(self, path: Path, table: dict[str, NDArray[Any]]) -> None:
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(table)
            writer.writerows(zip(*(column.tolist() for column in table.values()), strict=True))

    def _load(self, path: Path) -> dict[str, Any]:
        with path.open(newline="") as file:
            names, *rows = csv.reader(file)
        return {name: [_number(row[at]) for row in rows] for at, name in enumerate(names)}


class ParquetExport(_TableExport):
    """Apache Parquet, zstd."""

    suffix = ".parquet"

    def _save(self, path: Path, table: dict[str, NDArray[Any]]) -> None:
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.table(table), path, compression="zstd")

    def _load(self, path: Path) -> dict[str, Any]:
        from pyarrow import parquet

        table = parquet.read_table(path)
        return {name: table[name].to_numpy() for name in table.column_names}


def columns(episode: Episode, field: Field) -> list[tuple[str, NDArray[Any]]]:
    """A field as columns (T,): `q.0`, `q.1`, …; of a matrix `m.0.1`."""
    flat = episode[field.name].reshape(len(episode), -1)
    return [(".".join([field.name, *map(str, place)]), flat[:, at]) for at, place in enumerate(np.ndindex(field.shape))]


def _number(text: str) -> Any:
    """A cell of a CSV: True and False, whole numbers, and floats."""
    if text in ("True", "False"):
        return text == "True"
    return int(text) if text.lstrip("-").isdigit() else float(text)


def _is_picture(field: Field) -> bool:
    return len(field.shape) in _PICTURES.get(field.dtype, ()) and (len(field.shape) == 2 or field.shape[2] == 3)


def _write_pictures(folder: Path, episode: Episode, field: Field) -> None:
    import cv2

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    step = 0
    for block in episode.blocks(field.name):
        for picture in block:
            path = folder / f"{step:06d}.png"
            if not cv2.imwrite(str(path), picture[..., ::-1] if picture.ndim == 3 else picture):
                raise StoreError(f"cannot write {path}: make room or mend the disk")
            step += 1


def _read_picture(path: Path) -> NDArray[Any]:
    import cv2

    picture: NDArray[Any] | None = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if picture is None:
        raise StoreError(f"{path} cannot be read back; check the disk, export again")
    return picture[..., ::-1] if picture.ndim == 3 else picture
