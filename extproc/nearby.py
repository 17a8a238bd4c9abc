"""Asks this host's index of answered questions where the answer to a like one may lie. Holds no answer.

Without the index, or while it is slow, nothing is near: that is a miss, and costs a request at most its deadline.
"""

import asyncio
from collections.abc import Coroutine
from typing import Final

import structlog

from extproc.advisers import Line
from extproc.core.questions import Alike
from gateway import similar
from gateway.aio import cancel_and_wait, spawn
from gateway.breaker import Breaker
from gateway.clock import Clock
from gateway.fetch import FetchError, StatusError

_log = structlog.get_logger("extproc.nearby")

_MS: Final = 1000.0
_OPENS_AFTER: Final = 5  # failures in a row: fewer are a hiccup
_OPEN_S: Final = (1.0, 30.0)  # at first, at the longest
_UNDER_WAY: Final = 64  # questions of one worker: as many as the index lets wait of all
_TELLING: Final = 256  # answers that the index is being told of; more it does not hear of
_TELL_S: Final = 2.0  # nobody waits for it
_JSON: Final = {"content-type": "application/json"}


class Nearby:
    """One worker's way to the index. For one event loop."""

    def __init__(self, line: Line, clock: Clock) -> None:
        self._line = line
        self._clock = clock
        self._breaker = Breaker(failures_to_open=_OPENS_AFTER, first_open_s=_OPEN_S[0], longest_open_s=_OPEN_S[1])
        self._under_way = 0
        self._telling: set[asyncio.Task[None]] = set()

    async def find(self, tenant: str, partition: str, alike: Alike) -> similar.Near | None:
        """Where the answer to a like question may lie. Never raises, but for cancellation."""
        if self._under_way >= _UNDER_WAY or not self._breaker.start(self._clock.monotonic()):
            return None
        self._under_way += 1
        try:
            asked = similar.Find(
                schema=similar.SCHEMA,
                tenant=tenant,
                partition=partition,
                text=alike.text,
                likeness=alike.how.likeness,
                deadline_ms=alike.how.deadline_ms,
            )
            near = await self._post(asked, alike.how.deadline_ms / _MS)
        except asyncio.CancelledError:
            self._breaker.abandoned()
            raise
        except Exception as failure:  # noqa: BLE001 - whatever it is, it is a miss, and its text may hold a prompt
            self._failed(failure)
            return None
        finally:
            self._under_way -= 1
        self._breaker.succeeded()
        return near if near.name else None

    def put(self, tenant: str, partition: str, name: str, alike: Alike, life_s: int) -> None:
        """The answer to this question lies under `name`. Waits for nothing."""
        self._tell(
            similar.Put(
                schema=similar.SCHEMA,
                tenant=tenant,
                partition=partition,
                name=name,
                text=alike.text,
                life_s=life_s,
                entries=alike.how.entries,
            )
        )

    def drop(self, tenant: str, partition: str, name: str) -> None:
        """There is no answer under `name` any more. Waits for nothing."""
        self._tell(similar.Drop(schema=similar.SCHEMA, tenant=tenant, partition=partition, name=name))

    async def close(self) -> None:
        """Tell no more, and hang up."""
        await cancel_and_wait(*self._telling)
        await self._line.close()

    async def _post(self, asked: similar.Question, within_s: float) -> similar.Near:
        return similar.read_near(await self._line.post(_JSON, similar.write(asked), similar.ANSWER_MAX_BYTES, within_s))

    def _tell(self, said: similar.Question) -> None:
        if len(self._telling) < _TELLING:
            self._spawn(self._told(said))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = spawn(work, name="cache-similar")
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _told(self, said: similar.Question) -> None:
        if not self._breaker.start(self._clock.monotonic()):
            return
        try:
            await self._post(said, _TELL_S)
        except asyncio.CancelledError:
            self._breaker.abandoned()
            raise
        except Exception as failure:  # noqa: BLE001 - nobody waits; the question is only not found again
            self._failed(failure)
        else:
            self._breaker.succeeded()

    def _failed(self, failure: Exception) -> None:
        if isinstance(failure, similar.SimilarError) or (isinstance(failure, StatusError) and failure.status == 400):
            self._breaker.succeeded()  # it is there, and would not take this question
        else:
            self._breaker.failed(self._clock.monotonic())
        reason = str(failure) if isinstance(failure, FetchError) else type(failure).__name__
        _log.warning("cache_similar_not_asked", reason=reason)
