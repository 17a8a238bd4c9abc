"""The discovery stream as Envoy speaks it, over a real socket: first, next, refused, too many."""

import asyncio
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import pytest
from structlog.testing import capture_logs

from control.sds import wire
from control.sds.handed import Handed
from control.sds.service import SecretService, server
from protos import discovery_pb2

PATH = f"/{wire.SERVICE}/{wire.METHOD}"


@asynccontextmanager
async def serving(directory, handed):
    made = server(SecretService(handed), f"unix:{directory}/s")
    await made.start()
    try:
        async with grpc.aio.insecure_channel(f"unix:{directory}/s") as channel:
            yield channel
    finally:
        await made.stop(0)


def asking(*names, nonce="", code=0, type_url=wire.TYPE):
    message = discovery_pb2.DiscoveryRequest(type_url=type_url, resource_names=names, response_nonce=nonce)
    if code:
        message.error_detail.code = code
    return message.SerializeToString()


async def answer(stream):
    async with asyncio.timeout(20):
        return discovery_pb2.DiscoveryResponse.FromString(await stream.read())


def handout(name, version):
    return wire.authorities(name, version, b"pem")


async def test_what_is_there_comes_at_once_and_what_comes_later_is_waited_for(tmp_path):
    handed = Handed()
    handed.put("a", handout("a", "v1"))
    async with serving(tmp_path, handed) as channel:
        stream, late = channel.stream_stream(PATH)(), channel.stream_stream(PATH)()
        await stream.write(asking("a"))
        await late.write(asking("b"))
        first = await answer(stream)
        assert first.version_info == "v1"
        await stream.write(asking("a", nonce=first.nonce))
        handed.put("b", handout("b", "w1"))
        assert (await answer(late)).version_info == "w1"
        handed.put("a", handout("a", "v2"))
        second = await answer(stream)
        assert (second.version_info, len(second.resources)) == ("v2", 1)
        assert second.nonce != first.nonce


async def test_a_refusal_is_logged_and_the_same_is_not_sent_again(tmp_path):
    handed = Handed()
    handed.put("a", handout("a", "v1"))
    async with serving(tmp_path, handed) as channel:
        stream = channel.stream_stream(PATH)()
        await stream.write(asking("a"))
        first = await answer(stream)
        with capture_logs() as logs:
            await stream.write(asking("a", nonce=first.nonce, code=13))
            # The next answer is the first one after it: nothing came in between.
            await stream.write(asking("a", "b", nonce=first.nonce))
            handed.put("b", handout("b", "w1"))
            assert (await answer(stream)).version_info == "v1 w1"
        assert [(each["event"], each["code"]) for each in logs] == [("secret_refused_by_envoy", 13)]


async def test_a_word_about_an_older_answer_changes_nothing(tmp_path):
    handed = Handed()
    handed.put("a", handout("a", "v1"))
    async with serving(tmp_path, handed) as channel:
        stream = channel.stream_stream(PATH)()
        await stream.write(asking("a"))
        await answer(stream)
        await stream.write(asking("b", nonce="before"))
        handed.put("b", handout("b", "w1"))
        handed.put("a", handout("a", "v2"))
        assert (await answer(stream)).version_info == "v2"


@pytest.mark.parametrize("message", [asking("a", type_url="x"), asking(*(f"n{each}" for each in range(9)))])
async def test_whoever_speaks_otherwise_is_refused(tmp_path, message):
    async with serving(tmp_path, Handed()) as channel:
        stream = channel.stream_stream(PATH)()
        await stream.write(message)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await answer(stream)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_streams_are_bounded_and_one_that_ends_makes_room(tmp_path):
    handed = Handed()
    handed.put("a", handout("a", "v1"))
    async with serving(tmp_path, handed) as channel:
        streams = [channel.stream_stream(PATH)() for _ in range(16)]
        for stream in streams:
            await stream.write(asking("a"))
            await answer(stream)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await answer(await opened(channel))
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        await streams[0].done_writing()
        assert await streams[0].read() is grpc.aio.EOF
        assert (await answer(await opened(channel))).version_info == "v1"


async def opened(channel):
    stream = channel.stream_stream(PATH)()
    await stream.write(asking("a"))
    return stream
