"""What an introspection answer says about the bearer of an opaque token (RFC 7662 section 2.2). Pure; asks nobody."""

from dataclasses import dataclass
from typing import Any, Final

from authz import claims
from authz.identified import Identified
from authz.jose import Bad, Fault
from gateway import strict
from gateway.policy.model import Introspector
from gateway.revocation.mark import name_of_opaque

MAX_BYTES: Final = 64 * 1024  # 200 groups of 256 characters fit
#: How far clocks may differ, as for JWTs by default (gateway/policy/issuer.py).
SKEW_S: Final = 30.0


class GarbledError(Exception):
    """An answer that says nothing about the token. The text is for the log and holds nothing of the answer."""


@dataclass(frozen=True, slots=True)
class Active:
    """A token that counts, and until when by its server."""

    who: Identified
    ends_s: float | None  # unix seconds; None where the server does not tell


def read(raw: bytes, entry: Introspector, token_id: bytes, now_s: float) -> Active:
    """Whose token it is. `token_id` is its SHA-256.

    Raises:
        GarbledError: the server did not say whether the token is active.
        Bad: it is not, or is not one that the entry lets in.
    """
    try:
        answer = strict.json_object(raw)
    except ValueError:
        raise GarbledError("not a JSON object") from None
    active = answer.get("active")
    if not isinstance(active, bool):
        raise GarbledError("no `active`")
    if not active:
        raise Bad(Fault.INACTIVE)
    _judge(answer, entry)
    ends_s = _times(answer, now_s)
    issued_s = claims.time_of(answer, "iat")
    return Active(
        Identified(
            tenant=entry.tenant,
            principal=claims.principal_of(answer, entry),
            key_id=name_of_opaque(entry.endpoint, token_id),
            method="opaque",
            scopes=claims.scopes_of(answer, entry),
            groups=claims.groups_of(answer, entry),
            client=claims.named_client(claims.client_of(answer)),
            issued_at=int(issued_s or 0),
            bound_to=claims.bound_to(answer),
        ),
        ends_s,
    )


def _judge(answer: dict[str, Any], entry: Introspector) -> None:
    """Whether the token is one of those that the entry means. What the server does not tell, it cannot be let off."""
    kind = answer.get("token_type")
    # Servers are asked about refresh tokens too, and find them active; DPoP proves a key that is not looked at here.
    named = kind.lower() if isinstance(kind, str) else ""
    if entry.token_type not in {"any", named}:
        raise Bad(Fault.TYPE)
    if entry.issuer is not None and answer.get("iss") != entry.issuer:
        raise Bad(Fault.ISSUER)
    if entry.audiences and entry.audiences.isdisjoint(claims.audiences_of(answer)):
        raise Bad(Fault.AUDIENCE)
    clients = claims.client_of(answer)
    if entry.clients and (not clients or not entry.clients.issuperset(clients)):
        raise Bad(Fault.CLIENT)


def _times(answer: dict[str, Any], now_s: float) -> float | None:
    """`exp`, where there is one. The server has judged all times by its own clock; ours may be wrong by the skew."""
    ends_s, starts_s = claims.time_of(answer, "exp"), claims.time_of(answer, "nbf")
    if starts_s is not None and now_s < starts_s - SKEW_S:
        raise Bad(Fault.NOT_YET)
    if ends_s is not None and now_s >= ends_s + SKEW_S:
        raise Bad(Fault.EXPIRED)
    return ends_s
