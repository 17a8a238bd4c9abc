"""What each action and mode does to a text, and what the audit is told about it."""

import pytest

import guarded
from extproc.guardrails.guard import Applied, Guard, Tally
from gateway.audit.record import Found
from gateway.policy.model import Action, Mode, RuleSetting

TEXT = "joe@example.com at 203.0.113.7"


def test_each_action_does_what_it_says():
    for action, expected in [
        (Action.ALLOW, Applied(TEXT, None)),
        (Action.FLAG, Applied(TEXT, None)),
        (Action.REDACT, Applied("[EMAIL] at 203.0.113.7", None)),
        (Action.BLOCK, Applied("", "pii.email")),
    ]:
        tally = Tally()
        assert guarded.guard({"pii.email": action}).apply(TEXT, tally) == expected
        assert tally.counts == {"pii.email": 1}


@pytest.mark.parametrize("action", list(Action))
def test_shadow_is_recorded_as_what_would_have_been_done(action):
    guard = guarded.guard({"pii.email": action}, Mode.SHADOW)
    tally = Tally()
    assert guard.apply(TEXT, tally) == Applied(TEXT, None)
    name = action.name.lower()
    assert tally.found(guard, "request") == (
        Found(rule="pii.email", direction="request", count=1, action="allow", would=name),
    )


def test_a_rule_that_is_off_or_unset_does_not_exist():
    setting = RuleSetting(rule="pii.email", action=Action.BLOCK, mode=Mode.OFF)
    for guard in (
        Guard.of(guarded.POOL, {"pii.email": setting}),
        Guard.of(guarded.POOL, {}),
        Guard(guarded.POOL.scanner(["pii.email"]), {"pii.email": setting}),
    ):
        tally = Tally()
        assert guard.apply(TEXT, tally) == Applied(TEXT, None)
        assert tally.found(guard, "request") == ()


def test_the_tally_sums_over_texts_in_the_order_of_the_rules():
    guard = guarded.redacting()
    tally = Tally()
    for text in (TEXT, "or jane@example.com", "nothing here"):
        guard.apply(text, tally)
    found = tally.found(guard, "response")
    assert [(f.rule, f.count, f.action, f.would) for f in found] == [
        ("pii.email", 2, "redact", "redact"),
        ("pii.ipv4", 1, "redact", "redact"),
    ]


def test_of_findings_with_one_start_the_sternest_action_decides():
    text = f"x {guarded.ANTHROPIC_KEY} y"
    actions = {"secrets.anthropic": Action.BLOCK, "pii.email": Action.REDACT, "secrets.openai": Action.REDACT}
    assert guarded.guard(actions).apply(text, Tally()) == Applied("x ", "secrets.anthropic")
