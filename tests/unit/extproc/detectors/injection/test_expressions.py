import re

import pytest

from extproc.detectors.injection.expressions import EXPRESSIONS, GATES, RULES
from extproc.detectors.injection.normalise import Opening

SOURCES = [source for _, source in (*EXPRESSIONS, *GATES)]
UNBOUNDED = re.compile(r"(?<!\\)[\])][*+]|\{\d+,\}")
#: Runs of letters that finish a stem, and markup around a word: single classes, so they cost one state each.
CHEAP = re.compile(r"\[[^\]]+\][*+]")


def test_every_rule_is_claimed_by_an_expression():
    assert {rule for rule, _ in EXPRESSIONS} == set(RULES)


def test_every_rule_id_belongs_to_the_detector():
    assert all(rule.startswith("injection.") for rule in RULES)


@pytest.mark.parametrize("source", SOURCES)
def test_only_single_classes_repeat_without_bound(source):
    assert not UNBOUNDED.search(CHEAP.sub("", source))


@pytest.mark.parametrize("source", SOURCES)
def test_no_expression_asks_for_a_capital_which_normalised_text_has_not(source):
    assert not re.search(r"[A-Z]", re.sub(r"\\.", "", source))


def test_gates_name_encodings_that_can_be_opened():
    assert {opening for opening, _ in GATES} <= set(Opening) - {Opening.PLAIN, Opening.TAGS, Opening.HOMOGLYPH}
