"""Rules for both ext_proc filters, and for all three guards alike: how they are called and how they fail."""

from collections.abc import Iterator
from typing import Final

from control.edge.lint import quantity
from control.edge.lint.modes import ENVOY_MESSAGE_TIMEOUT_S, mode
from control.edge.lint.node import Node
from control.edge.lint.parts import Extension
from control.edge.lint.rule import ERROR, WARNING, Hit, rule
from control.edge.lint.survey import Survey
from gateway import contract

_FIRST_ERROR_STATUS: Final = 400  # RFC 9110 section 15: below it, a client takes the answer for a success
#: The same by name (envoy.type.v3.StatusCode); "Empty" is 0 and means the default.
_NO_ERROR_STATUS: Final = frozenset(
    {
        "continue", "ok", "created", "accepted", "nonauthoritativeinformation", "nocontent", "resetcontent",
        "partialcontent", "multistatus", "alreadyreported", "imused", "multiplechoices", "movedpermanently", "found",
        "seeother", "notmodified", "useproxy", "temporaryredirect", "permanentredirect",
    },
)  # fmt: skip
#: What each filter must be given, and may give back (contract: metadata namespaces).
_FORWARDED: Final = {"inspect": contract.AUTHZ_NAMESPACE, "adapt": contract.OSTIARY_NAMESPACE}
_FORWARDABLE: Final = frozenset({contract.AUTHZ_NAMESPACE, contract.OSTIARY_NAMESPACE})


def _by_role(survey: Survey) -> Iterator[tuple[str, Extension]]:
    yield from (("inspect", each) for each in survey.inspects)
    yield from (("adapt", each) for each in survey.adapts)


def _spaces(each: Extension, direction: str) -> Node:
    return each.config.get("metadata_options", f"{direction}_namespaces", "untyped")


def _on(survey: Survey, field: str) -> Iterator[Hit]:
    for role, each in _by_role(survey):
        if each.config.get(field).flag:
            yield Hit(each.config.get(field), f"{field} of {role} is on")


@rule(
    "processor.failure-mode-allow",
    ERROR,
    why="A dead or failing worker then lets bodies and answers pass unguarded.",
    remedy="Set failure_mode_allow: false.",
)
def _failure_mode_allow(survey: Survey) -> Iterator[Hit]:
    return _on(survey, "failure_mode_allow")


@rule(
    "processor.observability-mode",
    ERROR,
    why="Envoy sends copies and ignores every answer: nothing is redacted, blocked or cut.",
    remedy="Remove observability_mode; use the policy's shadow mode to watch without enforcing.",
)
def _observability_mode(survey: Survey) -> Iterator[Hit]:
    return _on(survey, "observability_mode")


@rule(
    "processor.immediate-response-off",
    ERROR,
    why="A refusal by the sidecar becomes a broken stream instead of a clear answer.",
    remedy="Remove disable_immediate_response.",
)
def _immediate_response(survey: Survey) -> Iterator[Hit]:
    return _on(survey, "disable_immediate_response")


@rule(
    "processor.headers-hidden",
    ERROR,
    why="The sidecar can neither judge nor remove a header that it is not shown.",
    remedy="Remove forward_rules and processing_request_modifier.",
)
def _headers_hidden(survey: Survey) -> Iterator[Hit]:
    for role, each in _by_role(survey):
        for name in ("forward_rules", "processing_request_modifier"):
            if each.config.get(name):
                yield Hit(each.config.get(name), f"{name} changes what {role} is shown")


@rule(
    "processor.message-timeout",
    WARNING,
    why="Envoy's default of 200 ms breaks honest exchanges with an empty 504 that clients retry.",
    remedy="Set message_timeout longer than the sidecar's own deadline, for example 10s.",
)
def _message_timeout(survey: Survey) -> Iterator[Hit]:
    for role, each in _by_role(survey):
        allowed = quantity.seconds(each.config.get("message_timeout"))
        if allowed is None or allowed <= ENVOY_MESSAGE_TIMEOUT_S:
            yield Hit(each.config.get("message_timeout"), f"message_timeout of {role} is absent or 200 ms at most")


@rule(
    "processor.two-full-duplex",
    ERROR,
    why="Two full-duplex filters on one exchange truncate answers (envoy#41654).",
    remedy="Leave FULL_DUPLEX_STREAMED to inspect; adapt uses NONE, BUFFERED or STREAMED.",
)
def _two_full_duplex(survey: Survey) -> Iterator[Hit]:
    others = [each for cluster in survey.upstreams for each in cluster.filters]
    others += [each for manager in survey.governed for each in manager.filters if each is not manager.inspect]
    for each in others:
        for field in ("request_body_mode", "response_body_mode"):
            if each.kind == "ext_proc" and mode(each, field) == "FULL_DUPLEX_STREAMED":
                yield Hit(
                    each.config.get("processing_mode", field),
                    f"{field} is FULL_DUPLEX_STREAMED beside inspect",
                )


