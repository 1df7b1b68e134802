"""What is in a bag, and a mapping file for it that is ready to be edited."""

from collections.abc import Iterable
from typing import Any

from robot_stack.store.formats.ros.bag import CDR, Topic
from robot_stack.store.formats.ros.bags import Bag
from robot_stack.store.formats.ros.pictures import COMPRESSED, RAW, is_depth
from robot_stack.store.formats.ros.ros_types import RosTypes
from robot_stack.types import StoreError

JOINTS = "sensor_msgs/msg/JointState"
SUGGESTED_RATE = 10.0
"""Rows a second where there is no camera [Hz]."""

_PATHS = {  # type -> (path, unit)
    "geometry_msgs/msg/PoseStamped": ("pose", "m,1"),
    "geometry_msgs/msg/Pose": ("[position, orientation]", "m,1"),
    "geometry_msgs/msg/TwistStamped": ("twist", "m/s,rad/s"),
    "geometry_msgs/msg/Twist": ("[linear, angular]", "m/s,rad/s"),
    "geometry_msgs/msg/WrenchStamped": ("wrench", "N,Nm"),
    "geometry_msgs/msg/Wrench": ("[force, torque]", "N,Nm"),
    "geometry_msgs/msg/PointStamped": ("point", "m"),
    "sensor_msgs/msg/Joy": ("axes", ""),
    **{f"std_msgs/msg/{name}": ("data", "") for name in ("Bool", "Float32", "Float64", "Int32", "Int64", "UInt8")},
    **{f"std_msgs/msg/{name}MultiArray": ("data", "") for name in ("Float32", "Float64", "Int32")},
}
_COMMON = {
    "image",
    "image_raw",
    "color",
    "rgb",
    "depth",
    "compressed",
    "compressedDepth",
    "image_rect",
    "image_rect_raw",
}
_COMMON |= {"aligned_depth_to_color", "state", "states"}


def suggest(bag: Bag, source: str) -> str:
    """Says that a mapping is needed, with one for this bag that says what is in it. source: what was to come in."""
    try:
        topics = sorted(bag.topics.values(), key=lambda topic: topic.name)
        fields = list(_fields(bag, [topic for topic in topics if topic.count and topic.encoding == CDR]))
    finally:
        bag.close()
    rates = [topic.rate for topic in topics if topic.type in (RAW, COMPRESSED) and topic.rate]
    rate = float(max(1, round(min(rates)))) if rates else SUGGESTED_RATE
    widths = [max(len(text) for text in column) for column in zip(*map(_line, topics), strict=True)]
    lines = ["  ".join(text.ljust(width) for text, width in zip(_line(topic), widths, strict=True)) for topic in topics]
    head = f"{source} needs mapping=FILE, which says what topics become what fields of a row. Save and edit this one:"
    return "\n".join(
        [
            head,
            "",
            f"# The topics of {bag.name}:",
            *(f"#   {line.rstrip()}" for line in lines),
            "",
            f"rate: {rate:g}                  # rows a second [Hz]",
            'task: ""',
            'operator: ""',
            "verdict: unknown          # success, failure or unknown",
            "episodes: bag             # or {gap: 5.0} [s], or {topic: /recording}: true while it records",
            "fields:",
            *fields,
        ]
    )


def _line(topic: Topic) -> tuple[str, str, str, str]:
    return topic.name, topic.type or f"({topic.encoding or 'no type'})", f"{topic.count}", f"{topic.rate:.1f} Hz"


def _fields(bag: Bag, topics: list[Topic]) -> Iterable[str]:
    """Lines of the mapping, a field each; those that nothing can be said of as comments."""
    taken: set[str] = set()
    first = _first_messages(bag, [topic for topic in topics if topic.type in (JOINTS, RAW, COMPRESSED)])
    for topic in topics:
        message = first.get(topic.name)
        if topic.type == JOINTS and message is not None:
            yield from _joints(topic, message, taken)
        elif topic.type in (RAW, COMPRESSED) and message is not None:
            kind = "depth" if is_depth(message) else "image"
            yield f"  {_free(f'{kind}.{_name(topic.name)}', taken)}: {{topic: {topic.name}}}"
        elif topic.type in _PATHS:
            path, unit = _PATHS[topic.type]
            name = _free(_name(topic.name), taken)
            yield f"  {name}: {{topic: {topic.name}, path: {path}" + (f", unit: '{unit}'}}" if unit else "}")
        else:
            yield f"  # {_name(topic.name)}: {{topic: {topic.name}, path: ?}}    # {topic.type}"


def _joints(topic: Topic, message: Any, taken: set[str]) -> Iterable[str]:
    names = ", ".join(message.name)
    for field, path, unit in (("q", "position", "rad"), ("dq", "velocity", "rad/s")):
        if len(message.name) and len(getattr(message, path)) == len(message.name):
            name = _free(field, taken)
            yield f"  {name}: {{topic: {topic.name}, path: {path}, joints: [{names}], unit: {unit}}}"


def _first_messages(bag: Bag, topics: list[Topic]) -> dict[str, Any]:
    """The first message of each topic that can be decoded."""
    found: dict[str, Any] = {}
    try:
        types = RosTypes(bag.name, {topic.name: topic for topic in topics})
        missing = {topic.name: topic.type for topic in topics}
        for _, message in bag.messages(missing):
            if message.topic in missing:
                found[message.topic] = types.decode(message.data, missing.pop(message.topic))
            if not missing:
                break
    except StoreError:  # a definition or a message is damaged: an import would say so, this is only a suggestion
        return found
    return found


def _name(topic: str) -> str:
    """A short name for a topic: its words without those that all topics have."""
    words = [word for word in topic.strip("/").split("/") if word]
    return "_".join(word for word in words if word not in _COMMON) or words[-1]


def _free(name: str, taken: set[str]) -> str:
    number, made = 2, name
    while made in taken:
        number, made = number + 1, f"{name}{number}"
    taken.add(made)
    return made
