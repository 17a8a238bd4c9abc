"""Conformance of the ways an exchange can end: aborts, resets, stalls, odd splits, and errors of a provider."""

import asyncio

import orjson
import pytest

import provider
from asking import (
    AFTER_FAULT,
    CANARIES,
    CARD,
    CHAT,
    EMAIL,
    MODEL,
    assert_unseen,
    chat,
    padded,
    say,
    stream_errors,
    told,
)  # fmt: skip
from gateway.errors import Kind
from rawhttp import request_bytes
from upstream import Call, Gate

JSON = [("content-type", "application/json")]
SSE = [("content-type", "text/event-stream")]
LONG = "A long and harmless sentence, so that something is released before the end comes. " * 8


def _send(conn, client, body: bytes) -> None:
    conn.send(request_bytes("POST", CHAT, [*client.headers, *JSON], body))


# --- the client leaves ------------------------------------------------
def test_a_client_that_leaves_in_its_headers_costs_nobody_anything(client, upstream):
    with client.open() as conn:
        conn.send(f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\nauthor".encode())
        conn.abort()
    assert say(client, upstream).status == 200


def test_a_client_that_leaves_in_its_body_reaches_nobody(client, upstream, stack):
    marker = upstream.script()
    with client.open() as conn:
        wire = request_bytes("POST", CHAT, [*client.headers, *JSON], padded(marker, 400_000))
        conn.send(wire[:200_000])
        conn.abort()
    assert say(client, upstream).status == 200
    assert upstream.seen(marker) == []


def test_a_client_that_leaves_before_the_answer_frees_the_provider(client, upstream, stack):
    async def stall(call: Call) -> None:
        arrived.open()
        await call.until_gone()

    arrived = Gate()
    marker = upstream.script(stall)
    with stack.recorded() as records:
        with client.open() as conn:
            _send(conn, client, orjson.dumps(chat(marker)))
            arrived.wait()
            conn.abort()
        upstream.one(marker).gone.wait()
    assert (records[0]["outcome"], records[0]["model"]) == ("aborted", MODEL)


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_in_the_answer_frees_the_provider_and_is_billed(client, upstream, stack, stream):
    async def half(call: Call) -> None:
        await call.head(200, SSE if stream else JSON)
        data = provider.stream([LONG, "never told"]) if stream else orjson.dumps(provider.chat(LONG))
        cut = data.find(b"never told") if stream else len(data) // 2
        await call.chunk(data[:cut])
        sent.open()
        await call.until_gone()

    sent = Gate()
    marker = upstream.script(half)
    with stack.recorded() as records:
        with client.open() as conn:
            _send(conn, client, orjson.dumps(chat(marker, stream=stream)))
            sent.wait()
            if stream:
                conn.rest(conn.head(), until=b"harmless")
            conn.abort()
        upstream.one(marker).gone.wait()
    assert records[0]["outcome"] == "aborted"
    if stream:
        assert records[0]["usage"]["source"] == "estimate"
        assert records[0]["usage"]["output_tokens"] > 0


def test_a_client_that_half_closes_still_gets_its_answer_or_a_clean_end(client, upstream, stack):
    marker = upstream.script()
    with client.open() as conn:
        _send(conn, client, orjson.dumps(chat(marker)))
        answer = conn.answer()
    assert answer.status == 200
    assert stack.record(answer)["outcome"] == "completed"


# --- the provider leaves ------------------------------------------------
def test_a_provider_that_resets_before_answering_is_a_clean_error(client, upstream, stack):
    async def reset(call: Call) -> None:
        call.reset()

    answer = say(client, upstream, reset)
    assert answer.status == 503
    assert (answer.code, answer.ended) == (Kind.BACKEND_UNAVAILABLE, "complete")
    assert answer.header("retry-after")
    record = stack.record(answer)
    assert (record["outcome"], record["status"]) == ("failed", 503)


def test_a_generation_is_never_asked_for_twice(client, upstream):
    """A reset after the request was delivered is not retried: the provider may have generated, and bills."""

    async def reset(call: Call) -> None:
        call.reset()

    marker = upstream.script(reset)
    client.post(CHAT, chat(marker))
    assert len(upstream.seen(marker)) == 1


def test_a_provider_that_is_down_is_503_with_advice(client, stack):
    answer = client.post(CHAT, chat("Hello", model="gpt-dead"))
    assert (answer.status, answer.code) == (503, Kind.BACKEND_UNAVAILABLE)
    assert answer.header("retry-after")
    assert answer.header("x-should-retry") is None
    assert stack.record(answer)["backend"] == "dead"


@pytest.mark.parametrize("how", ["reset", "hang_up"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_provider_that_leaves_after_its_headers_gives_no_whole_answer(client, upstream, stack, how, stream):
    async def leave(call: Call) -> None:
        await call.head(200, SSE if stream else JSON)
        getattr(call, how)()

    answer = say(client, upstream, leave, stream=stream)
    assert answer.status != 200 or answer.broken or stream_errors(answer.body)
    assert stack.record(answer)["outcome"] in ("failed", "cut", "aborted")
    assert AFTER_FAULT.encode() not in answer.raw


@pytest.mark.parametrize("how", ["reset", "hang_up"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_provider_that_leaves_in_the_body_leaks_nothing_that_was_held(client, upstream, stack, how, stream):
    async def leave(call: Call) -> None:
        data = provider.stream([LONG, CARD[:12]]) if stream else orjson.dumps(provider.chat(LONG + CARD))
        await call.head(200, SSE if stream else JSON)
        cut = data.rfind(b"data: ", 0, data.rfind(b"finish_reason")) if stream else data.find(CARD[:8].encode()) + 8
        await call.chunk(data[:cut])
        await go.passed()
        getattr(call, how)()

    go = Gate()
    marker = upstream.script(leave)
    with stack.recorded() as records, client.open() as conn:
        _send(conn, client, orjson.dumps(chat(marker, stream=stream)))
        if stream:
            answer = conn.rest(conn.head(), until=b"harmless")
            go.open()
            answer = conn.rest(answer)
        else:
            go.open()
            answer = conn.answer()
        received = bytes(conn.received)
    assert CARD[:8].encode() not in received
    assert answer.status != 200 or answer.broken or stream_errors(answer.body)
    assert records[0]["outcome"] in ("failed", "cut", "aborted")


def test_an_answer_shorter_than_its_length_is_no_success(client, upstream, stack):
    async def short(call: Call) -> None:
        data = orjson.dumps(provider.chat())
        await call.head(200, JSON, length=len(data) + 10)
        await call.chunk(data)
        call.hang_up()

    answer = say(client, upstream, short)
    assert answer.status != 200 or answer.broken


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n{}   ",
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"garbage that is no HTTP\r\n\r\n",
        b"HTTP/1.1 99 Low\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"v" * 200_000 + b"\r\n\r\n",
    ],
    ids=["two-lengths", "bad-chunk", "no-http", "status-99", "huge-header"],
)
def test_a_provider_that_breaks_http_is_an_error_of_ours(client, upstream, wire):
    async def broken(call: Call) -> None:
        await call.raw(wire)
        call.hang_up()

    answer = say(client, upstream, broken)
    assert answer.status in (502, 503) or answer.broken
    if not answer.broken:
        assert "error" in answer.json


# --- time ------------------------------------------------
def test_a_slow_provider_is_waited_for(client, upstream):
    async def slow(call: Call) -> None:
        await asyncio.sleep(1.2)
        await call.head(200, SSE)
        for piece in (b"data: ", provider.stream(["slow"])[6:]):
            await asyncio.sleep(0.3)
            await call.chunk(piece)
        await call.end()

    assert told(say(client, upstream, slow, stream=True).body) == "slow"


def test_text_is_told_as_it_comes(client, upstream):
    """The first words are with the client before the provider has said the last ones."""

    async def stepwise(call: Call) -> None:
        data = provider.stream([LONG, "finally"])
        cut = data.find(b"finally")
        cut = data.rfind(b"data:", 0, cut)
        await call.head(200, SSE)
        await call.chunk(data[:cut])
        await heard.passed()
        await call.chunk(data[cut:])
        await call.end()

    heard = Gate()
    with client.open() as conn:
        _send(conn, client, orjson.dumps(chat(upstream.script(stepwise), stream=True)))
        answer = conn.rest(conn.head(), until=b"harmless")
        heard.open()
        answer = conn.rest(answer)
    assert told(answer.body) == LONG + "finally"


@pytest.mark.parametrize("stream", [False, True])
def test_a_provider_that_stalls_in_its_answer_is_left(client, upstream, stack, stream):
    """The suite's policy calls 3 s of silence a stall."""

    async def stall(call: Call) -> None:
        await call.head(200, SSE if stream else JSON)
        await call.chunk(provider.event(provider.delta(LONG)) if stream else b'{"choices":[')
        await call.until_gone()

    marker = upstream.script(stall)
    answer = client.post(CHAT, chat(marker, stream=stream))
    if stream:
        assert (answer.ended, stream_errors(answer.body)) == ("complete", [Kind.BACKEND_TIMEOUT])
    else:
        assert (answer.status, answer.code) == (504, Kind.BACKEND_TIMEOUT)
    upstream.one(marker).gone.wait()
    record = stack.record(answer)
    assert (record["code"], record["outcome"]) == (Kind.BACKEND_TIMEOUT, "cut" if stream else "failed")


@pytest.mark.slow
def test_a_provider_that_never_answers_is_504(client, upstream, stack):
    async def silent(call: Call) -> None:
        await call.until_gone(60)

    marker = upstream.script(silent)
    answer = client.post(CHAT, chat(marker), timeout_s=60)
    assert (answer.status, answer.code) == (504, Kind.BACKEND_TIMEOUT)
    upstream.one(marker).gone.wait()
    assert stack.record(answer)["outcome"] == "failed"


# --- splits ------------------------------------------------
TEXT = [
    "Grüße, ",
    "日本語 ",
    "🙂👩‍👩‍👧 ",
    f"mail {EMAIL} now, ",
    f"card {CARD} or ",
    "4111",
    "111111",
    "111111 ",
    "end",
]


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 0])
def test_every_split_of_a_stream_tells_the_same(client, upstream, stack, size, newline):
    """The streaming invariant on real Envoy: text, verdict and redaction do not depend on how bytes were cut."""
    data = provider.stream(TEXT).replace(b"\n", newline)

    async def split(call: Call) -> None:
        await call.sse(data, size=size)

    answer = say(client, upstream, split, stream=True)
    assert answer.ended == "complete"
    text = told(answer.body)
    assert text.startswith("Grüße, 日本語 🙂👩‍👩‍👧 mail [")
    assert text.endswith(" end")
    assert text.count("[") == 3
    assert "@" not in text
    assert "4111" not in text
    assert_unseen(answer.raw)
    found = {one["rule"]: one["count"] for one in stack.record(answer)["found"]}
    assert found == {"pii.email": 1, "pii.card": 2}


def test_an_event_stream_may_start_with_a_bom_and_hold_comments_and_lines(client, upstream):
    chunk = orjson.dumps(provider.delta(f"hi {EMAIL} there"))
    half = chunk.find(b'"choices"')
    data = (
        b"\xef\xbb\xbf: comment with " + EMAIL.encode() + b"\n\nretry: 10\nid: 7\nevent: message\ndata: "
        + chunk[:half] + b"\ndata: " + chunk[half:] + b"\n\ndata: [DONE]\n\n"
    )  # fmt: skip

    async def odd(call: Call) -> None:
        await call.sse(data)

    answer = say(client, upstream, odd, stream=True)
    assert_unseen(answer.raw)
    assert told(answer.body).startswith("hi [")


@pytest.mark.parametrize(
    "place",
    [
        b"id: %s\ndata: {clean}\n\n",
        b"event: %s\ndata: {clean}\n\n",
        b"%s: x\ndata: {clean}\n\n",
        b": %s\ndata: {clean}\n\n",
        b"data: {clean}\n: %s\n\n",
        b'data: {"choices":[{"index":0,"delta":{"content":"%s"}}],"choices":[]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"content":"%s","content":"x"}}]}\n\n',
        b'data: {"id":"%s","choices":[{"index":0,"delta":{"content":"x"}}]}\n\n',
        b'data: {"model":"%s","choices":[{"index":0,"delta":{"content":"x"}}]}\n\n',
        b'data: {"system_fingerprint":"%s","choices":[{"index":0,"delta":{"content":"x"}}]}\n\n',
        b'data: {"%s":1,"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"role":"%s","content":"x"}}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"%s"}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"%s","function":{"name":"f"}}]}}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"name":"%s"}}]}}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"name":"f","x":"%s"}}]}}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"type":"%s","function":{}}]}}]}\n\n',
        b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"note":"%s"}}\n\n',
        b'data: {"error":{"message":"failed for %s"}}\n\n',
    ],
)
def test_no_corner_of_an_event_carries_text_past_the_guard(client, upstream, place):
    clean = orjson.dumps(provider.delta("clean"))
    event = (place % EMAIL.encode()).replace(b"{clean}", clean)

    async def corner(call: Call) -> None:
        await call.sse(provider.event(provider.delta(LONG)) + event + b"data: [DONE]\n\n")

    answer = say(client, upstream, corner, stream=True, stream_options={"include_usage": True})
    assert_unseen(answer.raw, EMAIL)