@rule(
    "processor.namespaces-missing",
    ERROR,
    why="The tenant, the pinned policy or the allowed backends do not reach the filter that must obey them.",
    remedy=(
        f"inspect forwards {contract.AUTHZ_NAMESPACE} and receives {contract.OSTIARY_NAMESPACE}; "
        f"adapt forwards {contract.OSTIARY_NAMESPACE}."
    ),
)
def _namespaces_missing(survey: Survey) -> Iterator[Hit]:
    for role, each in _by_role(survey):
        if _FORWARDED[role] not in {space.text for space in _spaces(each, "forwarding").elements}:
            yield Hit(_spaces(each, "forwarding"), f"{_FORWARDED[role]} is not forwarded to {role}")
    for each in survey.inspects:
        if contract.OSTIARY_NAMESPACE not in {space.text for space in _spaces(each, "receiving").elements}:
            yield Hit(_spaces(each, "receiving"), f"{contract.OSTIARY_NAMESPACE} is not received from inspect")


@rule(
    "processor.namespaces-wide",
    ERROR,
    why=(
        "A filter that may write the namespace of authz can change the tenant; what is forwarded needlessly can leak."
    ),
    remedy=(
        f"Let inspect receive {contract.OSTIARY_NAMESPACE} only and adapt nothing; "
        f"forward no other namespace than {' and '.join(sorted(_FORWARDABLE))}."
    ),
)
def _namespaces_wide(survey: Survey) -> Iterator[Hit]:
    for role, each in _by_role(survey):
        receivable = {contract.OSTIARY_NAMESPACE} if role == "inspect" else set()
        for direction, allowed in (("forwarding", _FORWARDABLE), ("receiving", receivable)):
            for space in _spaces(each, direction).elements:
                if space.text not in allowed:
                    yield Hit(space, f"{role} has a {direction} namespace that it does not need")


@rule(
    "guards.role",
    ERROR,
    why="The worker takes one filter for the other: bodies would be adapted where they should be inspected.",
    remedy="Set grpc_service.initial_metadata x-ostiary-filter to inspect on inspect, and to adapt on adapt.",
)
def _role_told(survey: Survey) -> Iterator[Hit]:
    for role, each in _by_role(survey):
        if each.role.text != role:
            yield Hit(each.role, f"the worker is not told x-ostiary-filter: {role}")


@rule(
    "guards.not-grpc",
    ERROR,
    why="Health checks, retries, outlier detection and socket permissions hang on the sidecar cluster.",
    remedy=f"Call the sidecar with grpc_service.envoy_grpc.cluster_name: {contract.SIDECAR_CLUSTER}.",
)
def _not_grpc(survey: Survey) -> Iterator[Hit]:
    for each in survey.guards:
        if not each.service_cluster:
            yield Hit(each.grpc, "a guard is not called through envoy_grpc and a cluster")


@rule(
    "guards.unknown-cluster",
    WARNING,
    why="How the sidecar is reached, privately or not, cannot be checked.",
    remedy="Define the sidecar cluster in static_resources.",
)
def _unknown_cluster(survey: Survey) -> Iterator[Hit]:
    known = {each.name for each in survey.clusters}
    for each in survey.guards:
        if each.service_cluster and each.service_cluster not in known:
            yield Hit(each.grpc.get("envoy_grpc", "cluster_name"), "a guard calls a cluster that this file lacks")


@rule(
    "guards.grpc-retry",
    WARNING,
    why="A dead worker socket costs its whole share of requests instead of none.",
    remedy="Set grpc_service.retry_policy.retry_on: connect-failure,reset,refused-stream,unavailable.",
)
def _grpc_retry(survey: Survey) -> Iterator[Hit]:
    for each in survey.guards:
        named = {word.strip() for word in each.grpc.get("retry_policy", "retry_on").text.split(",")}
        if not {"connect-failure", "unavailable"} <= named:
            yield Hit(each.grpc.get("retry_policy"), "a guard's gRPC call is not retried on another worker")


@rule(
    "guards.status-on-error",
    ERROR,
    why="A failing guard would be answered with a status that clients take for success.",
    remedy="Set status_on_error to 503, or remove it.",
)
def _status_on_error(survey: Survey) -> Iterator[Hit]:
    for each in survey.guards:
        code = each.config.get("status_on_error", "code")
        by_number = 0 < (quantity.number(code) or 0) < _FIRST_ERROR_STATUS
        if by_number or code.text.lower() in _NO_ERROR_STATUS:
            yield Hit(code, "status_on_error is no error status")


@rule(
    "guards.disabled",
    ERROR,
    why="Envoy skips the filter unless a route switches it on.",
    remedy="Remove disabled from the filter.",
)
def _disabled(survey: Survey) -> Iterator[Hit]:
    for each in survey.guards:
        for place in (each.node, *each.wrappers):
            if place.get("disabled").flag:
                yield Hit(place.get("disabled"), "a guard is disabled by default")


@rule(
    "guards.optional",
    ERROR,
    why="An Envoy without this extension starts without the guard and says nothing.",
    remedy="Remove is_optional from the filter.",
)
def _optional(survey: Survey) -> Iterator[Hit]:
    for each in survey.guards:
        for place in (each.node, *each.wrappers):
            if place.get("is_optional").flag:
                yield Hit(place.get("is_optional"), "a guard is optional")


@rule(
    "guards.matched",
    ERROR,
    why="A match tree around a guard can skip it for some requests.",
    remedy="Configure the filter directly, without ExtensionWithMatcher.",
)
def _matched(survey: Survey) -> Iterator[Hit]:
    for each in survey.guards:
        if any(wrapper.get("extension_config") for wrapper in each.wrappers):
            yield Hit(each.node, "a guard runs behind a matcher")
