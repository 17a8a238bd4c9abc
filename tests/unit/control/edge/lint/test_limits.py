"""Rules about limits before authz, each against one edit of the reference."""

import pytest

from control.edge.lint import limits
from weakened import (
    FILTERS,
    HCM,
    HOST,
    INSPECT_FILTER,
    LISTENER,
    Case,
    at,
    check,
    drop,
    http_filter,
    move,
    pointing,
    problems_after,
    put,
    rules_of,
)

BUFFER = http_filter("envoy.filters.http.buffer")
RATE_FILTER = http_filter("envoy.filters.http.local_ratelimit")
RATE = (*RATE_FILTER, "typed_config")

CASES = [
    Case("limits.buffer-missing", pointing(FILTERS, drop(BUFFER))),
    Case("limits.buffer-missing", move(BUFFER, INSPECT_FILTER[-1] - 1), "behind authz"),
    Case("limits.buffer-missing", pointing(BUFFER, put((*BUFFER, "disabled"), True)), "disabled"),
    Case("limits.buffer-room", put((*HOST, "request_body_buffer_limit"), 12_000_000)),
    Case(
        "limits.buffer-room",
        pointing((*LISTENER, "per_connection_buffer_limit_bytes"), drop((*HOST, "request_body_buffer_limit"))),
        "on the connection",
    ),
    Case("limits.connection-buffer", pointing(LISTENER, drop((*LISTENER, "per_connection_buffer_limit_bytes")))),
    Case("limits.rate-missing", pointing(FILTERS, drop(RATE_FILTER))),
    Case("limits.rate-off", drop((*RATE, "filter_enforced")), "by default"),
    Case("limits.rate-off", put((*RATE, "filter_enabled"), {"default_value": {"numerator": 10}}), "a tenth"),
    Case("limits.rate-off", drop((*RATE, "token_bucket")), "without a bucket"),
    Case("limits.request-timeout", drop((*HCM, "request_timeout"))),
    Case("limits.request-timeout", put((*HCM, "request_timeout"), "0s"), "switched off"),
    Case("limits.headers-timeout", drop((*HCM, "request_headers_timeout"))),
    Case("limits.stream-idle-timeout", drop((*HCM, "stream_idle_timeout"))),
    Case("limits.header-size", drop((*HCM, "max_request_headers_kb"))),
    Case("limits.header-size", drop((*HCM, "common_http_protocol_options", "max_headers_count")), "by number"),
    Case("limits.concurrent-streams", drop((*HCM, "http2_protocol_options", "max_concurrent_streams"))),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_missing_or_loose_limit_is_told_with_its_place(case):
    check(case)


def test_every_rule_of_the_area_has_a_case():
    assert {case.rule for case in CASES} == rules_of(limits)


def test_room_on_the_connection_is_as_good_as_room_on_the_virtual_host():
    def edit(changed):
        del at(changed, HOST)["request_body_buffer_limit"]
        at(changed, LISTENER)["per_connection_buffer_limit_bytes"] = 32 * 1024 * 1024
        return ()

    assert problems_after(edit) == []
