"""A tenant's JSON Schemas, compiled: which values of a request or an answer break which of them.

The engine is linear in schema and instance: its patterns are run by an automaton, and gateway.policy.schemas let no
schema in whose evaluation could grow faster. A mismatch names place and keyword; the value is in no error.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import jsonschema_rs
import orjson

from extproc.core.body import names_key_twice
from extproc.guardrails.guard import Guard, Tally
from extproc.providers.calls import calls, declarations
from gateway.errors import GatewayError, Kind
from gateway.policy.model import Action, BoundSchema, Part
from gateway.policy.schemas import FAMILY

#: Of one pattern, compiled. A pattern that a person wrote takes some KiB; repeats of repeats take all that there is.
_PATTERN_BYTES: Final = 1 << 20
_PATTERNS: Final = jsonschema_rs.RegexOptions(size_limit=_PATTERN_BYTES, dfa_size_limit=_PATTERN_BYTES)
_HIDDEN: Final = "a value"  # what the engine's own messages say in place of it
_NAME_CHARS: Final = 64  # of a caller's own field name in an error: enough to find it
_STEPS: Final = 32  # of a path in an error: as deep as bodies usually may be
_NOT_JSON: Final = "json"  # told where a keyword would be: arguments that cannot be read at all
_KEPT: Final = 1024  # tenants whose schemas stay compiled


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A value that breaks a schema. No part of the value is in here, only names of fields."""

    rule: str
    path: str  # from the body down, "messages[3].tool_calls[0].function.arguments.amount"
    keyword: str  # of JSON Schema, "maximum"

    def refusal(self) -> GatewayError:
        """What the caller reads."""
        return GatewayError(
            Kind.SCHEMA_MISMATCH,
            f"'{self.path}' does not fit your policy's schema: its keyword {self.keyword} fails (rule {self.rule}).",
            param=self.path,
            cause=self.rule,
        )


def fault(schema: Any) -> tuple[str, str] | None:
    """Where and why the engine cannot take a schema, or None. For the policy's loader."""
    try:
        compile_schema(schema)
    except jsonschema_rs.ValidationError as error:
        place = "".join(f"/{step}" for step in error.instance_path)
        steps = [str(step) for step in error.instance_path]
        if "pattern" in steps[-1:] or "patternProperties" in steps[-2:]:
            return place, "a pattern that no linear-time engine can run (look-around, back-reference), or too large"
        return place, error.message.partition("\n")[0]
    except (jsonschema_rs.ReferencingError, ValueError) as error:
        return "", str(error).partition("\n")[0]
    return None


def compile_schema(schema: Any, patterns: jsonschema_rs.RegexOptions = _PATTERNS) -> Any:
    """A validator that asks nobody. Raises what the engine raises where it cannot take a schema."""
    named = schema.get("$schema") if type(schema) is dict else None
    make = jsonschema_rs.Draft202012Validator if named is None else jsonschema_rs.validator_for
    return make(
        schema,
        pattern_options=patterns,
        validate_formats=True,
        ignore_unknown_formats=False,
        mask=_HIDDEN,
        offline=True,  # no reference is ever fetched
    )


class _Compiled:
    """One schema and what it judges."""

    __slots__ = ("_begins", "_names", "_validate", "rule")

    def __init__(self, bound: BoundSchema) -> None:
        self.rule: Final = f"{FAMILY}.{bound.name}"
        self._names: Final = frozenset(name for name in bound.tools if not name.endswith("*"))
        self._begins: Final = tuple(sorted(name[:-1] for name in bound.tools if name.endswith("*")))
        self._validate: Final = _validator(bound.source)

    def judges(self, tool: str) -> bool:
        return tool in self._names or tool.startswith(self._begins)

    def broken_at(self, value: Any, path: str) -> Mismatch | None:
        try:
            self._validate(value)
        except jsonschema_rs.ValidationError as error:
            return Mismatch(self.rule, path + _steps(error.instance_path), error.kind.name)
        except UnicodeEncodeError:  # a lone surrogate: the engine knows Unicode text only
            return Mismatch(self.rule, path, _NOT_JSON)
        return None


