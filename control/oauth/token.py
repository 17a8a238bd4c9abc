"""Access tokens of the token service: made as RFC 9068 says, and read back. Asks nobody whether they still count."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from control.oauth import jws
from control.oauth.jws import JwsError
from control.signing import Signer
from gateway.keyset import KeySet
from gateway.policy.model import TokenService
from gateway.policy.token_service import ALGORITHMS
from gateway.registry.accounts import Account
from gateway.revocation.mark import name_of_token

TYPE: Final = "at+jwt"  # RFC 9068 section 2.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a token says."""

    client_id: str
    scopes: tuple[str, ...]
    audience: str
    issued_at: int
    ends_at: int
    jti: str
    bound_to: str = ""  # thumbprint of a certificate (RFC 8705 section 3.1)


def life_s(service: TokenService, account: Account) -> int:
    """How long its tokens live: the policy's word, or the account's where that is shorter."""
    return service.token_s if account.token_s is None else min(service.token_s, account.token_s)


def mint(grant: Grant, issuer: str, signer: Signer) -> str:
    """The token. Tenant and principal are not in it: the account says them, wherever the token is shown."""
    claims: dict[str, Any] = {
        "iss": issuer,
        "sub": grant.client_id,  # RFC 9068 section 2.2: no resource owner takes part
        "client_id": grant.client_id,
        "aud": grant.audience,
        "iat": grant.issued_at,
        "exp": grant.ends_at,
        "jti": grant.jti,
    }
    if grant.scopes:
        claims["scope"] = " ".join(grant.scopes)
    if grant.bound_to:
        claims["cnf"] = {"x5t#S256": grant.bound_to}
    head = {"alg": signer.algorithm, "typ": TYPE, "kid": signer.kid}
    text = f"{_part(orjson.dumps(head))}.{_part(orjson.dumps(claims))}"
    return f"{text}.{_part(signer.sign(text.encode()))}"


def read(text: str, service: TokenService, keys: KeySet | None) -> Grant:
    """A token of ours, whether or not it has expired.

    Raises:
        JwsError: not made by `mint` with one of these keys.
    """
    if keys is None:
        raise JwsError("no keys")
    token = jws.parse(text)
    jws.verify(token, keys, ALGORITHMS, {TYPE})
    claims = token.claims
    if claims.get("iss") != service.issuer:
        raise JwsError("of another issuer")
    ends_s, issued_s = jws.time_of(claims, "exp"), jws.time_of(claims, "iat")
    client_id, jti, audience = (claims.get(name) for name in ("client_id", "jti", "aud"))
    if ends_s is None or issued_s is None:
        raise JwsError("a time is missing")
    if not (isinstance(client_id, str) and isinstance(jti, str) and isinstance(audience, str)):
        raise JwsError("a name is missing")
    return Grant(
        client_id=client_id,
        scopes=tuple(str(claims.get("scope", "")).split()),
        audience=audience,
        issued_at=int(issued_s),
        ends_at=int(ends_s),
        jti=jti,
        bound_to=_bound_to(claims),
    )


def key_id(grant: Grant, issuer: str) -> str:
    """The token's name in records and revocations, the same as authz gives it."""
    return name_of_token(issuer, grant.jti)


def _bound_to(claims: Mapping[str, Any]) -> str:
    """`cnf.x5t#S256`, or nothing."""
    confirmation = claims.get("cnf")
    return str(confirmation.get("x5t#S256", "")) if isinstance(confirmation, dict) else ""


def _part(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
