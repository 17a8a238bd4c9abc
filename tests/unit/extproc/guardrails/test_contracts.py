"""JSON Schemas of a tenant laid over requests of every dialect, and what a mismatch tells."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from extproc.core.events import Gone
from extproc.guardrails.contracts import Contracts
from gateway.errors import Dialect, body_of
from gateway.policy.model import Action, BoundSchema, Mode, Part, RuleSetting
from playbook import Play
from worlds import policy, settings

REFUND = {
    "type": "object",
    "properties": {"amount": {"type": "number", "maximum": 100}, "note": {"pattern": "^(a+)+$"}},
    "required": ["amount"],
    "additionalProperties": False,
}


def bound(schema, part=Part.ARGUMENTS, tools=("refund",), name="x"):
    return BoundSchema(name=name, part=part, source=json.dumps(schema), tools=frozenset(tools))


def registry(*schemas):
    return Contracts.of({each.name: each for each in schemas})


def broken(contracts, body):
    return [(each.rule, each.path, each.keyword) for each in contracts.request(body)]


SECRET = "do-not-tell"
ARGUMENTS = [
    ({"amount": 5}, []),
    ({"amount": 101}, [("", ".amount", "maximum")]),
    ({"amount": SECRET}, [("", ".amount", "type")]),
    ({}, [("", "", "required")]),
    ({"amount": 5, SECRET: 1}, [("", "", "additionalProperties")]),
]


def chat_call(arguments):
    call = {"id": "1", "type": "function", "function": {"name": "refund", "arguments": json.dumps(arguments)}}
    return {"messages": [{"role": "assistant", "tool_calls": [call]}]}, "messages[0].tool_calls[0].function.arguments"


def old_call(arguments):
    call = {"name": "refund", "arguments": json.dumps(arguments)}
    return {"messages": [{"role": "assistant", "function_call": call}]}, "messages[0].function_call.arguments"


def anthropic_call(arguments):
    block = {"type": "tool_use", "id": "1", "name": "refund", "input": arguments}
    return {"messages": [{"role": "assistant", "content": [{"type": "text", "text": "a"}, block]}]}, (
        "messages[0].content[1].input"
    )


def responses_call(arguments):
    item = {"type": "function_call", "name": "refund", "arguments": json.dumps(arguments), "call_id": "1"}
    return {"input": [item]}, "input[0].arguments"


@pytest.mark.parametrize("dialect", [chat_call, old_call, anthropic_call, responses_call])
@pytest.mark.parametrize(("arguments", "wanted"), ARGUMENTS)
def test_arguments_of_calls_in_the_history_are_judged_in_every_dialect(dialect, arguments, wanted):
    body, path = dialect(arguments)
    found = broken(registry(bound(REFUND)), body)
    assert found == [("schema.x", path + steps, keyword) for _, steps, keyword in wanted]


@pytest.mark.parametrize("source", ["{", '{"amount": 1, "amount": 200}', "\ud800", '{"amount": 1} x'])
def test_arguments_that_readers_may_understand_differently_break_every_schema(source):
    (found,) = registry(bound({})).arguments("refund", source, "a")
    assert (found.path, found.keyword) == ("a", "json")


def test_no_text_means_no_arguments():
    assert [each.keyword for each in registry(bound(REFUND)).arguments("refund", "", "a")] == ["required"]
    assert list(registry(bound({"type": "object"})).arguments("refund", " ", "a")) == []


def test_only_tools_that_are_named_are_judged():
    contracts = registry(bound(REFUND, tools=("pay_*", "refund")))
    assert [bool([*contracts.arguments(tool, "{}", "a")]) for tool in ("refund", "pay_now", "refunds", "pay")] == [
        True, True, False, False,
    ]  # fmt: skip


def test_absent_metadata_is_judged_as_empty():
    contracts = registry(bound({"required": ["team"]}, Part.METADATA, ()))
    assert broken(contracts, {"metadata": {"team": "a"}}) == []
    for body in ({}, {"metadata": None}, {"metadata": {}}):
        assert broken(contracts, body) == [("schema.x", "metadata", "required")]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"tools": [{"type": "function", "function": {"name": "refund", "parameters": {}}}]}, "tools[0].function"),
        ({"tools": [{"name": "refund", "input_schema": {}}]}, "tools[0]"),
        ({"tools": [{"type": "function", "name": "refund", "parameters": {}}]}, "tools[0]"),
        ({"functions": [{"name": "refund", "parameters": {}}]}, "functions[0]"),
    ],
)
def test_a_declaration_has_one_form_whatever_the_dialect(body, path):
    asked = {"properties": {"description": {"minLength": 5}, "parameters": {}}, "required": ["description"],
             "additionalProperties": {"const": "refund"}}  # fmt: skip
    assert broken(registry(bound(asked, Part.TOOL)), body) == [("schema.x", path, "required")]
    holder = body.get("tools", body.get("functions"))[0]
    holder.get("function", holder)["description"] = "gives money back"
    assert broken(registry(bound(asked, Part.TOOL)), body) == []


def asked(setting, body):
    held = policy(request={**settings(), "schema.x": setting})
    tenant = replace(held.tenants["acme"], schemas={"x": bound({"required": ["team"]}, Part.METADATA, ())})
    play = Play(replace(held, tenants={"acme": tenant}))
    return play, play.asked(json.dumps(body).encode())[-1]


ASKED = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": SECRET}], "metadata": {"other": SECRET}}


def test_a_mismatch_is_refused_with_place_and_keyword_and_never_the_value():
    play, answer = asked(RuleSetting(rule="schema.x", action=Action.BLOCK), ASKED)
    error = json.loads(answer.rendered.body)["error"]
    assert (answer.rendered.status, error["code"], error["param"]) == (400, "schema_mismatch", "metadata")
    assert "required" in error["message"]
    assert SECRET not in answer.rendered.body.decode()
    (found,) = play.record.found
    assert (found.rule, found.action, found.count) == ("schema.x", "block", 1)


@pytest.mark.parametrize(
    ("setting", "done"),
    [
        (RuleSetting(rule="schema.x", action=Action.FLAG), ["flag"]),
        (RuleSetting(rule="schema.x", action=Action.REDACT), ["flag"]),
        (RuleSetting(rule="schema.x", action=Action.BLOCK, mode=Mode.SHADOW), ["allow"]),
        (RuleSetting(rule="schema.x", action=Action.BLOCK, percent=0), ["allow"]),
        (RuleSetting(rule="schema.x", action=Action.BLOCK, mode=Mode.OFF), []),
    ],
)
def test_a_rule_that_does_not_block_lets_pass_and_says_so(setting, done):
    play, passed = asked(setting, ASKED)
    assert not hasattr(passed, "rendered")
    play.give(Gone())
    assert [each.action for each in play.record.found] == done


def test_the_refusal_is_told_in_anthropics_form_too():
    (found,) = registry(bound({"required": ["a"]}, Part.METADATA, ())).request({})
    told = body_of(found.refusal(), Dialect.ANTHROPIC)
    assert told["error"]["type"] == "invalid_request_error"
    assert "schema_mismatch" in told["error"]["message"]


WORDS = (
    "type",
    "content",
    "tool_calls",
    "function",
    "custom",
    "function_call",
    "name",
    "arguments",
    "input",
    "tool_use",
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=8,
)


@hypothesis_settings(deadline=None)  # the first example compiles
@given(body=st.dictionaries(st.sampled_from(["messages", "input", "tools", "functions", "metadata"]), JSON))
def test_no_tree_of_json_stops_the_judge(body):
    every = [bound(REFUND, part, ("*",) if part is not Part.METADATA else (), part.value) for part in Part]
    for found in registry(*every).request(body):
        assert found.refusal().param == found.path


def test_names_of_fields_in_a_path_are_cut_and_printable():
    (found,) = registry(bound({"additionalProperties": False, "propertyNames": True,
                               "patternProperties": {"": {"type": "null"}}})).arguments(
        "refund", {"\x1b[2J" + "k" * 500: 1}, "a")  # fmt: skip
    assert found.path.isprintable()
    assert len(found.path) < 80
