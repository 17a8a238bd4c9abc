"""A JWK Set as the public keys that may verify tokens. Drops every key that should not; fetches nothing."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from gateway import strict
from gateway.policy.issuer import ALGORITHMS

MAX_BYTES: Final = 256 * 1024  # large providers publish about 10 KiB
MAX_KEYS: Final = 64  # large providers publish about ten
MAX_KID_CHARS: Final = 256  # a SHA-256 thumbprint has 43, a fingerprint with a label some more
_MIN_RSA_BITS: Final = 2048  # RFC 7518 section 3.3
_MAX_RSA_BITS: Final = 8192  # verifying takes time by the square of this
_MAX_EXPONENT: Final = 2**32  # and by the length of this; 65537 is what everybody uses

#: What verifies each algorithm. Taken from the table: asking the registry warns of EdDSA's name (RFC 9864).
VERIFIERS: Final = MappingProxyType({name: JWSRegistry.algorithms[name] for name in ALGORITHMS})

#: Members that make a key, by type. All others (x5c, x5u) are left out: no certificate is looked at.
_PARTS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"RSA": ("kty", "n", "e"), "EC": ("kty", "crv", "x", "y"), "OKP": ("kty", "crv", "x")},
)
_CLASSES: Final[Mapping[str, type[RSAKey] | type[ECKey] | type[OKPKey]]] = MappingProxyType(
    {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey},
)
#: Private parts of every type (RFC 7518 section 6): whoever publishes one has no secret left.
_PRIVATE: Final = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")
#: Two names of one algorithm; a key may be labelled with either.
_SAME: Final = MappingProxyType({"EdDSA": "Ed25519"})


class KeysError(Exception):
    """A document that gives no usable key. The text is for the log and holds nothing of the document."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One key and the algorithms that it may verify."""

    kid: str | None
    algorithms: frozenset[str]
    key: Key = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class KeySet:
    """The keys of an issuer as of one fetch. Compared by identity: a new object means new keys."""

    keys: tuple[PublicKey, ...]
    digest: bytes  # of the document
    dropped: int  # keys that were left out

    def find(self, kid: str | None, algorithm: str) -> Sequence[PublicKey]:
        """The keys that a token's header can mean. Only exactly one is an answer.

        Without a `kid` that is the key of a set with a single key: trying several would let one issuer's weak
        or borrowed key stand in for the one that was meant.
        """
        if kid is None:
            return [key for key in self.keys if algorithm in key.algorithms] if len(self.keys) == 1 else ()
        return [key for key in self.keys if key.kid == kid and algorithm in key.algorithms]

    def knows(self, kid: str) -> bool:
        """Whether some key has that id."""
        return any(key.kid == kid for key in self.keys)


def parse(raw: bytes) -> KeySet:
    """The usable keys of a JWK Set (RFC 7517 section 5: members and keys that are not understood are ignored).

    Raises:
        KeysError: the document is no JWK Set, too large, or holds no usable key.
    """
    if len(raw) > MAX_BYTES:
        raise KeysError(f"larger than {MAX_BYTES} bytes")
    try:
        listed = strict.json_object(raw).get("keys")
    except ValueError:
        raise KeysError("not a JSON object") from None
    if not isinstance(listed, list):
        raise KeysError("no list of keys")
    if len(listed) > MAX_KEYS:
        raise KeysError(f"more than {MAX_KEYS} keys")
    keys = tuple(key for key in map(_read, listed) if key)
    if not keys:
        raise KeysError("no usable key")
    return KeySet(keys, hashlib.sha256(raw).digest(), len(listed) - len(keys))


def _read(jwk: Any) -> PublicKey | None:
    """One key, or None for one that must not verify tokens."""
    if not isinstance(jwk, dict):
        return None
    kid, kty = jwk.get("kid"), jwk.get("kty")
    if not (kid is None or (isinstance(kid, str) and 0 < len(kid) <= MAX_KID_CHARS)):
        return None
    operations = jwk.get("key_ops", ["verify"])
    if jwk.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return None
    if not isinstance(kty, str) or kty not in _PARTS or any(part in jwk for part in _PRIVATE):
        return None
    if (kty == "RSA" and not _is_sound_rsa(jwk)) or (kty == "OKP" and jwk.get("crv") != "Ed25519"):
        return None
    try:
        key = _CLASSES[kty].import_key({part: jwk[part] for part in _PARTS[kty]})
    except (JoseError, ValueError, KeyError, TypeError):
        return None  # a point off its curve, a missing member, broken base64
    algorithms = _algorithms(key, jwk.get("alg"))
    return PublicKey(kid, algorithms, key) if algorithms else None


def _is_sound_rsa(jwk: dict[str, Any]) -> bool:
    try:
        modulus, exponent = (int.from_bytes(strict.base64url(jwk[part])) for part in ("n", "e"))
    except (ValueError, KeyError, AttributeError):
        return False
    return _MIN_RSA_BITS <= modulus.bit_length() <= _MAX_RSA_BITS and 3 <= exponent < _MAX_EXPONENT


def _algorithms(key: Key, label: Any) -> frozenset[str]:
    """What the key may verify: what its type and curve fit and, where it has one, its label says."""
    fitting = set()
    for name, verifier in VERIFIERS.items():
        if label is not None and not (isinstance(label, str) and _SAME.get(label, label) == _SAME.get(name, name)):
            continue
        try:
            verifier.check_key(key)
        except JoseError:
            continue
        fitting.add(name)
    return frozenset(fitting)
