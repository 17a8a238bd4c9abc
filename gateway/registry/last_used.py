"""When keys of the registry were last used, in one hash of Valkey. A hint for operators: not sealed, never judged by.

Workers write it twice a minute and a crash loses up to that much (authz/usage.py).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.policy.key import LAST_SECOND
from gateway.registry.model import RegistryError

#: Beside the registry's own keys, and by its tag in their slot of a cluster.
NAME: Final = "{ostiary}:last_used"
_AT_ONCE: Final = 1000  # fields of one command: 20 KB, and no other client waits for long
_DIGITS: Final = 12  # of LAST_SECOND; int() never sees endless digits


class LastUsed(Protocol):
    """The times, as control reads and workers write them. Every method may raise RegistryError."""

    async def note(self, times: Mapping[str, int]) -> None:
        """Keys were used at these unix seconds. The last writer wins, so workers may be off by their pause."""
        ...

    async def read(self, key_ids: Sequence[str]) -> Mapping[str, int]:
        """The times of those that were ever used."""
        ...

    async def forget(self, key_id: str) -> None:
        """The key is gone."""
        ...


class ValkeyLastUsed:
    """Over a client that the caller closes; the caller sets deadlines."""

    def __init__(self, client: Redis) -> None:
        self._client = cast("Any", client)  # redis-py types its answers for both of its clients at once

    async def note(self, times: Mapping[str, int]) -> None:
        """See `LastUsed`: one pipeline, whatever the number."""
        pairs = list(times.items())
        try:
            async with self._client.pipeline(transaction=False) as pipeline:
                for start in range(0, len(pairs), _AT_ONCE):
                    pipeline.hset(NAME, mapping=dict(pairs[start : start + _AT_ONCE]))
                await pipeline.execute()
        except (RedisError, OSError) as failure:
            raise RegistryError(type(failure).__name__) from None

    async def read(self, key_ids: Sequence[str]) -> Mapping[str, int]:
        """See `LastUsed`. What is no time is left out."""
        found: dict[str, int] = {}
        try:
            for start in range(0, len(key_ids), _AT_ONCE):
                asked = key_ids[start : start + _AT_ONCE]
                values = await self._client.hmget(NAME, list(asked))
                found |= {
                    key_id: moment
                    for key_id, value in zip(asked, values, strict=True)
                    if value is not None and (moment := _moment(value)) is not None
                }
        except (RedisError, OSError) as failure:
            raise RegistryError(type(failure).__name__) from None
        return found

    async def forget(self, key_id: str) -> None:
        """See `LastUsed`."""
        try:
            await self._client.hdel(NAME, key_id)
        except (RedisError, OSError) as failure:
            raise RegistryError(type(failure).__name__) from None


class MemoryLastUsed:
    """The times of one process, for tests."""

    def __init__(self) -> None:
        self.times: dict[str, int] = {}

    async def note(self, times: Mapping[str, int]) -> None:
        """See `LastUsed`."""
        self.times |= times

    async def read(self, key_ids: Sequence[str]) -> Mapping[str, int]:
        """See `LastUsed`."""
        return {key_id: self.times[key_id] for key_id in key_ids if key_id in self.times}

    async def forget(self, key_id: str) -> None:
        """See `LastUsed`."""
        self.times.pop(key_id, None)


def _moment(value: bytes) -> int | None:
    if not 0 < len(value) <= _DIGITS or not value.isdigit():
        return None
    moment = int(value)
    return moment if moment <= LAST_SECOND else None
