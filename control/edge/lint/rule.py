"""What a rule is: an id, a severity, why it matters, what to do, and a function that finds the places."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from control.edge.lint.node import Node
from control.edge.lint.survey import Survey


class Severity(StrEnum):
    """An error lets something pass unguarded or unseen; a warning weakens, slows or cannot be checked."""

    ERROR = "error"
    WARNING = "warning"


ERROR, WARNING = Severity.ERROR, Severity.WARNING


class Hit(NamedTuple):
    """One place. `what` states the fact; it never quotes a value that could be a secret."""

    node: Node
    what: str


Check = Callable[[Survey], Iterator[Hit]]


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the table."""

    id: str
    severity: Severity
    why: str
    remedy: str
    check: Check


def rule(rule_id: str, severity: Severity, *, why: str, remedy: str) -> Callable[[Check], Rule]:
    """Make the decorated function a rule; the table collects it from its module."""
    return lambda check: Rule(rule_id, severity, why, remedy, check)
