"""Rules about `adapt` and about what one attempt may do: upstream filters, retries, mirrors, timeouts."""

from collections.abc import Iterator
from typing import Final

from control.edge.lint import quantity
from control.edge.lint.modes import mode
from control.edge.lint.node import Node
from control.edge.lint.parts import Cluster, Route
from control.edge.lint.rule import ERROR, WARNING, Hit, rule
from control.edge.lint.survey import Survey
from gateway import contract

#: Refusals that say the same on every backend; sending the prompt again only costs money (gateway.errors).
_REFUSALS: Final = frozenset({400, 401, 403, 404, 405, 413, 415, 422})
_RESENDING: Final = frozenset({"retriable-4xx", "retriable-headers"})
#: Above any body or answer of one exchange, so that no watermark fires; 2^31 - 1 is the most (RFC 9113).
_NEVER_FULL_BYTES: Final = 1 << 30
_RETRIES_MAX: Final = 3  # on a plain cluster; each attempt may be billed in full


def _adapted(survey: Survey) -> Iterator[Cluster]:
    yield from (each for each in survey.upstreams if each.adapt is not None)


@rule(
    "adapt.missing",
    ERROR,
    why=("Client credentials and internal headers would reach the provider, and no allowed-backend check is made."),
    remedy=("Give the routed cluster upstream http_filters: ostiary.adapt, then envoy.filters.http.upstream_codec."),
)
def _missing(survey: Survey) -> Iterator[Hit]:
    bare = {each.name: each for each in survey.routed if each.adapt is None}
    for route in survey.routes:
        for cluster in (bare[target.text] for target in route.targets if target.text in bare):
            # A direct route has one attempt, at one backend; a composite may walk on to another.
            if cluster.members or not route.direct:
                place = cluster.options.get("http_filters") if cluster.options else cluster.node
                yield Hit(place, "a governed route leads to a cluster without adapt")


@rule(
    "adapt.direct-route",
    ERROR,
    why="Without adapt nothing else does: the provider would get the client's authority, or our internal header.",
    remedy=f"On a direct route set host_rewrite_literal, and {contract.ROUTE_HEADER} in request_headers_to_remove.",
)
def _direct_route(survey: Survey) -> Iterator[Hit]:
    for route in survey.routes:
        if not route.direct or not route.action:
            continue
        if not route.action.get("host_rewrite_literal"):
            yield Hit(route.action.get("host_rewrite_literal"), "a direct route does not set the authority")
        removed = route.node.get("request_headers_to_remove")
        if contract.ROUTE_HEADER not in {name.text.lower() for name in removed.elements}:
            yield Hit(removed, f"a direct route does not remove {contract.ROUTE_HEADER}")


@rule(
    "adapt.request-headers",
    ERROR,
    why=("Headers are shared between attempts: the next provider would receive the credential of the one before."),
    remedy="Set processing_mode.request_header_mode: SEND on adapt.",
)
def _request_headers(survey: Survey) -> Iterator[Hit]:
    for each in survey.adapts:
        if mode(each, "request_header_mode") != "SEND":
            yield Hit(each.config.get("processing_mode", "request_header_mode"), "adapt is not sent request headers")


@rule(
    "adapt.request-body",
    ERROR,
    why="A streamed request body is duplicated by a retry (envoy#36119, #45470).",
    remedy="Set processing_mode.request_body_mode: NONE on adapt; it asks for BUFFERED when it translates.",
)
def _request_body(survey: Survey) -> Iterator[Hit]:
    for each in survey.adapts:
        if mode(each, "request_body_mode") in {"STREAMED", "BUFFERED_PARTIAL"}:
            yield Hit(
                each.config.get("processing_mode", "request_body_mode"),
                "adapt has request bodies streamed or cut",
            )


@rule(
    "adapt.mutation-rules",
    ERROR,
    why="adapt may then not set :authority, and an attempt goes out under the name of the backend before it.",
    remedy=(
        "Set mutation_rules.allow_all_routing: true on adapt, and no disallow_all, disallow_system or "
        "disallow_expression."
    ),
)
def _mutation_rules(survey: Survey) -> Iterator[Hit]:
    for each in survey.adapts:
        rules = each.config.get("mutation_rules")
        if not rules.get("allow_all_routing").flag:
            yield Hit(rules.get("allow_all_routing"), "allow_all_routing is not true on adapt")
        for name in ("disallow_all", "disallow_system", "disallow_expression"):
            if rules.get(name).flag or rules.get(name).entries:
                yield Hit(rules.get(name), f"{name} keeps adapt from replacing headers")


