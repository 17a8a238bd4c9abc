"""Conformance of bodies: sizes, framing, encodings, trailers and Expect, through TLS and real Envoy."""

import gzip

import brotli
import pytest
import zstandard

import provider
from asking import CARD, CHAT, assert_unseen, chat, padded, say, told
from gateway.errors import Kind
from rawhttp import request_bytes
from upstream import Call

KIB, MIB = 1 << 10, 1 << 20
LIMIT = 10 * MIB
SIZES = [
    32 * KIB - 1,
    32 * KIB,
    32 * KIB + 1,
    MIB - 1,
    MIB,
    MIB + 1,
    4 * MIB - 1,
    4 * MIB,
    4 * MIB + 1,
    LIMIT,
]
JSON = [("content-type", "application/json")]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("chunk_bytes", [0, 64 * KIB], ids=["length", "chunked"])
def test_a_body_within_the_limit_arrives_byte_for_byte(client, upstream, stack, size, chunk_bytes):
    marker = upstream.script()
    body = padded(marker, size)
    assert len(body) == size
    answer = client.ask("POST", CHAT, body, JSON, chunk_bytes=chunk_bytes)
    assert (answer.status, answer.ended) == (200, "complete")
    assert upstream.one(marker).body == body
    assert stack.record(answer)["request_bytes"] == size


@pytest.mark.parametrize("size", [LIMIT + 1, LIMIT + MIB])
@pytest.mark.parametrize("chunk_bytes", [0, 64 * KIB], ids=["length", "chunked"])
def test_a_body_over_the_limit_is_413_in_json_and_reaches_nobody(client, upstream, size, chunk_bytes):
    marker = upstream.script()
    answer = client.ask("POST", CHAT, padded(marker, size), JSON, chunk_bytes=chunk_bytes)
    assert (answer.status, answer.code) == (413, Kind.BODY_TOO_LARGE)
    assert answer.header("content-type") == "application/json"
    assert answer.header("x-should-retry") == "false"
    assert upstream.seen(marker) == []


@pytest.mark.parametrize("chunk_bytes", [0, 16], ids=["length", "chunked"])
def test_an_empty_body_is_refused(client, stack, chunk_bytes):
    answer = client.ask("POST", CHAT, b"", JSON, chunk_bytes=chunk_bytes)
    assert (answer.status, answer.code) == (400, Kind.BODY_EMPTY)
    assert stack.record(answer)["outcome"] == "refused"


def test_a_post_without_any_framing_is_an_empty_body(client):
    answer = client.ask("POST", CHAT, None, JSON)
    assert (answer.status, answer.code) == (400, Kind.BODY_EMPTY)


@pytest.mark.parametrize("chunk_bytes", [0, 1], ids=["length", "chunked"])
@pytest.mark.parametrize("byte", [b"{", b"0", b"\xff", b" "])
def test_a_body_of_one_byte_is_refused(client, byte, chunk_bytes):
    answer = client.ask("POST", CHAT, byte, JSON, chunk_bytes=chunk_bytes)
    assert (answer.status, answer.json["error"]["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"model":"gpt-test",', Kind.JSON_INVALID),
        (b'{"model":"gpt-test","model":"gpt-other"}', Kind.JSON_DUPLICATE_KEY),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, Kind.JSON_TOO_DEEP),
        (b'{"a":[' + b"0," * 300_000 + b"0]}", Kind.JSON_TOO_COMPLEX),
        (b'{"model":"gpt-test","messages":[{"role":"user","content":"\xc3"}]}', Kind.JSON_INVALID),
        (b"\xef\xbb\xbf{}", Kind.JSON_INVALID),
        (b"[]", None),
        (b'"text"', None),
        (b'{"model":"gpt-test","messages":[]}', Kind.REQUEST_INVALID),
        (b'{"model":7,"messages":[{"role":"user","content":"x"}]}', Kind.REQUEST_INVALID),
        (b'{"model":"gpt-nowhere","messages":[{"role":"user","content":"x"}]}', Kind.MODEL_UNKNOWN),
    ],
    ids=[
        "cut",
        "twice",
        "deep",
        "wide",
        "utf8",
        "bom",
        "list",
        "text",
        "no-messages",
        "model-type",
        "no-model",
    ],
)
def test_json_that_nobody_can_judge_is_refused(client, stack, body, kind):
    answer = client.ask("POST", CHAT, body, JSON)
    assert answer.status == (404 if kind is Kind.MODEL_UNKNOWN else 400)
    if kind is not None:
        assert answer.code == kind
    assert stack.record(answer)["outcome"] == "refused"


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "",
             "application/json; charset=utf-16", "application/jsonl", "application/json, text/plain"],
)  # fmt: skip
def test_another_content_type_is_415(client, upstream, kind):
    marker = upstream.script()
    answer = client.post(CHAT, chat(marker), headers=[]) if not kind else None
    headers = [("content-type", kind)] if kind else []
    answer = client.ask("POST", CHAT, padded(marker, 200), headers)
    assert (answer.status, answer.code) == (415, Kind.CONTENT_TYPE_UNSUPPORTED)
    assert len(upstream.seen(marker)) == (0 if kind else 1)


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON", "application/json; charset=utf-8",
                                  'application/json;charset="UTF-8"'])  # fmt: skip
