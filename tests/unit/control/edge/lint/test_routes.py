"""Rules about route tables, each against one edit of the reference."""

import pytest

from control.edge.lint import routes
from weakened import (
    CLUSTERS,
    DEFAULT_ROUTE,
    HCM,
    HOST,
    ROUTE,
    Case,
    append,
    at,
    check,
    drop,
    insert,
    pointing,
    problems_after,
    put,
    rules_of,
)

TABLE = (*HCM, "route_config")
PER_FILTER = "typed_per_filter_config"
FILTER_CONFIG = "type.googleapis.com/envoy.config.route.v3.FilterConfig"
EXT = "type.googleapis.com/envoy.extensions.filters.http."


def guard(name, message, **fields):
    """A per-route setting of one filter."""
    return {name: {"@type": f"{EXT}{message}", **fields}}


def header(key, value="x"):
    return {"header": {"key": key, "value": value}}


def _forwarding_default(changed):
    del at(changed, DEFAULT_ROUTE)["direct_response"]
    at(changed, DEFAULT_ROUTE)["route"] = {"cluster": "oc-local", "timeout": "0s"}
    return (*DEFAULT_ROUTE, "route")


def _unknown(changed):
    at(changed, (*ROUTE, "route"))["cluster"] = "oc-elsewhere"
    return (*ROUTE, "route", "cluster")


def _sidecar_route(changed):
    route = {"match": at(changed, ROUTE)["match"], "route": {"cluster": "ostiary_sidecar", "timeout": "0s"}}
    at(changed, (*HOST, "routes")).insert(0, route)
    return (*HOST, "routes", 0, "route", "cluster")


def _by_header(changed):
    action = at(changed, (*ROUTE, "route"))
    del action["cluster"]
    action["cluster_header"] = "x-ostiary-route"
    return (*ROUTE, "route", "cluster_header")


def _weighted(changed):
    action = at(changed, (*ROUTE, "route"))
    half = {"name": action.pop("cluster"), "weight": 100, "request_headers_to_add": [header("x-ostiary-tenant")]}
    action["weighted_clusters"] = {"clusters": [half]}
    return (*ROUTE, "route", "weighted_clusters", "clusters", 0, "request_headers_to_add", 0, "header")


MATCHER = {
    "matcher_tree": {
        "input": {
            "name": "i",
            "typed_config": {"@type": "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput"},
        },
    }
}
CHOSEN = (*ROUTE, "match", "headers")

