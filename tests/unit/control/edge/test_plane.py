"""The way to control as it is rendered: who may be asked, by which path, with which guards switched off."""

from dataclasses import replace

from control.edge.spec import Control
from edge_rendered import SPEC, cluster, manager, options, rendered
from gateway import contract

OPEN = replace(SPEC, control=Control(enabled=True, remote_admin=True))
NAMES = ("oauth2", "oauth2-metadata", "admin")


def routes(edge):
    return manager(rendered(edge))["route_config"]["virtual_hosts"][0]["routes"]


def own(edge=OPEN):
    return [route for route in routes(edge) if route["name"] in NAMES]


def test_nothing_leads_to_control_unless_the_spec_says_so():
    assert own(SPEC) == []
    names = [each["name"] for each in rendered(SPEC)["static_resources"]["clusters"]]
    assert contract.CONTROL_CLUSTER not in names


def test_the_admin_api_needs_a_word_of_its_own():
    assert [route["name"] for route in own(replace(SPEC, control=Control(enabled=True)))] == [
        "oauth2",
        "oauth2-metadata",
    ]


def test_they_stand_behind_the_routes_of_providers_and_before_the_refusals():
    names = [route["name"] for route in routes(OPEN)]
    assert names[-5:] == [*NAMES, "tunnel", "refused"]


def test_each_leads_from_its_path_to_control_alone():
    assert [route["match"] for route in own()] == [
        {"prefix": "/oauth2/"},
        {"path": "/.well-known/oauth-authorization-server"},
        {"prefix": "/admin/v1/"},
    ]
    assert {route["route"]["cluster"] for route in own()} == {contract.CONTROL_CLUSTER}


def test_each_switches_the_two_guards_off_and_brings_limits_of_its_own():
    for route in own():
        settings = route["typed_per_filter_config"]
        assert settings[contract.AUTHZ_NAMESPACE]["disabled"] is True
        assert settings[contract.INSPECT_FILTER]["disabled"] is True
        assert settings["envoy.filters.http.buffer"]["buffer"]["max_request_bytes"] == 64 * 1024
        assert settings["envoy.filters.http.local_ratelimit"]["filter_enforced"]["default_value"]["numerator"] == 100
        assert len(settings) == 4


def test_the_rates_are_those_of_the_spec():
    bucket = [route["typed_per_filter_config"]["envoy.filters.http.local_ratelimit"]["token_bucket"] for route in own()]
    tokens, admin = OPEN.control.tokens, OPEN.control.admin
    assert [each["tokens_per_fill"] for each in bucket] == [tokens.requests_per_s] * 2 + [admin.requests_per_s]


def test_what_control_believes_is_removed_first_and_then_set_by_envoy():
    for route in own():
        assert {*contract.CONTROL_HEADERS, contract.ACTOR_HEADER} <= set(route["request_headers_to_remove"])
        added = {each["header"]["key"]: each["header"]["value"] for each in route["request_headers_to_add"]}
        assert added == dict(contract.CONTROL_HEADERS)
        assert {each["append_action"] for each in route["request_headers_to_add"]} == {"OVERWRITE_IF_EXISTS_OR_ADD"}


def test_the_cluster_is_controls_socket_and_bounded():
    found = cluster(rendered(OPEN), contract.CONTROL_CLUSTER)
    (locality,) = found["load_assignment"]["endpoints"]
    (host,) = locality["lb_endpoints"]
    assert host["endpoint"]["address"] == {"pipe": {"path": "/run/o/control.sock"}}
    (limits,) = found["circuit_breakers"]["thresholds"]
    assert limits["max_connections"] == 32
    assert options(found)["common_http_protocol_options"]["idle_timeout"] == "30s"
