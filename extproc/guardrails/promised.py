"""What a request asks of the form of its answer: a JSON Schema for its text, others for the arguments of its tools.

A caller's schema is hostile input. It is compiled only where its own size, its patterns and what it refers to have
bounds, and run only where schema and value together have; else the answer is not checked. No request is refused for it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final

import jsonschema_rs
import orjson

from extproc.guardrails.contracts import compile_schema
from extproc.providers.calls import declarations
from gateway.policy.schemas import Judge

#: Of one schema; those that official SDKs make of a program's types have a few KiB.
_SOURCE_BYTES: Final = 32 * 1024
#: Of all schemas of a request, which are kept while the model thinks.
_KEPT_BYTES: Final = 256 * 1024
_VALUES: Final = 5000  # of one schema, keys not counted: OpenAI takes as many properties
_PATTERNS: Final = 8
_PATTERN_CHARS: Final = 200
#: Of one pattern, compiled: with this its worst case takes 6 microseconds a character.
_PATTERN_BYTES: Final = 16 * 1024
_REGEX: Final = jsonschema_rs.RegexOptions(size_limit=_PATTERN_BYTES, dfa_size_limit=_PATTERN_BYTES)
#: What a pattern weighs, a keyword of any other kind being one: 6 microseconds to 25 nanoseconds.
_PATTERN_WEIGHT: Final = 240
_MOST_WEIGHT: Final = 10_000
#: Weight of a schema times characters of a value: a tenth of a second in the worst case that was found.
_WORK: Final = 4_000_000
_COMPILED: Final = 256  # schemas that stay compiled, at most 200 KiB each, mostly a tenth of it
_DIGEST_BYTES: Final = 16  # collisions must be out of reach for whoever would have another schema run
#: Keywords whose items are compared with a value one by one.
_LISTS: Final = ("const", "dependentRequired", "enum", "required", "type")
_OBJECT: Final = b'{"type":"object"}'  # what `json_object` promises


@dataclass(frozen=True, slots=True)
class Promised:
    """Schemas as JSON source; None where there is one that cannot be kept."""

    text: bytes | None = None
    asks_text: bool = False  # whether there is a schema for the text
    tools: Mapping[str, bytes | None] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether the request asks for anything."""
        return self.asks_text or bool(self.tools)


def promised(body: dict[str, Any]) -> Promised:
    """What a request of any dialect asks for."""
    room = _KEPT_BYTES
    tools: dict[str, bytes | None] = {}
    for named in declarations(body):
        schema = named.value.get("parameters")
        if type(schema) is dict and schema:
            source = None if named.tool in tools else _source(schema, room)  # of two, either may be meant
            room -= len(source or b"")
            tools[named.tool] = source
    asked = _asked(body)
    return Promised(None if asked is None else _source(asked, _KEPT_BYTES), asked is not None, tools)


def _asked(body: dict[str, Any]) -> Any:
    """The schema for the text, where each dialect has it (API references, "structured outputs")."""
    for holder, key in ((body, "response_format"), (body.get("text"), "format"), (body.get("output_config"), "format")):
        told = holder.get(key) if type(holder) is dict else None
        if type(told) is not dict:
            continue
        if told.get("type") == "json_object":
            return {"type": "object"}
        if told.get("type") == "json_schema":
            inner = told.get("json_schema")
            return inner.get("schema") if type(inner) is dict else told.get("schema")
    return None


def _source(schema: Any, room: int) -> bytes | None:
    try:
        source = orjson.dumps(schema, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # a lone surrogate, or nested too deep
        return None
    return source if len(source) <= min(room, _SOURCE_BYTES) else None


@dataclass(frozen=True, slots=True)
class _Compiled:
    validate: Callable[[Any], None]
    weight: int


class Shelf:
    """Schemas of callers, compiled. One a worker; which of them it holds is nobody's business."""

    def __init__(self) -> None:
        self._held: dict[bytes, _Compiled | None] = {}

    def breaks(self, source: bytes | None, value: Any, chars: int) -> bool | None:
        """Whether a value of so many characters breaks a schema; None where that is not checked."""
        compiled = None if source is None else self._of(source)
        if compiled is None or compiled.weight * chars > _WORK:
            return None
        try:
            compiled.validate(value)
        except jsonschema_rs.ValidationError:
            return True
        except UnicodeEncodeError:  # a lone surrogate: the engine knows Unicode text only
            return None
        return False

    def _of(self, source: bytes) -> _Compiled | None:
        digest = blake2b(source, digest_size=_DIGEST_BYTES).digest()
        held = self._held.pop(digest) if digest in self._held else _compiled(source)
        self._held[digest] = held  # last in the dict = most recently used
        if len(self._held) > _COMPILED:
            del self._held[next(iter(self._held))]
        return held


def _compiled(source: bytes) -> _Compiled | None:
    tree = orjson.loads(source)
    if not _bounded(tree):
        return None
    judge = Judge(tree, own=_own, most=_MOST_WEIGHT)
    if judge.fault() is not None:
        return None
    try:
        return _Compiled(compile_schema(tree, _REGEX).validate, judge.weight)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError):
        return None


def _bounded(tree: Any) -> bool:
    """Whether a schema is small in all its parts, also those that nothing refers to: they are compiled as well."""
    values = patterns = 0
    stack = [tree]
    while stack:
        node = stack.pop()
        values += 1
        if type(node) is dict:
            found = _patterns(node)
            patterns += len(found)
            if any(len(each) > _PATTERN_CHARS for each in found):
                return False
            stack.extend(node.values())
        elif type(node) is list:
            stack.extend(node)
    return values <= _VALUES and patterns <= _PATTERNS


def _patterns(node: dict[str, Any]) -> list[str]:
    found = [node["pattern"]] if type(node.get("pattern")) is str else []
    return [*found, *node["patternProperties"]] if type(node.get("patternProperties")) is dict else found


def _own(node: dict[str, Any]) -> int:
    """What a schema weighs without those inside it."""
    listed = sum(_size(node[key]) for key in _LISTS if key in node)
    return 1 + listed + _PATTERN_WEIGHT * len(_patterns(node))


def _size(value: Any) -> int:
    count, stack = 0, [value]
    while stack:
        node = stack.pop()
        count += 1
        if type(node) is dict:
            stack.extend(node.values())
        elif type(node) is list:
            stack.extend(node)
    return count


SHELF: Final = Shelf()
