"""`ostiary control`: settings become objects, objects become two HTTP sites on Unix sockets. Decides nothing."""

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
import uvloop
from redis.asyncio import Redis

from control.admin import Action, Admin, local
from control.request import Answer, Handler, Request, answer
from control.site import Place, Site
from gateway import contract
from gateway.aio import spawn
from gateway.audit.trail import Trail
from gateway.clock import SystemClock
from gateway.policy.model import Policy
from gateway.policy.problem import PolicyError
from gateway.policy.store import PolicyStore
from gateway.registry.seal import Seals
from gateway.registry.valkey import ValkeyRegistry
from gateway.secrets import reference
from gateway.secrets.reference import SecretError
from gateway.settings import Settings
from gateway.telemetry import log
from gateway.valkey import connect
from ostiary import bundle, socketfile
from ostiary.problem import Problem

_log: Final = structlog.get_logger(__name__)
_ASK_S: Final = 1.0  # for the registry to answer a probe; probes give up after 1 to 10 s
_OWNER_ONLY: Final = 0o600
_BACKLOG: Final = 64  # as many as may be open (control/site.py)


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT."""
    os.umask(0o077)  # whoever can open the operator's socket is an operator
    log.configure(level=settings.log_level, form=settings.log_format, fields={"service": "control"})
    log.catch_uncaught()
    return uvloop.run(_run(settings))


@dataclass(frozen=True, slots=True)
class Control:
    """Everything that the process consists of."""

    settings: Settings
    store: PolicyStore
    client: Redis
    trail: Trail
    edge: Site
    operators: Site


def compose(settings: Settings) -> Control:
    """Build every object, in the order of their needs. Opens nothing yet."""
    if settings.valkey_url is None:
        raise Problem("control keeps its registry in Valkey, and none is named", hint="Set OSTIARY_VALKEY_URL.")
    clock = SystemClock()
    store = PolicyStore(_load(settings.policy_dir))
    peppers = _peppers(settings.peppers_file)
    client = connect(settings.valkey_url, retries=0)  # a change that broke off may have been made
    registry = ValkeyRegistry(client, Seals(peppers))
    trail = Trail(
        settings.audit_dir / "control.jsonl",
        queue_records=settings.audit_queue_records,
        fsync_ms=settings.audit_fsync_ms,
    )
    actions: Sequence[Action] = ()
    del registry
    health = Place("/healthz", _health(trail, client))
    return Control(
        settings=settings,
        store=store,
        client=client,
        trail=trail,
        edge=Site((health,), clock, local=False),
        operators=Site((health, Place(contract.ADMIN_PREFIX, Admin(actions, local, trail, clock))), clock, local=True),
    )


def _load(directory: Path) -> Policy:
    try:
        return bundle.load(directory)
    except PolicyError as failure:
        raise Problem(str(failure)) from None


def _peppers(path: Path) -> dict[str, bytes]:
    try:
        return reference.peppers(path)
    except SecretError as failure:
        raise Problem(str(failure)) from None


def _health(trail: Trail, client: Redis) -> Handler:
    """Whether changes can be made: on record, and in the registry."""

    async def asked(_: Request) -> Answer:
        failing = [] if trail.healthy else ["audit"]
        if not await _answers(client.ping):
            failing.append("registry")
        return answer({"status": "failing", "failing": failing}, 503) if failing else answer({"status": "ok"})

    return asked


async def _answers(ask: Callable[[], Awaitable[object]]) -> bool:
    try:
        async with asyncio.timeout(_ASK_S):
            await ask()
    except Exception:  # noqa: BLE001 -- a probe wants yes or no; the library's errors are many
        return False
    return True


async def _run(settings: Settings) -> int:
    for directory, mode in ((settings.run_dir, 0o750), (settings.audit_dir, 0o700)):
        if not directory.exists():
            directory.mkdir(parents=True)
            directory.chmod(mode)  # the umask would take the group's right to enter, which another Envoy user needs
    control = compose(settings)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: spawn(_reloaded(control), "policy-reload"))
    trail = spawn(control.trail.run(), "audit-trail")
    trail.add_done_callback(lambda _: stop.set())  # without a record nothing may change: a fresh process is better
    published = [
        await _listen(control.operators, settings.run_dir / contract.OPERATOR_SOCKET, _OWNER_ONLY),
        await _listen(control.edge, settings.run_dir / contract.CONTROL_SOCKET, settings.socket_mode),
    ]
    _log.info("control_serving", pid=os.getpid(), policy=control.store.current.version)
    await stop.wait()
    crashed = trail.done()
    for path, inode in published:
        socketfile.withdraw(path, inode)
    await asyncio.gather(*(site.close(settings.drain_s) for site in (control.operators, control.edge)))
    await control.client.aclose()
    lost = await control.trail.close()
    _log.info("control_stopped", records_lost=lost)
    return 1 if crashed or lost else 0


async def _listen(site: Site, path: Path, mode: int) -> tuple[Path, int]:
    """Serve, and show the socket under its final name once it listens with its mode. Returns path and inode."""
    socketfile.clear(path)
    bound = path.with_suffix(".new")
    socketfile.clear(bound)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(bound))
    listening.listen(_BACKLOG)
    await site.start(listening)
    return path, socketfile.publish(bound, path, mode)


async def _reloaded(control: Control) -> None:
    """SIGHUP: tenants and the token service as the policy on disk has them now, if it is a policy."""
    try:
        policy = await asyncio.to_thread(bundle.load, control.settings.policy_dir)
    except PolicyError as failure:
        problems = [str(problem) for problem in failure.problems[:20]]  # a screen; `ostiary policy check` tells all
        _log.error("policy_refused", kept=control.store.current.version, problems=problems)
        return
    control.store.put(policy)
    _log.info("policy_activated", policy=policy.version)
