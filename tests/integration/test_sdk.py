"""The official OpenAI SDK, unmodified, through TLS and real Envoy: every call style, every typed error."""

import ssl

import httpx
import openai
import orjson
import pydantic
import pytest

import provider
from asking import CARD, EMAIL, MODEL
from upstream import Call, Gate

ASK = {"model": MODEL}


def _context(stack) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(stack.authority.pem))


@pytest.fixture
def sdk(stack):
    made = []

    def make(key: str = "acme", **options):
        http = httpx.Client(verify=_context(stack))
        options = {"api_key": stack.bundle.keys.get(key, key), "timeout": 20, **options}
        made.append(openai.OpenAI(base_url=f"https://localhost:{stack.port}/v1", http_client=http, **options))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
async def async_sdk(stack):
    http = httpx.AsyncClient(verify=_context(stack))
    base = f"https://localhost:{stack.port}/v1"
    async with openai.AsyncOpenAI(base_url=base, api_key=stack.bundle.keys["acme"], http_client=http) as client:
        yield client


def _user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


# --- calls ------------------------------------------------
def test_chat(sdk, upstream, stack):
    marker = upstream.script()
    answer = sdk().chat.completions.create(messages=_user(f"mail {EMAIL} {marker}"), **ASK)
    assert answer.choices[0].message.content == provider.REPLY
    assert answer.usage.total_tokens == 12
    assert EMAIL.encode() not in upstream.one(marker).body
    record = stack.record(answer._request_id)
    assert (record["outcome"], record["model"], record["usage"]["source"]) == ("completed", MODEL, "provider")
    assert [found["rule"] for found in record["found"]] == ["pii.email"]


def test_chat_with_several_choices(sdk, upstream):
    answer = sdk().chat.completions.create(messages=_user(upstream.script()), n=3, **ASK)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]


def test_chat_stream(sdk, upstream):
    stream = sdk().chat.completions.create(messages=_user(upstream.script()), stream=True, **ASK)
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Hello from the provider."
    assert all(c.usage is None for c in chunks), "usage that only the gateway asked for must stay hidden"
    assert all(c.choices for c in chunks)


def test_chat_stream_with_usage(sdk, upstream):
    stream = sdk().chat.completions.create(
        messages=_user(upstream.script()), stream=True, stream_options={"include_usage": True}, **ASK
    )
    chunks = list(stream)
    assert [c.usage.total_tokens for c in chunks if c.usage] == [12]


async def test_async_chat(async_sdk, upstream):
    answer = await async_sdk.chat.completions.create(messages=_user(upstream.script()), **ASK)
    assert answer.choices[0].message.content == provider.REPLY


async def test_async_stream(async_sdk, upstream):
    stream = await async_sdk.chat.completions.create(messages=_user(upstream.script()), stream=True, **ASK)
    assert "".join([c.choices[0].delta.content or "" async for c in stream if c.choices]) == provider.REPLY


async def test_leaving_a_stream_early_ends_the_generation(async_sdk, upstream, stack):
    async def endless(call: Call) -> None:
        await call.head(200, [("content-type", "text/event-stream")])
        while True:
            await call.chunk(provider.event(provider.delta("words and more words " * 20)))

    marker = upstream.script(endless)
    with stack.recorded() as records:
        stream = await async_sdk.chat.completions.create(messages=_user(marker), stream=True, **ASK)
        async for _ in stream:
            break
        await stream.close()
        upstream.wait_seen(marker)[0].gone.wait()
    assert records[0]["outcome"] == "aborted"


TOOL = {
    "type": "function",
    "function": {
        "name": "send_mail",
        "description": "Sends a mail",
        "parameters": {"type": "object", "properties": {"to": {"type": "string"}, "n": {"type": "integer"}}},
    },
}


