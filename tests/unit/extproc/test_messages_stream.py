"""Anthropic event streams through the exchange: guarded in every block, for any cut of the bytes."""

import json

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.core.events import ResponseChunk
from extproc.guardrails.guard import Tally
from gateway.policy.model import Action
from guarded import redacting
from messaging import (
    assembled,
    block,
    delta,
    end,
    event,
    events,
    held,
    sent,
    signature,
    source,
    start,
    stop,
    streaming,
    text,
    thinking,
)
from playbook import MAIL
from worlds import settings

BLOCKING = settings(pii_email=Action.BLOCK)
CALL = {"type": "tool_use", "id": "toolu_1", "name": "send_mail", "input": {}}
THOUGHT = {"type": "thinking", "thinking": "", "signature": ""}
PING = event(type="ping")


def whole(*parts, reason="end_turn"):
    return start() + b"".join(parts) + end(reason)


def test_an_address_split_over_deltas_never_leaves_and_its_tail_comes_before_the_stop():
    out, play = sent(whole(block(), PING, text("write to bo"), text("b@exam"), text("ple.c"), text("om"), stop()))
    assert assembled(out) == [{"type": "text", "text": "write to [EMAIL]"}]
    kinds = [tree["type"] for tree in events(out)]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert (play.record.outcome, play.record.found[0].rule) == ("completed", "pii.email")


@pytest.mark.parametrize(("first", "second"), [("bob@exam", "ple.com"), ("bob@", "example.com now")])
def test_no_value_is_completed_over_the_seam_of_two_blocks(first, second):
    other = block(1, **CALL) + source("{}", 1) + stop(1)
    out, _ = sent(whole(block(), text(first), stop(), other, block(2), text(second, 2), stop(2)))
    told = "".join(each["text"] for each in assembled(out) if each["type"] == "text")
    assert redacting().apply(told, Tally()).text == told


def test_blocks_that_do_not_touch_are_joined_by_nothing():
    out, _ = sent(
        whole(block(), text("one "), stop(), block(1), text("two", 1), stop(1), block(2), text(" three", 2), stop(2))
    )
    assert [each["text"] for each in assembled(out)] == ["one ", "two", " three"]


def test_tool_input_is_guarded_through_its_escapes_and_stays_json():
    pieces = ['{"to":"bob\\u00', "40exam", 'ple.com","n":', "7}"]
    out, _ = sent(whole(block(**CALL), *map(source, ["", *pieces]), stop(), reason="tool_use"))
    assert assembled(out) == [{**CALL, "input": {"to": "[EMAIL]", "n": 7}}]


def test_tokens_are_on_record_also_those_of_the_cache():
    usage = {"input_tokens": 3, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 100, "output_tokens": 1}
    _, play = sent(start(usage=usage) + block() + text("hi") + stop() + end(output_tokens=17))
    assert (play.record.usage.input_tokens, play.record.usage.output_tokens) == (123, 17)
    assert play.record.usage.source == "provider"


def test_later_counts_replace_earlier_ones():
    _, play = sent(start() + block() + text("hi") + stop() + end(output_tokens=17, input_tokens=11))
    assert play.record.usage.input_tokens == 11


def test_a_stream_that_breaks_off_is_not_billed_by_its_first_token():
    _, play = sent(start() + block() + text("four" * 10 + " "))
    assert (play.record.usage.input_tokens, play.record.usage.output_tokens) == (9, 11)
    assert play.record.usage.source == "estimate"


def test_clean_thinking_passes_whole_with_its_signature():
    out, _ = sent(
        whole(
            block(**THOUGHT),
            thinking("let me th"),
            thinking("ink"),
            signature("c2ln" * 300),
            stop(),
            block(1),
            text("done", 1),
            stop(1),
        )
    )
    assert assembled(out)[0] == {"type": "thinking", "thinking": "let me think", "signature": "c2ln" * 300}


