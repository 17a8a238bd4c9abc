"""Envoy's own answers: the codes, statuses and shapes of the error table, and out of the way of ours."""

import pytest

from control.edge import replies, typed
from gateway import contract
from gateway.errors import _OF_GEMINI, PLAN, Dialect, Kind, Retry

ROWS = replies.rows(5000)
MAPPERS = typed.plain(replies.config(5000))["mappers"]


def expression(mapper):
    return mapper["filter"]["extension_filter"]["typed_config"]["expression"]


def body(mapper):
    return mapper["body_format_override"]["json_format"]


def headers(mapper):
    return {option["header"]["key"]: option["header"]["value"] for option in mapper["headers_to_add"]}


def kind(mapper):
    return Kind(headers(mapper)[contract.ERROR_CODE_HEADER])


@pytest.mark.parametrize("mapper", MAPPERS)
def test_every_mapping_steps_aside_for_a_body_of_ours(mapper):
    assert expression(mapper).startswith(f"!('{contract.ERROR_CODE_HEADER}' in response.headers) && ")


@pytest.mark.parametrize("mapper", MAPPERS)
def test_status_and_retry_advice_are_those_of_the_error_table(mapper):
    plan = PLAN[kind(mapper)]
    assert mapper["status_code"] == plan.http
    if plan.retry is Retry.NEVER:
        assert headers(mapper)[contract.SHOULD_RETRY_HEADER] == "false"
    else:
        assert int(headers(mapper)["retry-after"]) > 0


def test_each_row_is_told_in_every_shape_those_with_paths_of_their_own_first():
    for row, first, second, third in zip(ROWS, MAPPERS[::3], MAPPERS[1::3], MAPPERS[2::3], strict=True):
        assert "/v1/messages" in expression(first)
        assert "(alpha|beta)" in expression(second)
        assert "/v1" not in expression(third).replace(row.when, "")
        assert body(first)["type"] == "error"
        assert body(first)["error"]["type"] == PLAN[row.kind].anthropic
        assert body(second)["error"]["code"] == PLAN[row.kind].http
        assert body(second)["error"]["details"][0]["reason"] == row.kind.value.upper()
        assert body(third)["error"]["code"] == row.kind.value
        assert body(third)["error"]["type"] == PLAN[row.kind].openai


def test_the_path_rule_is_the_one_of_the_error_table():
    assert Dialect.of_path("/v1/messages") is Dialect.ANTHROPIC
    assert Dialect.of_path("/v1/message") is Dialect.OPENAI
    # Once the request has left, its path is the provider's; the client's stands in what `inspect` told.
    path = "('ostiary' in metadata.filter_metadata ? metadata.filter_metadata['ostiary']['front_path'] : request.path)"
    assert f"{path}.startsWith('/v1/messages')" in expression(MAPPERS[0])
    assert _OF_GEMINI.pattern == "/v1(?:alpha|beta)[0-9]?/|/v1/models/[^?]*:[a-z]+[A-Z]"
    assert f"{path}.matches('^/v1(alpha|beta)[0-9]?/|^/v1/models/[^?]*:[a-z]+[A-Z]')" in expression(MAPPERS[1])


def test_the_last_rows_leave_no_error_status_without_a_body():
    conditions = [row.when for row in ROWS]
    assert "response.code >= 400 && response.code < 500" in conditions
    assert conditions[-1] == "response.code >= 500"


def test_a_check_that_took_its_whole_deadline_is_told_before_an_authz_that_is_not_there():
    late, missing = ROWS[:2]
    assert late.when.startswith(f"{missing.when} && ")
    assert late.when.endswith(".latency_us >= 4500000")
    assert (late.kind, missing.kind) == (Kind.DEADLINE_EXCEEDED, Kind.POLICY_UNAVAILABLE)


def test_texts_hold_no_operator_of_envoys_format():
    # A stray % would be read as a command operator and stop Envoy's start.
    assert not any("%" in row.public for row in ROWS)
