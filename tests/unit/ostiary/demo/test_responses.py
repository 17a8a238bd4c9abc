"""The demo's Responses answers: of the API's shape, the same words streamed or not."""

import orjson
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from ostiary.demo import responses, sample
from ostiary.demo.answer import RefusedError

TYPED = TypeAdapter(ResponseStreamEvent)
TOOL = {"type": "function", "name": "find", "parameters": {"type": "object", "properties": {"q": {"type": "string"}}}}


def respond(words="two words", deltas=8, **fields):
    return responses.respond(orjson.dumps({"model": "demo", "input": words, **fields}), deltas)


def whole(**fields):
    (piece,) = respond(**fields).pieces
    return Response.model_validate(orjson.loads(piece))


def told(**fields):
    return [orjson.loads(piece.split(b"\ndata: ")[1]) for piece in respond(stream=True, **fields).pieces]


def test_words_and_usage():
    said = whole()
    assert said.output_text == sample.FRIENDLY
    assert (said.usage.input_tokens, said.usage.output_tokens) == (2, len(sample.FRIENDLY.split()))
    assert (
        whole(model="demo-echo", words=[{"role": "user", "content": [{"type": "input_text", "text": "p"}]}]).output_text
        == "p"
    )


@pytest.mark.parametrize("deltas", [1, 8, 500])
@pytest.mark.parametrize("tools", [[], [TOOL]])
def test_a_stream_is_typed_numbered_and_ends_with_what_its_deltas_said(deltas, tools):
    events = told(deltas=deltas, tools=tools)
    for number, event in enumerate(events):
        typed = TYPED.validate_python(event)
        assert (typed.type, typed.sequence_number) == (event["type"], number)
    joined = "".join(event["delta"] for event in events if event["type"].endswith(".delta"))
    (item,) = events[-1]["response"]["output"]
    assert joined == (item["arguments"] if tools else item["content"][0]["text"])
    assert item == orjson.loads(respond(tools=tools).pieces[0])["output"][0]


def test_a_tool_is_called_once_and_its_answer_is_answered_with_words():
    assert whole(tools=[TOOL]).output[0].name == "find"
    asked = [{"role": "user", "content": "x"}, {"type": "function_call_output", "call_id": "c", "output": "y"}]
    assert whole(tools=[TOOL], words=asked).output[0].type == "message"
    assert whole(tools=[TOOL], tool_choice="none").output[0].type == "message"
    other = {**TOOL, "name": "other"}
    assert whole(tools=[TOOL, other], tool_choice={"type": "function", "name": "other"}).output[0].name == "other"


def test_a_short_answer_is_incomplete_and_a_schema_is_filled():
    short = whole(max_output_tokens=3)
    assert (short.status, short.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert short.output_text == " ".join(sample.FRIENDLY.split()[:3])
    wanted = {
        "format": {
            "type": "json_schema",
            "name": "n",
            "schema": {"type": "object", "properties": {"a": {"type": "string"}}},
        }
    }
    assert orjson.loads(whole(text=wanted).output_text) == {"a": sample.FRIENDLY}


@pytest.mark.parametrize("words", [None, [], 5, ["x"]])
def test_a_request_without_input_is_refused(words):
    with pytest.raises(RefusedError):
        respond(words=words)


@pytest.mark.parametrize("odd", [5, True, "x", {"a": 1}])
def test_tools_that_are_no_list_are_refused(odd):
    with pytest.raises(RefusedError) as caught:
        respond(tools=odd)
    assert (caught.value.status, caught.value.param) == (400, "tools")
