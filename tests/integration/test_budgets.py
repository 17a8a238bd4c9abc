"""Budgets through real Envoy and real Valkey: refused before, cut during, exact afterwards, in the SDKs' own errors."""

import json
import ssl
import threading

import httpx
import openai
import pytest

import provider
from stack import Options, Stack, until
from upstream import Gate

CHAT = "/v1/chat/completions"
PRICES = {"currency": "USD", "book": {"gpt-test": [{"input": 1, "output": 10}]}}


def limits(**lines):
    return {"models": ["*"], "routes": ["*"], "budgets": {"limits": lines}}


TENANTS = {
    # 3,000 output tokens in a day, whoever asks.
    "acme": limits(day={"tokens_out": 3000, "per": "day"}),
    "narrow": limits(pair={"streams": 2}),
    # A thousandth of a dollar: 100 output tokens.
    "strict": limits(cents={"money": 0.001, "per": "day", "on_exceed": 402}),
    "watched": limits(minute={"tokens": 400, "per": "minute"}),
}


@pytest.fixture(scope="module")
def budgeted(short_dir, upstreams):
    def write(directory):
        tenants = json.loads((directory / "tenants.yaml").read_text())
        (directory / "tenants.yaml").write_text(json.dumps(tenants | TENANTS))
        (directory / "prices.yaml").write_text(json.dumps(PRICES))

    with Stack(short_dir(), upstreams, Options(policy=write, control=True)) as running:
        yield running


@pytest.fixture
def sdk(budgeted):
    made = []

    def make(key):
        context = ssl.create_default_context(cafile=str(budgeted.authority.pem))
        base = f"https://localhost:{budgeted.port}/v1"
        http = httpx.Client(verify=context)
        client = openai.OpenAI(
            base_url=base, api_key=budgeted.bundle.keys[key], http_client=http, max_retries=0, timeout=30
        )
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()


def say(text):
    return [{"role": "user", "content": text}]


def stands(budgeted, tenant):
    """What the ledger has charged to the tenant's only limit, and what it holds."""
    (limit,) = budgeted.operate("GET", f"/admin/v1/budgets/{tenant}")["limits"]
    return limit["used"], limit["held"]


def test_a_request_is_capped_at_what_is_left_and_the_ledger_is_the_record(budgeted, sdk, upstream):
    """A model that keeps to its cap; what it is told is what the ledger has left."""
    marker = upstream.script()
    client = sdk("watched")
    answer = client.chat.completions.create(model="gpt-test", messages=say(f"{marker} hello"), max_tokens=100)
    assert answer.choices[0].message.content == provider.REPLY
    record = budgeted.record(answer._request_id)
    assert (record["usage"]["input_tokens"], record["usage"]["output_tokens"]) == (7, 5)
    until("its settlement", lambda: stands(budgeted, "watched") == (12, 0))
    second = upstream.script()
    client.chat.completions.create(model="gpt-test", messages=say(f"{second} hello"))
    told = upstream.one(second).json["max_completion_tokens"]
    assert 256 <= told < 400
    with pytest.raises(openai.RateLimitError) as refused:
        client.chat.completions.create(model="gpt-test", messages=say("hello"), max_tokens=310)
    assert refused.value.code == "budget_exceeded"
    assert "minute" in refused.value.message
    headers = refused.value.response.headers
    assert int(headers["retry-after"]) <= 62
    assert headers["x-ratelimit-limit-tokens"] == "400"
    with pytest.raises(openai.PermissionDeniedError) as never:
        client.chat.completions.create(model="gpt-test", messages=say("hello"), max_tokens=5000)
    assert never.value.code == "max_tokens_exceeded"


def test_a_stream_is_cut_at_its_budget_and_the_provider_is_left(budgeted, sdk, upstream):
    """The model does not mind its cap: 200 chunks of ten words, each of ten tokens or so, against 1,000."""
    gone = threading.Event()

    async def endless(call):
        before = budgeted.heard()
        await call.head(200, (("content-type", "text/event-stream"),))
        try:
            for _ in range(2000):
                await call.chunk(provider.event(provider.delta("word " * 10)))
                await budgeted.hears(call, before)  # two that Envoy reads at once are one that is longer
        except (ConnectionError, OSError):
            pass
        await call.until_gone()
        gone.set()

    marker = upstream.script(endless)
    client = sdk("acme")
    stream = client.chat.completions.create(model="gpt-test", messages=say(marker), stream=True, max_tokens=1000)
    came = []
    with pytest.raises(openai.APIError) as cut:
        came.extend(chunk.choices[0].delta.content or "" for chunk in stream)
    words = len("".join(came).split())
    assert cut.value.code == "budget_exceeded"
    assert "day" in cut.value.message
    assert 600 <= words <= 1020  # of a model whose tokenizer is not known, half as much again is counted
    assert gone.wait(20)
    record = until("the record", lambda: [one for one in budgeted.audit() if one["outcome"] == "cut"])[0]
    assert record["code"] == "budget_exceeded"
    assert 1000 <= record["usage"]["output_tokens"] <= 1030


def test_running_streams_are_counted_and_come_back(budgeted, sdk, upstream):
    gates = []

    def begin():
        gate = Gate()
        gates.append(gate)

        async def wait(call):
            await call.head(200, (("content-type", "text/event-stream"),))
            await call.chunk(provider.event(provider.delta("one ")))
            await gate.passed()
            await call.chunk(b"data: [DONE]\n\n")
            await call.end()

        client = sdk("narrow")
        marker = upstream.script(wait)
        stream = client.chat.completions.create(model="gpt-test", messages=say(marker), stream=True)
        next(iter(stream))
        return stream

    first, second = begin(), begin()
    with pytest.raises(openai.RateLimitError):
        sdk("narrow").chat.completions.create(model="gpt-test", messages=say("hello"))
    for gate in gates:
        gate.open()
    for stream in (first, second):
        list(stream)

    def again():
        try:
            return sdk("narrow").chat.completions.create(model="gpt-test", messages=say("hello"))
        except openai.RateLimitError:
            return None

    assert until("a place", again)


def test_money_is_refused_with_402_where_policy_says_so_and_costs_stand_in_the_record(budgeted, sdk, upstream):
    marker = upstream.script()
    client = sdk("strict")
    answer = client.chat.completions.create(model="gpt-test", messages=say(f"{marker} hi"), max_tokens=50)
    record = budgeted.record(answer._request_id)
    assert (record["usage"]["cost_micros"], record["usage"]["currency"]) == (57, "USD")  # 7 x 1 + 5 x 10
    with pytest.raises(openai.APIStatusError) as refused:
        client.chat.completions.create(model="gpt-test", messages=say("hi"), max_tokens=90)
    assert (refused.value.status_code, refused.value.code) == (402, "budget_spent")


def test_a_model_without_a_price_is_refused_where_money_is_limited(sdk):
    with pytest.raises(openai.PermissionDeniedError) as refused:
        sdk("strict").chat.completions.create(model="gpt-other", messages=say("hi"), max_tokens=5)
    assert refused.value.code == "model_unpriced"
