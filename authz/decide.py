"""May this caller ask this, now? No I/O, no clock, no randomness of its own; rates are spent later.

Nothing about routes, methods or bodies is told to a caller who was not identified first: 401 comes first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from authz import apikey, cidr, jose, trace
from authz.apikey import Known, RandomBytes
from authz.claims import Bearer
from authz.identified import Identified
from authz.means import Means, Opaque
from authz.refusal import invalid_token, issuer_away
from authz.tokens import Rejected, Unsettled
from gateway import contract, named_path
from gateway.errors import GatewayError, Kind
from gateway.identity import NO_OBLIGATIONS, Caller, Obligations
from gateway.limits.bucket import Bucket
from gateway.policy.model import Issuer, Policy, Tenant

MODELS: Final = "/v1/models"
#: The front doors and the method of each.
FRONT_DOORS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "/v1/chat/completions": "POST",
        "/v1/completions": "POST",
        "/v1/embeddings": "POST",
        "/v1/responses": "POST",
        "/v1/messages": "POST",
        named_path.ROUTE: "POST",
        MODELS: "GET",
    },
)

_AUTHORIZATION: Final = "authorization"
_API_KEYS: Final = ("x-api-key", "x-goog-api-key")  # of Anthropic's and Google's SDKs
_REQUEST_ID: Final = contract.REQUEST_ID_HEADER
_TRACEPARENT: Final = "traceparent"
#: Meaningless and misleading without its traceparent (W3C Trace Context level 1, section 3.3.1).
_TRACESTATE: Final = "tracestate"
_LENGTH: Final = "content-length"
#: An upgraded connection carries bytes that no guard sees. HTTP/2 spells it `:protocol` (RFC 8441).
_UPGRADES: Final = ("upgrade", ":protocol")
_READ: Final = frozenset(
    {_AUTHORIZATION, *_API_KEYS, _REQUEST_ID, _TRACEPARENT, _TRACESTATE, _LENGTH, *_UPGRADES},
)
_REMOVED: Final = contract.CREDENTIAL_HEADERS | {contract.ACCEPT_ENCODING}
#: Header names whose fate is kept: clients use some dozen, and whoever invents more only costs a lookup.
_REMEMBERED_NAMES: Final = 1024
#: Digits of 2**63: a longer length is too large for every limit, and int() never sees endless digits.
_LENGTH_DIGITS: Final = 19

#: One sentence for every key that does not count: one for each cause would let callers probe for ids.
_INVALID_KEY: Final = (
    "The API key is not valid. Check that it was copied whole, or ask your platform team for a new one."
)


@dataclass(frozen=True, slots=True)
class Ask:
    """One request as Envoy shows it before its body. Holds the credential, so it has no telling repr."""

    method: str
    target: str  # path with query
    headers: tuple[tuple[str, str], ...]  # lower-case names, in wire order, with duplicates
    address: str = ""  # of the client, as Envoy believes it (`xff_num_trusted_hops`; authz/wire.py)
    certificate: str = ""  # verified by Envoy: URL-encoded PEM; "" when none was shown

    def __repr__(self) -> str:
        return f"Ask({len(self.headers)} headers)"

    @property
    def path(self) -> str:
        """The target without query. A query means nothing where it is allowed: `adapt` sets the upstream path."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """What stands behind the path."""
        return self.target.partition("?")[2]


@dataclass(frozen=True, slots=True)
class Allowed:
    """The caller may ask, once a request was counted against `buckets`."""

    caller: Caller
    buckets: tuple[Bucket, ...]
    remove: tuple[str, ...]  # headers that must not travel on
    method: str = "api_key"  # how the caller was identified (`Identified.method`)


@dataclass(frozen=True, slots=True)
class Refused:
    """The caller may not ask. `caller` is empty where nobody was identified."""

    error: GatewayError
    caller: Caller
    headers: tuple[tuple[str, str], ...] = ()  # beyond those of the error itself


@dataclass(frozen=True, slots=True)
class Waits:
    """News from elsewhere could change the refusal: newer keys of the issuer, or what a server says of a token."""

    what: Issuer | Opaque
    refused: Refused


def decide(ask: Ask, policy: Policy, means: Means, *, now_s: float, random: RandomBytes) -> Allowed | Refused | Waits:
    """Identify the caller, then judge route, method and size."""
    seen, remove = _sort(ask.headers)
    request_id = trace.request_id(seen.get(_REQUEST_ID, ()), random)
    traceparent = trace.read_traceparent(seen.get(_TRACEPARENT, ()))
    if traceparent is None:
        remove += [name for name in (_TRACEPARENT, _TRACESTATE) if name in seen]
        traceparent = trace.new_traceparent(random)
    try:
        who = _identify(ask, seen, policy, means, now_s)
        fingerprint = means.certificates.fingerprint(ask.certificate, now_s) if ask.certificate else ""
    except GatewayError as error:
        return Refused(error, nobody(request_id, traceparent, policy.version))
    if not isinstance(who, Identified):
        what, away = (who.issuer, _unsettled(who)) if isinstance(who, Unsettled) else (who, _unasked(who))
        return Waits(what, Refused(away, nobody(request_id, traceparent, policy.version)))
    caller = Caller(
        tenant=who.tenant,
        principal=who.principal,
        key_id=who.key_id,
        scopes=who.scopes,
        groups=who.groups,
        policy=policy.version,
        request_id=request_id,
        traceparent=traceparent,
        client=who.client,
        certificate=fingerprint,
        issued_at=who.issued_at,
        obligations=Obligations(models=who.models) if who.models else NO_OBLIGATIONS,
    )
    tenant = policy.tenants.get(who.tenant)
    if tenant is None:
        return Refused(GatewayError(Kind.POLICY_UNAVAILABLE, _NO_TENANT, cause="credential without tenant"), caller)
    fault = (
        who.expired
        or means.certificates.bind(who, ask.certificate, policy)
        or means.revocations.judge(caller, policy)
        or _from_where(who, ask.address)
        or _judge(ask, seen, tenant, policy.limits.body_bytes)
    )
    if fault is not None:
        return Refused(fault, caller)
    return Allowed(caller, _buckets(who, tenant, ask.address), tuple(remove), method=who.method)


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
        read, removed = _fate(name)
        if read:
            seen.setdefault(name, []).append(value)
        if removed:
            remove[name] = None
    return seen, list(remove)


@lru_cache(maxsize=_REMEMBERED_NAMES)
def _fate(name: str) -> tuple[bool, bool]:
    """Whether a header is read here, and whether it must not travel on."""
    # CGI-like servers read `x_ostiary_route` as `x-ostiary-route`: an underscore must save no header.
    plain = name.replace("_", "-")
    return name in _READ, plain in _REMOVED or plain.startswith(contract.OWNED_PREFIXES)


def _identify(
    ask: Ask, seen: Mapping[str, Sequence[str]], policy: Policy, means: Means, now_s: float
) -> Identified | Unsettled | Opaque:
    """The one credential of the request.

    Raises:
        GatewayError: why there is none.
    """
    bearers, plain = seen.get(_AUTHORIZATION, ()), [value for name in _API_KEYS for value in seen.get(name, ())]
    given = [*bearers, *plain]
    if not given:
        named = means.certificates.identify(ask.certificate, policy) if ask.certificate else None
        if named is not None:
            return named
        in_address = " One in the address is not read: addresses end up in logs, so replace it."
        raise GatewayError(
            Kind.CREDENTIAL_MISSING,
            "No API key was sent. Send one as `Authorization: Bearer <key>`, `x-api-key: <key>` or "
            f"`x-goog-api-key: <key>`.{in_address if named_path.brings_key(ask.query) else ''}",
            cause="the client certificate names nobody" if ask.certificate else "",
        )
    # A proxy on the way may have joined two headers by a comma (RFC 9110 section 5.3).
    if len(given) > 1 or "," in given[0]:
        raise GatewayError(
            Kind.CREDENTIAL_AMBIGUOUS,
            "More than one credential was sent. Send one API key in one header.",
            cause="several credentials" if len(given) > 1 else "a credential with a comma",
        )
    text = given[0]
    if bearers:
        scheme, _, text = text.partition(" ")
        if scheme.lower() != "bearer":  # case does not matter (RFC 9110 section 11.1)
            raise GatewayError(Kind.CREDENTIAL_INVALID, _INVALID_KEY, cause="scheme is not Bearer")
        text = text.lstrip(" ")
        if not text.startswith(apikey.PREFIX):
            if jose.looks_like_token(text):
                return _of_token(means.tokens.check(text, policy, now_s))
            if means.opaque.knows(text, policy):
                return _or_raise(means.opaque.check(text, policy, now_s))
    return _of_key(means.genuine.check(text, means.keys.of(policy), means.peppers), now_s)


def _or_raise(found: Identified | GatewayError | Opaque) -> Identified | Opaque:
    if isinstance(found, GatewayError):
        raise found
    return found


def _of_key(found: Known | apikey.Rejected, now_s: float) -> Identified:
    if isinstance(found, apikey.Rejected):
        cause = f"{found.fault.value} ({found.key_id})" if found.key_id else found.fault.value
        raise GatewayError(Kind.CREDENTIAL_INVALID, _INVALID_KEY, cause=cause)
    key, who = found
    if key.expires_at is not None and now_s >= key.expires_at:
        again = "This API key has expired. Ask your platform team for a new one."
        return replace(who, expired=GatewayError(Kind.CREDENTIAL_EXPIRED, again))
    return who


def _of_token(found: Bearer | Rejected | Unsettled) -> Identified | Unsettled:
    if isinstance(found, Unsettled):
        return found
    if isinstance(found, Bearer):
        return _of_bearer(found)
    if found.bearer is None:
        raise invalid_token(found.fault.value, found.issuer)
    again = GatewayError(
        Kind.CREDENTIAL_EXPIRED, "This access token has expired. Get a new one.", cause=found.fault.value
    )
    return _of_bearer(found.bearer, again)


def _of_bearer(bearer: Bearer, expired: GatewayError | None = None) -> Identified:
    return Identified(
        tenant=bearer.tenant,
        principal=bearer.principal,
        key_id=bearer.key_id,
        method="jwt",
        scopes=bearer.scopes,
        groups=bearer.groups,
        client=bearer.client,
        issued_at=bearer.issued_at,
        bound_to=bearer.bound_to,
        expired=expired,
    )


def _unasked(token: Opaque) -> GatewayError:
    """The refusal that stands unless the server answers in time."""
    return issuer_away(f"no answer to introspection ({token.introspector.name})")


def _from_where(who: Identified, address: str) -> GatewayError | None:
    """Whether the credential may be used from the client's address."""
    if not who.cidrs or cidr.any_holds(who.cidrs, address):
        return None
    return GatewayError(
        Kind.ADDRESS_FORBIDDEN,
        "This credential may not be used from your network address.",
        cause="client address outside the key's cidrs",
    )


