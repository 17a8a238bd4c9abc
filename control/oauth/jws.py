"""A compact JWS read in its one spelling and verified with public keys. What its claims are worth, others say.

As authz does for tokens (RFC 8725): algorithms are the caller's, never the header's, and no key comes with the text.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway import strict
from gateway.keyset import MAX_KID_CHARS, VERIFIERS, KeySet

MAX_CHARS: Final = 8 * 1024  # as authz takes them
#: Header members that change how the rest is to be read. None is understood here, so none may pass.
_CHANGING: Final = ("crit", "b64", "zip", "enc", "cty")
_LAST_SECOND: Final = 253_402_300_799  # 9999-12-31


class JwsError(Exception):
    """Why the text does not count. For the log: holds none of it."""


@dataclass(frozen=True, slots=True, repr=False)
class Jws:
    """A text taken apart; nothing in it is true before `verify`."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes


def parse(text: str) -> Jws:
    """Take the text apart. Raises JwsError."""
    parts = text.split(".") if len(text) <= MAX_CHARS else ()
    if len(parts) != 3:
        raise JwsError("no compact JWS, or too large")
    try:
        head, body, signature = map(strict.base64url, parts)
        return Jws(strict.json_object(head), strict.json_object(body), f"{parts[0]}.{parts[1]}".encode(), signature)
    except ValueError:
        raise JwsError("not base64url of two JSON objects in their one spelling") from None


def verify(jws: Jws, keys: KeySet, algorithms: Collection[str], types: Collection[str | None]) -> None:
    """Judge header and signature. `types` are the allowed `typ` in lower case, None for one that is left out.

    Raises:
        JwsError: another header than allowed, no single key fits, or the signature is not of that key.
    """
    header = jws.header
    algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ")
    if not isinstance(algorithm, str) or algorithm not in algorithms:
        raise JwsError("algorithm is not pinned")
    if any(name in header for name in _CHANGING):
        raise JwsError("header has crit, b64, zip, enc or cty")
    if not isinstance(kind, str | None) or (kind and kind.lower()) not in types:
        raise JwsError("wrong typ")
    if kid is not None and not (isinstance(kid, str) and 0 < len(kid) <= MAX_KID_CHARS):
        raise JwsError("malformed kid")
    found = keys.find(kid, algorithm)
    if len(found) != 1:
        raise JwsError("no single key fits")
    try:
        genuine = VERIFIERS[algorithm].verify(jws.signed, jws.signature, found[0].key)
    except Exception:  # noqa: BLE001  # whatever the library cannot digest was not signed by the key
        genuine = False
    if not genuine:
        raise JwsError("signature differs")


def time_of(claims: Mapping[str, Any], name: str) -> float | None:
    """A NumericDate (RFC 7519 section 2), or None when it is absent. Raises JwsError."""
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    # A bool is an int to Python, and no time to anybody.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LAST_SECOND:
        raise JwsError(f"{name} is not a time")
    return float(value)