CASES = [
    Case("routes.default-forwards", _forwarding_default),
    Case("routes.no-route-header", put((*ROUTE, "match"), {"path": "/v1/models"}), "another match"),
    Case(
        "routes.no-route-header",
        pointing((*ROUTE, "match"), put((*CHOSEN, 0, "string_match"), {"prefix": "oc-"})),
        "a prefix",
    ),
    Case("routes.no-route-header", pointing((*ROUTE, "match"), put((*CHOSEN, 0, "invert_match"), True)), "inverted"),
    Case("routes.default-missing", pointing(HOST, drop(DEFAULT_ROUTE))),
    Case("routes.default-missing", put((*DEFAULT_ROUTE, "direct_response", "status"), 200), "a success"),
    Case("routes.cluster-header", _by_header),
    Case("routes.sidecar-exposed", _sidecar_route),
    Case("routes.unknown-cluster", _unknown),
    Case(
        "routes.guard-disabled",
        lambda changed: (
            *put((*ROUTE, PER_FILTER), guard("ostiary.inspect", "ext_proc.v3.ExtProcPerRoute", disabled=True))(changed),
            "ostiary.inspect",
            "disabled",
        ),
        "inspect on a route",
    ),
    Case(
        "routes.guard-disabled",
        lambda changed: (
            *put((*HOST, PER_FILTER), {"envoy.filters.http.ext_authz": {"@type": FILTER_CONFIG, "disabled": True}})(
                changed
            ),
            "envoy.filters.http.ext_authz",
            "disabled",
        ),
        "authz on a virtual host",
    ),
    Case(
        "routes.guard-overridden",
        lambda changed: (
            *put(
                (*TABLE, PER_FILTER),
                guard(
                    "ostiary.inspect",
                    "ext_proc.v3.ExtProcPerRoute",
                    overrides={"processing_mode": {"request_body_mode": "NONE"}},
                ),
            )(changed),
            "ostiary.inspect",
        ),
        "on the table",
    ),
    Case(
        "routes.guard-overridden",
        lambda changed: (
            *put(
                (*ROUTE, PER_FILTER),
                guard(
                    "envoy.filters.http.ext_authz",
                    "ext_authz.v3.ExtAuthzPerRoute",
                    check_settings={"grpc_service": {"envoy_grpc": {"cluster_name": "be-local"}}},
                ),
            )(changed),
            "envoy.filters.http.ext_authz",
        ),
        "another authz",
    ),
    Case(
        "routes.limit-overridden",
        lambda changed: (
            *put((*ROUTE, PER_FILTER), guard("envoy.filters.http.buffer", "buffer.v3.BufferPerRoute", disabled=True))(
                changed
            ),
            "envoy.filters.http.buffer",
        ),
    ),
    Case(
        "routes.header-forged",
        append((*ROUTE, "request_headers_to_add"), header("X-Ostiary-Tenant"), inside=("header",)),
    ),
    Case("routes.header-forged", _weighted, "on a weighted cluster"),
    Case(
        "routes.static-credential",
        append((*HOST, "request_headers_to_add"), header("Authorization"), inside=("header",)),
    ),
    Case(
        "routes.credential-copied",
        append((*TABLE, "request_headers_to_add"), header("x-was", "%REQ(x-none?X-API-KEY):40%"), inside=("header",)),
    ),
    Case("routes.answer-header-removed", append((*HOST, "response_headers_to_remove"), "X-Should-Retry")),
    Case("routes.matcher-tree", put((*HOST, "matcher"), MATCHER)),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_route_that_weakens_is_told_with_its_place(case):
    check(case)


def test_every_rule_of_the_area_has_a_case():
    assert {case.rule for case in CASES} == rules_of(routes)


@pytest.mark.parametrize(
    "edit",
    [
        put((*CHOSEN, 0), {"name": "X-Ostiary-Route", "exact_match": "oc-local"}),
        put(
            (*ROUTE, PER_FILTER),
            guard(
                "envoy.filters.http.ext_authz",
                "ext_authz.v3.ExtAuthzPerRoute",
                check_settings={"context_extensions": {"a": "b"}},
            ),
        ),
        append((*HOST, "request_headers_to_add"), header("x-region", "eu")),
        insert((*CLUSTERS, 0), {"name": "unrelated", "type": "STATIC", "connect_timeout": "1s"}),
    ],
    ids=["the older exact match", "more context for authz", "a plain header", "a cluster that nothing reaches"],
)
def test_a_safe_variation_is_not_told(edit):
    assert problems_after(edit) == []


@pytest.mark.parametrize(
    ("text", "copied"),
    [
        ("%REQ(AUTHORIZATION)%", True),
        ("%REQUEST_HEADER(cookie)%", True),
        ("a %REQ(x-a?x-api-key):12% b", True),
        ("%REQ(USER-AGENT)%", False),
        ("authorization", False),
        ("%RESP(authorization)%", False),
    ],
)
def test_format_strings_that_print_credentials_are_known(text, copied):
    assert routes.copied_credentials(text) is copied


def test_routes_in_a_match_tree_are_judged_too():
    route = {
        "@type": "type.googleapis.com/envoy.config.route.v3.Route",
        "match": {"prefix": "/"},
        "route": {"cluster": "oc-local", "timeout": "0s"},
    }
    tree = {"matcher_list": {"matchers": [{"on_match": {"action": {"name": "r", "typed_config": route}}}]}}
    assert {"routes.matcher-tree", "routes.default-forwards"} == {
        each.rule for each in problems_after(put((*HOST, "matcher"), tree))
    }
