"""Every way in which the gateway says no: one enum, one table, three spellings. Knows nothing about gRPC's library.

A `Kind` is a stable code that callers may match on. `PLAN` maps each one to HTTP status, gRPC status, the type names
of the OpenAI and Anthropic error bodies, and to what a client should do next; Google's clients read the gRPC status. A
test walks the enum.
"""

import re
from dataclasses import dataclass
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Final

import orjson

from gateway import contract

#: Gemini's paths have versions of their own or end in a method's name, `:generateContent`; Envoy's own replies go by
#: the same words (control.edge.replies).
_OF_GEMINI: Final = re.compile(r"/v1(?:alpha|beta)[0-9]?/|/v1/models/[^?]*:[a-z]+[A-Z]")


class Dialect(StrEnum):
    """Whose SDK is on the other end; chosen by path, never by what the caller claims."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    GEMINI = "gemini"

    @classmethod
    def of_path(cls, path: str) -> "Dialect":
        """The dialect whose clients call `path` (with or without query)."""
        if path.startswith("/v1/messages"):
            return cls.ANTHROPIC
        return cls.GEMINI if _OF_GEMINI.match(path) else cls.OPENAI


class Retry(Enum):
    """Advice to the client: SDKs retry 408, 409, 429 and 5xx unless `x-should-retry` says otherwise."""

    NEVER = "never"
    LATER = "later"


class Kind(StrEnum):
    """Stable error codes. Add one here and the test that walks the enum asks for its line in `PLAN`."""

    CREDENTIAL_MISSING = "credential_missing"
    CREDENTIAL_INVALID = "credential_invalid"
    CREDENTIAL_AMBIGUOUS = "credential_ambiguous"
    CREDENTIAL_EXPIRED = "credential_expired"
    CREDENTIAL_REVOKED = "credential_revoked"
    CREDENTIAL_UNBOUND = "credential_unbound"
    AUTHENTICATION_THROTTLED = "authentication_throttled"
    REVOCATIONS_UNAVAILABLE = "revocations_unavailable"
    ADDRESS_FORBIDDEN = "address_forbidden"
    POLICY_DENIED = "policy_denied"
    POLICY_ENGINE_UNAVAILABLE = "policy_engine_unavailable"
    ADVICE_UNAVAILABLE = "advice_unavailable"
    BUDGET_EXCEEDED = "budget_exceeded"
    BUDGET_SPENT = "budget_spent"
    BUDGETS_UNAVAILABLE = "budgets_unavailable"
    MODEL_UNPRICED = "model_unpriced"
    ISSUER_UNAVAILABLE = "issuer_unavailable"
    ROUTE_UNKNOWN = "route_unknown"
    ROUTE_FORBIDDEN = "route_forbidden"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    HEADER_INVALID = "header_invalid"
    UPGRADE_REFUSED = "upgrade_refused"
    CONTENT_TYPE_UNSUPPORTED = "content_type_unsupported"
    CONTENT_ENCODING_UNSUPPORTED = "content_encoding_unsupported"
    TRAILERS_REFUSED = "trailers_refused"
    BODY_TOO_LARGE = "body_too_large"
    BODY_EMPTY = "body_empty"
    JSON_INVALID = "json_invalid"
    JSON_DUPLICATE_KEY = "json_duplicate_key"
    JSON_TOO_DEEP = "json_too_deep"
    JSON_TOO_COMPLEX = "json_too_complex"
    REQUEST_INVALID = "request_invalid"
    SCHEMA_MISMATCH = "schema_mismatch"
    MODEL_UNKNOWN = "model_unknown"
    MODEL_FORBIDDEN = "model_forbidden"
    MAX_TOKENS_EXCEEDED = "max_tokens_exceeded"
    REQUEST_BLOCKED = "request_blocked"
    ANSWER_BLOCKED = "answer_blocked"
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    REQUEST_TIMEOUT = "request_timeout"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    BACKEND_UNAVAILABLE = "backend_unavailable"
    BACKEND_TIMEOUT = "backend_timeout"
    BACKEND_ANSWER_INVALID = "backend_answer_invalid"
    BACKEND_ANSWER_TOO_LARGE = "backend_answer_too_large"
    POLICY_UNAVAILABLE = "policy_unavailable"
    AUDIT_UNAVAILABLE = "audit_unavailable"
    INTERNAL = "internal_error"


@dataclass(frozen=True, slots=True)
class Plan:
    """How one kind is told. `grpc` is a canonical status number (grpc.io, statuscodes)."""

    http: int
    grpc: int
    openai: str
    anthropic: str
    retry: Retry


def _plan(http: int, grpc: int, retry: Retry = Retry.NEVER) -> Plan:
    openai = {
        401: "authentication_error",
        402: "insufficient_quota",
        403: "permission_error",
        404: "not_found_error",
        429: "rate_limit_error",
    }
    anthropic = {
        401: "authentication_error",
        402: "billing_error",
        403: "permission_error",
        404: "not_found_error",
        413: "request_too_large",
        429: "rate_limit_error",
        503: "overloaded_error",
        504: "timeout_error",
    }
    fallback_openai = "invalid_request_error" if http < 500 else "server_error"
    fallback_anthropic = "invalid_request_error" if http < 500 else "api_error"
    return Plan(http, grpc, openai.get(http, fallback_openai), anthropic.get(http, fallback_anthropic), retry)


_INVALID, _UNAUTHENTICATED, _DENIED, _EXHAUSTED, _UNAVAILABLE, _INTERNAL, _DEADLINE = 3, 16, 7, 8, 14, 13, 4
_PRECONDITION: Final = 9

PLAN: Final = MappingProxyType(
    {
        Kind.CREDENTIAL_MISSING: _plan(401, _UNAUTHENTICATED),
        Kind.CREDENTIAL_INVALID: _plan(401, _UNAUTHENTICATED),
        Kind.CREDENTIAL_AMBIGUOUS: _plan(401, _UNAUTHENTICATED),
        Kind.CREDENTIAL_EXPIRED: _plan(401, _UNAUTHENTICATED),
        Kind.CREDENTIAL_REVOKED: _plan(401, _UNAUTHENTICATED),
        Kind.CREDENTIAL_UNBOUND: _plan(401, _UNAUTHENTICATED),
        Kind.AUTHENTICATION_THROTTLED: _plan(429, _EXHAUSTED, Retry.LATER),
        Kind.REVOCATIONS_UNAVAILABLE: _plan(503, _UNAVAILABLE, Retry.LATER),
        Kind.ADDRESS_FORBIDDEN: _plan(403, _DENIED),
        Kind.POLICY_DENIED: _plan(403, _DENIED),
        Kind.POLICY_ENGINE_UNAVAILABLE: _plan(503, _UNAVAILABLE, Retry.LATER),
        Kind.ADVICE_UNAVAILABLE: _plan(503, _UNAVAILABLE, Retry.LATER),
        Kind.BUDGET_EXCEEDED: _plan(429, _EXHAUSTED, Retry.LATER),
        Kind.BUDGET_SPENT: _plan(402, _PRECONDITION),
        Kind.BUDGETS_UNAVAILABLE: _plan(503, _UNAVAILABLE, Retry.LATER),
        Kind.MODEL_UNPRICED: _plan(403, _DENIED),
        Kind.ISSUER_UNAVAILABLE: _plan(503, _UNAVAILABLE, Retry.LATER),
        Kind.ROUTE_UNKNOWN: _plan(404, 5),
        Kind.ROUTE_FORBIDDEN: _plan(403, _DENIED),
        Kind.METHOD_NOT_ALLOWED: _plan(405, _INVALID),
        Kind.HEADER_INVALID: _plan(400, _INVALID),
        Kind.UPGRADE_REFUSED: _plan(403, _DENIED),
        Kind.CONTENT_TYPE_UNSUPPORTED: _plan(415, _INVALID),
        Kind.CONTENT_ENCODING_UNSUPPORTED: _plan(415, _INVALID),
        Kind.TRAILERS_REFUSED: _plan(400, _INVALID),
        Kind.BODY_TOO_LARGE: _plan(413, _INVALID),
        Kind.BODY_EMPTY: _plan(400, _INVALID),
        Kind.JSON_INVALID: _plan(400, _INVALID),
        Kind.JSON_DUPLICATE_KEY: _plan(400, _INVALID),
        Kind.JSON_TOO_DEEP: _plan(400, _INVALID),
        Kind.JSON_TOO_COMPLEX: _plan(400, _INVALID),
        Kind.REQUEST_INVALID: _plan(400, _INVALID),
        Kind.SCHEMA_MISMATCH: _plan(400, _INVALID),
        Kind.MODEL_UNKNOWN: _plan(404, 5),
        Kind.MODEL_FORBIDDEN: _plan(403, _DENIED),
        Kind.MAX_TOKENS_EXCEEDED: _plan(403, _DENIED),
        Kind.REQUEST_BLOCKED: _plan(403, _DENIED),
        Kind.ANSWER_BLOCKED: _plan(403, _DENIED),
        Kind.RATE_LIMITED: _plan(429, _EXHAUSTED, Retry.LATER),
        Kind.OVERLOADED: _plan(503, _UNAVAILABLE, Retry.LATER),
        Kind.REQUEST_TIMEOUT: _plan(408, _DEADLINE, Retry.LATER),
        Kind.DEADLINE_EXCEEDED: _plan(504, _DEADLINE),
        Kind.BACKEND_UNAVAILABLE: _plan(503, _UNAVAILABLE, Retry.LATER),
        Kind.BACKEND_TIMEOUT: _plan(504, _DEADLINE, Retry.LATER),
        Kind.BACKEND_ANSWER_INVALID: _plan(502, _INTERNAL),
        Kind.BACKEND_ANSWER_TOO_LARGE: _plan(502, _INTERNAL),
        Kind.POLICY_UNAVAILABLE: _plan(503, _UNAVAILABLE),
        Kind.AUDIT_UNAVAILABLE: _plan(503, _UNAVAILABLE),
        Kind.INTERNAL: _plan(500, _INTERNAL),
    },
)


class GatewayError(Exception):
    """A refusal. `public` is written for the caller; `cause` is for the log only and never leaves the process."""

    def __init__(
        self,
        kind: Kind,
        public: str,
        *,
        param: str | None = None,
        cause: str = "",
        retry_after_s: int | None = None,
        allow: str | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(public)
        self.kind = kind
        self.public = public
        self.param = param
        self.cause = cause
        self.retry_after_s = retry_after_s
        self.allow = allow  # methods for a 405 (RFC 9110 section 15.5.6)
        self.headers = headers  # that the answer carries beside those of its kind


@dataclass(frozen=True, slots=True)
class Rendered:
    """An error ready for the wire: status, headers (lower case) and JSON body."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


