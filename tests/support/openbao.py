"""A real OpenBao for tests, out of the wheel: in memory, on a loopback port, ended by its own pid."""

import json
import secrets
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from certs import Pair
from ports import free_port
from stack import until

BAO = Path(sys.executable).parent / "bao"
_END_S = 15


@dataclass(frozen=True, slots=True)
class Bao:
    """A running server in dev mode: unsealed, its storage gone with it."""

    url: str
    token: str = field(repr=False)

    def call(self, path: str, body: dict[str, Any] | None = None, *, method: str | None = None) -> dict[str, Any]:
        """POST with a body, GET without, unless told otherwise."""
        request = urllib.request.Request(  # noqa: S310  # our own loopback URL
            f"{self.url}/v1/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"x-vault-token": self.token},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310  # as above
                raw = answer.read()
        except urllib.error.HTTPError as refused:
            refused.close()  # it holds the connection
            raise
        return dict(json.loads(raw)) if raw else {}


class Pki:
    """Its PKI engine as a CA for workloads: clients alone, named by SPIFFE IDs of one trust domain."""

    def __init__(self, bao: Bao, directory: Path, trust_domain: str = "test") -> None:
        self._bao = bao
        self._directory = directory
        bao.call("sys/mounts/pki", {"type": "pki"})
        root = bao.call("pki/root/generate/internal", {"common_name": "workloads", "ttl": "24h", "key_type": "ec"})
        role = {
            "allowed_uri_sans": f"spiffe://{trust_domain}/*",
            "require_cn": False,
            "client_flag": True,
            "server_flag": False,
            "key_type": "ec",
            "max_ttl": "1h",
        }
        bao.call("pki/roles/workload", role)
        self.pem = directory / "workloads-ca.pem"
        self.pem.write_text(root["data"]["certificate"] + "\n")

    def issue(self, name: str, uri: str, ttl: str = "10m") -> Pair:
        """A certificate with its key, as an agent on the workload's host would fetch it."""
        issued = self._bao.call("pki/issue/workload", {"uri_sans": uri, "ttl": ttl})["data"]
        pair = Pair(self._directory / f"{name}.pem", self._directory / f"{name}.key")
        pair.cert.write_text(issued["certificate"] + "\n")
        pair.key.touch(0o600)
        pair.key.write_text(issued["private_key"] + "\n")
        return pair


@contextmanager
def running(directory: Path) -> Iterator[Bao]:
    """Start a server that ends with the block."""
    address = f"127.0.0.1:{free_port()}"
    token = secrets.token_hex(16)
    process = subprocess.Popen(
        [str(BAO), "server", "-dev", "-dev-no-store-token", f"-dev-listen-address={address}"],
        env={"HOME": str(directory), "PATH": str(BAO.parent), "BAO_DEV_ROOT_TOKEN_ID": token},  # not in the list of processes
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    bao = Bao(f"http://{address}", token)
    try:
        until("OpenBao", lambda: process.poll() is None and bao.call("sys/seal-status")["sealed"] is False)
        yield bao
    finally:
        process.terminate()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
