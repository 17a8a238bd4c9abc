"""Carries questions to the cache and answers into it, and lets one of several same requests fetch for all of them.

Whatever fails is a miss: a cache that is away costs an exchange nothing but its deadline, and after some failures not
even that. Knows no exchange and judges no answer but by `Heard`.
"""

import asyncio
import hmac
import secrets
import struct
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson
import structlog

from extproc.core.heard import Heard
from extproc.core.questions import Entry, Failed, Hit, Look, Missed, Ticket, Told
from extproc.nearby import Nearby
from gateway.aio import cancel_and_wait, spawn
from gateway.breaker import Breaker
from gateway.cache.seal import CacheSeals
from gateway.cache.store import Looked, Putting, State, Store
from gateway.clock import Clock
from gateway.policy.kept import Scope
from gateway.script import ScriptError

_log = structlog.get_logger("extproc.shelf")

_MS: Final = 1000
_KEEP_S: Final = 2.0  # nobody waits for it
_OPENS_AFTER: Final = 5  # failures in a row: fewer are a hiccup
_OPEN_S: Final = (1.0, 30.0)  # at first, at the longest
#: Between two looks at an answer that another worker fetches: at first, and at the longest. Answers take seconds.
_POLL_S: Final = (0.02, 0.1)
_KEEPING: Final = 256  # answers that are being kept at a time; more are not kept
_SIZE: Final = struct.Struct("<I")
_TOKEN_BYTES: Final = 12  # of a flight: no two are alike


@dataclass(frozen=True, slots=True)
class _Found:
    """What lies under a name."""

    name: str
    looked: Looked
    partition: str = ""  # where the name is that of a question in other words: what the entry must say of itself
    likeness: float | None = None


@dataclass(slots=True)
class _Flight:
    """One worker's same requests: the first asks the store for all of them."""

    until_s: float  # after this the next one asks again
    found: "asyncio.Future[_Found | None]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def land(self, found: _Found | None) -> None:
        """Tell those who wait."""
        if not self.found.done():
            self.found.set_result(found)