#: The official SDKs wait no longer than this for a retry. Where they are told to wait longer, they come after some
#: seconds, to be refused again.
_WORTH_WAITING_S: Final = 60
DEFAULT_RETRY_AFTER_S: Final = 1  # a second is long for one shed request and short for a person


#: Names of `Plan.grpc` (google.rpc.Code), and where Google's APIs tell an error's own code (AIP-193).
_GOOGLE_STATUS: Final = MappingProxyType(
    {
        3: "INVALID_ARGUMENT",
        4: "DEADLINE_EXCEEDED",
        5: "NOT_FOUND",
        7: "PERMISSION_DENIED",
        8: "RESOURCE_EXHAUSTED",
        9: "FAILED_PRECONDITION",
        13: "INTERNAL",
        14: "UNAVAILABLE",
        16: "UNAUTHENTICATED",
    },
)
_ERROR_INFO: Final = "type.googleapis.com/google.rpc.ErrorInfo"


def body_of(error: GatewayError, dialect: Dialect, request_id: str = "") -> dict[str, object]:
    """The error object of the caller's SDK: OpenAI API reference, "Error codes"; Anthropic and Gemini API, "Errors"."""
    plan = PLAN[error.kind]
    if dialect is Dialect.ANTHROPIC:
        return {
            "type": "error",
            "error": {"type": plan.anthropic, "message": f"{error.public} ({error.kind.value})"},
            "request_id": request_id,
        }
    if dialect is Dialect.GEMINI:
        info: dict[str, object] = {"@type": _ERROR_INFO, "reason": error.kind.value.upper(), "domain": "ostiary"}
        if error.param:
            info["metadata"] = {"field": error.param}
        return {
            "error": {
                "code": plan.http,
                "message": error.public,
                "status": _GOOGLE_STATUS[plan.grpc],
                "details": [info],
            },
        }
    return {
        "error": {
            "message": error.public,
            "type": plan.openai,
            "param": error.param,
            "code": error.kind.value,
        },
    }


