"""docs/detectors.md says what the rules do: its examples are run, and no rule is left out."""

import re
from pathlib import Path

import pytest

from extproc.detectors.catalogue import RULES
from extproc.guardrails.scanner import HITS_MAX, Scanner

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "detectors.md").read_text(encoding="utf-8")
SCANNER = Scanner(RULES)


def examples():
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if len(cells) == 3 and "·" in line:
            rule = cells[0].strip("` ")
            for cell, wanted in ((cells[1], True), (cells[2], False)):
                for text in re.findall(r"`([^`]+)`", cell):
                    yield rule, text, wanted


def in_context():
    """Each example alone, in prose, and in quotes (those that hold none)."""
    for rule, text, wanted in examples():
        for around in ("{}", "see {} now", "see '{}'." if '"' in text else 'see "{}".'):
            yield pytest.param(rule, around.format(text), wanted, id=f"{rule} {around.format(text)}")


@pytest.mark.parametrize(("rule", "text", "wanted"), list(in_context()))
def test_an_example_is_found_or_not_as_the_page_says(rule, text, wanted):
    assert (rule in {finding.rule for finding in SCANNER.scan(text)}) is wanted


def test_every_pii_rule_has_examples_of_both_kinds():
    shown = {(rule, wanted) for rule, _, wanted in examples()}
    assert shown == {(rule.id, kind) for rule in RULES if rule.id.startswith("pii.") for kind in (True, False)}


def test_every_rule_has_a_section_and_no_section_is_left_over():
    assert re.findall(r"^### `([a-z_.0-9]+)`$", PAGE, re.MULTILINE) == [rule.id for rule in RULES]


def test_the_bound_on_places_is_the_one_that_is_told():
    assert f"more than {HITS_MAX:,} places" in PAGE
