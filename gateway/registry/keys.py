"""An API key's record in the registry: JSON to a value and back. Pure; holds a digest of the key, never the key.

Reading is strict: a record that is not understood whole is no record, since a field that nobody reads could be a limit
that nobody enforces.
"""

from dataclasses import dataclass
from typing import Any, Final

import orjson

from gateway.policy.field import Shape, shape
from gateway.policy.key import (
    DIGEST,
    KEY_ID,
    LAST_SECOND,
    MAX_NETWORKS,
    PEPPER,
    PRINCIPAL,
    SCOPE,
    network_fault,
)
from gateway.policy.model import Key, RateLimit
from gateway.policy.rate import rate_fault

#: As policies spell them (gateway/policy/load.py).
TENANT: Final = shape(r"[a-z0-9][a-z0-9_-]{0,62}", "1 to 63 of a-z, 0-9, _ and -, not starting with _ or -")
MODEL: Final = shape(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}", "a model name of up to 128 of A-Z a-z 0-9 . _ : / @ -")
_OTHER: Final = shape(r"(?:[a-z0-9]{12})?", "a key id")
_ANY: Final = shape(r"(?s:.{1,64})", "a text")
ACTOR_CHARS: Final = 128
NAME_CHARS: Final = 64
NOTE_CHARS: Final = 256
#: Bounds that keep the longest record far below the registry's 64 KiB, and every worker's memory with it.
MAX_MODELS: Final = 256
MAX_SCOPES: Final = 64

_FIELDS: Final = frozenset(
    {
        *("tenant", "principal", "scopes", "digest", "pepper", "expires_at", "disabled", "rate", "models", "cidrs"),
        *("created_at", "created_by", "name", "note", "rotated_from", "rotated_to"),
    },
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """A key and its story."""

    key: Key
    created_at: int  # unix seconds
    created_by: str  # the actor
    name: str = ""  # tells an owner's keys apart
    note: str = ""
    rotated_from: str = ""  # id of the key that this one replaces
    rotated_to: str = ""  # id of the key that replaces this one


def write(record: KeyRecord) -> bytes:
    """The record as JSON with sorted names; what has its default is left out."""
    key = record.key
    told: dict[str, Any] = {
        "tenant": key.tenant,
        "principal": key.principal,
        "scopes": key.scopes,
        "digest": key.digest,
        "pepper": key.pepper,
        "expires_at": key.expires_at,
        "disabled": key.disabled,
        "rate": {"requests": key.rate.requests, "window_s": key.rate.window_s} if key.rate else None,
        "models": sorted(key.models),
        "cidrs": key.cidrs,
        "created_at": record.created_at,
        "created_by": record.created_by,
        "name": record.name,
        "note": record.note,
        "rotated_from": record.rotated_from,
        "rotated_to": record.rotated_to,
    }
    kept = {name: value for name, value in told.items() if value or name == "created_at"}
    return orjson.dumps(kept, option=orjson.OPT_SORT_KEYS)


def read(key_id: str, value: bytes) -> KeyRecord:
    """The record of one entry.

    Raises:
        ValueError: it is not exactly what `write` would have written. Names the field, shows no value.
    """
    told = orjson.loads(value)
    if not isinstance(told, dict) or not told.keys() <= _FIELDS:
        raise ValueError("a key's record has only the fields of one")
    if not KEY_ID.pattern.match(key_id):
        raise ValueError("a key's id has another form")
    key = Key(
        id=key_id,
        tenant=_text(told, "tenant", TENANT),
        principal=_text(told, "principal", PRINCIPAL),
        scopes=_texts(told, "scopes", SCOPE, MAX_SCOPES),
        digest=_text(told, "digest", DIGEST),
        pepper=_text(told, "pepper", PEPPER),
        expires_at=_seconds(told, "expires_at") if "expires_at" in told else None,
        disabled=_flag(told, "disabled"),
        rate=_rate(told),
        models=frozenset(_texts(told, "models", MODEL, MAX_MODELS)),
        cidrs=_networks(told),
    )
    record = KeyRecord(
        key=key,
        created_at=_seconds(told, "created_at"),
        created_by=_words(told, "created_by", ACTOR_CHARS),
        name=_words(told, "name", NAME_CHARS),
        note=_words(told, "note", NOTE_CHARS),
        rotated_from=_text(told, "rotated_from", _OTHER),
        rotated_to=_text(told, "rotated_to", _OTHER),
    )
    if write(record) != value:
        # A name twice, a default spelled out, another order: nothing that this gateway has written.
        raise ValueError("a key's record is not in its one spelling")
    return record


def words_fault(text: str, most_chars: int) -> str:
    """Why the text cannot stand in a table or a log line as it is, or ""."""
    # Not printable are control characters, and those that turn a line's direction: both make a table lie.
    return "" if len(text) <= most_chars and text.isprintable() else f"expected up to {most_chars} printable characters"


def _words(told: dict[str, Any], name: str, most_chars: int) -> str:
    value = told.get(name, "")
    if not isinstance(value, str) or words_fault(value, most_chars):
        raise ValueError(f"{name}: expected up to {most_chars} printable characters")
    return value


def _text(told: dict[str, Any], name: str, what: Shape) -> str:
    value = told.get(name, "")
    if not isinstance(value, str) or not what.pattern.match(value):
        raise ValueError(f"{name}: expected {what.expected}")
    return value


def _texts(told: dict[str, Any], name: str, what: Shape, most: int) -> tuple[str, ...]:
    values = told.get(name, ())
    if not isinstance(values, list | tuple) or len(values) > most:
        raise ValueError(f"{name}: expected a list of at most {most}")
    for value in values:
        if not isinstance(value, str) or not what.pattern.match(value):
            raise ValueError(f"{name}: expected {what.expected}")
    return tuple(values)


def _networks(told: dict[str, Any]) -> tuple[str, ...]:
    found = _texts(told, "cidrs", _ANY, MAX_NETWORKS)
    for text in found:
        if fault := network_fault(text):
            raise ValueError(f"cidrs: {fault}")
    return found


def _seconds(told: dict[str, Any], name: str) -> int:
    value = told.get(name)
    if type(value) is not int or not 0 <= value <= LAST_SECOND:  # not isinstance: True is an int
        raise ValueError(f"{name}: expected unix seconds")
    return value


def _flag(told: dict[str, Any], name: str) -> bool:
    value = told.get(name, False)
    if not isinstance(value, bool):
        raise ValueError(f"{name}: expected true or false")  # noqa: TRY004 -- one kind of error for a bad record
    return value


def _rate(told: dict[str, Any]) -> RateLimit | None:
    if "rate" not in told:
        return None
    value = told["rate"]
    if not isinstance(value, dict) or value.keys() != {"requests", "window_s"}:
        raise ValueError("rate: expected requests and window_s")
    if any(type(number) is not int for number in value.values()):
        raise ValueError("rate: expected whole numbers")
    rate = RateLimit(requests=value["requests"], window_s=value["window_s"])
    if fault := rate_fault(rate):
        raise ValueError(f"rate.{fault}")
    return rate
