"""Rules about the route tables: only what `inspect` has chosen is forwarded, and nothing changes it later."""

import re
from collections.abc import Iterator
from typing import Final

from control.edge.lint import quantity
from control.edge.lint.node import Node
from control.edge.lint.parts import Route, extension
from control.edge.lint.rule import ERROR, WARNING, Hit, rule
from control.edge.lint.survey import Survey
from gateway import contract

_OUR_ANSWER_HEADERS: Final = frozenset(
    {
        contract.ERROR_CODE_HEADER,
        contract.SHOULD_RETRY_HEADER,
        contract.REQUEST_ID_HEADER,
        "retry-after",
        "www-authenticate",
    },
)
_FIRST_ERROR_STATUS: Final = 400  # RFC 9110 section 15
_LIMITERS: Final = frozenset({"buffer", "local_ratelimit"})
_FROM_REQUEST: Final = re.compile(r"%REQ(?:UEST_HEADER)?\(([^)%]{1,200})\)", re.IGNORECASE)


def copied_credentials(text: str) -> bool:
    """Whether a format string prints a header in which clients carry credentials (`%REQ(X?Y)%` names two)."""
    asked = {name.strip().lower() for found in _FROM_REQUEST.findall(text) for name in re.split(r"[?:]", found)}
    return bool(asked & contract.CREDENTIAL_HEADERS)


def _forwards(route: Route) -> bool:
    return bool(route.action)


@rule(
    "routes.default-forwards",
    ERROR,
    why="Until inspect has chosen, this route is in force: a request that it never chose for is forwarded.",
    remedy="End the virtual host with a catch-all direct_response of status 503.",
)
def _default_forwards(survey: Survey) -> Iterator[Hit]:
    for route in survey.routes:
        if _forwards(route) and route.catch_all:
            yield Hit(route.action, "the catch-all route leads to a cluster")


@rule(
    "routes.no-route-header",
    ERROR,
    why="The request is forwarded although inspect has not chosen this route.",
    remedy=f"Match {contract.ROUTE_HEADER} with string_match.exact and the cluster's name.",
)
def _no_route_header(survey: Survey) -> Iterator[Hit]:
    for route in survey.routes:
        if _forwards(route) and not route.catch_all and not route.chosen and not route.to_control:
            yield Hit(route.node.get("match"), f"the route does not ask for one exact {contract.ROUTE_HEADER}")


@rule(
    "routes.default-missing",
    WARNING,
    why="What inspect has not chosen for gets Envoy's own 404, or an answer that looks like a success.",
    remedy="End the virtual host with a catch-all direct_response of status 503.",
)
def _default_missing(survey: Survey) -> Iterator[Hit]:
    denied = {id(route.host) for route in survey.routes if route.catch_all}
    for manager in survey.governed:
        for table in manager.tables:
            for host in table.get("virtual_hosts").elements:
                if id(host) not in denied:
                    yield Hit(host, "the virtual host has no catch-all route")
    for route in survey.routes:
        if route.catch_all and not _forwards(route):
            status = route.node.get("direct_response", "status")
            if (quantity.number(status) or 0) < _FIRST_ERROR_STATUS:
                yield Hit(status, "the catch-all route does not refuse")


@rule(
    "routes.cluster-header",
    ERROR,
    why=("A header or a plugin names the cluster: any cluster of this file, the sidecar's too, can be reached."),
    remedy=f"Name the cluster in the route, and match {contract.ROUTE_HEADER} exactly.",
)
def _cluster_header(survey: Survey) -> Iterator[Hit]:
    for route in survey.routes:
        for name in ("cluster_header", "cluster_specifier_plugin", "inline_cluster_specifier_plugin"):
            if route.action.get(name):
                yield Hit(route.action.get(name), f"{name} chooses the cluster")
        for weighted in route.action.get("weighted_clusters", "clusters").elements:
            if weighted.get("cluster_header"):
                yield Hit(weighted.get("cluster_header"), "cluster_header chooses the cluster")


@rule(
    "routes.sidecar-exposed",
    ERROR,
    why=("Whoever reaches the workers' gRPC service through Envoy can play Envoy: forge metadata, probe policy."),
    remedy="Remove the route; only ext_authz and ext_proc may call the sidecar cluster.",
)
def _sidecar_exposed(survey: Survey) -> Iterator[Hit]:
    names = survey.sidecar_names
    for manager in survey.managers:
        for route in manager.routes:
            yield from (Hit(target, "a route leads to the sidecar") for target in route.targets if target.text in names)


@rule(
    "routes.unknown-cluster",
    WARNING,
    why="A cluster that comes from elsewhere cannot be checked, and a misspelt one answers 503.",
    remedy="Define the cluster in static_resources, or lint the file that defines it.",
)
def _unknown_cluster(survey: Survey) -> Iterator[Hit]:
    known = {each.name for each in survey.clusters}
    for route in survey.routes:
        yield from (
            Hit(target, "the route names a cluster that this file lacks")
            for target in route.targets
            if target.text not in known
        )


def _per_filter(survey: Survey) -> Iterator[tuple[str, Node, Node]]:
    """Filter kind, place and content of every per-route setting but those of control's routes (lint/plane.py)."""
    kinds = {each.name: each.kind for manager in survey.governed for each in manager.filters}
    for level in survey.levels:
        if level.get("match", "connect_matcher") and level.get("direct_response"):
            continue  # a refused CONNECT has no body that `buffer` could bound, and goes nowhere
        if survey.is_control_route(level):
            continue
        for name, value in level.get("typed_per_filter_config").entries:
            inner = extension(_as_config(value))
            yield kinds.get(name, inner.kind or name), value, inner.config


