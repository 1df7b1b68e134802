"""Topics between processes, through iceoryx2 (https://iceoryx.io): lock-free queues in shared memory."""

import ctypes
import hashlib
import os
import re
import stat
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import iceoryx2 as iox2
import numpy as np

from robot_stack.bus.protocol import BusError, ClosesOnExit, Inbox, Publisher, Subscriber, layout_error
from robot_stack.clock import now
from robot_stack.spec import Record
from robot_stack.station import Topic
from robot_stack.types import RobotStackError, SpecError

ADOPTION = 0.1
"""A late joiner has the newest record of a publisher that sends rarely after at most this long [s]."""

CREATION = 2.0
"""Nobody who lives takes as long to create a topic [s]."""

MAX_PUBLISHERS = 4  # one by rule; a restarted one may overlap with the killed one whose place is not yet reclaimed
MAX_SUBSCRIBERS = 16
MAX_NODES = 32  # one a process


class _SharedPublisher:
    def __init__(self, topic: Topic, port: Any) -> None:
        self._topic = topic
        self._port = port
        self._accepted = topic.spec.dtype
        self._slots: dict[int, memoryview] = {}  # of the shared memory that this publisher writes to, by address
        self._lock = threading.Lock()
        self._sent = False

    def send(self, record: Record) -> None:
        if record.dtype is not self._accepted:
            if record.dtype != self._accepted:
                raise layout_error(self._topic, record)
            self._accepted = record.dtype  # comparing two layouts costs more than sending: done once
        with self._lock:
            if self._port is None:
                raise BusError(f"topic {self._topic.name!r}: this publisher is closed")
            sample = self._port.loan_uninit()
            address = sample.payload_ptr
            slot = self._slots.get(address)
            if slot is None:
                slot = self._slots[address] = _view(address, self._topic)
            slot[:] = record.tobytes()  # numpy would copy field by field
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


class _SharedSubscriber(Inbox):
    def __init__(self, topic: Topic, port: Any, keep: int) -> None:
        super().__init__(keep)
        self._topic = topic
        self._dtype = topic.spec.dtype
        self._port = port

    def latest(self) -> Record | None:
        if self._kept.maxlen != 1:
            return super().latest()
        receive = self._open_port().receive
        newest = None
        while (sample := receive()) is not None:
            newest = sample
        if newest is not None:  # a picture that nobody will look at is not worth a copy
            self._kept.append(self._copy(newest))
        return self._kept[-1] if self._kept else None

    def _receive(self) -> list[Record]:
        port = self._open_port()
        new = []
        while (sample := port.receive()) is not None:
            new.append(self._copy(sample))
        return new

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


class SharedBus(ClosesOnExit):
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
        name = f"robot-stack/{self._session}/{topic.name}"
        until = now() + 2.0 * CREATION
        while True:
            try:
                return (
                    self._node.service_builder(iox2.ServiceName.new(name))
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
                if "HangsInCreation" not in str(error) or now() > until:
                    raise _open_error(self._session, topic, str(error)) from error
                _remove_unfinished(name)

    def _adopt(self) -> None:
        while not self._closing.wait(ADOPTION / 2):
            for publisher in self._publishers:
                publisher.adopt()


def clean_dead_nodes() -> int:
    """Reclaim the shared memory of this user's killed processes, of all sessions; return of how many."""
    return int(_node(cleans=False).try_cleanup_dead_nodes().cleanups)


def _remove_unfinished(name: str) -> None:
    """Remove what a process that was killed while it created a topic left behind: it keeps all others from the name."""
    for file in Path(_root(), "services").glob("*.service"):
        with suppress(FileNotFoundError):
            status = file.stat()
            unfinished = status.st_mode & stat.S_IWUSR  # what is whole may not be written any more
            if unfinished and time.time() - status.st_mtime > CREATION:
                said = file.read_text()
                if not said or f'"{name}"' in said:  # killed before it could write whose it is, or after
                    file.unlink()


def _root() -> str:
    """Where iceoryx2 keeps the files of this user."""
    return f"{tempfile.gettempdir()}/robot-stack-{os.getuid()}"


def _node(cleans: bool = True) -> Any:
    """This process on the bus: files of its own for each user, no signal handlers, silent about what we report."""
    iox2.set_log_level(iox2.LogLevel.Error)
    config = iox2.config.default()
    config.global_cfg.prefix = iox2.FileName.new(f"robot-stack-{os.getuid()}_")
    config.global_cfg.root_path = iox2.Path.new(_root())
    config.global_cfg.node.cleanup_dead_nodes_on_creation = cleans
    builder = iox2.NodeBuilder.new().config(config).signal_handling_mode(iox2.SignalHandlingMode.Disabled)
    return builder.create(iox2.ServiceType.Ipc)


def _view(address: int, topic: Topic) -> memoryview:
    return memoryview((ctypes.c_char * topic.spec.dtype.itemsize).from_address(address)).cast("B")


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
