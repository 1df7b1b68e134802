"""The mapping file: which topics of a bag become which fields of a row. Described in docs/mcap.md."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from robot_stack.store.writer import VERDICTS
from robot_stack.types import ConfigError, Source

STAMP, RECEIVED = "header.stamp", "receive"
PICTURES = ("image.", "depth.")
"""How the names of fields begin that are pictures: colour, and distances in 16 bit."""

DISCARD = "discard"
"""In place of a verdict: such an episode is left out."""


@dataclass(frozen=True)
class FieldMap:
    """One field of a row, and where it comes from.

    path: places in the message, as 'pose.position.x' or 'data[0:3]', joined in order. joints: names in the order that
    the field wants. quaternion: order in which the message has the last four numbers of the field; the field has xyzw.
    scale: what the numbers are multiplied by, quaternions excepted. time: STAMP, RECEIVED, or '' for the stamp where
    there is one. offset: added to the topic's times [s].
    """

    name: str
    topic: str
    path: tuple[str, ...] = ()
    joints: tuple[str, ...] = ()
    quaternion: str = ""
    scale: float = 1.0
    unit: str = ""
    frame: str = ""
    time: str = ""
    offset: float = 0.0

    @property
    def is_picture(self) -> bool:
        return self.name.startswith(PICTURES)


@dataclass(frozen=True)
class Cut:
    """How episodes are cut: nothing given: a bag is an episode.

    gap: a silence of all topics that is longer ends an episode [s]. topic, path: a value that says when to record:
    while it is true, or, given `start` and `stop`, from one of the values `start` to one of `stop`, whose verdicts
    those are.
    """

    gap: float = 0.0
    topic: str = ""
    path: str = "data"
    start: tuple[str, ...] = ()
    stop: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class BagMapping:
    """A whole mapping file. rate: rows a second [Hz]. definitions: folder with the .msg files that the bag lacks."""

    fields: tuple[FieldMap, ...]
    rate: float
    cut: Cut
    task: str = ""
    operator: str = ""
    verdict: str = "unknown"
    source: Source = Source.OPERATOR
    robot: str = ""
    definitions: Path | None = None

    @property
    def fingerprint(self) -> str:
        """The same for the same mapping, whatever its comments [hex]."""
        return hashlib.sha256(repr(self).encode()).hexdigest()


def read_mapping(path: Path, rate: float | None = None) -> BagMapping:
    """The mapping in a YAML file. rate: instead of the one in the file [Hz]."""
    try:
        loaded: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except FileNotFoundError as error:
        raise ConfigError(f"there is no mapping file {path}; without mapping=… a suggested one is printed") from error
    except (YAMLError, OmegaConfBaseException, OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no YAML file: {error}") from error
    try:
        return _mapping(_table(loaded, "the file"), path.parent, rate)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _mapping(given: dict[str, Any], folder: Path, rate: float | None) -> BagMapping:
    known = [*(field.name for field in fields(BagMapping) if field.name != "cut"), "episodes"]
    _only(given, known, "the file")
    named = _table(given.get("fields"), "fields")
    if not named:
        raise ConfigError("it needs `fields:`, each with a topic")
    made = tuple(_field(str(name), _table(about, f"fields: {name}")) for name, about in named.items())
    definitions = folder / _text(given, "definitions") if given.get("definitions") else None
    return BagMapping(
        fields=made,
        rate=_positive(given.get("rate") if rate is None else rate, "rate", "rows a second"),
        cut=_cut(given.get("episodes", "bag")),
        task=_text(given, "task"),
        operator=_text(given, "operator"),
        verdict=_choice(_text(given, "verdict", "unknown"), VERDICTS, "verdict"),
        source=Source[_choice(_text(given, "source", "operator"), [s.name.lower() for s in Source], "source").upper()],
        robot=_text(given, "robot"),
        definitions=definitions,
    )


def _field(name: str, given: dict[str, Any]) -> FieldMap:
    where = f"fields: {name}"
    _only(given, [field.name for field in fields(FieldMap) if field.name != "name"], where)
    if name in ("time", "source") or name.endswith(".time"):
        raise ConfigError(f"{where}: the import makes this field itself; give another name")
    if not given.get("topic"):
        raise ConfigError(f"{where} needs a topic")
    made = FieldMap(
        name=name,
        topic=_text(given, "topic"),
        path=_texts(given.get("path"), f"{where}: path"),
        joints=_texts(given.get("joints"), f"{where}: joints"),
        quaternion=_choice(_text(given, "quaternion"), ("", "xyzw", "wxyz"), f"{where}: quaternion"),
        scale=_number(given.get("scale", 1.0), f"{where}: scale"),
        unit=_text(given, "unit"),
        frame=_text(given, "frame"),
        time=_choice(_text(given, "time"), ("", STAMP, RECEIVED), f"{where}: time"),
        offset=_number(given.get("offset", 0.0), f"{where}: offset"),
    )
    if made.is_picture and (strange := sorted(given.keys() & {"path", "joints", "quaternion", "scale"})):
        raise ConfigError(f"{where} is a picture, which takes no {' and no '.join(strange)}")
    if not made.is_picture and not made.path:
        raise ConfigError(f"{where} needs a path into the message, as `path: position` (a picture is named image.…)")
    if made.joints and len(made.path) != 1:
        raise ConfigError(f"{where}: joints go with one path, here are {len(made.path)}")
    return made


def _cut(given: Any) -> Cut:
    if given == "bag":
        return Cut()
    table = _table(given, "episodes (bag, or `gap:`, or `topic:`)")
    _only(table, [field.name for field in fields(Cut)], "episodes")
    if ("gap" in table) == ("topic" in table):
        raise ConfigError("episodes: give either gap or topic")
    if "gap" in table:
        _only(table, ["gap"], "episodes: with gap")
        return Cut(gap=_positive(table["gap"], "episodes: gap", "seconds"))
    stop = table.get("stop", {})
    if not isinstance(stop, dict):
        stop = dict.fromkeys(_texts(stop, "episodes: stop"), "")
    for verdict in stop.values():
        _choice(str(verdict), ("", *VERDICTS, DISCARD), "episodes: stop")
    start = _texts(table.get("start"), "episodes: start")
    if bool(start) != bool(stop):
        raise ConfigError("episodes: start and stop come together; without both, the value is true while recording")
    ends = tuple((str(value), str(verdict)) for value, verdict in stop.items())
    return Cut(topic=_text(table, "topic"), path=_text(table, "path", "data"), start=start, stop=ends)


def _table(given: Any, where: str) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise ConfigError(f"{where}: expected `key: value` lines, found {json.dumps(given, default=str)}")
    return {str(key): value for key, value in given.items()}


def _only(given: Mapping[str, Any], known: list[str], where: str) -> None:
    if strange := [key for key in given if key not in known]:
        raise ConfigError(f"{where} has no {' and no '.join(strange)}; there are: {', '.join(known)}")


def _text(given: Mapping[str, Any], key: str, default: str = "") -> str:
    value = given.get(key)
    return default if value is None else str(value)


def _texts(given: Any, where: str) -> tuple[str, ...]:
    if given is None:
        return ()
    if isinstance(given, dict):
        raise ConfigError(f"{where}: expected a word or a list of words, found {given}")
    return tuple(map(str, given)) if isinstance(given, list) else (str(given),)


def _number(given: Any, where: str) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not abs(given) < float("inf"):
        raise ConfigError(f"{where}: expected a number, found {given!r}")
    return float(given)


def _positive(given: Any, where: str, unit: str) -> float:
    if given is None:
        raise ConfigError(f"{where} is missing: {unit}")
    number = _number(given, where)
    if number <= 0.0:
        raise ConfigError(f"{where}: expected {unit} above 0, found {number:g}")
    return number


def _choice(given: str, valid: Any, where: str) -> str:
    if given not in valid:
        raise ConfigError(f"{where}: there is no {given!r}; there are: {', '.join(filter(None, valid))}")
    return given
