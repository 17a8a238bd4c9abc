"""One worker process: settings become objects, objects become one gRPC server on one Unix socket. Decides nothing."""

import asyncio
import gc
import hmac
import os
import random
import secrets
import signal
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio
import structlog
import uvloop
from redis.asyncio import Redis

from authz.apikey import Peppers
from authz.certificate import VerifiedCertificates
from authz.damper import AddressDamper
from authz.introspect import Inquirer
from authz.jwks import Keyring
from authz.keybook import KeyBook
from authz.means import NO_REVOCATIONS, POLICY_KEYS, Keys, Means, Revocations
from authz.opa.consult import Consultation
from authz.opa.library import LibraryError
from authz.own import OwnTokens
from authz.rate import Limiter
from authz.service import ALLOWED, Authorization
from authz.tokens import Tokens
from authz.usage import LastUse
from extproc.advisers import Advisers, Line
from extproc.counting import tokenizer
from extproc.mirror import Mirrors
from extproc.nearby import Nearby
from extproc.oracle import Oracle
from extproc.roster import Roster
from extproc.service import Processor
from extproc.shelf import Shelf
from extproc.world import Book
from gateway import advice, contract, fetch, similar
from gateway.aio import cancel_and_wait, spawn
from gateway.audit.record import Record
from gateway.audit.trail import Trail
from gateway.cache.seal import CacheSeals
from gateway.cache.store import Store
from gateway.clock import Clock, SystemClock
from gateway.egress import Egress
from gateway.errors import GatewayError, Kind
from gateway.grants.credentials import CloudCredentials
from gateway.latency.estimates import Latencies
from gateway.latency.shared import Sharing
from gateway.limits.door import LeasedLimiter
from gateway.limits.ledger import ValkeyLedger
from gateway.limits.local import LocalLimiter
from gateway.policy.model import Adviser, Policy
from gateway.policy.problem import PolicyError
from gateway.policy.store import PolicyStore
from gateway.registry.last_used import ValkeyLastUsed
from gateway.registry.model import Replica, Sort
from gateway.registry.replica import ValkeyReplica
from gateway.registry.seal import Seals
from gateway.revocation.book import RevocationBook
from gateway.script import Pipe
from gateway.secrets import reference
from gateway.secrets.reference import SecretError
from gateway.settings import Settings
from gateway.telemetry import log
from gateway.telemetry.metrics import Meters
from gateway.tls import HopError
from gateway.valkey import client
from gateway.vault.credentials import VaultCredentials
from ostiary import budgeting, bundle, resident, socketfile, undumpable
from ostiary.budgeting import Ledger
from ostiary.health import Health
from ostiary.loop import Loop
from ostiary.problem import Problem

