"""An upstream that costs next to nothing: instant JSON, or 64 paced deltas stamped with this machine's clock.

Usage: `python bench/upstream.py PORT PACE_MS`. Which of the two it answers depends on `"stream":true` in the body; with
`"user":"flood"` the stream is 64 MiB as fast as it is taken, and `"user":"told"` is answered with how much of these was sent.
Stamps (`t=<perf_counter>; `) end in a space, so that no word is held back: what is measured is the gateway's work.
"""

import asyncio
import json
import socket
import sys
import time

import uvloop

_DELTAS = 64
_sent = {"streams": 0, "bytes": 0}
_JSON = (
    b'{"id":"chatcmpl-bench","object":"chat.completion","created":1,"model":"gpt-4o-mini","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"The capital of France is Paris, and the river is the Seine."},'
    b'"finish_reason":"stop"}],"usage":{"prompt_tokens":40,"completion_tokens":14,"total_tokens":54}}'
)
_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
    len(_JSON),
    _JSON,
)
_SSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _event(content: str, finish: str = "null") -> bytes:
    return _chunk(
        b'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"gpt-4o-mini","choices":[{"index":0,'
        b'"delta":{"content":"%s"},"finish_reason":%s}]}\n\n' % (content.encode(), finish.encode())
    )


def _told() -> bytes:
    data = json.dumps(_sent).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(data), data)


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    low = head.lower()
    at = low.find(b"content-length:")
    if at >= 0:
        return await reader.readexactly(int(low[at + 15 : low.find(b"\r\n", at)]))
    parts = []
    while b"chunked" in low:
        size = int((await reader.readline()).strip(), 16)
        parts.append(await reader.readexactly(size))
        await reader.readline()
        if not size:
            break
    return b"".join(parts)


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pace_s: float) -> None:
    try:
        while True:
            body = await _body(reader, await reader.readuntil(b"\r\n\r\n"))
            if b'"stream":true' not in body:
                writer.write(_told() if b'"user":"told"' in body else _ANSWER)
                continue
            writer.write(_SSE)
            if b'"user":"flood"' in body:
                _sent["streams"] += 1
                # What is sent shall be what was taken: loopback's own buffer of 4 MiB says nothing.
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
                event = _event("lorem ipsum " * 1365)  # 16 KiB
                for _ in range(4096):
                    writer.write(event)
                    await writer.drain()
                    _sent["bytes"] += len(event)
                writer.write(_chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")
                continue
            for number in range(_DELTAS):
                writer.write(_event(f"word{number} t={time.perf_counter():.6f}; "))
                await asyncio.sleep(pace_s)
            usage = b'data: {"id":"c1","choices":[],"usage":{"prompt_tokens":40,"completion_tokens":128}}\n\n'
            writer.write(_event("", '"stop"') + _chunk(usage) + _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def _main(port: int, pace_s: float) -> None:
    server = await asyncio.start_server(
        lambda r, w: _serve(r, w, pace_s), "127.0.0.1", port, limit=1 << 22, backlog=1024
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(_main(int(sys.argv[1]), float(sys.argv[2]) / 1000))
