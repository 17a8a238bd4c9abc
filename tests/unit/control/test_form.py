"""Fields of an operator's wish: typed, bounded, and none of them unknown. Their use is in test_keys.py."""

import pytest

from control.form import Form
from control.problem import Refusal
from gateway.policy.field import shape

WORD = shape(r"[a-z]{1,8}", "a word")


def field_of(call) -> str:
    with pytest.raises(Refusal) as caught:
        call()
    assert caught.value.code == "invalid"
    return caught.value.field


def test_what_is_right_is_read():
    form = Form({"a": "word", "b": ["x", "y", "x"], "c": 5, "d": {"e": "in"}, "f": "Free text, für Menschen"})
    inner = form.form("d")
    assert inner is not None
    read = (form.text("a", WORD), form.texts("b", WORD, 3), form.integer("c", 0, 5), inner.text("e", WORD))
    assert read == ("word", ("x", "y"), 5, "in")
    assert form.words("f", 64) == "Free text, für Menschen"
    form.close()
    inner.close()


def test_what_is_left_out_or_null_is_absent():
    for form in (Form({}), Form(dict.fromkeys("abcd"))):
        assert (form.texts("a", WORD, 1), form.integer("b", 0, 1), form.form("c"), form.words("d", 1)) == (
            (),
            None,
            None,
            "",
        )
        form.close()


@pytest.mark.parametrize("value", [None, "", "UPPER", "word\n", "toolongword", 1, True, ["word"], {}])
def test_a_text_of_another_shape_is_refused(value):
    assert field_of(lambda: Form({"a": value}).text("a", WORD)) == "a"


@pytest.mark.parametrize(
    ("value", "field"), [("a", "b"), (["a", 1], "b[1]"), (["a", "B"], "b[1]"), (["a"] * 4, "b"), ({}, "b")]
)
def test_a_list_of_something_else_is_refused(value, field):
    assert field_of(lambda: Form({"b": value}).texts("b", WORD, 3)) == field


@pytest.mark.parametrize("value", [-1, 6, 1.0, "1", True, [1], 10**400])
def test_a_number_out_of_bounds_is_refused(value):
    assert field_of(lambda: Form({"c": value}).integer("c", 0, 5)) == "c"


@pytest.mark.parametrize("value", [1, ["a"], "x" * 65, "a\tb", "\u202e", "\ud800"])
def test_text_that_a_table_could_not_show_is_refused(value):
    assert field_of(lambda: Form({"f": value}).words("f", 64)) == "f"


@pytest.mark.parametrize("value", [1, "a", ["a"]])
def test_something_in_place_of_an_object_is_refused(value):
    assert field_of(lambda: Form({"d": value}).form("d")) == "d"


def test_a_field_inside_is_named_with_its_path():
    inner = Form({"d": {"wnidow": 1}}).form("d")
    assert inner is not None
    inner.integer("window", 0, 1)
    with pytest.raises(Refusal, match=r'd\.wnidow: unknown field; did you mean "window"\?'):
        inner.close()


def test_a_reason_is_everywhere_allowed():
    Form({"reason": "ticket 17"}).close()
