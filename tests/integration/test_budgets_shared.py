"""Limits that tenants share, through real Envoy and real Valkey: borrowed while idle, given back, told in SDKs' words."""

import json
import ssl

import anthropic
import httpx
import httpx2
import openai
import pytest

import provider
import webhook
from gateway import hook
from gateway.telemetry import metrics
from stack import Options, Stack, until
from upstream import Gate

HEADER = "x-ostiary-shared-limit"
SHARED = {
    "slots": {"streams": 4, "weights": {"acme": 1, "narrow": 1}, "models": ["gpt-test"]},
    "claude": {"tokens_out": 1000, "per": "minute", "weights": {"strict": 1, "watched": 3}},
    "filling": {"tokens": 1000, "per": "hour", "weights": {"acme": 1, "narrow": 3}, "models": ["gpt-open"]},
}
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture(scope="module")
def receiver():
    with webhook.receiving() as server:
        yield server


@pytest.fixture(scope="module")
def sharing(short_dir, upstreams, receiver):
    def write(directory):
        policy = json.loads((directory / "policy.yaml").read_text())
        policy["budgets"] = {"shared": SHARED, "alerts": [50]}
        url = f"http://127.0.0.1:{receiver.server_port}/api/v2/alerts"
        policy["alert_hook"] = {"url": url, "secret_file": "hook.secret"}
        (directory / "policy.yaml").write_text(json.dumps(policy))
        (directory / "hook.secret").write_text(SECRET)
        (directory / "hook.secret").chmod(0o600)

    with Stack(short_dir(), upstreams, Options(policy=write, control=True)) as running:
        yield running


@pytest.fixture
def context(sharing):
    return ssl.create_default_context(cafile=str(sharing.authority.pem))


@pytest.fixture
def sdk(sharing, context):
    made = []

    def make(key):
        base = f"https://localhost:{sharing.port}/v1"
        http = httpx.Client(verify=context)
        made.append(
            openai.OpenAI(base_url=base, api_key=sharing.bundle.keys[key], http_client=http, max_retries=0, timeout=30)
        )
        return made[-1]

    yield make
    for client in made:
        client.close()


def say(text):
    return [{"role": "user", "content": text}]


def test_what_is_idle_is_borrowed_and_comes_back_to_whoever_it_is_assured_to(sharing, sdk, upstream):
    gates = []

    def begin(key):
        gate = Gate()

        async def wait(call):
            await call.head(200, (("content-type", "text/event-stream"),))
            await call.chunk(provider.event(provider.delta("one ")))
            await gate.passed()
            await call.chunk(b"data: [DONE]\n\n")
            await call.end()

        marker = upstream.script(wait)
        stream = sdk(key).chat.completions.create(model="gpt-test", messages=say(marker), stream=True)
        next(iter(stream))
        gates.append((gate, stream))
        return stream

    def end():
        gate, stream = gates.pop(0)
        gate.open()
        list(stream)

    # Both of its own, and both of the other's.
    for _ in range(3):
        begin("acme")
    stream = begin("acme")
    assert stream.response.headers[HEADER] == '"slots";amount=4;left=0;assured=2;own=4'
    with pytest.raises(openai.RateLimitError) as refused:
        begin("narrow")
    assert refused.value.code == "budget_exceeded"
    assert "shared limit 'slots' is reached: 4 of 4 requests are running; yours are 0" in refused.value.message
    assert refused.value.response.headers[HEADER] == '"slots";amount=4;left=0;assured=2;own=0'
    # A model that is not of it is not counted by it.
    other = sdk("acme").chat.completions.with_raw_response.create(model="gpt-other", messages=say(upstream.script()))
    assert HEADER not in other.headers
    whole = sharing.operate("GET", "/admin/v1/budgets/acme?limit=slots")["limits"][0]
    assert (whole["used"], whole["assured"]) == (4, 2)
    assert [(one["tenant"], one["used"]) for one in whole["members"]] == [("acme", 4), ("narrow", 0)]
    end()

    def back():
        try:
            return begin("narrow")
        except openai.RateLimitError:
            return None

    assert until("the place that was lent", back)
    while gates:
        end()


async def claude(call):
    content = [{"type": "text", "text": "ok"}]
    usage = {"input_tokens": 9, "output_tokens": 4}
    await call.json(
        {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": content,
         "stop_reason": "end_turn", "stop_sequence": None, "usage": usage}
    )  # fmt: skip


def test_anthropics_sdk_is_told_the_same(sharing, context, upstream):
    http = httpx2.Client(verify=context)
    client = anthropic.Anthropic(
        base_url=f"https://localhost:{sharing.port}",
        api_key=sharing.bundle.keys["strict"],
        http_client=http,
        max_retries=0,
        timeout=30,
    )
    with client:
        # 750 are the other's, but it is away; 985 may be borrowed.
        with pytest.raises(anthropic.PermissionDeniedError) as never:
            client.messages.create(model="claude-test", messages=say("hello"), max_tokens=990)
        assert "of which 250 are assured to you" in never.value.message
        answer = client.messages.with_raw_response.create(
            model="claude-test", messages=say(upstream.script(claude)), max_tokens=980
        )
        assert answer.headers[HEADER].startswith('"claude";amount=1000;left=20;assured=250;own=980')


def test_what_fills_is_told_once_and_measured(sharing, sdk, upstream, receiver):
    async def answer(call):
        usage = {"prompt_tokens": 100, "completion_tokens": 450, "total_tokens": 550}
        await call.json(provider.chat() | {"usage": usage})

    told = sdk("acme").chat.completions.create(model="gpt-open", messages=say(upstream.script(answer)), max_tokens=500)
    assert told.usage.total_tokens == 550

    def sent():
        found = [call for call in receiver.calls if json.loads(call[1])[0]["labels"]["limit"] == "filling"]
        return found or None

    ((head, body, at_s),) = until("the alert", sent)
    assert hook.verify(hook.key_of(SECRET), head, body, at_s) == head["webhook-id"]
    (alert,) = json.loads(body)
    assert alert["labels"] == {
        "alertname": "OstiaryBudget", "shared": "true", "limit": "filling", "threshold": "50", "severity": "warning"
    }  # fmt: skip
    assert alert["annotations"]["description"] == "550 of 1,000 tokens are used."
    wanted = {
        'ostiary_shared_budget_used_ratio{limit="filling"} 0.55',
        'ostiary_shared_budget_part_ratio{limit="filling",tenant="acme"} 2.2',
    }
    until("the metrics", lambda: wanted <= set(metrics.render(sharing.metrics_dir).decode().splitlines()))
    records = until("its record", lambda: [one for one in sharing.audit() if _of_filling(one)])
    assert [(one["tenant"], one["details"]["delivery"]) for one in records] == [("", "sent")]


def _of_filling(record):
    return record["method"] == "budget.alert" and record["details"]["limit"] == "filling"
