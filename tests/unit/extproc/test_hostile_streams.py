"""Streams that are odd or mean harm, each trait in each dialect: guarded and told whole, or cut with a typed error."""

import gzip
import json

import pytest

import messaging
import responding
from extproc.core.commands import Answer
from extproc.core.events import RequestBody, ResponseChunk
from playbook import CHAT, DONE, Play, answer_head, head

CANARY = "bob.canary@example.com"
PIECES = ["Hi there. ", "Write to bob.can", "ary@exam", "ple.com or ", "wait. "]
CLEAN = "Hi there. Write to [EMAIL] or wait. "
COMPLETIONS, RESPONSES, MESSAGES = "/v1/completions", responding.PATH, messaging.MESSAGES
PATHS = [CHAT, COMPLETIONS, RESPONSES, MESSAGES]
USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
MEGABYTE = 1024 * 1024


def chunk(tree):
    return b"data: " + json.dumps(tree).encode() + b"\n\n"


def choice(path, text, index=0, finish=None, delta=None, **more):
    said = {"delta": {"content": text} if delta is None else delta} if path == CHAT else {"text": text}
    body = {"index": index, **said, "finish_reason": finish}
    return chunk({"id": "c", "object": "x", "created": 1, "model": "m", "choices": [body], **more})


def said(path, pieces):
    """The events that tell `pieces`, from the first to the last."""
    if path == RESPONSES:
        item = responding.message(responding.part("".join(pieces)))
        return responding.Script().begin().item(item, ("output_text", 0, pieces)).end().events
    if path == MESSAGES:
        texts = [messaging.text(piece) for piece in pieces]
        end = [each + b"\n\n" for each in messaging.end().split(b"\n\n") if each]
        return [messaging.start(), messaging.block(), *texts, messaging.stop(), *end]
    return [*[choice(path, piece) for piece in pieces], choice(path, "", finish="stop"), DONE]