@pytest.mark.parametrize("action", [Action.MASK, Action.HASH, Action.REDACT, Action.BLOCK])
def test_thinking_that_a_rule_would_change_cuts_the_stream(action):
    out, play = sent(
        whole(block(**THOUGHT), thinking("they wrote from bob@exam"), thinking("ple.com "), signature("c2ln"), stop()),
        held(response=settings(pii_email=action)),
    )
    assert b"example" not in out
    assert b"ple.com" not in out
    assert b"[EMAIL" not in out
    assert events(out)[-1]["type"] == "error"
    assert (play.record.outcome, play.record.code) == ("cut", "answer_blocked")


def test_thinking_in_which_a_rule_only_flags_passes():
    stream = whole(block(**THOUGHT), thinking(f"from {MAIL} "), signature("c2ln"), stop())
    out, play = sent(stream, held(response=settings(Action.FLAG)))
    assert assembled(out)[0]["thinking"] == f"from {MAIL} "
    assert play.record.found[0].count == 1


def test_redacted_thinking_passes_as_it_came_or_not_at_all():
    data = "QUtJQUlPU0ZPRE5ON0VYQU1QTEU" * 30
    sealed = {"type": "redacted_thinking", "data": data}
    assert assembled(sent(whole(block(**sealed), stop()))[0]) == [sealed]
    out, _ = sent(whole(block(**{**sealed, "data": f"x {MAIL}"}), stop()))
    assert b"example" not in out


def test_citations_are_guarded_whole():
    citation = {"type": "char_location", "cited_text": f"by {MAIL}", "document_index": 0, "document_title": MAIL,
                "start_char_index": 0, "end_char_index": 9}  # fmt: skip
    out, _ = sent(whole(block(), text("so "), delta(0, "citations_delta", "citation", citation), text("it is"), stop()))
    (told,) = assembled(out)
    assert told["text"] == "so it is"
    assert told["citations"] == [{**citation, "cited_text": "by [EMAIL]", "document_title": "[EMAIL]"}]


def test_a_block_before_the_first_byte_is_a_clean_json_403_of_the_dialect():
    play = streaming(held(response=BLOCKING))
    play.give(ResponseChunk(start() + block() + text(f"{MAIL} "), end_of_stream=False))
    (answer,) = [command for command in play.commands if hasattr(command, "rendered")]
    assert answer.rendered.status == 403
    assert json.loads(answer.rendered.body)["error"]["type"] == "permission_error"


def test_a_block_in_mid_stream_ends_it_with_one_error_event():
    play = streaming(held(response=BLOCKING))
    play.give(ResponseChunk(start() + block() + text("so far so good. "), end_of_stream=False))
    play.give(ResponseChunk(text(f"mail {MAIL} and more") + stop() + end(), end_of_stream=False))
    last = events(play.sent())[-1]
    assert last["error"] == {
        "type": "permission_error",
        "message": "The answer held data that policy does not let through (rule pii.email). (answer_blocked)",
    }
    assert b"message_stop" not in play.sent()
    assert play.commands[-1].end_of_stream
    assert play.give(ResponseChunk(text("late"), end_of_stream=True)) == []


def test_a_providers_error_event_passes_guarded_and_nothing_follows():
    error = {"type": "overloaded_error", "message": f"ask {MAIL}"}
    out, _ = sent(start() + block() + text("half a wo") + event(type="error", error=error) + text("late ") + stop())
    assert events(out)[-1] == {"type": "error", "error": {**error, "message": "ask [EMAIL]"}}


@pytest.mark.parametrize("last", [b"", event(type="message_stop")])
def test_words_of_a_block_that_never_stops_are_released_at_the_end(last):
    out, _ = sent(start() + block() + text("the end") + last)
    assert b"".join(each["delta"]["text"].encode() for each in events(out) if "delta" in each) == b"the end"


