"""Where workers put what is to be told of limits, and `control` takes it. Decides neither what nor to whom.

Each notice is put up once for all workers: a mark holds the highest percentage that was told of a limit, until its
window ends. Whoever takes a notice has it for a while; one that is not done by then is there again.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Final, Protocol

import msgspec

from gateway.script import Runner, Script, ScriptError

_SCRIPT: Final = Script(Path(__file__).with_name("board.lua"))
_TAG: Final = "ostiary:{:alerts}"  # one slot of a cluster; no tenant's name has a colon
_DUE: Final = f"{_TAG}:due"
_ENTRIES: Final = f"{_TAG}:entries"
#: Subjects of a tenant's limits that are remembered: a page of the admin API, some 60 KB in the ledger.
SUBJECTS: Final = 1000
_LONGEST: Final = 400  # characters of a subject's key: a scope's values are hashed beyond 120


class Notice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """That a limit is so full. Amounts are in the limit's unit, money in millionths."""

    id: str  # the same whoever notices it
    key: str  # of the limit in the ledger
    tenant: str  # "": of all who share the limit
    limit: str
    resource: str
    subject: dict[str, str]  # what the limit is for each of; empty: the tenant's own
    percent: int  # of the policy's `alerts`
    used: int
    amount: int
    hard: bool
    at_s: float
    ends_s: float  # until then it is not told again


class Board(Protocol):
    """What workers and `control` need of it. Everything raises `ScriptError` while it cannot be reached."""

    async def tell(self, notice: Notice, life_ms: int) -> bool:
        """Put up a notice; False: it, or one of a higher percentage, was put up before."""
        ...

    async def take(self, lease_ms: int, most: int) -> list[Notice]:
        """Some that are due. Nobody else gets them for `lease_ms`."""
        ...

    async def later(self, notice: Notice, wait_ms: int) -> None:
        """It is due again after that."""
        ...

    async def done(self, notice: Notice) -> None:
        """Take it down."""
        ...

    async def seen(self, tenant: str, keys: Sequence[str]) -> None:
        """Limits for each of something that were used now."""
        ...

    async def subjects(self, tenant: str) -> list[str]:
        """Those, the latest first."""
        ...


_NOTICE: Final = msgspec.json.Decoder(Notice)


class ValkeyBoard:
    """The board in the ledger."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def tell(self, notice: Notice, life_ms: int) -> bool:
        """See `Board`."""
        keys = (f"{_TAG}:mark:{_short(notice.key)}", _DUE, _ENTRIES)
        told = await self._run(
            "tell", keys, str(notice.percent), str(max(life_ms, 1)), notice.id, msgspec.json.encode(notice).decode()
        )
        if told == 2:  # control is away for long: what waits already tells enough
            raise ScriptError("no room for another notice")
        return told == 1

    async def take(self, lease_ms: int, most: int) -> list[Notice]:
        """See `Board`."""
        found = await self._run("take", (_DUE, _ENTRIES), str(lease_ms), str(most))
        try:
            return [_NOTICE.decode(entry) for entry in _listed(found)]
        except msgspec.DecodeError:
            raise ScriptError("not a notice") from None

    async def later(self, notice: Notice, wait_ms: int) -> None:
        """See `Board`."""
        await self._run("later", (_DUE,), str(wait_ms), notice.id)

    async def done(self, notice: Notice) -> None:
        """See `Board`."""
        await self._run("done", (_DUE, _ENTRIES), notice.id)

    async def seen(self, tenant: str, keys: Sequence[str]) -> None:
        """See `Board`."""
        await self._run("seen", (_index(tenant),), str(SUBJECTS), *(key for key in keys if len(key) <= _LONGEST))

    async def subjects(self, tenant: str) -> list[str]:
        """See `Board`."""
        return [one.decode() for one in _listed(await self._run("subjects", (_index(tenant),)))]

    async def _run(self, operation: str, keys: Sequence[str], *words: str) -> object:
        return await self._runner.start(_SCRIPT, keys, [operation.encode(), *map(str.encode, words)])


def _index(tenant: str) -> str:
    return f"ostiary:{{{tenant}}}:subjects"


def _listed(answer: object) -> Iterable[bytes]:
    if not isinstance(answer, list) or not all(isinstance(one, bytes) for one in answer):
        raise ScriptError("answer of another shape")
    return answer


def _short(key: str) -> str:
    return blake2b(key.encode(), digest_size=16).hexdigest()


def notice_id(key: str, percent: int, ends_s: float) -> str:
    """The same for whoever notices the same: receivers may drop what they have seen."""
    return "alert_" + _short(f"{key} {percent} {int(ends_s)}")
