"""A public key of our own token service as a registry entry (`Sort.VERIFYING`). Pure; verifies nothing.

`control` writes one entry per signing key under its `kid`, as JSON with exactly these names:
`{"kid": …, "alg": …, "jwk": {…public members only…}, "not_before": unix s, "not_after": unix s}`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from gateway.policy.issuer import ALGORITHMS

_NAMES: Final = frozenset({"kid", "alg", "jwk", "not_before", "not_after"})
#: The public members of each type (RFC 7518 section 6, RFC 8037 section 2). A private one must never get here, and
#: `alg`, `use` and the like would say again, and perhaps otherwise, what the entry says.
_MEMBERS: Final[Mapping[str, frozenset[str]]] = {
    "EC": frozenset({"kty", "crv", "x", "y"}),
    "OKP": frozenset({"kty", "crv", "x"}),
    "RSA": frozenset({"kty", "n", "e"}),
}
_MAX_KID_CHARS: Final = 256  # as of any issuer (gateway/keyset.py); ours have 43
_MAX_MEMBER_CHARS: Final = 2048  # the modulus of RSA-8192 has 1,366
_LAST_SECOND: Final = 253_402_300_799  # 9999-12-31


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyingKey:
    """One public key, and from when until when it verifies. The end leaves room for the last token it signed."""

    kid: str
    algorithm: str
    jwk: Mapping[str, str]  # the members that make the key, and no others
    not_before: int  # unix seconds
    not_after: int  # unix seconds: from this moment on, none of its tokens counts

    def __post_init__(self) -> None:
        if not 0 < len(self.kid) <= _MAX_KID_CHARS:
            raise ValueError("verifying key: kid")
        if self.algorithm not in ALGORITHMS:
            raise ValueError("verifying key: alg")
        if not all(isinstance(value, str) and len(value) <= _MAX_MEMBER_CHARS for value in self.jwk.values()):
            raise ValueError("verifying key: jwk")
        if frozenset(self.jwk) != _MEMBERS.get(self.jwk.get("kty", "")):
            raise ValueError("verifying key: jwk holds other members than those of a public key")
        for moment in (self.not_before, self.not_after):
            if isinstance(moment, bool) or not isinstance(moment, int) or not 0 <= moment <= _LAST_SECOND:
                raise ValueError("verifying key: times")
        if self.not_before >= self.not_after:
            raise ValueError("verifying key: never valid")


def write(key: VerifyingKey) -> bytes:
    """The entry's value. Its id is the key's `kid`."""
    return orjson.dumps(
        {
            "kid": key.kid,
            "alg": key.algorithm,
            "jwk": dict(key.jwk),
            "not_before": key.not_before,
            "not_after": key.not_after,
        },
        option=orjson.OPT_SORT_KEYS,
    )


def read(entry_id: str, value: bytes) -> VerifyingKey:
    """The key of one entry.

    Raises:
        ValueError: not written by `write`, or under another id; whoever meets it must do without the key.
    """
    told = orjson.loads(value)
    if not isinstance(told, dict) or told.keys() != _NAMES or told["kid"] != entry_id:
        raise ValueError("verifying key: names")
    if not isinstance(told["alg"], str) or not isinstance(told["jwk"], dict):
        raise ValueError("verifying key: types")  # noqa: TRY004  # callers ask whether it is a key, not why not
    return VerifyingKey(
        kid=told["kid"],
        algorithm=told["alg"],
        jwk=told["jwk"],
        not_before=told["not_before"],
        not_after=told["not_after"],
    )