@pytest.mark.parametrize(
    "body",
    [
        b'{"choices":[{"index":0,"message":{"role":"assistant","content":"%s"}}],"choices":[]}',
        b'{"choices":[{"index":0,"message":{"role":"assistant","content":"%s","content":"x"}}]}',
        b'{"id":"%s","choices":[]}',
        b'{"%s":1,"choices":[]}',
        b'{"choices":[],"note":{"deep":[{"er":"%s"}]}}',
        b'{"choices":[{"index":0,"message":{"role":"assistant","content":"jane.roe\\u0040example.com"}}]}',
        b'{"choices":[{"index":0,"message":{"tool_calls":[{"id":"c","function":{"name":"f",'  # noqa: ISC004
        b'"arguments":"{\\"to\\":\\"jane.roe\\\\u0040example.com\\"}"}}]}}]}',
        b'{"choices":[{"index":0,"message":{"content":"x"},"logprobs":{"content":[{"token":"%s","logprob":-1}]}}]}',
    ],
)
def test_no_corner_of_a_json_answer_carries_text_past_the_guard(client, upstream, body):
    async def corner(call: Call) -> None:
        await call.answer(200, body % EMAIL.encode() if b"%s" in body else body)

    answer = say(client, upstream, corner)
    assert_unseen(answer.raw, EMAIL)
    assert b"jane.roe" not in answer.raw


