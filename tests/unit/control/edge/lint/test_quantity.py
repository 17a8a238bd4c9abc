"""Durations, numbers, fractions and enum values in every spelling that Envoy takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.edge.lint import quantity
from control.edge.lint.node import Kind, Node, read


def value(text):
    return read(f"v: {text}").root.get("v")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0),
        ("1.5s", 1.5),
        ("0.000000001s", 1e-9),
        ("15", None),
        ("1m", None),
        ("s", None),
        ("''", None),
        ("{}", None),
        ("1e3s", None),
    ],
)
def test_durations_are_seconds_with_an_s(text, seconds):
    assert quantity.seconds(value(text)) == seconds


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("65536", 65536),
        ("'65536'", 65536),
        ("0x10", 16),
        ("0600", 384),
        ("1e6", 1e6),
        ("-1", -1),
        ("0.5", 0.5),
        (".inf", None),
        ("inf", None),
        ("nan", None),
        ("x", None),
        ("[1]", None),
        ("9" * 5000, None),
    ],
)
def test_numbers_are_read_as_envoy_reads_them(text, number):
    assert quantity.number(value(text)) == number


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("{default_value: {numerator: 100}}", 1),
        ("{default_value: {numerator: 100, denominator: HUNDRED}}", 1),
        ("{numerator: 100, denominator: TEN_THOUSAND}", 0.01),
        ("{defaultValue: {numerator: 1000000, denominator: 2}}", 1),
        ("{default_value: {}}", 0),
        ("{numerator: 1, denominator: DOZEN}", None),
        ("100", None),
    ],
)
def test_fractions_know_their_denominators(text, share):
    assert quantity.fraction(value(text)) == share


def test_an_absent_fraction_is_none():
    assert quantity.fraction(value("{}").get("nothing")) is None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("SEND", "SEND"),
        ("send", "SEND"),
        ("1", "SEND"),
        ("'2'", "SKIP"),
        ("~", "DEFAULT"),
        ("9", "9"),
        ("NEW", "NEW"),
        ("{}", ""),
    ],
)
def test_enum_values_by_name_number_or_absence(text, name):
    assert quantity.choice(value(text), "DEFAULT", "SEND", "SKIP") == name


@given(st.text(max_size=60))
def test_no_text_makes_a_quantity_raise(text):
    """Invariant: what is no quantity is None or a name, never an exception."""
    node = Node(Kind.SCALAR, 1, 1, text)
    quantity.number(node)
    quantity.seconds(node)
    quantity.fraction(node)
    assert isinstance(quantity.choice(node, "A", "B"), str)
