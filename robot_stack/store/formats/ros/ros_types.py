"""Decodes ROS 2 messages (CDR) by the definitions in the bag.

By rosbags and not by mcap with mcap-ros2-support: rosbags decodes a JointState in 21 us into numpy arrays, reads .msg
and .idl definitions, and knows the definitions of ROS's own messages for bags without them; mcap's decoder makes lists
and knows only .msg, and there is nothing for sqlite3 in it.
"""

from collections.abc import Mapping
from pathlib import Path
from struct import error as struct_error
from typing import Any

from robot_stack.store.formats.ros.bag import CDR, Topic, need_rosbags
from robot_stack.types import StoreError

HEADER = "std_msgs/msg/Header"
_IDL_SEPARATOR = "=" * 80 + "\n"


class RosTypes:
    """The types of the messages of some topics of one bag.

    definitions: a folder of ROS packages (`<package>/msg/<Type>.msg`) for types that the bag does not describe.
    """

    def __init__(self, bag: str, topics: Mapping[str, Topic], definitions: Path | None = None) -> None:
        try:
            from rosbags.typesys import Stores, TypesysError, get_typestore
        except ImportError as error:
            raise need_rosbags() from error
        self.warnings: list[str] = []
        self._store = get_typestore(Stores.EMPTY)
        self._common = get_typestore(Stores.ROS2_HUMBLE)
        self._given = _read_definitions(definitions) if definitions else {}
        for topic in topics.values():
            if topic.encoding != CDR:
                raise StoreError(
                    f"{bag}: the messages of {topic.name} are encoded as {topic.encoding or 'nothing that is named'}; "
                    f"those of ROS 2 ({CDR}) can be read"
                )
            try:
                self._store.register(self._definition(bag, topic))
                self._store.get_msgdef(topic.type)
            except (TypesysError, KeyError, SyntaxError) as error:
                raise StoreError(
                    f"{bag}: the definition of {topic.type} ({topic.name}) cannot be read: {error}"
                ) from error

    def decode(self, data: bytes | memoryview, kind: str) -> Any:
        """The message in these bytes; StoreError when they are not one."""
        from rosbags.serde import SerdeError

        try:
            return self._store.deserialize_cdr(data, kind)
        except (SerdeError, UnicodeDecodeError, ValueError, IndexError, KeyError, OverflowError, struct_error) as error:
            raise StoreError(f"no {kind}: {error}") from error

    def has_header(self, kind: str) -> bool:
        """Whether the messages begin with a std_msgs/Header, whose first eight bytes are the stamp."""
        _, fields = self._store.fielddefs[kind]
        return bool(fields) and fields[0][1][1] == HEADER

    def _definition(self, bag: str, topic: Topic) -> Any:
        if topic.definition:
            return _parse(topic.definition, topic.syntax, topic.type)
        if topic.type in self._given:
            return self._common.fielddefs | self._given
        if topic.type in self._common.fielddefs:
            self.warnings.append(f"{bag} does not define {topic.type} ({topic.name}): that of ROS 2 Humble is used")
            return self._common.fielddefs
        raise StoreError(
            f"{bag} does not hold the definition of {topic.type} ({topic.name}), and it is not one of ROS's own. Write "
            "`definitions: FOLDER` into the mapping, a folder with <package>/msg/<Type>.msg in it"
        )


def _parse(text: str, syntax: str, kind: str) -> Any:
    from rosbags.typesys import get_types_from_idl, get_types_from_msg

    if syntax != "ros2idl":
        return get_types_from_msg(text, kind)
    parts = text.split(_IDL_SEPARATOR)[1:] if text.startswith(f"{_IDL_SEPARATOR}IDL: ") else [text]
    types: dict[str, Any] = {}
    for part in parts:
        types.update(get_types_from_idl(part.partition("\n")[2] if part.startswith("IDL: ") else part))
    return types


def _read_definitions(folder: Path) -> dict[str, Any]:
    """The types of all `<package>/msg/<Type>.msg` in a folder."""
    files = sorted(folder.rglob("msg/*.msg"))
    if not files:
        raise StoreError(f"definitions: there is no <package>/msg/<Type>.msg in {folder}")
    types: dict[str, Any] = {}
    for file in files:
        types.update(_parse(file.read_text(), "ros2msg", f"{file.parents[1].name}/msg/{file.stem}"))
    return types
