"""Questions by what they mean, in vector sets of a Redis 8 that hosts share. Judges no pair; trusts no answer.

One key for each place, under the tenant's hash tag. Redis holds what `analysis.veil` lets out and says which questions
may be near; how near each is, where it belongs and when it ends is read from what is sealed. Whatever fails is a miss.
"""

import asyncio
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import structlog
from redis.exceptions import NoPermissionError, ResponseError

from analysis.head import Floats
from analysis.neighbours import NEAR, SIGNS, WIDTH, Kept, Neighbour
from analysis.veil import Veil, Veiled
from gateway.breaker import Breaker
from gateway.clock import Clock
from gateway.script import Runner, Script, ScriptError

_T = TypeVar("_T")
_log: Final = structlog.get_logger(__name__)

SCRIPT: Final = Script(Path(__file__).with_name("vectorset.lua"))
#: Candidates that are opened and ranked, a few microseconds each. Signs alone rank the three nearest among the first
#: three in two of three times, and always among sixteen (docs/adr/0034-index-in-vector-sets.md).
_ASKED: Final = 16
#: A score is the share of signs that are the same.
_LEAST: Final = b"%.6f" % (1 - SIGNS / WIDTH)
#: Of what Redis says at a time: so many questions of a thousand characters of four bytes, sealed and in base64, take
#: half of it.
ANSWER_BYTES: Final = 256 * 1024
#: Longest wait for Redis, which answers in a millisecond or two: meanwhile nobody else is answered.
CALL_S: Final = 0.25
_SLACK_S: Final = 1.0  # for a loop that is busy: what waits there has its own deadline
_OPENS_AFTER: Final = 5  # failures in a row: fewer are a hiccup
_OPEN_S: Final = (1.0, 30.0)  # at first, at the longest
_MS: Final = 1000
_NAME: Final = re.compile(rb"[0-9a-f]{64}")
#: No tenant's name begins so.
_PROBED: Final = ":probe"
#: How servers say that a command is not theirs: to whoever sends it, and to a script, where Redis before 7 and what was
#: forked from it put the place first. Nothing else is for good: a proxy may say "unknown" of what is there in a second.
_NO_SCRIPTS: Final = re.compile(r"unknown command ['`]")
_NO_VECTOR_SETS: Final = re.compile(
    r"(?:Error running script \(call to f_[0-9a-f]{40}\): (?:@user_script: ?[0-9]+: ){1,2})?"
    r"Unknown (?:Redis )?command called from (?:Lua )?script\b"
)
#: The ACL's no to what a script calls; Redis 7 and newer say it without NOPERM.
_NOT_LET: Final = "ACL failure in script: "


class VectorSetError(Exception):
    """The server will never do. Holds no address and no password."""


