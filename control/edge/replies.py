"""Bodies for the answers that Envoy itself makes: the same codes and shapes as the workers', for both SDKs.

Envoy also passes authz's denials and ext_proc's immediate answers through this table. They carry their own
body and the error-code header, and every mapping below steps aside for that header.
"""

from dataclasses import dataclass
from typing import Any, Final

from envoy_data_plane.envoy.config.accesslog.v3 import AccessLogFilter, ExtensionFilter
from envoy_data_plane.envoy.config.core.v3 import SubstitutionFormatString
from envoy_data_plane.envoy.extensions.access_loggers.filters.cel.v3 import ExpressionFilter
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    LocalReplyConfig,
    ResponseMapper,
)
from envoy_data_plane.google.protobuf import Struct

from control.edge import filters, typed
from gateway import contract
from gateway.errors import DEFAULT_RETRY_AFTER_S, PLAN, Dialect, GatewayError, Kind, Retry, body_of

#: Common Expression Language over the same attributes as RBAC; response headers are there before the body
#: is made.
_UNTOLD: Final = f"!('{contract.ERROR_CODE_HEADER}' in response.headers)"
#: Mirrors Dialect.of_path. Without a path (request never parsed) the expression fails, and the next mapping
#: matches. Once a request has left for a provider its path is the provider's: then the client's stands in metadata.
_PATH: Final = (
    f"('{contract.OSTIARY_NAMESPACE}' in metadata.filter_metadata ? "
    f"metadata.filter_metadata['{contract.OSTIARY_NAMESPACE}']['{contract.FRONT_PATH}'] : request.path)"
)
_OF_PATH: Final = {
    Dialect.ANTHROPIC: [f"{_PATH}.startsWith('/v1/messages')"],
    Dialect.GEMINI: [f"{_PATH}.matches('^/v1(alpha|beta)[0-9]?/|^/v1/models/[^?]*:[a-z]+[A-Z]')"],
    Dialect.OPENAI: [],
}
_DIALECTS: Final = tuple(_OF_PATH)  # in the order in which they are asked


@dataclass(frozen=True, slots=True)
class Mapping:
    """One row: which local replies, and what the client is told."""

    when: str  # CEL
    kind: Kind
    public: str


#: Of the deadline of a Check: Envoy's timers go by when its loop last looked at the clock, so they may fire early.
_LATE: Final = 0.9
#: The first that matches wins. Details are Envoy's response code details, which name the cause; codes are
#: the rest.
_TABLE: Final = (
    Mapping(
        "response.code_details == 'ext_authz_error'",
        Kind.POLICY_UNAVAILABLE,
        "The gateway cannot check credentials at the moment and lets nobody in.",
    ),
    Mapping(
        "response.code_details == 'direct_response' && response.code == 503",
        Kind.POLICY_UNAVAILABLE,
        "The gateway has chosen no backend for this request and refuses it.",
    ),
    Mapping(
        "response.code == 504 && response.code_details.startsWith('ext_proc')",
        Kind.DEADLINE_EXCEEDED,
        "The gateway did not finish judging this request in time and refused it.",
    ),
    Mapping(
        "response.code_details.startsWith('ext_proc')",
        Kind.INTERNAL,
        "The gateway failed while judging this exchange and refused it.",
    ),
    Mapping(
        "response.code_details == 'response_payload_too_large'",
        Kind.BACKEND_ANSWER_TOO_LARGE,
        "The backend's answer is larger than the gateway can judge.",
    ),
    Mapping(
        "response.code == 503 && response.code_details.contains('overload')",
        Kind.OVERLOADED,
        "The gateway is full. Try again shortly.",
    ),
    Mapping("response.code == 404", Kind.ROUTE_UNKNOWN, "This host or path is not served here."),
    Mapping("response.code == 408", Kind.REQUEST_TIMEOUT, "The request did not arrive in time."),
    Mapping("response.code == 413", Kind.BODY_TOO_LARGE, "The request body is larger than the gateway accepts."),
    Mapping("response.code == 429", Kind.RATE_LIMITED, "Too many requests are at the gateway's door. Slow down."),
    Mapping(
        "response.code in [403, 426]",
        Kind.UPGRADE_REFUSED,
        "The gateway does not take protocol upgrades. Use plain HTTP requests.",
    ),
    Mapping(
        "response.code >= 400 && response.code < 500",
        Kind.HEADER_INVALID,
        "The request line or a header is malformed, too large or not allowed.",
    ),
    Mapping("response.code == 502", Kind.BACKEND_ANSWER_INVALID, "The backend broke the HTTP protocol."),
    Mapping(
        f"response.code == 503 && (request.path.startsWith('{contract.OAUTH_PREFIX}') || "
        f"request.path.startsWith('{contract.ADMIN_PREFIX}'))",
        Kind.BACKEND_UNAVAILABLE,
        "The gateway's control plane cannot be reached. Try again shortly.",
    ),
    Mapping("response.code == 503", Kind.BACKEND_UNAVAILABLE, "The backend cannot be reached. Try again shortly."),
    Mapping("response.code == 504", Kind.BACKEND_TIMEOUT, "The backend did not answer in time."),
    Mapping("response.code >= 500", Kind.INTERNAL, "The gateway met an internal error and refused the exchange."),
)


