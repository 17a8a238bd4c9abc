"""Reading a JSON tree that others wrote: typed fields or a typed error, and what was left unread. No dialect's own."""

from collections.abc import Callable
from typing import Any, Final

import orjson

from extproc.translate.canon import Lost, Part, Text
from gateway.errors import GatewayError, Kind

#: More than any model's context; a larger number is no count of tokens.
_MOST: Final = 10**9
#: Levels of a call's arguments: half of what the JSON writer takes, and far beyond what any function declares.
_DEEPEST: Final = 128


class Losses:
    """What does not arrive, each field once. What is essential stays so."""

    __slots__ = ("_lost",)

    def __init__(self) -> None:
        self._lost: dict[str, Lost] = {}

    def add(self, field: str, why: str, *, essential: bool = False) -> None:
        """`field` is lost."""
        known = self._lost.get(field)
        if known is None or (essential and not known.essential):
            self._lost[field] = Lost(field, why, essential)

    def rest(self, tree: dict[str, Any], known: frozenset[str], where: str = "") -> None:
        """Every field of `tree` that says something and is not known."""
        if tree.keys() <= known:
            return
        for name in tree.keys() - known:
            if tree[name] is not None:
                self.add(f"{where}{name}", "the gateway has no word for it in other dialects")

    @property
    def essential(self) -> bool:
        """Whether something is lost without which nothing shall be asked."""
        return any(each.essential for each in self._lost.values())

    def told(self) -> tuple[Lost, ...]:
        """All of it, in the order of the alphabet: sets have none, and headers shall not change from run to run."""
        return tuple(self._lost[name] for name in sorted(self._lost))


class Fields:
    """Reads fields of one side's trees; `fail` makes the error for (field, what belongs there)."""

    __slots__ = ("fail",)

    def __init__(self, fail: Callable[[str, str], GatewayError]) -> None:
        self.fail = fail

    def string(self, tree: dict[str, Any], name: str, where: str = "") -> str:
        """`tree[name]`, or "" where it is absent or null."""
        value = tree.get(name)
        if value is None:
            return ""
        if type(value) is not str:
            raise self.fail(where + name, "a string")
        return value

    def needed(self, tree: dict[str, Any], name: str, where: str = "") -> str:
        """`tree[name]`, a string that is not empty."""
        value = tree.get(name)
        if type(value) is not str or not value:
            raise self.fail(where + name, "a string that is not empty")
        return value

    def boolean(self, tree: dict[str, Any], name: str, where: str = "") -> bool | None:
        """`tree[name]`, or None."""
        value = tree.get(name)
        if value is not None and type(value) is not bool:
            raise self.fail(where + name, "true or false")
        return value

    def count(self, tree: dict[str, Any], name: str, where: str = "") -> int | None:
        """`tree[name]` as a whole number from 0, or None."""
        value = tree.get(name)
        if value is None:
            return None
        if type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is not int or not 0 <= value <= _MOST:
            raise self.fail(where + name, "a whole number")
        return value

    def whole(self, tree: dict[str, Any], name: str, where: str = "") -> int | None:
        """`tree[name]` as any whole number, or None."""
        value = tree.get(name)
        if value is not None and type(value) is not int:
            raise self.fail(where + name, "a whole number")
        return value

    def number(self, tree: dict[str, Any], name: str, where: str = "") -> float | None:
        """`tree[name]`, or None. Numbers without a fraction stay whole, so that they are written as they came."""
        value = tree.get(name)
        if value is not None and type(value) is not float and type(value) is not int:
            raise self.fail(where + name, "a number")
        return value

    def object(self, tree: dict[str, Any], name: str, where: str = "") -> dict[str, Any] | None:
        """`tree[name]`, or None."""
        value = tree.get(name)
        if value is not None and type(value) is not dict:
            raise self.fail(where + name, "an object")
        return value

    def objects(self, tree: dict[str, Any], name: str, where: str = "") -> list[dict[str, Any]]:
        """`tree[name]` as a list of objects, empty where it is absent or null."""
        value = tree.get(name)
        if value is None:
            return []
        if type(value) is not list or not all(type(item) is dict for item in value):
            raise self.fail(where + name, "a list of objects")
        return value

    def strings(self, tree: dict[str, Any], name: str, where: str = "") -> tuple[str, ...]:
        """`tree[name]` as strings, empty where it is absent or null."""
        value = tree.get(name)
        if value is None:
            return ()
        if type(value) is not list or not all(type(item) is str for item in value):
            raise self.fail(where + name, "a list of strings")
        return tuple(value)


def _invalid(field: str, expected: str) -> GatewayError:
    return GatewayError(Kind.REQUEST_INVALID, f"'{field}' must be {expected}.", param=field)


def malformed(what: str) -> GatewayError:
    """The provider sent something that cannot be translated."""
    return GatewayError(
        Kind.BACKEND_ANSWER_INVALID,
        "The model's answer could not be understood and was withheld.",
        cause=what,
    )


#: For what clients sent.
ASKED: Final = Fields(_invalid)
#: For what providers sent.
TOLD: Final = Fields(lambda field, expected: malformed(f"{field} is not {expected}"))


def arguments_of(source: str, fail: GatewayError) -> dict[str, Any]:
    """The arguments of a call as an object, for dialects that want one. Nothing said is an empty object."""
    if not source.strip():
        return {}
    try:
        tree = orjson.loads(source)
    except orjson.JSONDecodeError:
        raise fail from None
    if type(tree) is not dict:
        raise fail
    _check_depth(tree, fail)
    return tree


def source_of(arguments: dict[str, Any], fail: GatewayError) -> str:
    """The same the other way round, for dialects that want their source."""
    _check_depth(arguments, fail)
    return orjson.dumps(arguments).decode()


def _check_depth(tree: dict[str, Any], fail: GatewayError) -> None:
    """Readers of JSON go deeper than writers, which would fail as if the gateway had a fault."""
    level: list[Any] = [tree]
    for _ in range(_DEEPEST):
        inner = [child for node in level for child in (node.values() if type(node) is dict else node)]
        level = [child for child in inner if type(child) is dict or type(child) is list]
        if not level:
            return
    raise fail


def words_only(parts: tuple[Part, ...], losses: Losses, where: str) -> tuple[Part, ...]:
    """A system prompt's words: no dialect takes anything else there."""
    words = tuple(part for part in parts if type(part) is Text)
    if len(words) < len(parts):
        losses.add(where, "a system prompt is text", essential=True)
    return words


def read_metadata(body: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """`metadata` of OpenAI's APIs."""
    metadata = ASKED.object(body, "metadata") or {}
    if not all(type(value) is str for value in metadata.values()):
        raise ASKED.fail("metadata", "an object of strings")
    return tuple(metadata.items())