def render(error: GatewayError, dialect: Dialect, request_id: str = "") -> Rendered:
    """The whole refusal. Anthropic bodies have no code field, so the code also travels in a header."""
    plan = PLAN[error.kind]
    headers = [("content-type", "application/json"), (contract.ERROR_CODE_HEADER, error.kind.value)]
    if plan.retry is Retry.NEVER:
        headers.append((contract.SHOULD_RETRY_HEADER, "false"))
    else:
        after_s = error.retry_after_s or DEFAULT_RETRY_AFTER_S
        headers.append(("retry-after", str(after_s)))
        if after_s > _WORTH_WAITING_S:
            headers.append((contract.SHOULD_RETRY_HEADER, "false"))
    if error.allow:
        headers.append(("allow", error.allow))
    if plan.http == 401:
        headers.append(("www-authenticate", 'Bearer realm="ostiary"'))  # RFC 6750 section 3
    headers += error.headers
    return Rendered(plan.http, tuple(headers), orjson.dumps(body_of(error, dialect, request_id)))


def unexpected(cause: BaseException) -> GatewayError:
    """Any exception that nobody planned for. Its text may hold secrets, so only its type is kept."""
    return GatewayError(
        Kind.INTERNAL,
        "The gateway met an internal error and refused the exchange. Quote the request id to your platform team.",
        cause=type(cause).__name__,
    )