def test_the_usual_spellings_of_json_are_accepted(client, upstream, kind):
    marker = upstream.script()
    assert client.ask("POST", CHAT, padded(marker, 200), [("content-type", kind)]).status == 200


# --- encodings ------------------------------------------------
PACK = {"gzip": gzip.compress, "br": brotli.compress, "zstd": zstandard.compress, "deflate": gzip.compress}


@pytest.mark.parametrize("encoding", [*PACK, "identity, gzip", "gzip, identity", "x-unknown"])
def test_an_encoded_request_is_415_and_reaches_nobody(client, upstream, stack, encoding):
    marker = upstream.script()
    body = PACK.get(encoding, gzip.compress)(padded(marker, 400))
    answer = client.ask("POST", CHAT, body, [*JSON, ("content-encoding", encoding)])
    assert (answer.status, answer.code) == (415, Kind.CONTENT_ENCODING_UNSUPPORTED)
    assert upstream.seen(marker) == []
    assert stack.record(answer)["code"] == Kind.CONTENT_ENCODING_UNSUPPORTED


def test_two_content_encoding_lines_do_not_hide_one_another(client, upstream):
    marker = upstream.script()
    headers = [*JSON, ("content-encoding", "gzip"), ("content-encoding", "identity")]
    answer = client.ask("POST", CHAT, gzip.compress(padded(marker, 400)), headers)
    assert answer.status == 415
    assert upstream.seen(marker) == []


def test_the_provider_is_never_asked_for_compression(client, upstream):
    marker = upstream.script()
    answer = client.post(CHAT, chat(marker), headers=[("accept-encoding", "gzip, br, zstd")])
    assert answer.status == 200
    assert "accept-encoding" not in upstream.one(marker).names


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("encoding", PACK)
def test_a_compressed_answer_is_withheld(client, upstream, stack, encoding, stream):
    secret = f"your card is {CARD}"

    async def compressed(call: Call) -> None:
        kind = "text/event-stream" if stream else "application/json"
        plain = provider.stream([secret]) if stream else provider.orjson.dumps(provider.chat(secret))
        await call.answer(200, PACK[encoding](plain), [("content-type", kind), ("content-encoding", encoding)])

    answer = say(client, upstream, compressed, stream=stream)
    assert (answer.status, answer.code) == (502, Kind.BACKEND_ANSWER_INVALID)
    assert_unseen(answer.raw)
    assert stack.record(answer)["code"] == Kind.BACKEND_ANSWER_INVALID


