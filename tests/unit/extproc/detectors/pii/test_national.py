"""One right and one wrong number for every country that the rule knows."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import guarded
from extproc.core.holdback import HoldBack
from extproc.detectors.pii import national
from extproc.detectors.pii.national import COUNTRIES, NATIONAL
from extproc.guardrails.scanner import Scanner
from gateway.policy.model import Action

SCANNER = Scanner([NATIONAL])
#: Right numbers, as the documentation of python-stdnum and of the issuers gives them; none is a person's.
RIGHT = {
    "be": "85.07.30-033.28", "br": "390.533.447-05", "ca": "SIN 123-456-782", "ch": "756.9217.0769.85", "cl": "12.531.909-2",
    "cn": "360426199101010071", "de": "Steuer-ID: 36574261809", "dk": "CPR 211062-5629", "es": "54362315K", "fi": "131052-308T",
    "fr": "2 95 10 99 126 111 93", "gb": "AB 12 34 56 C", "il": "Teudat Zehut 039337423", "in": "2341 2341 2346",
    "it": "RCCMNL83S18D969H", "kr": "971013-1019901", "mx": "BOXW310820HNERXN09", "nl": "BSN 111222333", "no": "fnr 15108695088",
    "pl": "PESEL: 44051401359", "pt": "NIF 501964843", "ro": "CNP 1630615123457", "se": "880320-0016", "sg": "S1234567D",
    "tr": "TCKN 17291716060", "za": "ID number 7503305044089",
}  # fmt: skip


def found(text):
    return [text[finding.start : finding.end] for finding in SCANNER.scan(text)]


def test_every_country_has_an_example():
    assert set(COUNTRIES) == set(RIGHT)


@pytest.mark.parametrize("country", sorted(RIGHT))
def test_a_right_number_is_found_in_prose_and_in_quotes(country):
    text = RIGHT[country]
    for around in ("{}", "My number is {}.", 'with "{}", please'):
        assert len(found(around.format(text))) == 1, text
        assert found(around.format(text))[0] in text


@pytest.mark.parametrize("country", sorted(set(RIGHT) - {"gb", "dk"}))  # theirs have no check digit (any more)
def test_another_last_character_is_no_number(country):
    text = RIGHT[country]
    other = {"9": "8", "Z": "Y"}.get(text[-1], chr(ord(text[-1]) + 1))
    assert found(text[:-1] + other) == []


@pytest.mark.parametrize(
    "text", ["111222333", "44051401359", "36574261809", "501964843", "7503305044089", "order 15108695088 shipped"]
)
def test_a_number_of_any_form_needs_its_name(text):
    assert found(text) == []


@pytest.mark.parametrize("number", national._NUMBERS, ids=lambda number: number.name)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_trigger_covers_as_many_characters_as_its_number_says(number, data):
    covered = data.draw(st.from_regex(number.trigger.decode(), fullmatch=True))
    assert len(covered) in number.covers


@pytest.mark.parametrize("text", ["54507820900406451x", "545078209004064517", "110101192002300019"])
def test_a_chinese_number_of_no_known_place_or_day_is_no_fault(text):
    assert found(text) in ([], [text])


@pytest.mark.parametrize(
    "text",
    [
        "AB 12 34 56 C-1",  # the digit behind the hyphen is the second character behind the number
        'burgerservicenummer"\uff1a:\uff1anummer:\n\uff1a772647574;MPXUQE09M68G',  # only the next number has a trigger
    ],
)
def test_what_stands_behind_a_number_is_read_only_before_it_is_decided(text):
    guard = guarded.guard({"pii.national_id": Action.REDACT})
    assert guarded.stream(HoldBack, guard, list(text)) == guarded.stream(HoldBack, guard, [text])
