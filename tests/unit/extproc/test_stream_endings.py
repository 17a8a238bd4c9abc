"""How event streams end: with their dialect's last event, whoever leaves with it; or broken off, which is told."""

import pytest

import contents
import messaging
import responding
from extproc.core.commands import SendBody
from extproc.core.events import Expired, Gone, ResponseChunk, Revoked
from playbook import DONE, MAIL, REVOKED, Play, answer_head, chat, delta

PIECES = ["Hi there. ", "Write to bob@exam", "ple.com or ", "wait. "]
USAGE = b'data: {"id":"c1","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4}}\n\n'
ERRORS = {
    "chat": b'data: {"error":{"message":"overloaded","type":"server_error"}}\n\n',
    "messages": messaging.event(type="error", error={"type": "overloaded_error", "message": "overloaded"}),
    "responses": b'data: {"type":"error","code":"server_error","message":"overloaded"}\n\n',
    "gemini": b'data: {"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}\r\n\r\n',
}


def chat_events():
    return [*[delta(piece) for piece in PIECES], delta(None, finish_reason="stop"), USAGE, DONE]


def message_events():
    texts = [messaging.text(piece) for piece in PIECES]
    end = [each + b"\n\n" for each in messaging.end().split(b"\n\n") if each]
    return [messaging.start(), messaging.block(), *texts, messaging.stop(), *end]


def response_events():
    item = responding.message(responding.part("".join(PIECES)))
    return responding.Script().begin().item(item, ("output_text", 0, PIECES)).end().events


def gemini_events():
    return [*[contents.event(contents.candidate(piece)) for piece in PIECES], contents.words()]


EVENTS = {"chat": chat_events, "messages": message_events, "responses": response_events, "gemini": gemini_events}
#: Dialects whose last event says that nothing follows.
SAYING = ["chat", "messages", "responses"]


def streaming(dialect):
    if dialect == "messages":
        return messaging.streaming()
    if dialect == "responses":
        return responding.streaming()
    if dialect == "gemini":
        play, _ = contents.asked(contents.body(), path=contents.STREAM)
    else:
        play = Play()
        play.asked(stream=True)
    play.give(answer_head(kind="text/event-stream"))
    return play


def fed(dialect, events):
    play = streaming(dialect)
    for each in events:
        play.give(ResponseChunk(each, end_of_stream=False))
    return play


@pytest.mark.parametrize("dialect", SAYING)
def test_a_client_that_leaves_with_the_last_event_has_had_its_answer(dialect):
    play = fed(dialect, EVENTS[dialect]())
    play.give(Gone())
    assert (play.record.outcome, play.record.usage.source) == ("completed", "provider")


@pytest.mark.parametrize("dialect", sorted(EVENTS))
def test_a_client_that_leaves_before_the_last_event_has_not(dialect):
    play = fed(dialect, EVENTS[dialect]()[:-1])
    play.give(Gone())
    assert play.record.outcome == "aborted"


@pytest.mark.parametrize("late", [Expired("idle"), Expired("exchange"), Revoked(REVOKED)], ids=repr)
@pytest.mark.parametrize("dialect", SAYING)
def test_nothing_is_added_to_a_stream_that_has_told_its_last_event(dialect, late):
    play = fed(dialect, EVENTS[dialect]())
    told = play.sent()
    assert play.give(late)[0] == SendBody(b"", end_of_stream=True)
    assert play.sent() == told
    assert (play.record.outcome, play.record.code) == ("completed", "")


@pytest.mark.parametrize("dialect", sorted(EVENTS))
@pytest.mark.parametrize("kept", [0, 2, -3])
def test_a_stream_that_breaks_off_ends_in_an_error(dialect, kept):
    events = EVENTS[dialect]()
    play = fed(dialect, events[:kept])
    play.give(ResponseChunk(b"", end_of_stream=True))
    sent = play.sent()
    assert b"The model's answer broke off." in sent.split(b"\n\n")[-2 if sent.count(DONE) == 0 else -3]
    assert MAIL.encode() not in sent
    assert (play.record.outcome, play.record.status) == ("failed", 200)


@pytest.mark.parametrize("dialect", sorted(EVENTS))
def test_what_was_held_is_told_before_the_error(dialect):
    play = fed(dialect, EVENTS[dialect]()[: 6 if dialect == "messages" else 8 if dialect == "responses" else 4])
    play.give(ResponseChunk(b"", end_of_stream=True))
    sent = play.sent()
    assert sent.index(b"[EMAIL]") < sent.index(b"broke off")