# --- errors of a provider ------------------------------------------------
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [400, 403, 404, 409, 422, 429, 500, 503])
def test_a_providers_error_keeps_status_and_shape(client, upstream, stack, status, stream):
    async def refuse(call: Call) -> None:
        body = provider.error("some_error", f"no, {EMAIL}", "context_length_exceeded")
        await call.json(body, status, [("retry-after", "7"), ("x-request-id", "theirs"), ("set-cookie", "a=b")])

    answer = say(client, upstream, refuse, stream=stream)
    assert answer.status == status
    assert answer.json["error"]["code"] == "context_length_exceeded"
    assert_unseen(answer.raw)
    assert answer.header("retry-after") == "7"
    assert answer.header("x-request-id") != "theirs"
    assert "set-cookie" not in answer.names
    record = stack.record(answer)
    assert (record["status"], record["outcome"]) == (status, "failed")


def test_a_provider_that_refuses_our_credential_is_not_the_clients_401(client, upstream, stack):
    async def unauthorised(call: Call) -> None:
        await call.json(provider.error("auth", "Incorrect API key provided: sk-provider-main-0000"), 401)

    answer = say(client, upstream, unauthorised)
    assert (answer.status, answer.code) == (503, Kind.BACKEND_UNAVAILABLE)
    assert b"sk-provider" not in answer.raw
    assert stack.record(answer)["outcome"] == "failed"


