"""The cap on output tokens: more is refused in every spelling, nothing gets the cap, one edit and no other byte."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.core.cap import SPELLINGS, cap, splice
from extproc.providers.openai import Chat, Completions, Embeddings
from gateway.errors import GatewayError, Kind

MESSAGES = {"messages": [{"role": "user", "content": "hi"}]}


def refused(body, door=None, most=100):
    with pytest.raises(GatewayError) as caught:
        cap(body, door or Chat(), most)
    return caught.value


@pytest.mark.parametrize("field", SPELLINGS)
def test_every_spelling_of_more_is_refused(field):
    error = refused({**MESSAGES, field: 101})
    assert (error.kind, error.param) == (Kind.MAX_TOKENS_EXCEEDED, field)


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_a_request_within_the_cap_is_left_as_it_is(field):
    assert cap({**MESSAGES, field: 100}, Chat(), 100) is None


def test_a_spelling_that_few_servers_read_does_not_replace_the_cap():
    assert cap({**MESSAGES, "n_predict": 5}, Chat(), 100) == ("max_completion_tokens", 100)


def test_the_smaller_of_two_spellings_does_not_hide_the_larger():
    assert refused({**MESSAGES, "max_tokens": 1, "max_completion_tokens": 101}).param == "max_completion_tokens"


@pytest.mark.parametrize("absent", [{}, {"max_tokens": None}, {"max_completion_tokens": None, "n": None}])
def test_nothing_asked_for_is_the_cap_in_the_field_of_the_route(absent):
    assert cap({**MESSAGES, **absent}, Chat(), 100) == ("max_completion_tokens", 100)
    assert cap({"prompt": "a", **absent}, Completions(), 100) == ("max_tokens", 100)


@pytest.mark.parametrize(
    ("door", "body", "each"),
    [
        (Chat(), {**MESSAGES, "n": 3}, 33),
        (Completions(), {"prompt": ["a", "b"]}, 50),
        (Completions(), {"prompt": ["a", "b"], "n": 1, "best_of": 5}, 10),
    ],
)
def test_the_cap_is_on_the_sum_of_all_answers(door, body, each):
    field, value = cap(body, door, 100)
    assert value == each
    assert cap({**body, field: each}, door, 100) is None
    assert refused({**body, field: each + 1}, door).kind is Kind.MAX_TOKENS_EXCEEDED


def test_more_answers_than_tokens_are_refused():
    assert refused({**MESSAGES, "n": 101}).param == "n"


@pytest.mark.parametrize("value", ["50", 50.0, True, 0, -1, [1], {}])
@pytest.mark.parametrize("field", ["max_tokens", "n"])
def test_what_readers_may_take_for_another_number_is_refused(field, value):
    error = refused({**MESSAGES, field: value})
    assert (error.kind, error.param) == (Kind.REQUEST_INVALID, field)


def test_another_case_of_a_field_is_refused():
    assert refused({**MESSAGES, "Max_Tokens": 5}).kind is Kind.REQUEST_INVALID


def test_without_a_cap_nothing_is_looked_at():
    assert cap({**MESSAGES, "max_tokens": "whatever"}, Chat(), None) is None


def test_embeddings_have_no_output_to_bound():
    assert cap({"input": "a", "max_tokens": 1000}, Embeddings(), 1) is None


@given(st.dictionaries(st.text(), st.integers() | st.text(), min_size=1), st.integers(1, 10**7))
def test_a_splice_adds_one_field_and_changes_no_other(body, value):
    body.pop("cap", None)
    body = body or {"x": 1}
    raw = json.dumps(body).encode()
    out = splice(raw, "cap", value)
    assert json.loads(out) == {**body, "cap": value}
    assert out.endswith(raw[1:])