@pytest.mark.parametrize("dialect", sorted(EVENTS))
@pytest.mark.parametrize("last", [Gone(), ResponseChunk(b"", end_of_stream=True)], ids=["leaves", "ends"])
def test_an_error_of_the_providers_own_ends_a_stream_that_failed(dialect, last):
    play = fed(dialect, [*EVENTS[dialect]()[:2], ERRORS[dialect]])
    play.give(last)
    assert b"overloaded" in play.sent()
    assert b"broke off" not in play.sent()
    assert play.record.outcome == "failed"


def test_a_chat_server_may_leave_its_terminator_out():
    play = fed("chat", EVENTS["chat"]()[:-1])
    play.give(ResponseChunk(b"", end_of_stream=True))
    assert b"broke off" not in play.sent()
    assert play.record.outcome == "completed"


def test_each_choice_has_to_come_to_its_end():
    play = Play()
    play.asked(chat(stream=True, n=2))
    play.give(answer_head(kind="text/event-stream"))
    play.give(ResponseChunk(delta("a ", 0) + delta("b ", 1) + delta(None, 0, finish_reason="stop"), end_of_stream=True))
    assert b"broke off" in play.sent()
    assert play.record.outcome == "failed"


def record(play):
    return play.record.outcome, play.record.code, play.record.reason


def test_nothing_leaves_behind_an_error_but_the_terminator():
    first, second = (b'data: {"error":{"message":"%s"}}\n\n' % part for part in (b"bob@exam", b"ple.com"))
    play = fed("chat", [delta("hello "), first, second, delta("more"), DONE])
    assert b"ple.com" not in play.sent()
    assert b"more" not in play.sent()
    assert play.sent().endswith(DONE)


@pytest.mark.parametrize("dialect", ["chat", "responses"])
def test_what_was_held_comes_before_the_error(dialect):
    held = [*chat_events()[:4]] if dialect == "chat" else response_events()[:8]
    sent = fed(dialect, [*held, ERRORS[dialect]]).sent()
    assert sent.index(b"[EMAIL]") < sent.index(b"overloaded")


def test_an_error_beside_choices_is_an_error():
    """As OpenRouter tells it; the official SDKs look for it first."""
    tree = delta("", finish_reason="error").replace(b"{", b'{"error":{"message":"gone"},', 1)
    play = fed("chat", [delta("hello "), tree, DONE])
    play.give(ResponseChunk(b"", end_of_stream=True))
    assert b'{"error":{"message":"gone"}}' in play.sent()
    assert record(play) == ("failed", "backend_answer_invalid", "error told in the stream")


def test_an_error_that_is_null_is_none():
    play = fed("chat", [delta("hi", finish_reason="stop").replace(b"{", b'{"error":null,', 1), DONE])
    play.give(ResponseChunk(b"", end_of_stream=True))
    assert play.record.outcome == "completed"


def test_a_response_that_failed_is_on_record_so():
    play = responding.streaming()
    play.give(ResponseChunk(responding.Script().begin().end("failed").raw, end_of_stream=True))
    assert record(play) == ("failed", "backend_answer_invalid", "error told in the stream")


@pytest.mark.parametrize("reason", ["", "FINISH_REASON_UNSPECIFIED", None])
def test_a_candidate_without_a_reason_broke_off(reason):
    play = fed("gemini", [contents.event(contents.candidate("half an", finish=reason))])
    play.give(ResponseChunk(b"", end_of_stream=True))
    assert record(play) == ("failed", "backend_answer_invalid", "stream without an end")


@pytest.mark.parametrize(
    ("feedback", "outcome"), [({"blockReason": "SAFETY"}, "completed"), ({"safetyRatings": []}, "failed")]
)
def test_a_prompt_that_gemini_refused_has_no_other_end(feedback, outcome):
    play = fed("gemini", [contents.event(promptFeedback=feedback)])
    play.give(ResponseChunk(b"", end_of_stream=True))
    assert play.record.outcome == outcome


def test_a_stream_has_as_many_choices_as_it_may_have_texts():
    events = b"".join([delta(None, index, finish_reason=None) for index in range(1100)])
    play = fed("chat", [events])
    assert play.record.reason == "too many choices"
