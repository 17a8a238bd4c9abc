"""The `schemas` block of a tenant: which JSON Schema of the policy directory judges which part of a request.

Reads schemas, compiles none: whether an engine can take one is found out by a `Compile` that the caller brings along.
What is let in here can be judged in time proportional to schema and instance: references stay inside the file and
form no cycle, and a schema with every reference written out is bounded.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import orjson

from gateway.policy.field import Table, shape
from gateway.policy.files import list_names, read_text
from gateway.policy.model import BoundSchema, Part
from gateway.policy.problem import Mark, Problems, nearest, secret_at, shown

DIRECTORY: Final = "schemas"
#: Rule ids are `schema.<name>`.
FAMILY: Final = "schema"
#: What the record says of a field that an endpoint does not know is a rule id of the same family.
RESERVED: Final = frozenset({"unknown_field"})
PARTS: Final = tuple(part.value for part in Part)
DRAFTS: Final = (
    "https://json-schema.org/draft/2020-12/schema",
    "https://json-schema.org/draft/2019-09/schema",
    "http://json-schema.org/draft-07/schema",
)
#: Formats whose check takes linear time. Not `regex`: a text of the caller would be compiled.
FORMATS: Final = frozenset(
    {
        "date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "json-pointer", "time", "uri",
        "uri-reference", "uuid",
    }
)  # fmt: skip
#: Keywords that an engine judges by going over the same instance again for each level of nesting, or by rules that
#: only a run can resolve.
REFUSED: Final = frozenset(
    {"$dynamicAnchor", "$dynamicRef", "$recursiveAnchor", "$recursiveRef", "unevaluatedItems", "unevaluatedProperties"}
)
MAX_SCHEMAS: Final = 64  # of one tenant: about two for each of the tools that a request may offer
MAX_CHARS: Final = 256 * 1024  # the longest schemas of public APIs have half of it
MAX_LEVELS: Final = 64  # of schemas inside schemas, references followed
MAX_NODES: Final = 10_000  # schemas, every reference written out: a work budget for each value that is judged

_NAME: Final = shape(r"[a-z0-9][a-z0-9_-]{0,39}", "a name of up to 40 of a-z, 0-9, _ and -")
_FILE: Final = shape(r"schemas/[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.json", "a file such as schemas/refund.json")
_TOOL: Final = shape(r"[A-Za-z0-9_.:-]{1,64}\*?|\*", "a tool's name, which may end in *")
_ONE: Final = frozenset(
    {"additionalItems", "additionalProperties", "contains", "else", "if", "not", "propertyNames", "then"}
)
_LIST: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_MAP: Final = frozenset({"dependencies", "dependentSchemas", "patternProperties", "properties"})
_DEFINED: Final = frozenset({"$defs", "definitions"})

#: A schema -> the place in it and what no engine of linear time can do with it, or None.
Compile: TypeAlias = Callable[[Any], tuple[str, str] | None]


class Library:
    """The files of `schemas/`, each read once however many tenants bind it."""

    def __init__(self, directory: Path, compiled: Compile | None, problems: Problems) -> None:
        self._directory = directory
        self._compiled = compiled
        self._problems = problems
        self._read: dict[str, str] = {}
        self._unbound = {f"{DIRECTORY}/{name}" for name in list_names(directory / DIRECTORY)}

    def bind(self, table: Table | None) -> Mapping[str, BoundSchema]:
        """The block of one tenant."""
        if table is None:
            return {}
        found = {key.text: self._bound(key.text, table.table(key.text)) for key, _ in list(table.entries())}
        for key, _ in list(table.entries()):
            if not _NAME.pattern.match(key.text) or key.text in RESERVED:
                self._problems.add(key.mark, (*table.path, key.text), f"expected {_NAME.expected}")
        if len(found) > MAX_SCHEMAS:
            self._problems.add(table.mark, table.path, f"{len(found)} schemas, at most {MAX_SCHEMAS}")
        return found

    def close(self) -> None:
        """Report every file that no tenant binds: a rule that nobody evaluates is a rule that nobody enforces."""
        for name in sorted(self._unbound):
            self._problems.add(Mark(name, 1, 1), (), "not bound", "name it in `schemas` of a tenant")

    def _bound(self, name: str, table: Table | None) -> BoundSchema:
        if table is None:  # never: the name is one of the block's own
            raise KeyError(name)
        file = table.scalar("file", _FILE)
        part = table.choice("of", PARTS)
        tools = table.words("tools", _TOOL, optional=True)
        if part and (part == Part.METADATA.value) is bool(tools):
            hint = "a request has one `metadata`" if tools else 'name tools, or "*" for all'
            self._problems.add(table.mark, (*table.path, "tools"), "missing" if not tools else "means nothing", hint)
        table.close()
        return BoundSchema(
            name=name,
            part=Part(part) if part else Part.METADATA,
            source=self._source(file.text) if file else "{}",
            tools=frozenset(word.text for word in tools),
        )

    def _source(self, name: str) -> str:
        if name not in self._read:
            self._unbound.discard(name)
            self._read[name] = self._load(name)
        return self._read[name]

    def _load(self, name: str) -> str:
        """The schema on one line: how its file is written does not change the policy's version."""
        mark = Mark(name, 1, 1)
        text = read_text(self._directory / name, name, self._problems)
        if text is None:
            return "{}"
        if len(text) > MAX_CHARS:
            self._problems.add(mark, (), f"larger than {MAX_CHARS // 1024} KiB", "split it")
            return "{}"
        at = secret_at(text)
        if at >= 0:
            where = Mark(name, text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))
            self._problems.add(where, (), "holds what looks like a live key or secret", "remove and revoke it")
            return "{}"
        try:
            tree = orjson.loads(text)  # bounds the depth, before the standard library's parser recurses
            json.loads(text, object_pairs_hook=_each_once)
        except orjson.JSONDecodeError as error:
            self._problems.add(Mark(name, error.lineno, error.colno), (), f"not JSON: {error.msg}")
            return "{}"
        except _TwiceError as error:
            self._problems.add(mark, (), f"the key {shown(str(error))} is there twice in one object")
            return "{}"
        fault = Judge(tree).fault() or (self._compiled(tree) if self._compiled is not None else None)
        if fault is not None:
            place, told = fault
            self._problems.add(mark, (), f"at {place or 'its top'}: {told}")
            return "{}"
        return orjson.dumps(tree, option=orjson.OPT_SORT_KEYS).decode()


