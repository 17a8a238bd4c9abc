import pytest

from extproc.providers.spoken import Spoken, says_json, spoken


def told(answer):
    return [(each.holder[each.key], each.tool, each.joined) for each in spoken(answer)]


def test_chat_and_completions_tell_texts_and_calls():
    function = {"name": "mail", "arguments": "{}"}
    message = {
        "role": "assistant",
        "content": "a",
        "reasoning": "b",
        "refusal": None,
        "tool_calls": [{"function": function}],
    }
    answer = {"id": "x", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}, {"text": "c"}]}
    assert told(answer) == [("a", None, False), ("b", None, False), ("{}", "mail", False), ("c", None, False)]


def test_a_message_tells_texts_that_are_joined_and_inputs_but_no_thinking():
    blocks = [
        {"type": "thinking", "thinking": "t", "signature": "s"},
        {"type": "text", "text": "a"},
        {"type": "tool_use", "name": "mail", "input": {"to": "b"}},
    ]
    assert told({"type": "message", "content": blocks}) == [("a", None, True), ({"to": "b"}, "mail", False)]


def test_a_response_tells_parts_and_calls():
    output = [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "s"}]},
        {"type": "message", "content": [{"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "r"}]},
        {"type": "function_call", "name": "mail", "arguments": "{}"},
        {"type": "custom_tool_call", "name": "sql", "input": "q"},
    ]
    assert told({"output": output, "instructions": "x"}) == [
        ("s", None, False), ("a", None, True), ("r", None, False), ("{}", "mail", False), ("q", "sql", False),
    ]  # fmt: skip


def test_a_call_without_a_name_is_said_to_nobody():
    assert next(spoken({"output": [{"type": "function_call", "arguments": "{}"}]})).tool == ""


def test_shapes_that_nobody_knows_tell_nothing():
    for answer in (
        {},
        {"choices": 1},
        {"choices": [1, {"message": "x"}]},
        {"content": "x", "output": {}},
        {"error": {"message": "x"}},
    ):
        assert list(spoken(answer)) == []


def test_a_place_is_a_holder_and_a_key():
    part = {"type": "text", "text": "a"}
    (only,) = spoken({"content": [part]})
    assert only == Spoken(part, "text", None, joined=True)
    assert only.holder is part


@pytest.mark.parametrize(
    "request_",
    [
        {"response_format": {"type": "json_object"}},
        {"response_format": {"type": "json_schema", "json_schema": {}}},
        {"text": {"format": {"type": "json_schema"}}},
        {"output_format": {"type": "json_schema"}},
        {"output_config": {"format": {"type": "json_schema"}}},
    ],
)
def test_a_request_for_json_is_known_in_every_dialect(request_):
    assert says_json(request_)


@pytest.mark.parametrize(
    "request_", [{}, {"text": "x"}, {"response_format": {"type": "text"}}, {"text": {"format": {"type": ["json"]}}}]
)
def test_other_requests_are_answered_in_words(request_):
    assert not says_json(request_)
