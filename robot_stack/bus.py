"""Topics over shared memory: the newest record of each stream, in every process, without a broker.

`SharedBus` joins processes through iceoryx2 (lock-free, zero-copy shared memory); `LocalBus` joins the parts of one
process, for lockstep and tests. Both keep the same promises:

- A subscriber that falls more than `topic.depth` records behind loses the oldest; a publisher never waits.
- A subscriber that joins late finds the newest record of each living publisher, within `ADOPTION` seconds.
- A topic has one layout. Opening it with another is a SpecError in the process that comes second.
- Received records are read-only copies: they stay as they are for as long as they are kept.

One thread at a time uses a publisher or a subscriber; threads that want the same topic take a subscriber each.
"""

import ctypes
import hashlib
import os
import re
import tempfile
import threading
from abc import ABC, abstractmethod
from collections import deque
from types import TracebackType
from typing import Any, Protocol, Self

import iceoryx2 as iox2
import numpy as np

from robot_stack.spec import Record
from robot_stack.station import Topic
from robot_stack.types import RobotStackError, SpecError

ADOPTION = 0.1
"""A late joiner has the newest record of a publisher that sends rarely after at most this long [s]."""

MAX_PUBLISHERS = 4  # one by rule; a restarted one may overlap with the killed one whose place is not yet reclaimed
MAX_SUBSCRIBERS = 16
MAX_NODES = 32  # one a process


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


class _ClosesOnExit(ABC):
    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None: ...


class _Inbox(ABC):
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


# --- one process -----------------------------------------------------------------------------------------------------


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
            raise _layout_error(self._local.topic, record)
        copy = np.array(record)
        copy.flags.writeable = False
        self._local.newest = copy
        for queue in self._local.queues:
            queue.append(copy)

    def close(self) -> None:
        self._local.newest = None  # as with a publisher of another process: its history goes with it


class _LocalSubscriber(_Inbox):
    def __init__(self, queue: deque[Record], keep: int) -> None:
        super().__init__(keep)
        self._queue = queue

    def _receive(self) -> list[Record]:
        new = list(self._queue)
        self._queue.clear()
        return new


class LocalBus(_ClosesOnExit):
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


def _layout_error(topic: Topic, record: Record) -> SpecError:
    return SpecError(f"topic {topic.name!r} carries {topic.spec.dtype}, got {record.dtype}")


# --- between processes -----------------------------------------------------------------------------------------------


class _SharedPublisher:
    def __init__(self, topic: Topic, port: Any) -> None:
        self._topic = topic
        self._port = port
        self._accepted = topic.spec.dtype
        self._slots: dict[int, Record] = {}  # views of the shared memory that this publisher writes to, by address
        self._lock = threading.Lock()
        self._sent = False

    def send(self, record: Record) -> None:
        if record.dtype is not self._accepted:
            if record.dtype != self._accepted:
                raise _layout_error(self._topic, record)
            self._accepted = record.dtype  # comparing two layouts costs more than sending: done once
        with self._lock:
            if self._port is None:
                raise BusError(f"topic {self._topic.name!r}: this publisher is closed")
            sample = self._port.loan_uninit()
            address = sample.payload_ptr
            slot = self._slots.get(address)
            if slot is None:
                slot = self._slots[address] = _view(address, self._topic)
            slot[()] = record
            sample.assume_init().send()
            self._sent = True

    def adopt(self) -> None:
        """Hand the newest record to subscribers that joined since the last send."""
        with self._lock:
            if self._port is not None and not self._sent:
                self._port.update_connections()
            self._sent = False

    def close(self) -> None:
        with self._lock:
            if self._port is not None:
                self._slots.clear()
                self._port.delete()
                self._port = None


class _SharedSubscriber(_Inbox):
    def __init__(self, topic: Topic, port: Any, keep: int) -> None:
        super().__init__(keep)
        self._topic = topic
        self._dtype = topic.spec.dtype
        self._port = port

    def _catch_up(self) -> None:
        if self._kept.maxlen == 1:
            self._receive_newest()  # a picture that nobody will look at is not worth a copy
        else:
            super()._catch_up()

    def _receive(self) -> list[Record]:
        port = self._open_port()
        new = []
        while (sample := port.receive()) is not None:
            new.append(self._copy(sample))
        return new

    def _receive_newest(self) -> None:
        port = self._open_port()
        newest = None
        while (sample := port.receive()) is not None:
            newest = sample
        if newest is not None:
            self._kept.append(self._copy(newest))

    def _copy(self, sample: Any) -> Record:
        record: Record = np.ndarray((), self._dtype, ctypes.string_at(sample.payload_ptr, self._dtype.itemsize))
        sample.delete()
        return record  # read-only, since it lies in a bytes object

    def _open_port(self) -> Any:
        if self._port is None:
            raise BusError(f"topic {self._topic.name!r}: this bus is closed")
        return self._port

    def close(self) -> None:
        if self._port is not None:
            self._port.delete()
            self._port = None