class VectorSet:
    """The index (`analysis.index`). For one thread, which is not that of `loop`, where the runner lives."""

    def __init__(
        self, runner: Runner, loop: asyncio.AbstractEventLoop, veil: Veil, clock: Clock, call_s: float = CALL_S
    ) -> None:
        self._runner = runner
        self._loop = loop
        self._veil = veil
        self._clock = clock
        self._call_s = call_s
        self._breaker = Breaker(failures_to_open=_OPENS_AFTER, first_open_s=_OPEN_S[0], longest_open_s=_OPEN_S[1])

    def put(self, tenant: str, partition: str, kept: Kept, vectors: Floats, most: int, due_s: float = math.inf) -> None:
        """Keep a question. Of the tenant's, those that end first go where there are more than `most`."""
        life_ms = round((kept.ends_s - self._clock.monotonic()) * _MS)
        if life_ms <= 0:
            return
        place = self._veil.place(tenant, partition)
        said = Veiled(kept.text, round(self._clock.now() * _MS) + life_ms, vectors)
        sealed = self._veil.close(tenant, place, kept.name, said)
        signs = self._veil.signs(tenant, place, vectors[0])
        arguments = (b"put", kept.name.encode(), signs, sealed, b"%d" % life_ms, b"%d" % most)
        self._ask(tenant, place, arguments, due_s, _number)

    def drop(self, tenant: str, partition: str, name: str, due_s: float = math.inf) -> None:
        """Forget a question."""
        self._forget(tenant, self._veil.place(tenant, partition), [name.encode()], due_s)

    def near(
        self, tenant: str, partition: str, vector: Floats, now_s: float, most: int, due_s: float = math.inf
    ) -> list[Neighbour]:
        """The nearest of that place, nearest first. What has ended, or was not written by us, is forgotten."""
        place = self._veil.place(tenant, partition)
        arguments = (b"near", self._veil.signs(tenant, place, vector), b"%d" % _ASKED, _LEAST)
        told = self._ask(tenant, place, arguments, due_s, _pairs)
        now_ms = round(self._clock.now() * _MS)
        found, useless = [], []
        for raw, sealed in told or ():
            name = raw.decode() if _NAME.fullmatch(raw) else ""
            said = self._veil.open(tenant, place, name, sealed) if name else None
            if said is None:
                _log.error("similar_entry_refused", tenant=tenant)  # other keys are at other places: it was changed
            if said is None or said.ends_ms <= now_ms:
                useless.append(raw)
                continue
            cosine = float(said.vectors[0] @ vector)
            if cosine >= NEAR:
                kept = Kept(name, said.text, now_s + (said.ends_ms - now_ms) / _MS)
                found.append(Neighbour(kept, cosine, said.vectors))
        if useless:
            self._forget(tenant, place, useless, due_s)
        return sorted(found, key=lambda each: -each.cosine)[:most]

    def holds(self, tenant: str, partition: str, due_s: float = math.inf) -> bool:
        """Whether there is anything to find."""
        return bool(self._ask(tenant, self._veil.place(tenant, partition), (b"holds",), due_s, _number))

    def _forget(self, tenant: str, place: str, names: list[bytes], due_s: float) -> None:
        self._ask(tenant, place, (b"drop", *names), due_s, _number)

    def _ask(
        self, tenant: str, place: str, arguments: tuple[bytes, ...], due_s: float, read: Callable[[object], _T]
    ) -> _T | None:
        """What Redis says, if it says so in time."""
        now_s = self._clock.monotonic()
        within_s = min(due_s - now_s, self._call_s)
        if within_s <= 0 or not self._breaker.start(now_s):
            return None
        try:
            asking = run(self._runner, tenant, place, arguments, within_s)
            asked = asyncio.run_coroutine_threadsafe(asking, self._loop)
            told = read(asked.result(within_s + _SLACK_S))
        except Exception as failure:  # noqa: BLE001 - whatever it is, it is a miss; the circuit must hear of each
            self._breaker.failed(self._clock.monotonic())
            _log.warning("similar_index_not_asked", reason=_reason(failure))
            return None
        self._breaker.succeeded()
        return told


async def run(runner: Runner, tenant: str, place: str, arguments: tuple[bytes, ...], within_s: float) -> object:
    """One call of the script.

    Raises:
        ScriptError: Redis could not be asked, or refused.
        TimeoutError: it did not answer.
    """
    stem = f"ostiary:{{{tenant}}}:similar:"  # the braces make the tenant the hash tag
    async with asyncio.timeout(within_s):
        return await runner.start(SCRIPT, [f"{stem}index", f"{stem}place:{place}"], arguments)


async def probe(runner: Runner, within_s: float) -> bool:
    """Whether the server is there and answers; a log says why not. What it refuses for now, it may do later.

    Raises:
        VectorSetError: it is there, and has no vector sets, or lets us not use them.
    """
    try:
        _number(await run(runner, _PROBED, "0" * 64, (b"holds",), within_s))
    except (ScriptError, TimeoutError) as failure:
        if never := _never(failure.refused if isinstance(failure, ScriptError) else None):
            raise VectorSetError(never) from None
        _log.warning("similar_index_away", reason=_reason(failure))
        return False
    return True


def _never(refused: ResponseError | None) -> str | None:
    """Why waiting will not help, where it will not."""
    told = str(refused)
    if _NO_VECTOR_SETS.match(told):
        return "has no vector sets (VADD, VSIM)"
    if _NO_SCRIPTS.match(told):
        return "has no scripts (EVALSHA, EVAL)"
    if isinstance(refused, NoPermissionError) or told.startswith(_NOT_LET):
        return "refuses what the index needs (NoPermissionError)"
    return None


def _reason(failure: Exception) -> str:
    """The kind of a failure: what servers say may hold anything."""
    return str(failure) if isinstance(failure, ScriptError) else type(failure).__name__


def _number(told: object) -> int:
    if not isinstance(told, int):
        raise ScriptError("answer of another shape")
    return told


def _pairs(told: object) -> list[tuple[bytes, bytes]]:
    if not isinstance(told, list) or len(told) > 2 * _ASKED or not all(isinstance(each, bytes) for each in told):
        raise ScriptError("answer of another shape")
    return list(zip(told[::2], told[1::2], strict=False))