@pytest.mark.parametrize(
    "bad",
    [
        b"event: ping\ndata: {broken\n\n",
        b"data: []\n\n",
        b"data: 1\n\n",
        b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\xff"}}\n\n',
        b'event: ping\ndata: {"type":"content_block_del',
        event(type="content_block_thought", index=0),
        start(),
        block(2),
        block(0),
        block(1),
        stop() + block(1, type="server_tool_use", id="s", name="web_search", input={}),
        stop() + block(1, type=["text"]),
        block(True),
        stop() + block(1) + text("x", 0),
        text("x", 1),
        text("x", "0"),
        text("x", [0]),
        stop(1),
        event(type="content_block_delta", index=0, delta="x"),
        delta(0, "text_delta", "text", ["x"]),
        delta(0, "text_delta", "text", None),
        delta(0, "voice_delta", "text", "x"),
        delta(0, ["text_delta"], "text", "x"),
        thinking("x"),
        signature("x"),
        source("{}"),
        delta(0, "citations_delta", "citation", "x"),
        stop() + text("x"),
        stop() + stop(),
        event(type="message_delta", delta=None, usage={}),
        event(type="message_delta", delta={}, usage=[]),
        event(type="message_delta", delta={"stop_reason": {"a": 1}}, usage={}),
    ],
)  # fmt: skip
def test_what_cannot_be_understood_cuts_the_stream(bad):
    out, play = sent(start() + block() + text("hi. ") + bad + text("late"))
    assert events(out)[-1]["error"]["type"] == "api_error"
    assert b"late" not in out
    assert (play.record.outcome, play.record.code) == ("cut", "backend_answer_invalid")


@pytest.mark.parametrize("first", [block(), text("x"), stop(), end(), start(content=[{"type": "text", "text": "x"}])])
def test_a_stream_begins_with_an_empty_message(first):
    _, play = sent(first)
    assert play.record.code == "backend_answer_invalid"


@pytest.mark.parametrize("more", [thinking("ple.com "), signature("again")])
def test_nothing_follows_a_signature(more):
    out, _ = sent(whole(block(**THOUGHT), thinking("bob@exam"), signature("c2ln"), more, stop()))
    assert b"ple.com" not in out
    assert b"again" not in out
    assert events(out)[-1]["type"] == "error"


def test_blocks_are_bounded():
    out, _ = sent(start() + b"".join(block(index) + stop(index) for index in range(1100)))
    assert events(out)[-1]["type"] == "error"


def test_a_delta_of_a_megabyte_is_guarded_or_refused():
    out, _ = sent(whole(block(), text("word " * 150_000 + MAIL + " "), stop()))
    assert b"example" not in out
    assert b"[EMAIL]" in out


@pytest.mark.parametrize("line", [b"event: %s\n", b"id: %s\n", b"retry: %s\n", b": %s\n", b"%s\n"])
def test_no_other_line_of_an_event_leaves(line):
    clean = text("clean. ").partition(b"\n")[2]
    out, _ = sent(whole(block(), line % MAIL.encode() + clean, stop()))
    assert assembled(out) == [{"type": "text", "text": "clean. "}]
    assert b"example" not in out


