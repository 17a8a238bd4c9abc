"""YAML or JSON text as a tree whose every value knows its line. Knows nothing about Envoy's messages.

Built from parser events with an explicit stack, so depth, size and aliases are bounded before any walk.
Field names are looked up in both spellings that protobuf JSON accepts (`stat_prefix`, `statPrefix`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final

import yaml

MAX_CHARS: Final = 4 * 1024 * 1024  # our own file has about 40,000; a hundred times that is no hand-written bootstrap
MAX_DEPTH: Final = 100  # protobuf itself refuses messages nested deeper than 100
MAX_NODES: Final = 250_000  # after aliases are expanded: what a walk over the tree may visit

_TRUE: Final = frozenset({"true", "yes", "on", "y"})  # YAML 1.1 booleans; Envoy 1.40 takes them, and quoted ones
_FALSE: Final = frozenset({"false", "no", "off", "n"})
_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})


class Kind(Enum):
    """What a node holds."""

    MISSING = "missing"
    SCALAR = "scalar"
    MAPPING = "mapping"
    SEQUENCE = "sequence"


class Unreadable(ValueError):  # noqa: N818  # it is a verdict on the file, told to the user as one problem
    """The text is no tree that may be judged; `rule` is the stable id of the reason."""

    def __init__(self, rule: str, message: str, line: int = 1, column: int = 1) -> None:
        super().__init__(message)
        self.rule, self.message, self.line, self.column = rule, message, line, column
        self.source = ""  # as of a Node


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word[:1].upper() + word[1:] for word in rest)


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One value. A lookup that finds nothing gives a false node at the nearest ancestor's position."""

    kind: Kind
    line: int
    column: int
    text: str = ""
    entries: tuple[tuple[str, "Node"], ...] = ()
    elements: tuple["Node", ...] = ()
    weight: int = 1
    source: str = ""  # the file, where it is not the bootstrap itself

    def __bool__(self) -> bool:
        """Whether the file says anything here; an explicit null says nothing (protobuf JSON)."""
        return self.kind is not Kind.MISSING

    def get(self, *path: str | int) -> "Node":
        """The node at `path`, or a false one at the position of the deepest ancestor that exists."""
        here: Node = self
        for step in path:
            found = here._child(step)
            if found is None:
                return Node(Kind.MISSING, here.line, here.column, source=here.source)
            here = found
        return here

    def _child(self, step: str | int) -> "Node | None":
        if isinstance(step, int):
            return self.elements[step] if step < len(self.elements) else None
        spelled = (step, _camel(step))
        # The last of two equal keys wins in Envoy; null is the same as absent.
        return next((value for key, value in reversed(self.entries) if key in spelled and value), None)

    def walk(self) -> Iterator["Node"]:
        """This node and all below it, parents first."""
        todo: list[Node] = [self]
        while todo:
            here = todo.pop()
            yield here
            todo.extend(reversed(here.elements))
            todo.extend(value for _, value in reversed(here.entries))

    def walk_entries(self) -> Iterator[tuple[str, "Node"]]:
        """Every key with its value, at any depth."""
        for here in self.walk():
            yield from here.entries

    @property
    def flag(self) -> bool | None:
        """The boolean, or None when the value is absent or no boolean."""
        word = self.text.lower()
        return True if word in _TRUE else False if word in _FALSE else None


@dataclass(frozen=True, slots=True)
class Repeated:
    """A key that stands twice in one mapping, or a merge key: the reader resolves it, Envoy may not."""

    key: str
    line: int
    column: int
    merge: bool = False


@dataclass(frozen=True, slots=True)
class Tree:
    """A whole document and what its reader stumbled over."""

    root: Node
    repeated: tuple[Repeated, ...]
    more_documents_line: int = 0  # Envoy reads the first document only


@dataclass(slots=True)
class _Open:
    """A mapping or sequence that is still being read."""

    mapping: bool
    line: int
    column: int
    anchor: str | None
    values: list[Node]
    keys: list[tuple[str, int, int]]
    ignored: bool = False


