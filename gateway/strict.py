"""base64url and JSON objects in their one strict reading. Raises ValueError for every other; knows no token, no key."""

import base64
import json
from typing import Any, NoReturn


def base64url(text: str) -> bytes:
    """The bytes of unpadded base64url (RFC 7515 section 2).

    One spelling only: the decoder skips foreign characters and unused bits, so that a token could be changed
    without changing what it says. What does not encode to itself again is refused.
    """
    given = text.encode("ascii")  # UnicodeEncodeError is a ValueError
    raw = base64.urlsafe_b64decode(given + b"=" * (-len(given) % 4))  # binascii.Error is one too
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != given:
        raise ValueError("not canonical")
    return raw


def json_object(raw: bytes) -> dict[str, Any]:
    """A JSON object in UTF-8 without duplicate names at any depth, and without NaN.

    RFC 7519 section 4 lets a reader refuse duplicates; of two readers that choose, one may see another `sub`.
    """
    try:
        found = json.loads(raw.decode(), object_pairs_hook=_unique, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(found, dict):
        raise ValueError("not an object")  # noqa: TRY004  # callers ask whether it was well formed, not why not
    return found


class DuplicateError(ValueError):
    """A name that stands twice in one object: for the log, since nobody writes that by accident."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise DuplicateError
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
