"""The cache's entries in Valkey, by name: found, kept, thrown away by tag. Sees sealed bytes only; decides nothing."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final

from gateway.policy.cache import TTL_S
from gateway.script import Runner, Script, ScriptError

SCRIPT: Final = Script(Path(__file__).with_name("cache.lua"))
#: Carried by every entry of a tenant.
ALL: Final = "*"
_FIELDS: Final = 4
#: After this nothing is left of what was kept before.
_MARKS_MS: Final = TTL_S[1] * 1000


class State(IntEnum):
    """What a look finds."""

    NOTHING = 0
    FOUND = 1
    YOURS = 2  # nothing, and others wait for who asked
    AWAITED = 3  # nothing yet: somebody is fetching it


@dataclass(frozen=True, slots=True)
class Looked:
    """The answer to one look. Times are the store's."""

    state: State
    now_ms: int
    sealed: bytes = b""
    since_ms: int = 0  # since when what was found counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Putting:
    """How an entry is kept."""

    since_ms: int  # `Looked.now_ms` of the look before the answer was fetched
    life_ms: int
    most: int  # entries of the tenant
    stays: bool  # whether an entry that is there already stays
    token: str = ""  # of the flight that ends with it


class Store:
    """Every method may raise ScriptError. Deadlines are the caller's."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def look(self, tenant: str, name: str, tags: Iterable[str], token: str, wait_ms: int) -> Looked:
        """Find the entry; else, if `wait_ms`, become the one whom others wait for, unless there is one."""
        return _read(await self._run(tenant, name, b"look", token.encode(), b"%d" % wait_ms, *_tags(tags)))

    async def poll(self, tenant: str, name: str, tags: Iterable[str]) -> Looked:
        """Find the entry, or whether it is still awaited."""
        return _read(await self._run(tenant, name, b"poll", b"", b"0", *_tags(tags)))

    async def keep(self, tenant: str, name: str, sealed: bytes, how: Putting) -> bool:
        """Put an entry where it is found, and end the flight."""
        stays = b"1" if how.stays else b"0"
        numbers = (b"%d" % how.since_ms, sealed, b"%d" % how.life_ms, b"%d" % how.most, stays)
        return await self._run(tenant, name, b"keep", how.token.encode(), *numbers) == 1

    async def drop(self, tenant: str, name: str, token: str) -> None:
        """End a flight that brought nothing."""
        await self._run(tenant, name, b"drop", token.encode())

    async def mark(self, tenant: str, tags: Iterable[str]) -> int:
        """Throw away whatever was asked for until now and carries one of the tags; the moment in unix ms."""
        arguments = (b"mark", b"%d" % _MARKS_MS, *(tag.encode() for tag in tags))
        stamp = await self._runner.start(SCRIPT, [_key(tenant, "marks")], arguments)
        if not isinstance(stamp, bytes) or not stamp.isdigit():
            raise ScriptError("answer of another shape")
        return int(stamp)

    async def _run(self, tenant: str, name: str, *arguments: bytes) -> object:
        keys = (_key(tenant, "marks"), _key(tenant, "index"), _key(tenant, f"entry:{name}"))
        return await self._runner.start(SCRIPT, [*keys, _key(tenant, f"flight:{name}")], arguments)


def _tags(tags: Iterable[str]) -> list[bytes]:
    return [ALL.encode(), *(tag.encode() for tag in tags)]


def _key(tenant: str, what: str) -> str:
    """The braces make the tenant the hash tag: its entries share a cluster slot."""
    return f"ostiary:{{{tenant}}}:cache:{what}"


def _read(answer: object) -> Looked:
    if not isinstance(answer, list) or len(answer) != _FIELDS or answer[0] not in set(State):
        raise ScriptError("answer of another shape")
    state, now, sealed, since = answer
    # What was found may be anybody's bytes: no moment then, and no seal holds for moment 0.
    return Looked(State(state), int(now), sealed, int(since) if since.isdigit() else 0)
