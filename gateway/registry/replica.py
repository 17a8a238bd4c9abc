"""The registry as a worker holds it, kept up with Valkey. Knows no entry's meaning; holds ids, listeners hold the rest.

Subscribe, load everything, then follow. A message carries the position before its changes (epoch and tip): it counts
when that is ours. Everything else, and a poll, catches up by the log of changes, which names what changed; the values
are read as they stand then. A position that the log does not hold means that the gap is too wide or that the store went
back: everything is loaded anew, over what listeners hold, and only then are they told what is gone.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, cast

import orjson
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.clock import Clock
from gateway.registry.ids import Ids
from gateway.registry.model import Apply, RegistryError, Sort
from gateway.registry.seal import Seals
from gateway.registry.valkey import CHANNEL, INCARNATION, LOG, PAGE, hash_of, pages

_log: Final = structlog.get_logger(__name__)

#: A message that was lost is made good within this and one round trip: a third of the second that a revocation may
#: take, so that one poll may fail as well. Costs a worker three small round trips a second.
_POLL_S: Final = 0.3
#: For one round trip. A server that is stopped or cut off answers nothing: then a new connection is better.
_DEADLINE_S: Final = 2.0
#: Between attempts to connect: at once after a single failure, and never so long that a server which is back goes
#: unnoticed for the second that a revocation may take.
_RETRY_FIRST_S: Final = 0.05
_RETRY_MOST_S: Final = 0.8
#: Polls in a row that had to heal while no message came at all: one may be a race with a message under way.
_MISSED_MOST: Final = 2
#: Refused entries that are named in the log between two polls; the rest is counted. Who can write to Valkey must not
#: flood it.
_NAMED_MOST: Final = 20

_SORTS: Final = {hash_of(sort).encode(): sort for sort in Sort}


class Position(NamedTuple):
    """A place in the log of changes."""

    epoch: int
    tip: bytes


_START: Final = Position(0, b"-")


class _Gap(Exception):  # noqa: N818 -- no error: the log cannot tell what we missed
    """Our position is not in the log: it has been trimmed, or (`back`) another took its place."""

    def __init__(self, *, back: bool) -> None:
        super().__init__()
        self.back = back


@dataclass(slots=True)
class _Followed:
    """One sort: who is told, and which ids they were told of."""

    tell: list[Apply] = field(default_factory=list)
    ids: Ids = field(default_factory=Ids)


class ValkeyReplica:
    """See `gateway.registry.model.Replica`. One per worker; `refused` counts entries whose seal did not fit."""

    def __init__(self, client: Redis, seals: Seals, clock: Clock, random: Callable[[], float]) -> None:
        """`client` has at least two connections and no retries; `random` gives [0, 1) for the jitter."""
        self._client = client
        self._asking = cast("Any", client)  # redis-py types its answers for both of its clients at once
        self._seals = seals
        self._clock = clock
        self._random = random
        self._followed: dict[Sort, _Followed] = {}
        self._position: Position | None = None  # None: nothing loaded yet
        self._incarnation = b""
        self._known_at_s: float | None = None
        self._loaded = asyncio.Event()
        self._running = False
        self._failures = 0
        self._named = 0
        self.refused = 0

    def follow(self, sort: Sort, apply: Apply) -> None:
        """See `Replica`."""
        if self._running:
            raise RuntimeError("follow before run")
        self._followed.setdefault(sort, _Followed()).tell.append(apply)

    def age_s(self) -> float:
        """See `Replica`."""
        return float("inf") if self._known_at_s is None else self._clock.monotonic() - self._known_at_s

    async def ready(self, within_s: float) -> bool:
        """See `Replica`."""
        try:
            async with asyncio.timeout(within_s):
                await self._loaded.wait()
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """See `Replica`."""
        self._running = True
        while True:
            try:
                await self._session()
                continue
            except (RedisError, RegistryError, OSError, TimeoutError) as error:
                cause = str(error) if isinstance(error, RegistryError) else type(error).__name__
            self._failures += 1
            if self._failures & (self._failures - 1) == 0:  # the first, second, fourth...: an outage is no flood
                _log.warning("registry_lost", cause=cause, failures=self._failures, age_s=self._shown_age_s())
            # Jitter: workers that lost one server together must not come back together.
            pause_s = min(_RETRY_MOST_S, _RETRY_FIRST_S * 2 ** min(self._failures - 1, 8))
            await asyncio.sleep(pause_s * (0.5 + self._random() / 2))

    async def _session(self) -> None:
        """One subscription, from its start to its end by failure or deafness."""
        subscription = self._client.pubsub(ignore_subscribe_messages=True)
        try:
            async with asyncio.timeout(_DEADLINE_S):
                await subscription.subscribe(CHANNEL)
            # Subscribed before asking: what changes from here on comes as a message, or is in the log already.
            await self._catch_up()
            await self._listen(subscription)
        finally:
            await subscription.aclose()  # type: ignore[no-untyped-call]

    async def _listen(self, subscription: Any) -> None:
        missed, heard = 0, False
        poll_at = self._clock.monotonic() + _POLL_S
        while missed < _MISSED_MOST:
            wait_s = poll_at - self._clock.monotonic()
            message = await subscription.get_message(timeout=max(wait_s, 0.0))
            if message is not None:
                heard = True
                if not self._take(message["data"]):
                    await self._catch_up()
                if wait_s > 0:  # messages without end must not keep the poll away
                    continue
            self._named = 0
            healed = await self._catch_up()
            missed = missed + 1 if healed and not heard else 0
            heard = False
            poll_at = self._clock.monotonic() + _POLL_S
        _log.warning("registry_deaf", detail="messages did not arrive; subscribing anew")

    def _take(self, data: bytes) -> bool:
        """Apply the changes of a message. False when it does not follow on what we have, or is not to be trusted."""
        try:
            epoch, before, tip, body = data.split(b" ", 3)
            position = Position(int(epoch), before)
            changes = [(Sort(sort), str(entry_id), stored) for sort, entry_id, stored in orjson.loads(body)]
        except (ValueError, TypeError):
            return False
        if position != self._position:
            return False
        # Nothing seals the end of an entry: that it is gone, Valkey shall say itself.
        if any(not isinstance(stored, str) for _, _, stored in changes):
            return False
        for sort, entry_id, stored in changes:
            if self._told(sort, entry_id, stored.encode()):
                self._followed[sort].ids.add(entry_id)
        self._position = Position(position.epoch + len(changes), tip)
        return True

    async def _catch_up(self) -> bool:
        """Know that nothing is missing. True when something was."""
        asked_at_s = self._clock.monotonic()
        before = self._position
        if before is None:
            await self._load(replaced=False)
        else:
            try:
                self._position, _ = await self._heal(before)
            except _Gap as gap:
                await self._load(replaced=gap.back)
        self._known_at_s = asked_at_s
        self._failures = 0
        self._loaded.set()
        return self._position != before

    async def _heal(self, position: Position) -> tuple[Position, set[tuple[Sort, str]]]:
        """Follow the log from `position` to its end, page by page. Returns the end, and what was told to stand."""
        stand: set[tuple[Sort, str]] = set()
        while True:
            async with asyncio.timeout(_DEADLINE_S):
                entries = _entries(await self._asking.xrange(LOG, min=f"{position.epoch}-0", count=PAGE + 1))
            if position == _START:
                if entries and entries[0][0].epoch != 1:
                    raise _Gap(back=False)
            elif not entries or entries[0][0] != position:
                raise _Gap(back=not entries or entries[0][0].epoch == position.epoch)
            else:
                entries = entries[1:]
            if not entries:
                return position, stand
            for sort, ids in _by_sort(entries):
                if sort in self._followed:
                    stand.update((sort, entry_id) for entry_id in await self._reread(sort, ids))
            position = entries[-1][0]

    async def _reread(self, sort: Sort, ids: list[str]) -> list[str]:
        """Tell entries as they stand now. Later changes of theirs are further down the log and are told again."""
        async with asyncio.timeout(_DEADLINE_S):
            values = await self._asking.hmget(hash_of(sort), ids)
        stand = []
        for entry_id, stored in zip(ids, values, strict=True):
            if stored is None:
                self._gone(sort, entry_id)
            elif self._told(sort, entry_id, stored):
                self._followed[sort].ids.add(entry_id)
                stand.append(entry_id)
        return stand

    async def _load(self, *, replaced: bool) -> None:
        """Tell everything, then what is gone: at no moment is less known than stands in the registry.

        Where the store went back or was `replaced`, revocations that it no longer holds stay: whoever took them out of
        the data has not necessarily taken them back.
        """
        began_s = self._clock.monotonic()
        async with asyncio.timeout(_DEADLINE_S):
            head = _entries(await self._asking.xrevrange(LOG, count=1))
            incarnation = await self._asking.get(INCARNATION) or b""
        replaced = replaced or (self._position is not None and incarnation != self._incarnation)
        stale = {sort: followed.ids.all() for sort, followed in self._followed.items()}
        found = {sort: Ids(whole=True) for sort in self._followed}
        try:
            position, counts = await self._read(head[0][0] if head else _START, stale, found)
        except BaseException:
            for sort, ids in found.items():
                self._followed[sort].ids.absorb(ids)  # the next attempt finds these stale as well
            raise
        # What is kept is not among the found: no later load takes it back.
        kept = stale.pop(Sort.REVOCATION, set()) if replaced else set()
        for sort in sorted(stale, key=lambda one: one is Sort.REVOCATION):
            for entry_id in stale[sort]:
                self._gone(sort, entry_id)
        for sort, ids in found.items():
            self._followed[sort].ids = ids
        self._position, self._incarnation = position, incarnation
        took_s = round(self._clock.monotonic() - began_s, 3)
        if replaced:
            _log.error("registry_went_back", kept_revocations=len(kept), took_s=took_s, entries=counts)
        else:
            _log.info("registry_loaded", epoch=position.epoch, took_s=took_s, entries=counts)

    async def _read(
        self, start: Position, stale: dict[Sort, set[str]], found: dict[Sort, Ids]
    ) -> tuple[Position, dict[str, int]]:
        """Tell all that stands; move it from `stale` to `found`. Returns where the log ends, and counts for people."""
        counts = dict.fromkeys((sort.value for sort in found), 0)
        # Revocations first: what is loaded after them is judged with them.
        for sort in sorted(found, key=lambda one: one is not Sort.REVOCATION):
            async for page in _within(pages(self._client, sort)):
                for raw_id, stored in page.items():
                    entry_id = raw_id.decode(errors="replace")  # not UTF-8: no seal fits, and it is refused as such
                    if self._told(sort, entry_id, stored):
                        stale[sort].discard(entry_id)
                        found[sort].add(entry_id)
                counts[sort.value] += len(page)
        try:
            position, stand = await self._heal(start)
        except _Gap:
            raise RegistryError("changes came faster than a load") from None
        for sort, entry_id in stand:
            stale[sort].discard(entry_id)
            found[sort].add(entry_id)
        return position, counts

    def _told(self, sort: Sort, entry_id: str, stored: bytes) -> bool:
        """Tell one entry as it is stored. True when it stands from now on, or goes on standing."""
        followed = self._followed.get(sort)
        if followed is None:
            return False
        value = self._seals.open(sort, entry_id, stored)
        if value is not None:
            _tell(followed.tell, sort, entry_id, value)
            return True
        self.refused += 1
        self._named += 1
        if self._named <= _NAMED_MOST:
            _log.error("registry_entry_refused", sort=sort.value, id=entry_id[:256])
        # A spoilt key counts as none. A spoilt revocation is no reason to forget the one that stood there.
        if sort is Sort.REVOCATION:
            return True
        _tell(followed.tell, sort, entry_id, None)
        return False

    def _gone(self, sort: Sort, entry_id: str) -> None:
        followed = self._followed[sort]
        followed.ids.discard(entry_id)
        _tell(followed.tell, sort, entry_id, None)

    def _shown_age_s(self) -> float | None:
        age_s = self.age_s()
        return None if age_s == float("inf") else round(age_s, 3)


def _tell(listeners: list[Apply], sort: Sort, entry_id: str, value: bytes | None) -> None:
    for apply in listeners:
        try:
            apply(entry_id, value)
        except Exception as failure:  # noqa: BLE001 -- one bad entry must not keep every later revocation out
            _log.error("registry_listener_failed", sort=sort.value, id=entry_id, cause=type(failure).__name__)


async def _within(reading: AsyncIterator[dict[bytes, bytes]]) -> AsyncIterator[dict[bytes, bytes]]:
    """The same pages, each within the deadline."""
    while True:
        async with asyncio.timeout(_DEADLINE_S):
            page = await anext(reading, None)
        if page is None:
            return
        yield page


def _entries(raw: Any) -> list[tuple[Position, bytes, bytes]]:
    """(position, hash, id) of log entries."""
    try:
        return [
            (Position(int(at.partition(b"-")[0]), fields[b"tip"]), fields[b"hash"], fields[b"id"]) for at, fields in raw
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise RegistryError("the log of changes has another shape") from None


def _by_sort(entries: Iterable[tuple[Position, bytes, bytes]]) -> list[tuple[Sort, list[str]]]:
    """Each changed id once; revocations first."""
    found: dict[Sort, dict[str, None]] = {}
    for _, hash_name, raw_id in entries:
        sort = _SORTS.get(hash_name)
        if sort is not None:
            found.setdefault(sort, {})[raw_id.decode(errors="replace")] = None
    order = sorted(found, key=lambda one: one is not Sort.REVOCATION)
    return [(sort, list(found[sort])) for sort in order]
