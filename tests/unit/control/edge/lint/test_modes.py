"""Rules about the modes of inspect, each against one edit of the reference."""

import pytest

from control.edge.lint import modes
from weakened import FILTERS, INSPECT, INSPECT_FILTER, Case, check, drop, pointing, problems_after, put, rules_of

MODE = (*INSPECT, "processing_mode")

CASES = [
    Case("inspect.missing", pointing(FILTERS, drop(INSPECT_FILTER))),
    Case("inspect.request-headers", put((*MODE, "request_header_mode"), "SKIP")),
    Case("inspect.request-body", put((*MODE, "request_body_mode"), "STREAMED")),
    Case("inspect.request-body", put((*MODE, "request_body_mode"), 3), "as a number"),
    Case("inspect.request-body", drop((*MODE, "request_body_mode")), "by default"),
    Case("inspect.request-trailers", drop((*MODE, "request_trailer_mode")), "by default"),
    Case("inspect.request-trailers", put((*MODE, "request_trailer_mode"), "SKIP")),
    Case("inspect.response-headers", put((*MODE, "response_header_mode"), "SKIP")),
    Case("inspect.response-body", put((*MODE, "response_body_mode"), "STREAMED")),
    Case("inspect.response-trailers", put((*MODE, "response_trailer_mode"), "DEFAULT")),
    Case("inspect.mode-override", put((*INSPECT, "allow_mode_override"), True)),
    Case("inspect.route-cache", put((*INSPECT, "disable_clear_route_cache"), True)),
    Case("inspect.route-cache", put((*INSPECT, "route_cache_action"), "RETAIN"), "retained"),
    Case("inspect.mutation-rules", drop((*INSPECT, "mutation_rules", "allow_envoy")), "without x-envoy-*"),
    Case("inspect.mutation-rules", drop((*INSPECT, "mutation_rules")), "by default"),
    Case("inspect.mutation-rules", put((*INSPECT, "mutation_rules", "disallow_all"), True), "nothing allowed"),
    Case("inspect.grpc-timeout", put((*INSPECT, "grpc_service", "timeout"), "300s")),
    Case("inspect.attributes", drop((*INSPECT, "response_attributes"))),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_mode_in_which_inspect_is_blind_is_told_with_its_place(case):
    check(case)


def test_every_rule_of_the_area_has_a_case():
    assert {case.rule for case in CASES} == rules_of(modes)


@pytest.mark.parametrize(
    "edit",
    [
        put((*MODE, "request_body_mode"), "2"),
        put((*MODE, "response_body_mode"), "full_duplex_streamed"),
        drop((*MODE, "request_header_mode")),
    ],
    ids=["the number of BUFFERED", "lower case", "SEND by default"],
)
def test_another_spelling_of_the_right_mode_is_not_told(edit):
    assert problems_after(edit) == []
