"""The catalogue of detectors as a Markdown table, from the rules themselves. Writes no file."""

from collections.abc import Sequence
from typing import Final

from extproc.detectors.catalogue import RULES
from extproc.guardrails.rule import Rule

_HEAD: Final = (
    "| rule | placeholder | reads at most | and before it | what follows the span |",
    "|---|---|---|---|---|",
)


def section(rules: Sequence[Rule] = RULES) -> str:
    """What stands between the markers of docs/detectors.md."""
    return "\n".join([*_HEAD, *map(_row, rules), "", _bound(rules)])


def _row(rule: Rule) -> str:
    cells = (
        f"`{rule.id}`",
        f"`{rule.placeholder}`",
        f"{rule.limit_chars} characters",
        str(rule.before_chars),
        _behind(rule),
    )
    return f"| {' | '.join(cells)} |"


def _behind(rule: Rule) -> str:
    tail = rule.tail
    if tail is None:
        return "is not touched"
    ends = ["while it looks like more of the same"]
    if tail.closes is not None:
        ends.append("up to what closes it")
    if tail.cap_chars is not None:
        ends.append(f"at most {tail.cap_chars} characters")
    return f"is swallowed {', '.join(ends)}"


def _bound(rules: Sequence[Rule]) -> str:
    widest = max(rule.limit_chars for rule in rules)
    names = " and ".join(f"`{rule.id}`" for rule in rules if rule.limit_chars == widest)
    return f"With every rule on, at most {widest} characters of one channel wait at any time: so far reads {names}."
