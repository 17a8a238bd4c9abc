"""What functions add to a prompt: more where several were seen, names where the provider repeats them, an end always."""

import pytest

from extproc.counting.prompt import prompt_tokens
from extproc.counting.tokenizer import tokenizer

CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"name": "get_weather", "parameters": CITY}
ASKED = [{"role": "user", "content": "Hello"}]


def estimate(path, model="gpt-4o", family="", **body):
    return prompt_tokens(path, {"model": model, **body}, tokenizer(model, family))


def functions(path, model, *tools, **body):
    """What functions add."""
    conversation = {"messages": ASKED} if path == CHAT else {"input": "Hello"}
    declared = [{"type": "function", "function": one} if path == CHAT else one for one in tools]
    without = estimate(path, model, **conversation, **body)
    return estimate(path, model, **conversation, **body, tools=declared) - without


@pytest.mark.parametrize(
    ("path", "model", "reported"),
    [
        # One function of one text, without description: what recorded exchanges were billed for it.
        (CHAT, "gpt-4o", 30),
        (RESPONSES, "gpt-4o", 24),
        (CHAT, "gpt-5-mini", 110),
        (RESPONSES, "gpt-5-mini", 28),
    ],
)
def test_a_function_counts_as_it_is_billed_by_endpoint_and_generation(path, model, reported):
    assert reported <= functions(path, model, TOOL) <= reported + 4


def test_descriptions_inside_a_declaration_count_a_token_more_where_models_answer_in_channels():
    told = {"name": "f", "parameters": {"properties": {"a": {"type": "string", "description": "One"}}}}
    bare = {"name": "f", "parameters": {"properties": {"a": {"type": "string"}}}}
    more = {model: functions(CHAT, model, told) - functions(CHAT, model, bare) for model in ("gpt-4o", "gpt-5")}
    assert more["gpt-5"] == more["gpt-4o"] + 1


def test_older_models_count_more_for_each_function():
    assert functions(CHAT, "gpt-4", TOOL, TOOL) - functions(CHAT, "gpt-4", TOOL) > (
        functions(CHAT, "gpt-4o", TOOL, TOOL) - functions(CHAT, "gpt-4o", TOOL)
    )


def test_each_further_function_costs_its_end_at_responses():
    one, two, three = (functions(RESPONSES, "gpt-4o", *[TOOL] * number) for number in (1, 2, 3))
    alone = one - 12  # what stands before all of them
    assert (two - one, three - two) == (alone + 2, alone + 2)
    # Exchanges of gpt-4o and gpt-4.1 alone have shown that so little stands around them there.
    assert functions(RESPONSES, "gpt-4", TOOL) - one >= 3


def test_a_system_message_makes_room_for_the_declarations():
    system = [{"role": "system", "content": "Be kind."}, *ASKED]
    tools = [{"type": "function", "function": TOOL}]
    with_system = estimate(CHAT, messages=system, tools=tools) - estimate(CHAT, messages=system)
    assert functions(CHAT, "gpt-4o", TOOL) - with_system == 4


def test_models_of_others_are_told_of_tools_in_more_words():
    assert functions(CHAT, "claude-sonnet-4-5", TOOL) > 540
    assert functions(CHAT, "llama-4-scout", TOOL) > 600
    assert functions(CHAT, "gpt-4o", TOOL) < 50


def test_strict_answers_of_claude_cost_a_tool():
    wanted = {"type": "json_schema", "json_schema": {"name": "a", "schema": CITY}}
    added = estimate(CHAT, "claude-sonnet-4-5", messages=ASKED, response_format=wanted) - estimate(
        CHAT, "claude-sonnet-4-5", messages=ASKED
    )
    assert added > 600


# --- calls ----


def called(name, number):
    return {"id": f"c{number}", "type": "function", "function": {"name": name, "arguments": "{}"}}


def result(number):
    return {"role": "tool", "tool_call_id": f"c{number}", "content": "ok"}


LONG = "look_up_the_present_weather_of_a_certain_city"


def test_a_result_counts_the_name_of_its_call():
    def history(name):
        return [*ASKED, {"role": "assistant", "tool_calls": [called(name, 1)]}, result(1)]

    more = tokenizer("gpt-4o").count(LONG) - tokenizer("gpt-4o").count("look")
    assert estimate(CHAT, messages=history(LONG)) - estimate(CHAT, messages=history("look")) == 2 * more
    items = [
        [{"type": "function_call", "call_id": "c1", "name": name, "arguments": "{}"},
         {"type": "function_call_output", "call_id": "c1", "output": "ok"}]
        for name in (LONG, "look")
    ]  # fmt: skip
    long, short = (estimate(RESPONSES, input=each) for each in items)
    assert long - short == 2 * more


def test_calls_at_once_cost_more_than_calls_in_turn():
    both = {"role": "assistant", "tool_calls": [called("f", 1), called("f", 2)]}
    at_once = estimate(CHAT, messages=[*ASKED, both, result(1), result(2)])
    one, other = ({"role": "assistant", "tool_calls": [called("f", number)]} for number in (1, 2))
    in_turn = estimate(CHAT, messages=[*ASKED, one, result(1), other, result(2)])
    assert at_once > in_turn


def test_a_grammar_counts_with_what_is_said_about_it():
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: INT"}
    custom = [{"type": "custom", "name": "f", "format": form} for form in (grammar, None)]
    with_it, without = (estimate(RESPONSES, "gpt-5", input="Hello", tools=[one]) for one in custom)
    assert with_it - without > 34


@pytest.mark.parametrize(
    "body",
    [
        {"messages": ASKED, "tools": [None, 7, {"function": "f"}, {"function": {"name": 7}}, {"function": []}]},
        {"messages": [{"role": "tool", "tool_call_id": ["c"]}, {"role": "assistant", "tool_calls": [{"id": 7, "function": {}}]}]},
        {"messages": ASKED, "tools": [{"function": {"name": "f", "parameters": {"properties": {"a": {"$ref": 7}}, "$defs": 7}}}]},
        {"messages": ASKED, "tools": [{"function": {"name": "f", "parameters": {"properties": [1], "description": 7}}}]},
        {"messages": ASKED, "response_format": {"type": "json_schema", "json_schema": {"name": 7, "schema": {"required": {}}}}},
    ],
    ids=range(5),
)  # fmt: skip
def test_odd_shapes_are_counted_without_failing(body):
    for model in ("gpt-4o", "gpt-5", "gpt-4", "claude-sonnet-4-5", "else"):
        assert estimate(CHAT, model, **body) > 0
