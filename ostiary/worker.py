"""One worker process: settings become objects, objects become one gRPC server on one Unix socket. Decides nothing."""

import asyncio
import gc
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio
import structlog
import uvloop

from authz import fetch
from authz.apikey import Peppers
from authz.certificate import VerifiedCertificates
from authz.jwks import Keyring
from authz.means import Means
from authz.rate import Limiter
from authz.service import ALLOWED, Authorization
from authz.tokens import Tokens
from extproc.service import Processor
from extproc.world import Book
from gateway.aio import spawn
from gateway.audit.record import Record
from gateway.audit.trail import Trail
from gateway.clock import Clock, SystemClock
from gateway.errors import GatewayError, Kind
from gateway.limits.door import LeasedLimiter
from gateway.limits.ledger import ValkeyLedger, connect
from gateway.limits.local import LocalLimiter
from gateway.policy.model import Policy
from gateway.policy.problem import PolicyError
from gateway.policy.store import PolicyStore
from gateway.secrets import reference
from gateway.secrets.reference import SecretError
from gateway.settings import Settings
from gateway.telemetry import log
from gateway.telemetry.metrics import Meters
from ostiary import bundle, socketfile
from ostiary.health import Health
from ostiary.problem import Problem

_log: Final = structlog.get_logger(__name__)
_MIB: Final = 1024 * 1024
#: Envoy asks for health every second (control/edge/clusters.py): after this it sends nothing new.
_NOTICE_S: Final = 1.5


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT."""
    os.umask(0o077)  # whoever can open the socket can forge identities
    fields: dict[str, str | int] = {"service": "worker", "worker": settings.worker_index}
    log.configure(level=settings.log_level, form=settings.log_format, fields=fields)
    log.catch_uncaught()
    return uvloop.run(_run(settings))


@dataclass(frozen=True, slots=True)
class Door:
    """What authz sees of policy, trail and metrics: it opens only while exchanges can be put on record."""

    store: PolicyStore
    trail: Trail
    meters: Meters

    @property
    def current(self) -> Policy:
        """The policy that new exchanges are judged by, or the refusal that authz answers."""
        if not self.trail.healthy:
            raise GatewayError(
                Kind.AUDIT_UNAVAILABLE,
                "The gateway cannot put requests on record and refuses them. Tell your platform team.",
                cause="the audit trail is not healthy",
            )
        return self.store.current

    def offer(self, record: Record) -> bool:
        """Hand a record to the trail; what it does not take is counted, and alerts fire."""
        taken = self.trail.offer(record)
        if not taken:
            self.meters.audit_dropped()
        return taken

    def count(self, code: str, tenant: str) -> None:
        """Count one check under the name that the metrics table gives it."""
        self.meters.authz("ok" if code == ALLOWED else code, tenant)


@dataclass(frozen=True, slots=True)
class Worker:
    """Everything that a worker consists of, held here: a gRPC server that nobody holds is collected."""

    settings: Settings
    store: PolicyStore
    book: Book
    meters: Meters
    trail: Trail
    keyring: Keyring
    health: Health
    server: grpc.aio.Server


def compose(settings: Settings) -> Worker:
    """Build every object of a worker, in the order of their needs. Opens nothing yet."""
    clock = SystemClock()
    policy = _load(settings.policy_dir)
    store = PolicyStore(policy)
    book = Book(store)
    book.warm(policy)
    meters = Meters(tenants=policy.tenants, models=policy.models)
    trail = Trail(
        settings.audit_dir / f"worker-{settings.worker_index}.jsonl",
        queue_records=settings.audit_queue_records,
        fsync_ms=settings.audit_fsync_ms,
    )
    door = Door(store, trail, meters)
    keyring = Keyring(fetch.get, clock)
    authorization = Authorization(
        policies=door,
        means=Means(_peppers(settings.peppers_file), Tokens(keyring), certificates=VerifiedCertificates()),
        issuers=keyring,
        limiter=_limiter(settings, clock),
        offer=door.offer,
        meter=door,
        clock=clock,
        deadline_s=settings.authz_deadline_ms / 1000,
    )
    processor = Processor(book=book, offer=door.offer, clock=clock, meters=meters, limits=policy.limits)
    health = Health()
    server = _server(
        policy.limits.body_bytes + _MIB,  # one message holds a whole body; its envelope is far below 1 MiB
        {
            "envoy.service.auth.v3.Authorization": {"Check": grpc.unary_unary_rpc_method_handler(authorization.check)},
            "envoy.service.ext_proc.v3.ExternalProcessor": {
                "Process": grpc.stream_stream_rpc_method_handler(processor.process),
            },
            "grpc.health.v1.Health": {"Check": grpc.unary_unary_rpc_method_handler(health.check)},
        },
    )
    return Worker(settings, store, book, meters, trail, keyring, health, server)


def _load(directory: Path) -> Policy:
    try:
        return bundle.load(directory)
    except PolicyError as failure:
        raise Problem(str(failure)) from None


def _peppers(path: Path) -> Peppers:
    try:
        return Peppers.of(reference.peppers(path))
    except SecretError as failure:
        raise Problem(str(failure)) from None


def _limiter(settings: Settings, clock: Clock) -> Limiter:
    local = LocalLimiter(clock, workers=settings.workers)
    if settings.valkey_url is None:
        return local
    return LeasedLimiter(ValkeyLedger(connect(settings.valkey_url)), local, clock)


def _server(message_bytes: int, services: dict[str, dict[str, Any]]) -> grpc.aio.Server:
    """Generic handlers without serialisers, bytes in and bytes out: a fifth faster than generated servicers."""
    options = [
        ("grpc.max_receive_message_length", message_bytes),
        ("grpc.max_send_message_length", message_bytes),
        # Left to itself gRPC grows its receive window on a fast socket, and the answer to a slow reader is read ahead
        # into this process by megabytes: text that the provider bills and nobody may ever want.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", 64 * 1024),
    ]
    server = grpc.aio.server(options=options)
    handlers = [grpc.method_handlers_generic_handler(name, methods) for name, methods in services.items()]
    server.add_generic_rpc_handlers(tuple(handlers))
    return server


async def _run(settings: Settings) -> int:
    worker = compose(settings)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, _reload, worker)
    trail = spawn(worker.trail.run(), "audit-trail")
    trail.add_done_callback(lambda _: stop.set())  # nothing to put exchanges on record with: a fresh worker is better
    _follow(worker, worker.store.current)
    # What is loaded now lives as long as the worker: the collector need not walk it again and again.
    gc.collect()
    gc.freeze()
    inode = await _listen(worker)
    worker.health.serving = True
    _log.info("worker_serving", pid=os.getpid(), policy=worker.store.current.version)
    await stop.wait()
    crashed = trail.done()
    await _drain(worker, inode)
    await worker.keyring.close()
    lost = await worker.trail.close()
    _log.info("worker_stopped", records_lost=lost)
    return 1 if crashed or lost else 0


async def _listen(worker: Worker) -> int:
    """Start the server and show its socket under the final name, complete. Returns the socket's inode."""
    path = worker.settings.socket
    socketfile.clear(path)
    # gRPC removes the name that it bound when the server goes away: a name of its own, so that a successor's stays.
    bound = path.with_name(f"w{worker.settings.worker_index}.new")
    socketfile.clear(bound)
    worker.server.add_insecure_port(f"unix:{bound}")
    await worker.server.start()
    return socketfile.publish(bound, path, worker.settings.socket_mode)


