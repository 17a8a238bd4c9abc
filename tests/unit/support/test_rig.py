"""The rig must be right before it may judge: the raw client against the scripted upstream, over TLS."""

import ssl

import pytest

import provider
from certs import Authority
from rawhttp import RawClient
from upstream import Call, Gate, Upstream


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("rig")


@pytest.fixture(scope="module")
def authority(directory):
    return Authority(directory)


@pytest.fixture(scope="module")
def upstream(authority):
    leaf = authority.issue("server")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(leaf.cert, leaf.key)
    server = Upstream(provider.default, tls=context).start()
    yield server
    server.stop()


@pytest.fixture
def client(upstream, authority):
    return RawClient(upstream.port, authority.pem, [("authorization", "Bearer x")])


def test_a_default_answer_is_read_whole(client, upstream):
    marker = upstream.script()
    answer = client.post("/v1/chat/completions", {"messages": [{"role": "user", "content": marker}]})
    assert (answer.status, answer.ended) == (200, "complete")
    assert answer.json["choices"][0]["message"]["content"] == provider.REPLY
    assert upstream.one(marker).header("authorization") == "Bearer x"


@pytest.mark.parametrize("size", [0, 1, 7])
def test_a_chunked_stream_is_put_together(client, upstream, size):
    data = provider.stream(["a", "é", "🙂"])

    async def script(call: Call) -> None:
        await call.sse(data, size=size)

    answer = client.post("/x", {"m": upstream.script(script)})
    assert answer.body == data
    assert answer.ended == "complete"


def test_a_chunked_request_with_trailers_is_recorded(client, upstream):
    async def script(call: Call) -> None:
        await call.json({})

    marker = upstream.script(script)
    client.ask("POST", "/x", marker.encode(), chunk_bytes=3, trailers=[("x-t", "1")])
    seen = upstream.one(marker)
    assert seen.body == marker.encode()
    assert seen.trailers == [("x-t", "1")]


def test_a_reset_and_a_hang_up_are_told_from_a_complete_answer(client, upstream):
    async def reset(call: Call) -> None:
        await call.head()
        await call.chunk(b"half")
        await go.passed()
        call.reset()

    async def hang_up(call: Call) -> None:
        await call.head()
        await call.chunk(b"half")
        call.hang_up()

    go = Gate()
    with client.open() as conn:
        conn.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 19\r\n\r\n" + upstream.script(reset).encode()[:19])
        answer = conn.rest(conn.head(), until=b"half")
        go.open()
        assert conn.rest(answer).broken
    answer = client.post("/", {"m": upstream.script(hang_up)})
    assert (answer.body, answer.broken) == (b"half", True)


def test_the_upstream_notices_a_client_that_vanishes(client, upstream):
    async def stall(call: Call) -> None:
        await call.head()
        await call.chunk(b"first")
        await call.until_gone()

    marker = upstream.script(stall)
    with client.open() as conn:
        body = marker.encode()
        conn.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
        conn.rest(conn.head(), until=b"first")
        conn.abort()
    upstream.one(marker).gone.wait()


def test_a_script_with_a_bug_is_reported(client, upstream):
    async def broken(call: Call) -> None:
        raise KeyError("oops")

    client.post("/", {"m": upstream.script(broken)})
    assert upstream.problems == ["KeyError: 'oops'"]
    upstream.problems.clear()


def test_interim_answers_are_noted(client, upstream):
    async def patient(call: Call) -> None:
        await call.raw(b"HTTP/1.1 100 Continue\r\n\r\n")
        await call.json({})

    answer = client.post("/", {"m": upstream.script(patient)})
    assert (answer.interim, answer.status) == ([100], 200)