@lru_cache(maxsize=_KEPT)
def _validator(source: str) -> Any:
    return compile_schema(orjson.loads(source)).validate


class Contracts:
    """The schemas of one tenant. Immutable; made once for each set of them, by `of`."""

    __slots__ = ("_arguments", "_metadata", "_tools")

    def __init__(self, schemas: tuple[BoundSchema, ...]) -> None:
        by_part: dict[Part, list[_Compiled]] = {part: [] for part in Part}
        for bound in schemas:
            by_part[bound.part].append(_Compiled(bound))
        self._arguments: Final = tuple(by_part[Part.ARGUMENTS])
        self._metadata: Final = tuple(by_part[Part.METADATA])
        self._tools: Final = tuple(by_part[Part.TOOL])

    @classmethod
    def of(cls, schemas: Mapping[str, BoundSchema]) -> "Contracts":
        """The compiled schemas of a tenant, from memory after the first time."""
        return _contracts(tuple(schemas.values()))

    @property
    def argument_rules(self) -> tuple[str, ...]:
        """The rules that judge arguments of tool calls."""
        return tuple([each.rule for each in self._arguments])

    def judging(self, tool: str) -> tuple[str, ...]:
        """The rules that judge arguments of calls of `tool`."""
        return tuple([each.rule for each in self._arguments if each.judges(tool)])

    def request(self, body: dict[str, Any]) -> Iterator[Mismatch]:
        """Every schema that a request breaks, once for each value that breaks it."""
        if self._metadata:
            told = body.get("metadata")  # a schema may ask for fields: none at all has none of them
            for each in self._metadata:
                yield from _one(each.broken_at({} if told is None else told, "metadata"))
        if self._tools:
            for named in declarations(body):
                for each in self._tools:
                    if each.judges(named.tool):
                        yield from _one(each.broken_at(named.value, named.path))
        if self._arguments:
            for named in calls(body):
                yield from self.arguments(named.tool, named.value, named.path)

    def arguments(self, tool: str, value: Any, path: str) -> Iterator[Mismatch]:
        """Every schema that the arguments of one call break: JSON source as OpenAI has it, or JSON."""
        judging = [each for each in self._arguments if each.judges(tool)]
        if not judging:
            return
        readable = True
        if type(value) is str:
            value, readable = opened(value)
        for each in judging:
            yield from _one(each.broken_at(value, path) if readable else Mismatch(each.rule, path, _NOT_JSON))


@lru_cache(maxsize=_KEPT)
def _contracts(schemas: tuple[BoundSchema, ...]) -> Contracts:
    return Contracts(schemas)


def _one(found: Mismatch | None) -> tuple[Mismatch, ...]:
    return () if found is None else (found,)


def opened(source: str) -> tuple[Any, bool]:
    """Arguments as a value. No text at all is what some models write for no arguments."""
    if not source.strip():
        return {}, True
    try:
        value = orjson.loads(source)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return None, False
    if names_key_twice(source.encode(), _keys(value)):  # whoever calls the tool may read the other one
        return None, False
    return value, True


def _keys(value: Any) -> int:
    """How many keys a tree has. Never recurses: a tool's arguments may be nested as deep as the parser goes."""
    count, stack = 0, [value]
    while stack:
        node = stack.pop()
        if type(node) is dict:
            count += len(node)
            stack.extend(node.values())
        elif type(node) is list:
            stack.extend(node)
    return count


def _steps(path: list[str | int]) -> str:
    return "".join(f"[{step}]" if type(step) is int else f".{_shown(str(step))}" for step in path[:_STEPS])


def _shown(name: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in name[:_NAME_CHARS])


def check(body: dict[str, Any], schemas: Mapping[str, BoundSchema], guard: Guard, tally: Tally) -> None:
    """Tally every mismatch of a request. Raises SCHEMA_MISMATCH for the first that policy blocks on."""
    blocking: Mismatch | None = None
    for found in Contracts.of(schemas).request(body):
        if guard.runs(found.rule):
            tally.add(found.rule)
            if blocking is None and guard.done(found.rule) is Action.BLOCK:
                blocking = found
    if blocking is not None:
        raise blocking.refusal()
