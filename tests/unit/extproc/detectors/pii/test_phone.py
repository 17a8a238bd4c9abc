"""Telephone numbers, and the numbers that are none."""

import pytest

import guarded
from extproc.core.holdback import HoldBack
from extproc.detectors.pii.phone import PHONE
from extproc.guardrails.scanner import Scanner
from gateway.policy.model import Action

SCANNER = Scanner([PHONE])


def found(text):
    """The longest of overlapping findings."""
    spans = sorted((finding.start, -finding.end) for finding in SCANNER.scan(text))
    return [
        text[start:-end]
        for at, (start, end) in enumerate(spans)
        if not any(s <= start and e <= end for s, e in spans[:at])
    ]


@pytest.mark.parametrize(
    "text",
    [
        "+49 30 1234567", "+1 (749) 843-7937", "+442079460958", "+44 (0)20 7946 0958", "+81-3-1234-5678", "+55 11 91234-5678",
        "(213) 555-2671", "213-555-2671", "213.555.2671", "1-213-555-2671",
    ],
)  # fmt: skip
def test_a_number_is_found_in_prose(text):
    for around in ("{}", "reach me at {}.", '{{"p": "{}"}}', "<{}>"):
        assert found(around.format(text)) == [text]


@pytest.mark.parametrize(
    "text",
    ["tel: 030 1234567", "Phone 0123 456 789", "call 5551234", "WhatsApp: 0171-2345678", "téléphone 01 23 45 67 89"],
)
def test_a_word_makes_any_number_one(text):
    assert len(found(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "+999 12345678", "+1 23", "+49 1", "1234567890", "room 301-4567", "2024-11-05", "192.168.10.20", "0.213-555-2671",
        "123-555-2671", "213-155-2671", "213-555-26715", "x213-555-2671", "call 12", "tel: none", "a+4930123456789x",
    ],
)  # fmt: skip
def test_what_only_looks_like_one_is_not_found(text):
    assert found(text) == []


@pytest.mark.parametrize(
    "text", ["call 1000000 times", "fax 100000 pages", "phone: 2024-01-15 release", "cell 2024-05 A1"]
)
def test_a_date_or_a_round_number_behind_a_word_is_none(text):
    assert found(text) == []


@pytest.mark.parametrize("text", ["tel    (030) 12345,+12345678 ", "t\u65e5l\u65e5phone    (030) 12345,+12345678 "])
def test_a_number_is_not_found_by_the_trigger_of_the_next(text):
    guard = guarded.guard({"pii.phone": Action.REDACT})
    assert guarded.stream(HoldBack, guard, list(text)) == guarded.stream(HoldBack, guard, [text])
