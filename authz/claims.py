"""What the claims of a genuine token say about its bearer, and whether they count now. Pure; checks no signature."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from authz.jose import Bad, Fault
from gateway.policy.model import Introspector, Issuer
from gateway.revocation.mark import name_of_token

#: Subjects of real issuers: `auth0|5f...`, `system:serviceaccount:ns:name`, `repo:a/b:ref:refs/heads/main`. Longer
#: than 255 OpenID Connect does not allow (Core 1.0 section 2). Part of logs and metadata, so no quotes or spaces.
_PRINCIPAL: Final = re.compile(r"[A-Za-z0-9._@+:/|=~*-]{1,255}", re.ASCII)
_SCOPE: Final = re.compile(r"[!#-\[\]-~]{1,128}", re.ASCII)  # RFC 6749 section 3.3
_THUMBPRINT: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)  # base64url of SHA-256, unpadded
_MAX_SCOPES: Final = 100  # travel as metadata with every message of an exchange
_MAX_GROUPS: Final = 200  # where Entra ID stops listing groups
_MAX_GROUP_CHARS: Final = 256
_LAST_SECOND: Final = 253_402_300_799  # 9999-12-31

#: What says which claims count: the entry of the policy for whoever vouches for them.
Entry: TypeAlias = Issuer | Introspector


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearer:
    """Who holds a genuine token, in the policy's terms. Holds no part of the token but its claims."""

    issuer: str  # name of the entry
    tenant: str
    principal: str
    key_id: str
    scopes: tuple[str, ...]
    groups: tuple[str, ...]
    client: str  # the first client that the token names, or ""
    issued_at: int  # unix seconds; 0 where the token does not tell
    bound_to: str  # `cnf.x5t#S256` (RFC 8705 section 3.1), or ""
    ends_s: float  # expired from this moment on, without skew
    stale_s: float  # must be checked anew from this moment on


