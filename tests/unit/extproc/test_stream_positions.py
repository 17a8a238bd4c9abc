"""No part of an event carries text past the guard: what leaves is the judged tree and nothing else of the event."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.core.events import ResponseChunk
from gateway.policy.model import Action
from playbook import DONE, MAIL, Play, answer_head, delta, texts
from worlds import policy, settings

CALL = '{"choices":[{"index":0,"delta":{"tool_calls":[%s]}}]}'


def sent(stream, held=None):
    """What the client gets of a stream that began well."""
    play = Play(held)
    play.asked(stream=True, stream_options={"include_usage": True})
    play.give(answer_head(kind="text/event-stream"))
    play.give(ResponseChunk(delta("hi. "), end_of_stream=False))
    play.give(ResponseChunk(stream, end_of_stream=False), ResponseChunk(b"", end_of_stream=True))
    assert play.record
    return play.sent()


def event(source):
    return b"data: " + source.encode() + b"\n\n"


def named(*calls):
    return b"".join(event(CALL % json.dumps({"index": 0, **call})) for call in calls)


@pytest.mark.parametrize("field", [b"event: %s", b"id: %s", b"retry: %s", b": %s", b"%s: x", b"%s"])
@pytest.mark.parametrize("before", [True, False])
def test_no_other_line_of_an_event_leaves(field, before):
    line = field % MAIL.encode() + b"\n"
    clean = delta("clean. ").removesuffix(b"\n")
    out = sent((line + clean if before else clean + line) + b"\n" + DONE)
    assert b"example" not in out
    assert b"clean. " in out


@pytest.mark.parametrize(
    "source",
    [
        '{"choices":[{"index":0,"delta":{"content":"%s","content":"x. "}}]}',
        '{"choices":[{"index":0,"delta":{"content":"%s"}}],"choices":[]}',
        '{"usage":\ndata: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\ndata: ,"choices":[]}',
    ],
)
def test_what_a_reader_could_read_otherwise_does_not_leave(source):
    assert b"example" not in sent(event(source % MAIL) + DONE)


@pytest.mark.parametrize("value", [f'"{MAIL}"', f'["{MAIL}"]', f'{{"a":"{MAIL}"}}', f'{{"{MAIL}":1}}'])
@pytest.mark.parametrize(
    "source",
    [
        '{"id":%s,"choices":[]}',
        '{"object":%s,"choices":[]}',
        '{"created":%s,"choices":[]}',
        '{"model":%s,"choices":[]}',
        '{"system_fingerprint":%s,"choices":[]}',
        '{"service_tier":%s,"choices":[]}',
        '{"choices":[],"usage":%s}',
        '{"choices":[],"usage":{"note":%s}}',
        '{"choices":[{"index":0,"text":%s}]}',
        '{"choices":[{"index":0,"delta":{"role":%s,"content":"x. "}}]}',
        '{"choices":[{"index":0,"delta":{"content":%s}}]}',
        '{"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":%s}]}',
        CALL % '{"index":0,"id":%s}',
        CALL % '{"index":0,"type":%s}',
        CALL % '{"index":0,"function":{"name":%s}}',
        CALL % '{"index":0,"function":{"name":"f","arguments":%s}}',
        CALL % '{"index":0,"function":{"name":"f","description":%s}}',
        '{"choices":[{"index":0,"delta":{"function_call":{"name":%s}}}]}',
        '{"error":{"message":%s}}',
    ],
)
def test_no_field_of_an_event_carries_text_past_the_guard(source, value):
    assert b"example" not in sent(event(source.replace("%s", value)) + DONE)


def test_a_function_name_in_pieces_cuts_the_stream():
    out = sent(named({"id": "a", "function": {"name": "bob@exam"}}, {"function": {"name": "ple.com"}}))
    assert b"ple.com" not in out
    assert b"backend_answer_invalid" in out


@pytest.mark.parametrize("reason", ["", None])
def test_a_finish_reason_that_says_nothing_releases_nothing(reason):
    out = sent(delta("bob@exam", finish_reason=reason) + delta("ple.com ", finish_reason=reason) + DONE)
    assert texts(out) == "hi. [EMAIL] "


@pytest.mark.parametrize("more", [{"content": "ple.com "}, {"reasoning": "ple.com"}])
def test_text_behind_a_finish_reason_cuts_the_stream(more):
    late = event(json.dumps({"choices": [{"index": 0, "delta": more}]}))
    out = sent(delta("bob@exam", finish_reason="length") + late + DONE)
    assert b"ple.com" not in out
    assert b"backend_answer_invalid" in out


def test_other_choices_and_empty_events_may_follow_a_finish_reason():
    end = delta("", finish_reason="stop")
    out = sent(delta("bye", finish_reason="stop") + delta("") + end + delta("more. ", 1) + DONE)
    assert texts(out) == "hi. bye"
    assert texts(out, 1) == "more. "
    assert b"error" not in out


def test_a_name_may_be_repeated_and_another_call_may_have_the_same_number():
    first, again = {"id": "a", "function": {"name": "one"}}, {"function": {"name": "one", "arguments": "{}"}}
    empty, second = {"function": {"name": ""}}, {"id": "b", "function": {"name": "two"}}
    out = sent(named(first, again, empty, second) + DONE)
    assert b'"name":"two"' in out
    assert b"backend_answer_invalid" not in out


@pytest.mark.parametrize(
    "source",
    [
        '{"id":"%s","choices":[{"index":0,"delta":{"content":"late"}}]}',
        '{"choices":[],"usage":{"note":"%s"}}',
        CALL % '{"index":0,"function":{"name":"%s"}}',
        '{"error":{"message":"%s"}}',
    ],
)
def test_a_block_counts_in_every_field(source):
    out = sent(event(source % MAIL) + delta("late. "), policy(response=settings(pii_email=Action.BLOCK)))
    assert b"example" not in out
    assert b"late" not in out
    assert b"answer_blocked" in out


def test_an_error_event_stays_json_when_a_finding_would_swallow_its_end():
    begun = "-----BEGIN PRIVATE " + "KEY-----\nMIIE"
    out = sent(event(json.dumps({"error": {"message": begun, "code": "x"}})) + DONE)
    (error,) = [json.loads(block[6:]) for block in out.split(b"\n\n") if b"error" in block]
    assert error == {"error": {"message": "[SECRET]", "code": "x"}}


def test_blank_lines_make_no_noise_and_comments_become_a_sign_of_life():
    assert sent(b"\n" * 50 + DONE) == sent(DONE)
    assert sent(b": x\n\n" + DONE).count(b": keep-alive\n\n") == 1


SCALARS = st.none() | st.booleans() | st.integers() | st.just(MAIL) | st.sampled_from(["", "x", "tool_calls", "stop"])
KEYS = ["id", "choices", "index", "delta", "content", "tool_calls", "function", "name", "arguments", "usage", "text",
        "finish_reason", "role", "type", "error", "function_call", "logprobs", "model", MAIL]  # fmt: skip
EVENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
)


@given(st.dictionaries(st.sampled_from(KEYS), EVENTS, max_size=5))
def test_whatever_shape_an_event_has_no_address_leaves(tree):
    assert MAIL.encode() not in sent(event(json.dumps(tree)) + DONE)
