"""Many slow readers at once, through `adapt`: Envoy stays up and serves the others.

Envoy 1.40 dies of a null pointer when an ext_proc filter of an upstream chain is told of a high watermark, which is
why `adapt` has a cluster of its own on which none can fire (control/edge/clusters.py). A scripted sidecar that echoes
makes the streams fast enough to reach watermarks within a second.
"""

import contextlib

import orjson
import pytest

import provider
from asking import CHAT, chat
from gateway import contract
from rawhttp import request_bytes
from sidecar import FakeSidecar, Plan
from stack import Options, Stack, until
from upstream import Call

READERS = 40
JSON = [("content-type", "application/json")]


@pytest.fixture
def echoing(short_dir, upstreams):
    running = Stack(short_dir(), upstreams, Options(workers=1, wait=False))
    fake = FakeSidecar(running.socket(0), Plan(route=contract.route_of("main"))).start()
    try:
        running.start_envoy()
        until("Envoy to serve", lambda: running.client().post(CHAT, chat("x")).status == 200)
        yield running
    finally:
        running.stop()
        fake.stop()


async def flood(call: Call) -> None:
    await call.head(200, [("content-type", "text/event-stream")])
    event = provider.event(provider.delta("words and more words " * 3000))
    for _ in range(500):
        await call.chunk(event)
    await call.end()


def test_a_crowd_of_slow_readers_does_not_bring_envoy_down(echoing, upstream):
    client = echoing.client(receive_buffer_bytes=16_384)
    with contextlib.ExitStack() as opened:
        conns = []
        for marker in [upstream.script(flood) for _ in range(READERS)]:
            conn = opened.enter_context(client.open())
            body = orjson.dumps(chat(marker, stream=True))
            conn.send(request_bytes("POST", CHAT, [*client.headers, *JSON], body))
            conn.rest(conn.head(), until=b"words")
            conns.append(conn)
        assert echoing.client().post(CHAT, chat("beside them")).status == 200
        for conn in conns:
            conn.abort()
    assert echoing.client().post(CHAT, chat("after them")).status == 200
    assert echoing.envoy.alive