def heard(path, raw, *, size=0, held=None, **headers):
    """An exchange whose answer was `raw`."""
    body = {"model": messaging.CLAUDE if path == MESSAGES else "gpt-4o-mini", "stream": True}
    body |= {CHAT: {"messages": [{"role": "user", "content": "hi"}]}, COMPLETIONS: {"prompt": "hi"},
             RESPONSES: {"input": "hi"}, MESSAGES: {"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}}[path]  # fmt: skip
    play = Play(held or messaging.held())
    play.give(head(path), RequestBody(json.dumps(body).encode(), end_of_stream=True))
    play.give(answer_head(kind="text/event-stream", **headers))
    for at in range(0, len(raw), size or len(raw)):
        if not play.records:
            play.give(ResponseChunk(raw[at : at + (size or len(raw))], end_of_stream=False))
    if not play.records:
        play.give(ResponseChunk(b"", end_of_stream=True))
    return play


def told(play, index=0):
    """What a client puts together of one choice, or of all deltas."""
    text = ""
    for block in play.sent().split(b"\n\n"):
        at = block.find(b"data: {")
        if at < 0:
            continue
        tree = json.loads(block[at + 6 :])
        for each in tree.get("choices", ()):
            if each["index"] == index:
                text += each.get("text") or (each.get("delta") or {}).get("content") or ""
        if tree.get("type") == "response.output_text.delta":
            text += tree["delta"]
        if tree.get("type") == "content_block_delta":
            text += tree["delta"]["text"]
    return text


def parsed(play, hidden=b"canary"):
    """Every event that left is one that readers of the standard understand, and no byte of the canary is in it."""
    sent = play.sent()
    assert hidden not in sent
    for block in sent.split(b"\n\n"):
        for line in block.split(b"\n"):
            assert line.startswith((b"data: ", b"event: ", b": keep-alive")) or not line
            if line.startswith(b"data: {"):
                json.loads(line[6:])


def between(events, line):
    return b"".join(line + event for event in events)


#: How every event may be written otherwise, and still says the same.
WRITTEN = {
    "comments": lambda events: between(events, b": bob.canary@example.com\n\n"),
    "comments inside events": lambda events: between(events, b": bob.canary@example.com\n"),
    "ids": lambda events: between(events, b"id: bob.canary@example.com\n"),
    "retry fields": lambda events: between(events, b"retry: 10\n"),
    "unknown fields": lambda events: between(events, b"bob.canary@example.com: 1\n"),
    "line ends of CRLF": lambda events: b"".join(events).replace(b"\n", b"\r\n"),
    "line ends of CR": lambda events: b"".join(events).replace(b"\n", b"\r"),
    "no blank after the colon": lambda events: b"".join(events).replace(b"data: ", b"data:"),
    "blank lines": lambda events: between(events, b"\n\n\n"),
    "a byte order mark": lambda events: b"\xef\xbb\xbf" + b"".join(events),
    "data over several lines": lambda events: b"".join(events).replace(b'", "', b'",\ndata: "'),
    "letters as escapes": lambda events: b"".join(events).replace(b"ary@exam", b"\\u0061ry\\u0040exam"),
}


@pytest.mark.parametrize("size", [0, 1, 5])
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("trait", WRITTEN)
def test_a_stream_may_be_written_otherwise(trait, path, size):
    play = heard(path, WRITTEN[trait](said(path, PIECES)), size=size)
    parsed(play)
    assert told(play) == CLEAN
    assert play.record.outcome == "completed"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "pieces", [["", *PIECES, ""], [p for each in PIECES for p in ("", each, "")], list("".join(PIECES))]
)
def test_empty_deltas_and_deltas_of_one_letter(path, pieces):
    play = heard(path, b"".join(said(path, pieces)))
    parsed(play)
    assert told(play) == CLEAN


@pytest.mark.parametrize("path", PATHS)
def test_a_delta_of_a_megabyte_is_guarded_or_refused_as_too_large(path):
    for size in (200 * 1024, MEGABYTE):
        words = "word " * (size // 5) + f"to {CANARY} "
        play = heard(path, b"".join(said(path, [words])))
        parsed(play)
        if size < MEGABYTE:
            assert told(play) == words.replace(CANARY, "[EMAIL]")
        else:
            assert play.record.code == "backend_answer_invalid"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("left", [1, 2, 3])
def test_a_stream_without_its_last_events_releases_its_last_words_once(path, left):
    events = said(path, PIECES)
    last = max(
        at for at, event in enumerate(events) if (b"wait." in event and b"delta" in event) or b'"wait. "' in event
    )
    kept = events[: max(len(events) - left, min(last, len(PIECES) + 5) + 1)]
    play = heard(path, b"".join(kept))
    parsed(play)
    assert told(play) == CLEAN


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("size", [0, 1])
def test_an_event_without_its_end_is_judged_or_cut(path, size):
    events = said(path, PIECES)
    raw = b"".join(events)
    for end in (len(raw) - 1, len(raw) - 2, len(raw) - 20, len(raw) // 2):
        play = heard(path, raw[:end], size=size)
        parsed(play, CANARY.encode())
        # Half an address, where no more of it was ever said, is none.
        assert any(whole.startswith(told(play)) for whole in (CLEAN, "".join(PIECES)))


BROKEN = {
    "invalid UTF-8": lambda event: event.replace(b"Write", b"Wri\xff\xfete"),
    "half a letter": lambda event: event.replace(b"Write", b"Wri\xc3"),
    "truncated JSON": lambda event: event[: len(event) // 2] + b"\n\n",
    "no JSON": lambda event: b"data: <html>" + CANARY.encode() + b"</html>\n\n",
    "a list": lambda event: b'data: ["' + CANARY.encode() + b'"]\n\n',
    "two documents": lambda event: event.replace(b"\n\n", b"{}\n\n"),
    "a number that is none": lambda event: event.replace(b'"Write', b'NaN,"x":"Write'),
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("trait", BROKEN)
@pytest.mark.parametrize("size", [0, 1])
def test_an_event_that_cannot_be_read_ends_the_stream_with_a_typed_error(trait, path, size):
    events = said(path, PIECES)
    at = next(at for at, event in enumerate(events) if b"Write" in event)
    events[at] = BROKEN[trait](events[at])
    play = heard(path, b"".join(events), size=size)
    parsed(play)
    assert CLEAN.startswith(told(play))
    assert play.record.code == "backend_answer_invalid"
    refused = [each for each in play.commands if isinstance(each, Answer)]
    assert b"could not be understood" in (play.sent() if size else refused[0].rendered.body)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "identity, gzip"])
def test_a_compressed_stream_is_withheld(path, encoding):
    play = heard(path, gzip.compress(b"".join(said(path, PIECES))), content_encoding=encoding)
    assert play.sent() == b""
    (answer,) = [each for each in play.commands if isinstance(each, Answer)]
    assert answer.rendered.status == 502
    assert play.record.code == "backend_answer_invalid"


@pytest.mark.parametrize("path", PATHS)
def test_gzip_that_says_it_is_none_is_no_event_stream(path):
    play = heard(path, gzip.compress(b"".join(said(path, PIECES))))
    parsed(play)
    assert told(play) == ""


# --- of choices -------------------------------------------------------------------------------------------
CHOICES = [CHAT, COMPLETIONS]


@pytest.mark.parametrize("path", CHOICES)
def test_interleaved_choices_are_guarded_apart(path):
    events = [choice(path, piece, index) for piece in PIECES for index in (2, 0, 1)]
    play = heard(path, b"".join([*events, *[choice(path, "", index, "stop") for index in (1, 0, 2)], DONE]))
    parsed(play)
    assert [told(play, index) for index in range(3)] == [CLEAN] * 3


@pytest.mark.parametrize("path", CHOICES)
def test_one_event_may_speak_for_several_choices(path):
    trees = [json.loads(choice(path, piece)[6:]) for piece in PIECES]
    for tree in trees:
        tree["choices"] = [{**tree["choices"][0], "index": index} for index in (1, 0)]
    play = heard(path, b"".join([*map(chunk, trees), DONE]))
    parsed(play)
    assert [told(play, index) for index in range(2)] == [CLEAN] * 2


@pytest.mark.parametrize("path", CHOICES)
def test_usage_in_every_chunk_is_read_and_the_last_counts(path):
    events = [choice(path, piece, usage={**USAGE, "completion_tokens": at}) for at, piece in enumerate(PIECES)]
    play = heard(path, b"".join([*events, DONE]))
    parsed(play)
    assert told(play) == CLEAN
    assert (play.record.usage.input_tokens, play.record.usage.output_tokens) == (5, 4)


def test_chunks_that_only_say_a_role_change_nothing():
    role = choice(CHAT, "", delta={"role": "assistant"})
    play = heard(CHAT, b"".join([role, *[choice(CHAT, piece) + role for piece in PIECES], DONE]))
    parsed(play)
    assert told(play) == CLEAN


@pytest.mark.parametrize("path", CHOICES)
@pytest.mark.parametrize("again", [1, 3])
def test_a_finish_reason_that_comes_again_is_told_and_releases_nothing_more(path, again):
    ends = [choice(path, "", finish="stop")] * again
    play = heard(path, b"".join([*[choice(path, piece) for piece in PIECES], *ends, *ends, DONE]))
    parsed(play)
    assert told(play) == CLEAN


@pytest.mark.parametrize("path", CHOICES)
def test_words_behind_a_finish_reason_cut_the_stream(path):
    events = [choice(path, PIECES[0] + PIECES[1]), choice(path, "", finish="stop"), choice(path, PIECES[2]), DONE]
    play = heard(path, b"".join(events), size=1)
    parsed(play)
    assert play.record.code == "backend_answer_invalid"


# --- of blocks and items ----------------------------------------------------------------------------------
def test_usage_in_every_event_of_a_message_counts_once():
    ends = messaging.end(output_tokens=3).split(b"event: message_stop")
    events = said(MESSAGES, PIECES)[:-2]
    play = heard(MESSAGES, b"".join([*events, ends[0], ends[0], b"event: message_stop" + ends[1]]))
    parsed(play)
    assert told(play) == CLEAN
    assert (play.record.usage.input_tokens, play.record.usage.output_tokens) == (9, 3)


def test_a_message_that_stops_twice_ends_once():
    events = said(MESSAGES, PIECES)
    play = heard(MESSAGES, b"".join([*events, events[-1], *events]))
    parsed(play)
    assert told(play) == CLEAN
    assert play.sent().count(b"event: message_stop") == 1


def test_a_response_that_ends_twice_ends_once():
    events = said(RESPONSES, PIECES)
    play = heard(RESPONSES, b"".join([*events, events[-1], *events]))
    parsed(play)
    assert told(play) == CLEAN
    assert play.sent().count(b"event: response.completed") == 1


def test_usage_in_every_event_of_a_response_is_read_and_the_last_counts():
    script = responding.Script()
    for tokens in range(3):
        early = responding.response(status="in_progress", usage={**responding.USAGE, "output_tokens": tokens})
        script.say("response.in_progress", response=early)
    item = responding.message(responding.part("".join(PIECES)))
    play = heard(RESPONSES, script.item(item, ("output_text", 0, PIECES)).end().raw)
    parsed(play)
    assert (play.record.usage.input_tokens, play.record.usage.output_tokens) == (9, 4)
