import importlib.util

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.engine import Item
from analysis.ner import LOCATION, ORGANIZATION, PACKAGE, PERSON, Names, pieces
from clocks import ManualClock
from gateway.advice import Text

needs_model = pytest.mark.skipif(
    importlib.util.find_spec(PACKAGE) is None, reason="the model comes with `make analysis`"
)


@given(st.text(alphabet="ab \n\u00e9\U0001f600", max_size=9000))
def test_pieces_are_the_text(text):
    found = list(pieces(text))
    assert "".join(piece for _, piece in found) == text
    assert all(text[start : start + len(piece)] == piece for start, piece in found)
    assert all(0 < len(piece) <= 2000 for _, piece in found)


def test_pieces_end_where_words_do():
    words = "word " * 1000
    assert all(piece.endswith(" ") for _, piece in pieces(words))


@pytest.fixture(scope="module")
def names():
    return Names.load(ManualClock())


def item(*texts, due_s=1e9):
    return Item(tuple(Text(provenance="user", text=text) for text in texts), due_s)


def told(names, *texts):
    ((_, verdict),) = names.judge([item(*texts)])
    return {(each.rule, texts[each.text][each.start : each.end]) for each in verdict.findings}


@pytest.mark.slow
@needs_model
def test_names_are_found_where_they_stand(names):
    found = told(
        names, "Nothing here.", "\U0001f600 Ada Lovelace moved from London to work for the Microsoft Corporation."
    )
    assert {(PERSON, "Ada Lovelace"), (LOCATION, "London")} <= found
    assert any(rule == ORGANIZATION and "Microsoft" in name for rule, name in found)


@pytest.mark.slow
@needs_model
def test_a_name_late_in_a_long_text_is_found(names):
    assert (PERSON, "Barack Obama") in told(names, "the weather was fine. " * 2000 + "Then Barack Obama arrived.")


@pytest.mark.slow
@needs_model
def test_beyond_the_deadline_an_answer_is_partial(names):
    ((_, verdict),) = names.judge([item("x", "Ada Lovelace", due_s=0)])
    assert not verdict.findings
    assert verdict.partial == (0, 1)


@pytest.mark.slow
@needs_model
def test_a_flood_of_names_ends(names):
    ((_, verdict),) = names.judge([item("Barack Obama met Angela Merkel in Berlin. " * 5000)])
    assert verdict.partial == (0,)
    assert len(verdict.findings) > 4096  # the site cuts them, and says so


@pytest.mark.slow
@needs_model
def test_what_strangers_write_is_not_remembered(names):
    def size():
        return len(names._nlp.vocab.strings)

    told(names, "warm up")
    before = size()
    for number in range(50):
        told(names, f"Qx{number}zz met Zq{number}xx in Yy{number}ville.")
    assert size() == before


@pytest.mark.slow
@needs_model
@pytest.mark.parametrize("text", ["", " ", "\x00", "\u202e\u200b", "A" * 100_000, "\U0001f600" * 3000, "\n" * 5000])
def test_odd_texts_are_judged(names, text):
    ((number, _),) = names.judge([item(text)])
    assert number == 0