@pytest.mark.parametrize("status", [200, 404, 429, 500, 502, 503])
def test_a_page_instead_of_an_answer_is_withheld(client, upstream, status):
    async def page(call: Call) -> None:
        await call.answer(status, f"<html>{EMAIL}</html>".encode(), [("content-type", "text/html")])

    answer = say(client, upstream, page)
    assert answer.status >= 500
    assert "error" in answer.json
    assert_unseen(answer.raw)


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'"x"', b"{", b"\xff"])
def test_an_answer_that_is_no_object_is_withheld(client, upstream, body):
    async def odd(call: Call) -> None:
        await call.answer(200, body)

    answer = say(client, upstream, odd)
    if body:
        assert (answer.status, answer.code) == (502, Kind.BACKEND_ANSWER_INVALID)
    else:
        assert answer.ended == "complete"


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body_ends(client, upstream, status):
    async def bare(call: Call) -> None:
        await call.head(status)

    answer = say(client, upstream, bare)
    assert (answer.status, answer.body, answer.ended) == (status, b"", "complete")


@pytest.mark.parametrize("location", ["https://evil.example/", "/v1/other"])
def test_a_redirect_is_not_followed_and_does_not_name_a_place(client, upstream, location):
    async def away(call: Call) -> None:
        await call.head(307, [("location", location)], length=0)

    answer = say(client, upstream, away)
    assert "location" not in answer.names
    assert answer.ended == "complete"


