"""Where the index of like questions lives: in a Redis 8 that hosts share, where settings say so. Finds nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.apikey import Peppers
from gateway.clock import Clock
from gateway.script import Pipe
from gateway.secrets import reference
from gateway.secrets.reference import SecretError
from gateway.settings import Settings, SettingsError, index_of_process
from gateway.tls import HopError
from gateway.valkey import connect, files_of
from ostiary import undumpable
from ostiary.problem import Problem

if TYPE_CHECKING:  # needs optional packages
    from analysis.index import Index

_PROBE_S: Final = 2.0  # at the start nobody waits yet


@dataclass(frozen=True, slots=True)
class Shared:
    """An index that is not this process's own, and how to hang up."""

    index: "Index"
    close: Callable[[], Awaitable[object]]


async def shared(clock: Clock) -> Shared | None:
    """The index that the settings of this process name; None: it has its own."""
    try:
        settings = index_of_process()
    except SettingsError as failure:
        raise Problem(str(failure)) from None
    return None if settings is None else await _shared(settings, clock)


async def _shared(settings: Settings, clock: Clock) -> Shared:
    from analysis.vectorset import ANSWER_BYTES, VectorSet, VectorSetError, probe  # noqa: PLC0415 -- optional packages
    from analysis.veil import Veil  # noqa: PLC0415 -- optional packages

    undumpable.apply()  # from here on it holds what is derived from a pepper
    try:
        peppers = Peppers.of(reference.peppers(settings.peppers_file))
        client = connect(settings.similar_url or "", files_of(settings), connections=1, most_bytes=ANSWER_BYTES)
    except (SecretError, HopError) as failure:
        raise Problem(f"index of like questions: {failure}") from None
    runner = Pipe(client)
    try:
        await probe(runner, _PROBE_S)  # one that is away may come later
    except VectorSetError as failure:
        await client.aclose()
        raise Problem(
            f"the server of OSTIARY_SIMILAR_URL {failure}",
            hint="It takes Redis 8.0 or newer, and the commands of docs/cache.md; Valkey has no vector sets. "
            "Without the setting the index is in the analysis process.",
        ) from None
    veil = Veil(peppers.secrets[peppers.current])
    return Shared(VectorSet(runner, asyncio.get_running_loop(), veil, clock), client.aclose)
