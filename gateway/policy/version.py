"""The name of a policy: a hash over what it means, not over how its files are written. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Any, Final

import orjson

from gateway.policy.model import Policy

PREFIX: Final = "p-"
HEX_DIGITS: Final = 12  # 48 bits: a second policy of the same name needs 2^24 policies by accident
#: Part of the hash, so that a change of the canonical form never gives an old name to a new meaning.
_FORM: Final = "ostiary.policy/0"
#: The name itself, and the directory: the same policy in another place is the same policy.
_OUTSIDE: Final = frozenset({"version", "credential_dir"})
#: Came when policies had names already. Left out where it says nothing, so that those names stay.
_LATER: Final = frozenset(
    {"api_versions", "aws", "cache", "formats", "grant", "identities", "max_answer_chars", "mirror", "patterns",
     "pool", "responses", "sampling", "scores", "secrets_manager", "shared", "similar", "string_chars",
     "thinking", "vault"}
)  # fmt: skip


def canonical(policy: Policy) -> bytes:
    """`policy` as JSON with sorted keys and sorted sets."""
    content = {name: value for name, value in _plain(policy).items() if name not in _OUTSIDE}
    return orjson.dumps({"form": _FORM, **content}, option=orjson.OPT_SORT_KEYS)


def name_of(policy: Policy) -> str:
    """The version that `policy` ought to carry."""
    return PREFIX + hashlib.sha256(canonical(policy)).hexdigest()[:HEX_DIGITS]


def named(policy: Policy) -> Policy:
    """`policy` with its version filled in."""
    return replace(policy, version=name_of(policy))


def _plain(value: Any) -> Any:
    """Walks every field of every record: one added to the model is in the hash without being listed here."""
    if isinstance(value, Enum):
        return value.name
    if is_dataclass(value) and not isinstance(value, type):
        told = {one.name: getattr(value, one.name) for one in fields(value)}
        return {name: _plain(each) for name, each in told.items() if name not in _LATER or each not in (None, {})}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, str | int | bool | float):
        return value
    raise TypeError(f"a policy cannot hold a {type(value).__name__}")