def config(authz_ms: int) -> LocalReplyConfig:
    """Three mappings per row: Anthropic's and Google's shapes for their paths, OpenAI's for every other."""
    return LocalReplyConfig(
        mappers=[_mapper(row, dialect) for row in rows(authz_ms) for dialect in _DIALECTS],
    )


def _mapper(row: Mapping, dialect: Dialect) -> ResponseMapper:
    plan = PLAN[row.kind]
    conditions = [_UNTOLD, f"({row.when})", *_OF_PATH[dialect]]
    body = body_of(GatewayError(row.kind, row.public), dialect, request_id="%REQ(X-REQUEST-ID)%")
    # With `inspect` dead, Envoy's last word passes no filter that would add these.
    added = [filters.header(contract.ERROR_CODE_HEADER, row.kind.value), *filters.security_headers()]
    if plan.retry is Retry.NEVER:
        added.append(filters.header(contract.SHOULD_RETRY_HEADER, "false"))
    else:
        added.append(filters.header("retry-after", str(DEFAULT_RETRY_AFTER_S)))
    return ResponseMapper(
        filter=_when(" && ".join(conditions)),
        # The status of the error table, so that one code never comes with two statuses.
        status_code=plan.http,
        headers_to_add=added,
        body_format_override=SubstitutionFormatString(
            content_type="application/json", json_format=Struct.from_dict(body)
        ),
    )


def _when(expression: str) -> AccessLogFilter:
    return AccessLogFilter(
        extension_filter=ExtensionFilter(
            name="envoy.access_loggers.extension_filters.cel",
            typed_config=typed.packed(ExpressionFilter(expression=expression)),
        ),
    )


def rows(authz_ms: int) -> tuple[Mapping, ...]:
    """The table. `authz_ms`: the deadline of a Check; Envoy's details tell it not from an authz that is not there."""
    late_us = round(authz_ms * 1000 * _LATE)
    late = Mapping(
        "response.code_details == 'ext_authz_error' && "
        f"filter_state['{contract.AUTHZ_NAMESPACE}'].latency_us >= {late_us}",
        Kind.DEADLINE_EXCEEDED,
        "The gateway did not finish checking this request in time and refused it.",
    )
    return (late, *_TABLE)


def public_bodies() -> list[dict[str, Any]]:
    """Every body in each shape, as a client would parse it."""
    return [dict(body_of(GatewayError(row.kind, row.public), dialect)) for row in rows(1) for dialect in _DIALECTS]
