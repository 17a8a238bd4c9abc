"""Merging of guards: tenant over policy, specific over general, one setting for each rule."""
# one case a line, so that the table can be read

import pytest

from gateway.policy.field import Table
from gateway.policy.guard import DIRECTIONS, UNNAMED, merge, names_of, read_guards
from gateway.policy.model import Action, Mode
from gateway.policy.problem import Problems
from gateway.policy.tree import parse

RULES = frozenset({"pii.email", "pii.card", "secrets.cloud.aws", "injection"})


def wishes(text):
    problems = Problems()
    read = read_guards(Table(parse(text, "t.yaml", problems), (), problems), RULES, problems)
    problems.stop_if_any()
    return read


def settled(tenant, default=""):
    merged = merge((wishes(tenant)["request"], wishes(default)["request"]), RULES)
    return {rule: (setting.action, setting.mode) for rule, setting in merged.items()}


REDACT, BLOCK, ALLOW = Action.REDACT, Action.BLOCK, Action.ALLOW
ENFORCE, SHADOW, OFF = Mode.ENFORCE, Mode.SHADOW, Mode.OFF


def test_every_rule_has_a_setting_in_both_directions():
    read = wishes("")
    assert set(read) == set(DIRECTIONS)
    for direction in DIRECTIONS:
        merged = merge((read[direction],), RULES)
        assert {rule: setting.rule for rule, setting in merged.items()} == {rule: rule for rule in RULES}
        assert {setting.action for setting in merged.values()} == {UNNAMED}


@pytest.mark.parametrize(
    ("tenant", "default", "rule", "expected"),
    [
        ("request: {pii.card: block}", "", "pii.card", (BLOCK, ENFORCE)),
        ("request: {'pii.*': redact, pii.card: block}", "", "pii.card", (BLOCK, ENFORCE)),
        ("request: {pii.card: block, 'pii.*': redact}", "", "pii.email", (REDACT, ENFORCE)),
        ("request: {'*': block, 'secrets.*': redact}", "", "secrets.cloud.aws", (REDACT, ENFORCE)),
        ("request: {'secrets.*': redact, 'secrets.cloud.*': block}", "", "secrets.cloud.aws", (BLOCK, ENFORCE)),
        ("request: {'*': block}", "", "injection", (BLOCK, ENFORCE)),
        ("", "request: {pii.card: block}", "pii.card", (BLOCK, ENFORCE)),
        # The tenant's general line comes before the policy's specific one.
        ("request: {'pii.*': block}", "request: {pii.email: redact}", "pii.email", (BLOCK, ENFORCE)),
        # Mode alone keeps the action of the line below it.
        ("request: {pii.card: {mode: shadow}}", "request: {'pii.*': block}", "pii.card", (BLOCK, SHADOW)),
        ("request: {pii.card: {mode: off}}", "", "pii.card", (UNNAMED, OFF)),
        # Naming an action enforces it, whatever the default's mode was.
        ("request: {pii.card: block}", "request: {pii.card: {action: redact, mode: shadow}}", "pii.card", (BLOCK, ENFORCE)),
        ("request: {pii.card: {action: allow, mode: shadow}}", "", "pii.card", (ALLOW, SHADOW)),
        ("response: {pii.card: block}", "", "pii.card", (UNNAMED, ENFORCE)),
    ],
)  # fmt: skip
def test_the_nearest_and_most_specific_line_wins(tenant, default, rule, expected):
    assert settled(tenant, default)[rule] == expected


def test_names_run_from_specific_to_general():
    assert names_of("a.b.c") == ("a.b.c", "a.b.*", "a.*", "*")
    assert names_of("a") == ("a", "*")
