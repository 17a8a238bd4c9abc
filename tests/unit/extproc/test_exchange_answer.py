"""JSON answers: held until judged, redacted, withheld when they cannot be inspected."""

import json

import orjson
import pytest

from extproc.core.commands import PassResponseHead
from extproc.core.events import ResponseChunk
from gateway import contract
from gateway.policy.model import Action, Limits
from playbook import MAIL, Play, answer_head, completion, delta
from worlds import policy, settings


def test_the_head_of_a_json_answer_is_held_until_its_body_was_judged():
    play = Play()
    play.asked()
    assert play.give(answer_head()) == []
    assert play.give(ResponseChunk(completion(f"write to {MAIL} now"), end_of_stream=False)) == []
    passed, body = play.give(ResponseChunk(b"", end_of_stream=True))
    assert isinstance(passed, PassResponseHead)
    assert body.end_of_stream
    assert json.loads(body.body)["choices"][0]["message"]["content"] == "write to [EMAIL] now"
    record = play.record
    assert (record.usage.input_tokens, record.usage.output_tokens, record.usage.source) == (5, 2, "provider")
    assert [(f.rule, f.direction, f.action, f.count) for f in record.found] == [("pii.email", "response", "redact", 1)]


def test_a_clean_json_answer_keeps_its_bytes():
    play = Play()
    play.asked()
    raw = completion("fine").replace(b":", b" : ")
    play.give(answer_head(), ResponseChunk(raw, end_of_stream=True))
    assert play.sent() == raw


@pytest.mark.parametrize(
    "source",
    [
        '{"choices":[{"index":0,"message":{"content":"%s","content":"x"}}]}',
        '{"choices":[{"index":0,"message":{"content":"%s"}}],"choices":[]}',
        '{"choices":[],"note":{"a" : "%s","\\u0061"\t: "\\":"}}',
        '{"message":{"function":{"arguments":"{\\"a\\":1,\\"b\\":\\"\\\\n\\"}"}},"x":"%s","x":1}',
    ],
)
def test_of_a_key_that_is_there_twice_only_the_judged_value_leaves(source):
    play = Play()
    play.asked()
    play.give(answer_head(), ResponseChunk((source % MAIL).encode(), end_of_stream=True))
    assert b"example" not in play.sent()
    assert play.sent() == orjson.dumps(json.loads(source % MAIL))


def test_a_blocked_json_answer_is_a_clean_403():
    play = Play(policy(response=settings(pii_email=Action.BLOCK)))
    play.asked()
    play.give(answer_head(), ResponseChunk(completion(MAIL), end_of_stream=True))
    assert play.refused() == (403, "answer_blocked")
    assert play.sent() == b""


def test_only_listed_headers_of_an_answer_reach_the_client():
    play = Play()
    play.asked()
    play.give(answer_head(set_cookie="a=b", openai_organization="org", x_ostiary_x="1", retry_after="3"))
    (passed, _) = play.give(ResponseChunk(completion("x"), end_of_stream=True))
    assert passed.change.remove == ("openai-organization", "set-cookie", "x-ostiary-x")


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (answer_head(kind="text/html"), (502, "backend_answer_invalid")),
        (answer_head(content_encoding="gzip"), (502, "backend_answer_invalid")),
        (answer_head(kind="text/event-stream"), (502, "backend_answer_invalid")),  # nobody asked for a stream
        (answer_head(status="401"), (503, "backend_unavailable")),
        (answer_head(status="503", kind="text/plain"), (503, "backend_unavailable")),
        (
            answer_head(status="503", details={contract.ATTR_CODE_DETAILS: "no_healthy_upstream"}),
            (503, "backend_unavailable"),
        ),
        (
            answer_head(status="504", details={contract.ATTR_CODE_DETAILS: "upstream_response_timeout"}),
            (504, "backend_timeout"),
        ),
        (answer_head(status="500", details={}), (503, "backend_unavailable")),
    ],
)
def test_answers_that_cannot_be_inspected_are_withheld(event, expected):
    play = Play()
    play.asked()
    play.give(event)
    assert play.refused() == expected
    assert play.record.outcome == "failed"


def test_a_json_answer_that_does_not_parse_or_is_too_large_is_withheld():
    play = Play()
    play.asked()
    play.give(answer_head(), ResponseChunk(b'{"choices": [', end_of_stream=True))
    assert play.refused() == (502, "backend_answer_invalid")
    play = Play(policy(limits=Limits(answer_bytes=10)))
    play.asked()
    play.give(answer_head(), ResponseChunk(completion("x" * 100), end_of_stream=False))
    assert play.refused() == (502, "backend_answer_too_large")


def test_a_provider_error_passes_in_its_own_words_but_guarded():
    play = Play()
    play.asked()
    body = json.dumps({"error": {"message": f"slow down {MAIL}", "type": "x", "code": "rate"}}).encode()
    play.give(answer_head(status="429", retry_after="7"), ResponseChunk(body, end_of_stream=True))
    assert json.loads(play.sent())["error"]["message"] == "slow down [EMAIL]"
    assert play.record.outcome == "failed"
    assert play.record.usage is None


def test_log_probabilities_do_not_spell_out_what_was_redacted():
    play = Play()
    play.asked()
    raw = json.dumps(
        {
            "choices": [
                {
                    "index": 0,
                    "message": {"content": MAIL},
                    "logprobs": {"content": [{"token": "bob"}, {"token": "@example.com"}]},
                }
            ]
        }
    ).encode()
    play.give(answer_head(), ResponseChunk(raw, end_of_stream=True))
    assert b"example" not in play.sent()


def too_deep(levels=300):
    return orjson.loads(b'{"a":' * levels + b"1" + b"}" * levels)


def test_an_answer_that_is_too_deep_to_be_written_anew_is_withheld_as_not_valid():
    play = Play()
    play.asked()
    raw = json.dumps({**orjson.loads(completion(f"to {MAIL}")), "x": too_deep()}).encode()
    play.give(answer_head(), ResponseChunk(raw, end_of_stream=True))
    assert play.refused() == (502, "backend_answer_invalid")
    assert play.record.reason == "too complex"


def test_an_event_that_is_too_deep_to_be_written_anew_ends_the_stream_as_not_valid():
    play = Play()
    play.asked(stream=True)
    play.give(answer_head(kind="text/event-stream"))
    event = json.dumps({"error": {"message": MAIL, "x": too_deep()}}).encode()
    for said in (delta("Hello, all of you. "), b"data: " + event + b"\n\n"):
        play.give(ResponseChunk(said, end_of_stream=False))
    assert b"backend_answer_invalid" in play.sent()
    assert b"example" not in play.sent()
    assert play.record.code == "backend_answer_invalid"
