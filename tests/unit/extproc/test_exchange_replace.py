"""The action `replace`: the tenant's own words in place of an answer, or of the rest of one that has begun."""

import json
from dataclasses import replace

import pytest

import messaging
import responding
from extproc.core.events import RequestBody, ResponseChunk
from gateway.policy.model import Action, Mode, RuleSetting
from playbook import DONE, MAIL, Play, answer_head, completion, delta, head, texts
from worlds import policy, settings

SORRY = 'I can\'t say that here. \u2014 Example "Bank"'


def response(mode=Mode.ENFORCE, **more):
    held = settings(Action.ALLOW, **more)
    return {**held, "pii.email": RuleSetting(rule="pii.email", action=Action.REPLACE, mode=mode, text=SORRY)}


def held(**more):
    return policy(response=response(**more))


def events(sent):
    return [json.loads(block[6:]) for block in sent.split(b"\n\n") if block.startswith(b"data: {")]


def test_a_json_answer_becomes_the_tenants_words():
    play = Play(held())
    play.asked()
    play.give(answer_head(), ResponseChunk(completion(f"write to {MAIL}"), end_of_stream=True))
    seen = json.loads(play.sent())
    assert seen["choices"] == [
        {"index": 0, "message": {"role": "assistant", "content": SORRY, "refusal": None}, "logprobs": None,
         "finish_reason": "content_filter"}
    ]  # fmt: skip
    assert (seen["id"], seen["usage"]["total_tokens"]) == ("c1", 7)
    assert [(found.rule, found.action, found.would) for found in play.record.found] == [
        ("pii.email", "replace", "replace")
    ]
    assert (play.record.outcome, play.record.code) == ("cut", "answer_blocked")


def test_a_name_of_the_answer_that_holds_the_finding_goes_too():
    play = Play(held())
    play.asked()
    play.give(answer_head(), ResponseChunk(completion("fine", id=f"id-{MAIL}"), end_of_stream=True))
    assert b"example.com" not in play.sent()
    assert json.loads(play.sent())["id"] == "replaced"


@pytest.mark.parametrize("step", [1, 4, 100])
def test_a_stream_ends_in_the_tenants_words(step):
    play = Play(held())
    play.asked(stream=True)
    play.give(answer_head(kind="text/event-stream"))
    said = f"First this. Then write to {MAIL} and wait."
    for at in range(0, len(said), step):
        play.give(ResponseChunk(delta(said[at : at + step]), end_of_stream=False))
    sent = play.sent()
    assert texts(sent) in {f"First this. Then write to {SORRY}", SORRY}
    assert b"example.com" not in sent
    assert sent.endswith(DONE)
    last = [choice["finish_reason"] for event in events(sent) for choice in event["choices"]]
    assert last[-1] == "content_filter"
    assert last.count("content_filter") == 1
    assert play.commands[-1].end_of_stream


def test_a_stream_that_had_not_begun_has_a_role_and_a_name():
    play = Play(held())
    play.asked(stream=True)
    play.give(answer_head(kind="text/event-stream"), ResponseChunk(delta(f"{MAIL} "), end_of_stream=False))
    first, last = events(play.sent())
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": SORRY}
    assert {key: first[key] for key in ("id", "object", "model")} == {
        "id": "c1", "object": "chat.completion.chunk", "model": "m",
    }  # fmt: skip
    assert last["choices"][0] == {"index": 0, "delta": {}, "finish_reason": "content_filter"}


def test_every_choice_that_is_open_ends():
    play = Play(held())
    play.asked(stream=True)
    play.give(answer_head(kind="text/event-stream"))
    for piece in (delta("one. ", 0), delta("two. ", 1), delta("", 0, finish_reason="stop"), delta("three. ", 2)):
        play.give(ResponseChunk(piece, end_of_stream=False))
    play.give(ResponseChunk(delta(f"{MAIL} ", 1), end_of_stream=False))
    assert [texts(play.sent(), index) for index in range(3)] == ["one. ", f"two. {SORRY}", f"three. {SORRY}"]


