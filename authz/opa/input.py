"""The input document: what Rego is told about a request. Version 1; documented in docs/opa.md. Pure.

It holds nothing that a credential could be made of, and no word of a prompt: bodies come after authz.
"""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import orjson

from authz.decide import Allowed, Ask

#: Counted up when a field changes its meaning or goes away; new fields leave it as it is.
VERSION: Final = 1
_LENGTH: Final = "content-length"


@dataclass(frozen=True, slots=True)
class Question:
    """One request that everything but OPA allows."""

    ask: Ask
    allowed: Allowed


def _size(question: Question) -> int | None:
    """What the client announces. `decide` has read it before: it is one whole number, or absent (chunked bodies)."""
    return next((int(value) for name, value in question.ask.headers if name == _LENGTH), None)


#: Every field that a decision may be remembered by (`gateway.policy.opa.FIELDS`), and where it comes from.
VALUES: Final[Mapping[str, Callable[[Question], Hashable]]] = MappingProxyType(
    {
        "caller.tenant": lambda each: each.allowed.caller.tenant,
        "caller.principal": lambda each: each.allowed.caller.principal,
        "caller.key_id": lambda each: each.allowed.caller.key_id,
        "caller.method": lambda each: each.allowed.method,
        "caller.client": lambda each: each.allowed.caller.client,
        "caller.scopes": lambda each: each.allowed.caller.scopes,
        "caller.groups": lambda each: each.allowed.caller.groups,
        "caller.certificate": lambda each: each.allowed.caller.certificate,
        "request.method": lambda each: each.ask.method,
        "request.path": lambda each: each.ask.path,
        "request.size": _size,
        "source.address": lambda each: each.ask.address,
    },
)


def document(question: Question, now_s: float) -> bytes:
    """The document as JSON. A size that is not known is left out, so that no comparison with it holds."""
    parts: dict[str, dict[str, Any]] = {"caller": {}, "request": {}, "source": {}}
    for name, value_of in VALUES.items():
        part, _, field = name.partition(".")
        value = value_of(question)
        if value is not None:
            parts[part][field] = value
    return orjson.dumps({"version": VERSION, **parts, "time": int(now_s)})
