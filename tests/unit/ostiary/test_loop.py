"""The worker's loop against gRPC's own queue: no wake-up is left behind, and none is lost."""

import asyncio
import socket
from functools import partial

import grpc
import grpc.aio
import pytest

from ostiary import loop
from ostiary.loop import Loop


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


class PollerCompletionQueue:
    """As gRPC's: one byte is read for all events that there are."""

    def __init__(self, link):
        self._link = link
        self.called = asyncio.Event()
        self.calls = 0

    def handle(self, told):
        self._link.recv(1)
        self.calls += 1
        self.called.set()


class Other(PollerCompletionQueue):
    """A reader that has nothing to do with gRPC."""


def _run(main):
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(main)


def test_one_call_takes_all_wake_ups(pair):
    ours, theirs = pair

    async def main():
        queue = PollerCompletionQueue(ours)
        asyncio.get_running_loop().add_reader(ours, partial(queue.handle, "loop"))
        theirs.send(b"1" * 100)
        await asyncio.wait_for(queue.called.wait(), 20)
        await asyncio.sleep(0)
        asyncio.get_running_loop().remove_reader(ours)
        return queue.calls

    assert _run(main()) == 1
    with pytest.raises(BlockingIOError):
        ours.recv(1)


def test_a_wake_up_that_somebody_else_took_is_no_error(pair):
    ours, _ = pair
    loop._once(ours, lambda: pytest.fail("nothing was there to handle"))


def test_other_readers_are_left_alone(pair):
    ours, theirs = pair

    async def main():
        other = Other(ours)
        asyncio.get_running_loop().add_reader(ours, partial(other.handle, "loop"))
        theirs.send(b"123")
        await asyncio.wait_for(other.called.wait(), 20)
        asyncio.get_running_loop().remove_reader(ours)
        return other.calls

    calls = _run(main())
    assert calls + len(ours.recv(16) if calls < 3 else b"") == 3


def test_the_queue_of_grpc_is_the_one_that_is_mended(monkeypatch):
    seen = []
    once = loop._once

    def watched(link, callback, *args):
        seen.append(callback)
        once(link, callback, *args)

    monkeypatch.setattr(loop, "_once", watched)

    async def echo(request, _context):
        return request

    async def main():
        server = grpc.aio.server()
        methods = {"Echo": grpc.unary_unary_rpc_method_handler(echo)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("a.A", methods),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            answers = [await channel.unary_unary("/a.A/Echo")(b"x") for _ in range(20)]
        await server.stop(0)
        return answers

    assert _run(main()) == [b"x"] * 20
    assert seen
