"""The table of rules, and the page that is generated from it."""

from pathlib import Path

from control.edge.lint.table import INPUT, RULES, as_markdown

PAGE = Path(__file__).resolve().parents[5] / "docs" / "envoy-lint.md"


def test_ids_are_unique():
    ids = [each.id for each in RULES] + list(INPUT)
    assert len(ids) == len(set(ids))


def test_there_are_as_many_rules_as_promised():
    assert len(RULES) >= 35


def test_the_page_is_current():
    assert PAGE.read_text(encoding="utf-8") == as_markdown(), "python -m control.edge.lint.table > docs/envoy-lint.md"


def test_the_page_names_every_rule():
    page = as_markdown()
    assert all(f"| `{rule_id}` |" in page for rule_id in [*(each.id for each in RULES), *INPUT])
