"""Budgets for tests: a ledger that can be taken away, asks, and the worker's side of both."""

import asyncio

from clocks import ManualClock
from gateway.budgets.exact import ExactBudgets
from gateway.budgets.model import PER_MINUTE, Amounts, Ask, Dimension, Kind, Limit, Outage, Resource, Subject, Window
from gateway.budgets.share import LocalShare
from gateway.budgets.store import MemoryStore
from gateway.script import ScriptError

ACME = Subject("acme", key="k1", principal="ann", model="gpt-4o")


def limit(
    amount: int,
    resource: Resource = Resource.TOKENS,
    window: Window = PER_MINUTE,
    *scope: Dimension,
    name: str = "team",
    kind: Kind = Kind.HARD,
) -> Limit:
    return Limit(name, scope or (Dimension.TENANT,), resource, amount, window, kind)


def ask(
    *limits: Limit,
    tokens: int = 10,
    least: int | None = None,
    outage: Outage = Outage.DENY,
    subject: Subject = ACME,
    micro_usd: int = 0,
) -> Ask:
    lowest = None if least is None else Amounts(0, least, 0)
    return Ask(subject, limits, Amounts(0, tokens, micro_usd), lowest, outage)


class LosingStore:
    """A memory store that can be away, or lose its answers after it has counted."""

    def __init__(self, clock: ManualClock) -> None:
        self.store = MemoryStore(lambda: int(clock.now() * 1000))
        self.away = False
        self.deaf = False
        self.calls = 0
        self.gate: asyncio.Event | None = None  # holds answers back

    async def reserve(self, *words):
        return await self._call(self.store.reserve, *words)

    async def share(self, *words):
        return await self._call(self.store.share, *words)

    async def withdraw(self, *words):
        return await self._call(self.store.withdraw, *words)

    async def settle(self, *words):
        return await self._call(self.store.settle, *words)

    async def extend(self, *words):
        return await self._call(self.store.extend, *words)

    async def lease(self, *words):
        return await self._call(self.store.lease, *words)

    async def _call(self, operation, *words):
        self.calls += 1
        if self.away:
            raise ScriptError("ConnectionError")
        answer = await operation(*words)
        if self.gate is not None:
            await self.gate.wait()
        if self.deaf:
            raise ScriptError("TimeoutError")
        return answer

    def totals(self) -> tuple[int, int]:
        """(used, held) over all accounts."""
        accounts = self.store.oracle.accounts.values()
        return sum(one.used for one in accounts), sum(one.held for one in accounts)


def worker(store, clock, name="w1", workers=2, **options) -> ExactBudgets:
    share = LocalShare(lambda: int(clock.now() * 1000), workers=workers)
    return ExactBudgets(store, share, clock, name, lambda: 0.5, **{"first_open_s": 0.01, **options})


async def until_settled(budgets) -> None:
    async with asyncio.timeout(20):
        while budgets.unsettled:
            await asyncio.sleep(0)
