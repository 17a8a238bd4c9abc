"""The registry in Valkey (or Redis 7): one script call changes it; every worker is told. Sets no deadline.

Layout, all of one hash slot: a hash for each sort, id to sealed value; a stream, the log of changes, whose n-th entry
has the id `n-0`, which is the epoch; a random incarnation. Each log entry carries the random tip of its apply, so an
epoch that was reached twice (the server came back without its last second) is not taken for the same one.
"""

import hashlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import orjson
import structlog
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from gateway.registry.model import Change, ConflictError, Entry, RegistryError, Sort, Unconditional, check
from gateway.registry.seal import Seals

_log: Final = structlog.get_logger(__name__)

#: One hash tag: a cluster keeps all of it on one node, as scripts and pages need.
_PREFIX: Final = "{ostiary}:registry"
LOG: Final = f"{_PREFIX}:log"
INCARNATION: Final = f"{_PREFIX}:incarnation"
CHANNEL: Final = f"{_PREFIX}:changes"
#: Ten thousand names are about 1 MiB in Valkey, and bridge a worker's absence of minutes even while every second
#: brings dozens of revocations. Beyond it the worker loads anew, which takes a second or two.
LOG_CHANGES: Final = 10_000
#: Entries asked for at a time: some 100 KiB of usual values, and never more than 32 MiB.
PAGE: Final = 500

_SCRIPT: Final = Path(__file__).with_name("registry.lua").read_text(encoding="utf-8")
#: EVALSHA names scripts by SHA-1; nothing secret depends on it.
_SHA: Final = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()
_T = TypeVar("_T")
_RANDOM_BYTES: Final = 12  # 96 bits: no two tips are ever alike


def hash_of(sort: Sort) -> str:
    """The key of the hash that holds a sort."""
    return f"{_PREFIX}:{sort.value}"


async def pages(client: Redis, sort: Sort) -> AsyncIterator[dict[bytes, bytes]]:
    """What is stored of a sort, unchecked, page by page; an entry may come twice (SCAN's guarantee)."""
    reading = cast("Any", client)  # redis-py types its answers for both of its clients at once
    cursor = 0
    while True:
        cursor, page = await reading.hscan(hash_of(sort), cursor, count=PAGE)
        yield page
        if cursor == 0:
            return


class ValkeyRegistry:
    """The registry as `control` writes it."""

    def __init__(self, client: Redis, seals: Seals, random_hex: Callable[[int], str] = secrets.token_hex) -> None:
        """`client` without retries: a change that broke off may have been made."""
        self._client = cast("Any", client)
        self._seals = seals
        self._random_hex = random_hex

    async def apply(self, changes: Sequence[Change]) -> int:
        """See `Registry`."""
        check(changes)
        keys = [LOG, INCARNATION, *(hash_of(change.sort) for change in changes)]
        told: list[tuple[str, str, str | None]] = []
        arguments: list[str | bytes | int] = []
        for change in changes:
            stored = None if change.value is None else self._seals.close(change.sort, change.id, change.value)
            told.append((change.sort.value, change.id, None if stored is None else stored.decode()))
            arguments += (change.id, stored or b"", *_condition(change))
        head = (
            CHANNEL,
            LOG_CHANGES,
            self._random_hex(_RANDOM_BYTES),
            self._random_hex(_RANDOM_BYTES),
            orjson.dumps(told),
        )
        epoch = await self._asked(lambda: self._run(keys, [*head, *arguments]))
        if epoch < 0:
            raise ConflictError(f"{changes[-epoch - 1].sort.value} is not as expected")
        return epoch

    async def get(self, sort: Sort, entry_id: str) -> bytes | None:
        """See `Registry`. An entry with a wrong seal is none."""
        stored: bytes | None = await self._asked(lambda: self._client.hget(hash_of(sort), entry_id))
        if stored is None:
            return None
        return self._open(sort, entry_id, stored)

    async def list(self, sort: Sort) -> Sequence[Entry]:
        """See `Registry`. Entries with a wrong seal are left out."""
        return await self._asked(lambda: self._list(sort))

    async def _list(self, sort: Sort) -> Sequence[Entry]:
        found: dict[str, bytes] = {}
        async for page in pages(self._client, sort):
            for raw_id, stored in page.items():
                entry_id = raw_id.decode(errors="replace")  # an id that is not UTF-8 has no seal that fits
                value = self._open(sort, entry_id, stored)
                if value is not None:
                    found[entry_id] = value
        return [Entry(sort, entry_id, found[entry_id]) for entry_id in sorted(found)]

    def _open(self, sort: Sort, entry_id: str, stored: bytes) -> bytes | None:
        value = self._seals.open(sort, entry_id, stored)
        if value is None:
            _log.error("registry_entry_refused", sort=sort.value, id=entry_id)
        return value

    async def _run(self, keys: Sequence[str], arguments: Sequence[str | bytes | int]) -> int:
        try:
            return cast("int", await self._client.evalsha(_SHA, len(keys), *keys, *arguments))
        except NoScriptError:
            # A server that was restarted or failed over has no script; EVAL runs and keeps it.
            return cast("int", await self._client.eval(_SCRIPT, len(keys), *keys, *arguments))

    async def _asked(self, ask: Callable[[], Awaitable[_T]]) -> _T:
        try:
            return await ask()
        except (RedisError, OSError) as error:
            raise RegistryError(type(error).__name__) from None


def _condition(change: Change) -> tuple[str, bytes]:
    if isinstance(change.expected, Unconditional):
        return "any", b""
    return ("absent", b"") if change.expected is None else ("equals", change.expected)
