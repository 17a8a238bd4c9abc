"""Reads a YAML mapping field by field, and tells every mistake at once, each with its line.

Works on the node tree, not on loaded values: `off` stays the text "off" (YAML 1.1 would make it a boolean).
"""

from dataclasses import dataclass
from typing import Final

import yaml

#: A specification is a page; anything larger is the wrong file, and aliases could make it far larger still.
SOURCE_CHARS_MAX: Final = 64 * 1024
#: int() is quadratic in digits; no limit of ours has more.
_DIGITS_MAX: Final = 19


class SpecError(ValueError):
    """A specification that cannot be used; `problems` are complete sentences with file and line."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Where:
    """A line of the file being read."""

    line: int


class MappingReader:
    """One reading of one file; collects problems instead of stopping at the first."""

    def __init__(self, source: str) -> None:
        self.problems: list[str] = []
        self._source = source
        self._fields: list[Fields] = []

    def top(self, text: str) -> "Fields":
        """The fields of the file's top-level mapping."""
        if len(text) > SOURCE_CHARS_MAX:
            self.check(Where(1), False, f"file is larger than {SOURCE_CHARS_MAX} characters")
            return self.fields(None, "")
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as broken:
            line = broken.problem_mark.line + 1 if broken.problem_mark else 1
            self.check(Where(line), False, f"not YAML: {broken.problem}")
            return self.fields(None, "")
        except yaml.YAMLError:
            self.check(Where(1), False, "not YAML")
            return self.fields(None, "")
        return self.fields(node, "")

    def fields(self, node: yaml.Node | None, path: str) -> "Fields":
        """The fields of a mapping node; a missing one has none."""
        made = Fields(self, node, path)
        self._fields.append(made)
        return made

    def check(self, where: Where, good: bool, problem: str) -> None:
        """Note a problem unless `good`."""
        if not good:
            self.problems.append(f"{self._source}:{where.line}: {problem}")

    def refuse_unknown(self) -> None:
        """Note every key that nobody asked for: a misspelt limit must not silently become a default."""
        for fields in self._fields:
            fields.refuse_unknown()


class Fields:
    """The keys of one mapping, by name."""

    def __init__(self, reader: MappingReader, node: yaml.Node | None, path: str) -> None:
        self._reader = reader
        self._path = path
        self._missing = node is None
        self._line = node.start_mark.line + 1 if node else 1
        self._nodes: dict[str, yaml.Node] = {}
        self._lines: dict[str, int] = {}
        self._asked: set[str] = set()
        if node is None:
            return
        if not isinstance(node, yaml.MappingNode):
            reader.check(Where(self._line), False, f"{path or 'the file'} must be a mapping")
            self._missing = True
            return
        for key, value in node.value:
            name = str(key.value)
            line = key.start_mark.line + 1
            reader.check(Where(line), name not in self._nodes, f"{self._named(name)} is given twice")
            self._nodes[name] = value
            self._lines[name] = line

    def __contains__(self, name: str) -> bool:
        """Whether the key is there."""
        return name in self._nodes

    def where(self, name: str) -> Where:
        """The line of a key, or of the mapping that lacks it."""
        return Where(self._lines.get(name, self._line))

    def mapping(self, name: str, *, required: bool = True) -> "Fields":
        """The mapping under a key."""
        node = self._take(name, required=required)
        return self._reader.fields(node, self._named(name))

    def text(self, name: str, default: str | None = None) -> str:
        """A scalar as it is written; without a default it must be there and not be empty."""
        node = self._take(name, required=default is None)
        if node is None:
            return default or ""
        value = self._scalar(name, node)
        empty = isinstance(node, yaml.ScalarNode) and not value  # another kind of node has been told already
        self._reader.check(self.where(name), not empty, f"{self._named(name)} must not be empty")
        return value

    def texts(self, name: str, default: tuple[str, ...]) -> tuple[str, ...]:
        """A list of scalars, not empty."""
        node = self._take(name, required=False)
        if node is None:
            return default
        if not isinstance(node, yaml.SequenceNode) or not node.value:
            self._reader.check(self.where(name), False, f"{self._named(name)} must be a list with an entry")
            return default
        return tuple(self._scalar(name, item) for item in node.value)

    def integer(self, name: str, default: int, least: int, most: int) -> int:
        """A whole number within bounds."""
        value = self.optional_integer(name, least, most)
        return default if value is None else value

    def optional_integer(self, name: str, least: int, most: int) -> int | None:
        """A whole number within bounds, or None when the key is absent."""
        node = self._take(name, required=False)
        if node is None:
            return None
        written = self._scalar(name, node).replace("_", "")
        # isascii: int() would take other scripts' digits, which nobody reads as the number they are.
        if written.isascii() and written.isdigit() and len(written) <= _DIGITS_MAX and least <= int(written) <= most:
            return int(written)
        self._reader.check(self.where(name), False, f"{self._named(name)} must be a whole number, {least} to {most}")
        return None

    def refuse_unknown(self) -> None:
        """Note every key that was never asked for."""
        for name in self._nodes:
            self._reader.check(self.where(name), name in self._asked, f"{self._named(name)} is not a known key")

    def _take(self, name: str, *, required: bool) -> yaml.Node | None:
        self._asked.add(name)
        node = self._nodes.get(name)
        # A mapping that is itself missing has been reported once; its keys need not be.
        absent = node is None and required and not (self._missing and self._path)
        self._reader.check(self.where(name), not absent, f"{self._named(name)} is missing")
        return node

    def _scalar(self, name: str, node: yaml.Node) -> str:
        if isinstance(node, yaml.ScalarNode):
            return str(node.value)
        self._reader.check(self.where(name), False, f"{self._named(name)} must be a single value")
        return ""

    def _named(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name
