"""May this caller ask this, now? No I/O, no clock, no randomness of its own; rates are spent later.

Nothing about routes, methods or bodies is told to a caller who was not identified first: 401 comes first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from authz import apikey, jose, trace
from authz.apikey import Peppers, RandomBytes
from authz.claims import Bearer
from authz.jose import Fault
from authz.tokens import Rejected, Tokens, Unsettled
from gateway import contract
from gateway.errors import GatewayError, Kind
from gateway.identity import Caller
from gateway.limits.bucket import Bucket
from gateway.policy.model import Issuer, Key, Policy, RateLimit, Tenant

MODELS: Final = "/v1/models"
#: The front doors and the method of each.
FRONT_DOORS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "/v1/chat/completions": "POST",
        "/v1/completions": "POST",
        "/v1/embeddings": "POST",
        MODELS: "GET",
    },
)

_AUTHORIZATION: Final = "authorization"
_API_KEY: Final = "x-api-key"
_REQUEST_ID: Final = contract.REQUEST_ID_HEADER
_TRACEPARENT: Final = "traceparent"
#: Meaningless and misleading without its traceparent (W3C Trace Context level 1, section 3.3.1).
_TRACESTATE: Final = "tracestate"
_LENGTH: Final = "content-length"
#: An upgraded connection carries bytes that no guard sees. HTTP/2 spells it `:protocol` (RFC 8441).
_UPGRADES: Final = ("upgrade", ":protocol")
_READ: Final = frozenset(
    {_AUTHORIZATION, _API_KEY, _REQUEST_ID, _TRACEPARENT, _TRACESTATE, _LENGTH, *_UPGRADES},
)
_REMOVED: Final = contract.CREDENTIAL_HEADERS | {contract.ACCEPT_ENCODING}
#: Digits of 2**63: a longer length is too large for every limit, and int() never sees endless digits.
_LENGTH_DIGITS: Final = 19

#: One sentence for every key that does not count: one for each cause would let callers probe for ids.
_INVALID_KEY: Final = (
    "The API key is not valid. Check that it was copied whole, or ask your platform team for a new one."
)
#: The same for tokens: one sentence for each cause would tell a forger how far they got.
_NOT_VALID_HERE: Final = (
    "The access token is not valid here. Get a new one for this gateway, or ask your platform team."
)


@dataclass(frozen=True, slots=True)
class Ask:
    """One request as Envoy shows it before its body. Holds the credential, so it has no telling repr."""

    method: str
    target: str  # path with query
    headers: tuple[tuple[str, str], ...]  # lower-case names, in wire order, with duplicates

    def __repr__(self) -> str:
        return f"Ask({len(self.headers)} headers)"

    @property
    def path(self) -> str:
        """The target without query. A query is allowed and means nothing: `adapt` sets the upstream path."""
        return self.target.partition("?")[0]


@dataclass(frozen=True, slots=True)
class Allowed:
    """The caller may ask, once a request was counted against `buckets`."""

    caller: Caller
    buckets: tuple[Bucket, ...]
    remove: tuple[str, ...]  # headers that must not travel on


@dataclass(frozen=True, slots=True)
class Refused:
    """The caller may not ask. `caller` is empty where nobody was identified."""

    error: GatewayError
    caller: Caller
    headers: tuple[tuple[str, str], ...] = ()  # beyond those of the error itself


@dataclass(frozen=True, slots=True)
class Waits:
    """Newer keys of the issuer could change the refusal."""

    issuer: Issuer
    refused: Refused


def decide(
    ask: Ask, policy: Policy, peppers: Peppers, tokens: Tokens, *, now_s: float, random: RandomBytes
) -> Allowed | Refused | Waits:
    """Identify the caller, then judge route, method and size."""
    seen, remove = _sort(ask.headers)
    request_id = trace.request_id(seen.get(_REQUEST_ID, ()), random)
    traceparent = trace.read_traceparent(seen.get(_TRACEPARENT, ()))
    if traceparent is None:
        remove += [name for name in (_TRACEPARENT, _TRACESTATE) if name in seen]
        traceparent = trace.new_traceparent(random)
    identity = _identify(seen, policy, peppers, tokens, now_s)
    if isinstance(identity, GatewayError):
        return Refused(identity, nobody(request_id, traceparent, policy.version))
    if isinstance(identity, Unsettled):
        refused = Refused(_unsettled(identity), nobody(request_id, traceparent, policy.version))
        return Waits(identity.issuer, refused)
    caller = Caller(
        tenant=identity.tenant,
        principal=identity.principal,
        key_id=identity.key_id,
        scopes=identity.scopes,
        groups=identity.groups,
        policy=policy.version,
        request_id=request_id,
        traceparent=traceparent,
    )
    tenant = policy.tenants.get(identity.tenant)
    if tenant is None:
        return Refused(GatewayError(Kind.POLICY_UNAVAILABLE, _NO_TENANT, cause="key without tenant"), caller)
    error = identity.expired or _judge(ask, seen, tenant, policy.limits.body_bytes)
    if error is not None:
        return Refused(error, caller)
    return Allowed(caller, _buckets(identity, tenant), tuple(remove))


def nobody(request_id: str = "", traceparent: str = "", policy: str = "") -> Caller:
    """The caller of a request that was refused before anybody was identified."""
    return Caller(
        tenant="",
        principal="",
        key_id="",
        scopes=(),
        policy=policy,
        request_id=request_id,
        traceparent=traceparent,
    )


_NO_TENANT: Final = "The gateway's policy is incomplete for this key. Tell your platform team."


def _sort(headers: tuple[tuple[str, str], ...]) -> tuple[dict[str, list[str]], list[str]]:
    """The values that matter here by name, and the names that must not travel on."""
    seen: dict[str, list[str]] = {}
    remove: dict[str, None] = {}
    for name, value in headers:
        if name in _READ:
            seen.setdefault(name, []).append(value)
        # CGI-like servers read `x_ostiary_route` as `x-ostiary-route`: an underscore must save no header.
        plain = name.replace("_", "-") if "_" in name else name
        if plain in _REMOVED or plain.startswith(contract.OWNED_PREFIXES):
            remove[name] = None
    return seen, list(remove)


@dataclass(frozen=True, slots=True)
class _Identity:
    """What a genuine credential says, whichever kind it is."""

    tenant: str
    principal: str
    key_id: str
    scopes: tuple[str, ...]
    groups: tuple[str, ...] = ()
    rate: RateLimit | None = None
    expired: GatewayError | None = None  # told openly: only who holds the secret gets to hear it


def _identify(
    seen: Mapping[str, Sequence[str]], policy: Policy, peppers: Peppers, tokens: Tokens, now_s: float
) -> _Identity | Unsettled | GatewayError:
    """The one credential of the request, or why there is none."""
    bearers, plain = seen.get(_AUTHORIZATION, ()), seen.get(_API_KEY, ())
    given = [*bearers, *plain]
    if not given:
        return GatewayError(
            Kind.CREDENTIAL_MISSING,
            "No API key was sent. Send one as `Authorization: Bearer <key>` or `x-api-key: <key>`.",
        )
    # A proxy on the way may have joined two headers by a comma (RFC 9110 section 5.3).
    if len(given) > 1 or "," in given[0]:
        return GatewayError(
            Kind.CREDENTIAL_AMBIGUOUS,
            "More than one credential was sent. Send one API key in one header.",
        )
    text = given[0]
    if bearers:
        scheme, _, text = text.partition(" ")
        if scheme.lower() != "bearer":  # case does not matter (RFC 9110 section 11.1)
            return GatewayError(Kind.CREDENTIAL_INVALID, _INVALID_KEY, cause="scheme is not Bearer")
        text = text.lstrip(" ")
        if not text.startswith(apikey.PREFIX) and jose.looks_like_token(text):
            return _of_token(tokens.check(text, policy, now_s))
    return _of_key(apikey.check(text, policy.keys, peppers), now_s)


def _of_key(found: Key | apikey.Rejected, now_s: float) -> _Identity | GatewayError:
    if isinstance(found, apikey.Rejected):
        cause = f"{found.fault.value} ({found.key_id})" if found.key_id else found.fault.value
        return GatewayError(Kind.CREDENTIAL_INVALID, _INVALID_KEY, cause=cause)
    expired = None
    if found.expires_at is not None and now_s >= found.expires_at:
        again = "This API key has expired. Ask your platform team for a new one."
        expired = GatewayError(Kind.CREDENTIAL_EXPIRED, again)
    return _Identity(found.tenant, found.principal, found.id, found.scopes, rate=found.rate, expired=expired)


def _of_token(found: Bearer | Rejected | Unsettled) -> _Identity | Unsettled | GatewayError:
    if isinstance(found, Unsettled):
        return found
    if isinstance(found, Bearer):
        return _Identity(found.tenant, found.principal, found.key_id, found.scopes, found.groups)
    if found.bearer is None:
        return _invalid_token(found.fault, found.issuer)
    whose = found.bearer
    expired = GatewayError(
        Kind.CREDENTIAL_EXPIRED, "This access token has expired. Get a new one.", cause=found.fault.value
    )
    return _Identity(whose.tenant, whose.principal, whose.key_id, whose.scopes, whose.groups, expired=expired)


def _unsettled(token: Unsettled) -> GatewayError:
    """The refusal that stands unless newer keys come in time."""
    if token.fault is not None:
        return _invalid_token(token.fault, token.issuer.name)
    return GatewayError(
        Kind.ISSUER_UNAVAILABLE,
        "The gateway cannot check access tokens of this issuer at the moment. Try again.",
        cause=f"no keys young enough ({token.issuer.name})",
    )


def _invalid_token(fault: Fault, issuer: str) -> GatewayError:
    cause = f"{fault.value} ({issuer})" if issuer else fault.value
    return GatewayError(Kind.CREDENTIAL_INVALID, _NOT_VALID_HERE, cause=cause)


def _judge(ask: Ask, seen: Mapping[str, Sequence[str]], tenant: Tenant, body_limit_bytes: int) -> GatewayError | None:
    """What is wrong with the request of an identified caller."""
    if ask.method == "CONNECT" or any(name in seen for name in _UPGRADES):
        return GatewayError(
            Kind.UPGRADE_REFUSED,
            "Protocol upgrades are not allowed. Send a plain HTTPS request; streams are server-sent events.",
        )
    door = _door(ask.path)
    if door is None:
        doors = ", ".join(f"{method} {path}" for path, method in FRONT_DOORS.items())
        return GatewayError(Kind.ROUTE_UNKNOWN, f"No such route. This gateway serves {doors}.")
    if ask.method != FRONT_DOORS[door]:
        allow = FRONT_DOORS[door]
        return GatewayError(Kind.METHOD_NOT_ALLOWED, f"This route is called with {allow}.", allow=allow)
    if not tenant.may_call(door):
        return GatewayError(Kind.ROUTE_FORBIDDEN, f"Your tenant may not call {door}. Ask your platform team for it.")
    return _size(seen.get(_LENGTH, ()), body_limit_bytes)


def _door(path: str) -> str | None:
    """The front door of a path. One model's page belongs to the list of models, also in allow-lists."""
    if path in FRONT_DOORS:
        return path
    return MODELS if path.startswith(f"{MODELS}/") and path != f"{MODELS}/" else None


def _size(lengths: Sequence[str], limit_bytes: int) -> GatewayError | None:
    """Bodies without a length are measured by Envoy's buffer filter and by `inspect`."""
    if not lengths:
        return None
    if len(lengths) > 1 or not (lengths[0].isascii() and lengths[0].isdigit()):
        return GatewayError(Kind.HEADER_INVALID, "The content-length header must be one whole number.")
    if len(lengths[0]) > _LENGTH_DIGITS or int(lengths[0]) > limit_bytes:
        return GatewayError(Kind.BODY_TOO_LARGE, f"The request body is larger than {limit_bytes} bytes. Send less.")
    return None


def _buckets(caller: _Identity, tenant: Tenant) -> tuple[Bucket, ...]:
    """The limits that the request counts against: those of the key and of its tenant, where there are any."""
    found: list[Bucket] = []
    if caller.rate is not None:
        found.append(Bucket(tenant.id, f"key:{caller.key_id}", caller.rate.requests, caller.rate.window_s))
    if tenant.rate is not None:
        found.append(Bucket(tenant.id, "tenant", tenant.rate.requests, tenant.rate.window_s))
    return tuple(found)
