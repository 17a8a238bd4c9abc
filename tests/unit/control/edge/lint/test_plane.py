"""Rules about the way to control, each against one edit of the reference."""

import pytest

from control.edge.lint import plane
from weakened import (
    CLUSTERS,
    HCM,
    LISTENERS,
    OPTIONS,
    ROUTES,
    Case,
    at,
    check,
    cluster,
    drop,
    filter_entry,
    pointing,
    problems_after,
    put,
    rules_of,
    tree,
)

PER_FILTER = "typed_per_filter_config"
DOOR, BUFFER = "envoy.filters.http.local_ratelimit", "envoy.filters.http.buffer"
AUTHZ, INSPECT = "envoy.filters.http.ext_authz", "ostiary.inspect"
TOKENS = (*ROUTES, [each["name"] for each in at(tree(), ROUTES)].index("oauth2"))
ADMIN = (*ROUTES, [each["name"] for each in at(tree(), ROUTES)].index("admin"))
CONTROL = cluster("ostiary_control")
ENDPOINT = (*CONTROL, "load_assignment", "endpoints", 0, "lb_endpoints", 0, "endpoint", "address")
WORKER = {"pipe": {"path": "/run/ostiary/worker-0.sock"}}
FILTER_CONFIG = "type.googleapis.com/envoy.config.route.v3.FilterConfig"


def setting(route, name):
    return (*route, PER_FILTER, name)


def _bare_listener(changed):
    """A second listener without guards, whose route leads to control."""
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "b",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "b",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/oauth2/"}, "route": {"cluster": "ostiary_control"}}],
                }
            ]
        },
        "http_filters": [filter_entry("envoy.filters.http.router", "router.v3.Router")],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    at(changed, LISTENERS).append({"name": "bare", "filter_chains": [chain]})
    places = ("filter_chains", 0, "filters", 0, "typed_config", "route_config", "virtual_hosts", 0, "routes", 0)
    return (*LISTENERS, 1, *places, "route", "cluster")


def _another_name(changed):
    """Control's socket under another cluster's name."""
    twin = {**at(changed, CONTROL), "name": "spare"}
    at(changed, CLUSTERS).append(twin)
    at(changed, (*TOKENS, "route"))["cluster"] = "spare"
    return (*TOKENS, "route", "cluster")


def _whole_api(changed):
    at(changed, (*ADMIN, "match"))["prefix"] = "/admin/"
    return (*ADMIN, "route", "cluster")


def _second_endpoint(changed):
    hosts = at(changed, (*CONTROL, "load_assignment", "endpoints", 0, "lb_endpoints"))
    hosts.append({"endpoint": {"address": {"pipe": {"path": "/run/ostiary/other.sock"}}}})
    return CONTROL


def _half_enforced(changed):
    at(changed, (*setting(TOKENS, DOOR), "filter_enforced", "default_value"))["numerator"] = 50
    return setting(TOKENS, DOOR)


CASES = [
    Case("control.exposed", _bare_listener, "by a chain without guards"),
    Case("control.not-private", _second_endpoint, "two endpoints"),
    Case(
        "control.not-private",
        lambda changed: (
            *put(
                (*CONTROL, "typed_extension_protocol_options", OPTIONS, "http_filters"),
                [filter_entry("x", "header_mutation.v3.HeaderMutation")],
            )(changed),
            0,
        ),
        "an upstream filter",
    ),
    Case("control.rewritten", put((*TOKENS, "route", "prefix_rewrite"), "/admin/v1/"), "the prefix"),
    Case(
        "control.overridden",
        lambda changed: (
            setting(TOKENS, INSPECT)
            if not at(changed, setting(TOKENS, INSPECT)).update(overrides={"failure_mode_allow": True})
            else ()
        ),
        "inspect",
    ),
    Case(
        "control.overridden",
        put(
            setting(TOKENS, "envoy.filters.http.header_mutation"),
            {"@type": "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute"},
        ),
        "another filter",
    ),
    Case("control.unlimited", pointing(TOKENS, drop(setting(TOKENS, DOOR))), "no rate"),
    Case("control.unlimited", pointing(ADMIN, drop(setting(ADMIN, BUFFER))), "no body limit"),
    Case("control.unlimited", _half_enforced, "half a rate"),
    Case(
        "control.unlimited",
        pointing(setting(ADMIN, BUFFER), put((*setting(ADMIN, BUFFER), "buffer", "max_request_bytes"), 1 << 30)),
        "a huge body",
    ),
    Case(
        "control.unlimited",
        pointing(
            setting(TOKENS, DOOR), put(setting(TOKENS, DOOR), {"@type": FILTER_CONFIG, "disabled": True, "config": {}})
        ),
        "switched off by a wrapper",
    ),
    Case("control.no-deadline", put((*TOKENS, "route", "timeout"), "0s")),
]

#: Where other rules speak too, because the edit makes the route or the cluster theirs as well.
SHARED = [
    Case("control.exposed", _another_name, "under another name"),
    Case("control.exposed", _whole_api, "below a wider prefix"),
    Case("control.not-private", pointing(ENDPOINT, put(ENDPOINT, WORKER)), "a worker"),
    Case(
        "control.not-private",
        put(ENDPOINT, {"socket_address": {"address": "127.0.0.1", "port_value": 8091}}),
        "a port",
    ),
]


@pytest.mark.parametrize("case", SHARED, ids=str)
def test_what_other_rules_refuse_too_is_told_as_controls_matter(case):
    assert case.rule in {each.rule for each in problems_after(case.edit)}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_way_to_control_that_weakens_is_told_with_its_place(case):
    check(case)


def test_every_rule_of_the_area_has_a_case():
    assert {case.rule for case in CASES} == rules_of(plane)


def test_the_reference_has_nothing_to_tell():
    assert problems_after(lambda changed: ()) == []


@pytest.mark.parametrize("name", [AUTHZ, INSPECT])
def test_what_these_routes_may_do_no_other_may(name):
    """The same setting on a route to a provider, on the host and on the table."""
    for place in ((*ROUTES, 0), ROUTES[:-1], (*HCM, "route_config")):
        copied = at(tree(), setting(TOKENS, name))
        found = problems_after(put((*place, PER_FILTER), {name: copied}))
        assert "routes.guard-disabled" in {each.rule for each in found}


def test_a_route_to_a_provider_below_controls_path_is_not_one_of_controls():
    found = {each.rule for each in problems_after(put((*TOKENS, "route", "cluster"), "be-local"))}
    assert {"routes.guard-disabled", "routes.no-route-header", "routes.header-forged"} <= found


def test_the_certificate_may_be_told_but_not_chosen():
    value = (*TOKENS, "request_headers_to_add", 0, "header", "value")
    assert {each.rule for each in problems_after(put(value, "%REQ(x-cert)%"))} == {"routes.header-forged"}


def test_a_header_that_is_appended_to_the_clients_own_is_not_ours():
    action = (*TOKENS, "request_headers_to_add", 0, "append_action")
    assert {each.rule for each in problems_after(put(action, "APPEND_IF_EXISTS_OR_ADD"))} == {"routes.header-forged"}


def test_a_raw_proxy_to_controls_socket_is_told():
    proxy = {
        "name": "tcp",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": "t",
            "cluster": "ostiary_control",
        },
    }

    def edit(changed):
        at(changed, LISTENERS).append({"name": "raw", "filter_chains": [{"filters": [proxy]}]})
        return ()

    assert "chain.raw-proxy" in {each.rule for each in problems_after(edit)}
