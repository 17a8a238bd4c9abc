"""Request bodies that the endpoints know, and what is said of the others."""

import json
from dataclasses import replace

import pytest

from extproc.core.events import Gone
from extproc.providers.openai import DOORS
from extproc.providers.schema import count
from gateway.errors import GatewayError, Kind
from gateway.policy.model import Limits
from playbook import Play, chat
from worlds import policy

CHAT = DOORS["/v1/chat/completions"].versions.choose({}, ())
USER = {"role": "user", "content": "hello"}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def body(**more):
    return {"model": "m", "messages": [USER], **more}


def refused(schema, tree, *, strict=True):
    with pytest.raises(GatewayError) as caught:
        schema.check(tree, strict=strict)
    assert caught.value.kind is Kind.REQUEST_INVALID
    return caught.value.param


@pytest.mark.parametrize(
    "tree",
    [
        body(),
        body(temperature=1, top_p=0.5, n=2, stop=["a"], seed=1, user="u", max_tokens=5, stream=True, stream_options={"include_usage": True}),
        body(messages=[{"role": "system", "content": [{"type": "text", "text": "x"}]}, {"role": "developer", "content": "x"}, USER]),
        body(messages=[USER, {"role": "assistant", "content": None, "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": "c", "content": "x"}]),
        body(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a/b.png", "detail": "low"}}]}]),
        body(messages=[{"role": "assistant", "content": "x", "refusal": None, "annotations": [], "audio": None, "function_call": None, "tool_calls": None}, USER]),
        body(tools=[{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}}], tool_choice="auto"),
        body(response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}, reasoning_effort="low", verbosity="low", metadata={"a": "b"}),
        body(logprobs=True, top_logprobs=5, logit_bias={"50256": -100}, parallel_tool_calls=False, service_tier="auto", store=False, stop=None),
    ],
)  # fmt: skip
def test_what_the_api_reference_knows_passes(tree):
    assert CHAT.check(tree, strict=True)


@pytest.mark.parametrize(
    ("tree", "param"),
    [
        (body(foo=1), "foo"),
        (body(messages=[{**USER, "bar": 1}]), "messages[].bar"),
        (body(messages=[{"role": "user"}]), "messages[].content"),
        (body(messages=[{"role": "boss", "content": "x"}]), "messages[].role"),
        (
            body(messages=[{"role": "user", "content": [{"type": "text", "text": "x", "y": 1}]}]),
            "messages[].content[].y",
        ),
        (body(messages=[]), "messages"),
        (body(temperature="hot"), "temperature"),
        (body(temperature=3), "temperature"),
        (body(n=0), "n"),
        (body(tools=[{"type": "function", "function": {"name": "a b"}}]), "tools[].function.name"),
        (body(tools=[{"type": "spell"}]), "tools[].type"),
        ({"messages": [USER]}, "model"),
    ],
)
def test_what_it_does_not_know_is_refused_by_the_fields_path(tree, param):
    told = refused(CHAT, tree)
    assert "".join(char for char in told if not char.isdigit()) == param


def test_a_tolerant_tenant_may_send_unknown_fields_but_no_wrong_ones():
    assert not CHAT.check(body(foo=1, messages=[{**USER, "bar": 2}]), strict=False)
    assert refused(CHAT, body(foo=1, temperature="hot"), strict=False) == "temperature"
    assert refused(CHAT, body(temperature="hot"), strict=False) == "temperature"


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/embeddings"])
def test_the_other_endpoints_have_schemas_too(path):
    field = "prompt" if path == "/v1/completions" else "input"
    schema = DOORS[path].versions.choose({}, ())
    assert schema.check({"model": "m", field: ["a", "b"]}, strict=True)
    assert refused(schema, {"model": "m", field: "a", "messages": []}) == "messages"
    assert refused(schema, {"model": "m", field: 5}) == field


def test_no_value_and_no_endless_name_is_repeated():
    secret = "sk-value-of-the-caller"
    with pytest.raises(GatewayError) as caught:
        CHAT.check(body(messages=[{"role": secret, "content": "x"}]), strict=True)
    assert secret not in caught.value.public
    with pytest.raises(GatewayError) as caught:
        CHAT.check(body(**{"x" * 5000 + "\n": 1}), strict=True)
    assert len(caught.value.public) < 300


@pytest.mark.parametrize(
    ("limits", "tree"),
    [
        (Limits(messages=1), body(messages=[USER, USER])),
        (Limits(tools=0), body(tools=[{"type": "function", "function": {"name": "f"}}])),
        (
            Limits(images=0),
            body(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a"}}]}]),
        ),
        (
            Limits(image_bytes=10),
            body(
                messages=[
                    {
                        "role": "user",
                        "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 40}}],
                    }
                ]
            ),
        ),
    ],
)
def test_counts_are_bounded_by_policy(limits, tree):
    count(tree, Limits())
    with pytest.raises(GatewayError) as caught:
        count(tree, limits)
    assert caught.value.kind is Kind.REQUEST_INVALID


def test_an_exchange_refuses_unknown_fields_or_puts_them_on_record():
    strict = Play()
    strict.asked(chat(surprise=1))
    assert strict.records[0].record.code == "request_invalid"
    tolerant = Play(policy(strict_schema=False))
    tolerant.asked(chat(surprise=1))
    tolerant.give(Gone())
    assert [(found.rule, found.action, found.would) for found in tolerant.records[0].record.found] == [
        ("schema.unknown_field", "flag", "block")
    ]
    assert json.loads(chat(surprise=1))["surprise"] == 1


@pytest.mark.parametrize(
    ("tree", "param"),
    [
        (body(Tools=[]), "tools"),
        (body(FUNCTIONS=[]), "functions"),
        (body(Max_Tokens=5), "max_tokens"),
        (body(messages=[{**USER, "Content": "y"}]), "content"),
        (body(messages=[{"role": "user", "content": [{"type": "text", "text": "x", "Type": "image_url"}]}]), "type"),
        (body(tools=[{"type": "function", "function": {"name": "f", "\u017fname": "x", "Name": "g"}}]), "name"),
    ],
)
def test_a_field_of_another_case_is_refused_where_unknown_ones_pass(tree, param):
    assert refused(CHAT, tree, strict=False) == param


def test_names_inside_a_tools_own_schema_may_have_any_case():
    tool = {"type": "function", "function": {"name": "f", "parameters": {"Type": "object", "Name": {}}}}
    assert CHAT.check(body(tools=[tool], Foo=1), strict=False) is False


def test_older_and_newer_tools_are_counted_together():
    tools = [{"type": "function", "function": {"name": "f"}}] * 100
    with pytest.raises(GatewayError):
        count(body(tools=tools, functions=[{"name": "f"}] * 100), replace(policy().limits, tools=150))
