"""A crowd of tenants at one shared limit, in a time of its own: some ask for more than they are given, some come now and then."""

import heapq
import random
from dataclasses import dataclass, field

from gateway.budgets.fair import Terms, Wish
from gateway.budgets.oracle import Part

STEP_MS = 250


@dataclass
class Client:
    """Asks `each_s` times a second for `size` (or down to half of it less); comes again when it is told to, if polite."""

    terms: Terms
    size: int
    each_s: float
    polite: bool = True
    begins_ms: int = 0
    ends_ms: int = 1 << 60
    runs_ms: tuple[int, int] = (200, 2_000)
    backlog: list[int] = field(default_factory=list)  # when each refused ask comes again
    due: float = 0.0
    asked: int = 0
    refused: int = 0


@dataclass
class Crowd:
    """See the module; `seen` has at each step the whole, and what each client has."""

    store: object
    clients: dict[str, Client]
    seed: int = 1
    now_ms: int = 1_700_000_000_000
    steps: int = 0
    running: list = field(default_factory=list)
    seen: list[tuple[int, int, dict[str, int]]] = field(default_factory=list)

    def __post_init__(self):
        self.chance = random.Random(self.seed)  # noqa: S311 -- seeded, so that a run can be repeated
        self.began_ms = self.now_ms

    async def run(self, seconds: float) -> None:
        for _ in range(round(seconds * 1000 / STEP_MS)):
            await self._step()

    async def _step(self) -> None:
        self.now_ms += STEP_MS
        while self.running and self.running[0][0] <= self.now_ms:
            _, _, record, parts = heapq.heappop(self.running)
            await self.store.settle(record, parts)
        asks = [name for name, client in self.clients.items() for _ in range(self._wishes(client))]
        self.chance.shuffle(asks)
        for name in asks:
            await self._ask(name, self.clients[name])
        any_terms = next(iter(self.clients.values())).terms
        accounts = [(any_terms.key, any_terms.meter)]
        accounts += [(one.terms.own.key, one.terms.own_meter) for one in self.clients.values()]
        whole, *each = await self.look(accounts)
        self.seen.append(
            (
                self.now_ms - self.began_ms,
                whole.used + whole.held,
                {name: one.used + one.held for name, one in zip(self.clients, each, strict=True)},
            )
        )

    async def look(self, accounts):
        if hasattr(self.store, "look"):
            return await self.store.look(accounts)
        oracle = self.store.oracle
        return [oracle._load(self.now_ms, key, meter).figures(self.now_ms, 0, 0) for key, meter in accounts]

    def _wishes(self, client: Client) -> int:
        if not client.begins_ms <= self.now_ms - self.began_ms < client.ends_ms:
            client.backlog.clear()
            return 0
        client.due += client.each_s * STEP_MS / 1000
        fresh = int(client.due)
        client.due -= fresh
        again = [at for at in client.backlog if at <= self.now_ms]
        client.backlog = [at for at in client.backlog if at > self.now_ms]
        return fresh + len(again)

    async def _ask(self, name: str, client: Client) -> None:
        client.asked += 1
        answer = await self.store.share(Wish(client.terms, client.size, client.size), 120_000, lambda _: None)
        if not answer.done:
            client.refused += 1
            if client.polite:
                client.backlog.append(self.now_ms + max(answer.figures[0].retry_ms, 1_000))
            return
        self.steps += 1
        parts = [
            Part(key, meter, one.granted, one.until, one.granted)
            for key, meter, one in (
                (client.terms.key, client.terms.meter, answer.figures[0]),
                (client.terms.own.key, client.terms.own_meter, answer.figures[1]),
            )
        ]
        tag = client.terms.key.partition("}")[0]
        ends = self.now_ms + self.chance.randint(*client.runs_ms)
        heapq.heappush(self.running, (ends, self.steps, f"{tag}}}:reservation:{self.steps}", parts))
