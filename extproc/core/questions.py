"""What an exchange may ask of others while its request waits, and what they tell. Frozen, closed unions.

A question has a deadline; whoever carries it to others keeps it, and brings `Failed` when nothing came in time. What a
failure means, pass or refuse, is decided in the exchange.
"""

from dataclasses import dataclass, field

from gateway.budgets.model import Ask, Exceeded, Reserved
from gateway.policy.model import Adviser


@dataclass(frozen=True, slots=True)
class Advise:
    """What does an adviser find in these texts? Within `adviser.deadline_ms`."""

    adviser: Adviser
    request_id: str
    tenant: str
    texts: tuple[tuple[str, str], ...] = field(repr=False)  # provenance and text, both as the adviser is told


@dataclass(frozen=True, slots=True)
class Advice:
    """One finding of an adviser: a whole text, or characters [start, end) of it."""

    rule: str
    text: int  # index in the question's texts
    score: float
    start: int | None = None
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Advised:
    """An adviser's findings."""

    findings: tuple[Advice, ...]
    partial: bool = False  # a text was not judged to its end


@dataclass(frozen=True, slots=True)
class Failed:
    """Nobody answered as asked. `reason` is for the record: no text of the request."""

    reason: str


@dataclass(frozen=True, slots=True)
class Reserve:
    """May this exchange run, within its budgets? Whoever says so keeps what is set aside until the exchange settles."""

    ask: Ask


Question = Advise | Reserve
Told = Advised | Reserved | Exceeded | Failed