def _as_config(value: Node) -> Node:
    """A per-route setting is a bare Any; give it the shape of a named extension."""
    return Node(value.kind, value.line, value.column, entries=(("typed_config", value),))


def _switched_off(value: Node, config: Node) -> Node:
    return next(
        (place.get("disabled") for place in (value, config) if place.get("disabled").flag),
        value.get("disabled", "never"),
    )


@rule(
    "routes.guard-disabled",
    ERROR,
    why="The guard does not run for these requests.",
    remedy="Remove the per-route setting; exceptions belong into the policy, where they are recorded.",
)
def _guard_disabled(survey: Survey) -> Iterator[Hit]:
    for kind, value, config in _per_filter(survey):
        off = _switched_off(value, config)
        if kind in {"ext_authz", "ext_proc"} and off:
            yield Hit(off, f"typed_per_filter_config switches {kind} off")


@rule(
    "routes.guard-overridden",
    ERROR,
    why="Modes, service, failure mode or namespaces of the guard differ for these requests.",
    remedy="Remove the per-route setting, so that the guard's own configuration holds everywhere.",
)
def _guard_overridden(survey: Survey) -> Iterator[Hit]:
    for kind, value, config in _per_filter(survey):
        if kind not in {"ext_authz", "ext_proc"} or _switched_off(value, config):
            continue
        harmless = [
            key
            for key, _ in config.get("check_settings").entries
            if key not in {"context_extensions", "contextExtensions"}
        ]
        if kind == "ext_authz" and config.get("check_settings") and not harmless:
            continue
        yield Hit(value, f"typed_per_filter_config overrides {kind}")


@rule(
    "routes.limit-overridden",
    WARNING,
    why="The body or rate limit that stands before authz differs, or is off, for these requests.",
    remedy="Remove the per-route setting of the buffer or local_ratelimit filter.",
)
def _limit_overridden(survey: Survey) -> Iterator[Hit]:
    for kind, value, _ in _per_filter(survey):
        if kind in _LIMITERS:
            yield Hit(value, f"typed_per_filter_config overrides {kind}")


def _added(survey: Survey, name: str) -> Iterator[tuple[str, Node]]:
    """Lower-case name and place of every header that a level adds."""
    for level in survey.levels:
        for each in level.get(name).elements:
            yield each.get("header", "key").text.lower(), each.get("header")


@rule(
    "routes.header-forged",
    ERROR,
    why="The sidecar believes x-ostiary-* headers because only the gateway sets them.",
    remedy="Remove the header from request_headers_to_add.",
)
def _header_forged(survey: Survey) -> Iterator[Hit]:
    told = {
        id(entry.get("header"))
        for route in survey.control_routes
        for entry in route.node.get("request_headers_to_add").elements
        if entry.get("append_action").text == "OVERWRITE_IF_EXISTS_OR_ADD"
        and contract.CONTROL_HEADERS.get(entry.get("header", "key").text) == entry.get("header", "value").text
    }
    for name, place in _added(survey, "request_headers_to_add"):
        if name.startswith(contract.OWNED_PREFIXES) and id(place) not in told:
            yield Hit(place, "a route adds a header that only the gateway may set")


@rule(
    "routes.static-credential",
    ERROR,
    why=(
        "A credential in the file is readable by all who can read the file, and the same for every tenant and attempt."
    ),
    remedy=("Remove it from request_headers_to_add; adapt sets the provider's credential from its secret store."),
)
def _static_credential(survey: Survey) -> Iterator[Hit]:
    for name, place in _added(survey, "request_headers_to_add"):
        if name in contract.CREDENTIAL_HEADERS:
            yield Hit(place, "a route adds a credential header")


@rule(
    "routes.credential-copied",
    ERROR,
    why="authz and adapt remove credentials by name; a copy under another name travels on.",
    remedy="Do not use credential headers in header values.",
)
def _credential_copied(survey: Survey) -> Iterator[Hit]:
    for direction in ("request_headers_to_add", "response_headers_to_add"):
        for _, place in _added(survey, direction):
            if copied_credentials(place.get("value").text):
                yield Hit(place, "a client credential is copied into another header")


@rule(
    "routes.answer-header-removed",
    WARNING,
    why="Clients lose the error code or the advice not to retry, and SDKs then repeat refused prompts.",
    remedy="Take the gateway's own headers out of response_headers_to_remove.",
)
def _answer_header_removed(survey: Survey) -> Iterator[Hit]:
    for level in survey.levels:
        for name in level.get("response_headers_to_remove").elements:
            if name.text.lower() in _OUR_ANSWER_HEADERS:
                yield Hit(name, "a header of the gateway is removed from answers")


@rule(
    "routes.matcher-tree",
    WARNING,
    why="Which request meets which route of a match tree is not checked here.",
    remedy="List the routes under virtual_hosts.routes.",
)
def _matcher_tree(survey: Survey) -> Iterator[Hit]:
    for manager in survey.governed:
        for table in manager.tables:
            for host in table.get("virtual_hosts").elements:
                if host.get("matcher"):
                    yield Hit(host.get("matcher"), "routes hang in a match tree")