def test_tool_calls(sdk, upstream):
    async def call_tool(call: Call) -> None:
        function = {"name": "send_mail", "arguments": orjson.dumps({"to": EMAIL, "n": 7}).decode()}
        tool = {"id": "call_1", "type": "function", "function": function}
        await call.json(provider.chat(None, finish="tool_calls", tool_calls=[tool]))

    answer = sdk().chat.completions.create(messages=_user(upstream.script(call_tool)), tools=[TOOL], **ASK)
    arguments = orjson.loads(answer.choices[0].message.tool_calls[0].function.arguments)
    assert arguments["n"] == 7
    assert "@" not in arguments["to"]


def test_streamed_tool_calls(sdk, upstream):
    source = orjson.dumps({"to": EMAIL, "n": 7}).decode()

    async def call_tool(call: Call) -> None:
        await call.sse(provider.tool_stream("send_mail", [*source]), size=11)

    stream = sdk().chat.completions.create(messages=_user(upstream.script(call_tool)), tools=[TOOL], stream=True, **ASK)
    name = arguments = ""
    for chunk in stream:
        for choice in chunk.choices:
            for tool in choice.delta.tool_calls or ():
                name += tool.function.name or ""
                arguments += tool.function.arguments or ""
    assert name == "send_mail"
    read = orjson.loads(arguments)
    assert read["n"] == 7
    assert "jane" not in read["to"]


def test_tool_results_are_guarded_on_the_way_in(sdk, upstream):
    marker = upstream.script()
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "f", "arguments": f'{{"to": "{EMAIL}"}}'},
    }
    messages = [
        *_user(marker),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": f"the card is {CARD}"},
    ]
    sdk().chat.completions.create(messages=messages, tools=[TOOL], **ASK)
    body = upstream.one(marker).body
    assert EMAIL.encode() not in body
    assert CARD.encode() not in body


class Contact(pydantic.BaseModel):
    """What the model is asked to fill in."""

    name: str
    mail: str


def test_structured_output(sdk, upstream):
    async def fill_in(call: Call) -> None:
        asked = call.seen.json["response_format"]
        assert asked["type"] == "json_schema"
        await call.json(provider.chat(orjson.dumps({"name": "Jane", "mail": EMAIL}).decode()))

    answer = sdk().chat.completions.parse(messages=_user(upstream.script(fill_in)), response_format=Contact, **ASK)
    parsed = answer.choices[0].message.parsed
    assert parsed.name == "Jane"
    assert "@" not in parsed.mail


def test_structured_output_stream(sdk, upstream):
    async def fill_in(call: Call) -> None:
        await call.sse(provider.stream(list('{"name": "Jane", "mail": "jane.roe@example.com"}')))

    with sdk().chat.completions.stream(
        messages=_user(upstream.script(fill_in)), response_format=Contact, **ASK
    ) as stream:
        parsed = stream.get_final_completion().choices[0].message.parsed
    assert parsed.name == "Jane"
    assert "@" not in parsed.mail


def test_completions(sdk, upstream):
    answer = sdk().completions.create(prompt=upstream.script(), **ASK)
    assert answer.choices[0].text == provider.REPLY


def test_embeddings(sdk, upstream):
    marker = upstream.script()
    answer = sdk().embeddings.create(input=[marker, f"mail {EMAIL}"], encoding_format="float", **ASK)
    assert [item.embedding for item in answer.data] == [[0.25, -0.5, 1.0]] * 2
    assert EMAIL.encode() not in upstream.one(marker).body


def test_models(sdk):
    assert MODEL in {model.id for model in sdk().models.list()}
    assert sdk().models.retrieve(MODEL).id == MODEL


# --- errors ------------------------------------------------
def test_a_wrong_key_is_an_authentication_error(sdk, stack, upstream):
    marker = upstream.script()
    with stack.recorded() as records, pytest.raises(openai.AuthenticationError) as caught:
        sdk("osk_wrong").chat.completions.create(messages=_user(marker), **ASK)
    assert caught.value.code == "credential_invalid"
    assert upstream.seen(marker) == []
    assert records[0]["status"] == 401


