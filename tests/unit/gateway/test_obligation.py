"""Obligations as they travel."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import obligation
from gateway.identity import NO_OBLIGATIONS, Obligations

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=20)


@given(
    st.builds(
        Obligations,
        models=st.none() | st.frozensets(WORDS, max_size=5),
        max_tokens=st.none() | st.integers(0, 10**9),
        guards=st.frozensets(WORDS, max_size=5),
        route=WORDS,
    )
)
def test_what_is_written_is_read_back(obligations):
    assert obligation.read(obligation.write(obligations)) == obligations


@pytest.mark.parametrize("text", ["", "[]", "{", '{"modles": []}', '{"models": "gpt"}', '{"max_tokens": true}'])
def test_anything_else_is_no_obligation(text):
    with pytest.raises(ValueError):
        obligation.read(text)


_ANY = st.builds(
    Obligations,
    models=st.none() | st.frozensets(st.sampled_from("abcd")),
    max_tokens=st.none() | st.integers(1, 9),
    guards=st.frozensets(st.sampled_from("xyz")),
    route=st.sampled_from(["", "eu", "us"]),
)


@given(_ANY, _ANY)
def test_joined_obligations_see_to_both(one, other):
    both = obligation.join(one, other)
    for each in (one, other):
        assert each.models is None or both.models <= each.models
        assert each.max_tokens is None or both.max_tokens <= each.max_tokens
        assert each.guards <= both.guards
    assert both.route in {one.route, other.route}
    assert obligation.join(one, NO_OBLIGATIONS) is one
    assert obligation.join(NO_OBLIGATIONS, other) is other
