"""Rules about clusters, each against one edit of the reference."""

import pytest

from control.edge.lint import clusters
from weakened import OPTIONS, PROVIDER, SIDECAR, Case, at, check, cluster, drop, pointing, problems_after, put, rules_of

LOCAL = cluster("be-local")
H2 = (*SIDECAR, "typed_extension_protocol_options", OPTIONS, "explicit_http_config", "http2_protocol_options")
WORKER = (*SIDECAR, "load_assignment", "endpoints", 0, "lb_endpoints", 0, "endpoint", "address")
TCP = {"socket_address": {"address": "127.0.0.1", "port_value": 9001}}


def _without_tls(changed):
    del at(changed, PROVIDER)["transport_socket"]
    return (*PROVIDER, "load_assignment", "endpoints", 0, "lb_endpoints", 0, "endpoint", "address", "socket_address")


def _original_destination(changed):
    del at(changed, LOCAL)["load_assignment"]
    at(changed, LOCAL)["lb_policy"] = "CLUSTER_PROVIDED"
    return put((*LOCAL, "type"), "ORIGINAL_DST")(changed)


CASES = [
    Case("sidecar.not-private", lambda changed: (*put(WORKER, TCP)(changed), "socket_address")),
    Case("sidecar.not-private", put((*WORKER, "pipe", "path"), "@ostiary"), "abstract"),
    Case("sidecar.windows", put((*H2, "initial_stream_window_size"), 268_435_456)),
    Case("sidecar.windows", drop((*H2, "initial_connection_window_size")), "by default"),
    Case("sidecar.buffer", pointing(SIDECAR, drop((*SIDECAR, "per_connection_buffer_limit_bytes")))),
    Case("sidecar.health-checks", drop((*SIDECAR, "health_checks"))),
    Case("sidecar.outlier-detection", drop((*SIDECAR, "outlier_detection"))),
    Case("sidecar.keeps-dead-streams", put((*SIDECAR, "close_connections_on_host_health_failure"), False)),
    Case(
        "clusters.panic-threshold",
        put((*SIDECAR, "common_lb_config", "healthy_panic_threshold", "value"), 50),
        "sidecar",
    ),
    Case("clusters.panic-threshold", pointing(LOCAL, drop((*LOCAL, "common_lb_config"))), "backend"),
    Case("sidecar.merge-window", drop((*SIDECAR, "common_lb_config", "update_merge_window"))),
    Case("sidecar.merge-window", put((*SIDECAR, "common_lb_config", "update_merge_window"), "0.5s")),
    Case("clusters.circuit-breakers", drop((*LOCAL, "circuit_breakers")), "backend"),
    Case("clusters.circuit-breakers", drop((*SIDECAR, "circuit_breakers")), "sidecar"),
    Case("backend.client-chosen-host", _original_destination),
    Case("backend.plaintext", _without_tls),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_weak_cluster_is_told_with_its_place(case):
    check(case)


def test_every_rule_of_the_area_has_a_case():
    assert {case.rule for case in CASES} == rules_of(clusters)


def test_a_spelled_out_zero_is_no_panic_threshold():
    assert problems_after(put((*LOCAL, "common_lb_config", "healthy_panic_threshold"), {"value": 0.0})) == []


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
    ],
)
def test_loopback_is_known_by_its_address(address, inside):
    assert clusters.is_loopback(address) is inside
