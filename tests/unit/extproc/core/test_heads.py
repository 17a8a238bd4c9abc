"""Heads of answers: what is passed on of them, what cannot be judged, what Envoy's own replies say."""

import pytest

from extproc.core import heads
from gateway.errors import GatewayError, Kind


def test_a_field_that_is_there_twice_has_both_values():
    assert heads.fields((("a", "1"), ("b", "2"), ("a", "3"))) == {"a": "1, 3", "b": "2"}


def test_of_a_providers_head_only_what_is_allowed_passes():
    change = heads.passed(
        (":status", "server", "x-request-id", "content-type", "openai-processing-ms"), heads.SSE
    ).change
    assert change.remove == ("server", "x-request-id")
    assert change.put == (("content-type", "text/event-stream; charset=utf-8"),)
    assert heads.passed(("content-type",), "").change.remove == ("content-type",)


@pytest.mark.parametrize(
    ("status", "kind", "encoding", "refused"),
    [
        (200, heads.JSON, "gzip", Kind.BACKEND_ANSWER_INVALID),
        (401, heads.JSON, "", Kind.BACKEND_UNAVAILABLE),
        (200, "text/html", "", Kind.BACKEND_ANSWER_INVALID),
        (429, "text/html", "", Kind.BACKEND_UNAVAILABLE),
    ],
)
def test_what_cannot_be_judged_is_refused(status, kind, encoding, refused):
    with pytest.raises(GatewayError) as error:
        heads.check_answer(status, kind, encoding, streams=False, denied=status == 401)
    assert error.value.kind is refused


def test_json_and_the_stream_that_was_asked_for_can_be_judged():
    heads.check_answer(200, heads.JSON, "identity", streams=False, denied=False)
    heads.check_answer(200, heads.SSE, "", streams=True, denied=False)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (503, "", Kind.BACKEND_UNAVAILABLE),
        (504, "", Kind.BACKEND_TIMEOUT),
        (503, "policy_unavailable", Kind.POLICY_UNAVAILABLE),
    ],
)
def test_a_reply_of_envoy_is_told_in_our_words(status, code, kind):
    assert heads.of_envoy(status, code, "upstream_reset").kind is kind


def test_an_answer_that_went_well_and_has_no_body_is_no_answer():
    with pytest.raises(GatewayError) as error:
        heads.refuse_empty(200)
    assert error.value.kind is Kind.BACKEND_ANSWER_INVALID


@pytest.mark.parametrize("status", [204, 304, 400, 503])
def test_what_says_that_it_has_no_body_may_have_none(status):
    heads.refuse_empty(status)
