"""A caller whose credential is taken back while the exchange runs: refused or cut in every state, recorded once."""

import pytest

from extproc.core.commands import Answer, SendBody
from extproc.core.events import (
    Gone,
    RequestBody,
    RequestTrailers,
    ResponseChunk,
    ResponseHead,
    ResponseTrailers,
    Revoked,
)
from playbook import CHAT, DONE, REVOKED, Play, answer_head, chat, completion, delta, head, texts

TAKEN_BACK = Revoked(REVOKED)
STREAM = [
    head(),
    RequestBody(chat(stream=True), end_of_stream=True),
    answer_head(kind="text/event-stream"),
    ResponseChunk(delta("first words. "), end_of_stream=False),
    ResponseChunk(delta("more words. "), end_of_stream=False),
    ResponseChunk(delta("last words. ") + DONE, end_of_stream=True),
]
JSON = [
    head(),
    RequestBody(chat(), end_of_stream=True),
    answer_head(),
    ResponseChunk(completion("all the words. ")[:40], end_of_stream=False),
    ResponseChunk(completion("all the words. ")[40:], end_of_stream=True),
]


@pytest.mark.parametrize("events", [STREAM, JSON], ids=["stream", "json"])
def test_wherever_it_comes_nothing_of_the_answer_leaves_afterwards(events):
    for at in range(len(events)):
        play = Play()
        play.give(*events[:at])
        before = texts(play.sent())
        play.give(TAKEN_BACK, *events[at:], Gone())
        assert play.exchange.finished
        assert texts(play.sent()) == before
        record = play.record
        assert (record.code, record.reason) == ("credential_revoked", "key:k1: leaked")
        assert record.outcome == ("cut" if before else "refused")
        assert record.tenant == "acme"


def test_before_the_body_is_seen_the_next_event_is_refused():
    play = Play()
    play.give(head())
    assert play.give(TAKEN_BACK) == []
    assert not play.exchange.finished
    play.give(RequestBody(chat(), end_of_stream=True))
    assert play.refused() == (401, "credential_revoked")


def test_a_request_that_waits_for_its_provider_is_refused_at_once():
    play = Play()
    play.give(*STREAM[:2])
    (answer,) = play.give(TAKEN_BACK)
    assert isinstance(answer, Answer)
    assert play.exchange.finished
    assert (play.record.outcome, play.record.status) == ("refused", 401)


def test_a_caller_that_was_revoked_before_its_request_is_seen_is_refused_and_named():
    play = Play()
    play.give(TAKEN_BACK, head())
    assert play.refused() == (401, "credential_revoked")
    assert (play.record.path, play.record.key_id, play.record.outcome) == (CHAT, "k1", "refused")


def test_nothing_is_sent_on_once_it_is_known():
    play = Play()
    play.give(head(), TAKEN_BACK)
    (answer,) = play.give(RequestBody(chat(), end_of_stream=True))
    assert isinstance(answer, Answer)


def test_a_list_of_models_is_refused_too():
    play = Play()
    play.give(TAKEN_BACK, head("/v1/models", method="GET", end=True))
    assert play.refused() == (401, "credential_revoked")


def test_an_answer_whose_head_is_held_becomes_a_json_refusal_that_is_not_retried():
    for events in (STREAM[:3], JSON[:4]):
        play = Play()
        play.give(*events, TAKEN_BACK)
        assert play.refused() == (401, "credential_revoked")
        (answer,) = [command for command in play.commands if isinstance(command, Answer)]
        assert ("x-should-retry", "false") in answer.rendered.headers
        assert play.sent() == b""


def test_a_stream_ends_with_the_dialects_error_and_terminator_and_held_words_stay():
    play = Play()
    play.give(*STREAM[:4], ResponseChunk(delta("ada@exam"), end_of_stream=False))
    (cut,) = play.give(TAKEN_BACK)
    assert isinstance(cut, SendBody)
    assert cut.end_of_stream
    assert b'"code":"credential_revoked"' in cut.body
    assert cut.body.endswith(DONE)
    assert b"ada" not in play.sent()
    assert play.record.outcome == "cut"


def test_a_local_reply_passes_as_it_is():
    play = Play()
    play.give(head(), ResponseHead(((":status", "408"),), False, {}), TAKEN_BACK)
    play.give(ResponseChunk(b"{}", end_of_stream=True))
    assert play.sent() == b"{}"


@pytest.mark.parametrize("last", [RequestTrailers(), ResponseTrailers(())])
def test_trailers_are_no_way_around(last):
    play = Play()
    play.give(*(JSON[:1] if isinstance(last, RequestTrailers) else JSON[:4]), TAKEN_BACK, last, Gone())
    assert play.sent() == b""
    assert play.record.outcome == "refused"


def test_twice_is_as_good_as_once():
    play = Play()
    play.give(*STREAM[:4], TAKEN_BACK, TAKEN_BACK, Gone())
    assert play.record.outcome == "cut"
