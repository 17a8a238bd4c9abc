"""Who is calling, as authz established it and every later phase believes it."""

from dataclasses import dataclass


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
