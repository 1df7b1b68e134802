"""Choosing episodes by what is known of them: `verdict == 'success' and rows > 50 and source.operator > 0.1`.

An expression is parsed by Python's own parser and then interpreted here, never evaluated: comparisons, `and`, `or`,
`not`, `in`, names, numbers, texts and lists, nothing else. A name is an attribute of the episode (FORMAT.md; what is in
an attribute by a dot, `calibration.date`), or one of the figures: `rows`, `seconds`, `drops`, and the share of rows
that each source flew, 0 to 1 (`source.operator`). An attribute that an episode lacks is unlike everything.
"""

import ast
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import pairwise
from typing import Any

import numpy as np

from robot_stack.store.episode import Episode
from robot_stack.types import ConfigError, Source

ALLOWED = "comparisons (== != < <= > >= in), and, or, not, names, numbers, 'texts', [lists], True and False"

_ORDERS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_SHARES = {f"source.{source.name.lower()}": source for source in Source}


class Selection:
    """An expression, checked for what is allowed; `names` are those that it asks for."""

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            self._root = ast.parse(text.strip(), mode="eval").body
            self._check(self._root)
        except SyntaxError as error:
            raise ConfigError(f"cannot read where={text!r}: {error.msg}; there may be {ALLOWED}") from error
        except (ValueError, RecursionError, MemoryError) as error:
            raise ConfigError(f"cannot read where={text!r}: {error or 'it is too deep'}") from error
        self.names = sorted(set(_names(self._root)))

    def __call__(self, values: Mapping[str, Any]) -> bool:
        """Whether it holds of these values; a name that is not among them is unlike everything."""
        return self._truth(self._root, values)

    def _check(self, node: ast.AST) -> None:
        """Raise ConfigError unless this node and all below it are allowed."""
        match node:
            case ast.BoolOp(values=inner) | ast.List(elts=inner):
                below: Sequence[ast.AST] = inner
            case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=one):
                below = [one]
            case ast.Compare(left=left, ops=ops, comparators=others) if not any(
                isinstance(op, ast.Is | ast.IsNot) for op in ops
            ):
                below = [left, *others]
            case ast.Constant(value=bool() | int() | float() | str()) | ast.Name():
                below = []
            case ast.Attribute(value=ast.Name() | ast.Attribute() as inner_name):
                below = [inner_name]
            case _:
                raise ConfigError(f"where={self.text!r} has {self._said(node)!r} in it; there may be {ALLOWED}")
        for each in below:
            self._check(each)

    def _truth(self, node: ast.expr, values: Mapping[str, Any]) -> bool:
        match node:
            case ast.BoolOp(op=joint, values=inner):
                held = [self._truth(one, values) for one in inner]  # all of them, so that each is checked
                return all(held) if isinstance(joint, ast.And) else any(held)
            case ast.UnaryOp(op=ast.Not(), operand=one):
                return not self._truth(one, values)
            case ast.Compare(left=left, ops=ops, comparators=others):
                sides = [self._value(one, values) for one in (left, *others)]
                held = [self._compare(op, *pair) for op, pair in zip(ops, pairwise(sides), strict=True)]
                return all(held)
        value = self._value(node, values)
        if not isinstance(value, bool | None):
            raise ConfigError(
                f"where={self.text!r}: {self._said(node)} is {value!r}, neither true nor false: compare it"
            )
        return bool(value)

    def _value(self, node: ast.expr, values: Mapping[str, Any]) -> Any:
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name() | ast.Attribute():
                return values.get(ast.unparse(node))
            case ast.List(elts=inner):
                return [self._value(one, values) for one in inner]
            case ast.UnaryOp(op=ast.USub(), operand=one):
                value = self._value(one, values)
                if isinstance(value, str | bool | list):
                    raise ConfigError(f"where={self.text!r}: {value!r} is no number, and has no negative")
                return None if value is None else -value
        return self._truth(node, values)

    def _compare(self, op: ast.cmpop, left: Any, right: Any) -> bool:
        match op:
            case ast.Eq() | ast.NotEq():
                self._alike(left, right)
                return bool(left == right) is isinstance(op, ast.Eq)
            case ast.In() | ast.NotIn():
                return self._is_in(left, right) is isinstance(op, ast.In)
        if left is None or right is None:
            return False
        self._alike(left, right)
        if isinstance(left, bool | list):
            raise ConfigError(f"where={self.text!r}: {left!r} and {right!r} are neither more nor less than each other")
        return _ORDERS[type(op)](left, right)

    def _is_in(self, left: Any, right: Any) -> bool:
        if left is None or right is None:
            return False
        if isinstance(right, list):
            for one in right:
                self._alike(left, one)
            return left in right
        if isinstance(left, str) and isinstance(right, str):
            return left in right
        raise ConfigError(f"where={self.text!r}: {right!r} is no list that {left!r} could be in")

    def _alike(self, left: Any, right: Any) -> None:
        """Raise ConfigError unless these are of one kind, or one of them is not there."""
        if left is not None and right is not None and _kind(left) != _kind(right):
            raise ConfigError(
                f"where={self.text!r} compares {left!r} with {right!r}, {_kind(left)} with {_kind(right)}: "
                "a text is in quotes, a number is not"
            )

    def _said(self, node: ast.AST) -> str:
        return ast.get_source_segment(self.text.strip(), node) or type(node).__name__


def select(episodes: Sequence[Episode], where: str) -> list[Episode]:
    """The episodes of which an expression holds; ConfigError when it names what none of them has."""
    selection = Selection(where)
    known = [_attributes(episode) for episode in episodes]
    names = {name for values in known for name in values} | (_SHARES.keys() if _has_source(episodes) else set())
    for name in selection.names if episodes else ():
        if name not in names:
            close = get_close_matches(name, names)
            meant = f" Did you mean {' or '.join(close)}?" if close else ""
            raise ConfigError(f"No episode has {name!r}.{meant} There are: {', '.join(sorted(names))}.")
    if _SHARES.keys() & set(selection.names):
        known = [values | _shares(episode) for values, episode in zip(known, episodes, strict=True)]
    return [episode for episode, values in zip(episodes, known, strict=True) if selection(values)]


def _names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name | ast.Attribute):
        yield ast.unparse(node)
    else:
        for below in ast.iter_child_nodes(node):
            yield from _names(below)


def _attributes(episode: Episode) -> dict[str, Any]:
    """What is known of an episode without reading its rows."""
    return {**dict(_flat(episode.attrs)), "rows": len(episode), "seconds": len(episode) / episode.attrs["rate"]}


def _flat(attrs: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in attrs.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _has_source(episodes: Sequence[Episode]) -> bool:
    if not episodes or "source" not in episodes[0].spec:
        return False
    field = episodes[0].spec["source"]
    return field.shape == () and field.dtype[1] in "iu"


def _shares(episode: Episode) -> dict[str, Any]:
    """The share of rows that each source flew."""
    counts = np.bincount(episode["source"], minlength=len(Source)) / len(episode)
    return {name: float(counts[source]) for name, source in _SHARES.items()}


def _kind(value: Any) -> str:
    names = {bool: "true or false", str: "a text", int: "a number", float: "a number", list: "a list"}
    return names.get(type(value), type(value).__name__)