def client_of(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """Every client that the token names: `client_id` of RFC 9068, `azp` of OpenID Connect."""
    return tuple(claims[name] for name in ("client_id", "azp") if isinstance(claims.get(name), str))


def audiences_of(claims: Mapping[str, Any]) -> frozenset[str]:
    """`aud` as a set; empty when it is absent or malformed (RFC 7519 section 4.1.3)."""
    named = claims.get("aud")
    if isinstance(named, str):
        return frozenset({named})
    if isinstance(named, list) and all(isinstance(one, str) for one in named):
        return frozenset(named)
    return frozenset()


def read(claims: Mapping[str, Any], issuer: Issuer, token_id: bytes) -> Bearer:
    """The bearer, whether or not the token has expired: `ends_s` says. Issuer and audience were matched before.

    `token_id` stands in for a `jti` that is missing.

    Raises:
        Bad: a claim is missing, malformed or not allowed.
    """
    if any(claims.get(name) is None for name in issuer.required_claims):
        raise Bad(Fault.CLAIM_MISSING)
    ends_s, issued_s = time_of(claims, "exp"), time_of(claims, "iat")
    if ends_s is None or (issued_s is None and issuer.max_age_s is not None):
        raise Bad(Fault.CLAIM_MISSING)
    clients = client_of(claims)
    if issuer.clients and (not clients or not issuer.clients.issuperset(clients)):
        raise Bad(Fault.CLIENT)
    jti = claims.get("jti")
    stale_s = ends_s - issuer.clock_skew_s
    if issued_s is not None and issuer.max_age_s is not None:
        stale_s = min(stale_s, issued_s + issuer.max_age_s)
    return Bearer(
        issuer=issuer.name,
        tenant=issuer.tenant,
        principal=principal_of(claims, issuer),
        key_id=name_of_token(issuer.issuer, jti if isinstance(jti, str) else token_id),
        scopes=scopes_of(claims, issuer),
        groups=groups_of(claims, issuer),
        client=named_client(clients),
        issued_at=int(issued_s or 0),
        bound_to=bound_to(claims),
        ends_s=ends_s,
        stale_s=stale_s,
    )


def check_times(claims: Mapping[str, Any], issuer: Issuer, now_s: float) -> None:
    """Judge `nbf` and `iat`; `exp` comes last, since it is told.

    Raises:
        Bad: the token counts only later, or was issued too long ago.
    """
    skew_s = issuer.clock_skew_s
    starts_s, issued_s = time_of(claims, "nbf"), time_of(claims, "iat")
    if starts_s is not None and now_s < starts_s - skew_s:
        raise Bad(Fault.NOT_YET)
    if issued_s is None:
        return
    if now_s < issued_s - skew_s:
        raise Bad(Fault.ISSUED_LATER)
    if issuer.max_age_s is not None and now_s > issued_s + issuer.max_age_s + skew_s:
        raise Bad(Fault.TOO_OLD)


def time_of(claims: Mapping[str, Any], name: str) -> float | None:
    """A NumericDate (RFC 7519 section 2: fractions are allowed), or None when it is absent."""
    if name not in claims:
        return None
    value = claims[name]
    # A bool is an int to Python, and no time to anybody.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LAST_SECOND:
        raise Bad(Fault.TIME)
    return float(value)


def principal_of(claims: Mapping[str, Any], entry: Entry) -> str:
    """Who the token is about, with the entry's prefix."""
    named = claims.get(entry.principal_claim)
    if not isinstance(named, str) or _PRINCIPAL.fullmatch(named) is None:
        raise Bad(Fault.PRINCIPAL)
    return entry.principal_prefix + named


def scopes_of(claims: Mapping[str, Any], entry: Entry) -> tuple[str, ...]:
    """The first scope claim that is there: a text with spaces, or a list as Okta and Entra ID write it."""
    value = next((claims[name] for name in entry.scope_claims if name in claims), "")
    listed = value.split() if isinstance(value, str) else value
    if not isinstance(listed, list) or len(listed) > _MAX_SCOPES:
        raise Bad(Fault.SCOPES)
    # Leaving one out would widen what a rule that says "unless" lets through.
    if any(not isinstance(scope, str) or _SCOPE.fullmatch(scope) is None for scope in listed):
        raise Bad(Fault.SCOPES)
    return tuple(dict.fromkeys(listed))


def groups_of(claims: Mapping[str, Any], entry: Entry) -> tuple[str, ...]:
    """The groups of the bearer: a text, or a list of texts."""
    value = claims.get(entry.group_claim, [])
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or len(listed) > _MAX_GROUPS:
        raise Bad(Fault.GROUPS)
    for group in listed:
        if not isinstance(group, str) or not 0 < len(group) <= _MAX_GROUP_CHARS or not group.isprintable():
            raise Bad(Fault.GROUPS)
    return tuple(dict.fromkeys(listed))


def named_client(clients: tuple[str, ...]) -> str:
    """The client by which the token may be revoked; one that is no plain name cannot be named in a record."""
    if not clients:
        return ""
    if _PRINCIPAL.fullmatch(clients[0]) is None:
        raise Bad(Fault.CLIENT)
    return clients[0]


def bound_to(claims: Mapping[str, Any]) -> str:
    """The thumbprint of the certificate that the token is bound to.

    A confirmation that we do not know (`jkt` of DPoP, for one) cannot be checked here, so such a token does not count.
    """
    if "cnf" not in claims:
        return ""
    confirmation = claims["cnf"]
    if not isinstance(confirmation, dict) or set(confirmation) != {"x5t#S256"}:
        raise Bad(Fault.CONFIRMATION)
    thumbprint = confirmation["x5t#S256"]
    if not isinstance(thumbprint, str) or _THUMBPRINT.fullmatch(thumbprint) is None:
        raise Bad(Fault.CONFIRMATION)
    return thumbprint