class SharedBus(_ClosesOnExit):
    """Topics between the processes of one session; one object a process.

    session: letters, digits, '.', '_' and '-'. Sessions do not see one another.
    """

    def __init__(self, session: str) -> None:
        if not re.fullmatch(r"[\w.-]+", session):
            raise BusError(f"session {session!r}: use letters, digits, '.', '_' and '-' only")
        self._session = session
        self._node = _node()
        self._publishers: list[_SharedPublisher] = []
        self._subscribers: list[_SharedSubscriber] = []
        self._closing = threading.Event()
        self._adopter = threading.Thread(target=self._adopt, name="bus", daemon=True)
        self._adopter.start()

    def publisher(self, topic: Topic) -> Publisher:
        try:
            port = self._open(topic).publisher_builder().create()
        except iox2.PublisherCreateError as error:
            raise BusError(f"topic {topic.name!r} has {MAX_PUBLISHERS} publishers already ({error})") from error
        publisher = _SharedPublisher(topic, port)
        self._publishers.append(publisher)
        return publisher

    def subscriber(self, topic: Topic, keep: int = 1) -> Subscriber:
        try:
            port = self._open(topic).subscriber_builder().create()
        except iox2.SubscriberCreateError as error:
            raise BusError(f"topic {topic.name!r} has {MAX_SUBSCRIBERS} subscribers already ({error})") from error
        subscriber = _SharedSubscriber(topic, port, keep)
        self._subscribers.append(subscriber)
        return subscriber

    def close(self) -> None:
        if self._closing.is_set():
            return
        self._closing.set()
        self._adopter.join()
        for publisher in self._publishers:
            publisher.close()
        for subscriber in self._subscribers:
            subscriber.close()
        self._node = None

    def _open(self, topic: Topic) -> Any:
        if self._closing.is_set():
            raise BusError(f"topic {topic.name!r} asked of a closed bus")
        name = iox2.ServiceName.new(f"robot-stack/{self._session}/{topic.name}")
        try:
            return (
                self._node.service_builder(name)
                .publish_subscribe(_payload(topic))
                .enable_safe_overflow(True)
                .history_size(1)
                .subscriber_max_buffer_size(topic.depth)
                .subscriber_max_borrowed_samples(2)
                .max_publishers(MAX_PUBLISHERS)
                .max_subscribers(MAX_SUBSCRIBERS)
                .max_nodes(MAX_NODES)
                .open_or_create()
            )
        except iox2.PublishSubscribeOpenOrCreateError as error:
            raise _open_error(self._session, topic, str(error)) from error

    def _adopt(self) -> None:
        while not self._closing.wait(ADOPTION / 2):
            for publisher in self._publishers:
                publisher.adopt()


def clean_dead_nodes() -> int:
    """Reclaim the shared memory of this user's killed processes, of all sessions; return of how many."""
    return int(_node(cleans=False).try_cleanup_dead_nodes().cleanups)


def _node(cleans: bool = True) -> Any:
    """This process on the bus: files of its own for each user, no signal handlers, silent about what we report."""
    iox2.set_log_level(iox2.LogLevel.Error)
    config = iox2.config.default()
    config.global_cfg.prefix = iox2.FileName.new(f"robot-stack-{os.getuid()}_")
    config.global_cfg.root_path = iox2.Path.new(f"{tempfile.gettempdir()}/robot-stack-{os.getuid()}")
    config.global_cfg.node.cleanup_dead_nodes_on_creation = cleans
    builder = iox2.NodeBuilder.new().config(config).signal_handling_mode(iox2.SignalHandlingMode.Disabled)
    return builder.create(iox2.ServiceType.Ipc)


def _view(address: int, topic: Topic) -> Record:
    return np.ndarray((), topic.spec.dtype, (ctypes.c_char * topic.spec.dtype.itemsize).from_address(address))


def _payload(topic: Topic) -> type[ctypes.Structure]:
    """A structure of the record's size, whose name carries the layout, so that only equal layouts connect."""
    layout = f"{topic.depth} {topic.spec.to_json()}"
    name = f"robot_stack_{hashlib.sha256(layout.encode()).hexdigest()[:16]}"
    words = -(-topic.spec.dtype.itemsize // 8)
    return type(name, (ctypes.Structure,), {"_fields_": [("words", ctypes.c_uint64 * words)]})


def _open_error(session: str, topic: Topic, cause: str) -> RobotStackError:
    where = f"topic {topic.name!r} of session {session!r}"
    if "IncompatibleTypes" in cause:
        return SpecError(
            f"{where} is open with another layout or depth: end the processes that hold it, then start again"
        )
    return BusError(f"{where} cannot be opened ({cause})")
