"""Aligned output: columns, lines, and nothing in them that moves a cursor."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.commands import table


def test_columns_are_as_wide_as_their_widest_cell():
    told = table.columns(("ID", "STATE"), [("a", "active"), ("longer", "x")], colour=False)
    assert told.splitlines() == ["ID      STATE", "a       active", "longer  x"]


def test_letters_that_take_two_columns_do_not_shift_the_rest():
    told = table.columns(("NAME", "X"), [("夜間", "|"), ("nacht", "|"), ("cafe\u0301", "|")], colour=False)
    assert told.splitlines()[1:] == ["夜間   |", "nacht  |", "cafe\u0301   |"]


def test_colour_is_for_states_and_changes_no_width():
    plain = table.columns(("ID", "STATE", "N"), [("active1", "active", "x")], colour=False)
    bright = table.columns(("ID", "STATE", "N"), [("active1", "active", "x")], colour=True)
    assert "\x1b[32mactive\x1b[0m" in bright
    for code in ("\x1b[32m", "\x1b[2m", "\x1b[0m"):
        bright = bright.replace(code, "")
    assert bright == plain


def test_fields_without_a_value_are_left_out():
    assert table.fields({"id": "a", "note": "", "expires": "never"}) == "id       a\nexpires  never"
    assert not table.fields({})


@pytest.mark.parametrize("text", ["\x1b[2J", "a\nb", "a\u202eb", "\x9b1m"])
def test_control_characters_do_not_reach_the_terminal(text):
    assert table.printable(text).isprintable()
    assert text not in table.columns(("A",), [(text,)], colour=True)
    assert text not in table.fields({"a": text})


@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), max_size=5))
def test_every_row_is_one_line(rows):
    assert len(table.columns(("A", "B"), rows, colour=False).split("\n")) == len(rows) + 1
