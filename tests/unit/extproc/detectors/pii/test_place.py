"""Addresses, coordinates and dates of birth."""

import pytest

from extproc.detectors.pii.place import BIRTH, GEO, STREET
from extproc.guardrails.scanner import Scanner


def found(rule, text):
    return [text[finding.start : finding.end] for finding in Scanner([rule]).scan(text)]


@pytest.mark.parametrize(
    "text",
    [
        "7753 Hickory Boulevard, Georgetown, FL 37453", "12B N Main St", "221 Baker Street, London NW1 6XE",
        "1 Infinite Loop Dr, Suite 100, Cupertino, CA 95014-1234", "5 Old Oak Ln",
    ],
)  # fmt: skip
def test_an_address_is_found_whole(text):
    for around in ("{}", "I live at {}.", '"{}"'):
        assert found(STREET, around.format(text))[0].rstrip(".") == text


@pytest.mark.parametrize(
    "text",
    [
        "12 Monkeys",
        "In 2024 Apple Inc moved",
        "Main Street",
        "3 Kings Cross the Road",
        "v1.2 Main Street",
        "$12 Main Street",
    ],
)
def test_a_number_before_capitals_is_no_address(text):
    assert found(STREET, text) == []


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("52.5200, 13.4050", 1),
        ("-33.8688,151.2093", 1),
        ("52.52, 13.40", 0),
        ("95.1234, 13.4050", 0),
        ("1.5000, 2.5000, 3.5", 1),
        ("1.2345,2.3456;3.4567,4.5678", 2),
        ("x = [0.1234, 0.5678]", 0),
        ("[1.2345, 2.3456, 3.4567]", 0),
        ("12.34567890,2.3456,33.45678901,4.5678", 0),
    ],
)
def test_coordinates_have_four_decimals_and_lie_on_earth(text, count):
    assert len(found(GEO, text)) == count


@pytest.mark.parametrize(
    "date", ["1964-12-09", "12/09/1964", "9.12.1964", "March 5, 1985", "5 March 1985", "3. Mai 1970", "5th of May"]
)
def test_a_date_counts_behind_its_label_only(date):
    whole = date != "5th of May"
    assert found(BIRTH, f"DOB: {date}") == ([date] if whole else [])
    assert found(BIRTH, f"born on {date}.") == ([date] if whole else [])
    assert found(BIRTH, f"shipped on {date}.") == []
