"""Lua scripts run on Valkey, many calls in one write and one read. Knows no script and no key.

Calls that come in one turn of the event loop go out together, and so does what comes while they are under way. The
library's own client would cost three times as much for each, and a connection for each that runs at once.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError, ResponseError

from gateway import aio

DEADLINE_S: Final = 2.0  # of a batch; whoever asks has a shorter one, this only gives up a connection that hangs
_BATCH: Final = 512  # calls in a write: 300 KB at most, and 10 ms of the server's time
_AT_ONCE: Final = (
    32  # connections to a cluster's node: the library opens one for each call, and refuses beyond a hundred
)
_MOST: Final = 16_384  # calls that wait; more come only from a server that does not answer


_ASKING: Final = b"*1\r\n$6\r\nASKING\r\n"


class ScriptError(Exception):
    """The server could not be asked, or refused. Holds the kind of failure, no address and no password."""

    def __init__(self, cause: str, *, refused: ResponseError | None = None) -> None:
        """`refused`: the server answered, but not with what was asked for; it is not away."""
        super().__init__(cause)
        self.refused = refused


class Script:
    """A script by its text; the server knows it by its SHA-1, on which no security depends."""

    __slots__ = ("evalsha", "sha", "text", "whole")

    def __init__(self, path: Path) -> None:
        """Read it once, when the module is loaded."""
        self.text: Final = path.read_text(encoding="utf-8")
        self.sha: Final = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        self.evalsha: Final = word(b"EVALSHA") + word(self.sha.encode())
        self.whole: Final = word(b"EVAL") + word(self.text.encode())


class Runner(Protocol):
    """Something that runs scripts."""

    def start(self, script: Script, keys: Sequence[str], arguments: Sequence[bytes]) -> "asyncio.Future[object]":
        """The script's answer, or `ScriptError` for whatever the server or the way to it does.

        The call is sent even if nobody waits for its answer any more. All keys must have one hash tag.
        """
        ...


def word(raw: bytes) -> bytes:
    """One word of a command as the server reads it (RESP, "Sending commands to a Redis server")."""
    return b"$%d\r\n%b\r\n" % (len(raw), raw)


def packed(keys: Sequence[str], arguments: Sequence[bytes]) -> tuple[int, bytes]:
    """How many words a call has, and all but the first two of them."""
    words = [str(len(keys)).encode(), *map(str.encode, keys), *arguments]
    return 2 + len(words), b"".join(map(word, words))


class _Call:
    __slots__ = ("answer", "asking", "body", "count", "script", "whole")

    def __init__(self, script: Script, answer: "asyncio.Future[object]", count: int, body: bytes) -> None:
        self.script = script
        self.answer = answer
        self.count = count  # words of the command
        self.body = body  # all but the first two words
        self.whole = False  # the server does not have the script
        self.asking = False  # the key's slot is on its way to this server of a cluster

    def packed(self) -> bytes:
        return (_ASKING if self.asking else b"") + b"*%d\r\n%b%b" % (
            self.count,
            self.script.whole if self.whole else self.script.evalsha,
            self.body,
        )


class Pipe:
    """One connection to one server (or to the master that Sentinel names), for one event loop.

    The connection is borrowed from the client's pool for good, so that whoever closes the client closes it.
    """

    def __init__(self, client: Redis, *, deadline_s: float = DEADLINE_S) -> None:
        """Connects when first used."""
        self._pool: Any = client.connection_pool  # redis-py leaves half of its types out
        self._connection: Any = None
        self._deadline_s = deadline_s
        self._queue: list[_Call] = []
        self._running = False
        self.batches = 0  # round trips, for metrics and benches

    def start(self, script: Script, keys: Sequence[str], arguments: Sequence[bytes]) -> "asyncio.Future[object]":
        """See `Runner`."""
        return self.send(script, *packed(keys, arguments))

    def send(self, script: Script, count: int, body: bytes, *, asking: bool = False) -> "asyncio.Future[object]":
        """The same with words that `packed` made. `asking`: to a server of a cluster that a slot is moving to."""
        answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        if len(self._queue) >= _MOST:
            answer.set_exception(ScriptError("too many calls wait"))
            return answer
        call = _Call(script, answer, count, body)
        call.asking = asking
        self._queue.append(call)
        if not self._running:
            self._running = True
            aio.spawn(self._work(), "script-pipe")
        return answer

    async def _work(self) -> None:
        try:
            while self._queue:
                batch, self._queue = self._queue[:_BATCH], self._queue[_BATCH:]
                await self._batch(batch)
        finally:
            self._running = False

    async def _batch(self, batch: list[_Call]) -> None:
        try:
            async with asyncio.timeout(self._deadline_s):
                await self._answer(batch)
        except (RedisError, OSError, TimeoutError) as error:
            _fail(batch, type(error).__name__)
        except asyncio.CancelledError:
            _fail(batch, "cancelled")
            raise
        except Exception:  # a defect; nobody may wait for ever because of it
            _fail(batch, "defect")
            raise

    async def _answer(self, batch: list[_Call]) -> None:
        fresh = self._connection is None
        try:
            again = await self._exchange(batch)
        except (RedisConnectionError, OSError):
            # A connection that a restarted server has forgotten fails: once more, on one that is new.
            if fresh or any(call.answer.done() and not call.answer.cancelled() for call in batch):
                raise
            again = await self._exchange(batch)
        if again:
            # Restarted or failed over: the first EVAL of a script runs and keeps it, the others find it kept.
            seen: set[str] = set()
            for call in again:
                call.whole = call.script.sha not in seen
                seen.add(call.script.sha)
            for call in await self._exchange(again):
                _refuse(call, ScriptError("NoScriptError", refused=NoScriptError()))

    async def _exchange(self, batch: list[_Call]) -> list[_Call]:
        """One write and the answers to it; returns the calls whose script the server does not have."""
        missing = []
        connection, self._connection = self._connection, None
        if connection is None:
            connection = await self._pool.get_connection()
        try:
            self.batches += 1
            await connection.send_packed_command([b"".join([call.packed() for call in batch])], check_health=False)
            for call in batch:
                try:
                    if call.asking:
                        await connection.read_response(disable_decoding=True)
                    answer = await connection.read_response(disable_decoding=True)
                except NoScriptError:
                    missing.append(call)
                except ResponseError as error:  # the connection is as good as before
                    _refuse(call, ScriptError(type(error).__name__, refused=error))
                else:
                    if not call.answer.done():
                        call.answer.set_result(answer)
        except BaseException:
            # Answers may still be on their way, and would be taken for those to the next commands.
            await connection.disconnect(nowait=True)
            await self._pool.release(connection)
            raise
        self._connection = connection
        return missing


def _refuse(call: _Call, error: ScriptError) -> None:
    if not call.answer.done():
        call.answer.set_exception(error)


def _fail(batch: list[_Call], cause: str) -> None:
    for call in batch:
        _refuse(call, ScriptError(cause))