class Shelf:
    """The cache of one worker. For one event loop."""

    def __init__(self, store: Store, seals: CacheSeals, clock: Clock, nearby: Nearby | None = None) -> None:
        self._store = store
        self._nearby = nearby
        self._seals = seals
        self._clock = clock
        self._breaker = Breaker(failures_to_open=_OPENS_AFTER, first_open_s=_OPEN_S[0], longest_open_s=_OPEN_S[1])
        self._flights: dict[tuple[str, str], _Flight] = {}
        self._keeping: set[asyncio.Task[None]] = set()

    async def ask(self, look: Look) -> Told:
        """The answer to an earlier request, or a ticket to keep this one's. Raises nothing, but for cancellation."""
        name = self._seals.name(look.tenant, look.parts)
        wait_ms = look.cache.wait_ms if look.max_age_s else 0  # who wants a fresh answer waits for nobody's
        key, now_s = (look.tenant, name), self._clock.monotonic()
        flight = self._flights.get(key)
        if wait_ms and flight is not None and now_s < flight.until_s:
            return await self._follow(look, name, flight, now_s)
        if not self._breaker.start(now_s):
            return Failed("circuit open")
        if wait_ms:
            flight = self._flights[key] = _Flight(now_s + wait_ms / _MS)
        else:
            flight = None
        token = secrets.token_hex(_TOKEN_BYTES)
        found: _Found | None = None
        fetches = False
        try:
            looked = await self._looked(look, name, token, wait_ms)
            found = _Found(name, looked)
            told = self._told(look, name, found, token)
            if isinstance(told, Missed) and told.ticket is not None and look.alike is not None:
                found, told = await self._alike(look, told.ticket, found)
            fetches = isinstance(told, Missed) and looked.state is State.YOURS
        except Exception as failure:  # noqa: BLE001 - the circuit must hear of each: a probe without an end is the last
            self._breaker.failed(self._clock.monotonic())
            _log.warning("cache_not_asked", reason=type(failure).__name__)
            if found is not None and found.looked.state is State.YOURS:
                self._spawn(self._drop(look.tenant, name, token))
            return Failed("cache is away")
        except asyncio.CancelledError:
            if found is None:
                self._breaker.abandoned()
            elif found.looked.state is State.YOURS:
                self._spawn(self._drop(look.tenant, name, token))
            raise
        finally:
            if flight is not None and not fetches:
                self._land(key, flight, found)
        return told

    async def _follow(self, look: Look, name: str, flight: _Flight, now_s: float) -> Told:
        """Wait for what another exchange of this worker finds or fetches; without it, go and fetch."""
        try:
            async with asyncio.timeout(flight.until_s - now_s):
                found = await asyncio.shield(flight.found)
        except TimeoutError:
            return Missed()
        if found is None:
            return Missed()
        told = self._told(look, name, found, "")
        return told if isinstance(told, Hit) else Missed()

    async def _looked(self, look: Look, name: str, token: str, wait_ms: int) -> Looked:
        async with asyncio.timeout(look.cache.deadline_ms / _MS):
            looked = await self._store.look(look.tenant, name, look.tags, token, wait_ms)
        self._breaker.succeeded()
        deadline_s, pause_s = self._clock.monotonic() + wait_ms / _MS, _POLL_S[0]
        while looked.state is State.AWAITED and self._clock.monotonic() < deadline_s:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _POLL_S[1])
            async with asyncio.timeout(look.cache.deadline_ms / _MS):
                looked = await self._store.poll(look.tenant, name, look.tags)
        return looked

    async def _alike(self, look: Look, ticket: Ticket, found: _Found) -> tuple[_Found, Hit | Missed]:
        """The answer to a question in other words, where there is one; else what was found without it."""
        missed = found, Missed(ticket)
        alike = look.alike
        if alike is None or self._nearby is None or not look.max_age_s:
            return missed
        partition = self._seals.name(look.tenant, alike.parts)
        near = await self._nearby.find(look.tenant, partition, alike)
        if near is None or near.name == ticket.name:
            return missed
        try:
            async with asyncio.timeout(look.cache.deadline_ms / _MS):
                looked = await self._store.poll(look.tenant, near.name, look.tags)
        except (ScriptError, TimeoutError) as failure:
            _log.warning("cache_not_asked", reason=type(failure).__name__)
            return missed
        if looked.state is not State.FOUND:
            self._nearby.drop(look.tenant, partition, near.name)
            return missed
        told = self._told(look, ticket.name, _Found(near.name, looked, partition, near.likeness), "")
        if not isinstance(told, Hit):
            return missed
        if ticket.token:  # those who wait on other workers find the like question themselves
            self._spawn(self._drop(look.tenant, ticket.name, ticket.token))
        given = replace(told, ticket=replace(ticket, token=""))
        return _Found(near.name, looked, partition, near.likeness), given

    def _told(self, look: Look, name: str, found: _Found, token: str) -> Hit | Missed:
        looked = found.looked
        mine = token if looked.state is State.YOURS else ""
        ticket = Ticket(look.cache, look.tenant, name, looked.now_ms, mine, alike=look.alike)
        if looked.state is not State.FOUND:
            return Missed(ticket)
        opened = self._seals.open(look.tenant, found.name, looked.since_ms, looked.sealed)
        if opened is None:
            _log.error("cache_entry_refused", tenant=look.tenant)  # another pepper's name would differ: it was changed
            return Missed(replace(ticket, forged=True))
        at_s, tokens_in, tokens_out, packed = opened
        partition, said, body = _unpacked(packed)
        if found.partition and not hmac.compare_digest(found.partition, partition):
            _log.error("cache_similar_refused", tenant=look.tenant)  # the index named an answer to something else
            return Missed(ticket)
        if self._clock.now() - at_s > look.max_age_s or not look.max_age_s:
            return Missed(ticket)
        return Hit(Entry(body, at_s, tokens_in, tokens_out, said), ticket, found.likeness)

    def keep(self, ticket: Ticket, heard: Heard) -> None:
        """Keep the answer, if it may be kept, and land the flight. Waits for nothing."""
        if len(self._keeping) >= _KEEPING:
            return self.drop(ticket)
        return self._spawn(self._keep(ticket, heard))

    def drop(self, ticket: Ticket) -> None:
        """There is no answer to keep: those who wait go themselves."""
        if ticket.token:
            self._land_of(ticket, None)
            self._spawn(self._drop(ticket.tenant, ticket.name, ticket.token))

    async def close(self) -> None:
        """Wait until everything is kept, or given up."""
        await asyncio.wait(self._keeping, timeout=_KEEP_S) if self._keeping else None
        await cancel_and_wait(*self._keeping)
        if self._nearby is not None:
            await self._nearby.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = spawn(work, name="cache-keep")
        self._keeping.add(task)
        task.add_done_callback(self._keeping.discard)

    async def _keep(self, ticket: Ticket, heard: Heard) -> None:
        cache = ticket.cache
        if not heard.keepable:
            await self._drop(ticket.tenant, ticket.name, ticket.token)
            self._land_of(ticket, None)
            return
        alike = ticket.alike
        partition = "" if alike is None else self._seals.name(ticket.tenant, alike.parts)
        given = (self._clock.now(), heard.tokens_in, heard.tokens_out, _packed(heard, partition))
        sealed = self._seals.close(ticket.tenant, ticket.name, ticket.asked_ms, given)
        # Those who wait here get it first: it is an answer, whether or not the store takes it.
        self._land_of(ticket, _Found(ticket.name, Looked(State.FOUND, ticket.asked_ms, sealed, ticket.asked_ms)))
        how = Putting(
            since_ms=ticket.asked_ms,
            life_ms=cache.ttl_s * _MS,
            most=cache.entries,
            # Of several principals none shall be able to ask until an answer suits him, and leave that to the others.
            stays=cache.scope is Scope.TENANT and not ticket.forged,
            token=ticket.token,
        )
        try:
            async with asyncio.timeout(_KEEP_S):
                kept = await self._store.keep(ticket.tenant, ticket.name, sealed, how)
        except (ScriptError, TimeoutError) as failure:
            _log.warning("cache_not_kept", reason=type(failure).__name__)
            return
        if kept and alike is not None and self._nearby is not None:
            self._nearby.put(ticket.tenant, partition, ticket.name, alike, cache.ttl_s)

    async def _drop(self, tenant: str, name: str, token: str) -> None:
        if not token:
            return
        try:
            async with asyncio.timeout(_KEEP_S):
                await self._store.drop(tenant, name, token)
        except (ScriptError, TimeoutError) as failure:
            _log.warning("cache_not_asked", reason=type(failure).__name__)

    def _land_of(self, ticket: Ticket, found: _Found | None) -> None:
        key = (ticket.tenant, ticket.name)
        flight = self._flights.get(key) if ticket.token else None
        if flight is not None:
            self._land(key, flight, found)

    def _land(self, key: tuple[str, str], flight: _Flight, found: _Found | None) -> None:
        flight.land(found)
        if self._flights.get(key) is flight:
            del self._flights[key]


def _packed(heard: Heard, partition: str) -> bytes:
    head = orjson.dumps((partition, heard.said))
    return _SIZE.pack(len(head)) + head + heard.body


def _unpacked(packed: bytes) -> tuple[str, tuple[tuple[str, str], ...], bytes]:
    """What `_packed` made: only who holds the pepper can have written it."""
    end = _SIZE.size + _SIZE.unpack_from(packed)[0]
    partition, said = orjson.loads(packed[_SIZE.size : end])
    return partition, tuple((key, text) for key, text in said), packed[end:]
