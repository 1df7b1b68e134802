"""What an MCAP file and a rosbag2 database have in common: topics, and messages that can be found again."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from robot_stack.types import ConfigError

CDR = "cdr"
"""The encoding of ROS 2's messages."""


@dataclass
class Topic:
    """One topic of a bag. type: as in 'sensor_msgs/msg/JointState'. encoding: of its messages; CDR can be read.

    definition: the text of the message's definition, empty when the bag does not hold it; syntax: ros2msg or ros2idl.
    count, first, last: messages, and when the bag received the first and the last of them [ns].
    """

    name: str
    type: str
    encoding: str
    definition: str
    syntax: str
    count: int = 0
    first: int = 0
    last: int = 0

    @property
    def rate(self) -> float:
        """Messages a second [Hz]; 0 when there are not two of them."""
        return (self.count - 1) * 1e9 / (self.last - self.first) if self.last > self.first else 0.0


class Place(NamedTuple):
    """Where a message is: `at` in the file (a byte, or a row of a database), `inside` the chunk there, -1: no chunk."""

    at: int
    inside: int


class Message(NamedTuple):
    """A message as it lies in a file. received: when the recorder got it [ns]. data: encoded, at least its start."""

    topic: str
    received: int
    data: bytes | memoryview
    place: Place


class BagFile(Protocol):
    """One file of a bag. A file that was cut or damaged gives what is whole in it, and says so in `warnings`."""

    name: str
    warnings: list[str]

    def topics(self) -> dict[str, Topic]:
        """The topics by name, with their counts."""
        ...

    def messages(self, topics: Collection[str]) -> Iterator[Message]:
        """The messages of these topics as they lie in the file; bounded memory."""
        ...

    def read(self, place: Place) -> bytes | memoryview:
        """The whole encoded message at a place that `messages` gave."""
        ...

    def close(self) -> None:
        """Let go of the file, until the next time that it is read."""
        ...


def need_rosbags() -> ConfigError:
    """What to say when the library is missing."""
    return ConfigError("reading MCAP and rosbag2 needs the library rosbags: pip install 'rosbags>=0.11'")