_log: Final = structlog.get_logger(__name__)
_MIB: Final = 1024 * 1024
#: New objects before a collection, and how many of each generation before the next one. Python's own (700, 10, 10)
#: walk what open exchanges hold again and again, a fifth of a Check; 20,000 small objects are 2 MiB (bench/README.md).
_GC: Final = (20_000, 20, 100)
#: Envoy asks for health every second (control/edge/clusters.py): after this it sends nothing new.
_NOTICE_S: Final = 1.5
#: For the registry's first load: 100,000 keys take about two seconds of CPU, on a busy host a few times that. After it,
#: what policy holds is served without the registry.
_REGISTRY_S: Final = 10.0
#: For a vault's first answers, some milliseconds each. Backends without theirs are refused by themselves after it.
_VAULT_S: Final = 3.0


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT."""
    os.umask(0o077)  # whoever can open the socket can forge identities
    undumpable.apply()
    fields: dict[str, str | int] = {"service": "worker", "worker": settings.worker_index}
    log.configure(level=settings.log_level, form=settings.log_format, fields=fields)
    log.catch_uncaught()
    return uvloop.run(_run(settings), loop_factory=Loop)


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
    replica: Replica | None  # None: no Valkey, no registry
    consultation: Consultation
    inquirer: Inquirer
    last_use: LastUse | None
    advisers: Advisers
    ledger: Ledger
    credentials: CloudCredentials
    shelf: Shelf | None
    mirrors: Mirrors
    sharing: Sharing
    reloading: asyncio.Lock = field(default_factory=asyncio.Lock)


def compose(settings: Settings) -> Worker:
    """Build every object of a worker, in the order of their needs. Opens nothing yet."""
    clock = SystemClock()
    policy = _load(settings.policy_dir)
    store = PolicyStore(policy)
    peppers = _peppers(settings.peppers_file)
    credentials = _credentials(clock)
    pseudonym_key = hmac.digest(peppers.secrets[peppers.current], b"ostiary pseudonyms", "sha256")
    latencies = Latencies(clock)
    book = Book(store, pseudonym_key, credentials, latencies)
    book.warm(policy)
    meters = Meters(tenants=policy.tenants, models=policy.models)
    trail = Trail(
        settings.audit_dir / f"worker-{settings.worker_index}.jsonl",
        queue_records=settings.audit_queue_records,
        fsync_ms=settings.audit_fsync_ms,
    )
    door = Door(store, trail, meters)
    replica = _replica(settings, peppers, clock)
    revocations, roster = _revocations(replica, clock)
    keys, last_use = _keys(settings, replica, clock)
    keyring = Keyring(fetch.get, clock)
    inquirer = Inquirer(lambda url, ca_file: fetch.Line(url, ca_file, clock), clock)
    consultation = _consultation(policy, clock)
    share = -(-settings.exchanges // settings.workers)
    authorization = Authorization(
        policies=door,
        means=Means(
            peppers,
            Tokens(keyring, own=_own_tokens(replica)),
            keys,
            opaque=inquirer,
            certificates=VerifiedCertificates(),
            revocations=revocations,
        ),
        issuers=keyring,
        limiter=_limiter(settings, clock),
        offer=door.offer,
        meter=door,
        clock=clock,
        deadline_s=settings.authz_deadline_ms / 1000,
        introspection=inquirer,
        consult=consultation,
        damper=AddressDamper(clock, workers=settings.workers),
        usage=last_use,
        full=lambda: processor.crowded(share),
    )
    ledger = budgeting.ledger(settings, clock, partial(_alerts, store), meters.budget, meters.shared_budget)
    advisers = Advisers(partial(_dial, settings, clock), clock)
    shelf = _shelf(settings, peppers, clock)
    mirrors = Mirrors(
        Egress(str(settings.run_dir / contract.MIRROR_SOCKET)),
        book,
        ledger.budgets,
        door.offer,
        lambda: trail.healthy,
        meters,
        clock,
        workers=settings.workers,
    )
    sharing = _sharing(settings, latencies, meters)
    processor = Processor(
        book=book,
        offer=door.offer,
        clock=clock,
        meters=meters,
        limits=policy.limits,
        roster=roster,
        oracle=Oracle(advisers, ledger.budgets, shelf, mirrors),
    )
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
    return Worker(
        settings,
        store,
        book,
        meters,
        trail,
        keyring,
        health,
        server,
        replica,
        consultation,
        inquirer,
        last_use,
        advisers,
        ledger,
        credentials,
        shelf,
        mirrors,
        sharing,
    )


def _credentials(clock: Clock) -> CloudCredentials:
    """Secrets of a vault, and tokens that are had by them, for the backends of policies."""
    draw = random.SystemRandom().random
    vault = VaultCredentials(clock, draw)
    return CloudCredentials(vault, lambda url, ca_file: fetch.Line(url, ca_file, clock), clock, draw, secrets.token_hex)


def _sharing(settings: Settings, latencies: Latencies, meters: Meters) -> Sharing:
    """How latencies of backends are shared: with nobody where there is no Valkey."""
    valkey = _valkey(settings, connections=1)  # a call in a second
    return Sharing(latencies, None if valkey is None else Pipe(valkey), meters.latency)


def _shelf(settings: Settings, peppers: Peppers, clock: Clock) -> Shelf | None:
    """The cache of answers, where there is a Valkey. Its secrets come of the pepper, which no Valkey has."""
    valkey = _valkey(settings, connections=1)  # one pipe; scripts of many exchanges go in one write
    seals = CacheSeals(peppers.secrets[peppers.current])
    if valkey is None:
        return None
    # Dialled when a tenant's cache compares questions, and then it may still be away.
    index = fetch.Pipe(str(settings.run_dir / contract.ANALYSIS_SOCKET), similar.PATH)
    return Shelf(Store(Pipe(valkey)), seals, clock, Nearby(index, clock))


def _alerts(store: PolicyStore, tenant: str) -> tuple[int, ...]:
    """At which percentages of its limits a tenant's use is told."""
    found = store.current.tenants.get(tenant)
    return found.budgets.alerts if found is not None else ()


