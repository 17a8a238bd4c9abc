"""An identity provider in memory: keys of every algorithm, tokens of any shape, and the JWK Set that belongs to them."""

import base64
import functools
import hmac
import json
from typing import Any

from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from gateway import keyset
from gateway.keyset import KeySet
from gateway.policy.model import Issuer

NOW_S = 1_800_000_000
ISS = "https://idp.example.com"
#: Key type and size or curve of each algorithm's test key; the kid is the algorithm's name in lower case.
SHAPES: dict[str, tuple[Any, Any]] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), (RSAKey, 2048)),
    "ES256": (ECKey, "P-256"),
    "ES384": (ECKey, "P-384"),
    "ES512": (ECKey, "P-521"),
    "EdDSA": (OKPKey, "Ed25519"),
    "Ed25519": (OKPKey, "Ed25519"),
}
ISSUER = Issuer(
    name="corp",
    tenant="acme",
    issuer=ISS,
    audiences=frozenset({"llm", "llm-batch"}),
    algorithms=frozenset({"ES256", "RS256"}),
    jwks_uri=f"{ISS}/jwks",
)
CLAIMS: dict[str, Any] = {
    "iss": ISS,
    "aud": "llm",
    "sub": "svc-1",
    "client_id": "batch",
    "iat": NOW_S - 10,
    "nbf": NOW_S - 10,
    "exp": NOW_S + 300,
    "jti": "token-0001",
    "scope": "chat embed",
}


@functools.cache
def key(algorithm: str) -> Key:
    """The signing key of an algorithm; RSA algorithms share one, since making it takes a while."""
    kind, size = SHAPES[algorithm]
    return kind.generate_key(size) if kind is not RSAKey or algorithm == "RS256" else key("RS256")


def jwk(algorithm: str, kid: str | None = "", **changes: Any) -> dict[str, Any]:
    """A public key as a JWK Set lists it."""
    entry: dict[str, Any] = {**key(algorithm).as_dict(private=False), "use": "sig"}
    entry.pop("kid", None)
    if kid is not None:
        entry["kid"] = kid or algorithm.lower()
    return {**entry, **changes}


def jwks(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": list(keys)}).encode()


def keys(*algorithms: str) -> KeySet:
    return keyset.parse(jwks(*(jwk(algorithm) for algorithm in algorithms)))


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def segment(content: Any) -> str:
    """Bytes and texts as they are, everything else as JSON."""
    if isinstance(content, str):
        content = content.encode()
    return b64(content if isinstance(content, bytes) else json.dumps(content).encode())


def sign(header: Any, payload: Any, algorithm: str = "ES256") -> str:
    """Any two segments with a genuine signature over them."""
    signed = f"{segment(header)}.{segment(payload)}"
    return f"{signed}.{b64(keyset.VERIFIERS[algorithm].sign(signed.encode(), key(algorithm)))}"


def token(
    algorithm: str = "ES256", *, header: dict[str, Any] | None = None, without: tuple[str, ...] = (), **claims: Any
) -> str:
    """A good token, but for what is said otherwise; `None` in `header` leaves a member out."""
    head = {"alg": algorithm, "typ": "at+jwt", "kid": algorithm.lower(), **(header or {})}
    body = {name: value for name, value in {**CLAIMS, **claims}.items() if name not in without}
    return sign({name: value for name, value in head.items() if value is not None}, body, algorithm)


def hmac_with_the_public_key(form: str) -> str:
    """The oldest trick: the public key ("pem", "der" or "n") as a shared secret (RFC 8725 section 2.1)."""
    public = key("RS256")
    material = {
        "pem": public.as_pem(private=False),
        "der": public.as_der(private=False),
        "n": jwk("RS256")["n"].encode(),
    }[form]
    signed = f"{segment({'alg': 'HS256', 'typ': 'at+jwt', 'kid': 'rs256'})}.{segment(CLAIMS)}"
    return f"{signed}.{b64(hmac.digest(material, signed.encode(), 'sha256'))}"
