"""Budgets in the dialects beside chat: Anthropic's own SDK and the Responses API, through real Envoy and real Valkey."""

import json
import ssl
import threading
from datetime import UTC, datetime

import anthropic
import httpx
import httpx2
import openai
import pytest

import messaging
from responding import Script, message, part
from stack import Options, Stack, until

WORDS = "word " * 10


def limits(**lines):
    return {"models": ["*"], "routes": ["*"], "budgets": {"limits": lines}}


TENANTS = {
    "acme": limits(day={"tokens_out": 3000, "per": "day"}),
    "narrow": limits(
        minute={"tokens_in": 5000, "per": "minute"},
        out={"tokens_out": 400, "per": "minute"},
        calls={"requests": 50, "per": "minute"},
    ),
    "strict": limits(cents={"money": 0.001, "per": "day", "on_exceed": 402}),
    "watched": limits(day={"tokens_out": 3000, "per": "day"}),
}
PRICES = {"currency": "USD", "book": {"claude-test": [{"input": 1, "output": 10}]}}


@pytest.fixture(scope="module")
def budgeted(short_dir, upstreams):
    def write(directory):
        tenants = json.loads((directory / "tenants.yaml").read_text())
        (directory / "tenants.yaml").write_text(json.dumps(tenants | TENANTS))
        (directory / "prices.yaml").write_text(json.dumps(PRICES))

    with Stack(short_dir(), upstreams, Options(policy=write, control=True)) as running:
        yield running


@pytest.fixture
def context(budgeted):
    return ssl.create_default_context(cafile=str(budgeted.authority.pem))


@pytest.fixture
def claude(budgeted, context):
    made = []

    def make(key):
        http = httpx2.Client(verify=context)
        base = f"https://localhost:{budgeted.port}"
        made.append(
            anthropic.Anthropic(
                base_url=base, api_key=budgeted.bundle.keys[key], http_client=http, max_retries=0, timeout=30
            )
        )
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def responses(budgeted, context):
    with httpx.Client(verify=context) as http:
        yield openai.OpenAI(
            base_url=f"https://localhost:{budgeted.port}/v1",
            api_key=budgeted.bundle.keys["watched"],
            http_client=http,
            max_retries=0,
            timeout=30,
        )


def say(text):
    return [{"role": "user", "content": text}]


def cut_record(stack, path):
    """The record of the one exchange that was cut there."""

    def found():
        return [one for one in stack.audit() if (one["outcome"], one["path"]) == ("cut", path)]

    (record,) = until("the record", found)
    return record


def endless(stack, begin, more, gone):
    """A stream that does not mind its cap; `gone` is set when the gateway has left it."""

    async def play(call):
        before = stack.heard()
        await call.head(200, (("content-type", "text/event-stream"),))
        try:
            await call.chunk(begin)
            for _ in range(2000):
                await call.chunk(more)
                await stack.hears(call, before)  # two that Envoy reads at once are one that is longer
        except (ConnectionError, OSError):
            pass
        await call.until_gone()
        gone.set()

    return play


def answered(tokens_in, tokens_out):
    async def answer(call):
        usage = {"input_tokens": tokens_in, "output_tokens": tokens_out}
        content = [{"type": "text", "text": "ok"}]
        await call.json(
            {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": content,
             "stop_reason": "end_turn", "stop_sequence": None, "usage": usage}
        )  # fmt: skip

    return answer


