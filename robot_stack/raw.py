"""Messages as they came, beside the rows that were made of them, so that alignment can be redone later.

A row holds, of each stream, the newest message at its time. The raw stream holds every message: the arm's state at its
full rate, the capture time of every frame (its pixels are in the rows), what the operator did.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robot_stack.spec import Field, Record
from robot_stack.station import GRIPPER, Station, Topic

_WIDEST = 16  # a field with more values is a picture
_IN_ROWS = ("requested.", "proposed.")  # change as often as the source asks, which is seldom more often than a row


class RawStream:
    """The numbers of one topic's messages as rows of float64; `columns` names them, the first is `time` [s]."""

    def __init__(self, topic: Topic) -> None:
        self.topic = topic
        self._fields = [field for field in topic.spec if _is_kept(field)]
        self.columns = [column for field in self._fields for column in _columns(field)]

    def rows(self, messages: Sequence[Record]) -> NDArray[np.float64]:
        """Messages as rows (n, columns)."""
        if not messages:
            return np.empty((0, len(self.columns)))
        stacked = np.stack(messages)
        return np.concatenate([stacked[f.name].reshape(len(stacked), -1) for f in self._fields], axis=1, dtype=float)


def raw_streams(station: Station) -> dict[str, RawStream]:
    """All raw streams of a station, by the names of their topics."""
    topics = [station.control, GRIPPER, station.operator, *map(station.camera, station.cameras)]
    if station.objects:
        topics.append(station.world)
    return {topic.name: RawStream(topic) for topic in topics}


def _is_kept(field: Field) -> bool:
    size = int(np.prod(field.shape, dtype=int))
    return np.dtype(field.dtype).kind in "fiub" and size <= _WIDEST and not field.name.startswith(_IN_ROWS)


def _columns(field: Field) -> list[str]:
    """'q' of shape (6,) is q.0 … q.5."""
    if not field.shape:
        return [field.name]
    return [".".join([field.name, *map(str, index)]) for index in np.ndindex(*field.shape)]
