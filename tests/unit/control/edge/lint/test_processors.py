"""Rules about both processors and all guards, each against one edit of the reference."""

import pytest

from control.edge.lint import processors
from weakened import (
    ADAPT,
    AUTHZ,
    INSPECT,
    INSPECT_FILTER,
    Case,
    append,
    at,
    check,
    drop,
    pointing,
    problems_after,
    put,
    rules_of,
    tree,
)

SPACES = "metadata_options"
SKIP = "type.googleapis.com/envoy.extensions.filters.common.matcher.action.v3.SkipFilter"


def _wrapped(changed):
    """inspect behind a matcher, as a composite filter setup would write it."""
    entry = at(changed, INSPECT_FILTER)
    entry["typed_config"] = {
        "@type": "type.googleapis.com/envoy.extensions.common.matching.v3.ExtensionWithMatcher",
        "extension_config": {"name": "ostiary.inspect", "typed_config": entry["typed_config"]},
        "xds_matcher": {"on_no_match": {"action": {"name": "skip", "typed_config": {"@type": SKIP}}}},
    }
    return INSPECT_FILTER


def _called_by_google(changed):
    at(changed, (*INSPECT, "grpc_service"))["google_grpc"] = {
        "target_uri": "unix:/run/ostiary/worker-0.sock",
        "stat_prefix": "x",
    }
    del at(changed, (*INSPECT, "grpc_service"))["envoy_grpc"]
    return (*INSPECT, "grpc_service")


def _second_full_duplex(changed):
    at(changed, ADAPT)["processing_mode"]["response_trailer_mode"] = "SEND"  # Envoy refuses the mode without
    return put((*ADAPT, "processing_mode", "response_body_mode"), "FULL_DUPLEX_STREAMED")(changed)


CASES = [
    Case("processor.failure-mode-allow", put((*INSPECT, "failure_mode_allow"), True), "inspect"),
    Case("processor.failure-mode-allow", put((*ADAPT, "failure_mode_allow"), True), "adapt"),
    Case("processor.observability-mode", put((*INSPECT, "observability_mode"), True)),
    Case("processor.immediate-response-off", put((*INSPECT, "disable_immediate_response"), True)),
    Case(
        "processor.headers-hidden",
        put((*INSPECT, "forward_rules"), {"disallowed_headers": {"patterns": [{"exact": "x-a"}]}}),
    ),
    Case("processor.message-timeout", drop((*INSPECT, "message_timeout")), "by default"),
    Case("processor.message-timeout", put((*ADAPT, "message_timeout"), "0.2s"), "adapt"),
    Case("processor.two-full-duplex", _second_full_duplex),
    Case("processor.namespaces-missing", drop((*INSPECT, SPACES, "receiving_namespaces")), "receiving"),
    Case("processor.namespaces-missing", drop((*ADAPT, SPACES), up=1), "adapt"),
    Case(
        "processor.namespaces-missing",
        pointing(
            (*INSPECT, SPACES, "forwarding_namespaces", "untyped"),
            drop((*INSPECT, SPACES, "forwarding_namespaces", "untyped", 0)),
        ),
        "forwarding",
    ),
    Case(
        "processor.namespaces-wide",
        append((*INSPECT, SPACES, "receiving_namespaces", "untyped"), "envoy.filters.http.ext_authz"),
    ),
    Case(
        "processor.namespaces-wide",
        append((*INSPECT, SPACES, "forwarding_namespaces", "untyped"), "envoy.lb"),
        "forwarding",
    ),
    Case(
        "processor.namespaces-wide",
        lambda changed: (
            *put((*ADAPT, SPACES, "receiving_namespaces"), {"untyped": ["ostiary"]})(changed),
            "untyped",
            0,
        ),
        "adapt",
    ),
    Case(
        "guards.role", put((*INSPECT, "grpc_service", "initial_metadata", 0, "value"), "adapt"), "inspect told as adapt"
    ),
    Case(
        "guards.role", pointing((*ADAPT, "grpc_service"), drop((*ADAPT, "grpc_service", "initial_metadata"))), "untold"
    ),
    Case("guards.not-grpc", _called_by_google),
    Case("guards.unknown-cluster", put((*INSPECT, "grpc_service", "envoy_grpc", "cluster_name"), "elsewhere")),
    Case("guards.grpc-retry", drop((*AUTHZ, "grpc_service", "retry_policy")), "authz"),
    Case(
        "guards.grpc-retry",
        pointing(
            (*INSPECT, "grpc_service", "retry_policy"),
            put((*INSPECT, "grpc_service", "retry_policy", "retry_on"), "reset"),
        ),
        "inspect",
    ),
    Case("guards.status-on-error", put((*AUTHZ, "status_on_error", "code"), "OK")),
    Case("guards.status-on-error", put((*AUTHZ, "status_on_error", "code"), 302), "as a number"),
    Case("guards.disabled", put((*INSPECT_FILTER, "disabled"), True)),
    Case("guards.optional", put((*INSPECT_FILTER, "is_optional"), True)),
    Case("guards.matched", _wrapped),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_guard_that_fails_open_or_is_not_asked_is_told_with_its_place(case):
    check(case)


def test_every_rule_of_the_area_has_a_case():
    assert {case.rule for case in CASES} == rules_of(processors)


def test_a_guard_inside_a_typed_struct_is_judged_like_any_other():
    changed = tree()
    config = at(changed, INSPECT)
    config["failure_mode_allow"] = True
    struct = {"type_url": config.pop("@type"), "value": dict(config)}
    at(changed, INSPECT_FILTER)["typed_config"] = {"@type": "type.googleapis.com/xds.type.v3.TypedStruct", **struct}

    def swap(target):
        target.clear()
        target.update(changed)
        return ()

    assert [each.rule for each in problems_after(swap)] == ["processor.failure-mode-allow"]
