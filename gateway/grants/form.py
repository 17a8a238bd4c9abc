"""What a cloud's token endpoint is asked, and what its answer gives. Pure: opens nothing, knows no time of its own.

Google: RFC 7523, section 2.1, by a service account's key. Microsoft: client credentials (RFC 6749, section 4.4) by a
secret, or by an assertion that a certificate's key signs (RFC 7523, section 2.2).
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from gateway import strict
from gateway.policy.model import Grant
from gateway.secrets.reference import Secret

#: Google takes an hour at the most; it is posted at once, and a stolen one should be worth little.
_ASSERTION_S: Final = 300
#: Microsoft refuses one that begins in its future; clocks differ.
_EARLIER_S: Final = 30
_JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_ASSERTED: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_RSA_BITS: Final = (2048, 8192)  # RFC 7518 section 3.3; beyond it signing takes seconds
_MOST_S: Final = 86_400  # what says more is asked again after a day
#: b64token of RFC 6750 section 2.1; a header that a line break ended would be two.
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/=-]{1,16384}")
_KEY: Final = re.compile(r"-----BEGIN (RSA )?PRIVATE KEY-----.*?-----END (RSA )?PRIVATE KEY-----", re.DOTALL)
_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


class GrantError(Exception):
    """Why there is no token. For the log: holds no secret and nothing of an answer."""


@dataclass(frozen=True, slots=True)
class Token:
    """An access token and how long it counts from now."""

    secret: Secret = field(repr=False)
    lasts_s: int


def ask(grant: Grant, secret: Secret, now_s: float, unique: str) -> bytes:
    """The form to post. `unique` names an assertion, so that one that was seen is not taken twice.

    Raises:
        GrantError: the secret is none of the kind that the grant names.
    """
    try:
        fields = _google(grant, secret.reveal(), int(now_s)) if grant.kind == "google" else None
        fields = fields or _microsoft(grant, secret.reveal(), int(now_s), unique)
    except GrantError:
        raise
    except Exception:  # noqa: BLE001  # whatever a library says of a key may quote it
        raise GrantError(f"the {grant.proof} cannot be used") from None
    return urlencode(fields).encode()


def token_of(answer: bytes) -> Token:
    """The token in an answer (RFC 6749, section 5.1). Raises GrantError."""
    try:
        told = strict.json_object(answer)
    except ValueError:
        raise GrantError("the answer is no JSON object") from None
    text, kind, lasts = told.get("access_token"), told.get("token_type"), told.get("expires_in")
    if not isinstance(text, str) or not _TOKEN.fullmatch(text):
        raise GrantError("the answer has no token")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise GrantError("the answer has a token that is no bearer's")
    if type(lasts) is not int or lasts <= 0:
        raise GrantError("the answer does not say how long the token counts")
    return Token(Secret(text), min(lasts, _MOST_S))


def _google(grant: Grant, text: str, now: int) -> Mapping[str, str]:
    account = strict.json_object(text.encode())
    named = [account.get(name) for name in ("client_email", "private_key", "private_key_id")]
    if account.get("type") != "service_account" or not all(isinstance(each, str) and each for each in named):
        raise GrantError("the account is not the JSON of a service account's key")
    email, key, key_id = named
    # The account's own `token_uri` is not followed: where secrets are sent is policy's matter.
    claims = {
        "iss": email,
        "scope": grant.scope,
        "aud": grant.token_url,
        "iat": now,
        "exp": now + _ASSERTION_S,
    }
    return {"grant_type": _JWT_BEARER, "assertion": _signed({"alg": "RS256", "typ": "JWT", "kid": key_id}, claims, key)}


def _microsoft(grant: Grant, text: str, now: int, unique: str) -> Mapping[str, str]:
    fields = {"grant_type": "client_credentials", "client_id": grant.client, "scope": grant.scope}
    if grant.proof == "secret":
        return fields | {"client_secret": text}
    key, certificate = _KEY.search(text), _CERTIFICATE.search(text)
    if key is None or certificate is None:
        raise GrantError("the certificate is not PEM of a certificate and its unencrypted RSA key")
    digest = x509.load_pem_x509_certificate(certificate[0].encode()).fingerprint(hashes.SHA256())
    header = {"alg": "PS256", "typ": "JWT", "x5t#S256": base64.urlsafe_b64encode(digest).rstrip(b"=").decode()}
    claims = {
        "iss": grant.client,
        "sub": grant.client,
        "aud": grant.token_url,
        "jti": unique,
        "nbf": now - _EARLIER_S,
        "iat": now,
        "exp": now + _ASSERTION_S,
    }
    return fields | {"client_assertion_type": _ASSERTED, "client_assertion": _signed(header, claims, key[0])}


def _signed(header: dict[str, Any], claims: dict[str, Any], pem: Any) -> str:
    key = RSAKey.import_key(pem)
    bits = key.private_key.key_size if key.private_key is not None else 0
    if not _RSA_BITS[0] <= bits <= _RSA_BITS[1]:
        raise GrantError(f"the key is no RSA key of {_RSA_BITS[0]} to {_RSA_BITS[1]} bits")
    try:
        return jwt.encode(header, claims, key, algorithms=[header["alg"]])
    except JoseError:
        raise GrantError("the key does not sign") from None
