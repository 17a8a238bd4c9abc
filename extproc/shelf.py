"""Carries questions to the cache and answers into it, and lets one of several same requests fetch for all of them.

Whatever fails is a miss: a cache that is away costs an exchange nothing but its deadline, and after some failures not
even that. Knows no exchange and judges no answer but by `Heard`.
"""

import asyncio
import secrets
import struct
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson
import structlog

from extproc.core.heard import Heard
from extproc.core.questions import Entry, Failed, Hit, Look, Missed, Ticket, Told
from gateway.aio import cancel_and_wait, spawn
from gateway.breaker import Breaker
from gateway.cache.seal import CacheSeals
from gateway.cache.store import Looked, Putting, State, Store
from gateway.clock import Clock
from gateway.policy.model import Scope
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


@dataclass(slots=True)
class _Flight:
    """One worker's same requests: the first asks the store for all of them."""

    until_s: float  # after this the next one asks again
    found: "asyncio.Future[Looked | None]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def land(self, found: Looked | None) -> None:
        """Tell those who wait."""
        if not self.found.done():
            self.found.set_result(found)


class Shelf:
    """The cache of one worker. For one event loop."""

    def __init__(self, store: Store, seals: CacheSeals, clock: Clock) -> None:
        self._store = store
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
        looked: Looked | None = None
        try:
            found = looked = await self._looked(look, name, token, wait_ms)
        except (ScriptError, TimeoutError) as failure:
            self._breaker.failed(self._clock.monotonic())
            _log.warning("cache_not_asked", reason=type(failure).__name__)
            return Failed("cache is away")
        except asyncio.CancelledError:
            self._breaker.abandoned()
            raise
        finally:
            if flight is not None and (looked is None or looked.state is not State.YOURS):
                self._land(key, flight, looked)
        return self._told(look, name, found, token)

    async def _follow(self, look: Look, name: str, flight: _Flight, now_s: float) -> Told:
        """Wait for what another exchange of this worker finds or fetches; without it, go and fetch."""
        try:
            async with asyncio.timeout(flight.until_s - now_s):
                looked = await asyncio.shield(flight.found)
        except TimeoutError:
            return Missed()
        if looked is None:
            return Missed()
        told = self._told(look, name, looked, "")
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

    def _told(self, look: Look, name: str, looked: Looked, token: str) -> Hit | Missed:
        ticket = Ticket(look.cache, look.tenant, name, looked.now_ms, token if looked.state is State.YOURS else "")
        if looked.state is not State.FOUND:
            return Missed(ticket)
        opened = self._seals.open(look.tenant, name, looked.since_ms, looked.sealed)
        if opened is None:
            _log.error("cache_entry_refused", tenant=look.tenant)  # another pepper's name would differ: it was changed
            return Missed(replace(ticket, forged=True))
        at_s, tokens_in, tokens_out, packed = opened
        if self._clock.now() - at_s > look.max_age_s or not look.max_age_s:
            return Missed(ticket)
        said, body = _unpacked(packed)
        return Hit(Entry(body, at_s, tokens_in, tokens_out, said), ticket)

    def keep(self, ticket: Ticket, heard: Heard) -> None:
        """Keep the answer, if it may be kept, and land the flight. Waits for nothing."""
        if len(self._keeping) >= _KEEPING:
            return self.drop(ticket)
        return self._spawn(self._keep(ticket, heard))

    def drop(self, ticket: Ticket) -> None:
        """There is no answer to keep: those who wait go themselves."""
        if ticket.token:
            self._land_of(ticket, None)
            self._spawn(self._drop(ticket))

    async def close(self) -> None:
        """Wait until everything is kept, or given up."""
        await asyncio.wait(self._keeping, timeout=_KEEP_S) if self._keeping else None
        await cancel_and_wait(*self._keeping)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = spawn(work, name="cache-keep")
        self._keeping.add(task)
        task.add_done_callback(self._keeping.discard)

    async def _keep(self, ticket: Ticket, heard: Heard) -> None:
        cache = ticket.cache
        if not heard.keepable:
            await self._drop(ticket)
            return self._land_of(ticket, None)
        given = (self._clock.now(), heard.tokens_in, heard.tokens_out, _packed(heard))
        sealed = self._seals.close(ticket.tenant, ticket.name, ticket.asked_ms, given)
        # Those who wait here get it first: it is an answer, whether or not the store takes it.
        self._land_of(ticket, Looked(State.FOUND, ticket.asked_ms, sealed, ticket.asked_ms))
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
                await self._store.keep(ticket.tenant, ticket.name, sealed, how)
        except (ScriptError, TimeoutError) as failure:
            _log.warning("cache_not_kept", reason=type(failure).__name__)

    async def _drop(self, ticket: Ticket) -> None:
        if not ticket.token:
            return
        try:
            async with asyncio.timeout(_KEEP_S):
                await self._store.drop(ticket.tenant, ticket.name, ticket.token)
        except (ScriptError, TimeoutError) as failure:
            _log.warning("cache_not_asked", reason=type(failure).__name__)

    def _land_of(self, ticket: Ticket, found: Looked | None) -> None:
        key = (ticket.tenant, ticket.name)
        flight = self._flights.get(key) if ticket.token else None
        if flight is not None:
            self._land(key, flight, found)

    def _land(self, key: tuple[str, str], flight: _Flight, found: Looked | None) -> None:
        flight.land(found)
        if self._flights.get(key) is flight:
            del self._flights[key]


def _packed(heard: Heard) -> bytes:
    said = orjson.dumps(heard.said)
    return _SIZE.pack(len(said)) + said + heard.body


def _unpacked(packed: bytes) -> tuple[tuple[tuple[str, str], ...], bytes]:
    """What `_packed` made: only who holds the pepper can have written it."""
    end = _SIZE.size + _SIZE.unpack_from(packed)[0]
    return tuple((key, text) for key, text in orjson.loads(packed[_SIZE.size : end])), packed[end:]