class _TwiceError(Exception):
    """A key that an object names twice."""


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object. Of a key that is there twice, the parser would keep the last, and drop a rule."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _TwiceError(key)
        found[key] = value
    return found


class _FaultError(Exception):
    """Where a schema cannot be taken, and why."""


class Judge:
    """One schema: whether all of it can be evaluated, in bounded time, without asking anybody."""

    def __init__(self, tree: Any, own: Callable[[dict[str, Any]], int] = lambda _: 1, most: int = MAX_NODES) -> None:
        """`own`: what a schema weighs beside those inside it. `most`: that all may weigh together."""
        self._tree = tree
        self._own = own
        self._most = most
        self.weight = 0  # of the whole, every reference written out; once `fault` found none
        self._cost: dict[int, int] = {}  # by identity of the node, which `tree` keeps alive
        self._open: set[int] = set()

    def fault(self) -> tuple[str, str] | None:
        """The first place that cannot be taken, as a JSON Pointer, and why."""
        if type(self._tree) is not dict:
            return "", "expected a JSON object"
        named = self._tree.get("$schema")
        if named is not None and (type(named) is not str or named.removesuffix("#") not in DRAFTS):
            return "/$schema", f"unknown draft; {nearest('', DRAFTS)}"
        try:
            self.weight = self._weigh(self._tree, "", 0)
        except _FaultError as error:
            place, told = error.args
            return place, told
        return None

    def _weigh(self, node: Any, place: str, level: int) -> int:
        """How many schemas stand in `node`, with every reference written out."""
        if type(node) is not dict:
            return 1  # true and false are schemas; of others the engine tells what is wrong
        known = self._cost.get(id(node))
        if known is not None:
            return known
        if id(node) in self._open:
            raise _FaultError(place, "a reference that leads back to itself has no bound")
        if level > MAX_LEVELS:
            raise _FaultError(place, f"nested more than {MAX_LEVELS} schemas deep")
        self._open.add(id(node))
        cost = self._own(node) + sum(self._weigh(each, at, level + 1) for each, at in self._inside(node, place))
        if cost > self._most:
            raise _FaultError(place, f"more than {self._most} schemas with every reference written out")
        self._open.discard(id(node))
        self._cost[id(node)] = cost
        for word in _DEFINED & node.keys():  # what nobody refers to is compiled all the same
            for key, each in _pairs(node[word]):
                self._weigh(each, f"{place}/{word}/{_escaped(key)}", level + 1)
        return cost

    def _inside(self, node: dict[str, Any], place: str) -> list[tuple[Any, str]]:
        """The schemas that `node` evaluates beside its own keywords."""
        found: list[tuple[Any, str]] = []
        for word, value in node.items():
            at = f"{place}/{_escaped(word)}"
            if word in REFUSED or (word == "$id" and node is not self._tree):
                raise _FaultError(at, f"{word} is not supported")
            if word == "format" and value not in FORMATS:
                raise _FaultError(at, f"a format that is not checked here; {nearest(str(value), FORMATS)}")
            if word == "$ref":
                found.append((self._at(value, at), at))
            elif word in _ONE or (word == "items" and type(value) is not list):
                found.append((value, at))
            elif word in _LIST or word == "items":
                found += [(each, f"{at}/{n}") for n, each in enumerate(value if type(value) is list else ())]
            elif word in _MAP:
                found += [(each, f"{at}/{_escaped(key)}") for key, each in _pairs(value)]
        return found

    def _at(self, reference: Any, place: str) -> Any:
        if type(reference) is not str or not (reference == "#" or reference.startswith("#/")):
            raise _FaultError(place, 'only references into the same file, such as "#/$defs/name"; nothing is fetched')
        node = self._tree
        for step in reference.split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            if type(node) is list and name.isdigit() and int(name[:9]) < len(node):
                node = node[int(name[:9])]
            elif type(node) is dict and name in node:
                node = node[name]
            else:
                raise _FaultError(place, "it leads nowhere")
        return node


def _pairs(value: Any) -> list[tuple[str, Any]]:
    return list(value.items()) if type(value) is dict else []


def _escaped(key: str) -> str:
    """A step of a JSON Pointer (RFC 6901 section 3), without control characters."""
    plain = key.replace("~", "~0").replace("/", "~1")
    return "".join(char if char.isprintable() else "?" for char in plain[:80])
