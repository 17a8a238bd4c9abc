"""`ostiary serve`: the supervisor of the workers and its admin pages, put together from the settings."""

import asyncio
import os
import random
import signal
import sys
from dataclasses import replace
from functools import partial
from typing import Final

import structlog
import uvloop
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from gateway import contract, similar
from gateway import settings as reader
from gateway.aio import spawn
from gateway.clock import SystemClock
from gateway.settings import Settings
from gateway.telemetry import log, metrics
from ostiary import health
from ostiary.admin import Admin, Page
from ostiary.child import Launch
from ostiary.engines import DRAIN_S, Engines
from ostiary.problem import Problem
from ostiary.supervisor import Supervisor

_log: Final = structlog.get_logger(__name__)
_ASK_S: Final = 2.0  # a worker that needs longer for an empty answer is not ready; probes give up after 1 to 10 s


def run(settings: Settings) -> int:
    """Supervise until SIGTERM or SIGINT."""
    os.umask(0o077)  # whoever can open a worker's socket can forge identities
    log.configure(level=settings.log_level, form=settings.log_format, fields={"service": "supervisor"})
    log.catch_uncaught()
    prepare(settings)
    return uvloop.run(_run(settings))


def prepare(settings: Settings) -> None:
    """Make the directories that workers share, and clear metric files of processes that are long gone."""
    for directory, mode in ((settings.run_dir, 0o750), (settings.metrics_dir, 0o700), (settings.audit_dir, 0o700)):
        if not directory.exists():
            directory.mkdir(parents=True)
            directory.chmod(mode)  # the umask would take the group's right to enter, which another Envoy user needs
    for stale in settings.metrics_dir.glob("*.db"):
        stale.unlink(missing_ok=True)


async def _run(settings: Settings) -> int:
    supervision = metrics.Supervision()
    supervisor = Supervisor(
        workers=settings.workers,
        launch=partial(_launch, settings),
        drain_s=settings.drain_s,
        clock=SystemClock(),
        chance=random.random,  # spreads restarts; guards nothing
        restarted=supervision.worker_restarts,
        buried=partial(metrics.forget, settings.metrics_dir),
    )
    engines = Engines(
        policy_dir=settings.policy_dir,
        launch=partial(_launch_analysis, settings),
        supervise=lambda launch: Supervisor(
            workers=1,
            launch=launch,
            drain_s=DRAIN_S,
            clock=SystemClock(),
            chance=random.random,
            restarted=lambda _: None,  # the metric counts workers
            buried=lambda _: None,
            what="analysis",
        ),
    )
    admin = Admin(
        {
            "/healthz": _alive,
            "/readyz": partial(_ready, settings, supervisor),
            "/metrics": partial(_metrics, settings, supervisor, supervision),
        },
    )
    try:
        await admin.start(settings.admin_host, settings.admin_port)
    except OSError as failure:
        where = f"{settings.admin_host}:{settings.admin_port}"
        raise Problem(f"cannot listen on {where}: {failure.strerror}", hint="Set OSTIARY_ADMIN_PORT.") from None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.stop)

    def reload() -> None:
        supervisor.tell(signal.SIGHUP)
        spawn(engines.follow(), "engines-follow")

    loop.add_signal_handler(signal.SIGHUP, reload)
    spawn(engines.follow(), "engines-follow")
    _log.info("serving", workers=settings.workers, run_dir=str(settings.run_dir), admin_port=admin.port)
    try:
        await supervisor.run()
    finally:
        await engines.close()  # after the workers: the last requests may still ask
        await admin.close()
    _log.info("stopped")
    return 0


def _inherited() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()  # noqa: TID251 -- handed on, not read: PATH, locale, proxies, TLS roots
        if not name.startswith(reader.PREFIX)
    }


def _launch_analysis(settings: Settings, engines: tuple[str, ...]) -> Launch:
    command = [
        *(sys.executable, "-m", "ostiary.cli", "analyse", "--engines", ",".join(engines)),
        *("--socket", str(settings.run_dir / contract.ANALYSIS_SOCKET), "--threads", str(settings.analysis_threads)),
        *("--log-level", settings.log_level, "--log-format", settings.log_format),
    ]
    index = reader.for_analysis(settings) if similar.ENGINE in engines else {}  # holds a password: not for arguments
    return Launch(name="analysis", command=command, environ=_inherited() | index)


def _launch(settings: Settings, index: int) -> Launch:
    environ = _inherited()
    # glibc raises this threshold to the size of whatever was freed; then bodies of megabytes stay with the process.
    environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(256 * 1024))
    # Read by Go's runtime when a worker loads the OPA library (ADR 0013): one core is what a worker has. 400 for GOGC
    # would save a twentieth of an evaluation and cost 26 MiB more (bench/README.md, "OPA").
    environ.setdefault("GOMAXPROCS", "1")
    environ.setdefault("GOGC", "200")
    environ |= reader.for_worker(settings, index)
    return Launch(
        name=f"worker-{index}",
        command=[sys.executable, "-m", "ostiary.cli", "worker", "--index", str(index)],
        environ=environ,
    )


async def _alive() -> Page:
    return Page(200, b"ok\n")


async def _ready(settings: Settings, supervisor: Supervisor) -> Page:
    """Every socket is dialled: a worker that lives but does not answer is not ready."""
    if supervisor.stopping:
        return Page(503, b"stopping\n")
    sockets = [replace(settings, worker_index=index).socket for index in range(settings.workers)]
    problems = await health.ask_all(sockets, _ASK_S)
    for slot in supervisor.slots:
        if slot.looping:
            problems[f"worker-{slot.index}"] = f"crashed {slot.streak} times in a row"
    if not problems:
        return Page(200, f"{len(sockets)} {'worker' if len(sockets) == 1 else 'workers'} ready\n".encode())
    return Page(503, "".join(f"{name}: {problem}\n" for name, problem in sorted(problems.items())).encode())


async def _metrics(settings: Settings, supervisor: Supervisor, supervision: metrics.Supervision) -> Page:
    supervision.workers_alive(sum(slot.child is not None for slot in supervisor.slots))
    body = await asyncio.to_thread(metrics.render, settings.metrics_dir, supervision.registry)
    return Page(200, body, CONTENT_TYPE_PLAIN_0_0_4)