def test_legacy_completions_are_replaced_in_their_own_form():
    for stream in (True, False):
        play = Play(held())
        body = json.dumps({"model": "gpt-4o-mini", "prompt": "hi", "stream": stream}).encode()
        play.give(head("/v1/completions"), RequestBody(body, end_of_stream=True))
        tree = {"id": "c1", "object": "text_completion", "created": 1, "model": "m",
                "choices": [{"index": 0, "text": f"{MAIL} ", "finish_reason": None}]}  # fmt: skip
        raw = json.dumps(tree).encode()
        play.give(answer_head(kind="text/event-stream" if stream else "application/json"))
        play.give(ResponseChunk(b"data: " + raw + b"\n\n" if stream else raw, end_of_stream=not stream))
        said = events(play.sent()) if stream else [json.loads(play.sent())]
        assert said[0]["choices"][0]["text"] == SORRY
        assert said[-1]["choices"][0]["finish_reason"] == "content_filter"
        assert {each["object"] for each in said} == {"text_completion"}


@pytest.mark.parametrize("begun", [True, False])
def test_a_message_of_anthropic_ends_as_a_refusal(begun):
    play, _ = messaging.asked(messaging.messages(stream=True), messaging.held(response=response()))
    play.give(answer_head(kind="text/event-stream"))
    opening = [messaging.start(), messaging.block(), messaging.text("Well. ")] if begun else []
    rest = [] if begun else [messaging.start(id=MAIL)]
    for event in (*opening, *rest, messaging.text(f"{MAIL} ")):
        if not play.records:
            play.give(ResponseChunk(event, end_of_stream=False))
    told = [json.loads(block.split(b"data: ")[1]) for block in play.sent().split(b"\n\n") if b"data: " in block]
    kinds = [event["type"] for event in told]
    ending = ["content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop"]
    before = ["message_start"] + (["content_block_start", "content_block_delta", "content_block_stop"] if begun else [])
    assert kinds == before + ending
    assert [event["index"] for event in told if event["type"] == "content_block_start"] == ([0, 1] if begun else [0])
    assert told[-4]["delta"]["text"] == SORRY
    assert told[-2]["delta"]["stop_reason"] == "refusal"
    assert b"example.com" not in play.sent()


def test_a_message_that_is_no_stream_is_a_refusal_too():
    play, _ = messaging.asked(messaging.messages(), messaging.held(response=response()))
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
               "stop_sequence": None, "content": [{"type": "text", "text": MAIL}], "usage": {"input_tokens": 9, "output_tokens": 4}}  # fmt: skip
    play.give(answer_head(), ResponseChunk(json.dumps(message).encode(), end_of_stream=True))
    seen = json.loads(play.sent())
    assert (seen["content"], seen["stop_reason"], seen["id"]) == ([{"type": "text", "text": SORRY}], "refusal", "msg_1")


def test_a_response_is_incomplete():
    play = Play(held())
    play.give(head(responding.PATH), RequestBody(responding.body(), end_of_stream=True))
    answer = responding.response(responding.message(responding.part(MAIL)))
    play.give(answer_head(), ResponseChunk(json.dumps(answer).encode(), end_of_stream=True))
    seen = json.loads(play.sent())
    assert (seen["status"], seen["incomplete_details"]) == ("incomplete", {"reason": "content_filter"})
    assert seen["output"][0]["content"][0]["text"] == SORRY


def test_shadow_replaces_nothing_and_a_block_at_the_same_place_wins():
    shadow = Play(held(mode=Mode.SHADOW))
    shadow.asked()
    shadow.give(answer_head(), ResponseChunk(completion(MAIL), end_of_stream=True))
    assert MAIL.encode() in shadow.sent()
    both = held()
    tenant = both.tenants["acme"]
    banned = {**tenant.response, "banned.x": RuleSetting(rule="banned.x", action=Action.BLOCK)}
    both = replace(both, tenants={"acme": replace(tenant, banned={"x": ("bob",)}, response=banned)})
    play = Play(both)
    play.asked()
    play.give(answer_head(), ResponseChunk(completion(MAIL), end_of_stream=True))
    assert play.refused() == (403, "answer_blocked")


def test_embeddings_have_nothing_to_say():
    play = Play(held())
    body = json.dumps({"model": "text-embedding-3-small", "input": "x"}).encode()
    play.give(head("/v1/embeddings"), RequestBody(body, end_of_stream=True))
    play.give(answer_head(), ResponseChunk(json.dumps({"object": MAIL, "data": []}).encode(), end_of_stream=True))
    assert play.refused() == (403, "answer_blocked")
