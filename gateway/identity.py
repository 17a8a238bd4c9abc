"""Who is calling, and under which obligations, as authz established it and every later phase believes it."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Obligations:
    """What `inspect` must see to because a key or a decision of OPA says so. The default asks for nothing."""

    models: frozenset[str] | None = None  # public model names that may be asked for; None: as the tenant
    max_tokens: int | None = None  # most output tokens that the request may ask for
    guards: frozenset[str] = frozenset()  # rule ids that are enforced although the tenant's policy asks for less
    route: str = ""  # a hint for the choice of the backend


NO_OBLIGATIONS: Final = Obligations()


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The identity and the pinned policy of one exchange. Travels as dynamic metadata, never as headers."""

    tenant: str
    principal: str
    key_id: str
    scopes: tuple[str, ...]
    policy: str  # version
    request_id: str
    traceparent: str = ""
    groups: tuple[str, ...] = ()  # of a token; for decisions of authz, which does not pass them on
    client: str = ""  # `client_id` or `azp` of a token, the account of our own token service
    certificate: str = ""  # SHA-256 of the client certificate (RFC 8705 section 3.1: of its DER), lower-case hex
    issued_at: int = 0  # unix seconds, of a token that tells
    obligations: Obligations = NO_OBLIGATIONS
    decision: str = ""  # what OPA said, for the record
