"""The demo's Messages answers: of the API's shape, the same words streamed or not."""

import orjson
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter

from messaging import assembled
from ostiary.demo import messages, sample
from ostiary.demo.answer import RefusedError

TYPED = TypeAdapter(RawMessageStreamEvent)
TOOL = {"name": "find", "input_schema": {"type": "object", "properties": {"q": {"type": "string"}}}}


def ask(content="two words", deltas=8, **fields):
    request = {"model": "claude-demo", "max_tokens": 500, "messages": [{"role": "user", "content": content}], **fields}
    return messages.message(orjson.dumps(request), deltas)


def whole(*asked, **fields):
    return Message.model_validate(orjson.loads(ask(*asked, **fields).pieces[0]))


def test_words_and_usage():
    said = whole()
    assert (said.content[0].text, said.stop_reason) == (sample.FRIENDLY, "end_turn")
    assert (said.usage.input_tokens, said.usage.output_tokens) == (2, len(sample.FRIENDLY.split()))
    assert whole([{"type": "text", "text": "p"}], model="claude-demo-echo").content[0].text == "p"
    assert whole(max_tokens=2).stop_reason == "max_tokens"


@pytest.mark.parametrize("deltas", [1, 8, 500])
@pytest.mark.parametrize("tools", [[], [TOOL]])
def test_a_stream_is_typed_and_says_the_same(deltas, tools):
    raw = b"".join(ask(deltas=deltas, tools=tools, stream=True).pieces)
    for event in raw.split(b"\n\n")[:-1]:
        if b"ping" not in event:
            TYPED.validate_json(event.split(b"\ndata: ")[1])
    assert assembled(raw) == orjson.loads(ask(tools=tools).pieces[0])["content"]


def test_a_tool_is_called_once():
    result = [{"type": "tool_result", "tool_use_id": "toolu_demo_0", "content": "x"}]
    assert whole(tools=[TOOL]).stop_reason == "tool_use"
    assert whole(tools=[TOOL], tool_choice={"type": "tool", "name": "find"}).content[0].name == "find"
    assert whole(tools=[TOOL], tool_choice={"type": "none"}).stop_reason == "end_turn"
    assert whole(result, tools=[TOOL]).stop_reason == "end_turn"


@pytest.mark.parametrize("turns", [None, [], "x", ["x"]])
def test_a_request_without_messages_is_refused(turns):
    with pytest.raises(RefusedError):
        ask(messages=turns)


@pytest.mark.parametrize("odd", [5, True, "x", {"a": 1}])
def test_tools_that_are_no_list_are_refused(odd):
    with pytest.raises(RefusedError) as caught:
        ask(tools=odd)
    assert (caught.value.status, caught.value.param) == (400, "tools")