class _Reader:
    """Turns parser events into nodes; one instance per document."""

    def __init__(self, source: str) -> None:
        self._source = source
        self.root: Node | None = None
        self.repeated: list[Repeated] = []
        self._stack: list[_Open] = []
        self._anchors: dict[str, Node | None] = {}
        self._events = 0

    def take(self, event: Any) -> None:
        """Advance by one parser event."""
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        self._events += 1
        if self._events > 2 * MAX_NODES:  # a key and a value each are one event, an end is one more
            raise Unreadable("input.too-complex", f"More than {MAX_NODES:,} values.", line, column)
        if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            if len(self._stack) >= MAX_DEPTH:
                raise Unreadable("input.too-complex", f"Nested deeper than {MAX_DEPTH} levels.", line, column)
            self._expect_value(line, column)
            if event.anchor is not None:
                self._anchors[event.anchor] = None  # open: an alias to it from inside would never end
            mapping = isinstance(event, yaml.MappingStartEvent)
            self._stack.append(_Open(mapping, line, column, event.anchor, [], []))
        elif isinstance(event, yaml.ScalarEvent):
            self._scalar(event, line, column)
        elif isinstance(event, yaml.AliasEvent):
            target = self._anchors.get(str(event.anchor))
            if target is None:
                raise Unreadable("input.not-yaml", "An alias names no finished anchor.", line, column)
            self._add(replace(target, line=line, column=column), None)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            done = self._stack.pop()
            self._add(self._close(done), done.anchor)

    def _expect_value(self, line: int, column: int) -> None:
        if self._stack and self._stack[-1].mapping and len(self._stack[-1].keys) == len(self._stack[-1].values):
            raise Unreadable("input.not-yaml", "A mapping key must be plain text.", line, column)

    def _scalar(self, event: Any, line: int, column: int) -> None:
        top = self._stack[-1] if self._stack else None
        if top is not None and top.mapping and len(top.keys) == len(top.values):
            # Envoy drops a key tagged !ignore with its value; people keep anchors there.
            top.keys.append(("" if event.tag == "!ignore" else event.value, line, column))
            if event.anchor is not None:
                self._anchors[event.anchor] = Node(Kind.SCALAR, line, column, event.value, source=self._source)
            return
        plain = event.implicit[0]  # neither quoted nor tagged
        kind = Kind.MISSING if plain and event.value in _NULL else Kind.SCALAR
        text = "" if kind is Kind.MISSING else event.value
        self._add(Node(kind, line, column, text, source=self._source), event.anchor)

    def _add(self, node: Node, anchor: str | None) -> None:
        if anchor is not None:
            self._anchors[anchor] = node
        if not self._stack:
            self.root = node
            return
        top = self._stack[-1]
        if top.mapping and len(top.keys) == len(top.values):
            raise Unreadable("input.not-yaml", "A mapping key must be plain text.", node.line, node.column)
        if top.mapping:
            _, line, column = top.keys[len(top.values)]
            node = replace(node, line=line, column=column)  # a value is found by its key
        top.values.append(node)

    def _close(self, done: _Open) -> Node:
        weight = 1 + sum(value.weight for value in done.values)
        if weight > MAX_NODES:
            raise Unreadable(
                "input.too-complex",
                f"More than {MAX_NODES:,} values after its aliases are expanded.",
                done.line,
                done.column,
            )
        empty = Node(Kind.SEQUENCE, done.line, done.column, weight=weight, source=self._source)
        if not done.mapping:
            return replace(empty, elements=tuple(done.values))
        return replace(empty, kind=Kind.MAPPING, entries=self._entries(done))

    def _entries(self, done: _Open) -> tuple[tuple[str, Node], ...]:
        own: list[tuple[str, Node]] = []
        merged: list[tuple[str, Node]] = []
        seen: set[str] = set()
        for (key, line, column), value in zip(done.keys, done.values, strict=True):
            if key == "":
                continue
            if key == "<<" and (value.kind is not Kind.SCALAR):
                self.repeated.append(Repeated(key, line, column, merge=True))
                sources = value.elements if value.kind is Kind.SEQUENCE else (value,)
                for source in reversed(sources):  # an earlier source wins over a later one (YAML merge, 2005)
                    merged.extend(source.entries)
                continue
            if _camel(key) in seen:
                self.repeated.append(Repeated(key, line, column))
            seen.add(_camel(key))
            own.append((key, value))
        inherited = {key: value for key, value in merged if _camel(key) not in seen}
        return (*inherited.items(), *own)


def read(text: str, source: str = "") -> Tree:
    """Parse the first document of `text`; `source` names a file that is not the bootstrap itself.

    Raises:
        Unreadable: the text is too large, too deep, an alias bomb, or not YAML.
    """
    try:
        return _read(text, source)
    except Unreadable as verdict:
        verdict.source = source
        raise


def _read(text: str, source: str) -> Tree:
    if len(text) > MAX_CHARS:
        raise Unreadable("input.too-large", f"Longer than {MAX_CHARS:,} characters: no bootstrap is that long.")
    if text.lstrip("\ufeff \t\r\n").startswith("{"):
        text = text.replace("\t", " ")  # JSON indents with tabs, YAML may not; columns stay as they are
    loader: Any = getattr(
        yaml, "CSafeLoader", yaml.SafeLoader
    )  # libyaml is ten times faster; both give the same events
    reader = _Reader(source)
    documents, more_line = 0, 0
    try:
        events: Iterator[Any] = yaml.parse(text, Loader=loader)
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    more_line = event.start_mark.line + 1 if event.start_mark else 1
                    break
            reader.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        # The parser's own words never quote the file, whose lines may hold secrets.
        raise Unreadable("input.not-yaml", f"Not YAML: {error.problem or 'it does not parse'}.", line, column) from None
    except (yaml.YAMLError, UnicodeError, RecursionError):
        raise Unreadable("input.not-yaml", "Not YAML: it holds characters that no YAML file may hold.") from None
    root = reader.root if reader.root is not None else Node(Kind.MISSING, 1, 1, source=source)
    return Tree(root, tuple(reader.repeated), more_line)
