"""Names that a request gives its provider, of users and of prompt caches: replaced by names that only their tenant has.

Tenants who share a provider's key would share its caches by these names, could be taken for each other's users, and
would tell the provider who their users are. The same name always becomes the same one, so caches stay warm. Pure.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import orjson

from gateway.errors import Dialect

#: Where dialects have such names (OpenAI API reference; vLLM, "cache_salt"; Anthropic API reference).
_PLACES: Final[Mapping[Dialect, tuple[tuple[str, ...], ...]]] = {
    Dialect.OPENAI: (("user",), ("safety_identifier",), ("prompt_cache_key",), ("cache_salt",)),
    Dialect.ANTHROPIC: (("metadata", "user_id"),),
}
_STRING: Final = re.compile(rb'[ \t\r\n]*:[ \t\r\n]*("(?:[^"\\]|\\.)*")')
#: A field of the same name that stands elsewhere, such as in a tool's schema, is passed over; so many are looked at.
_LOOKS: Final = 8


def apart(raw: bytes, tree: dict[str, Any], dialect: Dialect, name: Callable[[bytes], str]) -> bytes:
    """The body with such names replaced, in `tree` too; `raw` itself where there are none. `name`: the tenant's own."""
    spliced: bytes | None = raw
    for holder, field in _held(tree, dialect):
        old = holder[field]
        holder[field] = name(old.encode() if type(old) is str else orjson.dumps(old))
        spliced = None if spliced is None else _replaced(spliced, field, old, holder[field])
    if spliced is raw:
        return raw
    # Whether the right one was met is seen by reading it; nothing else of the client's bytes is touched.
    return spliced if spliced is not None and orjson.loads(spliced) == tree else orjson.dumps(tree)


def _held(tree: dict[str, Any], dialect: Dialect) -> Iterator[tuple[dict[str, Any], str]]:
    for *way, field in _PLACES.get(dialect, ()):
        holder: Any = tree
        for step in way:
            holder = holder.get(step) if type(holder) is dict else None
        if type(holder) is dict and holder.get(field) is not None:
            yield holder, field


def _replaced(raw: bytes, field: str, old: Any, new: str) -> bytes | None:
    """The bytes with the first field of that name and value changed; None where there is none to be seen."""
    key = orjson.dumps(field)
    at = -len(key)
    for _ in range(_LOOKS):
        at = raw.find(key, at + len(key))
        if at < 0:
            return None
        found = _STRING.match(raw, at + len(key))
        if found is not None and orjson.loads(found[1]) == old:
            return raw[: found.start(1)] + orjson.dumps(new) + raw[found.end(1) :]
    return None
