"""A real OpenBao whose storage outlives it: sealed, unsealed, stopped and started again at one address."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from openbao import BAO, Bao
from ports import free_port
from stack import until

_END_S = 15


class KeptBao:
    """Starts sealed. `bao` asks it as root."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        port, cluster_port = free_port(), free_port()
        (directory / "storage").mkdir()
        self._config = directory / "bao.hcl"
        self._config.write_text(
            f'storage "raft" {{ path = "{directory / "storage"}" node_id = "only" }}\n'
            f'cluster_addr = "http://127.0.0.1:{cluster_port}"\n'
            f'listener "tcp" {{ address = "127.0.0.1:{port}" cluster_address = "127.0.0.1:{cluster_port}" tls_disable = true }}\n'
            f'api_addr = "http://127.0.0.1:{port}"\n'
        )
        self.bao = Bao(f"http://127.0.0.1:{port}", "")
        self._key = ""
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Run it; sealed, or not even made."""
        process = self._process = subprocess.Popen(
            [str(BAO), "server", f"-config={self._config}"],
            env={"HOME": str(self._directory), "PATH": str(BAO.parent)},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        until("OpenBao", lambda: process.poll() is None and "sealed" in self.bao.call("sys/seal-status"))

    def make(self) -> None:
        """Its first life: a root token, and one key that opens it."""
        made = self.bao.call("sys/init", {"secret_shares": 1, "secret_threshold": 1})
        self._key = made["keys"][0]
        self.bao = replace(self.bao, token=made["root_token"])
        self.unseal()

    def unseal(self) -> None:
        self.bao.call("sys/unseal", {"key": self._key})
        until("an open OpenBao", lambda: self.bao.call("sys/health")["sealed"] is False)  # 200 of the active node alone

    def seal(self) -> None:
        self.bao.call("sys/seal", {})

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def kept(directory: Path) -> Iterator[KeptBao]:
    """One that is open, and ends with the block."""
    server = KeptBao(directory)
    try:
        server.start()
        server.make()
        yield server
    finally:
        server.stop()
