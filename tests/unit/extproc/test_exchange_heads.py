"""Heads of requests and answers that two readers could understand in two ways."""

import json

import pytest

from extproc.core.commands import PassResponseHead
from extproc.core.events import RequestBody, RequestHead, ResponseChunk, ResponseHead
from playbook import MAIL, VIA, Play, answer_head, chat, completion, delta, head
from worlds import policy


def twice(name, *values):
    asked = head()
    others = tuple(pair for pair in asked.headers if pair[0] != name)
    return RequestHead(others + tuple((name, value) for value in values), asked.caller, end_of_stream=False)


@pytest.mark.parametrize(
    ("name", "values", "code"),
    [
        ("content-encoding", ("deflate", "identity"), "content_encoding_unsupported"),
        ("content-encoding", ("identity", "br"), "content_encoding_unsupported"),
        ("content-type", ("text/plain", "application/json"), "content_type_unsupported"),
        ("content-type", ("application/json", "application/json; charset=utf-16"), "content_type_unsupported"),
    ],
)
def test_a_field_that_is_there_twice_counts_with_both_values(name, values, code):
    play = Play()
    play.give(twice(name, *values))
    assert play.refused() == (415, code)


def test_an_answer_with_two_types_or_encodings_is_withheld():
    for extra in (("content-type", "text/html"), ("content-encoding", "gzip")):
        play = Play()
        play.asked()
        fields = (("content-encoding", "identity"), *answer_head().headers[:1], extra, *answer_head().headers[1:])
        play.give(ResponseHead(fields, False, VIA))
        assert play.refused() == (502, "backend_answer_invalid")


@pytest.mark.parametrize("parameters", ["", "; charset=utf-7", f"; note={MAIL}", ";charset=utf-16", "; x"])
def test_the_client_is_told_the_charset_that_was_judged(parameters):
    play = Play()
    play.asked()
    play.give(answer_head(kind=f"Application/JSON{parameters}"), ResponseChunk(completion("x"), end_of_stream=True))
    assert play.commands[-2].change.put == (("content-type", "application/json"),)
    play = Play()
    play.asked(stream=True)
    play.give(answer_head(kind=f"text/event-stream{parameters}"), ResponseChunk(delta("x. "), end_of_stream=True))
    assert play.commands[-2].change.put == (("content-type", "text/event-stream; charset=utf-8"),)


def test_an_answer_without_body_has_no_type_but_a_known_one():
    play = Play()
    play.asked()
    (passed,) = play.give(answer_head(status="204", kind=f"text/{MAIL}", end=True))
    assert isinstance(passed, PassResponseHead)
    assert passed.change.remove == ("content-type",)


def test_a_provider_that_refuses_our_credential_without_a_body_is_not_the_clients_401():
    play = Play()
    play.asked()
    play.give(answer_head(status="401", end=True))
    assert play.refused() == (503, "backend_unavailable")
    assert play.world.told_refused == ["demo"], "a new one may lie in the vault"


@pytest.mark.parametrize("before", [[], [head()]])
@pytest.mark.parametrize("end", [True, False])
def test_an_answer_to_a_request_that_was_never_judged_is_refused(before, end):
    play = Play()
    play.give(*before, answer_head(end=end))
    assert play.refused() == (500, "internal_error")
    assert play.record.outcome == "refused"
    assert play.give(ResponseChunk(completion(MAIL), end_of_stream=True)) == []


@pytest.mark.parametrize("name", ["Model", "MODEL", "Stream", "\u017ftream", "Messages", "stream_Options"])
def test_a_field_that_some_readers_take_for_another_is_refused(name):
    play = Play()
    play.give(head(), RequestBody(chat(**{name: "forbidden-model"}), end_of_stream=True))
    assert play.refused() == (400, "request_invalid")
    (answer,) = play.commands[-1:]
    assert json.loads(answer.rendered.body)["error"]["param"] == name.casefold()


def test_fields_that_no_check_relies_on_may_have_any_name():
    play = Play(policy(strict_schema=False))
    play.asked(chat(Guided_Json={"Model": "x"}, metadata={"Model": "x"}))
    assert not play.exchange.finished
