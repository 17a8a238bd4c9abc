"""The two builders of rules."""

import pytest

from extproc.detectors.pii.formed import formed, labelled
from extproc.guardrails.scanner import Scanner

BADGE = labelled("t.badge", "[BADGE]", labels=("badge", "badge no"), pattern="[0-9]{4,6}", limit_chars=8)
PART = formed(
    "t.part",
    "[PART]",
    trigger=rb"P[0-9]{3}",
    trigger_chars=4,
    pattern="P[0-9]{3,5}",
    limit_chars=7,
    alphabet="P0123456789",
    opens="P",
)


def spans(rule, text):
    return [text[finding.start : finding.end] for finding in Scanner([rule]).scan(text)]


@pytest.mark.parametrize(
    "text",
    [
        "badge 1234",
        "Badge: 1234",
        "BADGE no. 1234",
        "badge_id=1234",
        '"badge": "1234"',
        "badge number is 1234",
        "(badge#1234)",
    ],
)
def test_a_labelled_number_is_found_however_it_is_joined(text):
    assert spans(BADGE, text) == ["1234"]


@pytest.mark.parametrize(
    "text",
    ["1234", "badges 1234", "xbadge 1234", "badge 123", "badge 1234567", "badge 1234x", "badge for 1234", "badge1234"],
)
def test_a_number_without_its_label_is_not(text):
    assert spans(BADGE, text) == []


def test_a_formed_entity_stands_for_itself():
    assert spans(PART, "P123, P12345; xP123 P123456 P12 (P9999)") == ["P123", "P12345", "P9999"]


def test_a_label_that_would_not_fit_the_context_is_a_mistake_of_the_rule():
    with pytest.raises(ValueError, match="longer than"):
        labelled("t.x", "[X]", labels=("a label that is much too long to fit",), pattern="[0-9]", limit_chars=2)