@rule(
    "adapt.attributes",
    WARNING,
    why="adapt cannot see which backend an attempt goes to, and refuses every attempt.",
    remedy=f"Add {contract.ATTR_HOST_METADATA} to request_attributes of adapt.",
)
def _attributes(survey: Survey) -> Iterator[Hit]:
    for each in survey.adapts:
        if contract.ATTR_HOST_METADATA not in {name.text for name in each.config.get("request_attributes").elements}:
            yield Hit(each.config.get("request_attributes"), f"{contract.ATTR_HOST_METADATA} is not sent to adapt")


@rule(
    "adapt.codec-last",
    ERROR,
    why="A filter behind the codec never runs, and Envoy refuses a chain without it.",
    remedy="Make envoy.filters.http.upstream_codec the last upstream filter.",
)
def _codec_last(survey: Survey) -> Iterator[Hit]:
    for cluster in _adapted(survey):
        if cluster.filters[-1].kind != "upstream_codec":
            yield Hit(cluster.filters[-1].node, "the last upstream filter is not upstream_codec")


@rule(
    "adapt.foreign-filter",
    ERROR,
    why="It sees provider credentials, or sets one credential for every attempt of every backend.",
    remedy="Keep only ostiary.adapt and upstream_codec among the upstream filters.",
)
def _foreign_filter(survey: Survey) -> Iterator[Hit]:
    known = {
        "upstream_codec",
        "lua",
        "wasm",
        "golang",
        "dynamic_modules",
        "tap",
    }  # those have rules of their own
    for cluster in _adapted(survey):
        for each in cluster.filters:
            if each is not cluster.adapt and each.kind not in known:
                yield Hit(each.node, "another filter stands beside adapt")


@rule(
    "adapt.shared-cluster",
    ERROR,
    why="When inspect and adapt share connections, a few dozen slow readers crash Envoy 1.40 within a second.",
    remedy=f"Let adapt call a cluster of its own with the same sockets: {contract.ADAPT_CLUSTER}.",
)
def _shared_cluster(survey: Survey) -> Iterator[Hit]:
    front = {each.name for each in survey.front_sidecars}
    for each in survey.adapts:
        if each.service_cluster in front:
            yield Hit(each.grpc.get("envoy_grpc", "cluster_name"), "adapt calls the cluster that inspect calls")


@rule(
    "adapt.watermarks",
    ERROR,
    why="Envoy 1.40 crashes when the stream of an ext_proc filter in an upstream chain passes its high watermark.",
    remedy="On the cluster that adapt calls, set the stream window and the buffer limit to 2147483647.",
)
def _watermarks(survey: Survey) -> Iterator[Hit]:
    for cluster in survey.adapt_sidecars:
        http2 = cluster.options.get("explicit_http_config", "http2_protocol_options")
        limits = (
            http2.get("initial_stream_window_size") if cluster.options else cluster.node,
            cluster.node.get("per_connection_buffer_limit_bytes"),
        )
        for limit in limits:
            if (quantity.number(limit) or 0) < _NEVER_FULL_BYTES:
                yield Hit(limit, "a stream of adapt can pass its high watermark")


def _forwarding(survey: Survey) -> Iterator[Route]:
    yield from (route for route in survey.routes if route.action)


def _policies(survey: Survey, name: str) -> Iterator[Node]:
    """A setting wherever it may stand: routes, virtual hosts, and the upstream options of clusters."""
    places = [route.action for route in _forwarding(survey)]
    places += [
        host for manager in survey.governed for table in manager.tables for host in table.get("virtual_hosts").elements
    ]
    places += [cluster.options for cluster in survey.upstreams]
    yield from (place.get(name) for place in places if place.get(name))


