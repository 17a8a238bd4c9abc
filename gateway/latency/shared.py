"""Estimates of all workers and replicas in one place: folded together in Valkey, off the path of requests. Picks none.

Every worker sends what it saw in the last moment and gets what all think by now, in one call. Without Valkey each goes
on by its own.
"""

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Final

import structlog

from gateway.latency import estimates
from gateway.latency.estimates import Batch, Estimate, Key, Latencies
from gateway.script import Runner, Script, ScriptError

_log: Final = structlog.get_logger(__name__)
_SCRIPT: Final = Script(Path(__file__).with_name("share.lua"))
_TAG: Final = "ostiary:{:latency}"  # one slot of a cluster; no tenant's name has a colon
#: A call of each worker in a second is nothing to Valkey, and a backend that fails is known to all within one.
EVERY_S: Final = 1.0
#: Of an estimate that nobody adds to. An hour later the backend is measured anew.
_LIFE_MS: Final = 3_600_000
_MOST: Final = 512  # estimates of a call: 5 ms of the server's time
_FIELDS: Final = 3  # words for each estimate, both ways

#: Shows estimates in seconds to whoever watches: model, backend, streamed, seconds.
Gauge = Callable[[str, str, bool, float], None]


def server_time() -> int:
    """That of Valkey, the same for every worker."""
    return 0


class Sharing:
    """One worker's part."""

    def __init__(
        self, latencies: Latencies, runner: Runner | None, gauge: Gauge, now_ms: Callable[[], int] = server_time
    ) -> None:
        """`runner` None: there is no Valkey, and estimates are only shown. `now_ms` is for tests."""
        self._now_ms = now_ms
        self._latencies = latencies
        self._runner = runner
        self._gauge = gauge
        self._away = False

    async def run(self) -> None:
        """Exchange estimates until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.once()

    async def once(self) -> None:
        """Publish, take over, show. What could not be published is not tried again: it is in this worker's estimate."""
        taken = self._latencies.take()
        pairs = iter(taken.items())
        while self._runner is not None and (some := list(islice(pairs, _MOST))):
            try:
                self._latencies.adopt(await folded(self._runner, some, self._now_ms()))
            except ScriptError as error:
                self._say(str(error))
                break
            self._say("")
        for key, seconds in self._latencies.known().items():
            self._gauge(*key, seconds)

    def _say(self, cause: str) -> None:
        """Once when it goes away, and once when it is back."""
        if bool(cause) == self._away:
            return
        self._away = bool(cause)
        if cause:
            _log.warning("latencies_not_shared", cause=cause)
        else:
            _log.info("latencies_shared")


async def folded(
    runner: Runner, batches: Sequence[tuple[Key, Batch]], now_ms: int
) -> Mapping[Key, tuple[Estimate, float]]:
    """Fold batches into the estimates of all; what these are now, each with its age in seconds.

    `now_ms` 0: by the server's clock.

    Raises:
        ScriptError: there is no answer, or it is none.
    """
    told = await runner.start(_SCRIPT, [_name(key) for key, _ in batches], _words(batches, now_ms))
    return _read(told, [key for key, _ in batches])


def _name(key: Key) -> str:
    content = f"{key.model}\n{key.backend}\n{key.streamed}"
    return f"{_TAG}:{blake2b(content.encode(), digest_size=16).hexdigest()}"


def _words(batches: Sequence[tuple[Key, Batch]], now_ms: int) -> list[bytes]:
    numbers: list[float] = [estimates.SLOWER, estimates.FASTER, estimates.CHANGED, estimates.CHANGED_TIMES]
    numbers += [estimates.FORGET_S, _LIFE_MS, now_ms, estimates.LONGEST_S, estimates.STRIKES]
    for _, batch in batches:
        numbers += batch
    return [f"{number:.6f}".encode() if isinstance(number, float) else b"%d" % number for number in numbers]


def _read(told: object, keys: Sequence[Key]) -> Mapping[Key, tuple[Estimate, float]]:
    """The answer, strictly: whatever else is in Valkey must not steer requests by numbers that cannot be."""
    if not isinstance(told, list) or len(told) != _FIELDS * len(keys):
        raise ScriptError("answer of another shape")
    found = {}
    for at, key in enumerate(keys):
        try:
            words = [bytes(word).decode() for word in told[_FIELDS * at : _FIELDS * (at + 1)]]
            seconds = float(words[0]) if words[0] else None
            strikes, age_s = int(words[1]), int(words[2]) / 1000
        except (ValueError, TypeError, OverflowError):
            raise ScriptError("not an estimate") from None
        if seconds is not None and not (math.isfinite(seconds) and 0 <= seconds <= estimates.LONGEST_S):
            raise ScriptError("not an estimate")
        if not 0 <= strikes <= estimates.STRIKES or age_s < 0:
            raise ScriptError("not an estimate")
        if seconds is not None or strikes:
            found[key] = Estimate(seconds, strikes), age_s
    return found
