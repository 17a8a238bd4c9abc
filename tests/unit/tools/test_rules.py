"""The table of rules is written from the rules."""

import re
from string import digits

from extproc.guardrails.rule import Rule, Shape, Tail
from tools import rules


def rule(name, limit_chars, tail=None):
    return Rule(
        id=name,
        placeholder="[X]",
        triggers=(b"[0-9]",),
        find=lambda _text, _end: (),
        before_chars=1,
        shapes=(Shape(limit_chars=limit_chars, alphabet=digits, opens=digits),),
        tail=tail,
    )


def test_a_rule_is_a_row_with_its_numbers():
    text = rules.section([rule("x.one", 7), rule("x.two", 9, Tail(alphabet=digits, cap_chars=5))])
    assert "| `x.one` | `[X]` | 7 characters | 1 | is not touched |" in text
    assert re.search(r"`x\.two`.*swallowed.*at most 5 characters", text)


def test_a_tail_that_closes_says_so():
    tail = Tail(alphabet=digits, closes=re.compile("0"), closes_chars=1)
    assert "up to what closes it" in rules.section([rule("x.one", 7, tail)])


def test_the_bound_is_that_of_the_longest_rules():
    text = rules.section([rule("x.one", 7), rule("x.two", 9), rule("x.three", 9)])
    assert text.endswith("at most 9 characters of one channel wait at any time: so far reads `x.two` and `x.three`.")