def _dial(settings: Settings, clock: Clock, adviser: Adviser, directory: str) -> Line:
    """The way to an adviser: our own process on this host, or a service."""
    if adviser.engine:
        return fetch.Pipe(str(settings.run_dir / contract.ANALYSIS_SOCKET), f"{advice.PATH}/{adviser.engine}")
    ca_file = str(Path(directory, adviser.ca_file)) if adviser.ca_file else None
    return fetch.Line(adviser.url, ca_file, clock)


def _load(directory: Path) -> Policy:
    try:
        return bundle.load(directory)
    except PolicyError as failure:
        raise Problem(str(failure)) from None


def _consultation(policy: Policy, clock: Clock) -> Consultation:
    """OPA, asked only where the policy has Rego; its library is loaded here, in a process that forks no more."""
    consultation = Consultation(clock)
    try:
        consultation.take(policy, consultation.build(policy))
    except (LibraryError, HopError) as failure:
        raise Problem(f"opa: {failure}") from None
    return consultation


def _peppers(path: Path) -> Peppers:
    try:
        return Peppers.of(reference.peppers(path))
    except SecretError as failure:
        raise Problem(str(failure)) from None


def _limiter(settings: Settings, clock: Clock) -> Limiter:
    local = LocalLimiter(clock, workers=settings.workers)
    valkey = _valkey(settings)
    return local if valkey is None else LeasedLimiter(ValkeyLedger(valkey), local, clock)


def _replica(settings: Settings, peppers: Peppers, clock: Clock) -> Replica | None:
    valkey = _valkey(settings, connections=2, retries=0)  # one follows, one asks; the replica heals failures itself
    if valkey is None:
        return None
    return ValkeyReplica(valkey, Seals(peppers.secrets), clock, random.SystemRandom().random)


def _revocations(replica: Replica | None, clock: Clock) -> tuple[Revocations, Roster | None]:
    """What was taken back: asked at the door, and told to the exchanges that run."""
    if replica is None:
        return NO_REVOCATIONS, None
    known = RevocationBook(clock, replica.age_s)
    roster = Roster(known.revoked)
    replica.follow(Sort.REVOCATION, known.apply)  # before the roster, which asks it
    replica.follow(Sort.REVOCATION, roster.apply)
    return known, roster


def _keys(settings: Settings, replica: Replica | None, clock: Clock) -> tuple[Keys, LastUse | None]:
    """API keys: of the policy alone, or also those of the registry, whose last use is noted."""
    valkey = _valkey(settings, connections=1)  # a command twice a minute
    if replica is None or valkey is None:
        return POLICY_KEYS, None
    known = KeyBook(replica.age_s)
    replica.follow(Sort.KEY, known.apply)
    return known, LastUse(ValkeyLastUsed(valkey), known.holds, clock)


def _own_tokens(replica: Replica | None) -> OwnTokens:
    """Without a registry it knows neither keys nor accounts, and its tokens are refused."""
    own = OwnTokens()
    if replica is not None:
        replica.follow(Sort.VERIFYING, own.key_changed)
        replica.follow(Sort.ACCOUNT, own.account_changed)
    return own


def _valkey(settings: Settings, **options: int) -> Redis | None:
    try:
        return client(settings, **options)
    except HopError as failure:
        raise Problem(str(failure)) from None


