"""Topics inside one process."""

from collections import deque

import numpy as np

from robot_stack.bus.protocol import ClosesOnExit, Inbox, Publisher, Subscriber, layout_error
from robot_stack.spec import Record
from robot_stack.station import Topic
from robot_stack.types import SpecError


class _LocalTopic:
    def __init__(self, topic: Topic) -> None:
        self.topic = topic
        self.newest: Record | None = None
        self.queues: list[deque[Record]] = []


class _LocalPublisher:
    def __init__(self, local: _LocalTopic) -> None:
        self._local = local

    def send(self, record: Record) -> None:
        spec = self._local.topic.spec
        if record.dtype != spec.dtype:
            raise layout_error(self._local.topic, record)
        copy: Record = np.ndarray((), spec.dtype, record.tobytes())  # read-only, since it lies in a bytes object
        self._local.newest = copy
        for queue in self._local.queues:
            queue.append(copy)

    def close(self) -> None:
        self._local.newest = None  # as with a publisher of another process: its history goes with it


class _LocalSubscriber(Inbox):
    def __init__(self, queue: deque[Record], keep: int) -> None:
        super().__init__(keep)
        self._queue = queue

    def _receive(self) -> list[Record]:
        new = list(self._queue)
        self._queue.clear()
        return new


class LocalBus(ClosesOnExit):
    """Topics inside one process."""

    def __init__(self) -> None:
        self._topics: dict[str, _LocalTopic] = {}

    def publisher(self, topic: Topic) -> Publisher:
        return _LocalPublisher(self._open(topic))

    def subscriber(self, topic: Topic, keep: int = 1) -> Subscriber:
        local = self._open(topic)
        queue = deque([] if local.newest is None else [local.newest], maxlen=topic.depth)
        local.queues.append(queue)
        return _LocalSubscriber(queue, keep)

    def close(self) -> None:
        self._topics.clear()

    def _open(self, topic: Topic) -> _LocalTopic:
        local = self._topics.setdefault(topic.name, _LocalTopic(topic))
        if local.topic.spec != topic.spec:
            raise SpecError(f"topic {topic.name!r} is open with another layout: " + _difference(topic, local.topic))
        return local


def _difference(topic: Topic, other: Topic) -> str:
    return "; ".join(topic.spec.difference(other.spec)) or "its fields stand in another order"
