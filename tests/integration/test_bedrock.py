"""Models behind AWS Bedrock through real Envoy: official SDKs of other providers in front, botocore's word on signatures."""

import anthropic
import openai
import orjson
import pytest

import aws
import conversing
from asking import AFTER_FAULT, CHAT, EMAIL, assert_unseen, chat, stream_errors
from bundle import PROVIDER_KEYS
from conversing import PATH, signed
from rawhttp import request_bytes
from stack import Options, Stack
from upstream import Call, Gate

SECOND = {"backends": ["main", "bedrock"], "upstream_model": {"bedrock": conversing.MODEL}, "tell": True}
MODELS = {
    "to-bedrock": {"backend": "bedrock", "upstream_model": conversing.MODEL},
    "bedrock-second": SECOND,
    "bedrock-first": {**SECOND, "backends": ["bedrock", "main"]},
    "bedrock-session": {"backends": ["session", "main"], "upstream_model": {"session": conversing.MODEL}},
    "bedrock-wrong": {"backend": "wrong", "upstream_model": conversing.MODEL},
}
TOKEN = "FwoGZXIvYXdzEBYaDHqa0AP//example=="
KEYS = {
    "bedrock": f"{aws.KEY_ID}:{aws.SECRET}",
    "session": f"{aws.KEY_ID}:{aws.SECRET}:{TOKEN}",
    "wrong": f"{aws.KEY_ID}:of-somebody-else",
}
CUT = len(EMAIL) // 2
PIECES = ["mail ", EMAIL[:CUT], EMAIL[CUT:], " now"]


def _policy(directory):
    backends = orjson.loads((directory / "backends.yaml").read_bytes())
    for name, line in KEYS.items():
        file = directory / f"{name}.key"
        file.touch(0o600)
        file.write_text(line)
        url = backends["other"]["url"].replace("base-other", "base-bedrock")
        credential = {"aws": {"file": file.name, "region": aws.REGION}}
        backends[name] = {"url": url, "dialect": "bedrock", "credential": credential}
    (directory / "backends.yaml").write_bytes(orjson.dumps(backends))
    file = directory / "models.yaml"
    file.write_bytes(orjson.dumps(orjson.loads(file.read_bytes()) | MODELS))


@pytest.fixture(scope="module")
def gateway(short_dir, upstreams):
    with Stack(short_dir(), upstreams, Options(workers=1, policy=_policy)) as running:
        yield running


async def _says(call: Call) -> None:
    if call.seen.target.endswith("/converse"):
        await call.json(conversing.answer({"text": f"mail {EMAIL} now"}))
    else:
        await conversing.send(call, b"".join(conversing.events(PIECES)), size=37)


async def _throttled(call: Call) -> None:
    await conversing.fail(call, 429, "ThrottlingException", "Too many tokens, please wait before trying again.")


def _user(text):
    return [{"role": "user", "content": text}]


def test_the_openai_sdk_calls_a_model_behind_bedrock(gateway, gpt, theirs):
    marker = theirs.script(signed(_says))
    raw = gpt.chat.completions.with_raw_response.create(
        model="to-bedrock", messages=[{"role": "system", "content": "Be brief."}, *_user(f"Hello {marker}")], seed=7
    )
    answer = raw.parse()
    assert answer.choices[0].message.content.startswith("mail ")
    assert EMAIL not in raw.text
    assert raw.headers["x-ostiary-dropped"] == "seed"
    seen = theirs.one(marker)
    assert seen.target == f"/base-bedrock{PATH}"
    assert seen.json["system"] == [{"text": "Be brief."}]
    assert aws.complaints(seen.target, seen.json) == []
    record = gateway.record(raw.headers["x-request-id"])
    assert (record["backend"], record["usage"]["input_tokens"], record["usage"]["output_tokens"]) == ("bedrock", 9, 4)


