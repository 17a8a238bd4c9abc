"""Rules about TLS, each against one edit of the reference."""

import pytest

from control.edge.lint import tls
from weakened import (
    CHAIN,
    CLUSTERS,
    DOWNSTREAM_TLS,
    LISTENER,
    PROVIDER,
    UPSTREAM_TLS,
    Case,
    at,
    check,
    drop,
    pointing,
    problems_after,
    put,
    rules_of,
)

PARAMS = (*DOWNSTREAM_TLS, "common_tls_context", "tls_params")
CLIENTS = (*DOWNSTREAM_TLS, "common_tls_context", "validation_context")
PROVIDERS = (*UPSTREAM_TLS, "common_tls_context", "validation_context")


def _tapped(changed):
    socket = at(changed, (*PROVIDER, "transport_socket"))
    at(changed, PROVIDER)["transport_socket"] = {
        "name": "tap",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tap.v3.Tap",
            "common_config": {"admin_config": {"config_id": "t"}},
            "transport_socket": dict(socket),
        },
    }
    return (*PROVIDER, "transport_socket", "typed_config", "@type")


CASES = [
    Case("tls.min-version", put((*PARAMS, "tls_minimum_protocol_version"), "TLSv1_2")),
    Case("tls.min-version", put((*PARAMS, "tls_minimum_protocol_version"), 3), "as a number"),
    Case("tls.min-version", drop((*PARAMS, "tls_minimum_protocol_version")), "by default"),
    Case("tls.min-version", put((*PARAMS, "tls_maximum_protocol_version"), "TLSv1_2"), "capped"),
    Case("tls.missing", pointing(CHAIN, drop((*CHAIN, "transport_socket")))),
    Case("tls.client-ca-missing", pointing((*DOWNSTREAM_TLS, "require_client_certificate"), drop(CLIENTS))),
    Case("tls.client-untrusted", put((*CLIENTS, "trust_chain_verification"), "ACCEPT_UNTRUSTED")),
    Case("tls.client-untrusted", put((*CLIENTS, "allow_expired_certificate"), True), "expired"),
    Case("tls.key-log", put((*DOWNSTREAM_TLS, "common_tls_context", "key_log"), {"path": "/tmp/keys"})),
    Case("tls.tap", _tapped),
    Case("backend.tls-unverified", drop(PROVIDERS)),
    Case("backend.tls-unverified", pointing(PROVIDERS, drop((*PROVIDERS, "trusted_ca"))), "without a CA"),
    Case("backend.tls-unverified", put((*PROVIDERS, "trust_chain_verification"), "ACCEPT_UNTRUSTED"), "untrusted"),
    Case("backend.tls-any-name", pointing(PROVIDERS, drop((*PROVIDERS, "match_typed_subject_alt_names")))),
    Case(
        "backend.tls-old-version",
        put((*UPSTREAM_TLS, "common_tls_context", "tls_params", "tls_minimum_protocol_version"), "TLSv1_0"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_weak_tls_is_told_with_its_place(case):
    check(case)


def test_every_rule_of_the_area_has_a_case():
    assert {case.rule for case in CASES} == rules_of(tls)


def _loopback(changed):
    at(changed, (*LISTENER, "address", "socket_address"))["address"] = "127.0.0.1"
    del at(changed, CHAIN)["transport_socket"]
    return ()


def _names_by_sni(changed):
    del at(changed, PROVIDERS)["match_typed_subject_alt_names"]
    at(changed, UPSTREAM_TLS)["auto_sni_san_validation"] = True
    return ()


@pytest.mark.parametrize(
    "edit",
    [
        _loopback,
        _names_by_sni,
        put((*PROVIDERS, "trusted_ca"), {"filename": "/etc/ca.pem"}),
        put((*CLUSTERS, PROVIDER[-1], "transport_socket", "name"), "renamed"),
    ],
    ids=["plaintext on loopback", "names by SNI", "another CA", "another name"],
)
def test_a_safe_variation_is_not_told(edit):
    assert problems_after(edit) == []
