"""Every header and dynamic-metadata name that crosses a process boundary. Nothing else defines one.

Envoy carries these between `authz`, `inspect` and `adapt`; a client can set none of them, because authz removes
every inbound header of `OWNED_PREFIXES` and metadata has no client-facing spelling.
"""

import re
from types import MappingProxyType
from typing import Final

# --- metadata namespaces -----------------------------------------------------------------------------------
#: Envoy files the dynamic metadata of an ext_authz answer under the filter's own name.
AUTHZ_NAMESPACE: Final = "envoy.filters.http.ext_authz"
#: What `inspect` tells `adapt` and the access log.
OSTIARY_NAMESPACE: Final = "ostiary"

# --- keys that authz writes (AUTHZ_NAMESPACE), all strings ---------------------------------------------------
TENANT: Final = "tenant"
PRINCIPAL: Final = "principal"
KEY_ID: Final = "key_id"
SCOPES: Final = "scopes"  # space separated, as RFC 6749 section 3.3 writes them
POLICY: Final = "policy"  # version that authz pinned; every later phase uses it
REQUEST_ID: Final = "request_id"
TRACEPARENT: Final = "traceparent"  # W3C Trace Context level 1
#: These five are left out where they would be empty: every byte of metadata travels with every message.
CLIENT: Final = "client"
CERTIFICATE: Final = "certificate"
ISSUED_AT: Final = "issued_at"
OBLIGATIONS: Final = "obligations"  # JSON (authz/wire.py, extproc/wire.py)
OPA_DECISION: Final = "opa"

# --- keys that inspect writes (OSTIARY_NAMESPACE), all strings ------------------------------------------------
MODEL: Final = "model"
BACKENDS: Final = "backends"  # comma separated names that `adapt` may reach; anything else is refused
BODY_BYTES: Final = "body_bytes"  # of the request in the caller's dialect, where some attempt needs another body
FRONT_PATH: Final = "front_path"  # the client's path without query: the original, never read from the request again
DECISION: Final = "decision"
# POLICY is repeated in this namespace so that adapt needs only one.

# --- metadata on Envoy endpoints (rendered by `ostiary envoy render`) -------------------------------------------
HOST_NAMESPACE: Final = "ostiary"
HOST_BACKEND: Final = "backend"

# --- headers -----------------------------------------------------------------------------------------------
#: Set by `inspect`, matched by the route table, removed by `adapt`: which composite cluster serves this request.
ROUTE_HEADER: Final = "x-ostiary-route"
#: The client's address as Envoy believes it: behind trusted proxies not the peer's, which is all that a CheckRequest
#: has. Envoy sets it anew on every request, because `use_remote_address` is on and nobody is internal.
BELIEVED_ADDRESS_HEADER: Final = "x-envoy-external-address"
#: The verified client certificate, URL-encoded PEM; Envoy sets it on routes to `control` and on no others.
CLIENT_CERTIFICATE_HEADER: Final = "x-ostiary-client-certificate"
#: The client's address, as Envoy sees it; set by Envoy on the same routes.
CLIENT_ADDRESS_HEADER: Final = "x-ostiary-client-address"
#: Under which name a local operator asks `control`; believed on the operator's socket alone, and never instead of the
#: user id that the kernel tells.
ACTOR_HEADER: Final = "x-ostiary-actor"
ACTOR_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
#: Marks a local reply that authz has already put on record, so that `inspect` does not record it twice.
REFUSED_BY_HEADER: Final = "x-ostiary-refused-by"
#: Told to clients on every governed answer.
REQUEST_ID_HEADER: Final = "x-request-id"
ERROR_CODE_HEADER: Final = "x-ostiary-error-code"
#: Told only where the model's pool says `tell: true`.
BACKEND_HEADER: Final = "x-ostiary-backend"
ATTEMPTS_HEADER: Final = "x-ostiary-attempts"
SELECT_HEADER: Final = "x-ostiary-select"
#: Told where the tenant's cache was asked: "hit" or "miss". With a hit comes `age` (RFC 9111 section 5.1).
CACHE_HEADER: Final = "x-ostiary-cache"
#: Told where fields of a request have no word in the dialect of the backend that answered.
DROPPED_HEADER: Final = "x-ostiary-dropped"
#: Told where fields of a whole answer have none in the client's.
ANSWER_DROPPED_HEADER: Final = "x-ostiary-answer-dropped"
#: Told to tenants that share a limit: its name, its amount, what is left, and what is theirs.
SHARED_LIMIT_HEADER: Final = "x-ostiary-shared-limit"
SHOULD_RETRY_HEADER: Final = "x-should-retry"  # honoured by the official OpenAI and Anthropic SDKs

#: Request headers that decide nothing at the door; Envoy leaves them out of what it asks authz.
UNREAD_BY_AUTHZ: Final = (
    *(":authority", ":path", ":method", ":scheme"),  # come as fields of their own; ":protocol" does not
    "accept",
    "accept-language",
    "content-type",
    "user-agent",
    "x-forwarded-for",  # `BELIEVED_ADDRESS_HEADER` is what Envoy made of it
    "x-forwarded-proto",
)
UNREAD_PREFIX: Final = "x-stainless-"  # a dozen of them come with every call of the official SDKs
#: Inbound headers with these prefixes are ours or Envoy's and never a client's to set.
OWNED_PREFIXES: Final = ("x-ostiary-", "x-envoy-")
#: Names under which clients and providers carry credentials, or say whom a provider shall bill: removed on the way in,
#: and again on each attempt.
CREDENTIAL_HEADERS: Final = frozenset(
    {
        "openai-organization",
        "openai-project",
        "x-goog-user-project",
        "anthropic-workspace-id",
        "authorization",
        "x-api-key",
        "api-key",
        "x-goog-api-key",
        "proxy-authorization",
        "cookie",
    },
)
#: Removed because a compressed answer could not be guarded.
ACCEPT_ENCODING: Final = "accept-encoding"

