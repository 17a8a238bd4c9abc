"""The official OpenAI SDK's Responses calls, unmodified, through TLS and real Envoy: guarded, typed, on record."""

import json
import ssl

import httpx
import openai
import pytest

import provider
from asking import CARD, EMAIL, MODEL
from responding import Script, assembled, call, message, part, reasoning, response
from upstream import Call, Gate

ASK = {"model": MODEL}
TOOL = {"type": "function", "name": "pay", "parameters": {"type": "object"}, "strict": False}
WORDS = ("Write to jane.", "roe@example", ".com, or wait. ")
CLEAN = "Write to [EMAIL], or wait. "
SOURCE = ('{"to":"jane.roe\\u00', "40exam", 'ple.com","n":1}')


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


def telling(script: Script, size: int = 0):
    async def play(call: Call) -> None:
        await call.sse(script.raw, size=size)

    return play


def several() -> Script:
    """Reasoning, words and a tool call, each with an address over several deltas."""
    script = Script().begin()
    script.item(reasoning(["".join(WORDS)]), ("summary_text", 0, WORDS))
    script.item(message(part("".join(WORDS))), ("output_text", 0, WORDS))
    script.item(call("".join(SOURCE)), ("arguments", 0, SOURCE))
    return script.end()


def test_an_answer_is_guarded_and_nothing_is_kept_at_the_provider(sdk, upstream, stack):
    async def say(call_: Call) -> None:
        await call_.json(response(message(part(f"ask {EMAIL} there")), call(json.dumps({"to": EMAIL}))))

    marker = upstream.script(say)
    answer = sdk().responses.create(input=f"mail {EMAIL} {marker}", instructions="be brief", tools=[TOOL], **ASK)
    assert answer.output_text == "ask [EMAIL] there"
    assert json.loads(answer.output[1].arguments) == {"to": "[EMAIL]"}
    assert answer.usage.total_tokens == 13
    seen = upstream.one(marker)
    assert seen.target.endswith("/v1/responses")
    assert seen.json["store"] is False
    assert EMAIL.encode() not in seen.body
    record = stack.record(answer._request_id)
    assert (record["outcome"], record["path"], record["model"]) == ("completed", "/v1/responses", MODEL)
    assert (record["usage"]["input_tokens"], record["usage"]["output_tokens"]) == (9, 4)
    assert {found["rule"] for found in record["found"]} == {"pii.email"}


@pytest.mark.parametrize("size", [0, 1, 7])
def test_a_stream_is_guarded_and_its_end_agrees_with_its_deltas(sdk, upstream, stack, size):
    marker = upstream.script(telling(several(), size))
    with stack.recorded(1) as records:
        events = list(sdk().responses.create(input=marker, stream=True, **ASK))
    told = [event.model_dump() for event in events]
    assert assembled(told) == {
        (0, "reasoning_summary_text", 0): CLEAN,
        (1, "output_text", 0): CLEAN,
        (2, "function_call_arguments", 0): '{"to":"[EMAIL]","n":1}',
    }
    final = events[-1].response
    assert (events[-1].type, final.output_text) == ("response.completed", CLEAN)
    assert final.output[0].summary[0].text == CLEAN
    assert json.loads(final.output[2].arguments) == {"to": "[EMAIL]", "n": 1}
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "jane" not in json.dumps(told)
    assert (records[0]["usage"]["input_tokens"], records[0]["usage"]["output_tokens"]) == (9, 4)
    assert records[0]["usage"]["source"] == "provider"


def test_the_sdks_own_assembly_of_a_stream_agrees_too(sdk, upstream):
    with sdk().responses.stream(input=upstream.script(telling(several())), **ASK) as stream:
        snapshots = [event.snapshot for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert snapshots[-1] == final.output_text == CLEAN


async def test_async_stream(async_sdk, upstream):
    stream = await async_sdk.responses.create(input=upstream.script(telling(several())), stream=True, **ASK)
    told = [event.model_dump() async for event in stream]
    assert assembled(told)[1, "output_text", 0] == CLEAN


async def test_async_answer(async_sdk, upstream):
    async def say(call_: Call) -> None:
        await call_.json(response(message(part("hello"))))

    answer = await async_sdk.responses.create(input=upstream.script(say), **ASK)
    assert answer.output_text == "hello"


def test_a_blocked_request_and_a_blocked_answer_are_told_as_typed_errors(sdk, upstream):
    async def secret(call_: Call) -> None:
        await call_.json(response(message(part(CARD))))

    marker = upstream.script()
    with pytest.raises(openai.PermissionDeniedError) as caught:
        sdk("strict").responses.create(input=f"{marker} {CARD}", **ASK)
    assert caught.value.code == "request_blocked"
    assert upstream.seen(marker) == []
    with pytest.raises(openai.PermissionDeniedError) as caught:
        sdk("strict").responses.create(input=upstream.script(secret), **ASK)
    assert caught.value.code == "answer_blocked"


def test_a_cut_stream_raises_in_the_sdk_and_the_provider_is_left(sdk, upstream, stack):
    long = "Harmless words come first, and they are released to the client at once. " * 8
    script = Script().begin()
    script.open(message())
    where = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    script.say("response.output_text.delta", **where, delta=long)
    first = script.raw
    script.say("response.output_text.delta", **where, delta=f"{CARD} and more")

    async def secret(call_: Call) -> None:
        await call_.head(200, [("content-type", "text/event-stream")])
        await call_.chunk(first)
        await heard.passed()
        await call_.chunk(script.raw[len(first) :])
        await call_.until_gone()

    heard, told = Gate(), []
    marker = upstream.script(secret)

    def listen() -> None:
        for event in sdk("strict").responses.create(input=marker, stream=True, **ASK):
            told.append(event)
            if event.type == "response.output_text.delta":
                heard.open()

    with stack.recorded(1) as records, pytest.raises(openai.APIError, match="policy") as caught:
        listen()
    assert caught.value.code == "answer_blocked"
    assert long.startswith(assembled([event.model_dump() for event in told])[0, "output_text", 0])
    upstream.one(marker).gone.wait()
    assert (records[0]["outcome"], records[0]["code"]) == ("cut", "answer_blocked")


@pytest.mark.parametrize(
    "asked",
    [
        {"tools": [{"type": "web_search"}]},
        {"tools": [{"type": "mcp", "server_label": "x", "server_url": "https://x.example"}]},
        {"previous_response_id": "resp_1"},
        {"conversation": "conv_1"},
        {"background": True},
        {"store": True},
        {"input": [{"type": "item_reference", "id": "msg_1"}]},
    ],
)
def test_what_would_pass_the_gateway_by_is_a_bad_request(sdk, upstream, asked):
    marker = upstream.script()
    with pytest.raises(openai.BadRequestError) as caught:
        sdk().responses.create(**{"input": marker, "user": marker, **ASK, **asked})
    assert caught.value.code == "request_invalid"
    assert upstream.seen(marker) == []


def test_a_providers_error_is_the_sdks_error(sdk, upstream):
    async def refuse(call_: Call) -> None:
        await call_.json(provider.error("invalid_request_error", f"no, {EMAIL}", "their_code"), 400)

    with pytest.raises(openai.BadRequestError) as caught:
        sdk(max_retries=0).responses.create(input=upstream.script(refuse), **ASK)
    assert caught.value.code == "their_code"
    assert EMAIL not in str(caught.value)


def test_a_narrow_tenant_may_not_call_it(sdk, upstream):
    with pytest.raises(openai.PermissionDeniedError) as caught:
        sdk("narrow").responses.create(input=upstream.script(), **ASK)
    assert caught.value.code == "route_forbidden"
