"""What every rule must have."""

import re

from control.edge.lint.rule import ERROR, Rule, rule
from control.edge.lint.table import RULES


def test_the_decorator_makes_a_rule_of_a_function():
    def nothing(survey):
        yield from ()

    made = rule("area.name", ERROR, why="Because.", remedy="Do.")(nothing)
    assert made == Rule("area.name", ERROR, "Because.", "Do.", nothing)


def test_every_rule_has_a_stable_id_one_reason_and_one_remedy():
    for each in RULES:
        assert re.fullmatch(r"[a-z]+\.[a-z0-9]+(-[a-z0-9]+)*", each.id)
        assert each.why.endswith(".")
        assert each.remedy.endswith((".", ")."))
        assert "\n" not in each.why + each.remedy
