"""What a genuine credential says about who shows it, whichever kind it is. Pure data."""

from dataclasses import dataclass

from gateway.errors import GatewayError
from gateway.policy.model import Key, RateLimit


@dataclass(frozen=True, slots=True, kw_only=True)
class Identified:
    """Somebody, as an API key, a token or a client certificate names them."""

    tenant: str
    principal: str
    key_id: str  # names the credential in records and counters, and is no part of it
    method: str  # "api_key" | "jwt" | "opaque" | "mtls"
    scopes: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    client: str = ""  # `client_id` or `azp`
    issued_at: int = 0  # unix seconds; 0 where the credential does not tell
    bound_to: str = ""  # base64url SHA-256 of the certificate that must be shown with it (RFC 8705, `cnf.x5t#S256`)
    models: frozenset[str] = frozenset()  # empty: as the tenant
    cidrs: tuple[str, ...] = ()  # empty: from anywhere
    rate: RateLimit | None = None
    expired: GatewayError | None = None  # told openly: only who holds the secret gets to hear it


def of_key(key: Key) -> Identified:
    """Whom a key names, whether or not it has expired."""
    return Identified(
        tenant=key.tenant,
        principal=key.principal,
        key_id=key.id,
        method="api_key",
        scopes=key.scopes,
        models=key.models,
        cidrs=key.cidrs,
        rate=key.rate,
    )
