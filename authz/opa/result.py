"""What Rego's `decision` must be, read strictly. Whatever else it is, is a refusal with its own cause. Pure.

Nothing is forgiven, because nobody can tell what was meant: `"allow": "true"` may have been written by somebody who
wanted to say no.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

from gateway import obligation
from gateway.identity import NO_OBLIGATIONS, Obligations

_NAMES: Final = frozenset({"allow", "reasons", "obligations"})
_OBLIGATIONS: Final = frozenset({"models", "max_tokens", "guards", "route"})
#: Reasons go to the caller and into the record: sentences, not documents.
MAX_REASONS: Final = 16
MAX_REASON_CHARS: Final = 200
MAX_TOKENS: Final = 10_000_000  # ten times the longest context of any model
#: Obligations travel with every message of the exchange.
MAX_OBLIGATION_BYTES: Final = 8 * 1024
_MODEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}\Z", re.ASCII)
_RULE: Final = re.compile(r"[a-z0-9_.-]{1,64}\Z", re.ASCII)
_ROUTE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z", re.ASCII)


class ResultError(Exception):
    """Not a decision. The text names the field, never what was in it."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What the policy says."""

    allow: bool
    reasons: tuple[str, ...] = ()
    obligations: Obligations = NO_OBLIGATIONS


def read(value: object) -> Decided:
    """The decision. Raises ResultError."""
    if value is None:
        raise ResultError("undefined")
    if not isinstance(value, dict):
        raise ResultError("not an object")
    if not value.keys() <= _NAMES:
        raise ResultError("an unknown field")
    allow = value.get("allow")
    if not isinstance(allow, bool):
        raise ResultError("allow is not a boolean" if "allow" in value else "allow is missing")
    return Decided(allow, _reasons(value.get("reasons", [])), _obligations(value.get("obligations", {})))


def _reasons(found: object) -> tuple[str, ...]:
    if not isinstance(found, list) or len(found) > MAX_REASONS:
        raise ResultError(f"reasons is not a list of at most {MAX_REASONS}")
    for reason in found:
        # A control character could forge a line of somebody's log.
        if not isinstance(reason, str) or not 0 < len(reason) <= MAX_REASON_CHARS or not reason.isprintable():
            raise ResultError(f"a reason is not a line of 1 to {MAX_REASON_CHARS} characters")
    return tuple(found)


def _obligations(found: object) -> Obligations:
    if not isinstance(found, dict):
        raise ResultError("obligations is not an object")
    if not found.keys() <= _OBLIGATIONS:
        raise ResultError("an unknown obligation")  # one that nobody sees to is a rule that nobody enforces
    if not found:
        return NO_OBLIGATIONS
    most = found.get("max_tokens")
    if "max_tokens" in found and (type(most) is not int or not 1 <= most <= MAX_TOKENS):
        raise ResultError(f"obligations.max_tokens is not a whole number from 1 to {MAX_TOKENS}")
    route = found.get("route", "")
    if "route" in found and not (isinstance(route, str) and _ROUTE.match(route)):
        raise ResultError("obligations.route is not a name")
    read = Obligations(
        models=_names(found, "models", _MODEL) if "models" in found else None,
        max_tokens=most,
        guards=_names(found, "guards", _RULE) if "guards" in found else frozenset(),
        route=route,
    )
    if len(obligation.write(read)) > MAX_OBLIGATION_BYTES:
        raise ResultError(f"obligations have more than {MAX_OBLIGATION_BYTES} bytes")
    return read


def _names(found: dict[str, Any], field: str, what: re.Pattern[str]) -> frozenset[str]:
    names = found[field]
    if not isinstance(names, list) or not all(isinstance(name, str) and what.match(name) for name in names):
        raise ResultError(f"obligations.{field} is not a list of names")
    return frozenset(names)