def _unsettled(token: Unsettled) -> GatewayError:
    """The refusal that stands unless newer keys come in time."""
    if token.fault is not None:
        return invalid_token(token.fault.value, token.issuer.name)
    return issuer_away(f"no keys young enough ({token.issuer.name})")


def _judge(ask: Ask, seen: Mapping[str, Sequence[str]], tenant: Tenant, body_limit_bytes: int) -> GatewayError | None:
    """What is wrong with the request of an identified caller."""
    if ask.method == "CONNECT" or not seen.keys().isdisjoint(_UPGRADES):
        return GatewayError(
            Kind.UPGRADE_REFUSED,
            "Protocol upgrades are not allowed. Send a plain HTTPS request; streams are server-sent events.",
        )
    door = _door(ask.path)
    if named_path.is_foreign(ask.path) and (door is None or ask.method != FRONT_DOORS[door]):
        return GatewayError(
            Kind.ROUTE_UNKNOWN,
            "No such route. Of Gemini's API this gateway serves POST /v1beta/models/MODEL:generateContent, POST "
            "/v1beta/models/MODEL:streamGenerateContent?alt=sse and GET /v1beta/models, and the same below /v1.",
        )
    if door is None:
        doors = ", ".join(f"{method} {path}" for path, method in FRONT_DOORS.items())
        return GatewayError(Kind.ROUTE_UNKNOWN, f"No such route. This gateway serves {doors}.")
    if ask.method != FRONT_DOORS[door]:
        allow = FRONT_DOORS[door]
        return GatewayError(Kind.METHOD_NOT_ALLOWED, f"This route is called with {allow}.", allow=allow)
    if not tenant.may_call(door):
        return GatewayError(Kind.ROUTE_FORBIDDEN, f"Your tenant may not call {door}. Ask your platform team for it.")
    named = named_path.named(ask.path)
    fault = None if named is None else named_path.refuse_query(named, ask.query)
    return fault or _size(seen.get(_LENGTH, ()), body_limit_bytes)


