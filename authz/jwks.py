"""The issuers' keys, fetched ahead of need and kept while they may be trusted. Requests only read; tasks fetch.

While a provider is away its last keys count up to the age that the policy states, then its tokens are refused
(design.md, section 8). An unknown `kid` may bring a fetch forward, but only once in a while: whoever sends
invented ones must not be able to hammer the provider through us.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

import structlog

from gateway import keyset, strict
from gateway.aio import cancel_and_wait, spawn
from gateway.clock import Clock
from gateway.fetch import FetchError
from gateway.keyset import KeysError, KeySet
from gateway.policy.issuer import on_loopback, url_fault
from gateway.policy.model import Issuer

#: Fetches (URL, CA file, most bytes); raises FetchError. `gateway.fetch.get`, or a test's own.
Get: TypeAlias = Callable[[str, str | None, int], Awaitable[bytes]]
Sleep: TypeAlias = Callable[[float], Awaitable[object]]

#: Least time between the starts of two fetches that tokens asked for. A rotated key is unknown for at most this.
EAGER_S: Final = 10.0
#: Requests that may wait for one fetch; each holds a Check open. The others are refused at once.
MAX_WAITING: Final = 256
_MAX_BACKOFF_S: Final = 60.0
_MAX_DOUBLINGS: Final = 6  # 2**6 s is beyond _MAX_BACKOFF_S
_SPREAD: Final = 0.1  # of every pause, so that workers and replicas do not ask in step
_METADATA_BYTES: Final = 64 * 1024  # discovery documents have 2 to 8 KiB
_METADATA_PATH: Final = "/.well-known/openid-configuration"

_log: Final = structlog.get_logger(__name__)

#: What two entries of a policy must share to share a fetch: issuer, JWKS, CA file.
_Place: TypeAlias = tuple[str, str | None, str | None]


@dataclass(slots=True)
class _Source:
    """One place where keys come from, and what is known of it."""

    issuer: str
    jwks_uri: str | None
    ca_file: str | None  # absolute
    refresh_s: int
    keys: KeySet | None = None
    fetched_s: float = 0.0  # monotonic
    asked_s: float = float("-inf")
    failures: int = 0
    waiting: int = 0
    flight: "asyncio.Task[None] | None" = field(default=None, repr=False)
    loop: "asyncio.Task[None] | None" = field(default=None, repr=False)


class Keyring:
    """The keys of every issuer of the current policy. For one event loop."""

    def __init__(self, get: Get, clock: Clock, *, sleep: Sleep = asyncio.sleep) -> None:
        self._get = get
        self._clock = clock
        self._sleep = sleep
        self._sources: dict[_Place, _Source] = {}

    def follow(self, issuers: Iterable[Issuer], directory: str) -> None:
        """Keep the keys of these issuers and of no others. `directory` is the base of relative CA files."""
        wanted: dict[_Place, _Source] = {}
        for issuer in issuers:
            place = _place(issuer)
            source = wanted.get(place) or self._sources.get(place)
            if source is None:
                ca_file = str(Path(directory, issuer.ca_file)) if issuer.ca_file else None
                source = _Source(issuer.issuer, issuer.jwks_uri, ca_file, issuer.keys_refresh_s)
            elif place in wanted:
                source.refresh_s = min(source.refresh_s, issuer.keys_refresh_s)
            else:
                source.refresh_s = issuer.keys_refresh_s
            wanted[place] = source
        gone = [source for place, source in self._sources.items() if place not in wanted]
        self._sources = wanted
        for source in gone:
            for task in (source.loop, source.flight):
                if task is not None:
                    task.cancel()
        for source in wanted.values():
            if source.loop is None:
                source.loop = spawn(self._keep(source), "issuer-keys")

    def usable(self, issuer: Issuer) -> KeySet | None:
        """The issuer's keys, unless they are older than its entry allows."""
        source = self._sources.get(_place(issuer))
        if source is None or source.keys is None:
            return None
        age_s = self._clock.monotonic() - source.fetched_s
        return source.keys if age_s <= issuer.keys_max_age_s else None

    async def renew(self, issuer: Issuer) -> bool:
        """Fetch sooner, if it is not too soon. True when there are other keys now, or keys again."""
        source = self._sources.get(_place(issuer))
        if source is None or source.waiting >= MAX_WAITING:
            return False
        before = self.usable(issuer)
        if source.flight is None and self._clock.monotonic() - source.asked_s < EAGER_S:
            return False
        source.waiting += 1
        try:
            await asyncio.wait({self._flight(source)})  # a waiter that gives up does not end the fetch
        finally:
            source.waiting -= 1
        after = self.usable(issuer)
        return after is not None and after is not before

    async def close(self) -> None:
        """End every fetch."""
        tasks = [task for source in self._sources.values() for task in (source.loop, source.flight) if task]
        self._sources = {}
        await cancel_and_wait(*tasks)

    async def _keep(self, source: _Source) -> None:
        while True:
            await asyncio.wait({self._flight(source)})
            failing = source.failures
            pause_s = min(_MAX_BACKOFF_S, 2.0 ** min(failing, _MAX_DOUBLINGS)) if failing else float(source.refresh_s)
            await self._sleep(min(pause_s, source.refresh_s) * random.uniform(1 - _SPREAD, 1 + _SPREAD))  # noqa: S311  # no secret

    def _flight(self, source: _Source) -> "asyncio.Task[None]":
        """The fetch that is under way, or a new one: never two."""
        if source.flight is None:
            source.asked_s = self._clock.monotonic()
            source.flight = spawn(self._fetch(source), "issuer-keys-fetch")
            source.flight.add_done_callback(lambda _: self._landed(source))
        return source.flight

    @staticmethod
    def _landed(source: _Source) -> None:
        source.flight = None

    async def _fetch(self, source: _Source) -> None:
        """Ask once. Whatever goes wrong leaves the keys as they are: age alone ends their trust."""
        try:
            uri = source.jwks_uri or await self._discover(source)
            keys = keyset.parse(await self._get(uri, source.ca_file, keyset.MAX_BYTES))
        except (FetchError, KeysError) as failure:
            self._failed(source, str(failure))
            return
        except Exception as bug:  # noqa: BLE001  # a loop that ended would age all keys of the issuer out of trust
            self._failed(source, type(bug).__name__)
            return
        source.failures = 0
        # Age counts from the question: an answer that was slow to come is not younger for it.
        source.fetched_s = source.asked_s
        if source.keys is None or source.keys.digest != keys.digest:
            source.keys = keys
            _log.info("issuer_keys_changed", issuer=source.issuer, keys=len(keys.keys), dropped=keys.dropped)

    def _failed(self, source: _Source, cause: str) -> None:
        source.failures += 1
        age_s = None if source.keys is None else round(self._clock.monotonic() - source.fetched_s)
        _log.warning("issuer_keys_failed", issuer=source.issuer, cause=cause, failures=source.failures, age_s=age_s)

    async def _discover(self, source: _Source) -> str:
        """`jwks_uri` of the issuer's metadata (OpenID Connect Discovery 1.0, section 4)."""
        url = source.issuer.removesuffix("/") + _METADATA_PATH
        raw = await self._get(url, source.ca_file, _METADATA_BYTES)
        try:
            metadata = strict.json_object(raw)
        except ValueError:
            raise FetchError("metadata: not a JSON object") from None
        if metadata.get("issuer") != source.issuer:  # section 4.3: or one issuer could speak for another
            raise FetchError("metadata: of another issuer")
        uri = metadata.get("jwks_uri")
        if not isinstance(uri, str) or url_fault(uri):
            raise FetchError("metadata: no usable jwks_uri")
        if on_loopback(uri) and not on_loopback(source.issuer):
            raise FetchError("metadata: jwks_uri points at this machine")
        return uri


def _place(issuer: Issuer) -> _Place:
    return issuer.issuer, issuer.jwks_uri, issuer.ca_file
