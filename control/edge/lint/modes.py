"""Rules about the processing modes of `inspect`: what it is not sent, it cannot guard."""

from collections.abc import Iterator
from typing import Final

from control.edge.lint import quantity
from control.edge.lint.node import Node
from control.edge.lint.parts import Extension
from control.edge.lint.rule import ERROR, WARNING, Hit, rule
from control.edge.lint.survey import Survey
from gateway import contract

HEADER_MODES: Final = ("DEFAULT", "SEND", "SKIP")
BODY_MODES: Final = ("NONE", "STREAMED", "BUFFERED", "BUFFERED_PARTIAL", "FULL_DUPLEX_STREAMED", "GRPC")
ENVOY_MESSAGE_TIMEOUT_S: Final = 0.2  # ext_proc's default; a value this small is no choice


def mode(each: Extension, field: str) -> str:
    """The mode in force; DEFAULT sends headers and skips trailers."""
    if field.endswith("body_mode"):
        return quantity.choice(each.config.get("processing_mode", field), *BODY_MODES)
    chosen = quantity.choice(each.config.get("processing_mode", field), *HEADER_MODES)
    return chosen if chosen != "DEFAULT" else "SKIP" if "trailer" in field else "SEND"


def _unlike(survey: Survey, field: str, wanted: str) -> Iterator[Hit]:
    for each in survey.inspects:
        if mode(each, field) != wanted:
            yield Hit(_mode_node(each, field), f"{field} of inspect is not {wanted}")


def _mode_node(each: Extension, field: str) -> Node:
    return each.config.get("processing_mode", field)


@rule(
    "inspect.missing",
    ERROR,
    why="No body is inspected, no budget reserved, no answer guarded.",
    remedy="Put the ext_proc filter ostiary.inspect after ext_authz and before the router.",
)
def _missing(survey: Survey) -> Iterator[Hit]:
    for manager in survey.governed:
        if manager.inspect is None:
            yield Hit(manager.node.get("http_filters"), "this chain has no inspect filter")


@rule(
    "inspect.request-headers",
    ERROR,
    why="Without the headers the request is not held: the route is picked before the body was judged.",
    remedy="Set processing_mode.request_header_mode: SEND.",
)
def _request_headers(survey: Survey) -> Iterator[Hit]:
    return _unlike(survey, "request_header_mode", "SEND")


@rule(
    "inspect.request-body",
    ERROR,
    why=("Unsent or partial bodies pass unjudged, and a streamed body is duplicated by a retry (envoy#36119, #45470)."),
    remedy="Set processing_mode.request_body_mode: BUFFERED.",
)
def _request_body(survey: Survey) -> Iterator[Hit]:
    return _unlike(survey, "request_body_mode", "BUFFERED")


@rule(
    "inspect.request-trailers",
    ERROR,
    why="A body with trailers arrives without its end, and the trailers themselves would pass unseen.",
    remedy="Set processing_mode.request_trailer_mode: SEND.",
)
def _request_trailers(survey: Survey) -> Iterator[Hit]:
    return _unlike(survey, "request_trailer_mode", "SEND")


@rule(
    "inspect.response-headers",
    ERROR,
    why="An answer can be refused cleanly only while its headers are held.",
    remedy="Set processing_mode.response_header_mode: SEND.",
)
def _response_headers(survey: Survey) -> Iterator[Hit]:
    return _unlike(survey, "response_header_mode", "SEND")


@rule(
    "inspect.response-body",
    ERROR,
    why="Only full duplex can hold text back, end a stream cleanly, and stop the provider's meter at once.",
    remedy="Set processing_mode.response_body_mode: FULL_DUPLEX_STREAMED.",
)
def _response_body(survey: Survey) -> Iterator[Hit]:
    return _unlike(survey, "response_body_mode", "FULL_DUPLEX_STREAMED")


@rule(
    "inspect.response-trailers",
    ERROR,
    why="Full duplex needs the trailers to know that an answer has ended.",
    remedy="Set processing_mode.response_trailer_mode: SEND.",
)
def _response_trailers(survey: Survey) -> Iterator[Hit]:
    return _unlike(survey, "response_trailer_mode", "SEND")


@rule(
    "inspect.mode-override",
    ERROR,
    why="Whoever answers on the socket could switch inspection off for an exchange.",
    remedy="Set allow_mode_override: false on inspect; only adapt may change its modes.",
)
def _mode_override(survey: Survey) -> Iterator[Hit]:
    for each in survey.inspects:
        if each.config.get("allow_mode_override").flag:
            yield Hit(each.config.get("allow_mode_override"), "allow_mode_override is on")


@rule(
    "inspect.route-cache",
    ERROR,
    why="The route that inspect chose is not taken up, or not the only one that counts.",
    remedy="Leave route_cache_action at DEFAULT and remove disable_clear_route_cache.",
)
def _route_cache(survey: Survey) -> Iterator[Hit]:
    for each in survey.inspects:
        if each.config.get("disable_clear_route_cache").flag:
            yield Hit(each.config.get("disable_clear_route_cache"), "disable_clear_route_cache is on")
        if quantity.choice(each.config.get("route_cache_action"), "DEFAULT", "CLEAR", "RETAIN") == "RETAIN":
            yield Hit(each.config.get("route_cache_action"), "route_cache_action is RETAIN")


@rule(
    "inspect.mutation-rules",
    ERROR,
    why="Envoy drops or refuses the changes that these rules forbid: internal headers, credentials and paths stay.",
    remedy="In mutation_rules set allow_envoy: true and no disallow_all, disallow_system or disallow_expression.",
)
def _mutation_rules(survey: Survey) -> Iterator[Hit]:
    for each in survey.inspects:
        rules = each.config.get("mutation_rules")
        if not rules.get("allow_envoy").flag:
            yield Hit(rules.get("allow_envoy"), "inspect may not remove x-envoy-* headers")
        for name in ("disallow_all", "disallow_system", "disallow_expression"):
            if rules.get(name).flag or rules.get(name).entries:
                yield Hit(rules.get(name), f"{name} keeps inspect from changing headers")


@rule(
    "inspect.grpc-timeout",
    WARNING,
    why="It reads like the longest answer allowed, but Envoy 1.40 does not end a longer stream by it.",
    remedy="Remove grpc_service.timeout; the sidecar keeps its own deadline per exchange.",
)
def _grpc_timeout(survey: Survey) -> Iterator[Hit]:
    for each in survey.inspects:
        if quantity.seconds(each.grpc.get("timeout")):
            yield Hit(each.grpc.get("timeout"), "inspect has a grpc_service.timeout")


@rule(
    "inspect.attributes",
    WARNING,
    why="inspect then cannot tell a provider's answer from a local reply of Envoy.",
    remedy=f"Add {contract.ATTR_CODE_DETAILS} to response_attributes.",
)
def _attributes(survey: Survey) -> Iterator[Hit]:
    for each in survey.inspects:
        names = {name.text for name in each.config.get("response_attributes").elements}
        if contract.ATTR_CODE_DETAILS not in names:
            yield Hit(each.config.get("response_attributes"), f"{contract.ATTR_CODE_DETAILS} is not sent to inspect")
