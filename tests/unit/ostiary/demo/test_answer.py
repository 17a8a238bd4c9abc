"""The demo upstream's bodies: deterministic, of the API's shape, independent of how often one asks."""

import base64
import math
import struct

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.demo import answer, sample, schema


def chat(deltas: int = 8, **fields: object) -> answer.Reply:
    body = {"model": "demo", "messages": [{"role": "user", "content": "two words"}], **fields}
    return answer.chat(orjson.dumps(body), deltas)


def whole(reply: answer.Reply) -> dict:
    return orjson.loads(reply.pieces[0])


def events(reply: answer.Reply) -> list[dict]:
    assert reply.pieces[-1] == answer.DONE
    return [orjson.loads(piece.removeprefix(b"data: ")) for piece in reply.pieces[:-1]]


def test_the_same_request_gets_the_same_bytes():
    assert chat(n=2).pieces == chat(n=2).pieces
    assert chat(stream=True).pieces == chat(stream=True).pieces


def test_echo_repeats_the_last_user_text_also_of_parts():
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    said = whole(chat(model="demo-echo", messages=[{"role": "user", "content": parts}]))
    assert said["choices"][0]["message"]["content"] == "ab"


def test_mirror_repeats_the_whole_body():
    body = orjson.dumps({"model": "demo-mirror", "messages": [{"role": "user", "content": "x"}], "user": "me"})
    assert whole(answer.chat(body, 1))["choices"][0]["message"]["content"] == body.decode()


def test_usage_counts_whitespace_words_of_every_choice():
    usage = whole(chat(n=3))["usage"]
    spoken = 3 * len(sample.FRIENDLY.split())
    assert usage == {"prompt_tokens": 2, "completion_tokens": spoken, "total_tokens": 2 + spoken}


def test_max_tokens_ends_the_answer_for_its_length():
    choice = whole(chat(max_tokens=3))["choices"][0]
    assert choice["finish_reason"] == "length"
    assert choice["message"]["content"] == " ".join(sample.FRIENDLY.split()[:3])


@given(deltas=st.integers(1, 500), choices=st.integers(1, 3), model=st.sampled_from(sample.MODELS))
def test_a_stream_joins_to_the_text_of_the_plain_answer(deltas, choices, model):
    plain = whole(chat(model=model, n=choices))
    if model == "demo-mirror":
        return  # it repeats the body, which says "stream" in one case only
    texts = [""] * choices
    for event in events(chat(deltas, model=model, n=choices, stream=True)):
        for choice in event["choices"]:
            texts[choice["index"]] += choice["delta"].get("content") or ""
    assert texts == [choice["message"]["content"] for choice in plain["choices"]]


def test_usage_is_streamed_only_when_asked_for():
    assert all("usage" not in event for event in events(chat(stream=True)))
    asked = events(chat(stream=True, stream_options={"include_usage": True}))
    assert asked[-1]["choices"] == []
    assert asked[-1]["usage"] == whole(chat())["usage"]
    assert all(event["usage"] is None for event in asked[:-1])


PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 2}},
    "required": ["city", "days"],
}
TOOLS = [
    {"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}},
    {"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}},
]


def test_tools_are_called_with_arguments_that_fit_their_schema():
    message = whole(chat(model="demo-echo", tools=TOOLS))["choices"][0]
    assert message["finish_reason"] == "tool_calls"
    call = message["message"]["tool_calls"][0]["function"]
    assert (call["name"], orjson.loads(call["arguments"])) == ("weather", {"city": "two words", "days": 2})


def test_streamed_tool_arguments_join_to_the_same_call():
    spoken = ""
    for event in events(chat(4, model="demo-pii", tools=TOOLS, stream=True)):
        for choice in event["choices"]:
            for call in choice["delta"].get("tool_calls", ()):
                spoken += call["function"]["arguments"]
    assert orjson.loads(spoken) == {"city": sample.PII, "days": 2}


def test_a_demanded_tool_is_the_one_that_is_called():
    demanded = {"type": "function", "function": {"name": "clock"}}
    message = whole(chat(tools=TOOLS, tool_choice=demanded))["choices"][0]["message"]
    assert message["tool_calls"][0]["function"]["name"] == "clock"


@pytest.mark.parametrize("change", [{"tool_choice": "none"}, {"messages": [{"role": "tool", "content": "20 C"}]}])
def test_no_tool_is_called_when_forbidden_or_after_a_result(change):
    assert "tool_calls" not in whole(chat(tools=TOOLS, **change))["choices"][0]["message"]


def test_structured_output_follows_the_schema():
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": PARAMETERS}}
    text = whole(chat(response_format=wanted))["choices"][0]["message"]["content"]
    assert orjson.loads(text)["days"] == 2


def test_a_recursive_schema_ends():
    node = {
        "$ref": "#/$defs/n",
        "$defs": {"n": {"type": "object", "properties": {"next": {"$ref": "#/$defs/n"}}}},
    }
    assert "next" in schema.fill(node, "x")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"[]", None),
        (b"{", None),
        (b"{}", "messages"),
        (b'{"messages":[{"role":"user","content":"x"}],"n":0}', "n"),
    ],
)
def test_what_the_api_refuses_is_refused(body, param):
    with pytest.raises(answer.RefusedError) as refusal:
        answer.chat(body, 8)
    assert (refusal.value.status, refusal.value.param) == (400, param)


def test_completions_answer_each_prompt():
    body = orjson.dumps({"model": "demo-echo", "prompt": ["a", "b"], "n": 2})
    choices = whole(answer.completion(body, 8))["choices"]
    assert [choice["text"] for choice in choices] == ["a", "a", "b", "b"]
    assert [choice["index"] for choice in choices] == [0, 1, 2, 3]


@given(text=st.text(), dimensions=st.integers(1, 64))
def test_embeddings_are_unit_vectors_of_the_text_alone(text, dimensions):
    vector = answer.vector(text, dimensions)
    assert vector == answer.vector(text, dimensions)
    assert math.isclose(sum(number * number for number in vector), 1.0, rel_tol=1e-9)


def test_base64_embeddings_hold_the_same_numbers():
    def ask(form: str) -> object:
        body = {"input": ["x"], "dimensions": 8, "encoding_format": form}
        return whole(answer.embedding(orjson.dumps(body)))["data"][0]["embedding"]

    assert struct.unpack("<8f", base64.b64decode(ask("base64"))) == pytest.approx(ask("float"))