def _server(message_bytes: int, services: dict[str, dict[str, Any]]) -> grpc.aio.Server:
    """Generic handlers without serialisers, bytes in and bytes out: a fifth faster than generated servicers."""
    options = [
        ("grpc.max_receive_message_length", message_bytes),
        ("grpc.max_send_message_length", message_bytes),
        # Left to itself gRPC grows its receive window on a fast socket, and the answer to a slow reader is read ahead
        # into this process by megabytes: text that the provider bills and nobody may ever want.
        ("grpc.http2.bdp_probe", 0),
        # Half a piece of an answer (control/edge/clusters.py); the rest is asked for when it is read. Deltas fit whole.
        ("grpc.http2.lookahead_bytes", 8 * 1024),
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
    registry = await _load_registry(worker, stop)
    await worker.credentials.settled(_VAULT_S)
    noting = [spawn(worker.last_use.run(), "last-use")] if worker.last_use is not None else []
    noting.append(spawn(worker.ledger.run(), "budgets"))
    noting.append(spawn(worker.sharing.run(), "latencies"))
    # What is loaded now lives as long as the worker: the collector need not walk it again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC)
    resident.give_back(tokenizer.read_once())
    inode = await _listen(worker)
    worker.health.serving = True
    _log.info("worker_serving", pid=os.getpid(), policy=worker.store.current.version)
    await stop.wait()
    crashed = trail.done() or any(task.done() for task in registry)
    await _drain(worker, inode)
    await worker.keyring.close()
    await worker.inquirer.close()
    await worker.advisers.close()
    await worker.mirrors.close()
    await worker.consultation.close()
    await worker.credentials.close()
    await cancel_and_wait(*registry, *noting)
    if worker.last_use is not None:
        await worker.last_use.flush()
    unsettled = await worker.ledger.close()
    if worker.shelf is not None:
        await worker.shelf.close()
    lost = await worker.trail.close()
    _log.info("worker_stopped", records_lost=lost, unsettled=unsettled)
    return 1 if crashed or lost else 0


async def _load_registry(worker: Worker, stop: asyncio.Event) -> "list[asyncio.Task[None]]":
    """Start following the registry, and wait for its first load: a revoked caller shall not be let in meanwhile."""
    if worker.replica is None:
        return []
    task = spawn(worker.replica.run(), "registry")
    task.add_done_callback(lambda _: stop.set())  # it heals what it can: one that ended is better made anew
    if not await worker.replica.ready(_REGISTRY_S):
        _log.error("registry_not_loaded", waited_s=_REGISTRY_S, detail="its credentials are refused until it is")
    return [task]


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
    """Fetch keys from the policy's issuers, ask its introspectors and advisers, and no others."""
    worker.keyring.follow(policy.issuers.values(), policy.credential_dir)
    worker.inquirer.follow(policy.introspectors.values(), policy.credential_dir)
    worker.advisers.follow(policy.advisers, policy.credential_dir)
    worker.credentials.follow(policy)


def _reload(worker: Worker) -> None:
    """SIGHUP: judge new exchanges by the policy that is on disk now, if it is a policy."""
    spawn(_reloaded(worker), "policy-reload")


async def _reloaded(worker: Worker) -> None:
    async with worker.reloading:  # one after the other: an earlier, slower one would put back what it has read
        await _take_policy(worker)


async def _take_policy(worker: Worker) -> None:
    try:
        policy = await asyncio.to_thread(bundle.load, worker.settings.policy_dir)
    except PolicyError as failure:
        problems = [str(problem) for problem in failure.problems[:20]]  # a screen; `ostiary policy check` tells all
        _log.error("policy_refused", kept=worker.store.current.version, problems=problems)
        return
    try:
        evaluator = await asyncio.to_thread(worker.consultation.build, policy)
    except (LibraryError, HopError) as failure:
        _log.error("policy_refused", kept=worker.store.current.version, problems=[f"opa: {failure}"])
        return
    if policy.limits != worker.store.current.limits:
        _log.warning("policy_limits_need_restart", detail="message sizes and deadlines were fixed at start")
    # Compiling expressions takes up to seconds. The library lets the loop go on meanwhile, and nothing scans with what
    # is being compiled.
    await asyncio.to_thread(worker.book.warm, policy)
    await asyncio.to_thread(resident.give_back, tokenizer.read_once())
    _follow(worker, policy)
    await worker.credentials.settled(_VAULT_S)
    worker.consultation.take(policy, evaluator)
    worker.store.put(policy)
    worker.meters.know(policy.tenants, policy.models)
    _log.info("policy_activated", policy=policy.version)