def test_a_blocking_policy_refuses_before_the_first_byte(stack, upstream):
    async def secret(call: Call) -> None:
        await call.json(provider.chat(f"the card is {CARD}"))

    answer = say(stack.client("strict"), upstream, secret)
    assert (answer.status, answer.code) == (403, Kind.ANSWER_BLOCKED)
    assert_unseen(answer.raw, *CANARIES)
    assert stack.record(answer)["outcome"] == "refused"


def test_a_blocking_policy_cuts_a_stream_and_the_provider(stack, upstream):
    async def long(call: Call) -> None:
        await call.head(200, SSE)
        await call.chunk(provider.event(provider.delta(LONG)))
        await heard.passed()
        await call.chunk(provider.event(provider.delta(f"the card is {CARD} and ")))
        for _ in range(1000):
            await call.chunk(provider.event(provider.delta(AFTER_FAULT)))
            await asyncio.sleep(0.01)

    heard = Gate()
    marker = upstream.script(long)
    client = stack.client("strict")
    with client.open() as conn:
        _send(conn, client, orjson.dumps(chat(marker, stream=True)))
        answer = conn.rest(conn.head(), until=b"harmless")
        heard.open()
        answer = conn.rest(answer)
    assert (answer.ended, stream_errors(answer.body)) == ("complete", [Kind.ANSWER_BLOCKED])
    assert answer.body.endswith(b"data: [DONE]\n\n")
    assert_unseen(answer.raw, CARD, AFTER_FAULT)
    seen = upstream.one(marker)
    seen.gone.wait()
    assert seen.chunks_sent < 900, "the provider went on generating"
    assert stack.record(answer)["outcome"] == "cut"
