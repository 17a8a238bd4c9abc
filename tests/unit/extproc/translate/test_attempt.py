"""One attempt: what policy does with losses, what the client is told, and streams that break off."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.core import sse
from extproc.guardrails.guard import Guard, Tally
from extproc.providers.anthropic import DOORS as MESSAGES
from extproc.providers.door import Seen
from extproc.providers.openai import DOORS
from extproc.translate.attempt import Attempt, OnLoss, told
from extproc.translate.canon import Lost
from extproc.translate.dialect import Origin, Target
from extproc.translate.dialects import DIALECTS, FRONTS
from gateway.errors import GatewayError, Kind
from guarded import POOL
from tools.golden_translate import MAX_EVENT_BYTES, ORIGIN, cases

HELLO = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}


def attempt(front="openai", back="anthropic", on_loss=OnLoss.DROP, **target):
    return Attempt(FRONTS[front], DIALECTS[back], Target(model="theirs", **target), on_loss)


def refused(call, *args):
    with pytest.raises(GatewayError) as raised:
        call(*args)
    return raised.value


def test_what_is_dropped_is_told():
    sent = attempt().request(orjson.dumps({**HELLO, "seed": 1, "logit_bias": {"5": 1}}))
    assert sent.told == "logit_bias, seed"
    assert orjson.loads(sent.body)["model"] == "theirs"


def test_policy_may_refuse_what_cannot_be_carried():
    error = refused(attempt(on_loss=OnLoss.REFUSE).request, orjson.dumps({**HELLO, "seed": 1}))
    assert (error.kind, error.param) == (Kind.REQUEST_INVALID, "seed")


def test_what_is_essential_is_never_dropped():
    body = {**HELLO, "tools": [{"type": "custom", "custom": {"name": "sql"}}]}
    assert refused(attempt().request, orjson.dumps(body)).param == "tools[].type"


@given(st.lists(st.text(max_size=300), max_size=60))
def test_what_is_told_fits_a_header(names):
    value = told([Lost(name, "") for name in names])
    assert len(value) < 1200
    assert value.isascii()
    assert value.isprintable()


@pytest.mark.parametrize("raw", [b"", b"[]", b"nul", b'"x"'])
def test_a_body_that_is_no_object_is_refused(raw):
    assert refused(attempt().request, raw).kind is Kind.JSON_INVALID


def test_a_dialect_of_the_same_family_gets_the_clients_own_bytes_but_for_the_name():
    azure = attempt(back="azure")
    sent = azure.request(orjson.dumps({**HELLO, "logit_bias": {"5": 1}, "unknown": [1]}))
    assert orjson.loads(sent.body) == {**HELLO, "model": "theirs", "logit_bias": {"5": 1}, "unknown": [1]}
    assert (sent.path, sent.told, azure.translates) == ("/openai/v1/chat/completions", "", False)
    raw = orjson.dumps({**HELLO, "model": "theirs"}).replace(b":", b" : ")
    assert azure.request(raw).body == raw


def test_answers_and_streams_of_the_same_family_pass_as_they_are():
    azure = attempt(back="azure")
    assert azure.answer(200, b"{ }", ORIGIN).body == b"{ }"
    stream = azure.stream(ORIGIN, MAX_EVENT_BYTES)
    assert stream.feed(b"data: any") + stream.close() == b"data: any"


def test_azure_may_be_called_by_deployment_and_version():
    sent = attempt(back="azure", api_version="2026-01-01").request(orjson.dumps(HELLO))
    assert sent.path == "/openai/deployments/theirs/chat/completions?api-version=2026-01-01"


def test_a_models_name_cannot_leave_its_place_in_a_path():
    target = Target(model="a/../b?c#d")
    sent = Attempt(DIALECTS["openai"], DIALECTS["gemini"], target).request(orjson.dumps(HELLO))
    assert sent.path == "/v1/models/a%2F..%2Fb%3Fc%23d:generateContent"


def test_a_stream_that_breaks_off_never_looks_whole():
    stream = attempt(back="openai", front="anthropic").stream(ORIGIN, MAX_EVENT_BYTES)
    out = stream.feed(b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"Once"}}]}\n\n') + stream.close()
    assert b"event: error" in out
    assert b"message_stop" not in out


def test_nothing_follows_the_end():
    stream = attempt(front="anthropic", back="openai").stream(ORIGIN, MAX_EVENT_BYTES)
    whole = b'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    assert stream.feed(whole).endswith(b'data: {"type":"message_stop"}\n\n')
    assert stream.feed(whole) + stream.close() == b""


GUARDED = {
    "openai": DOORS["/v1/chat/completions"],
    "responses": DOORS["/v1/responses"],
    "anthropic": MESSAGES["/v1/messages"],
}
STREAMED = [
    (name, front, told)
    for name, case in cases("streams").items()
    for front, told in case["streamed"].items()
    if type(told) is list and front in GUARDED
]


@pytest.mark.parametrize(("name", "front", "events"), STREAMED, ids=[f"{s[0]}-{s[1]}" for s in STREAMED])
def test_the_guards_of_the_front_door_understand_every_translated_stream(name, front, events):
    guard = GUARDED[front].stream(Guard.of(POOL, {}), Tally(), Seen(), show_usage=True)
    raw = ("\n\n".join(events) + "\n\n").encode()
    framer = sse.Framer(MAX_EVENT_BYTES)
    out = guard.feed(framer.feed(raw)) + guard.finish()
    assert out.count(b"data:") == raw.count(b"data:")


def test_ids_that_openai_would_refuse_are_shortened_alike_for_call_and_result():
    long = "toolu_" + "x" * 60
    body = {
        "model": "m",
        "max_tokens": 9,
        "metadata": {"user_id": "u" * 65},
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": long, "name": "f", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": long, "content": "1"}]},
        ],
    }
    sent = attempt(front="anthropic", back="openai").request(orjson.dumps(body))
    _, said, result = orjson.loads(sent.body)["messages"]
    assert said["tool_calls"][0]["id"] == result["tool_call_id"]
    assert len(result["tool_call_id"]) == 40
    assert sent.told == "user"


def test_an_id_that_the_gateway_makes_may_come_back_to_any_provider():
    made = Origin(model="m", request_id="0af7651c-ab12-4cd3-9f00-6f2b7c1d8e9f", now_s=1).made_id("toolu", 1023)
    assert len(made) <= 40
