"""What a rule must promise so that hold-back and JSON source can rely on it."""

import re

import pytest

import guarded
from extproc.core.holdback import HoldBack
from extproc.detectors.catalogue import RULES
from extproc.guardrails.guard import Guard
from extproc.guardrails.rule import Rule, Shape, Tail
from extproc.guardrails.scanner import ScannerPool
from gateway.policy.model import Action, RuleSetting


def test_the_limit_of_a_rule_is_that_of_its_longest_shape():
    shapes = (Shape(limit_chars=5, alphabet="ab", opens="a"), Shape(limit_chars=9, alphabet="xy", opens="x"))
    rule = Rule(id="t.x", placeholder="[X]", triggers=(b"ab",), find=lambda _t, _e: (), before_chars=1, shapes=shapes)
    assert rule.limit_chars == 9


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_no_rule_takes_a_quote_or_a_control_character_into_a_span(rule):
    for shape in rule.shapes:
        assert set(shape.opens) <= set(shape.alphabet)
        assert not any(c == '"' or c < " " for c in shape.alphabet)
    assert rule.tail is None or "\0" not in rule.tail.alphabet
    assert rule.before_chars >= 1


def test_a_tail_with_a_closing_mark_ends_behind_it_however_it_arrives():
    rule = Rule(
        id="t.note",
        placeholder="[NOTE]",
        triggers=(rb"<<",),
        find=lambda _text, end: [(end - 2, end)],
        before_chars=1,
        shapes=(Shape(limit_chars=2, alphabet="<", opens="<"),),
        tail=Tail(alphabet="abc >", cap_chars=20, closes=re.compile(">>"), closes_chars=2),
    )
    guard = Guard.of(ScannerPool([rule]), {"t.note": RuleSetting(rule="t.note", action=Action.REDACT)})
    for text, expected in [
        ("1<<abc>>abc", "1[NOTE]abc"),
        ("1<<a>b>c>>2", "1[NOTE]2"),
        ("1<<abc", "1[NOTE]"),
        ("1<<ab2ab>>", "1[NOTE]2ab>>"),
        ("1<<" + "a" * 20 + "bb>>", "1[NOTE]bb>>"),
        ("1<<a<<b>>a", "1[NOTE]" + "[NOTE]a"),
    ]:
        assert guarded.stream(HoldBack, guard, [text]).text == expected
        assert guarded.stream(HoldBack, guard, list(text)).text == expected
