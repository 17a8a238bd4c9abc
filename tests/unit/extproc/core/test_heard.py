"""Which answers may be given again: in each dialect, those that say that they are whole."""

import json

import pytest

from extproc.core.heard import Heard
from extproc.detectors.catalogue import ALL_RULES, SENSITIVE
from extproc.guardrails.scanner import ScannerPool

CHAT, TEXT, EMBED = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
MESSAGES, RESPONSES = "/v1/messages", "/v1/responses"
SIEVE = ScannerPool(ALL_RULES).scanner(SENSITIVE)
MAIL = "bob@example.com"


def heard(path, *trees, streamed=False, done=b"", tools=False, sieve=None):
    if streamed:
        parts = tuple(b"data: " + json.dumps(tree).encode() + b"\n\n" for tree in trees) + ((done,) if done else ())
    else:
        parts = (json.dumps(trees[0]).encode(),)
    return Heard(path, streamed, parts, 5, 2, tools, sieve)


def choice(reason, text="A tower.", **more):
    return {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": reason, **more}


def message(reason):
    return {"type": "message", "content": [{"type": "text", "text": "x"}], "stop_reason": reason}


def item(kind="message"):
    return {"type": kind, "content": [{"type": "output_text", "text": "x"}]}


WHOLE = [
    (CHAT, {"choices": [choice("stop")]}),
    (CHAT, {"choices": [choice("stop"), choice("stop", index=1)]}),
    (TEXT, {"choices": [{"index": 0, "text": "x", "finish_reason": "stop"}]}),
    (EMBED, {"data": [{"embedding": [0.5]}]}),
    (MESSAGES, message("end_turn")),
    (MESSAGES, message("stop_sequence")),
    (RESPONSES, {"status": "completed", "output": [item("reasoning"), item()]}),
]
NOT_WHOLE = [
    (CHAT, {"choices": [choice("length")]}),
    (CHAT, {"choices": [choice("content_filter")]}),
    (CHAT, {"choices": [choice(None)]}),
    (CHAT, {"choices": [choice("stop"), choice("length", index=1)]}),
    (CHAT, {"choices": [choice("tool_calls")]}),
    (CHAT, {"choices": []}),
    (CHAT, {"error": {"message": "no"}}),
    (CHAT, {"choices": [{"message": {}}]}),
    (CHAT, {"choices": "stop"}),
    (CHAT, []),
    (EMBED, {"data": []}),
    (MESSAGES, message("max_tokens")),
    (MESSAGES, message("tool_use")),
    (MESSAGES, message("refusal")),
    (MESSAGES, {"type": "error", "error": {}}),
    (RESPONSES, {"status": "incomplete", "output": [item()]}),
    (RESPONSES, {"status": "completed", "output": []}),
    (RESPONSES, {"status": "completed", "output": [item("function_call")]}),
    ("/v1/other", {"choices": [choice("stop")]}),
]


@pytest.mark.parametrize(("path", "tree"), WHOLE)
def test_an_answer_that_ended_by_itself_may_be_kept(path, tree):
    assert heard(path, tree).keepable


@pytest.mark.parametrize(("path", "tree"), NOT_WHOLE)
def test_any_other_may_not(path, tree):
    assert not heard(path, tree).keepable


def chunk(reason=None, index=0, text="x"):
    return {"choices": [{"index": index, "delta": {"content": text}, "finish_reason": reason}]}


DELTA = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}
STOP = {"type": "message_stop"}
STREAMS = [
    (CHAT, [chunk(), chunk("stop"), {"choices": []}], True),
    (CHAT, [chunk(), chunk("stop"), chunk("stop", 1)], True),
    (CHAT, [chunk("stop"), chunk(None, 1)], False),
    (CHAT, [chunk(), chunk("length")], False),
    (CHAT, [chunk()], False),
    (CHAT, [chunk("stop"), {"error": {"message": "no"}}], False),
    (MESSAGES, [{"type": "message_start"}, DELTA, STOP], True),
    (MESSAGES, [{"type": "message_start"}, DELTA], False),
    (MESSAGES, [{"type": "message_delta", "delta": {"stop_reason": "max_tokens"}}, STOP], False),
    (MESSAGES, [DELTA, {"type": "error"}, STOP], False),
    (RESPONSES, [{"type": "response.completed", "response": {"status": "completed", "output": [item()]}}], True),
    (RESPONSES, [{"type": "response.incomplete", "response": {"status": "incomplete", "output": [item()]}}], False),
    (RESPONSES, [{"type": "response.output_text.delta"}], False),
    (EMBED, [{"data": [1]}], False),
]


@pytest.mark.parametrize(("path", "trees", "whole"), STREAMS)
def test_a_stream_may_be_kept_if_its_events_say_that_it_ended(path, trees, whole):
    assert heard(path, *trees, streamed=True).keepable is whole


def test_a_stream_whose_last_event_is_cut_may_not():
    made = heard(CHAT, chunk("stop"), streamed=True, done=b'data: {"cho')
    assert not made.keepable


def test_calls_of_tools_may_be_kept_where_policy_lets_tools_in():
    assert heard(CHAT, {"choices": [choice("tool_calls")]}, tools=True).keepable
    assert heard(MESSAGES, message("tool_use"), tools=True).keepable
    assert heard(RESPONSES, {"status": "completed", "output": [item("function_call")]}, tools=True).keepable


def test_what_the_sieve_finds_keeps_an_answer_out():
    assert heard(CHAT, {"choices": [choice("stop")]}, sieve=SIEVE).keepable
    assert not heard(CHAT, {"choices": [choice("stop", f"write to {MAIL}")]}, sieve=SIEVE).keepable


def test_the_sieve_sees_what_a_stream_says_in_pieces():
    pieces = [chunk(text=piece) for piece in ("write to bob@ex", "ample", ".com now")]
    assert not heard(CHAT, *pieces, chunk("stop", text=""), streamed=True, sieve=SIEVE).keepable
    clean = [chunk(text=piece) for piece in ("a to", "wer")]
    assert heard(CHAT, *clean, chunk("stop", text=""), streamed=True, sieve=SIEVE).keepable


def test_what_a_stream_says_is_put_together_by_place():
    first = {
        "id": "c1",
        "choices": [{"index": 0, "delta": {"content": "A to"}}, {"index": 1, "delta": {"content": "X"}}],
    }
    second = {"id": "c1", "choices": [{"index": 0, "delta": {"content": "wer."}}]}
    call = {"index": 0, "function": {"name": "f", "arguments": '{"a"'}}
    third = {"id": "c1", "choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}
    call = {"index": 0, "function": {"arguments": ":1}"}}
    fourth = {"id": "c1", "choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}
    said = heard(CHAT, first, second, third, fourth, streamed=True).said
    texts = [(key, text) for key, text in said if key != "keys"]
    assert sorted(texts) == [
        ("arguments", '{"a":1}'),
        ("content", "A tower."),
        ("content", "X"),
        ("id", "c1"),
        ("name", "f"),
    ]
    assert heard(CHAT, {"choices": [choice("stop")]}).said == ()


def test_places_of_other_dialects_are_told_apart():
    events = [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "A to"}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "wer"}},
    ]
    said = heard(MESSAGES, *events, streamed=True).said
    assert {("thinking", "hm"), ("text", "A tower")} <= set(said)