async def _drain(worker: Worker, inode: int) -> None:
    """Say that nothing new is wanted, wait until Envoy has heard it, then let what is open finish."""
    worker.health.serving = False
    drain_s = worker.settings.drain_s
    notice_s = min(_NOTICE_S, drain_s / 2)
    _log.info("worker_draining", within_s=drain_s)
    await asyncio.sleep(notice_s)
    socketfile.withdraw(worker.settings.socket, inode)
    await worker.server.stop(drain_s - notice_s)


def _follow(worker: Worker, policy: Policy) -> None:
    """Fetch the keys of the policy's issuers and of no others. Its tokens wait for the first fetch, briefly."""
    worker.keyring.follow(policy.issuers.values(), policy.credential_dir)


def _reload(worker: Worker) -> None:
    """SIGHUP: judge new exchanges by the policy that is on disk now, if it is a policy."""
    spawn(_reloaded(worker), "policy-reload")


async def _reloaded(worker: Worker) -> None:
    try:
        policy = await asyncio.to_thread(bundle.load, worker.settings.policy_dir)
    except PolicyError as failure:
        problems = [str(problem) for problem in failure.problems[:20]]  # a screen; `ostiary policy check` tells all
        _log.error("policy_refused", kept=worker.store.current.version, problems=problems)
        return
    if policy.limits != worker.store.current.limits:
        _log.warning("policy_limits_need_restart", detail="message sizes and deadlines were fixed at start")
    worker.book.warm(policy)
    _follow(worker, policy)
    worker.store.put(policy)
    worker.meters.know(policy.tenants, policy.models)
    _log.info("policy_activated", policy=policy.version)
