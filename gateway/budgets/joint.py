"""One exchange's calls to the ledger where it also counts in what tenants share: one to each cluster slot, at once.

Each call holds over all of its limits or over none; what one refuses, the others give back. Waits for all of them,
decides nothing.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.budgets.fair import Wish, terms_of
from gateway.budgets.model import Ask, Hold, Limit, Standing, applies
from gateway.budgets.oracle import Answer, Part, Want
from gateway.budgets.store import Store
from gateway.budgets.window import Figures, Meter

_WHOLE, _OWN = 0, 1  # which figures of a share are whose


@dataclass(frozen=True, slots=True)
class Holding:
    """What one call got: enough to give it back as if it had never been."""

    limit: Limit
    key: str
    meter: Meter
    figures: Figures

    @property
    def hold(self) -> Hold:
        """As a reservation keeps it."""
        return Hold(self.limit, self.key, self.figures.granted, self.figures.until)

    @property
    def back(self) -> Part:
        """What is told to the ledger to undo it."""
        if self.meter.once:
            return Part(self.key, self.meter, 0, 0, -self.figures.granted)
        return Part(self.key, self.meter, self.figures.granted, self.figures.until, 0)


@dataclass(slots=True)
class Own:
    """The call for limits that the tenant has for itself."""

    limits: Sequence[Limit]
    wants: Sequence[Want]
    answer: Answer | None = None

    async def ask(self, store: Store, ttl_ms: int, late: Callable[[Answer], None]) -> Answer:
        """See `Store.reserve`."""
        return await store.reserve(self.wants, ttl_ms, late)

    def holdings(self, answer: Answer) -> list[Holding]:
        """What was got; nothing of a refusal."""
        if not answer.done:
            return []
        triples = zip(self.limits, self.wants, answer.figures, strict=True)
        return [Holding(limit, want.key, want.meter, one) for limit, want, one in triples]

    def standings(self, answer: Answer) -> list[Standing]:
        """How the limits stand."""
        return [standing(limit, one) for limit, one in zip(self.limits, answer.figures, strict=True)]


@dataclass(slots=True)
class Common:
    """The call for one limit that the tenant shares."""

    limit: Limit
    wish: Wish
    answer: Answer | None = None

    async def ask(self, store: Store, ttl_ms: int, late: Callable[[Answer], None]) -> Answer:
        """See `Store.share`."""
        return await store.share(self.wish, ttl_ms, late)

    def holdings(self, answer: Answer) -> list[Holding]:
        """Of the whole and of the tenant's account; nothing of a refusal."""
        if not answer.done:
            return []
        terms = self.wish.terms
        return [
            Holding(self.limit, terms.key, terms.meter, answer.figures[_WHOLE]),
            Holding(self.limit, terms.own.key, terms.own_meter, answer.figures[_OWN]),
        ]

    def standings(self, answer: Answer) -> list[Standing]:
        """How it stands for the tenant."""
        whole, own = answer.figures
        return [
            Standing(
                self.limit,
                whole.used,
                whole.held,
                whole.reset_ms / 1000,
                whole.retry_ms / 1000,
                own=own.used + own.held,
                assured=self.wish.terms.own.assured,
            )
        ]

    def accounts(self, answer: Answer) -> tuple[tuple[str, Figures], ...]:
        """What was told of the whole and of the tenant's part, by key."""
        return tuple(zip((self.wish.terms.key, self.wish.terms.own.key), answer.figures, strict=True))

    @property
    def unmet(self) -> int:
        """By how much a refusal made the tenant's unmet wish grow."""
        return 0 if self.answer is None or self.answer.done else self.answer.figures[_OWN].granted

    @property
    def local(self) -> Want:
        """What to go by while the ledger is away: the tenant's assured part, which nobody else has lent."""
        terms = self.wish.terms
        meter = terms.meter._replace(amount=terms.own.assured)
        return Want(terms.own.key, meter, self.wish.ask, self.wish.least)


Call = Own | Common


def shared_of(ask: Ask) -> list[Common]:
    """The calls for what is shared and counts this exchange."""
    least = ask.least or ask.amounts
    calls = []
    for limit in ask.limits:
        if limit.shared is not None and applies(limit, ask.subject):
            wanted = ask.amounts.of(limit.resource)
            wish = Wish(terms_of(limit, ask.subject.tenant), wanted, min(least.of(limit.resource), wanted))
            calls.append(Common(limit, wish))
    return calls


async def ask_all(calls: Sequence[Call], store: Store, ttl_ms: int, undo: Callable[[Sequence[Holding]], None]) -> None:
    """Start all calls in one turn of the loop, so that they are one write, and keep their answers.

    `undo` gets what is granted to a call whose answer nobody waits for any more. A failure of one leaves the others'
    answers to the caller.
    """

    async def one(call: Call) -> None:
        call.answer = await call.ask(store, ttl_ms, lambda answer: undo(call.holdings(answer)))

    outcomes = await asyncio.gather(*map(one, calls), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome


def standing(limit: Limit, figures: Figures) -> Standing:
    """In words for clients."""
    return Standing(limit, figures.used, figures.held, figures.reset_ms / 1000, figures.retry_ms / 1000)


def by_slot(record: str, parts: Sequence[Part]) -> list[tuple[str, tuple[Part, ...]]]:
    """The parts of each cluster slot, with the record's name in it: a settlement counts once in each."""
    groups: dict[str, list[Part]] = {}
    for part in parts:
        groups.setdefault(part.key.partition("}")[0], []).append(part)
    rest = record.partition("}")[2]
    return [(f"{tag}}}{rest}", tuple(group)) for tag, group in groups.items()]


def meter_at(limit: Limit, key: str, tenant: str, plain: Callable[[Limit], Meter]) -> Meter:
    """The meter of an account of this limit: the whole's, a member's, or the tenant's own."""
    if limit.shared is None:
        return plain(limit)
    terms = terms_of(limit, tenant)
    return terms.meter if key == terms.key else terms.own_meter
