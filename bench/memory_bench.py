"""Memory that the gateway takes: for a slow reader of a fast answer, for a 10 MiB body, and at rest.

Claims: bench/README.md, "Memory". Slow readers take 20 KiB/s of a 64 MiB stream; what Envoy and the worker hold for
each is the growth of their proportional set sizes while they read. For the body it is the highest growth seen.
"""

import contextlib
import json
import socket
import ssl
import sys
import tempfile
import threading
import time
from pathlib import Path

import rig
from gateway_bench import body, ostiary

_READERS = 8
_SECONDS = 10
_BODY_BYTES = 10 * 1024 * 1024 - 4096


def _connect(told: dict[str, object]) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(told["ca"]))
    raw = socket.create_connection(("127.0.0.1", int(str(told["port"]))), 10)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 128 * 1024)  # two loopback segments: less stalls TCP itself
    return context.wrap_socket(raw, server_hostname="localhost")


def _send(link: ssl.SSLSocket, told: dict[str, object], data: bytes) -> None:
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {told['key']}\r\ncontent-length: {len(data)}\r\n\r\n"
    )
    link.sendall(head.encode() + data)


def slow_readers(told: dict[str, object], pids: dict[str, int]) -> dict[str, float]:
    """MiB of growth per reader, by process."""
    request = json.loads(body(1, stream=True)) | {"user": "flood"}
    data = json.dumps(request, separators=(",", ":")).encode()
    before = {role: rig.pss_mib(pid) for role, pid in pids.items()}
    links = [_connect(told) for _ in range(_READERS)]
    for link in links:
        _send(link, told, data)
    until = time.monotonic() + _SECONDS
    while time.monotonic() < until:
        for link in links:
            link.recv(4096)
        time.sleep(0.2)
    grown = {role: (rig.pss_mib(pid) - before[role]) / _READERS for role, pid in pids.items()}
    for link in links:
        link.close()
    return grown


def large_body(told: dict[str, object], pids: dict[str, int]) -> dict[str, float]:
    """Highest growth in MiB while one 10 MiB body passes, by process."""
    request = json.loads(body(1, stream=False))
    filler = "A walk along the river takes an afternoon. " * (_BODY_BYTES // 43)
    request["messages"][1]["content"] = filler[: _BODY_BYTES - 600]
    data = json.dumps(request, separators=(",", ":")).encode()
    before = {role: rig.pss_mib(pid) for role, pid in pids.items()}
    peak = dict(before)
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            for role, pid in pids.items():
                peak[role] = max(peak[role], rig.pss_mib(pid))
            time.sleep(0.005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    with _connect(told) as link:
        _send(link, told, data)
        status = link.recv(4096)[9:12]
    done.set()
    watcher.join()
    if status != b"200":
        raise RuntimeError(f"the large body was answered with {status!r}")
    return {role: peak[role] - before[role] for role in pids} | {"body": len(data) / 2**20}


def main() -> int:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="ostm") as name, contextlib.ExitStack() as stack:
        work = Path(name)
        port = rig.free_port()
        stack.enter_context(
            rig.process([sys.executable, str(rig.HERE / "upstream.py"), str(port), "2"], work / "up.log")
        )
        rig.wait_port(port)
        told = stack.enter_context(ostiary(work / "s", port, 1))
        pids = {}
        for pid, line in rig.children(told["pid"]).items():
            if "ostiary.cli worker" in line:
                pids["worker"] = pid
            if "/envoy " in line:
                pids["envoy"] = pid
        print({f"{role} at rest, MiB PSS": round(rig.pss_mib(pid), 1) for role, pid in pids.items()})
        grown = large_body(told, pids)
        total = sum(v for k, v in grown.items() if k != "body")
        print({f"{k} MiB": round(v, 1) for k, v in grown.items()}, f"= {total / grown['body']:.1f} x body")
        per = slow_readers(told, pids)
        print({f"{role} MiB per slow reader": round(v, 2) for role, v in per.items()})
    return 0


if __name__ == "__main__":
    sys.exit(main())