@pytest.mark.parametrize("value", [f'"{MAIL}"', f'["{MAIL}"]', f'{{"a":"{MAIL}"}}', f'{{"{MAIL}":1}}'])
@pytest.mark.parametrize(
    "source_of_event",
    [
        *(f'{{"type":"message_start","message":{{"content":[],"{key}":@}}}}' for key in
          ("id", "type", "role", "model", "stop_reason", "stop_sequence", "usage", "stop_details", "note", "content")),
        '{"type":"message_start","message":{"content":[]},"note":@}',
        '{"type":"content_block_start","index":0,"content_block":{"type":"text","text":@}}',
        '{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"","citations":@}}',
        '{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"","note":@}}',
        '{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":@}}',
        '{"type":"content_block_start","index":0,"content_block":{"type":"thinking","signature":@}}',
        '{"type":"content_block_start","index":0,"content_block":{"type":"redacted_thinking","data":@}}',
        *(f'{{"type":"content_block_start","index":0,"content_block":{{"type":"tool_use","{key}":@}}}}' for key in
          ("id", "name", "input", "caller", "note")),
        '{"type":"content_block_start","index":0,"content_block":{"type":@}}',
        '{"type":"message_delta","delta":{"stop_reason":@},"usage":{}}',
        '{"type":"message_delta","delta":{"stop_sequence":@},"usage":{}}',
        '{"type":"message_delta","delta":{"stop_details":@},"usage":{}}',
        '{"type":"message_delta","delta":{"note":@},"usage":{}}',
        '{"type":"message_delta","delta":{},"usage":@}',
        '{"type":"message_delta","delta":{},"note":@}',
        '{"type":"message_stop","note":@}',
        '{"type":"ping","note":@}',
        '{"type":"error","error":{"message":@}}',
        '{"type":"error","note":@}',
        '{"type":@}',
    ],
)  # fmt: skip
def test_no_field_of_an_event_carries_text_past_the_guard(source_of_event, value):
    tree = source_of_event.replace("@", value)
    first = b"" if "message_start" in tree else start()
    out, play = sent(first + b"data: " + tree.encode() + b"\n\n" + stop() + end())
    answers = b"".join(command.rendered.body for command in play.commands if hasattr(command, "rendered"))
    assert b"example" not in out + answers
    assert play.record


@pytest.mark.parametrize(
    "of_block", ["text_delta", "thinking_delta", "signature_delta", "citations_delta", "input_json_delta"]
)
@pytest.mark.parametrize("value", [MAIL, [MAIL], {"a": MAIL}, {MAIL: 1}])
def test_no_delta_carries_text_past_the_guard(of_block, value):
    kind = {
        "t": {"type": "text", "text": ""},
        "th": THOUGHT,
        "s": THOUGHT,
        "c": {"type": "text", "text": ""},
        "i": CALL,
    }
    opening = kind["th" if of_block.startswith("th") else of_block[0]]
    field = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature",
             "citations_delta": "citation", "input_json_delta": "partial_json"}[of_block]  # fmt: skip
    change = {"type": of_block, field: value, "note": MAIL}
    out, _ = sent(whole(block(**opening), event(type="content_block_delta", index=0, delta=change), stop()))
    assert b"example" not in out


WORDS = st.lists(
    st.sampled_from([MAIL, "bob@exam", "ple.com", " ", "4111 1111 1111 1111", "the ", "\n", "é", "💥", '"', "\\", "@"]),
    max_size=8,
).map("".join)


@hypothesis.settings(deadline=None)  # three exchanges, one of them byte by byte
@given(WORDS, WORDS, WORDS, st.integers(1, 40), st.data())
def test_the_streaming_invariant(said, told, thought, size, data):
    """Any cut of the texts into deltas and of the bytes into chunks gives the same content, or the same verdict."""
    arguments = json.dumps({"to": told})
    cut = st.integers(1, 5)

    def stream(step):
        parts = [block(0, **THOUGHT), *pieces(thinking, thought, 0, step), signature("c2ln", 0), stop(0),
                 block(1), *pieces(text, said, 1, step), stop(1),
                 block(2, **CALL), *pieces(source, arguments, 2, step), stop(2)]  # fmt: skip
        return whole(*parts)

    once, first = sent(stream(10_000))
    again, second = sent(stream(data.draw(cut)), size=size)
    bytewise, third = sent(stream(1), size=1)
    assert first.record.code == second.record.code == third.record.code
    assert first.record.found == second.record.found == third.record.found
    if not first.record.code:
        assert assembled(once) == assembled(again) == assembled(bytewise)


def pieces(make, words, index, step):
    return [make(words[at : at + step], index) for at in range(0, len(words), step)]


def test_what_a_call_begins_with_is_no_picture_whatever_its_fields_are_called():
    key = "sk-" + "a1" * 24 + "/" + "A" * 600  # in what is base64 through and through
    out, play = sent(whole(block(**{**CALL, "input": {"embedding": key}}), stop()))
    assert b"a1a1" not in out
    assert play.record.found
