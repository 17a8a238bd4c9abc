"""What an exchange may ask of others while its request waits, and what they tell. Frozen, closed unions.

A question has a deadline; whoever carries it to others keeps it, and brings `Failed` when nothing came in time. What a
failure means, pass or refuse, is decided in the exchange.
"""

from dataclasses import dataclass, field

from gateway.budgets.model import Ask, Exceeded, Reserved
from gateway.policy.kept import Cache, Similar
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


@dataclass(frozen=True, slots=True)
class Alike:
    """A request's one question, and where the answers to others lie that would do for it."""

    how: Similar
    parts: tuple[bytes, ...] = field(repr=False)  # all that an answer depends on but the question
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Look:
    """Was this very request answered before? Whoever looks waits for the answer to one that is under way, if any."""

    cache: Cache
    tenant: str
    parts: tuple[bytes, ...] = field(repr=False)  # all that an answer depends on; holds the prompt
    tags: tuple[str, ...]
    max_age_s: int  # older answers are not wanted
    alike: Alike | None = None  # where the answer to a question in other words would do


@dataclass(frozen=True, slots=True)
class Entry:
    """An answer that was given, as its caller got it."""

    body: bytes = field(repr=False)
    at_s: float  # unix seconds
    tokens_in: int
    tokens_out: int
    said: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # of a stream: what its events say together


@dataclass(frozen=True, slots=True)
class Ticket:
    """The right to put an answer to a request where it is found. Gives back what others wait for, kept or not."""

    cache: Cache
    tenant: str
    name: str  # an HMAC: tells nothing of the request
    asked_ms: int  # by the store's clock: what is thrown away later includes the answer
    token: str = ""  # of whom others wait for
    forged: bool = False  # what is there now is not ours, and is not to stay
    alike: Alike | None = None  # the question, by which the answer is found too


@dataclass(frozen=True, slots=True)
class Hit:
    """It was, or a question in other words was."""

    entry: Entry
    ticket: Ticket
    likeness: float | None = None  # of the two questions; None: the very same request


@dataclass(frozen=True, slots=True)
class Missed:
    """It was not, or others took too long with it. Without a ticket nothing is kept."""

    ticket: Ticket | None = None


Question = Advise | Reserve | Look
Told = Advised | Reserved | Exceeded | Hit | Missed | Failed
