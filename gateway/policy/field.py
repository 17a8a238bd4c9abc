"""Typed fields out of a marked tree: each reader returns a usable value or reports why it could not."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from gateway.policy.problem import Mark, Problems, nearest, shown
from gateway.policy.tree import Broken, Mapping, Node, Path, Scalar, Sequence


@dataclass(frozen=True, slots=True)
class Shape:
    """What a text must look like, as a linear-time pattern and in words."""

    pattern: re.Pattern[str]
    expected: str


def shape(pattern: str, expected: str) -> Shape:
    """A shape that matches whole texts only."""
    return Shape(re.compile(rf"(?:{pattern})\Z", re.ASCII), expected)


_INTEGER: Final = shape(r"-?[0-9]{1,15}", "a whole number")
_MAX_ITEMS: Final = 10_000  # the longest sensible list, models of a tenant, has some hundred


class Table:
    """One mapping of a policy file, read field by field. `close` reports what nobody asked for."""

    __slots__ = ("_asked", "_node", "_problems", "path")

    def __init__(self, node: Node, path: Path, problems: Problems) -> None:
        self._problems = problems
        self._asked: list[str] = []
        self.path = path
        if isinstance(node, Scalar) and node.is_null:
            node = Mapping(node.mark, {})  # every field commented out
        if not isinstance(node, Mapping | Broken):
            problems.add(node.mark, path, f"expected fields, found {_kind(node)}")
            node = Broken(node.mark)
        self._node: Mapping | Broken = node

    @property
    def mark(self) -> Mark:
        """Where the mapping starts."""
        return self._node.mark

    def node(self, name: str) -> Node | None:
        """The field as it stands, or None when it is absent."""
        self._asked.append(name)
        if isinstance(self._node, Broken):
            return Broken(self._node.mark)
        entry = self._node.entries.get(name)
        return entry[1] if entry else None

    def scalar(self, name: str, what: Shape, *, optional: bool = False) -> Scalar | None:
        """A text of the given shape; None when it is absent or was reported."""
        node = self.node(name)
        if node is None:
            if not optional:
                self._problems.add(self.mark, (*self.path, name), "missing", f"expected {what.expected}")
            return None
        return read_scalar(node, (*self.path, name), what, self._problems)

    def text(self, name: str, what: Shape, default: str | None = None) -> str:
        """A text of the given shape; without a default the field is required."""
        found = self.scalar(name, what, optional=default is not None)
        return found.text if found else default or ""

    def maybe(self, name: str, what: Shape) -> str | None:
        """A text of the given shape, or None when the field is absent."""
        found = self.scalar(name, what, optional=True)
        return found.text if found else None

    def integer(self, name: str, low: int, high: int, default: int | None = None) -> int:
        """A whole number between two bounds, both allowed; without a default the field is required."""
        what = Shape(_INTEGER.pattern, f"a whole number from {low} to {high}")
        found = self.scalar(name, what, optional=default is not None)
        if found is None:
            return low if default is None else default
        if low <= int(found.text) <= high:
            return int(found.text)
        self._problems.add(found.mark, (*self.path, name), f"expected {what.expected}, found {shown(found.text)}")
        return low

    def flag(self, name: str) -> bool:
        """`true` or `false`; absent is false. Other spellings of YAML 1.1 (yes, on) are refused."""
        node = self.node(name)
        return node is not None and self.choice_of(node, name, ("true", "false")) == "true"

    def choice(self, name: str, known: Collection[str], default: str | None = None) -> str:
        """One of the known words; without a default the field is required."""
        node = self.node(name)
        if node is None:
            if default is None:
                self._problems.add(self.mark, (*self.path, name), "missing", nearest("", known))
            return default or ""
        return self.choice_of(node, name, known)

    def choice_of(self, node: Node, name: str, known: Collection[str]) -> str:
        """The same for a node that is already at hand."""
        return read_choice(node, (*self.path, name), known, self._problems)

    def words(self, name: str, what: Shape, *, optional: bool = False) -> tuple[Scalar, ...]:
        """A list of texts; one text alone is a list of one. Required unless `optional`."""
        node = self.node(name)
        path = (*self.path, name)
        if node is None:
            if not optional:
                self._problems.add(self.mark, path, "missing", f"expected a list, each {what.expected}")
            return ()
        if isinstance(node, Mapping):
            self._problems.add(node.mark, path, f"expected a list, each {what.expected}, found fields")
            return ()
        items = node.items if isinstance(node, Sequence) else (node,)
        if len(items) > _MAX_ITEMS:
            self._problems.add(node.mark, path, f"more than {_MAX_ITEMS} items")
            return ()
        read = (read_scalar(item, (*path, f"[{at}]"), what, self._problems) for at, item in enumerate(items))
        return tuple(item for item in read if item)

    def table(self, name: str) -> "Table | None":
        """A mapping inside this one, or None when it is absent."""
        node = self.node(name)
        return None if node is None else Table(node, (*self.path, name), self._problems)

    def entries(self) -> Iterator[tuple[Scalar, Node]]:
        """All fields of a mapping whose names are free (rule ids)."""
        if isinstance(self._node, Mapping):
            for name, entry in self._node.entries.items():
                self._asked.append(name)
                yield entry

    def close(self) -> None:
        """Report every field that was never asked for: a misspelt limit must not be a limit that is off."""
        if isinstance(self._node, Broken):
            return
        for name, (key, _) in self._node.entries.items():
            if name not in self._asked:
                hint = nearest(name, self._asked)
                self._problems.add(key.mark, (*self.path, name), f"unknown field {shown(name)}", hint)


def read_scalar(node: Node, path: Path, what: Shape, problems: Problems) -> Scalar | None:
    """`node` as a text of the given shape, or None with the reason on the list."""
    if isinstance(node, Broken):
        return None
    if not isinstance(node, Scalar):
        problems.add(node.mark, path, f"expected {what.expected}, found {_kind(node)}")
        return None
    if node.is_null:
        problems.add(node.mark, path, f"expected {what.expected}, found nothing")
        return None
    if not what.pattern.match(node.text):
        problems.add(node.mark, path, f"expected {what.expected}, found {shown(node.text)}")
        return None
    return node


_ANY: Final = shape(r"(?s:.*)", "a text")


def read_choice(node: Node, path: Path, known: Collection[str], problems: Problems) -> str:
    """`node` as one of the known words, or "" with the reason on the list."""
    found = read_scalar(node, path, _ANY, problems)
    if found is None:
        return ""
    if found.text not in known:
        problems.add(found.mark, path, f"unknown value {shown(found.text)}", nearest(found.text, known))
        return ""
    return found.text


def _kind(node: Node) -> str:
    if isinstance(node, Sequence):
        return "a list"
    if isinstance(node, Mapping):
        return "fields"
    return shown(node.text) if isinstance(node, Scalar) else "nothing"