def _door(path: str) -> str | None:
    """The front door of a path. One model's page belongs to the list of models, also in allow-lists."""
    if named_path.named(path) is not None:
        return named_path.ROUTE
    if path in FRONT_DOORS and path != named_path.ROUTE:
        return path
    listed = named_path.lists(path) or (path.startswith(f"{MODELS}/") and path != f"{MODELS}/")
    return MODELS if listed else None


def _size(lengths: Sequence[str], limit_bytes: int) -> GatewayError | None:
    """Bodies without a length are measured by Envoy's buffer filter and by `inspect`."""
    if not lengths:
        return None
    if len(lengths) > 1 or not (lengths[0].isascii() and lengths[0].isdigit()):
        return GatewayError(Kind.HEADER_INVALID, "The content-length header must be one whole number.")
    if len(lengths[0]) > _LENGTH_DIGITS or int(lengths[0]) > limit_bytes:
        return GatewayError(Kind.BODY_TOO_LARGE, f"The request body is larger than {limit_bytes} bytes. Send less.")
    return None


def _buckets(who: Identified, tenant: Tenant, address: str) -> tuple[Bucket, ...]:
    """The limits that the request counts against: of key, principal, address and tenant, where there are any."""
    if who.rate is None and tenant.rate is tenant.principal_rate is tenant.address_rate is None:
        return ()
    wanted = (
        (f"key:{who.key_id}", who.rate),
        (f"principal:{who.principal}", tenant.principal_rate),
        (f"address:{address}", tenant.address_rate),
        ("tenant", tenant.rate),
    )
    return tuple(Bucket(tenant.id, name, rate.requests, rate.window_s) for name, rate in wanted if rate is not None)
