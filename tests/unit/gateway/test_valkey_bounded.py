"""Answers of a server that is not trusted: read up to a bound, whatever they claim to be."""

import asyncio
import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.script import Pipe, Script, ScriptError
from gateway.valkey import connect

MOST = 4096
PATIENT_S = 60.0


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("s") / "any.lua"
    path.write_text("return 1")
    return Script(path)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("r") / "s"


async def told(path, script, reply, most=MOST):
    """What comes of a reply, byte for byte; the server then says nothing more."""

    async def command(reader):
        count = int((await reader.readline())[1:])
        return [(await reader.readexactly(int((await reader.readline())[1:]) + 2))[:-2] for _ in range(count)]

    async def serve(reader, writer):
        with contextlib.suppress(ValueError, OSError, asyncio.IncompleteReadError):
            while (await command(reader))[0] == b"CLIENT":  # a client says who it is first
                writer.write(b"+OK\r\n")
            writer.write(reply)
            writer.write_eof()
            await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(serve, str(path))
    client = connect(f"unix://{path}", retries=0, most_bytes=most)
    try:
        async with asyncio.timeout(PATIENT_S):
            return await Pipe(client, deadline_s=PATIENT_S).start(script, ["k"], [b"x"])
    finally:
        await client.aclose()
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(
    ("reply", "read"),
    [
        (b":1\r\n", 1),
        (b"*0\r\n", []),
        (b"$-1\r\n", None),
        (b"*3\r\n$1\r\na\r\n$2\r\n\r\n\r\n:7\r\n", [b"a", b"\r\n", 7]),
        (b"$4000\r\n" + b"x" * 4000 + b"\r\n", b"x" * 4000),
    ],
)
async def test_what_is_short_enough_is_read(place, script, reply, read):
    assert await told(place, script, reply) == read


@pytest.mark.parametrize(
    "reply",
    [
        b"$4097\r\n" + b"x" * 4097 + b"\r\n",
        b"$536870912\r\n",  # what Redis itself would allow
        b"$99999999999999999999999\r\n",
        b"*9\r\n" + b"$500\r\n" + b"x" * 500 + b"\r\n" + (b"$500\r\n" + b"x" * 500 + b"\r\n") * 8,
        b"*1000000\r\n" + b":1\r\n" * 2000,
        b"*1\r\n" * 5000,
        b"+" + b"x" * 5000 + b"\r\n",
        b"-" + b"x" * 100_000 + b"\r\n",
        b"$-7\r\n",
        b"$x\r\n",
        b"*x\r\n",
        b":" + b"1" * 4090 + b"x\r\n",
        b"%1\r\n+a\r\n+b\r\n",
        b">2\r\n+invalidate\r\n+b\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"",
    ],
)
async def test_what_is_longer_or_is_no_answer_is_a_failure(place, script, reply):
    with pytest.raises(ScriptError):
        await told(place, script, reply)


async def test_arrays_in_arrays_end(place, script):
    with pytest.raises(ScriptError):
        await told(place, script, b"*1\r\n" * 50_000, most=1 << 20)


async def test_the_bound_is_that_of_each_answer(place, script):
    reply = b"$3000\r\n" + b"x" * 3000 + b"\r\n"
    for _ in range(3):
        assert len(await told(place, script, reply)) == 3000


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    reply=st.binary(max_size=200)
    | st.lists(st.sampled_from([b"*2\r\n", b"$3\r\n", b"abc\r\n", b":1\r\n", b"\r\n"])).map(b"".join)
)
async def test_any_bytes_are_an_answer_or_a_failure(place, script, reply):
    with contextlib.suppress(ScriptError):
        assert isinstance(await told(place, script, reply), int | bytes | list | None)
