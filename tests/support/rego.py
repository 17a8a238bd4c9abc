"""Small policies with Rego and requests to ask them about, for tests of OPA. Evaluates nothing itself."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from authz.decide import Allowed, Ask
from authz.opa import library
from authz.opa.input import Question
from gateway.identity import NO_OBLIGATIONS, Caller, Obligations
from gateway.policy.model import Limits, Opa, Policy
from ports import free_port
from worlds import policy as world_policy

EXAMPLE = Path(__file__).parents[2] / "policies" / "examples" / "opa"
#: Loud: what is skipped here is tested nowhere else on this machine.
needs_library = pytest.mark.skipif(not library.installed(), reason="the OPA library is not there: requirements/opa.txt")

ALLOW = 'package ostiary.authz\n\ndecision := {"allow": true}\n'
#: Evaluates for about a second when the principal is "loop", without memory to speak of; at once for everybody else.
SLOW = """package ostiary.authz

import rego.v1

decision := {"allow": true} if input.caller.principal != "loop"

decision := {"allow": true} if {
	input.caller.principal == "loop"
	some_numbers := numbers.range(1, 70)
	count([1 | some a in some_numbers; some b in some_numbers; some c in some_numbers; a * b * c == -1]) == 0
}
"""


def opa(source: str = ALLOW, **changes: Any) -> Opa:
    """A section whose sources are one file."""
    return replace(Opa(package="ostiary.authz", sources={"rego/authz.rego": source}), **changes)


def policy(source: str = ALLOW, *, version: str = "p-rego", **changes: Any) -> Policy:
    """A policy of one tenant, acme, with this Rego."""
    return replace(world_policy(limits=Limits()), version=version, opa=opa(source, **changes))


def allowed(principal: str = "alice", *, obligations: Obligations = NO_OBLIGATIONS, **caller: Any) -> Allowed:
    """What `decide` says of a caller whom it lets pass."""
    who = Caller(
        tenant="acme",
        principal=principal,
        key_id="k1",
        scopes=("chat",),
        policy="p-rego",
        request_id="req-1",
        obligations=obligations,
    )
    return Allowed(replace(who, **caller), (), ())


def ask(path: str = "/v1/chat/completions", *, size: str = "17", address: str = "192.0.2.7") -> Ask:
    """A POST as Envoy shows it."""
    return Ask("POST", path, (("content-length", size),) if size else (), address)


def question(principal: str = "alice", **caller: Any) -> Question:
    """One request about which OPA is asked."""
    return Question(ask(), allowed(principal, **caller))


@contextmanager
def server() -> Iterator[str]:
    """A real OPA server: that of OPA_URL, or the `opa` on the PATH, started and ended here. Skips without either."""
    url = os.environ.get("OPA_URL")
    if url:
        yield url.rstrip("/")
        return
    binary = shutil.which("opa")
    if binary is None:
        pytest.skip("no OPA server: put `opa` on the PATH or set OPA_URL")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [binary, "run", "--server", "--addr", f"127.0.0.1:{port}", "--log-level", "error", "--skip-version-check"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(10)


def _wait(url: str, process: "subprocess.Popen[bytes]") -> None:
    until_s = time.monotonic() + 20
    while True:
        try:
            httpx.get(f"{url}/health", timeout=1)
        except httpx.TransportError:
            if process.poll() is not None or time.monotonic() > until_s:
                raise
            time.sleep(0.02)
        else:
            return


def put(url: str, path: str, content: str, kind: str = "application/json") -> None:
    """Put a policy or data into a server."""
    headers = {"content-type": kind}
    httpx.put(f"{url}/v1/{path}", content=content.encode(), headers=headers, timeout=10).raise_for_status()


def evaluated(url: str, package: str, document: dict[str, Any]) -> Any:
    """What a server decides; None where it is undefined, "error" where the evaluation failed."""
    where = f"{url}/v1/data/{package.replace('.', '/')}/decision?strict-builtin-errors=true"
    answer = httpx.post(where, json={"input": document}, timeout=10)
    return "error" if answer.status_code == 500 else answer.raise_for_status().json().get("result")
