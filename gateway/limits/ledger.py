"""Where requests are counted for all workers: Valkey (or Redis), and memory for tests. Sets no deadline."""

import asyncio
import contextlib
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, cast

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError, ResponseError

from gateway.limits import gcra
from gateway.limits.bucket import Bucket

NowUs = Callable[[], int]

_SCRIPT: Final = Path(__file__).with_name("gcra.lua").read_text(encoding="utf-8")
#: EVALSHA names scripts by SHA-1; nothing secret depends on it.
_SHA: Final = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()
_FIELDS: Final = 4  # numbers in the script's answer for each key
_SWEEP_AT: Final = 65_536  # states; below that, memory is not worth a sweep


class Want(NamedTuple):
    """A wish for one to `most` permits of a bucket."""

    bucket: Bucket
    most: int


class Grant(NamedTuple):
    """The ledger's answer to one want. `granted` 0 with `retry_after_us` 0: another want of the call was refused."""

    granted: int
    remaining: int
    retry_after_us: int
    reset_us: int


class LedgerError(Exception):
    """The ledger could not be asked. Holds the kind of failure, no address and no password."""


class Ledger(Protocol):
    """Counts for everyone. A lease is atomic over all its wants: each gets at least one permit, or none does."""

    async def lease(self, wants: Sequence[Want]) -> tuple[Grant, ...]:
        """Spend permits; the caller hands them out. Buckets must differ, and be of one tenant."""
        ...


class MemoryLedger:
    """The ledger of one process; what Valkey does, done by the pure functions."""

    def __init__(self, now_us: NowUs) -> None:
        self._now_us = now_us
        self._tats: dict[str, int] = {}

    async def lease(self, wants: Sequence[Want]) -> tuple[Grant, ...]:
        """See `Ledger`."""
        keys = _keys(wants)
        now = self._now_us()
        asks = [(self._tats.get(key, 0), want.bucket.limit, want.most) for key, want in zip(keys, wants, strict=True)]
        decisions = gcra.draw(now, asks)
        self._tats.update(zip(keys, (one.tat for one in decisions), strict=True))
        if len(self._tats) > _SWEEP_AT:
            self._tats = {key: tat for key, tat in self._tats.items() if tat > now}
        return tuple(Grant(one.granted, one.remaining, one.retry_after_us, one.reset_us) for one in decisions)


class ValkeyLedger:
    """One script call for all the limits of a request. Timeouts are the caller's."""

    def __init__(self, client: Redis, now_us: NowUs | None = None) -> None:
        """`now_us` is for tests; without it the server's clock counts, the same for every replica."""
        self._pool: Any = client.connection_pool  # redis-py leaves half of its types out
        self._idle: list[Any] = []
        # Whoever waits, waits for one of ours: the pool would let nobody know of a connection that it lent for good.
        self._slots = asyncio.Semaphore(client.connection_pool.max_connections)
        self._now_us = now_us

    async def lease(self, wants: Sequence[Want]) -> tuple[Grant, ...]:
        """See `Ledger`. Raises `LedgerError` for whatever the server or the way to it does."""
        keys = _keys(wants)
        arguments: list[int] = [self._now_us() if self._now_us else 0]
        for bucket, most in wants:
            arguments += (bucket.limit.interval_us, bucket.requests, most)
        try:
            numbers = await self._run([str(len(keys)), *keys, *map(str, arguments)])
        except (RedisError, OSError) as error:
            raise LedgerError(type(error).__name__) from None
        if not isinstance(numbers, list) or len(numbers) != _FIELDS * len(wants):
            raise LedgerError("answer of another shape")
        return tuple(Grant(*numbers[at : at + _FIELDS]) for at in range(0, len(numbers), _FIELDS))

    async def _run(self, arguments: Sequence[str]) -> object:
        try:
            return await self._send("EVALSHA", _SHA, *arguments)
        except NoScriptError:
            # A server that was restarted or failed over has no script; EVAL runs and keeps it.
            return await self._send("EVAL", _SCRIPT, *arguments)

    async def _send(self, *words: str) -> object:
        """One command on a connection of its own, past the library's client: that costs three times the command.

        Connections are borrowed from the client's pool for good, so that whoever closes the client closes them.
        """
        command = _packed(words)
        async with self._slots:
            if self._idle:
                # One that a restarted server has forgotten fails: once more, on one that is new.
                with contextlib.suppress(RedisConnectionError, OSError):
                    return await self._exchange(self._idle.pop(), command)
            return await self._exchange(await self._pool.get_connection(), command)

    async def _exchange(self, connection: Any, command: bytes) -> object:
        try:
            await connection.send_packed_command([command], check_health=False)
            answer = await connection.read_response(disable_decoding=True)
        except ResponseError:
            self._idle.append(connection)  # the server has answered; the connection is as good as before
            raise
        except BaseException:
            # An answer may still be on its way, and would be taken for that to the next command.
            await connection.disconnect(nowait=True)
            await self._pool.release(connection)
            raise
        self._idle.append(connection)
        return cast("object", answer)


def _packed(words: Sequence[str]) -> bytes:
    """A command as the server reads it (RESP, "Sending commands to a Redis server")."""
    parts = [f"*{len(words)}\r\n".encode()]
    for word in words:
        raw = word.encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(raw), raw))
    return b"".join(parts)


def _keys(wants: Sequence[Want]) -> list[str]:
    keys = [want.bucket.key for want in wants]
    if len(set(keys)) != len(keys):
        raise ValueError("one bucket twice in one lease would be counted once")
    return keys
