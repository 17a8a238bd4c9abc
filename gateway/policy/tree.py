"""YAML text as a tree in which every node knows its line. Knows nothing about what a policy contains.

Values stay texts until a field asks for a type, so YAML 1.1 cannot turn `off` into a boolean, `1e3` into a
float or `12:30` into a number. Anchors, aliases and tags are refused: nothing is ever expanded, hence no
"billion laughs".
"""

from dataclasses import dataclass, field
from typing import Final

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from gateway.policy.problem import Mark, Problems, is_secret, shown

MAX_DEPTH: Final = 12  # the deepest field, tenant.guards.request.rule.action, needs 5
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})  # YAML 1.2 core schema, section 10.3.2

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scalar:
    """One text. `plain` tells it from a quoted one, since only a plain `null` means "nothing"."""

    mark: Mark
    text: str
    plain: bool = True

    @property
    def is_null(self) -> bool:
        """Whether the author wrote nothing here."""
        return self.plain and self.text in _NULLS


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list of nodes."""

    mark: Mark
    items: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Mapping:
    """Named nodes, in file order, names unique."""

    mark: Mark
    entries: dict[str, tuple[Scalar, "Node"]]


@dataclass(frozen=True, slots=True)
class Broken:
    """Stands where a problem was already reported, so that no reader reports it twice."""

    mark: Mark


Node = Scalar | Sequence | Mapping | Broken


@dataclass(slots=True)
class _Frame:
    """A collection that is still open. `key` is the name that waits for its value (mappings only)."""

    mark: Mark
    path: Path
    mapping: bool
    items: list[Node] = field(default_factory=list)
    entries: dict[str, tuple[Scalar, Node]] = field(default_factory=dict)
    key: Node | None = None

    def inner(self) -> Path:
        """The path of the node that comes next."""
        if not self.mapping:
            return (*self.path, f"[{len(self.items)}]")
        return (*self.path, self.key.text) if isinstance(self.key, Scalar) else self.path


def parse(text: str, file: str, problems: Problems) -> Node:
    """Read one YAML document; what cannot be read is reported and stands as `Broken`."""
    try:
        return _Builder(file, problems).build(text)
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark or error.context_mark
        mark = Mark(file, at.line + 1, at.column + 1) if at else Mark(file, 1, 1)
        problems.add(mark, (), f"not valid YAML: {error.problem or error.context}")
    except yaml.reader.ReaderError as error:
        # libyaml gives a position in bytes and no line.
        before = text.encode()[: error.position].decode(errors="ignore")
        mark = Mark(file, before.count("\n") + 1, len(before) - before.rfind("\n"))
        problems.add(mark, (), f"not valid YAML: {error.reason}")
    return Broken(Mark(file, 1, 1))


class _Builder:
    """Builds one tree from parser events, with a stack of its own so that depth is ours to bound."""

    def __init__(self, file: str, problems: Problems) -> None:
        self._file = file
        self._problems = problems
        self._stack: list[_Frame] = []
        self._root: Node | None = None
        self._documents = 0

    def build(self, text: str) -> Node:
        # The C parser: ten times faster, which a file of some thousand keys needs. Events come lazily, so the
        # rest of a refused file is not parsed.
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            if not self._step(event):
                return Broken(self._mark(event))
        return self._root if self._root is not None else Scalar(Mark(self._file, 1, 1), "")

    def _step(self, event: yaml.Event) -> bool:
        """Take one event; False when the rest of the file must not be read."""
        mark = self._mark(event)
        if isinstance(event, ScalarEvent):  # most events are
            self._refuse_decorations(event, mark)
            self._put(self._scalar(event, mark))
        elif isinstance(event, DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._problems.add(mark, (), "expected one YAML document, found a second one", "remove the `---` line")
                return False
        elif isinstance(event, AliasEvent):
            self._problems.add(mark, self._here(), "aliases are refused", "write the value out")
            self._put(Broken(mark))
        elif isinstance(event, MappingStartEvent | SequenceStartEvent):
            self._refuse_decorations(event, mark)
            if len(self._stack) >= MAX_DEPTH:
                self._problems.add(mark, self._here(), f"nested deeper than {MAX_DEPTH} levels")
                return False
            self._stack.append(_Frame(mark, self._here(), isinstance(event, MappingStartEvent)))
        elif isinstance(event, MappingEndEvent | SequenceEndEvent):
            frame = self._stack.pop()
            whole = Mapping(frame.mark, frame.entries) if frame.mapping else Sequence(frame.mark, tuple(frame.items))
            self._put(whole)
        return True

    def _scalar(self, event: ScalarEvent, mark: Mark) -> Node:
        if is_secret(event.value):
            self._problems.add(
                mark,
                self._here(),
                "this looks like a live key or secret, which a policy never holds",
                "revoke it, then name a file (backends) or store the digest (keys)",
            )
            return Broken(mark)
        return Scalar(mark, event.value, plain=bool(event.implicit[0]))

    def _put(self, node: Node) -> None:
        if not self._stack:
            self._root = node
            return
        frame = self._stack[-1]
        if not frame.mapping:
            frame.items.append(node)
        elif frame.key is None:
            if not isinstance(node, Scalar | Broken):
                self._problems.add(node.mark, frame.path, "expected a name, found a list or mapping used as a name")
                node = Broken(node.mark)
            frame.key = node
        else:
            self._enter(frame, frame.key, node)
            frame.key = None

    def _enter(self, frame: _Frame, key: Node, value: Node) -> None:
        if not isinstance(key, Scalar):
            return
        first = frame.entries.get(key.text)
        if first is not None:
            hint = f"it is already set on line {first[0].mark.line}"
            self._problems.add(key.mark, (*frame.path, key.text), f"duplicate field {shown(key.text)}", hint)
            return
        frame.entries[key.text] = (key, value)

    def _refuse_decorations(self, event: yaml.NodeEvent, mark: Mark) -> None:
        if event.anchor is not None:
            self._problems.add(mark, self._here(), "anchors are refused", "write the value out where it is used")
        if getattr(event, "tag", None) is not None:
            self._problems.add(mark, self._here(), "YAML tags are refused", "write the plain value")

    def _here(self) -> Path:
        return self._stack[-1].inner() if self._stack else ()

    def _mark(self, event: yaml.Event) -> Mark:
        at = event.start_mark
        return Mark(self._file, at.line + 1, at.column + 1) if at else Mark(self._file, 1, 1)
