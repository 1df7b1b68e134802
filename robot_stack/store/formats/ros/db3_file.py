"""Reads the sqlite3 storage of rosbag2 (.db3), whole or cut, with what every Python has.

Tables: https://github.com/ros2/rosbag2/tree/rolling/rosbag2_storage_sqlite3. Message definitions are in it since
ROS 2 Iron (schema 4); before that only the types' names.
"""

import sqlite3
from collections.abc import Collection, Iterator
from pathlib import Path

from robot_stack.store.formats.ros.bag import Message, Place, Topic, need_rosbags
from robot_stack.types import StoreError

MAGIC = b"SQLite format 3\x00"


class Db3File:
    """One database of a bag. packed: each message is compressed by zstd (compression_mode MESSAGE)."""

    def __init__(self, path: Path, packed: bool = False) -> None:
        self.name = path.name
        self.warnings: list[str] = []
        self._packed = packed
        live = path.with_name(f"{path.name}-wal").exists()  # of a recorder that was killed
        self._uri = f"{path.absolute().as_uri()}?mode=ro{'' if live else '&immutable=1'}"
        self._opened: sqlite3.Connection | None = None
        try:
            self._topics = dict(self._read_topics())
        except sqlite3.DatabaseError as error:
            raise StoreError(f"{path} is no database of rosbag2, or is cut at its beginning: {error}") from error
        finally:
            self.close()

    def topics(self) -> dict[str, Topic]:
        """The topics by name, with their counts."""
        counts = "SELECT topic_id, count(*), min(timestamp), max(timestamp) FROM messages GROUP BY topic_id"
        try:
            for number, count, first, last in self._database.execute(counts):
                topic = self._topics[number]
                topic.count, topic.first, topic.last = count, first, last
        except sqlite3.DatabaseError:
            self._count()
        return {topic.name: topic for topic in self._topics.values()}

    def messages(self, topics: Collection[str]) -> Iterator[Message]:
        """The messages of these topics, with all of their bytes."""
        self.warnings.clear()
        wanted = [number for number, topic in self._topics.items() if topic.name in topics]
        columns = (
            f"SELECT id, topic_id, timestamp, data FROM messages WHERE topic_id IN ({','.join('?' * len(wanted))})"
        )
        last = 0
        try:
            for last, number, received, data in self._database.execute(f"{columns} ORDER BY id", wanted):
                yield Message(self._topics[number].name, received, self._unpack(data), Place(last, -1))
        except sqlite3.DatabaseError as error:
            self.warnings.append(
                f"{self.name} was cut or is damaged ({error}): the {last:,} messages before that place come in"
            )

    def read(self, place: Place) -> bytes:
        """The whole encoded message there."""
        (data,) = self._database.execute("SELECT data FROM messages WHERE id = ?", (place.at,)).fetchone()
        return self._unpack(data)

    def close(self) -> None:
        """Let go of the file, until the next time that it is read."""
        if self._opened is not None:
            self._opened.close()
        self._opened = None

    @property
    def _database(self) -> sqlite3.Connection:
        if self._opened is None:
            self._opened = sqlite3.connect(self._uri, uri=True)
            self._opened.execute("PRAGMA writable_schema = ON")  # lets SQLite read a file that is shorter than it says
        return self._opened

    def _read_topics(self) -> Iterator[tuple[int, Topic]]:
        tables = {name for (name,) in self._database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not {"topics", "messages"} <= tables:
            raise sqlite3.DatabaseError(f"it has the tables {', '.join(sorted(tables)) or '(none)'}")
        known = {}
        if "message_definitions" in tables:
            columns = "SELECT topic_type, encoding, encoded_message_definition FROM message_definitions"
            known = {kind: (text, syntax) for kind, syntax, text in self._database.execute(columns)}
        columns = "SELECT id, name, type, serialization_format FROM topics ORDER BY id"
        for number, name, kind, encoding in self._database.execute(columns):
            yield number, Topic(name, kind, encoding, *known.get(kind, ("", "")))

    def _count(self) -> None:
        """Count what can be read of a database that is cut."""
        for message in self.messages([topic.name for topic in self._topics.values()]):
            topic = next(topic for topic in self._topics.values() if topic.name == message.topic)
            topic.first = min(topic.first, message.received) if topic.count else message.received
            topic.last = max(topic.last, message.received)
            topic.count += 1

    def _unpack(self, data: bytes) -> bytes:
        if not self._packed:
            return data
        try:
            from backports.zstd import decompress
        except ImportError as error:
            raise need_rosbags() from error
        return decompress(data)