# --- answers ------------------------------------------------
@pytest.mark.parametrize("size", [KIB, MIB + 1, 4 * MIB + 1])
def test_a_large_answer_comes_whole_and_redacted(client, upstream, stack, size):
    filler = "plain words " * (size // 24)

    async def large(call: Call) -> None:
        await call.json(provider.chat(f"{filler}{CARD}{filler}"))

    answer = say(client, upstream, large)
    assert (answer.status, answer.ended) == (200, "complete")
    text = answer.json["choices"][0]["message"]["content"]
    assert text.startswith(filler)
    assert text.endswith(filler)
    assert_unseen(answer.raw)
    assert stack.record(answer)["answer_bytes"] == len(answer.body)


def test_an_answer_beyond_the_limit_is_withheld(client, upstream, stack):
    async def huge(call: Call) -> None:
        await call.json(provider.chat("plain words " * MIB))  # 12 MiB; the suite's policy holds 8

    answer = say(client, upstream, huge)
    assert (answer.status, answer.code) == (502, Kind.BACKEND_ANSWER_TOO_LARGE)
    assert stack.record(answer)["outcome"] == "failed"


def test_a_streamed_event_beyond_the_limit_cuts_the_stream(client, upstream, stack):
    async def huge_event(call: Call) -> None:
        await call.sse(provider.stream(["Hello", "x" * (2 * MIB)]), size=64 * KIB)

    answer = say(client, upstream, huge_event, stream=True)
    assert answer.ended == "complete"
    assert len(answer.body) < MIB
    record = stack.record(answer)
    assert record["outcome"] in ("cut", "failed")


def test_head_and_length_agree_when_an_answer_is_edited(client, upstream):
    """Placeholders are shorter or longer than what they replace; a stale content-length would hang or cut clients."""

    async def edited(call: Call) -> None:
        await call.json(provider.chat(f"{CARD} and {CARD}"))

    answer = say(client, upstream, edited)
    length = answer.header("content-length")
    assert answer.ended == "complete"
    assert length is None or int(length) == len(answer.body)
    assert_unseen(answer.raw)


# --- trailers and Expect ------------------------------------------------
def test_request_trailers_are_refused(client, upstream, stack):
    marker = upstream.script()
    answer = client.ask(
        "POST", CHAT, padded(marker, 300), JSON, chunk_bytes=100, trailers=[("x-ostiary-tenant", "evil")]
    )
    assert (answer.status, answer.code) == (400, Kind.TRAILERS_REFUSED)
    assert upstream.seen(marker) == []
    assert stack.record(answer)["code"] == Kind.TRAILERS_REFUSED


@pytest.mark.parametrize("stream", [False, True])
def test_response_trailers_do_not_reach_the_client(client, upstream, stream):
    async def trailing(call: Call) -> None:
        data = provider.stream(["a", f"b {CARD}"]) if stream else provider.orjson.dumps(provider.chat(f"x {CARD}"))
        kind = "text/event-stream" if stream else "application/json"
        await call.head(200, [("content-type", kind), ("trailer", "x-note")])
        await call.chunk(data)
        await call.end([("x-note", CARD), ("x-ostiary-note", "1")])

    answer = say(client, upstream, trailing, stream=stream)
    assert (answer.status, answer.ended) == (200, "complete")
    assert_unseen(answer.raw)
    assert b"x-note" not in answer.raw
    if stream:
        assert told(answer.body).startswith("ab ")


def test_expect_100_continue_is_honoured(client, upstream):
    marker = upstream.script()
    body = padded(marker, 500)
    with client.open() as conn:
        wire = request_bytes("POST", CHAT, [*client.headers, *JSON, ("expect", "100-continue")], body)
        head, _, tail = wire.partition(b"\r\n\r\n")
        conn.send(head + b"\r\n\r\n")
        assert conn.wait_for(b"\r\n\r\n").startswith(b"HTTP/1.1 100 Continue")
        conn.send(tail)
        answer = conn.answer()
    assert (answer.interim, answer.status) == ([100], 200)


def test_another_expectation_is_not_obeyed_and_loses_nothing(client, upstream):
    """RFC 9110, section 10.1.1: 417 is allowed, ignoring it too."""
    marker = upstream.script()
    body = padded(marker, 300)
    assert client.ask("POST", CHAT, body, [*JSON, ("expect", "the-unexpected")]).status == 200
    assert upstream.one(marker).body == body


@pytest.mark.slow
def test_ten_mebibytes_cost_at_most_four_times_their_size(client, upstream, stack):
    """Envoy and all workers together, over what they need at rest."""
    for _ in range(2):
        client.ask("POST", CHAT, padded(upstream.script(), LIMIT), JSON)  # arenas and caches are grown once
    children = [stack.envoy, *stack.workers.values()]
    before = sum(child.rss_bytes() for child in children)
    for _ in range(3):
        assert client.ask("POST", CHAT, padded(upstream.script(), LIMIT), JSON).status == 200
    assert sum(child.rss_bytes() for child in children) - before <= 4 * LIMIT
