"""One compact JWS read strictly and verified against one issuer's keys. What its claims are worth, `claims` says.

Follows RFC 8725: the policy, not the token, chooses issuer, algorithms and keys. Of the header only `alg`, `typ`
and `kid` count; `jku`, `x5u`, `jwk`, `x5c` are never looked at.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from gateway import strict
from gateway.keyset import MAX_KID_CHARS, VERIFIERS, KeySet
from gateway.policy.model import Issuer

MAX_CHARS: Final = 8 * 1024  # real access tokens have one to three; Envoy's header limit is above this
_TYPES: Final = frozenset({"at+jwt", "application/at+jwt"})  # RFC 9068 section 4
#: Header members that change how the rest is to be read. None is understood here, so none may pass.
_CHANGING: Final = ("b64", "zip", "enc")


class Fault(Enum):
    """Why a token was refused: stable texts for log and audit. Callers are told one thing for all but expiry."""

    TOO_LARGE = "token: too large"
    ENCRYPTED = "token: encrypted, or not three parts"
    ENCODING = "token: not base64url"
    HEADER = "token: header is not a JSON object"
    PAYLOAD = "token: payload is not a JSON object"
    DUPLICATE = "token: duplicate name in header or payload"
    INACTIVE = "token: not active"  # opaque ones, by the answer of their server
    CHARACTERS = "token: characters that no token has"
    ISSUER = "token: unknown issuer"
    AUDIENCE = "token: not for this audience"
    AUDIENCE_UNCLEAR = "token: for the audiences of several issuer entries"
    ALG_NONE = "token: unsigned"
    ALG_SYMMETRIC = "token: symmetric algorithm"
    ALG = "token: algorithm is not pinned"
    CRITICAL = "token: header has crit, b64, zip or enc"
    NESTED = "token: nested"
    TYPE = "token: wrong typ"
    KID = "token: malformed kid"
    KID_MISSING = "token: no kid and several keys"
    KID_UNKNOWN = "token: unknown kid"
    KEY = "token: no single key of that kid fits the algorithm"
    SIGNATURE = "token: signature differs"
    CLAIM_MISSING = "token: a required claim is missing"
    TIME = "token: exp, nbf or iat is not a time"
    NOT_YET = "token: not valid yet"
    ISSUED_LATER = "token: issued in the future"
    TOO_OLD = "token: older than allowed"
    EXPIRED = "token: expired"
    CLIENT = "token: client is not allowed"
    ACCOUNT_UNKNOWN = "token: unknown account"
    ACCOUNT_DISABLED = "token: disabled account"
    ACCOUNT_EXPIRED = "token: expired account"
    PRINCIPAL = "token: no usable principal"
    SCOPES = "token: malformed scopes"
    GROUPS = "token: malformed groups"
    CONFIRMATION = "token: cnf is not an x5t#S256"


class Bad(Exception):  # noqa: N818  # a verdict, not an error of the program
    """A token that does not count."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.value)
        self.fault = fault


@dataclass(frozen=True, slots=True, repr=False)
class Token:
    """A token taken apart; nothing in it is true before `verify`."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes


def looks_like_token(text: str) -> bool:
    """Whether a bearer credential means to be a JWS or JWE rather than an API key, which has no dots."""
    return text.count(".") >= 2


def parse(text: str) -> Token:
    """Take a token apart.

    Raises:
        Bad: it is too large or not a compact JWS with two JSON objects.
    """
    if len(text) > MAX_CHARS:
        raise Bad(Fault.TOO_LARGE)
    parts = text.split(".")
    if len(parts) != 3:  # a JWE has five (RFC 7516 section 3.1)
        raise Bad(Fault.ENCRYPTED)
    try:
        head, body, signature = map(strict.base64url, parts)
    except ValueError:
        raise Bad(Fault.ENCODING) from None
    header, claims = _object(head, Fault.HEADER), _object(body, Fault.PAYLOAD)
    return Token(header, claims, f"{parts[0]}.{parts[1]}".encode(), signature)


def check_header(token: Token, issuer: Issuer) -> None:
    """Judge everything in the header but the key.

    Raises:
        Bad: the header is not one that the issuer's entry allows.
    """
    header = token.header
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in issuer.algorithms:
        raise Bad(_algorithm_fault(algorithm))
    if "crit" in header or any(name in header for name in _CHANGING):
        raise Bad(Fault.CRITICAL)
    if "cty" in header:  # RFC 7519 section 5.2: only nested tokens need it
        raise Bad(Fault.NESTED)
    kind = header.get("typ")
    if issuer.typ != "any" and not (isinstance(kind, str) and kind.lower() in _TYPES):
        raise Bad(Fault.TYPE)
    kid = header.get("kid")
    if kid is not None and not (isinstance(kid, str) and 0 < len(kid) <= MAX_KID_CHARS):
        raise Bad(Fault.KID)


def verify(token: Token, keys: KeySet) -> None:
    """Check the signature of a token whose header was checked. The `kid` is compared, never used as a path.

    Raises:
        Bad: no key fits, or the signature is not of that key.
    """
    algorithm, kid = token.header["alg"], token.header.get("kid")
    found = keys.find(kid, algorithm)
    if len(found) != 1:
        if kid is not None:
            raise Bad(Fault.KEY if keys.knows(kid) else Fault.KID_UNKNOWN)
        raise Bad(Fault.KID_MISSING if len(keys.keys) > 1 else Fault.KEY)
    try:
        genuine = VERIFIERS[algorithm].verify(token.signed, token.signature, found[0].key)
    except Exception:  # noqa: BLE001  # whatever the library cannot digest was not signed by the issuer
        genuine = False
    if not genuine:
        raise Bad(Fault.SIGNATURE)


def _object(raw: bytes, fault: Fault) -> Mapping[str, Any]:
    try:
        return strict.json_object(raw)
    except strict.DuplicateError:
        raise Bad(Fault.DUPLICATE) from None
    except ValueError:
        raise Bad(fault) from None


def _algorithm_fault(algorithm: object) -> Fault:
    if isinstance(algorithm, str):
        if algorithm.lower() == "none":
            return Fault.ALG_NONE
        if algorithm.upper().startswith("HS"):
            return Fault.ALG_SYMMETRIC
    return Fault.ALG
