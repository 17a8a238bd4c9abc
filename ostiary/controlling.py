"""`ostiary control`: settings become objects, objects become two HTTP sites on Unix sockets. Decides nothing."""

import asyncio
import os
import random
import secrets
import signal
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog
import uvloop
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from redis.asyncio import Redis

from control import account_actions, budget_actions, cache_actions, key_actions, reconcile_actions, revocation_actions
from control.accounts import Accounts
from control.admin import Admin, local
from control.alerts import Alerts
from control.bearer import Bearer
from control.kek import LocalKek
from control.keys import Keys
from control.oauth.client import Clients
from control.oauth.replay import ValkeySeen
from control.oauth.service import TokenServer, Told
from control.oauth.store import Store as AccountStore
from control.request import Answer, Handler, Request, answer, error
from control.revocations import Revocations
from control.signing import TEND_S, Signing
from control.site import Place, Site
from control.transit import Transit
from control.wrapper import WrapError, Wrapper
from gateway import contract, fetch
from gateway.aio import cancel_and_wait, spawn
from gateway.apikey import Peppers
from gateway.audit.record import Record
from gateway.audit.trail import Trail
from gateway.budgets.board import ValkeyBoard
from gateway.budgets.store import ValkeyStore
from gateway.cache.store import Store
from gateway.clock import Clock, SystemClock
from gateway.policy.model import Policy
from gateway.policy.problem import PolicyError
from gateway.policy.store import PolicyStore
from gateway.registry.last_used import ValkeyLastUsed
from gateway.registry.model import RegistryError
from gateway.registry.seal import Seals
from gateway.registry.valkey import ValkeyRegistry
from gateway.script import Pipe
from gateway.secrets import reference
from gateway.secrets.reference import SecretError
from gateway.settings import Settings
from gateway.telemetry import log
from gateway.tls import Hop, HopError, HopFiles
from gateway.topology import Reached, reach
from gateway.valkey import connect, files_of
from ostiary import bundle, handing, socketfile, undumpable
from ostiary.admin import Admin as Pages
from ostiary.admin import Page
from ostiary.handing import Handing
from ostiary.problem import Problem
from ostiary.usage_sums import UsageSums

