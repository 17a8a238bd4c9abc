"""Many slow readers at once: how many open, what each costs Envoy and a worker, and how far the upstream is read ahead.

Claims: bench/README.md, "Slow readers". All ask at the same moment for 64 MiB that come as fast as they are taken, and
read a little of it now and then. Answers are counted by status and code; memory is the growth of proportional set sizes.
"""

import argparse
import collections
import contextlib
import json
import re
import socket
import ssl
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import rig
from gateway_bench import body, ostiary

_RECEIVE_BYTES = 128 * 1024  # two loopback segments: less stalls TCP itself
_WARM = 20
_CODE = re.compile(rb"x-ostiary-error-code: (\w+)", re.IGNORECASE)


class Reader(threading.Thread):
    """One client that opens its stream and then takes `piece` bytes every `pause_s`."""

    def __init__(self, told: dict[str, Any], request: bytes, piece: int, pause_s: float, over: threading.Event) -> None:
        super().__init__(daemon=True)
        self._told, self._request, self._piece, self._pause_s, self._over = told, request, piece, pause_s, over
        self.outcome = ""
        self.first_s = 0.0
        self.taken = 0
        self.broke = ""

    def run(self) -> None:
        began = time.perf_counter()
        context = ssl.create_default_context(cafile=self._told["ca"])
        try:
            raw = socket.socket()
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
            raw.settimeout(120)
            raw.connect(("127.0.0.1", self._told["port"]))
            with context.wrap_socket(raw, server_hostname="localhost") as link:
                link.sendall(self._request)
                self._read(link, began)
        except OSError as error:
            if self.outcome:
                self.broke = str(error)
            else:
                self.outcome = type(error).__name__

    def _read(self, link: ssl.SSLSocket, began: float) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            more = link.recv(4096)
            if not more:
                self.outcome = "closed"
                return
            head += more
        code = _CODE.search(head)
        self.outcome = f"{head[9:12].decode()} {code[1].decode() if code else ''}".strip()
        self.first_s = time.perf_counter() - began
        while self.outcome == "200" and not self._over.wait(self._pause_s):
            data = link.recv(self._piece)
            if not data:
                self.broke = "closed"
                return
            self.taken += len(data)


def until(crowd: list[Reader]) -> None:
    """Every one of them was answered."""
    while not all(reader.outcome for reader in crowd):
        time.sleep(0.1)


def sent(port: int) -> dict[str, int]:
    """What the upstream has sent so far."""
    with socket.create_connection(("127.0.0.1", port), 60) as link:
        data = b'{"user":"told"}'
        link.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s" % (len(data), data))
        answer = link.recv(4096)
    out: dict[str, int] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return out


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readers", type=int, default=500)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10, help="to go on after the last reader was answered")
    parser.add_argument("--piece", type=int, default=2048, help="bytes that a reader takes at a time")
    parser.add_argument("--pause", type=float, default=1.0, help="seconds between them")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="osts") as name, contextlib.ExitStack() as stack:
        work = Path(name)
        port = rig.free_port()
        stack.enter_context(
            rig.process([sys.executable, str(rig.HERE / "upstream.py"), str(port), "2"], work / "up.log")
        )
        rig.wait_port(port)
        told = stack.enter_context(ostiary(work / "s", port, options.workers))
        print(json.dumps(measure(told, port, options), indent=1))
    return 0


def measure(told: dict[str, Any], upstream: int, options: argparse.Namespace) -> dict[str, Any]:
    """Open all readers, let them read, tell what it took."""
    pids: dict[str, int] = {}
    for pid, line in rig.children(told["pid"]).items():
        if "ostiary.cli worker" in line:
            pids[f"worker{len(pids)}"] = pid
        if "/envoy " in line:
            pids["envoy"] = pid
    request = json.loads(body(1, stream=True)) | {"user": "flood"}
    data = json.dumps(request, separators=(",", ":")).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {told['key']}\r\ncontent-length: {len(data)}\r\n\r\n"
    )
    over = threading.Event()

    def readers(count: int) -> list[Reader]:
        return [Reader(told, head.encode() + data, options.piece, options.pause, over) for _ in range(count)]

    for reader in (warm := readers(_WARM)):  # what the first streams of a process bring is no stream's
        reader.start()
    until(warm)
    time.sleep(3)
    before = {role: rig.pss_mib(pid) for role, pid in pids.items()}
    spent = {role: rig.cpu_s(pid) for role, pid in pids.items()}
    crowd = readers(options.readers)
    began = time.perf_counter()
    for reader in crowd:
        reader.start()
    until(crowd)
    answered_s = time.perf_counter() - began
    time.sleep(options.seconds)
    opened = [reader for reader in crowd if reader.outcome == "200"]
    ahead = sent(upstream)
    grown = {role: (rig.pss_mib(pid) - before[role]) * 1024 / max(1, len(opened)) for role, pid in pids.items()}
    cpu = {role: rig.cpu_s(pid) - spent[role] for role, pid in pids.items()}
    waits = sorted(reader.first_s for reader in opened)
    over.set()
    return {
        "outcomes": collections.Counter(reader.outcome for reader in crowd),
        "broke later": collections.Counter(reader.broke for reader in crowd if reader.broke),
        "all answered after s": round(answered_s, 1),
        "first byte p50, most s": (round(statistics.median(waits), 2), round(waits[-1], 2)) if waits else None,
        "KiB per reader": {role: round(value, 1) for role, value in grown.items()},
        "KiB sent by the upstream per stream": round(ahead["bytes"] / max(1, ahead["streams"]) / 1024),
        "KiB read by a client": round(sum(reader.taken for reader in opened) / max(1, len(opened)) / 1024),
        "CPU s": {role: round(value, 1) for role, value in cpu.items()},
    }


if __name__ == "__main__":
    sys.exit(main())
