"""Merging of guards: tenant over policy, specific over general, one setting for each rule."""
# one case a line, so that the table can be read

import pytest

from gateway.policy.field import Table
from gateway.policy.guard import DIRECTIONS, UNNAMED, merge, names_of, read_guards
from gateway.policy.model import Action, Mode
from gateway.policy.problem import PolicyError, Problems
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


CLASSES = frozenset({"content.hate", "content.weapons", "content.sexual", "pii.card"})


def classes(text):
    problems = Problems()
    read = read_guards(Table(parse(text, "t.yaml", problems), (), problems), CLASSES, problems)
    problems.stop_if_any()
    return merge((read["request"],), CLASSES)


@pytest.mark.parametrize("text", ["", "request: {'*': block}", "request: {'pii.*': block}"])
def test_content_classes_are_off_until_a_line_of_their_own_names_them(text):
    assert {rule for rule, each in classes(text).items() if each.mode is ENFORCE} == {"pii.card"}


def test_the_family_reaches_what_is_measured_and_an_own_name_the_rest():
    held = classes("request: {'content.*': block, content.hate: flag}")
    assert (held["content.weapons"].action, held["content.weapons"].mode) == (BLOCK, ENFORCE)
    assert held["content.hate"].action is Action.FLAG
    assert held["content.sexual"].mode is OFF
    assert classes("request: {content.sexual: {action: block, mode: shadow}}")["content.sexual"].mode is SHADOW


def test_a_class_has_a_threshold_where_its_line_gives_one():
    held = classes("request: {content.hate: {action: block, threshold: 0.9}, content.sexual: block}")
    assert held["content.hate"].threshold == pytest.approx(0.9)
    assert held["content.sexual"].threshold is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("request: {content.hate: {action: block, threshold: 1.5}}", "a number from 0 to 1"),
        ("request: {content.hate: {action: block, threshold: high}}", "a number from 0 to 1"),
        ("request: {pii.card: {action: block, threshold: 0.9}}", "threshold"),
        ("request: {'*': {action: block, threshold: 0.9}}", "threshold"),
    ],
)
def test_a_threshold_that_means_nothing_is_refused(text, complaint):
    with pytest.raises(PolicyError, match=complaint):
        classes(text)


def test_rules_on_answers_flag_answers_and_need_their_own_name():
    rules = frozenset({"url.scheme", "pii.card"})
    problems = Problems()
    for text, wanted in (
        ("", UNNAMED),
        ("'*': block", UNNAMED),
        ("'url.*': redact", REDACT),
        ("url.scheme: block", BLOCK),
    ):
        node = parse(f"{{request: {{{text}}}, response: {{{text}}}}}", "t.yaml", problems)
        read = read_guards(Table(node, (), problems), rules, problems)
        problems.stop_if_any()
        for direction in DIRECTIONS:
            setting = merge((read[direction],), rules, direction)["url.scheme"]
            asleep = direction == "request" and "url" not in text
            assert (setting.action, setting.mode) == (wanted, OFF if asleep else ENFORCE)


def test_replace_says_a_text_on_answers_only():
    read = wishes(
        "response: {pii.card: {action: replace, text: 'Not here.'}, pii.email: {mode: shadow}, 'pii.*': {action: replace, text: No.}}"
    )
    merged = merge((read["response"],), RULES, "response")
    assert [(merged[rule].action, merged[rule].text) for rule in ("pii.card", "pii.email")] == [
        (Action.REPLACE, "Not here."), (Action.REPLACE, "No."),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("response: {pii.card: replace}", "replace needs a text"),
        ("response: {pii.card: {action: replace}}", "replace needs a text"),
        ("request: {pii.card: {action: replace, text: x}}", "replace is an action for answers"),
        ("response: {pii.card: {action: redact, text: x}}", "unknown field"),
    ],
)
def test_replace_without_a_text_or_on_requests_is_refused(text, told):
    with pytest.raises(PolicyError, match=told):
        wishes(text)


def test_rules_made_for_requests_judge_answers_only_where_a_line_names_them_there():
    rules = frozenset({"injection.model", "topic.odd", "pii.card"})
    problems = Problems()
    for text, mode in (("", OFF), ("'*': block", OFF), ("'injection.*': block, 'topic.*': block", ENFORCE)):
        node = parse(f"{{request: {{{text}}}, response: {{{text}}}}}", "t.yaml", problems)
        read = read_guards(Table(node, (), problems), rules, problems)
        problems.stop_if_any()
        for rule in ("injection.model", "topic.odd"):
            assert merge((read["response"],), rules, "response")[rule].mode is mode
            assert merge((read["request"],), rules, "request")[rule].mode is ENFORCE
