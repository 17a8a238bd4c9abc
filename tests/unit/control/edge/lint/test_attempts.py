"""Rules about attempts, each against one edit of the reference."""

import pytest

from control.edge.lint import attempts
from weakened import (
    ADAPT,
    ADAPT_FILTERS,
    ADAPT_SIDECAR,
    COMPOSITE,
    DIRECT_ROUTE,
    HCM,
    HOST,
    OPTIONS,
    ROUTE,
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
    typed,
)

ACTION = (*ROUTE, "route")
RETRY = (*ACTION, "retry_policy")
MIRROR = [{"cluster": "oc-local"}]
SAME_CREDENTIAL = filter_entry(
    "credential",
    "credential_injector.v3.CredentialInjector",
    credential={
        "name": "g",
        "typed_config": typed(
            "http.injected_credentials.generic.v3.Generic", credential={"name": "key"}, header="x-api-key"
        ),
    },
)


def _composite_without(changed):
    """A second composite without upstream filters, behind a direct route."""
    twin = dict(at(changed, COMPOSITE), name="bare", typed_extension_protocol_options={})
    at(changed, COMPOSITE[:-1]).append(twin)
    at(changed, (*DIRECT_ROUTE, "route"))["cluster"] = "bare"
    return (*COMPOSITE[:-1], len(at(changed, COMPOSITE[:-1])) - 1)


CASES = [
    Case("adapt.missing", pointing(ADAPT_FILTERS, drop((*ADAPT_FILTERS, 0)))),
    Case("adapt.missing", _composite_without, "on a direct route to a composite"),
    Case("adapt.direct-route", drop((*DIRECT_ROUTE, "route", "host_rewrite_literal")), "the client's authority"),
    Case("adapt.direct-route", drop((*DIRECT_ROUTE, "request_headers_to_remove")), "our header"),
    Case("adapt.request-headers", put((*ADAPT, "processing_mode", "request_header_mode"), "SKIP")),
    Case("adapt.request-body", put((*ADAPT, "processing_mode", "request_body_mode"), "STREAMED")),
    Case("adapt.mutation-rules", drop((*ADAPT, "mutation_rules", "allow_all_routing"))),
    Case("adapt.mutation-rules", put((*ADAPT, "mutation_rules", "disallow_all"), True), "nothing allowed"),
    Case("adapt.attributes", drop((*ADAPT, "request_attributes"))),
    Case("adapt.codec-last", move((*ADAPT_FILTERS, 0), 1)),
    Case("adapt.foreign-filter", insert((*ADAPT_FILTERS, 1), SAME_CREDENTIAL)),
    Case("adapt.shared-cluster", put((*ADAPT, "grpc_service", "envoy_grpc", "cluster_name"), "ostiary_sidecar")),
    Case("adapt.watermarks", put((*ADAPT_SIDECAR, "per_connection_buffer_limit_bytes"), 65536)),
    Case(
        "adapt.watermarks",
        pointing(ADAPT_SIDECAR, drop((*ADAPT_SIDECAR, "per_connection_buffer_limit_bytes"))),
        "unset",
    ),
    Case("attempts.mirror", put((*ACTION, "request_mirror_policies"), MIRROR), "on a route"),
    Case("attempts.mirror", put((*HOST, "request_mirror_policies"), MIRROR), "on a virtual host"),
    Case("attempts.mirror", put((*HCM, "route_config", "request_mirror_policies"), MIRROR), "on the table"),
    Case(
        "attempts.mirror",
        put((*COMPOSITE, "typed_extension_protocol_options", OPTIONS, "request_mirror_policies"), MIRROR),
        "on a cluster",
    ),
    Case("attempts.timeout", drop((*ACTION, "timeout"))),
    Case("attempts.idle-timeout", put((*ACTION, "idle_timeout"), "0s")),
    Case("attempts.retry-on", put((*RETRY, "retry_on"), "5xx,retriable-4xx")),
    Case("attempts.retry-on", append((*RETRY, "retriable_status_codes"), 403), "by status"),
    Case("attempts.num-retries", put((*RETRY, "num_retries"), 4)),
    Case("attempts.hedge", put((*ACTION, "hedge_policy"), {"hedge_on_per_try_timeout": True})),
    Case("attempts.internal-redirect", put((*ACTION, "internal_redirect_policy"), {"max_internal_redirects": 1})),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_attempt_that_leaks_or_repeats_is_told_with_its_place(case):
    check(case)


def test_every_rule_of_the_area_has_a_case():
    assert {case.rule for case in CASES} == rules_of(attempts)


@pytest.mark.parametrize(
    "edit",
    [
        append((*RETRY, "retriable_status_codes"), 429),
        put((*ACTION, "timeout"), "600s"),
        put((*RETRY, "num_retries"), 0),
    ],
    ids=["429 goes to the next backend", "an explicit timeout", "no retries"],
)
def test_a_safe_variation_is_not_told(edit):
    assert problems_after(edit) == []


def test_a_longer_composite_may_be_walked_to_its_end():
    def edit(changed):
        members = at(changed, (*COMPOSITE, "cluster_type", "typed_config", "clusters"))
        members.extend({"name": "be-local"} for _ in range(4))
        route = next(each for each in at(changed, (*HOST, "routes")) if each["name"] == "oc-provider")
        route["route"]["retry_policy"]["num_retries"] = len(members) - 1
        return ()

    assert problems_after(edit) == []
