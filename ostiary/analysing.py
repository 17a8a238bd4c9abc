"""`ostiary analyse`: loads the engines, serves them on a Unix socket, ends them. Judges nothing."""

import asyncio
import os
import signal
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog
import uvloop

from analysis.desk import Desk
from analysis.engine import Engine
from analysis.site import Site
from gateway import similar
from gateway.advice import INJECTION, NER
from gateway.clock import Clock, SystemClock
from gateway.telemetry import log
from ostiary import indexing, socketfile
from ostiary.engines import DRAIN_S, missing
from ostiary.problem import Problem

if TYPE_CHECKING:  # needs optional packages
    from analysis.index import Index

_log: Final = structlog.get_logger(__name__)

#: Those that advise. The index of questions is of use only to a gateway that fills it.
ENGINES: Final = (INJECTION, NER)
_OWNER_ONLY: Final = 0o600  # whoever can write there learns what the engines let pass
_BACKLOG: Final = 256  # workers dial at once when this process starts again
#: Below the workers: on a busy host a verdict may come too late, a request may not.
NICE: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the command line asked for."""

    socket: Path
    engines: tuple[str, ...] = ENGINES
    threads: int = 1  # of onnxruntime: a second one saves a third of the time and costs a worker its core
    nice: int = NICE
    drain_s: float = DRAIN_S
    log_level: str = "info"
    log_format: str = "json"


def run(wishes: Wishes) -> int:
    """Serve until SIGTERM or SIGINT."""
    os.umask(0o077)
    log.configure(level=wishes.log_level, form=wishes.log_format, fields={"service": "analysis"})
    log.catch_uncaught()
    if absent := missing(wishes.engines):
        raise Problem(
            f"the packages of the analysis process are not installed: {', '.join(absent)}",
            hint="`make analysis` installs them (300 MB). The gateway runs every other guard without them.",
        )
    os.nice(wishes.nice)
    return uvloop.run(_run(wishes))


def load(name: str, threads: int, clock: Clock, index: "Index | None" = None) -> Engine:
    """An engine, ready to judge. Takes seconds. `index`: of questions, where it is not the process's own."""
    if name == NER:
        from analysis.ner import Names  # noqa: PLC0415 -- optional packages

        return Names.load(clock)
    from analysis.head import HeadError  # noqa: PLC0415 -- optional packages
    from analysis.injection import Transformer  # noqa: PLC0415 -- optional packages
    from analysis.minilm import WeightsError  # noqa: PLC0415 -- optional packages
    from analysis.similar import Similar  # noqa: PLC0415 -- optional packages
    from analysis.verdict import VerdictError  # noqa: PLC0415 -- optional packages

    try:
        return Similar.load(threads, clock, index) if name == similar.ENGINE else Transformer.load(threads, clock)
    except (WeightsError, HeadError, VerdictError) as failure:
        raise Problem(str(failure), hint="`make analysis` installs the right ones.") from None


async def _run(wishes: Wishes) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    clock = SystemClock()
    bound, listening = _bind(wishes.socket)
    began = clock.monotonic()
    shared = await indexing.shared(clock) if similar.ENGINE in wishes.engines else None
    index = None if shared is None else shared.index
    desks = {}
    for name in wishes.engines:
        desks[name] = Desk(engine=await asyncio.to_thread(load, name, wishes.threads, clock, index), clock=clock)
        desks[name].start()
    site = Site(desks)
    listening.listen(_BACKLOG)
    await site.start(listening)
    # Only now: whoever sees the socket may count on an answer.
    inode = socketfile.publish(bound, wishes.socket, _OWNER_ONLY)
    _log.info("analysis_serving", pid=os.getpid(), engines=wishes.engines, loaded_s=round(clock.monotonic() - began, 1))
    await stop.wait()
    socketfile.withdraw(wishes.socket, inode)
    await site.close(wishes.drain_s)
    ended = await asyncio.gather(*(desk.close(wishes.drain_s) for desk in desks.values()))
    if shared is not None:
        await shared.close()
    _log.info("analysis_stopped", still_at_work=len(ended) - sum(ended))
    return 0


def _bind(path: Path) -> tuple[Path, socket.socket]:
    """A socket beside its final place. Refuses when somebody serves there already."""
    socketfile.clear(path)
    bound = path.with_suffix(".new")
    socketfile.clear(bound)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(bound))
    return bound, listening