#: The only headers of a provider's answer that reach the client; `content-length` and `:status` are Envoy's matter.
UPSTREAM_RESPONSE_HEADERS: Final = frozenset(
    {
        ":status",
        "content-type",
        "content-length",
        "cache-control",
        "date",
        "retry-after",
        "retry-after-ms",
        "openai-processing-ms",
        "x-should-retry",
    },
)

#: What every response carries, whoever made it: (name, value). One year of HSTS is the least that preload lists
#: accept; answers hold prompts, so no shared cache may keep them; nothing that we answer is a page, so no script,
#: frame or form may come of it.
SECURITY_HEADERS: Final = (
    ("strict-transport-security", "max-age=31536000; includeSubDomains"),
    ("x-content-type-options", "nosniff"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("referrer-policy", "no-referrer"),
)
NO_STORE: Final = ("cache-control", "no-store")  # unless an answer already says otherwise

#: Envoy sends host metadata to `adapt` under this attribute, as a text-format protobuf string (design: Routing).
ATTR_HOST_METADATA: Final = "xds.upstream_host_metadata"
ATTR_CODE_DETAILS: Final = "response.code_details"
ATTR_ATTEMPTS: Final = "upstream.request_attempt_count"
#: Of a request that never reached `inspect`, for the record of its refusal.
ATTR_REQUEST_ID: Final = "request.id"
ATTR_METHOD: Final = "request.method"
ATTR_PATH: Final = "request.url_path"
#: What `response.code_details` says when a real upstream answered; anything else is a local reply of Envoy.
VIA_UPSTREAM: Final = "via_upstream"

# --- names of rendered Envoy parts ----------------------------------------------------------------------------
SIDECAR_CLUSTER: Final = "ostiary_sidecar"
#: The same sockets again for authz alone: a Check behind answers that wait for slow readers comes too late (ADR 0024).
AUTHZ_CLUSTER: Final = "ostiary_sidecar_authz"
#: The same sockets again for `adapt` alone: sharing connections with `inspect` crashes Envoy (envoy/README.md).
ADAPT_CLUSTER: Final = "ostiary_sidecar_adapt"
#: The control plane's socket: token service and admin API.
CONTROL_CLUSTER: Final = "ostiary_control"
#: In the run directory: what Envoy reaches of `control`, and what the local operator reaches. Two sockets, so that a
#: request that came from outside can never pass for a local one.
CONTROL_SOCKET: Final = "control.sock"
OPERATOR_SOCKET: Final = "operator.sock"
#: There as well: where `control` hands Envoy the listener's certificate with its key (SDS), where a vault issues it.
SECRETS_SOCKET: Final = "secrets.sock"
SECRETS_CLUSTER: Final = "ostiary_secrets"
#: Names of what is handed out: the certificate with its key, and the CAs of clients.
LISTENER_CERTIFICATE: Final = "ostiary_listener"
CLIENT_AUTHORITIES: Final = "ostiary_clients"
#: There as well: where Envoy takes the copies that workers make for mirrors (control/edge/mirror.py).
MIRROR_SOCKET: Final = "mirror.sock"
#: There as well: what workers ask about texts that are too heavy for them (`ostiary analyse`, gateway/advice.py).
ANALYSIS_SOCKET: Final = "analysis.sock"
#: What of `control` Envoy may reach, and nothing else.
ADMIN_PREFIX: Final = "/admin/v1/"
OAUTH_PREFIX: Final = "/oauth2/"
METADATA_PATH: Final = "/.well-known/oauth-authorization-server"  # RFC 8414 section 3
#: What Envoy tells control about a request, as header and Envoy's command operator.
CONTROL_HEADERS: Final = MappingProxyType(
    {
        CLIENT_CERTIFICATE_HEADER: "%DOWNSTREAM_PEER_CERT%",
        CLIENT_ADDRESS_HEADER: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    },
)
INSPECT_FILTER: Final = "ostiary.inspect"
ADAPT_FILTER: Final = "ostiary.adapt"
HEALTH_SERVICE: Final = "ostiary.worker"


def route_of(backend: str) -> str:
    """The composite cluster, and the route header's value, that reaches a backend through `adapt`."""
    return f"oc-{backend}"


def pool_route_of(content: str) -> str:
    """The same for several backends, asked one after the other; named by what it does (gateway.policy.walk)."""
    return f"og-{content}"


def mirror_route_of(backend: str) -> str:
    """The cluster, and the route header's value on the mirror's socket, that takes copies for a backend."""
    return f"om-{backend}"


def direct_route_of(backend: str) -> str:
    """The route header's value that reaches a backend without `adapt`: `inspect` has prepared the only attempt."""
    return f"od-{backend}"
