"""The demo upstream on a real socket: framing, faults, the record, and the official SDK against it."""

import asyncio
import gzip
import json
from contextlib import asynccontextmanager

import httpx
import openai
import orjson
import pytest
from google import genai
from google.genai import errors
from google.genai.types import HttpOptions

from ostiary.demo import fault, sample
from ostiary.demo.upstream import Options, Upstream

pytestmark = pytest.mark.filterwarnings("error")
CHAT = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}


@asynccontextmanager
async def listening(**options):
    upstream = Upstream(Options(**options))
    await upstream.start()
    try:
        yield upstream
    finally:
        await upstream.close()


async def talk(upstream: Upstream, *parts: bytes) -> bytes:
    """Send the parts, read until the upstream closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()


def post(body: bytes | dict, *headers: str, path: str = "/v1/chat/completions", framed: bool = True) -> bytes:
    body = body if isinstance(body, bytes) else orjson.dumps(body)
    lines = [f"POST {path} HTTP/1.1", "host: x", "connection: close", *headers]
    if framed:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def split(raw: bytes) -> tuple[int, dict[str, str], bytes]:
    head, _, body = raw.partition(b"\r\n\r\n")
    line, *fields = head.decode().split("\r\n")
    headers = {name.strip(): value.strip() for name, value in (field.split(":", 1) for field in fields)}
    if headers.get("transfer-encoding") == "chunked":
        body = dechunk(body)
    return int(line.split()[1]), headers, body


def dechunk(raw: bytes) -> bytes:
    body = b""
    while raw:
        size, _, raw = raw.partition(b"\r\n")
        if int(size, 16) == 0:
            break
        body, raw = body + raw[: int(size, 16)], raw[int(size, 16) + 2 :]
    return body


async def test_json_answer_has_its_length():
    async with listening() as upstream:
        status, headers, body = split(await talk(upstream, post(CHAT)))
    assert (status, int(headers["content-length"])) == (200, len(body))
    assert orjson.loads(body)["choices"][0]["message"]["content"] == sample.FRIENDLY


async def test_chunked_request_bodies_are_joined():
    body = orjson.dumps({**CHAT, "model": "demo-mirror"})
    chunks = b"".join(b"%x;ext=1\r\n%b\r\n" % (len(part), part) for part in (body[:5], body[5:]))
    async with listening() as upstream:
        request = post(b"", "transfer-encoding: chunked", framed=False)
        raw = await talk(upstream, request + chunks + b"0\r\nx-trailer: 1\r\n\r\n")
    assert orjson.loads(split(raw)[2])["choices"][0]["message"]["content"] == body.decode()


async def test_expect_is_answered_before_the_body_is_read():
    body = orjson.dumps(CHAT)
    async with listening() as upstream:
        reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
        head = post(body, "expect: 100-continue")[: -len(body)]
        writer.write(head)
        assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10) == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert split(await asyncio.wait_for(reader.read(), 10))[0] == 200
        writer.close()


async def test_one_connection_carries_many_requests():
    once = post(CHAT).replace(b"connection: close\r\n", b"")
    async with listening() as upstream:
        raw = await talk(upstream, once + once, post(CHAT))
    assert raw.count(b"HTTP/1.1 200 OK") == 3


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/3\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET /v1/models HTTP/1.1\r\n no: name\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * 70_000 + b"\r\n\r\n", 431),
        (b"GET /v1/nothing HTTP/1.1\r\nconnection: close\r\n\r\n", 404),
        (b"GET /v1/chat/completions HTTP/1.1\r\nconnection: close\r\n\r\n", 405),
        (b"GET /v1/models HTTP/1.1\r\nconnection: close\r\n\r\n", 200),
        (b"HEAD /v1/models HTTP/1.1\r\nconnection: close\r\n\r\n", 200),
        (b"GET /healthz HTTP/1.0\r\n\r\n", 200),
    ],
)
async def test_status_of(raw, status):
    async with listening() as upstream:
        assert split(await talk(upstream, raw))[0] == status


@pytest.mark.parametrize(
    ("headers", "status", "credential"),
    [
        ((), 401, "missing"),
        (("authorization: Bearer wrong",), 401, "wrong"),
        (("authorization: Bearer s3cret",), 200, "right"),
        (("x-api-key: s3cret",), 200, "right"),
        (("x-goog-api-key: s3cret",), 401, "missing"),
    ],
)
async def test_the_credential_is_demanded_and_never_recorded(tmp_path, headers, status, credential):
    record = tmp_path / "seen.jsonl"
    async with listening(key="s3cret", record=record) as upstream:
        told = split(await talk(upstream, post(CHAT, *headers)))
    assert told[0] == status
    seen = orjson.loads(record.read_bytes())
    assert (seen["credential"], seen["status"], seen["body_bytes"]) == (
        credential,
        status,
        len(orjson.dumps(CHAT)),
    )
    assert "s3cret" not in record.read_text()
    assert record.stat().st_mode & 0o777 == 0o600


async def test_a_client_that_leaves_is_on_record_with_the_events_it_got(tmp_path):
    record = tmp_path / "seen.jsonl"
    async with listening(record=record) as upstream:
        reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
        writer.write(post({**CHAT, "stream": True}, "x-demo-deltas: 100", "x-demo-pace-ms: 5"))
        await reader.readuntil(b"\n\n\r\n")
        writer.close()
        await writer.wait_closed()
        async with asyncio.timeout(10):
            while not record.read_bytes():
                await asyncio.sleep(0.005)
    seen = orjson.loads(record.read_bytes())
    assert seen["closed_early"]
    assert 1 <= seen["pieces_sent"] < 100


async def test_fault_statuses_are_the_apis_errors():
    async with listening() as upstream:
        status, headers, body = split(await talk(upstream, post({**CHAT, "model": "fault-429"})))
    assert (status, headers["retry-after"]) == (429, "7")
    assert orjson.loads(body)["error"]["code"] == "rate_limit_exceeded"


async def test_an_unknown_fault_names_the_known_ones():
    async with listening() as upstream:
        status, _, body = split(await talk(upstream, post(CHAT, "x-demo-fault: nonsense")))
    assert status == 400
    assert "slowloris" in orjson.loads(body)["error"]["message"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", ["reset", "reset-head", "reset-body"])
async def test_reset_faults_end_with_rst(name, stream):
    async with listening() as upstream:
        reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
        writer.write(post({**CHAT, "stream": stream, "model": f"fault-{name}"}))
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 10)
        writer.close()


@pytest.mark.parametrize("stream", [False, True])
async def test_truncate_closes_before_the_body_is_complete(stream):
    async with listening() as upstream:
        raw = await talk(upstream, post({**CHAT, "stream": stream, "model": "fault-truncate"}))
    if stream:
        assert not raw.endswith(b"0\r\n\r\n")
    else:
        _, headers, body = split(raw)
        assert 0 < len(body) < int(headers["content-length"])


async def test_gzip_is_sent_unasked():
    async with listening() as upstream:
        _, headers, body = split(await talk(upstream, post({**CHAT, "model": "fault-gzip"})))
    assert headers["content-encoding"] == "gzip"
    assert orjson.loads(gzip.decompress(body))["object"] == "chat.completion"


async def test_bad_json_does_not_parse():
    async with listening() as upstream:
        _, _, body = split(await talk(upstream, post({**CHAT, "model": "fault-badjson"})))
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(body)


async def test_usage_can_be_left_out():
    asked = {**CHAT, "model": "fault-nousage"}
    options = {"stream": True, "stream_options": {"include_usage": True}}
    async with listening() as upstream:
        plain = orjson.loads(split(await talk(upstream, post(asked)))[2])
        stream = split(await talk(upstream, post({**asked, **options})))[2]
    assert plain["choices"]
    assert "usage" not in plain
    assert b"prompt_tokens" not in stream
    assert stream.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("style", ["crlf", "cr", "comments", "multiline", "nospace", "bom", "bytes"])
async def test_every_spelling_of_a_stream_says_the_same(style):
    async with listening() as upstream:
        raw = await talk(upstream, post({**CHAT, "stream": True}, f"x-demo-fault: {style}"))
        plain = await talk(upstream, post({**CHAT, "stream": True}))
    assert payloads(split(raw)[2]) == payloads(split(plain)[2])


def payloads(stream: bytes) -> list[object]:
    """A reader of server-sent events, written from the standard and independent of the product's."""
    text = stream.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    found: list[object] = []
    for block in text.split("\n\n"):
        lines = [line[5:].removeprefix(" ") for line in block.split("\n") if line.startswith("data:")]
        if lines:
            joined = "\n".join(lines)
            found.append(joined if joined == "[DONE]" else json.loads(joined))
    return found


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", sorted(set(fault.TABLE) - {"stall", "stall-head", "stall-body", "slowloris", "huge"}))
async def test_no_fault_stops_the_upstream(name, stream):
    async with listening() as upstream:
        try:
            await talk(upstream, post({**CHAT, "stream": stream}, f"x-demo-fault: {name}"))
        except ConnectionResetError:
            assert name.startswith("reset")
        assert split(await talk(upstream, post(CHAT)))[0] == 200


