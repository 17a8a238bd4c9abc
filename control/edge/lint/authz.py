"""Rules about the identity guard (ext_authz): it must see everything, judge everything, and fail closed."""

from collections.abc import Iterator

from control.edge.lint import quantity
from control.edge.lint.node import Node
from control.edge.lint.rule import ERROR, WARNING, Hit, rule
from control.edge.lint.survey import Survey
from gateway import contract


@rule(
    "authz.missing",
    ERROR,
    why="Nobody is identified, and nothing removes the headers that only the gateway may set.",
    remedy="Put the ext_authz filter that calls the sidecar cluster before every other guard.",
)
def _missing(survey: Survey) -> Iterator[Hit]:
    for manager in survey.governed:
        if manager.authz is None:
            yield Hit(manager.node.get("http_filters"), "this chain has no ext_authz filter")


@rule(
    "authz.second",
    ERROR,
    why=("A second check writes the same metadata namespace and can replace the tenant that the first one pinned."),
    remedy="Keep one ext_authz filter per chain; ask other authorities from the sidecar's policy.",
)
def _second(survey: Survey) -> Iterator[Hit]:
    for manager in survey.governed:
        for each in manager.filters:
            if each.kind == "ext_authz" and each is not manager.authz:
                yield Hit(each.node, "a further ext_authz filter stands in a governed chain")


@rule(
    "authz.after-inspect",
    ERROR,
    why="Bodies of unknown callers are inspected, and inspect sees no tenant.",
    remedy="Move ext_authz before the inspect filter.",
)
def _after_inspect(survey: Survey) -> Iterator[Hit]:
    for manager in survey.governed:
        if manager.authz is not None and manager.authz in manager.after(manager.inspect):
            yield Hit(manager.authz.node, "ext_authz stands after inspect")


@rule(
    "authz.failure-mode-allow",
    ERROR,
    why="A stopped or unreachable authz then lets every request in.",
    remedy="Set failure_mode_allow: false.",
)
def _failure_mode_allow(survey: Survey) -> Iterator[Hit]:
    for each in survey.authzs:
        if each.config.get("failure_mode_allow").flag:
            yield Hit(each.config.get("failure_mode_allow"), "failure_mode_allow is on")


@rule(
    "authz.shadow-mode",
    ERROR,
    why="Envoy asks authz, and then ignores a denial.",
    remedy="Remove shadow_mode; try rules out in the policy's shadow mode, which keeps the record.",
)
def _shadow_mode(survey: Survey) -> Iterator[Hit]:
    for each in survey.authzs:
        if each.config.get("shadow_mode").flag:
            yield Hit(each.config.get("shadow_mode"), "shadow_mode is on")


@rule(
    "authz.filter-enabled",
    ERROR,
    why="Requests outside the fraction or the metadata match skip authz unseen.",
    remedy="Remove filter_enabled and filter_enabled_metadata, or set deny_at_disable.",
)
def _filter_enabled(survey: Survey) -> Iterator[Hit]:
    for each in survey.authzs:
        if each.config.get("deny_at_disable", "default_value").flag:
            continue
        share = each.config.get("filter_enabled")
        if share and (quantity.fraction(share) != 1 or share.get("runtime_key")):
            yield Hit(share, "filter_enabled can be less than 100 %")
        if each.config.get("filter_enabled_metadata"):
            yield Hit(each.config.get("filter_enabled_metadata"), "filter_enabled_metadata makes authz conditional")


@rule(
    "authz.raw-headers",
    ERROR,
    why=("Two authorization headers arrive joined by a comma, so a second credential can hide behind the first."),
    remedy="Set encode_raw_headers: true.",
)
def _raw_headers(survey: Survey) -> Iterator[Hit]:
    for each in survey.authzs:
        if not each.config.get("encode_raw_headers").flag:
            yield Hit(each.config.get("encode_raw_headers"), "encode_raw_headers is not true")


@rule(
    "authz.headers-hidden",
    ERROR,
    why="authz removes what it sees: a hidden credential or x-ostiary-* header stays on the request.",
    remedy="Remove allowed_headers, and from disallowed_headers all but what `ostiary envoy render` writes.",
)
def _headers_hidden(survey: Survey) -> Iterator[Hit]:
    for each in survey.authzs:
        if each.config.get("allowed_headers"):
            yield Hit(each.config.get("allowed_headers"), "allowed_headers hides request headers from authz")
        hidden = each.config.get("disallowed_headers")
        if not all(_is_harmless(pattern) for pattern in hidden.get("patterns").elements):
            yield Hit(hidden, "disallowed_headers hides request headers from authz")


def _is_harmless(pattern: Node) -> bool:
    """Whether it names what authz never looks at."""
    return pattern.get("exact").text in contract.UNREAD_BY_AUTHZ or pattern.get("prefix").text == contract.UNREAD_PREFIX


@rule(
    "authz.request-body",
    ERROR,
    why=(
        "Larger bodies are refused, or with allow_partial_message judged by their beginning; the body is "
        "inspect's matter."
    ),
    remedy="Remove with_request_body.",
)
def _request_body(survey: Survey) -> Iterator[Hit]:
    for each in survey.authzs:
        if each.config.get("with_request_body"):
            yield Hit(each.config.get("with_request_body"), "with_request_body sends bodies to authz")


@rule(
    "authz.clear-route-cache",
    WARNING,
    why="The route is then chosen anew from headers before inspect has judged the body.",
    remedy="Remove clear_route_cache; only inspect chooses the route.",
)
def _clear_route_cache(survey: Survey) -> Iterator[Hit]:
    for each in survey.authzs:
        if each.config.get("clear_route_cache").flag:
            yield Hit(each.config.get("clear_route_cache"), "clear_route_cache is on")


@rule(
    "authz.mutation-rules",
    ERROR,
    why=("Envoy drops the removals that these rules forbid, so credentials or x-envoy-* headers of clients stay."),
    remedy=("In decoder_header_mutation_rules set allow_envoy: true and no disallow_all or disallow_expression."),
)
def _mutation_rules(survey: Survey) -> Iterator[Hit]:
    for each in survey.authzs:
        rules = each.config.get("decoder_header_mutation_rules")
        if rules.get("disallow_all").flag:
            yield Hit(rules.get("disallow_all"), "disallow_all forbids every removal")
        elif rules.get("disallow_expression"):
            yield Hit(rules.get("disallow_expression"), "disallow_expression forbids some removals")
        elif rules and not rules.get("allow_envoy").flag:
            yield Hit(rules, "allow_envoy is not true, so x-envoy-* stays")


@rule(
    "authz.metadata-ingestion",
    ERROR,
    why="The tenant and the pinned policy version that authz answers with are thrown away.",
    remedy="Remove enable_dynamic_metadata_ingestion; it is on by default.",
)
def _metadata_ingestion(survey: Survey) -> Iterator[Hit]:
    for each in survey.authzs:
        if each.config.get("enable_dynamic_metadata_ingestion").flag is False:
            yield Hit(
                each.config.get("enable_dynamic_metadata_ingestion"),
                "enable_dynamic_metadata_ingestion is off",
            )


@rule(
    "authz.timeout",
    WARNING,
    why="Envoy's default of 200 ms refuses honest requests whenever a policy engine or key store is slow.",
    remedy="Set grpc_service.timeout above the sidecar's own deadline, for example 2s.",
)
def _timeout(survey: Survey) -> Iterator[Hit]:
    for each in survey.authzs:
        if not quantity.seconds(each.grpc.get("timeout")):
            yield Hit(each.grpc.get("timeout"), "the check has no timeout of its own")
