"""Rules about the identity guard, each against one edit of the reference."""

import pytest

from control.edge.lint import authz
from weakened import (
    AUTHZ,
    AUTHZ_FILTER,
    FILTERS,
    INSPECT_FILTER,
    Case,
    append,
    at,
    check,
    drop,
    filter_entry,
    insert,
    move,
    pointing,
    problems_after,
    put,
    rules_of,
)

EXTRA = filter_entry(
    "opa",
    "ext_authz.v3.ExtAuthz",
    transport_api_version="V3",
    grpc_service={"envoy_grpc": {"cluster_name": "be-local"}},
)
HALF = {"default_value": {"numerator": 50, "denominator": "HUNDRED"}}
RULES = (*AUTHZ, "decoder_header_mutation_rules")


def _other_spelling(changed):
    """Envoy takes lowerCamelCase names and YAML 1.1 booleans."""
    del at(changed, AUTHZ)["failure_mode_allow"]
    return put((*AUTHZ, "failureModeAllow"), "yes")(changed)


CASES = [
    Case("authz.missing", pointing(FILTERS, drop(AUTHZ_FILTER))),
    Case("authz.second", insert(AUTHZ_FILTER, EXTRA), "before ours"),
    Case("authz.second", insert(INSPECT_FILTER, EXTRA), "after ours"),
    Case("authz.after-inspect", move(AUTHZ_FILTER, INSPECT_FILTER[-1])),
    Case("authz.failure-mode-allow", put((*AUTHZ, "failure_mode_allow"), True)),
    Case("authz.failure-mode-allow", _other_spelling, "in other spellings"),
    Case("authz.shadow-mode", put((*AUTHZ, "shadow_mode"), True)),
    Case("authz.filter-enabled", put((*AUTHZ, "filter_enabled"), HALF)),
    Case(
        "authz.filter-enabled",
        put((*AUTHZ, "filter_enabled"), {"default_value": {"numerator": 100}, "runtime_key": "authz"}),
        "by a runtime key",
    ),
    Case(
        "authz.filter-enabled",
        put(
            (*AUTHZ, "filter_enabled_metadata"),
            {"filter": "x", "path": [{"key": "k"}], "value": {"present_match": True}},
        ),
        "by metadata",
    ),
    Case("authz.raw-headers", put((*AUTHZ, "encode_raw_headers"), False)),
    Case("authz.raw-headers", drop((*AUTHZ, "encode_raw_headers")), "by default"),
    Case("authz.headers-hidden", put((*AUTHZ, "allowed_headers"), {"patterns": [{"prefix": "x-"}]})),
    Case(
        "authz.headers-hidden", put((*AUTHZ, "disallowed_headers"), {"patterns": [{"exact": "x-api-key"}]}), "by name"
    ),
    Case(
        "authz.headers-hidden",
        put((*AUTHZ, "disallowed_headers"), {"patterns": [{"prefix": "x-"}]}),
        "by a wide prefix",
    ),
    Case(
        "authz.headers-hidden",
        put((*AUTHZ, "disallowed_headers"), {"patterns": [{"exact": "accept"}, {"safe_regex": {"regex": ".*"}}]}),
        "beside a harmless one",
    ),
    Case(
        "authz.request-body",
        put((*AUTHZ, "with_request_body"), {"max_request_bytes": 1024, "allow_partial_message": True}),
    ),
    Case("authz.clear-route-cache", put((*AUTHZ, "clear_route_cache"), True)),
    Case("authz.mutation-rules", pointing(RULES, drop((*RULES, "allow_envoy"))), "without x-envoy-*"),
    Case("authz.mutation-rules", put((*RULES, "disallow_all"), True)),
    Case("authz.mutation-rules", put((*RULES, "disallow_expression"), {"regex": "authorization"}), "for one name"),
    Case("authz.metadata-ingestion", put((*AUTHZ, "enable_dynamic_metadata_ingestion"), False)),
    Case("authz.timeout", drop((*AUTHZ, "grpc_service", "timeout"))),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_weakened_identity_guard_is_told_with_its_place(case):
    check(case)


def test_every_rule_of_the_area_has_a_case():
    assert {case.rule for case in CASES} == rules_of(authz)


@pytest.mark.parametrize(
    "edit",
    [
        put((*AUTHZ, "filter_enabled"), {"default_value": {"numerator": 1_000_000, "denominator": "MILLION"}}),
        lambda tree: [
            put((*AUTHZ, "filter_enabled"), HALF)(tree),
            put((*AUTHZ, "deny_at_disable"), {"default_value": True})(tree),
        ],
        put((*AUTHZ, "failure_mode_allow"), "no"),
        append((*AUTHZ, "metadata_context_namespaces"), "envoy.filters.http.jwt_authn"),
    ],
    ids=["all in millions", "deny when disabled", "a YAML 1.1 no", "more context"],
)
def test_a_safe_variation_is_not_told(edit):
    assert problems_after(edit) == []
