"""The official Anthropic SDK, unmodified, through TLS and real Envoy: calls, streams, tools, typed errors."""

import ssl

import anthropic
import httpx2
import pytest

from asking import CARD, EMAIL
from messaging import block, end, event, signature, source, start, stop, text, thinking
from upstream import Call, Gate

ASK = {"model": "claude-test", "max_tokens": 64}
SIGNATURE = "c2lnbmF0dXJl" * 50
TOOL = {"name": "send_mail", "description": "Sends a mail", "input_schema": {"type": "object"}}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "send_mail", "input": {}}
THOUGHT = {"type": "thinking", "thinking": "", "signature": ""}


def _context(stack) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(stack.authority.pem))


@pytest.fixture
def sdk(stack):
    made = []

    def make(key: str = "acme", **options):
        http = httpx2.Client(verify=_context(stack))
        options = {"api_key": stack.bundle.keys.get(key, key), "timeout": 20, **options}
        made.append(anthropic.Anthropic(base_url=f"https://localhost:{stack.port}", http_client=http, **options))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
async def async_sdk(stack):
    http = httpx2.AsyncClient(verify=_context(stack))
    base = f"https://localhost:{stack.port}"
    async with anthropic.AsyncAnthropic(base_url=base, api_key=stack.bundle.keys["acme"], http_client=http) as client:
        yield client


def _user(content) -> list[dict[str, object]]:
    return [{"role": "user", "content": content}]


def _message(*content, reason="end_turn"):
    usage = {"input_tokens": 9, "cache_read_input_tokens": 100, "output_tokens": 4}
    return {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [*content],
            "stop_reason": reason, "stop_sequence": None, "usage": usage}  # fmt: skip


def _streams(*events: bytes, size: int = 0, reason: str = "end_turn"):
    async def script(call: Call) -> None:
        await call.sse(b"".join((start(), *events, end(reason))), size=size)

    return script


# --- calls ------------------------------------------------
def test_a_message(sdk, upstream, stack):
    async def answer(call: Call) -> None:
        await call.json(_message({"type": "text", "text": f"mail {EMAIL}"}))

    marker = upstream.script(answer)
    raw = sdk().messages.with_raw_response.create(messages=_user(f"mail {EMAIL} {marker}"), **ASK)
    told = raw.parse()
    assert told.content[0].text == "mail [EMAIL]"
    seen = upstream.one(marker)
    assert EMAIL.encode() not in seen.body
    assert seen.target == "/base-anthropic/v1/messages"
    assert seen.header("x-api-key") == "sk-provider-main-0000"
    assert (seen.header("anthropic-version"), seen.header("authorization")) == ("2023-06-01", None)
    record = stack.record(raw.headers["x-request-id"])
    assert (record["outcome"], record["model"], record["backend"]) == ("completed", "claude-test", "anthropic")
    usage = record["usage"]
    assert (usage["input_tokens"], usage["output_tokens"], usage["source"]) == (109, 4, "provider")
    assert {(found["rule"], found["direction"]) for found in record["found"]} == {
        ("pii.email", "request"),
        ("pii.email", "response"),
    }


def test_no_beta_and_no_billing_header_gets_through(sdk, upstream):
    async def answer(call: Call) -> None:
        await call.json(_message({"type": "text", "text": "ok"}))

    marker = upstream.script(answer)
    extra = {
        "anthropic-beta": "mcp-client-2025-04-04",
        "anthropic-workspace-id": "wrkspc_1",
    }
    sdk().beta.messages.create(messages=_user(marker), extra_headers=extra, **ASK)
    seen = upstream.one(marker)
    assert (seen.header("anthropic-beta"), seen.header("anthropic-workspace-id")) == (None, None)
    assert seen.header("anthropic-version") == "2023-06-01"
    assert "beta" not in seen.target


def test_a_version_that_nobody_here_speaks_is_the_clients_mistake(sdk):
    with pytest.raises(anthropic.BadRequestError, match="anthropic-version: 2023-06-01"):
        sdk().messages.create(messages=_user("hello"), extra_headers={"anthropic-version": "2023-01-01"}, **ASK)


PARTS = (
    block(**THOUGHT), thinking("what to "), thinking("say"), signature(SIGNATURE), stop(),
    block(1), event(type="ping"), *(text(piece, 1) for piece in ("Write to ja", "ne.ro", "e@exam", "ple.com")), stop(1),
    block(2, **CALL), *(source(piece, 2) for piece in ("", '{"to": "jane\\u00', '40example.com", ', '"n": 7}')), stop(2),
)  # fmt: skip


@pytest.mark.parametrize("size", [0, 1, 37])
def test_a_stream_with_thinking_words_and_a_tool(sdk, upstream, size):
    marker = upstream.script(_streams(*PARTS, size=size, reason="tool_use"))
    with sdk().messages.stream(messages=_user(marker), tools=[TOOL], **ASK) as stream:
        words = "".join(stream.text_stream)
        told = stream.get_final_message()
    thought, said, call = told.content
    assert (thought.thinking, thought.signature) == ("what to say", SIGNATURE)
    assert words == said.text == "Write to [EMAIL]"
    assert call.input == {"to": "[EMAIL]", "n": 7}
    assert (told.stop_reason, told.usage.output_tokens) == ("tool_use", 4)


