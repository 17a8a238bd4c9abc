"""Rules about the process, each against one edit of the reference."""

import pytest

from control.edge.lint import bootstrap
from weakened import (
    CHAIN,
    CLUSTERS,
    DOWNSTREAM_TLS,
    HCM,
    INSPECT_FILTER,
    LISTENER,
    Case,
    append,
    check,
    drop,
    pointing,
    problems_after,
    put,
    rules_of,
)

ADMIN = ("admin", "address")
LAYERS = ("layered_runtime", "layers")


def tcp(address):
    return {"socket_address": {"address": address, "port_value": 9901}}


def layer(**kind):
    return [{"name": "l", **kind}]


def admin_cluster(name):
    """A cluster towards the admin's socket."""
    address = {"pipe": {"path": "/run/ostiary/admin.sock"}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": endpoints},
    }


CASES = [
    Case("bootstrap.admin-public", lambda changed: (*put(ADMIN, tcp("0.0.0.0"))(changed), "socket_address")),
    Case("bootstrap.admin-tcp", lambda changed: (*put(ADMIN, tcp("127.0.0.1"))(changed), "socket_address")),
    Case("bootstrap.admin-mode", put((*ADMIN, "pipe", "mode"), 0o666)),
    Case("bootstrap.admin-mode", drop((*ADMIN, "pipe", "mode")), "by umask"),
    Case(
        "bootstrap.admin-proxied",
        append(
            CLUSTERS,
            admin_cluster("metrics"),
            inside=("load_assignment", "endpoints", 0, "lb_endpoints", 0, "endpoint", "address"),
        ),
    ),
    Case("bootstrap.overload-manager", pointing((), drop(("overload_manager",)))),
    Case("bootstrap.overload-bypassed", put((*LISTENER, "bypass_overload_manager"), True)),
    Case(
        "bootstrap.runtime-guard",
        lambda changed: (
            *put(LAYERS, layer(static_layer={"envoy.reloadable_features.no_extension_lookup_by_name": False}))(changed),
            0,
            "static_layer",
            "envoy.reloadable_features.no_extension_lookup_by_name",
        ),
    ),
    Case(
        "bootstrap.runtime-guard",
        lambda changed: (
            *put(LAYERS, layer(static_layer={"envoy": {"reloadable_features": {"x": False}}}))(changed),
            0,
            "static_layer",
            "envoy",
            "reloadable_features",
            "x",
        ),
        "nested",
    ),
    Case(
        "bootstrap.runtime-guard",
        lambda changed: (
            *put(LAYERS, layer(static_layer={"upstream.healthy_panic_threshold": 50}))(changed),
            0,
            "static_layer",
            "upstream.healthy_panic_threshold",
        ),
        "an override",
    ),
    Case("bootstrap.runtime-mutable", lambda changed: (*put(LAYERS, layer(admin_layer={}))(changed), 0, "admin_layer")),
    Case(
        "bootstrap.dynamic",
        lambda changed: (
            *put(("dynamic_resources",), {"lds_config": {"path_config_source": {"path": "/etc/lds.yaml"}}})(changed),
            "lds_config",
        ),
        "listeners",
    ),
    Case("bootstrap.dynamic", put((*INSPECT_FILTER[:-1], 0, "config_discovery"), {"type_urls": ["x"]}), "a filter"),
    Case("bootstrap.header-prefix", put(("header_prefix",), "x-corp")),
    Case(
        "bootstrap.inline-secret",
        lambda changed: (
            *put(
                (*DOWNSTREAM_TLS, "common_tls_context", "tls_certificates", 0, "private_key"), {"inline_string": "PEM"}
            )(changed),
            "inline_string",
        ),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_weak_process_is_told_with_its_place(case):
    check(case)


def test_every_rule_of_the_area_has_a_case():
    assert {case.rule for case in CASES} == rules_of(bootstrap)


@pytest.mark.parametrize(
    "edit",
    [
        put((*ADMIN, "pipe", "mode"), 0o600),
        put(LAYERS, layer(static_layer={"overload": {"global_downstream_max_connections": 1000}})),
        put((*CHAIN, "metadata"), {"filter_metadata": {"team": {"name": "edge"}}}),
        put((*HCM, "stat_prefix"), "x"),
    ],
    ids=["0600", "a static limit", "metadata", "a name"],
)
def test_a_safe_variation_is_not_told(edit):
    assert problems_after(edit) == []


def test_an_inline_secret_is_never_quoted():
    edit = put(
        (*DOWNSTREAM_TLS, "common_tls_context", "tls_certificates", 0, "private_key"), {"inline_string": "hunter2-pem"}
    )
    assert not any("hunter2" in f"{each}" for each in problems_after(edit))