def test_the_openai_sdk_streams_from_bedrock_and_every_word_is_guarded(gpt, theirs):
    marker = theirs.script(signed(_says))
    with gpt.chat.completions.create(
        model="to-bedrock", messages=_user(f"Hello {marker}"), stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "mail [EMAIL] now"
    assert chunks[-1].usage.completion_tokens == 4
    assert theirs.one(marker).target == f"/base-bedrock{PATH}-stream"


def test_the_anthropic_sdk_streams_from_bedrock(claude, theirs):
    marker = theirs.script(signed(_says))
    with claude.messages.stream(model="to-bedrock", max_tokens=64, messages=_user(f"Hello {marker}")) as stream:
        message = stream.get_final_message()
    assert message.content[0].text == "mail [EMAIL] now"
    assert (message.stop_reason, message.usage.output_tokens) == ("end_turn", 4)


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
def test_a_call_of_bedrock_is_answered_by_the_client(claude, theirs, stream):
    async def calls(call: Call) -> None:
        if stream:
            await conversing.send(call, b"".join(conversing.called("weather", '{"city":', '"Kiel"}')), size=50)
        else:
            use = {"toolUseId": "tooluse_1", "name": "weather", "input": {"city": "Kiel"}}
            await call.json(conversing.answer({"toolUse": use}, stop="tool_use"))

    marker = theirs.script(signed(calls))
    tools = [{"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}]
    asked = _user(f"Weather in Kiel? {marker}")

    def ask(messages):
        with claude.messages.stream(model="to-bedrock", max_tokens=64, messages=messages, tools=tools) as running:
            return running.get_final_message()

    def ask_whole(messages):
        return claude.messages.create(model="to-bedrock", max_tokens=64, messages=messages, tools=tools)

    message = (ask if stream else ask_whole)(asked)
    assert message.stop_reason == "tool_use"
    (use,) = message.content
    assert (use.name, use.input) == ("weather", {"city": "Kiel"})
    result = {"type": "tool_result", "tool_use_id": use.id, "content": "snow", "is_error": True}
    said = {"role": "assistant", "content": [use.model_dump(exclude_none=True)]}
    (ask if stream else ask_whole)([*asked, said, {"role": "user", "content": [result]}])
    _, seen = theirs.seen(marker)
    assert seen.json["messages"][-1]["content"] == [
        {"toolResult": {"toolUseId": use.id, "content": [{"text": "snow"}], "status": "error"}}
    ]


def test_a_failure_of_bedrock_is_told_in_the_clients_words(gpt, claude, theirs):
    marker = theirs.script(signed(_throttled))
    with pytest.raises(openai.RateLimitError, match="Too many tokens"):
        gpt.chat.completions.create(model="to-bedrock", messages=_user(f"Hello {marker}"))
    with pytest.raises(anthropic.RateLimitError, match="Too many tokens"):
        claude.messages.create(model="to-bedrock", max_tokens=9, messages=_user(f"Hello {marker}"))


def test_an_exception_in_a_stream_is_told_in_the_clients_words(claude, theirs):
    async def fails(call: Call) -> None:
        headers = {":message-type": "exception", ":exception-type": "throttlingException"}
        told = conversing.eventstream.encode(headers, b'{"message":"Too many tokens."}')
        await conversing.send(call, b"".join(conversing.events(["mail"])[:2]) + told)

    marker = theirs.script(signed(fails))
    with (
        pytest.raises(anthropic.APIStatusError, match="Too many tokens"),
        claude.messages.stream(model="to-bedrock", max_tokens=9, messages=_user(f"Hello {marker}")) as stream,
    ):
        stream.get_final_message()


def test_a_signature_that_is_not_taken_is_not_the_clients_business(gateway, theirs):
    marker = theirs.script(signed(_says))
    answer = gateway.client().post(CHAT, chat(f"Hello {marker}", model="bedrock-wrong"), timeout_s=20)
    assert answer.status == 503
    assert answer.json["error"]["code"] == "backend_unavailable"
    assert b"123456789012" not in answer.body
    assert theirs.one(marker)


LONG = "plain and harmless words " * 200  # more than any rule holds back


def _broken(how):
    """A message that is broken, with words in it and behind it that nobody may read."""
    told = conversing.event("contentBlockDelta", contentBlockIndex=0, delta={"text": AFTER_FAULT})
    rest = b"".join(conversing.events([AFTER_FAULT])[1:])
    match how:
        case "checksum":
            return told[:-1] + bytes([told[-1] ^ 1]) + rest
        case "payload":
            return told.replace(AFTER_FAULT.encode(), AFTER_FAULT.upper().encode()) + rest
        case "prelude":
            return b"\x7f" + told[1:] + rest
    return told[:-20]


@pytest.mark.parametrize("how", ["checksum", "payload", "prelude", "cut"])
def test_a_broken_message_ends_a_stream_with_an_error(gateway, theirs, how):
    async def breaks(call: Call) -> None:
        await call.head(200, [("content-type", conversing.eventstream.MEDIA_TYPE)])
        await call.chunk(b"".join(conversing.events([LONG])[:2]))
        await read.passed()
        await call.chunk(_broken(how))
        await call.end()

    read = Gate()
    marker = theirs.script(signed(breaks))
    client = gateway.client()
    body = orjson.dumps(chat(f"Hello {marker}", model="to-bedrock", stream=True))
    with gateway.recorded() as records, client.open() as conn:
        headers = [*client.headers, ("content-type", "application/json")]
        conn.send(request_bytes("POST", CHAT, headers, body))
        answer = conn.rest(conn.head(), until=b"harmless")
        read.open()
        answer = conn.rest(answer)
    assert (answer.status, answer.ended) == (200, "complete")
    assert stream_errors(answer.body) == ["stream_broken" if how == "cut" else "backend_answer_invalid"]
    assert_unseen(answer.body.lower(), AFTER_FAULT)
    assert records[0]["usage"]["output_tokens"] > 0  # what was let go is paid


@pytest.mark.parametrize("how", ["checksum", "cut"])
def test_a_stream_that_breaks_before_its_first_word_is_refused(gateway, theirs, how):
    async def breaks(call: Call) -> None:
        await conversing.send(call, conversing.events([])[0] + _broken(how), size=64)

    marker = theirs.script(signed(breaks))
    answer = gateway.client().post(CHAT, chat(f"Hello {marker}", model="to-bedrock", stream=True), timeout_s=20)
    assert_unseen(answer.body.lower(), AFTER_FAULT)
    if answer.status == 200:
        assert len(stream_errors(answer.body)) == 1
    else:
        assert answer.json["error"]["code"] == "backend_answer_invalid"


def test_a_stream_that_nobody_asked_for_is_withheld(gateway, theirs):
    async def streams(call: Call) -> None:
        await conversing.send(call, b"".join(conversing.events(["mail"])))

    marker = theirs.script(signed(streams))
    answer = gateway.client().post(CHAT, chat(f"Hello {marker}", model="to-bedrock"), timeout_s=20)
    assert (answer.status, answer.json["error"]["code"]) == (502, "backend_answer_invalid")


def test_server_sent_events_are_no_stream_of_bedrocks(gateway, theirs):
    async def streams(call: Call) -> None:
        await call.sse(b'data: {"choices":[]}\n\n')

    marker = theirs.script(signed(streams))
    answer = gateway.client().post(CHAT, chat(f"Hello {marker}", model="to-bedrock", stream=True), timeout_s=20)
    assert (answer.status, answer.json["error"]["code"]) == (502, "backend_answer_invalid")


def test_a_pool_goes_on_from_bedrock_to_openai(gpt, upstreams, theirs):
    marker = theirs.script(signed(_throttled))
    upstreams["main"].script(marker=marker)
    raw = gpt.chat.completions.with_raw_response.create(model="bedrock-first", messages=_user(f"Hello {marker}"))
    assert raw.headers["x-ostiary-backend"] == "main"
    assert raw.parse().choices[0].message.content
    seen = upstreams["main"].one(marker)
    assert seen.json["messages"][-1]["content"].endswith(marker)
    assert not {name for name in seen.names if name.startswith("x-amz")}
    assert seen.header("authorization") == f"Bearer {PROVIDER_KEYS['main']}"


@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
def test_bedrock_stands_in_for_a_backend_of_the_callers_dialect(gateway, upstream, theirs, stream):
    async def overloaded(call: Call) -> None:
        await call.json({"error": {"message": "Overloaded."}}, status=503)

    marker = theirs.script(signed(_says))
    upstream.script(overloaded, marker)
    body = chat(f"Hello {marker}", model="bedrock-second", stream=stream)
    answer = gateway.client().post(CHAT, body, timeout_s=20)
    assert (answer.status, answer.header("x-ostiary-backend")) == (200, "bedrock")
    assert answer.header("content-type").startswith("text/event-stream" if stream else "application/json")
    assert b"chat.completion" in answer.body
    assert EMAIL.encode() not in answer.body
    assert PROVIDER_KEYS["main"] not in str(theirs.one(marker).headers)


def test_a_session_is_signed_with_its_token_and_leaves_it_behind(gateway, upstreams, theirs):
    marker = theirs.script(signed(_throttled, token=TOKEN))
    upstreams["main"].script(marker=marker)
    client = gateway.client()
    headers = [("x-amz-security-token", "of-the-client"), ("x-amzn-bedrock-trace", "ENABLED")]
    answer = client.post(CHAT, chat(f"Hello {marker}", model="bedrock-session"), headers=headers, timeout_s=20)
    assert answer.status == 200
    assert theirs.one(marker).header("x-amz-security-token") == TOKEN
    assert "x-amzn-bedrock-trace" not in theirs.one(marker).names
    assert TOKEN not in str(upstreams["main"].one(marker).headers)


def test_no_key_of_amazon_is_in_envoy_or_in_logs(gateway, theirs):
    marker = theirs.script(signed(_says))
    assert gateway.client().post(CHAT, chat(f"Hello {marker}", model="to-bedrock"), timeout_s=20).status == 200
    files = [file for file in gateway.root.rglob("*") if file.is_file() and file.suffix != ".key"]
    assert files
    for file in files:
        assert aws.SECRET.encode() not in file.read_bytes(), file
