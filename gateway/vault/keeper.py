"""The secrets of one vault, or of AWS Secrets Manager, in this process's memory, kept fresh until they end.

They are read again, renewed, and replaced before they end. Whoever needs one reads memory and never waits. One task
asks, one request after the other, so a vault that is slow or away costs a worker one open request.
"""

import asyncio
import contextlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

import structlog

from gateway.aio import cancel_and_wait, spawn
from gateway.breaker import Breaker
from gateway.clock import Clock
from gateway.policy.model import StoredSecret
from gateway.secrets.reference import Secret
from gateway.vault.reading import Reading
from gateway.vault.session import Draw, is_worn, renew_in_s
from gateway.vault.wire import VaultError

_log: Final = structlog.get_logger("gateway.vault")

_OPENS_AFTER: Final = 3  # failures in a row: fewer are a hiccup
_OPEN_S: Final = (1.0, 10.0)  # the longest is how late a vault's return may be noticed
_AGAIN_S: Final = 1.0  # how often to see whether a vault that failed may be asked again
_IDLE_S: Final = 60.0  # the longest sleep: a clock that was wrong about a due time costs no more
#: How soon after a reading a provider's 401 makes another one: at once for a stored secret, since reading costs little;
#: a leased one is issued anew each time, and stays at the provider until its lease ends.
_REFUSED_S: Final = (2.0, 30.0)
_MENDED_S: Final = 30.0  # how long whoever mends a path or its permission waits, however seldom it is read
_SPREAD: Final = 0.2  # of the time between readings, either way, so that workers and hosts drift apart


class Source(Protocol):
    """Where secrets are read: `gateway.vault.session.Session`, `gateway.vault.managed.ManagedSource`."""

    @property
    def name(self) -> str:
        """Who it is in log lines."""
        ...

    @property
    def epoch(self) -> int:
        """Another number when what was leased before ends."""
        ...

    @property
    def due_s(self) -> float:
        """When `tend` has something to do, in monotonic seconds."""
        ...

    async def tend(self) -> None:
        """Keep what secrets are read with. Raises VaultError."""
        ...

    async def reading(self, path: str) -> Reading:
        """The secret there. Raises VaultError."""
        ...

    async def renew(self, lease_id: str, ttl_s: int) -> int:
        """How long the lease lives on from now. Raises VaultError."""
        ...

    async def close(self) -> None:
        """Give back what it is read with."""
        ...


@dataclass(slots=True)
class _Held:
    """One path: what was read there, and when to ask again."""

    path: str
    wanted: set[str] = field(default_factory=set)
    wanted_texts: set[str] = field(default_factory=set)
    reading: Reading | None = None
    until_s: float = -math.inf  # counts until then
    due_s: float = -math.inf
    read_s: float = -math.inf
    told_s: float = -math.inf  # when a provider's refusal last made it due
    tried: bool = False
    told_ended: bool = False


