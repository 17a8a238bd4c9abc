"""The pump of one attempt: header-only where it can, with the body where its backend needs another one."""

import json
from dataclasses import replace

import grpc
import pytest

import messaging
from gateway import contract
from gateway.policy.model import Model
from messages import attempt_message, body_message
from pumps import Aborted, FakeContext, processor
from worlds import FakeWorld

TOLD = {
    contract.POLICY: "p-test", contract.MODEL: messaging.CLAUDE, contract.BACKENDS: "demo,anthropic",
    contract.FRONT_PATH: "/v1/chat/completions", contract.BODY_BYTES: "77",
}  # fmt: skip
CHAT = json.dumps({"model": messaging.CLAUDE, "messages": [{"role": "user", "content": "hi"}]}).encode()


async def attempted(*events, on_loss="drop"):
    base = messaging.held()
    model = Model(name=messaging.CLAUDE, backend="demo", upstream={"anthropic": "theirs"}, on_loss=on_loss)
    made, _ = processor(world=FakeWorld(replace(base, models={**base.models, messaging.CLAUDE: model})))
    context = FakeContext(list(events), role="adapt")
    try:
        await made.process(None, context)
    except Aborted:
        assert context.aborted is grpc.StatusCode.INTERNAL
    return context


def headers(mutation):
    return {each.header.key: each.header.raw_value.decode() for each in mutation.set_headers}


async def test_a_backend_of_the_callers_words_is_sent_its_headers_and_the_originals_length():
    context = await attempted(attempt_message("demo", TOLD))
    (reply,) = context.written
    assert not reply.HasField("mode_override")
    assert headers(reply.request_headers.response.header_mutation)["content-length"] == "77"
    assert context.aborted is None


async def test_another_one_is_sent_the_translated_body_with_its_own_path_and_key():
    context = await attempted(attempt_message("anthropic", TOLD), body_message(CHAT))
    asked, reply = context.written
    assert asked.HasField("mode_override")
    assert headers(asked.request_headers.response.header_mutation) == {}
    sent = reply.request_body.response
    body = sent.body_mutation.body
    told = headers(sent.header_mutation)
    assert json.loads(body)["model"] == "theirs"
    assert (told["content-length"], told[":path"].endswith("/v1/messages")) == (str(len(body)), True)
    assert context.aborted is None


@pytest.mark.parametrize(
    "body",
    [body_message(b"{"), body_message(CHAT, end=False), attempt_message("anthropic", TOLD), b"\xff", b""],
    ids=["not JSON", "half", "headers again", "garbage", "nothing"],
)
async def test_a_body_that_cannot_be_used_is_a_refusal_and_nothing_is_sent(body):
    context = await attempted(attempt_message("anthropic", TOLD), body)
    reply = context.written[-1]
    assert reply.WhichOneof("response") == "immediate_response"
    assert reply.immediate_response.status.code >= 400


async def test_a_stream_that_ends_before_its_body_is_aborted():
    context = await attempted(attempt_message("anthropic", TOLD))
    assert context.aborted is grpc.StatusCode.INTERNAL


async def test_a_backend_outside_the_pinned_set_gets_no_body_and_no_key():
    context = await attempted(attempt_message("anthropic", {**TOLD, contract.BACKENDS: "demo"}), body_message(CHAT))
    assert context.written[-1].immediate_response.status.code == 503


async def test_what_may_not_be_lost_is_refused_here_too():
    body = json.dumps({**json.loads(CHAT), "logit_bias": {"1": 1}}).encode()
    context = await attempted(attempt_message("anthropic", TOLD), body_message(body), on_loss="refuse")
    assert context.written[-1].immediate_response.status.code == 400