def test_a_forbidden_model_is_a_permission_error_and_is_not_retried(sdk, stack, upstream):
    with stack.recorded(1) as records, pytest.raises(openai.PermissionDeniedError) as caught:
        sdk("narrow", max_retries=3).chat.completions.create(messages=_user(upstream.script()), model="gpt-other")
    assert caught.value.code == "model_forbidden"
    assert records[0]["code"] == "model_forbidden"


def test_an_unknown_model_is_a_not_found_error(sdk):
    with pytest.raises(openai.NotFoundError) as caught:
        sdk().chat.completions.create(messages=_user("x"), model="gpt-nowhere")
    assert caught.value.code == "model_unknown"
    assert caught.value.body["param"] == "model"


def test_a_malformed_request_is_a_bad_request_error(sdk):
    with pytest.raises(openai.BadRequestError) as caught:
        sdk().chat.completions.create(messages=[{"role": "narrator", "content": "x"}], **ASK)
    assert caught.value.code == "request_invalid"


def test_a_spent_rate_is_a_rate_limit_error_with_advice(sdk, upstream):
    client = sdk("slow", max_retries=0)

    def spend() -> None:
        for _ in range(10):  # two per worker at most, if limits are counted per worker
            client.chat.completions.create(messages=_user(upstream.script()), **ASK)

    with pytest.raises(openai.RateLimitError) as caught:
        spend()
    assert int(caught.value.response.headers["retry-after"]) > 0


def test_a_blocked_request_is_told_once(sdk, stack, upstream):
    marker = upstream.script()
    with stack.recorded(1) as records, pytest.raises(openai.PermissionDeniedError) as caught:
        sdk("strict", max_retries=3).chat.completions.create(messages=_user(f"{marker} {CARD}"), **ASK)
    assert caught.value.code == "request_blocked"
    assert CARD not in str(caught.value)
    assert upstream.seen(marker) == []
    assert records[0]["outcome"] == "refused"


def test_a_blocked_answer_is_asked_for_once(sdk, stack, upstream):
    async def secret(call: Call) -> None:
        await call.json(provider.chat(CARD))

    marker = upstream.script(secret)
    with pytest.raises(openai.PermissionDeniedError):
        sdk("strict", max_retries=3).chat.completions.create(messages=_user(marker), **ASK)
    assert len(upstream.seen(marker)) == 1


def test_a_cut_stream_raises_in_the_sdk(sdk, upstream):
    long = "Harmless words come first, and they are released to the client at once. " * 8

    async def secret(call: Call) -> None:
        await call.head(200, [("content-type", "text/event-stream")])
        await call.chunk(provider.event(provider.delta(long)))
        await heard.passed()
        await call.chunk(provider.event(provider.delta(f"{CARD} and more")) + b"data: [DONE]\n\n")
        await call.end()

    heard = Gate()
    told = []

    def listen() -> None:
        messages = _user(upstream.script(secret))
        for chunk in sdk("strict").chat.completions.create(messages=messages, stream=True, **ASK):
            told.append(chunk.choices[0].delta.content or "")
            heard.open()

    with pytest.raises(openai.APIError, match="policy"):
        listen()
    assert "".join(told)
    assert long.startswith("".join(told).rstrip())


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, openai.BadRequestError), (429, openai.RateLimitError), (500, openai.InternalServerError)],
)
def test_a_providers_error_is_the_sdks_error(sdk, upstream, status, error):
    async def refuse(call: Call) -> None:
        await call.json(provider.error("some_error", "no", "their_code"), status)

    with pytest.raises(error) as caught:
        sdk(max_retries=0).chat.completions.create(messages=_user(upstream.script(refuse)), **ASK)
    assert caught.value.code == "their_code"


def test_a_passing_failure_is_retried_by_the_sdk(sdk, upstream):
    calls = []

    async def second_time(call: Call) -> None:
        calls.append(1)
        if len(calls) == 1:
            call.reset()
        else:
            await call.json(provider.chat())

    marker = upstream.script(second_time)
    answer = sdk(max_retries=2).chat.completions.create(messages=_user(marker), **ASK)
    assert answer.choices[0].message.content == provider.REPLY
    assert len(upstream.seen(marker)) == 2
