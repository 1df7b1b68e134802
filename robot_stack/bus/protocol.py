"""What every bus offers, and what all kinds have in common."""

from abc import ABC, abstractmethod
from collections import deque
from types import TracebackType
from typing import Protocol, Self

from robot_stack.spec import Record
from robot_stack.station import Topic
from robot_stack.types import RobotStackError, SpecError


class BusError(RobotStackError):
    """A topic that could not be opened, or a bus used after it was closed."""


class Publisher(Protocol):
    """The sending end of a topic."""

    def send(self, record: Record) -> None:
        """Copy the record into the topic; never waits for a subscriber."""
        ...

    def close(self) -> None:
        """Leave the topic; records already sent stay readable to those who received them."""
        ...


class Subscriber(Protocol):
    """The receiving end of a topic."""

    def latest(self) -> Record | None:
        """The newest record ever received, None before the first."""
        ...

    def drain(self) -> list[Record]:
        """All records that are new since the last call of any of these three, oldest first."""
        ...

    def history(self) -> list[Record]:
        """The newest `keep` records ever received, oldest first."""
        ...


class Bus(Protocol):
    """Where topics are found by name."""

    def publisher(self, topic: Topic) -> Publisher:
        """Join the topic as one who sends."""
        ...

    def subscriber(self, topic: Topic, keep: int = 1) -> Subscriber:
        """Join the topic as one who receives. keep: how many of the newest records `history` remembers."""
        ...

    def close(self) -> None:
        """Leave all topics."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class ClosesOnExit(ABC):
    """A bus as a context manager."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None: ...


class Inbox(ABC):
    """What every subscriber remembers, whatever brings the records."""

    def __init__(self, keep: int) -> None:
        self._kept: deque[Record] = deque(maxlen=keep)

    def latest(self) -> Record | None:
        self._catch_up()
        return self._kept[-1] if self._kept else None

    def drain(self) -> list[Record]:
        new = self._receive()
        self._kept.extend(new)
        return new

    def history(self) -> list[Record]:
        self._catch_up()
        return list(self._kept)

    def _catch_up(self) -> None:
        self._kept.extend(self._receive())

    @abstractmethod
    def _receive(self) -> list[Record]:
        """All records that arrived since the last call, oldest first."""


def layout_error(topic: Topic, record: Record) -> SpecError:
    """The refusal of a record that does not fit its topic."""
    return SpecError(f"topic {topic.name!r} carries {topic.spec.dtype}, got {record.dtype}")