@pytest.mark.parametrize("name", ["stall", "stall-head", "stall-body"])
async def test_stalls_end_when_the_client_leaves(tmp_path, name):
    record = tmp_path / "seen.jsonl"
    async with listening(record=record) as upstream:
        _, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
        writer.write(post({**CHAT, "stream": True}, f"x-demo-fault: {name}"))
        writer.write_eof()
        async with asyncio.timeout(10):
            while not record.read_bytes():
                await asyncio.sleep(0.005)
        writer.close()
    assert orjson.loads(record.read_bytes())["closed_early"]


async def test_the_official_sdk_understands_every_answer():
    async with listening(key="k") as upstream:
        base = f"http://127.0.0.1:{upstream.port}/v1"
        async with openai.AsyncOpenAI(base_url=base, api_key="k", max_retries=0) as client:
            said = await client.chat.completions.create(model="demo-echo", messages=CHAT["messages"])
            assert said.choices[0].message.content == "hi"
            stream = await client.chat.completions.create(model="demo-pii", messages=CHAT["messages"], stream=True)
            texts = [event.choices[0].delta.content or "" async for event in stream]
            assert "".join(texts) == sample.PII
            vectors = await client.embeddings.create(model="demo-embed", input=["a", "b"])
            assert len(vectors.data[0].embedding) == 256
            assert (await client.completions.create(model="demo-echo", prompt="p")).choices[0].text == "p"
            assert (await client.responses.create(model="demo-echo", input="p")).output_text == "p"
            async with client.responses.stream(model="demo-pii", input="p") as events:
                assert (await events.get_final_response()).output_text == sample.PII
            assert "demo-pii" in [model.id async for model in client.models.list()]
        async with openai.AsyncOpenAI(base_url=base, api_key="no", max_retries=0) as client:
            with pytest.raises(openai.AuthenticationError):
                await client.models.list()


async def test_googles_sdk_understands_its_own_dialect_and_its_refusals():
    async with listening(key="k") as upstream, httpx.AsyncClient() as http:
        options = HttpOptions(base_url=f"http://127.0.0.1:{upstream.port}", httpx_async_client=http)
        models = genai.Client(api_key="k", http_options=options).aio.models
        assert (await models.generate_content(model="gemini-demo-echo", contents="hi")).text == "hi"
        stream = await models.generate_content_stream(model="gemini-demo-pii", contents="p")
        assert "".join([chunk.text async for chunk in stream]) == sample.PII
        with pytest.raises(errors.ServerError):
            await models.generate_content(model="fault-503", contents="p")
        others = genai.Client(api_key="no", http_options=options).aio.models
        with pytest.raises(errors.ClientError) as refused:
            await others.generate_content(model="gemini-demo", contents="p")
        assert (refused.value.code, refused.value.status) == (401, "UNAUTHENTICATED")
        raw = post({}, "x-goog-api-key: k", path="/v1beta/models/gemini-demo:generateContent")
        status, _, body = split(await talk(upstream, raw))
        assert (status, orjson.loads(body)["error"]["status"]) == (400, "INVALID_ARGUMENT")