class Keeper:
    """For one event loop."""

    def __init__(self, session: Source, clock: Clock, draw: Draw, *, stale_s: float, refresh_s: float) -> None:
        self._session = session
        self._clock = clock
        self._draw = draw
        self._stale_s = stale_s
        self._refresh_s = refresh_s
        self._breaker = Breaker(failures_to_open=_OPENS_AFTER, first_open_s=_OPEN_S[0], longest_open_s=_OPEN_S[1])
        self._held: dict[str, _Held] = {}
        self._former: dict[str, _Held] = {}  # of the policy before: exchanges that began under it may still ask
        self._epoch = 0
        self._wake = asyncio.Event()
        self._tried = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._well = True

    def follow(self, places: Iterable[StoredSecret], texts: Iterable[StoredSecret] = ()) -> None:
        """Keep these fresh and no others. `texts`: those that may have several lines."""
        wanted, wanted_texts = _by_path(places), _by_path(texts)
        for path in wanted_texts:
            wanted.setdefault(path, set())
        before = self._former | self._held
        held = {path: before.get(path) or _Held(path) for path in wanted}
        self._former = {path: each for path, each in self._held.items() if path not in held}
        self._held = held
        for path, each in held.items():
            fields, longer = wanted[path], wanted_texts.get(path, set())
            if not (fields <= each.wanted and longer <= each.wanted_texts):
                each.due_s, each.tried = -math.inf, False
            each.wanted, each.wanted_texts = fields, longer
        if not all(each.tried for each in held.values()):
            self._tried.clear()
        self._wake.set()

    def start(self) -> None:
        """Begin to ask."""
        if self._task is None:
            self._task = spawn(self._run(), "vault")

    async def settled(self, within_s: float) -> bool:
        """Wait until each secret was asked for once, whatever came of it. False: that took longer."""
        try:
            async with asyncio.timeout(within_s):
                await self._tried.wait()
        except TimeoutError:
            return False
        return True

    def secret(self, place: StoredSecret) -> Secret | None:
        """The value of this moment, or None. Never waits."""
        reading = self._reading(place)
        return None if reading is None else reading.fields.get(place.field)

    def text(self, place: StoredSecret) -> Secret | None:
        """The same of a value that may have several lines."""
        reading = self._reading(place)
        return None if reading is None else reading.texts.get(place.field)

    def _reading(self, place: StoredSecret) -> Reading | None:
        held = self._held.get(place.path) or self._former.get(place.path)
        return None if held is None or self._clock.monotonic() >= held.until_s else held.reading

    def refused(self, place: StoredSecret) -> None:
        """The provider did not take the value: perhaps there is a new one."""
        held = self._held.get(place.path)
        if held is None or held.reading is None:
            return
        now = self._clock.monotonic()
        if now - max(held.read_s, held.told_s) >= _REFUSED_S[bool(held.reading.lease_id)]:
            held.due_s, held.told_s = -math.inf, now
            self._wake.set()

    async def tend(self) -> float:
        """Do what is due. Returns the seconds until there may be more; never raises, but for cancellation."""
        now = self._clock.monotonic()
        self._tell_ended(now)
        if self._next_s() > now:
            return self._pause(now)
        if not self._breaker.start(now):
            return self._again_s()
        asked = [*self._held.values()]  # a reload may bring others meanwhile, which this round does not ask for
        try:
            await self._round(asked)
        except asyncio.CancelledError:
            self._breaker.abandoned()
            raise
        except VaultError as failure:
            return self._failed(str(failure))
        except Exception as bug:  # noqa: BLE001  # its text may hold a secret; the circuit must hear of it
            return self._failed(type(bug).__name__)
        finally:
            for each in asked:
                each.tried = True
            if all(each.tried for each in self._held.values()):
                self._tried.set()
        self._breaker.succeeded()
        if not self._well:
            self._well = True
            _log.info("vault_back", source=self._session.name)
        return self._pause(self._clock.monotonic())

    async def close(self) -> None:
        """Stop asking, forget everything, give the token back."""
        if self._task is not None:
            await cancel_and_wait(self._task)
        self._held, self._former = {}, {}
        await self._session.close()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            pause_s = await self.tend()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._wake.wait()

    async def _round(self, asked: Sequence[_Held]) -> None:
        await self._session.tend()
        for each in asked:
            if self._session.epoch != self._epoch:
                self._new_token()
            if self._clock.monotonic() >= each.due_s:
                await self._refresh(each)

    def _new_token(self) -> None:
        """What was leased under the token before ends with it, so it is issued anew while the old one still counts."""
        self._epoch = self._session.epoch
        for each in self._held.values():
            if each.reading is not None and each.reading.lease_id:
                each.due_s = -math.inf

    async def _refresh(self, held: _Held) -> None:
        asked_s = self._clock.monotonic()
        try:
            if await self._renewed(held, asked_s):
                return
            found = await self._session.reading(held.path)
        except VaultError as failure:
            if failure.away:
                raise
            cause = str(failure)
        else:
            missing = sorted({*(held.wanted - found.fields.keys()), *(held.wanted_texts - found.texts.keys())})
            if not missing:
                self._take(held, found, asked_s)
                return
            cause = f"has no usable field {', '.join(missing)}" if any(missing) else "is not one line of visible ASCII"
        # The vault is there, and this path gives nothing. What was read before counts until it is stale: a slip of
        # whoever writes to the vault costs no traffic.
        held.due_s = self._clock.monotonic() + self._apart_s(min(self._refresh_s, _MENDED_S))
        _log.error("vault_secret_unusable", source=self._session.name, path=held.path, cause=cause)

    async def _renewed(self, held: _Held, asked_s: float) -> bool:
        """Whether the lease goes on. One that a provider refused, or of an earlier token, is not renewed."""
        lease = held.reading
        if lease is None or not lease.renewable or held.due_s == -math.inf or asked_s >= held.until_s:
            return False
        try:
            ttl_s = await self._session.renew(lease.lease_id, lease.ttl_s)
        except VaultError as failure:
            if failure.away:
                raise
            return False
        if is_worn(ttl_s, lease.ttl_s) or held.due_s == -math.inf:
            return False
        held.until_s, held.due_s = asked_s + ttl_s, asked_s + renew_in_s(ttl_s, self._draw)
        return True

    def _take(self, held: _Held, found: Reading, asked_s: float) -> None:
        """Exchanges that are under way keep the value that they were sent with; the next one takes this."""
        found = replace(  # the rest is not ours to hold
            found,
            fields={name: found.fields[name] for name in held.wanted},
            texts={name: found.texts[name] for name in held.wanted_texts},
        )
        if held.reading is None or not held.reading.says(found):
            source, leased = self._session.name, bool(found.lease_id)
            _log.info("vault_secret_taken", source=source, path=held.path, version=found.version, leased=leased)
        held.reading, held.read_s, held.told_ended = found, asked_s, False
        if found.lease_id:
            held.until_s, held.due_s = asked_s + found.ttl_s, asked_s + renew_in_s(found.ttl_s, self._draw)
        else:
            held.until_s, held.due_s = asked_s + self._stale_s, asked_s + self._apart_s(self._refresh_s)

    def _failed(self, cause: str) -> float:
        self._breaker.failed(self._clock.monotonic())
        if self._well:
            self._well = False
            _log.error("vault_away", source=self._session.name, cause=f"the request {cause}")
        return self._again_s()

    def _tell_ended(self, now: float) -> None:
        for each in self._held.values():
            if each.reading is not None and now >= each.until_s and not each.told_ended:
                each.told_ended = True
                ago = round(now - each.read_s)
                _log.error("vault_secret_ended", source=self._session.name, path=each.path, read_s_ago=ago)

    def _next_s(self) -> float:
        return min([self._session.due_s, *(each.due_s for each in self._held.values())])

    def _pause(self, now: float) -> float:
        return max(0.0, min(self._next_s() - now, _IDLE_S))

    def _again_s(self) -> float:
        return _AGAIN_S * (0.5 + self._draw())

    def _apart_s(self, seconds: float) -> float:
        return seconds * (1 - _SPREAD + 2 * _SPREAD * self._draw())


def _by_path(places: Iterable[StoredSecret]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for place in places:
        found.setdefault(place.path, set()).add(place.field)
    return found