_log: Final = structlog.get_logger(__name__)
_ASK_S: Final = 1.0  # for the registry to answer a probe; probes give up after 1 to 10 s
_OWNER_ONLY: Final = 0o600
_BACKLOG: Final = 64  # as many as may be open (control/site.py)


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT."""
    os.umask(0o077)  # whoever can open the operator's socket is an operator
    undumpable.apply()
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
    signing: Signing
    revocations: Revocations
    ledger: Reached
    alerts: Alerts
    edge: Site
    operators: Site
    handing: Handing | None  # None: Envoy reads its certificate from files
    reloading: asyncio.Lock = field(default_factory=asyncio.Lock)


def compose(settings: Settings) -> Control:
    """Build every object, in the order of their needs. Opens nothing yet."""
    if settings.valkey_url is None:
        raise Problem("control keeps its registry in Valkey, and none is named", hint="Set OSTIARY_VALKEY_URL.")
    clock = SystemClock()
    store = PolicyStore(_load(settings.policy_dir))
    peppers = _peppers(settings.peppers_file)
    try:
        client = connect(
            settings.valkey_url, files_of(settings), retries=0
        )  # a change that broke off may have been made
        ledger = reach(settings.ledger_url or settings.valkey_url, files_of(settings))
    except (HopError, ValueError) as failure:
        raise Problem(str(failure)) from None
    board = ValkeyBoard(ledger.runner)
    registry = ValkeyRegistry(client, Seals(peppers.secrets))
    trail = Trail(
        settings.audit_dir / "control.jsonl",
        queue_records=settings.audit_queue_records,
        fsync_ms=settings.audit_fsync_ms,
    )

    def policy() -> Policy:
        return store.current

    signing = Signing(registry, _wrapper(settings, store.current), clock)
    revocations = Revocations(registry, clock)
    accounts = AccountStore(registry, clock)
    tokens = TokenServer(
        policy=policy,
        clients=Clients(store=accounts, peppers=peppers, seen=ValkeySeen(client, clock), clock=clock, policy=policy),
        store=accounts,
        signing=signing,
        revoker=revocations,
        tell=partial(_tell, trail, clock),
        clock=clock,
        random=secrets.token_bytes,
    )
    parts: dict[str, Any] = {"registry": registry, "peppers": peppers, "policy": policy, "clock": clock}
    actions = (
        *key_actions.actions(Keys(**parts, random=secrets.token_bytes, last_used=ValkeyLastUsed(client))),
        *revocation_actions.actions(revocations),
        *account_actions.actions(Accounts(**parts, random=secrets.token_bytes)),
        *account_actions.signing_actions(signing, policy),
        *reconcile_actions.actions(ValkeyStore(ledger.runner), board, policy),
        *cache_actions.actions(Store(Pipe(client)), policy),
        *budget_actions.actions(UsageSums(settings.audit_dir, clock), ValkeyStore(ledger.runner), board, policy),
    )
    bearer = Bearer(policy=policy, store=accounts, signing=signing, clock=clock)
    health = Place("/healthz", _health(trail, client))
    edge = (
        health,
        Place(contract.ADMIN_PREFIX, Admin(actions, bearer, trail, clock)),
        Place(contract.OAUTH_PREFIX, tokens),
        Place(contract.METADATA_PATH, tokens),
    )
    return Control(
        settings=settings,
        store=store,
        client=client,
        trail=trail,
        signing=signing,
        revocations=revocations,
        ledger=ledger,
        alerts=Alerts(
            board=board,
            policy=policy,
            dial=lambda url, ca_file: fetch.Line(url, ca_file, clock),
            offer=lambda record: trail.healthy and trail.offer(record),
            clock=clock,
            chance=random.SystemRandom().random,
        ),
        edge=Site(edge, clock, local=False),
        operators=Site((health, Place(contract.ADMIN_PREFIX, Admin(actions, local, trail, clock))), clock, local=True),
        handing=handing.compose(settings, clock),
    )


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


def _wrapper(settings: Settings, policy: Policy) -> Wrapper:
    """What encrypts signing keys: a vault or a file. A token service needs one of them."""
    try:
        if settings.vault_addr is not None and settings.vault_token_file is not None:
            secure = settings.vault_addr.startswith("https://")
            hop = Hop(HopFiles(ca_file=settings.vault_ca_file)) if secure else None
            return Transit(settings.vault_addr, settings.vault_key, settings.vault_token_file, hop)
        if settings.kek_file is not None:
            return LocalKek.read(settings.kek_file, secrets.token_bytes)
    except (SecretError, HopError, ValueError) as failure:
        raise Problem(str(failure)) from None
    if policy.token_service is not None:
        raise Problem(
            "the policy has a token service, and nothing encrypts its signing keys",
            hint="Set OSTIARY_KEK_FILE, or OSTIARY_VAULT_ADDR and OSTIARY_VAULT_TOKEN_FILE.",
        )
    return NoWrapper()


class NoWrapper:
    """Where no token service was wanted. One that a reload brings gets no keys, and the log says so."""

    async def wrap(self, name: str, plain: bytes) -> str:  # noqa: ARG002 -- named as the protocol names them
        """Never."""
        raise WrapError("neither OSTIARY_KEK_FILE nor OSTIARY_VAULT_ADDR is set")

    async def unwrap(self, name: str, wrapped: str) -> bytes:  # noqa: ARG002
        """Never."""
        await self.wrap(name, b"")
        return b""

    def is_current(self, wrapped: str) -> bool:  # noqa: ARG002
        """There is nothing that could wrap it anew."""
        return True


def _tell(trail: Trail, clock: Clock, told: Told) -> bool:
    """Put a request to the token service on record. False: it is not, and no token may be handed out."""
    request = told.request
    details = {"client": told.client_id, "address": request.address, **told.details}
    record = Record(
        writer="control",
        request_id=request.request_id,
        started_at=request.now,
        duration_s=max(0.0, clock.now() - request.now),
        tenant=told.tenant,
        principal=told.principal,
        key_id=told.key_id,
        method=told.action,
        path=request.path,
        status=told.status,
        outcome="refused" if told.code else "completed",
        code=told.code,
        reason=told.cause,
        details={name: value for name, value in details.items() if value},
    )
    return trail.healthy and trail.offer(record)


def _health(trail: Trail, client: Redis) -> Handler:
    """Whether changes can be made: on record, and in the registry."""

    async def asked(_: Request) -> Answer:
        failing = await _failing(trail, client)
        if failing:
            return error(503, "unavailable", f"Control cannot change anything: {' and '.join(failing)} failing.")
        return answer({"status": "ok"})

    return asked


async def _failing(trail: Trail, client: Redis) -> list[str]:
    """What keeps changes from being made."""
    return [*([] if trail.healthy else ["audit"]), *([] if await _answers(client.ping) else ["registry"])]


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
    await _tend(control)  # so that the first token can be signed
    chores = [
        spawn(_keep_tending(control), "signing-keys"),
        spawn(control.revocations.keep_small(), "revocations-pruned"),
        spawn(control.alerts.run(), "budget-alerts"),
    ]
    published = [await _listen(control.edge, settings.run_dir / contract.CONTROL_SOCKET, settings.socket_mode)]
    if control.handing is not None:
        await control.handing.start(settings)
    pages = await _pages(control)
    # The last one: whoever asks an operator's socket for health and is told "ok" finds everything else there.
    published.append(await _listen(control.operators, settings.run_dir / contract.OPERATOR_SOCKET, _OWNER_ONLY))
    _log.info("control_serving", pid=os.getpid(), policy=control.store.current.version)
    await stop.wait()
    crashed = trail.done()
    for path, inode in published:
        socketfile.withdraw(path, inode)
    await asyncio.gather(*(site.close(settings.drain_s) for site in (control.operators, control.edge)))
    await cancel_and_wait(*chores)
    if control.handing is not None:
        await control.handing.close()
    if pages is not None:
        await pages.close()
    await control.client.aclose()
    await control.ledger.close()
    lost = await control.trail.close()
    _log.info("control_stopped", records_lost=lost)
    return 1 if crashed or lost else 0


async def _tend(control: Control) -> None:
    """See to the signing keys, if there is a token service. What cannot be done now is tried again."""
    service = control.store.current.token_service
    if service is None:
        return
    try:
        await control.signing.tend(service)
    except (RegistryError, WrapError) as failure:
        _log.error("signing_keys_not_tended", cause=str(failure))
    except Exception as bug:  # noqa: BLE001 -- a loop that ended would leave the service without keys within two turns
        _log.error("signing_keys_not_tended", cause=type(bug).__name__)


async def _keep_tending(control: Control) -> None:
    while True:
        await asyncio.sleep(TEND_S)
        await _tend(control)


async def _pages(control: Control) -> Pages | None:
    """Health and metrics on a port, for probes and scrapers, where the settings name one."""
    settings = control.settings
    if settings.control_admin_port is None:
        return None

    async def health() -> Page:
        failing = await _failing(control.trail, control.client)
        return Page(503, f"{' and '.join(failing)} failing\n".encode()) if failing else Page(200, b"ok\n")

    async def metrics() -> Page:
        return Page(200, b"" if control.handing is None else control.handing.metrics(), CONTENT_TYPE_PLAIN_0_0_4)

    pages = Pages({"/healthz": health, "/metrics": metrics})
    try:
        await pages.start(settings.admin_host, settings.control_admin_port)
    except OSError as failure:
        where = f"{settings.admin_host}:{settings.control_admin_port}"
        raise Problem(f"cannot listen on {where}: {failure.strerror}", hint="Set OSTIARY_CONTROL_ADMIN_PORT.") from None
    _log.info("control_pages", port=pages.port)
    return pages


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
    """SIGHUP: a new certificate; tenants and the token service as the policy on disk has them, if it is a policy."""
    if control.handing is not None:
        control.handing.issuing.renew()
    async with control.reloading:  # one after the other: an earlier, slower one would put back what it has read
        try:
            policy = await asyncio.to_thread(bundle.load, control.settings.policy_dir)
        except PolicyError as failure:
            problems = [str(problem) for problem in failure.problems[:20]]  # a screen; `ostiary policy check` tells all
            _log.error("policy_refused", kept=control.store.current.version, problems=problems)
            return
        control.store.put(policy)
        _log.info("policy_activated", policy=policy.version)
