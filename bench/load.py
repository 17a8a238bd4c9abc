"""A closed-loop HTTP/1.1 load generator on raw sockets: N connections, each with one request under way. No client library.

Run as a process of its own (`python bench/load.py JSON`), so that its CPU time is never counted as the gateway's.
Prints one JSON object: latencies and, for event streams, time to first text and the delay of each chunk.
"""

import asyncio
import json
import ssl
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import uvloop


@dataclass
class Result:
    """Samples in seconds."""

    requests: int = 0
    errors: int = 0
    bytes: int = 0
    latency_s: list[float] = field(default_factory=list)
    first_s: list[float] = field(default_factory=list)
    chunk_delay_s: list[float] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)


class Client(asyncio.Protocol):
    """One connection that sends the next request when the last answer is complete."""

    def __init__(self, request: bytes, result: Result, stop_at: float, *, stamped: bool) -> None:
        self._request, self._result, self._stop_at, self._stamped = request, result, stop_at, stamped
        self._buffer = b""
        self._sent_s = 0.0
        self._first = False
        self._scanned = 0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._next()

    def _next(self) -> None:
        if time.perf_counter() >= self._stop_at:
            self._transport.close()
            return
        self._buffer, self._first, self._scanned = b"", False, 0
        self._sent_s = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        self._buffer += data
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return
        if self._stamped:
            self._stamps(now, head_end)
        if not self._complete(head_end):
            return
        status = self._buffer[9:12].decode()
        result = self._result
        result.statuses[status] = result.statuses.get(status, 0) + 1
        result.requests += 1
        result.errors += status != "200"
        result.bytes += len(self._buffer)
        result.latency_s.append(now - self._sent_s)
        self._next()

    def _complete(self, head_end: int) -> bool:
        head = self._buffer[:head_end].lower()
        at = head.find(b"content-length:")
        if at >= 0:
            line_end = head.find(b"\r\n", at)
            length = int(head[at + 15 : line_end if line_end > 0 else len(head)])
            return len(self._buffer) >= head_end + 4 + length
        return self._buffer.endswith(b"0\r\n\r\n")

    def _stamps(self, now: float, head_end: int) -> None:
        """Texts of the paced upstream carry its clock: `t=<perf_counter seconds>;` (one machine, one clock)."""
        start = max(self._scanned, head_end)
        if not self._first and b'"content":"' in self._buffer[start:]:
            self._first = True
            self._result.first_s.append(now - self._sent_s)
        while True:
            at = self._buffer.find(b"t=", start)
            end = self._buffer.find(b";", at) if at >= 0 else -1
            if at < 0 or end < 0:
                break
            try:
                self._result.chunk_delay_s.append(now - float(self._buffer[at + 2 : end]))
            except ValueError:
                pass
            start = end + 1
        self._scanned = start

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._result.errors += 1
        if not self.done.done():
            self.done.set_result(None)


def percentile(samples: list[float], share: float) -> float:
    """The nearest-rank percentile in milliseconds; 0 without samples."""
    if not samples:
        return 0.0
    ordered = sorted(samples)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000, 3)


async def run(job: dict[str, Any]) -> dict[str, Any]:
    """Perform one job: host, port, tls, path, headers, body, connections, seconds, stamped."""
    body = job["body"].encode()
    headers = {
        "host": "localhost",
        "content-type": "application/json",
        "content-length": str(len(body)),
        **job["headers"],
    }
    lines = [f"POST {job['path']} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items()), "", ""]
    request = "\r\n".join(lines).encode() + body
    context = None
    if job.get("tls"):
        context = ssl.create_default_context(cafile=job["ca"])
    result = Result()
    began = time.perf_counter()
    loop = asyncio.get_running_loop()
    clients: list[Client] = []
    for _ in range(job["connections"]):
        _, client = await loop.create_connection(
            lambda: Client(request, result, began + job["seconds"], stamped=job.get("stamped", False)),
            job["host"],
            job["port"],
            ssl=context,
            server_hostname="localhost" if context else None,
        )
        clients.append(client)
    await asyncio.wait([client.done for client in clients], timeout=job["seconds"] + 30)
    wall = time.perf_counter() - began
    return {
        "requests": result.requests,
        "errors": result.errors,
        "statuses": result.statuses,
        "wall_s": round(wall, 3),
        "per_s": round(result.requests / wall, 1),
        "bytes": result.bytes,
        **{f"latency_p{int(p * 100)}_ms": percentile(result.latency_s, p) for p in (0.5, 0.95, 0.99)},
        **{f"first_p{int(p * 100)}_ms": percentile(result.first_s, p) for p in (0.5, 0.95, 0.99)},
        **{f"chunk_delay_p{int(p * 100)}_ms": percentile(result.chunk_delay_s, p) for p in (0.5, 0.95, 0.99)},
    }


if __name__ == "__main__":
    uvloop.install()
    print(json.dumps(asyncio.run(run(json.loads(sys.stdin.read())))))
