"""Workers' sockets, composites and backends, read back from the YAML."""

from dataclasses import replace

import pytest

from control.edge import clusters
from control.edge.spec import Bounds
from edge_rendered import SPEC, adapt, cluster, http_filter, manager, options, rendered
from gateway import contract


def test_adapt_has_connections_of_its_own_and_no_watermark_that_could_fire():
    data = rendered()
    assert http_filter(data, contract.INSPECT_FILTER)["grpc_service"]["envoy_grpc"]["cluster_name"] == (
        contract.SIDECAR_CLUSTER
    )
    assert adapt(data)["grpc_service"]["envoy_grpc"]["cluster_name"] == contract.ADAPT_CLUSTER
    found = cluster(data, contract.ADAPT_CLUSTER)
    http2 = options(found)["explicit_http_config"]["http2_protocol_options"]
    assert found["per_connection_buffer_limit_bytes"] == 2**31 - 1
    assert http2["initial_stream_window_size"] == 2**31 - 1


def test_windows_of_all_streams_fit_into_their_connection():
    http2 = options(cluster(rendered(), contract.SIDECAR_CLUSTER))["explicit_http_config"]["http2_protocol_options"]
    assert http2["initial_stream_window_size"] == 64 * 1024
    assert http2["initial_connection_window_size"] == (
        http2["max_concurrent_streams"] * http2["initial_stream_window_size"]
    )


def test_authz_has_connections_of_its_own_on_which_no_answer_stands_before_a_check():
    data = rendered()
    called = http_filter(data, contract.AUTHZ_NAMESPACE)["grpc_service"]["envoy_grpc"]["cluster_name"]
    assert called == contract.AUTHZ_CLUSTER
    assert called not in {contract.SIDECAR_CLUSTER, contract.ADAPT_CLUSTER}


def test_a_slow_reader_makes_envoy_read_no_more_than_a_piece_and_a_window_ahead():
    data = rendered()
    plain = [each for each in data["static_resources"]["clusters"] if each["name"].startswith("be-")]
    assert {each["per_connection_buffer_limit_bytes"] for each in plain} == {clusters.BACKEND_BUFFER}
    for each in plain:
        options_ = each.get("upstream_bind_config", {}).get("socket_options", [])
        # With TLS it may be HTTP/2, where each stream has its window.
        bounded = [(1, 8, clusters.BACKEND_RECEIVE)] if "transport_socket" not in each else []
        # YAML's int64 are strings (ProtoJSON).
        assert [tuple(int(option[name]) for name in ("level", "name", "int_value")) for option in options_] == bounded


@pytest.mark.parametrize("name", [contract.SIDECAR_CLUSTER, contract.AUTHZ_CLUSTER, contract.ADAPT_CLUSTER])
def test_workers_are_reached_by_every_socket_and_watched(name):
    found = cluster(rendered(), name)
    hosts = found["load_assignment"]["endpoints"][0]["lb_endpoints"]
    assert [h["endpoint"]["address"]["pipe"]["path"] for h in hosts] == ["/run/o/worker-0.sock", "/run/o/worker-1.sock"]
    assert found["health_checks"][0]["grpc_health_check"]["service_name"] == contract.HEALTH_SERVICE
    assert found["close_connections_on_host_health_failure"] is True
    assert found["common_lb_config"] == {"healthy_panic_threshold": {"value": 0}, "update_merge_window": "0s"}
    outliers = found["outlier_detection"]
    assert outliers["enforcing_consecutive_5xx"] == 0
    assert outliers["enforcing_consecutive_local_origin_failure"] == 100


def test_a_client_can_provoke_no_more_streams_than_the_breaker_allows_for():
    found = cluster(rendered(replace(SPEC, bounds=Bounds(exchanges=100))), contract.SIDECAR_CLUSTER)
    assert found["circuit_breakers"]["thresholds"][0]["max_requests"] == 200


def test_provider_with_tls_is_verified_by_name_and_roots():
    context = cluster(rendered(), "be-named")["transport_socket"]["typed_config"]
    checked = context["common_tls_context"]["validation_context"]
    assert context["sni"] == "llm.example"
    assert checked["trusted_ca"] == {"filename": SPEC.ca_file}
    assert checked["match_typed_subject_alt_names"] == [{"san_type": "DNS", "matcher": {"exact": "llm.example"}}]
    assert context["common_tls_context"]["tls_params"]["tls_minimum_protocol_version"] == "TLSv1_2"


def test_provider_at_an_address_is_verified_by_address_and_its_own_roots():
    found = cluster(rendered(), "be-literal")
    context = found["transport_socket"]["typed_config"]
    checked = context["common_tls_context"]["validation_context"]
    assert "sni" not in context
    assert checked["trusted_ca"] == {"filename": "/policy/private/ca.pem"}
    assert checked["match_typed_subject_alt_names"][0]["san_type"] == "IP_ADDRESS"
    assert "cluster_type" not in found


def test_hosts_tell_adapt_their_backend():
    (host,) = cluster(rendered(), "be-named")["load_assignment"]["endpoints"][0]["lb_endpoints"]
    assert host["metadata"]["filter_metadata"] == {contract.HOST_NAMESPACE: {contract.HOST_BACKEND: "named"}}


def test_a_composite_has_an_entry_for_every_attempt_of_its_route():
    data = rendered()
    routes = manager(data)["route_config"]["virtual_hosts"][0]["routes"]
    retries = next(r for r in routes if r["name"] == contract.route_of("plain"))["route"]["retry_policy"]["num_retries"]
    entries = cluster(data, contract.route_of("plain"))["cluster_type"]["typed_config"]["clusters"]
    assert entries == [{"name": "be-plain"}] * (1 + retries)


@pytest.mark.parametrize(
    ("host", "literal"), [("192.0.2.1", True), ("::1", True), ("llm.example", False), ("1e4", False)]
)
def test_literal_addresses_need_no_dns(host, literal):
    assert clusters.is_address(host) is literal