@rule(
    "attempts.mirror",
    ERROR,
    why=(
        "The copy leaves without a tenant, a budget or an audit record; on a direct route with the credential of the "
        "backend that is asked, and in a composite cluster adapt refuses it, for it has no metadata."
    ),
    remedy="Remove request_mirror_policies, and give the pool a mirror in models.yaml (docs/routing.md).",
)
def _mirror(survey: Survey) -> Iterator[Hit]:
    found = list(_policies(survey, "request_mirror_policies"))
    found += [table.get("request_mirror_policies") for manager in survey.governed for table in manager.tables]
    for each in found:
        if each.elements:
            yield Hit(each, "prompts are mirrored to another cluster")


@rule(
    "attempts.timeout",
    WARNING,
    why="Envoy's default ends every answer after 15 s, also one that is still streaming.",
    remedy=("Set route.timeout explicitly, 0s for streams; the idle timeout and the sidecar's deadline bound them."),
)
def _timeout(survey: Survey) -> Iterator[Hit]:
    for route in _forwarding(survey):
        if not route.action.get("timeout"):
            yield Hit(route.action, "the route has no explicit timeout")


@rule(
    "attempts.idle-timeout",
    WARNING,
    why="A provider that falls silent holds the exchange, its memory and its budget for ever.",
    remedy="Give route.idle_timeout a value, or leave it to stream_idle_timeout.",
)
def _idle_timeout(survey: Survey) -> Iterator[Hit]:
    for route in _forwarding(survey):
        if quantity.seconds(route.action.get("idle_timeout")) == 0:
            yield Hit(route.action.get("idle_timeout"), "idle_timeout is switched off")


@rule(
    "attempts.retry-on",
    ERROR,
    why="Refusals are sent again: the same prompt is judged, billed and refused more than once.",
    remedy=("Drop retriable-4xx and retriable-headers from retry_on, and 4xx refusals from retriable_status_codes."),
)
def _retry_on(survey: Survey) -> Iterator[Hit]:
    for policy in _policies(survey, "retry_policy"):
        words = {word.strip() for word in policy.get("retry_on").text.split(",")}
        if words & _RESENDING:
            yield Hit(policy.get("retry_on"), "retry_on re-sends refusals")
        for status in policy.get("retriable_status_codes").elements:
            if quantity.number(status) in _REFUSALS:
                yield Hit(status, "a refusal is a retriable status")


@rule(
    "attempts.num-retries",
    WARNING,
    why=("Every attempt may be billed in full, and attempts beyond the last backend of a composite cluster only fail."),
    remedy="Set num_retries to the number of backends less one, and never above three on a plain cluster.",
)
def _num_retries(survey: Survey) -> Iterator[Hit]:
    members = {each.name: len(each.members) for each in survey.clusters if each.members}
    for route in _forwarding(survey):
        allowed = max(
            (max(1, members[target.text] - 1) if target.text in members else _RETRIES_MAX for target in route.targets),
            default=_RETRIES_MAX,
        )
        for policy in (route.action.get("retry_policy"), route.host.get("retry_policy")):
            if (quantity.number(policy.get("num_retries")) or 0) > allowed:
                yield Hit(policy.get("num_retries"), f"more than {allowed} retries")


@rule(
    "attempts.hedge",
    ERROR,
    why="The same prompt runs twice at once: twice the bill, one budget.",
    remedy="Remove hedge_policy.",
)
def _hedge(survey: Survey) -> Iterator[Hit]:
    for policy in _policies(survey, "hedge_policy"):
        yield Hit(policy, "requests are hedged")


@rule(
    "attempts.internal-redirect",
    ERROR,
    why="A provider's Location header would make Envoy send the prompt somewhere else.",
    remedy="Remove internal_redirect_policy and internal_redirect_action.",
)
def _internal_redirect(survey: Survey) -> Iterator[Hit]:
    for name in ("internal_redirect_policy", "internal_redirect_action"):
        for each in _policies(survey, name):
            if (
                quantity.choice(each, "PASS_THROUGH_INTERNAL_REDIRECT", "HANDLE_INTERNAL_REDIRECT")
                != "PASS_THROUGH_INTERNAL_REDIRECT"
            ):
                yield Hit(each, "Envoy follows redirects of the provider")