async def test_an_async_stream(async_sdk, upstream, stack):
    marker = upstream.script(_streams(*PARTS, reason="tool_use"))
    with stack.recorded() as records:
        async with async_sdk.messages.stream(messages=_user(marker), tools=[TOOL], **ASK) as stream:
            told = await stream.get_final_message()
    assert [each.type for each in told.content] == ["thinking", "text", "tool_use"]
    assert (records[0]["streamed"], records[0]["usage"]["output_tokens"]) == (True, 4)


def test_a_conversation_with_thinking_and_a_tool_result_goes_on(sdk, upstream):
    async def answer(call: Call) -> None:
        await call.json(_message({"type": "text", "text": "done"}))

    marker = upstream.script(answer)
    history = [
        *_user(marker),
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": SIGNATURE},
                {**CALL, "input": {"to": EMAIL}},
            ],
        },
        *_user([{"type": "tool_result", "tool_use_id": "toolu_1", "content": f"the card is {CARD}"}]),
    ]
    sdk().messages.create(messages=history, tools=[TOOL], **ASK)
    seen = upstream.one(marker)
    assert EMAIL.encode() not in seen.body
    assert CARD.encode() not in seen.body
    assert seen.json["messages"][1]["content"][0] == history[1]["content"][0]


# --- errors ------------------------------------------------
def test_a_wrong_key_is_an_authentication_error(sdk):
    with pytest.raises(anthropic.AuthenticationError) as caught:
        sdk("osk_wrong").messages.create(messages=_user("x"), **ASK)
    assert caught.value.body["error"]["type"] == "authentication_error"


def test_counting_tokens_is_not_served(sdk):
    with pytest.raises(anthropic.NotFoundError):
        sdk().messages.count_tokens(messages=_user("x"), model="claude-test")


def test_a_blocked_request_is_told_once(sdk, upstream):
    marker = upstream.script(_streams())
    with pytest.raises(anthropic.PermissionDeniedError, match=r"pii\.card"):
        sdk("strict", max_retries=3).messages.create(messages=_user(f"{marker} {CARD}"), **ASK)
    assert upstream.seen(marker) == []


@pytest.mark.parametrize(
    "bad",
    [text(f"{CARD} and more"), event(type="content_block_thought", index=0), b"event: ping\ndata: {\n\n", text("x", 7)],
)
def test_a_cut_stream_raises_the_sdks_typed_error_and_the_upstream_is_told(sdk, upstream, stack, bad):
    long = "Harmless words come first, and they are released to the client at once. " * 8
    heard = Gate()

    async def secret(call: Call) -> None:
        await call.head(200, [("content-type", "text/event-stream")])
        await call.chunk(start() + block() + text(long))
        await heard.passed()
        await call.chunk(bad)
        await call.until_gone()

    told = []
    marker = upstream.script(secret)

    def listen() -> None:
        for each in sdk("strict").messages.create(messages=_user(marker), stream=True, **ASK):
            if each.type == "content_block_delta":
                told.append(each.delta.text)
                heard.open()

    with stack.recorded() as records, pytest.raises(anthropic.APIStatusError) as caught:
        listen()
    assert caught.value.body["type"] == "error"
    assert CARD not in str(caught.value)
    assert long.startswith("".join(told).rstrip())
    assert records[0]["outcome"] == "cut"
    upstream.wait_seen(marker)[0].gone.wait()


def test_thinking_that_a_rule_would_change_is_cut_and_never_altered(sdk, upstream):
    script = _streams(
        block(**THOUGHT), thinking("clean words first. "), thinking(f"from {EMAIL} "), signature("c2ln"), stop()
    )
    marker = upstream.script(script)
    with (
        pytest.raises(anthropic.APIStatusError),
        sdk(max_retries=0).messages.stream(messages=_user(marker), **ASK) as stream,
    ):
        stream.get_final_message()


def test_a_providers_error_in_a_stream_is_the_sdks_error(sdk, upstream):
    async def fail(call: Call) -> None:
        error = event(type="error", error={"type": "overloaded_error", "message": "Overloaded"})
        await call.sse(start() + block() + text("half a word ") + error)

    with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
        list(sdk().messages.create(messages=_user(upstream.script(fail)), stream=True, **ASK))


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, anthropic.BadRequestError), (429, anthropic.RateLimitError), (529, anthropic.APIStatusError)],
)
def test_a_providers_refusal_is_the_sdks_error(sdk, upstream, status, error):
    async def refuse(call: Call) -> None:
        await call.json({"type": "error", "error": {"type": "some_error", "message": f"no, {EMAIL}"}}, status)

    with pytest.raises(error) as caught:
        sdk(max_retries=0).messages.create(messages=_user(upstream.script(refuse)), **ASK)
    assert caught.value.body["error"] == {"type": "some_error", "message": "no, [EMAIL]"}