def test_anthropics_sdk_raises_its_own_rate_limit_error_with_its_own_headers(budgeted, claude, upstream):
    client = claude("narrow")
    marker = upstream.script(answered(9, 4))
    raw = client.messages.with_raw_response.create(model="claude-test", max_tokens=100, messages=say(marker))
    assert raw.parse().content[0].text == "ok"
    headers = raw.headers
    assert headers["anthropic-ratelimit-requests-limit"] == "50"
    assert int(headers["anthropic-ratelimit-requests-remaining"]) == 49
    assert headers["anthropic-ratelimit-output-tokens-limit"] == "400"
    assert headers["anthropic-ratelimit-input-tokens-limit"] == "5000"
    reset = datetime.fromisoformat(headers["anthropic-ratelimit-requests-reset"])
    assert abs((reset - datetime.now(UTC)).total_seconds()) < 90
    assert not [name for name in headers if name.startswith("x-ratelimit")]
    until("its settlement", lambda: budgeted.record(headers["x-request-id"])["usage"])

    def refused():
        try:
            client.messages.create(model="claude-test", max_tokens=398, messages=say("hello"))
        except anthropic.RateLimitError as error:
            return error
        return None

    error = refused()
    assert error is not None
    assert (error.status_code, error.body["type"], error.body["error"]["type"]) == (429, "error", "rate_limit_error")
    assert "'out'" in error.body["error"]["message"]
    assert 1 <= int(error.response.headers["retry-after"]) <= 62
    assert error.response.headers["anthropic-ratelimit-output-tokens-limit"] == "400"
    assert int(error.response.headers["anthropic-ratelimit-output-tokens-remaining"]) <= 396


def test_money_that_is_spent_is_402_to_anthropics_sdk(budgeted, claude, upstream):
    client = claude("strict")
    marker = upstream.script(answered(9, 50))  # 9 x 1 + 50 x 10 of 1,000 millionths
    raw = client.messages.with_raw_response.create(model="claude-test", max_tokens=60, messages=say(marker))
    assert budgeted.record(raw.headers["x-request-id"])["usage"]["cost_micros"] == 509
    with pytest.raises(anthropic.APIStatusError) as refused:
        client.messages.create(model="claude-test", max_tokens=60, messages=say("hello"))
    assert refused.value.status_code == 402
    assert "'cents'" in refused.value.body["error"]["message"]


def test_a_message_stream_is_cut_at_its_budget_with_an_error_event(budgeted, claude, upstream):
    gone = threading.Event()
    begin = messaging.start() + messaging.block()
    marker = upstream.script(endless(budgeted, begin, messaging.text(WORDS), gone))
    came = []
    with (
        pytest.raises(anthropic.APIStatusError) as cut,
        claude("acme").messages.stream(model="claude-test", max_tokens=1000, messages=say(marker)) as stream,
    ):
        came.extend(stream.text_stream)
    words = len("".join(came).split())
    assert cut.value.body["type"] == "error"
    assert cut.value.body["error"]["type"] == "rate_limit_error"
    assert "'day'" in cut.value.body["error"]["message"]
    assert 600 <= words <= 1020
    assert gone.wait(20)
    record = cut_record(budgeted, "/v1/messages")
    assert record["code"] == "budget_exceeded"
    assert 1000 <= record["usage"]["output_tokens"] <= 1030


def test_a_response_stream_is_cut_at_its_budget_with_a_failed_response(budgeted, responses, upstream):
    gone = threading.Event()
    script = Script().begin()
    script.item(message(part(WORDS)), ("output_text", 0, [WORDS]))
    events = script.raw.split(b"\n\n")
    at = next(number for number, one in enumerate(events) if b"output_text.delta" in one)
    begin, more = (b"\n\n".join(some) + b"\n\n" for some in (events[:at], events[at : at + 1]))
    marker = upstream.script(endless(budgeted, begin, more, gone))
    stream = responses.responses.create(model="gpt-test", input=marker, max_output_tokens=1000, stream=True)
    came, last = [], None
    try:
        for event in stream:
            last = event
            if event.type == "response.output_text.delta":
                came.append(event.delta)
    except openai.APIError as failure:
        code, told = failure.code, failure.message
    else:
        assert last.type in {"response.failed", "error"}
        error = last.response.error if last.type == "response.failed" else last
        code, told = error.code, error.message
    assert (code, "'day'" in told) == ("budget_exceeded", True)
    assert 600 <= len("".join(came).split()) <= 1020
    assert gone.wait(20)
    record = cut_record(budgeted, "/v1/responses")
    assert 1000 <= record["usage"]["output_tokens"] <= 1030
