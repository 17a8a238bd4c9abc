"""The rendered bootstrap: the settings that the gateway's safety rests on, read back from the YAML."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from control.edge import clusters, spec
from control.edge.render import render
from control.edge.spec import Bounds, ClientCertificates, EdgeSpec, Tls
from gateway import contract
from gateway.policy.model import Backend, Limits, Policy

ENVOY = Path(__file__).resolve().parents[4] / "envoy"
SPEC = EdgeSpec(
    tls=Tls(cert="/c.pem", key="/k.pem"),
    run_dir="/run/o",
    admin_socket="/run/o/a.sock",
    policy_dir="/policy",
    workers=2,
)
PLAIN = Backend(name="plain", host="127.0.0.1", port=8000, tls=False)
NAMED = Backend(name="named", host="llm.example", port=443, tls=True)
LITERAL = Backend(name="literal", host="192.0.2.9", port=8443, tls=True, ca_file="private/ca.pem")


def policy(*backends, limits=None):
    return Policy(
        version="p-0123456789ab",
        name="test",
        tenants={},
        keys={},
        models={},
        backends={backend.name: backend for backend in backends},
        limits=limits or Limits(),
    )


def rendered(edge=SPEC, *backends, limits=None):
    return yaml.safe_load(render(edge, policy(*(backends or (PLAIN, NAMED, LITERAL)), limits=limits)))


def manager(data):
    return data["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]


def tls(data):
    return data["static_resources"]["listeners"][0]["filter_chains"][0]["transport_socket"]["typed_config"]


def http_filter(data, name):
    return next(f["typed_config"] for f in manager(data)["http_filters"] if f["name"] == name)


def cluster(data, name):
    return next(c for c in data["static_resources"]["clusters"] if c["name"] == name)


def options(found):
    return found["typed_extension_protocol_options"]["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"]


def adapt(data, backend="plain"):
    return options(cluster(data, contract.route_of(backend)))["http_filters"][0]["typed_config"]


def test_the_committed_reference_is_current():
    from ostiary import bundle  # noqa: PLC0415 - loads every rule, which only this test needs

    wanted = spec.read(ENVOY / "ostiary.yaml")
    text = render(wanted, bundle.load(Path(wanted.policy_dir)))
    assert (ENVOY / "envoy.yaml").read_text() == text, (
        "run: ostiary envoy render --spec envoy/ostiary.yaml -o envoy/envoy.yaml"
    )


def test_the_same_input_gives_the_same_bytes_whatever_the_order_of_backends():
    assert render(SPEC, policy(PLAIN, NAMED)) == render(SPEC, policy(NAMED, PLAIN))


def test_filters_stand_in_the_order_that_keeps_strangers_cheap():
    names = [f["name"] for f in manager(rendered())["http_filters"]]
    assert names == [
        "envoy.filters.http.header_mutation",
        "envoy.filters.http.local_ratelimit",
        "envoy.filters.http.buffer",
        contract.AUTHZ_NAMESPACE,
        contract.INSPECT_FILTER,
        "envoy.filters.http.router",
    ]


def test_every_guard_fails_closed_and_says_so():
    data = rendered()
    for guard in (http_filter(data, contract.AUTHZ_NAMESPACE), http_filter(data, contract.INSPECT_FILTER), adapt(data)):
        assert guard["failure_mode_allow"] is False
        assert guard["grpc_service"]["retry_policy"]["retry_on"] == "connect-failure,reset,refused-stream,unavailable"


def test_modes_are_those_of_the_design():
    data = rendered()
    inspect = http_filter(data, contract.INSPECT_FILTER)
    assert inspect["processing_mode"] == {
        "request_header_mode": "SEND",
        "request_body_mode": "BUFFERED",
        "request_trailer_mode": "SEND",
        "response_header_mode": "SEND",
        "response_body_mode": "FULL_DUPLEX_STREAMED",
        "response_trailer_mode": "SEND",
    }
    assert inspect["allow_mode_override"] is False
    # A body mode that is not named is NONE.
    assert adapt(data)["processing_mode"] == {
        "request_header_mode": "SEND",
        "request_trailer_mode": "SKIP",
        "response_header_mode": "SKIP",
        "response_trailer_mode": "SKIP",
    }
    assert adapt(data)["allow_mode_override"] is True


def test_each_filter_tells_the_worker_which_one_it_is():
    data = rendered()
    assert http_filter(data, contract.INSPECT_FILTER)["grpc_service"]["initial_metadata"] == [
        {"key": "x-ostiary-filter", "value": "inspect"}
    ]
    assert adapt(data)["grpc_service"]["initial_metadata"] == [{"key": "x-ostiary-filter", "value": "adapt"}]


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


@pytest.mark.parametrize("name", [contract.SIDECAR_CLUSTER, contract.ADAPT_CLUSTER])
def test_workers_are_reached_by_every_socket_and_watched(name):
    found = cluster(rendered(), name)
    hosts = found["load_assignment"]["endpoints"][0]["lb_endpoints"]
    assert [h["endpoint"]["address"]["pipe"]["path"] for h in hosts] == ["/run/o/worker-0.sock", "/run/o/worker-1.sock"]
    assert found["health_checks"][0]["grpc_health_check"]["service_name"] == contract.HEALTH_SERVICE
    assert found["close_connections_on_host_health_failure"] is True
    assert found["common_lb_config"]["healthy_panic_threshold"] == {"value": 0}
    outliers = found["outlier_detection"]
    assert outliers["enforcing_consecutive_5xx"] == 0
    assert outliers["enforcing_consecutive_local_origin_failure"] == 100


def test_a_client_can_provoke_no_more_streams_than_the_breaker_allows_for():
    found = cluster(rendered(replace(SPEC, bounds=Bounds(exchanges=100))), contract.SIDECAR_CLUSTER)
    assert found["circuit_breakers"]["thresholds"][0]["max_requests"] == 200


def test_only_an_exact_route_header_reaches_a_backend_and_the_last_route_refuses():
    routes = manager(rendered())["route_config"]["virtual_hosts"][0]["routes"]
    *chosen, last = routes
    for route in chosen:
        matcher = route["match"]["headers"]
        assert matcher == [{"name": contract.ROUTE_HEADER, "string_match": {"exact": route["name"]}}]
        assert contract.ROUTE_HEADER in route["request_headers_to_remove"]
        assert route["route"]["timeout"] == "0s"
        assert "5xx" not in route["route"]["retry_policy"]["retry_on"]
    assert {route["name"] for route in chosen} >= {contract.route_of(b.name) for b in (PLAIN, NAMED, LITERAL)}
    assert last == {"name": "refused", "match": {"prefix": "/"}, "direct_response": {"status": 503}}


def test_owned_headers_of_clients_are_gone_before_any_filter():
    (mutation,) = manager(rendered())["early_header_mutation_extensions"]
    removed = [m["remove_on_match"]["key_matcher"]["prefix"] for m in mutation["typed_config"]["mutations"]]
    assert removed == list(contract.OWNED_PREFIXES)


def test_no_client_address_counts_as_internal():
    internal = manager(rendered())["internal_address_config"]["cidr_ranges"]
    assert internal == [{"address_prefix": "255.255.255.255", "prefix_len": 32}]


def test_listener_speaks_tls_1_3_only():
    parameters = tls(rendered())["common_tls_context"]["tls_params"]
    assert parameters["tls_minimum_protocol_version"] == parameters["tls_maximum_protocol_version"] == "TLSv1_3"


@pytest.mark.parametrize(
    ("asked", "required", "verified", "forwarded"),
    [
        (ClientCertificates.OFF, False, False, "SANITIZE"),
        (ClientCertificates.OPTIONAL, False, True, "SANITIZE_SET"),
        (ClientCertificates.REQUIRED, True, True, "SANITIZE_SET"),
    ],
)
def test_client_certificates(asked, required, verified, forwarded):
    data = rendered(replace(SPEC, tls=Tls(cert="/c", key="/k", client_ca="/ca", client_certificates=asked)))
    assert tls(data)["require_client_certificate"] is required
    assert ("validation_context" in tls(data)["common_tls_context"]) is verified
    # SANITIZE is the default of the enum and therefore left out.
    assert manager(data).get("forward_client_cert_details", "SANITIZE") == forwarded
    assert http_filter(data, contract.AUTHZ_NAMESPACE).get("include_peer_certificate", False) is verified


def test_admin_is_a_socket_for_its_owner_only():
    assert rendered()["admin"]["address"] == {"pipe": {"path": "/run/o/a.sock", "mode": 0o600}}


@pytest.mark.parametrize(("asked", "limit"), [(None, 5000), (4000, 4000), (9000, 5000)])
def test_body_limit_is_the_policys_or_a_smaller_one(asked, limit):
    data = rendered(replace(SPEC, body_bytes=asked), limits=Limits(body_bytes=5000))
    assert http_filter(data, "envoy.filters.http.buffer")["max_request_bytes"] == limit
    host = manager(data)["route_config"]["virtual_hosts"][0]
    assert int(host["request_body_buffer_limit"]) >= 2 * limit


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


def test_access_log_names_no_header_that_holds_a_credential_and_no_query():
    (log,) = manager(rendered())["access_log"]
    formats = " ".join(log["typed_config"]["log_format"]["json_format"].values()).lower()
    assert not any(name in formats for name in contract.CREDENTIAL_HEADERS)
    assert "req(:path)" not in formats
    assert "original-path" not in formats


def test_overload_gives_up_heavy_streams_before_it_refuses_everybody():
    actions = rendered()["overload_manager"]["actions"]
    starts = [a["triggers"][0].get("threshold", a["triggers"][0].get("scaled")) for a in actions]
    shares = [s.get("value", s.get("scaling_threshold")) for s in starts]
    assert all(first <= second for first, second in pairwise(shares))
    assert [a["name"].rpartition(".")[2] for a in actions][-1] == "stop_accepting_connections"


@pytest.mark.parametrize(
    ("host", "literal"), [("10.0.0.1", True), ("::1", True), ("llm.example", False), ("1e4", False)]
)
def test_literal_addresses_need_no_dns(host, literal):
    assert clusters.is_address(host) is literal
