"""The cache of answers through real Envoy and real Valkey, with the official SDKs: no second call of the provider."""

import asyncio
import json
import ssl

import httpx
import openai
import orjson
import pytest

import provider
from asking import CHAT, EMAIL, chat
from ostiary.cli import main
from rawhttp import RawClient
from stack import Options, Stack, until
from upstream import Gate

PRICES = {"currency": "USD", "book": {"gpt-test": [{"input": 1, "output": 10}]}}
ALL = {"models": ["*"], "routes": ["*"]}
# Flights and looks may take as long as a loaded machine does; nothing here measures time.
PATIENT = {"wait_ms": 30000, "deadline_ms": 5000}
TENANTS = {
    "acme": {**ALL, "cache": PATIENT},
    "narrow": {**ALL, "cache": {"scope": "tenant", "tags": ["faq"], **PATIENT}},
    "watched": {**ALL, "cache": PATIENT},
    # Spent by one test, and used by no other.
    "slow": {
        **ALL,
        "cache": {"charge": "full", **PATIENT},
        "budgets": {"limits": {"day": {"tokens": 400, "per": "day"}}},
    },
    "strict": {**ALL, "guards": {"response": {"pii.email": {"mode": "off"}}}, "cache": PATIENT},
}
HIT, MISS = "hit", "miss"


@pytest.fixture(scope="module")
def caching(short_dir, upstreams):
    def write(directory):
        tenants = json.loads((directory / "tenants.yaml").read_text())
        (directory / "tenants.yaml").write_text(json.dumps(tenants | TENANTS))
        (directory / "prices.yaml").write_text(json.dumps(PRICES))

    with Stack(short_dir(), upstreams, Options(policy=write, control=True)) as running:
        yield running
        assert "Traceback" not in running.logs()
        assert "task_crashed" not in running.logs()


@pytest.fixture
def ask(caching):
    """One raw chat request; status of the cache and text."""

    def ask(text, key="acme", headers=(), **fields):
        answer = caching.client(key).post(CHAT, chat(text, **fields), headers=list(headers))
        assert answer.status == 200, answer.body
        return answer.header("x-ostiary-cache")

    return ask


@pytest.fixture
def sdk(caching):
    context = ssl.create_default_context(cafile=str(caching.authority.pem))
    base = f"https://localhost:{caching.port}"
    options = {"api_key": caching.bundle.keys["acme"], "max_retries": 0, "timeout": 60}
    with httpx.Client(verify=context) as http:
        yield openai.OpenAI(base_url=f"{base}/v1", http_client=http, **options)


def says(text):
    return [{"role": "user", "content": text}]


# --- SDKs -------------------------------------------------------------------------------------------------
def test_the_second_answer_is_the_first_ones_and_the_provider_is_asked_once(caching, sdk, upstream):
    marker = upstream.script()
    asked = {"model": "gpt-test", "messages": says(f"what is a lighthouse? {marker}")}
    raw = sdk.chat.completions.with_raw_response
    first, second = raw.create(**asked), raw.create(**asked)
    assert (first.headers["x-ostiary-cache"], second.headers["x-ostiary-cache"]) == (MISS, HIT)
    assert second.parse() == first.parse()
    assert second.parse().choices[0].message.content == provider.REPLY
    assert int(second.headers["age"]) >= 0
    assert second.headers["cache-control"] == "no-store"
    upstream.one(marker)
    record = caching.record(second.headers["x-request-id"])
    assert (record["outcome"], record["details"]["cache"], record["backend"]) == ("completed", HIT, "")
    assert record["usage"] is None
    assert caching.record(first.headers["x-request-id"])["details"]["cache"] == MISS


def test_a_stream_is_given_again_as_a_stream(caching, sdk, upstream):
    marker = upstream.script()
    asked = {"model": "gpt-test", "messages": says(f"hello {marker}"), "stream": True}
    told = []
    for status in (MISS, HIT):
        with sdk.chat.completions.with_streaming_response.create(**asked) as answer:
            assert answer.headers["x-ostiary-cache"] == status
            assert answer.headers["content-type"].startswith("text/event-stream")
            chunks = list(answer.parse())
        told.append("".join(one.choices[0].delta.content or "" for one in chunks if one.choices))
    assert told == [provider.REPLY, provider.REPLY]
    upstream.one(marker)


def test_a_stream_that_the_sdk_has_left_with_its_last_event_is_kept(caching, sdk, upstream):
    gate = Gate()

    async def lingers(call):
        await call.head(200, [("content-type", "text/event-stream")])
        for piece in (provider.event(provider.delta("A tower.", finish="stop")), b"data: [DONE]\n\n"):
            await call.chunk(piece)
        await gate.passed(120)
        await call.end()

    marker = upstream.script(lingers)
    asked = {"model": "gpt-test", "messages": says(f"what is lit? {marker}"), "stream": True}
    try:
        for status in (MISS, HIT):
            with sdk.chat.completions.with_streaming_response.create(**asked) as answer:
                assert answer.headers["x-ostiary-cache"] == status
                text = "".join(one.choices[0].delta.content or "" for one in answer.parse() if one.choices)
            assert text == "A tower."
            record = caching.record(answer.headers["x-request-id"])
            assert (record["outcome"], record["details"]["cache"]) == ("completed", status)
    finally:
        gate.open()
    upstream.one(marker)


def test_a_stream_and_a_whole_answer_are_not_each_others(ask, upstream):
    marker = upstream.script()
    text = f"both ways {marker}"
    assert [ask(text), ask(text, stream=True), ask(text, stream=True), ask(text)] == [MISS, MISS, HIT, HIT]
    assert len(upstream.seen(marker)) == 2


def test_messages_and_embeddings(caching, sdk, upstream):
    async def message(call):
        content = [{"type": "text", "text": "A tower with a light."}]
        usage = {"input_tokens": 9, "output_tokens": 5}
        await call.json(
            {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": "claude",
                "content": content,
                "stop_reason": "end_turn",
                "stop_sequence": None,
                "usage": usage,
            }
        )

    marker = upstream.script(message)
    asked = {"model": "claude-test", "max_tokens": 100, "messages": says(f"lighthouse? {marker}")}
    answers = [caching.client().post("/v1/messages", asked) for _ in range(2)]
    assert [one.header("x-ostiary-cache") for one in answers] == [MISS, HIT]
    assert answers[0].json == answers[1].json
    upstream.one(marker)
    marker = upstream.script()
    raw = sdk.embeddings.with_raw_response
    asked = {"model": "gpt-test", "input": f"a lighthouse {marker}", "encoding_format": "float"}
    assert [raw.create(**asked).headers["x-ostiary-cache"] for _ in range(2)] == [MISS, HIT]
    upstream.one(marker)


# --- who gets whose -----------------------------------------------------------------------------------------
def test_no_tenant_and_no_principal_gets_anothers_answer(caching, ask, upstream):
    marker = upstream.script()
    text = f"same words everywhere {marker}"
    keys = ["acme", "narrow", "watched", "strict"]
    assert [ask(text, key) for key in keys] == [MISS] * 4
    assert len(upstream.seen(marker)) == 4
    assert [ask(text, key) for key in keys] == [HIT] * 4
    made = caching.operate("POST", "/admin/v1/keys", {"tenant": "acme", "principal": "somebody-else"})
    other = RawClient(caching.port, caching.authority.pem, [("authorization", f"Bearer {made['key']}")])
    # Every worker has to hear of the key first; refusals reach neither cache nor provider.
    answer = until("the new key", lambda: (got := other.post(CHAT, chat(text))).status == 200 and got)
    assert answer.header("x-ostiary-cache") == MISS
    assert len(upstream.seen(marker)) == 5


def test_principals_of_a_tenant_share_where_policy_says_so(caching, ask, upstream):
    marker = upstream.script()
    text = f"opening hours {marker}"
    assert ask(text, "narrow") == MISS
    made = caching.operate("POST", "/admin/v1/keys", {"tenant": "narrow", "principal": "somebody-else"})
    other = RawClient(caching.port, caching.authority.pem, [("authorization", f"Bearer {made['key']}")])
    answer = until("the new key", lambda: (got := other.post(CHAT, chat(text))).status == 200 and got)
    assert answer.header("x-ostiary-cache") == HIT
    upstream.one(marker)


@pytest.mark.parametrize(
    "other",
    [
        {"temperature": 0.5},
        {"max_tokens": 77},
        {"seed": 1},
        {"stop": ["x"]},
        {"response_format": {"type": "json_object"}},
        {"model": "gpt-open"},
        {"messages": [{"role": "system", "content": "Be brief."}]},
    ],
    ids=lambda other: next(iter(other)),
)
def test_whatever_decides_an_answer_parts_entries(ask, upstream, other):
    marker = upstream.script()
    text = f"parted {marker}"
    assert [ask(text), ask(text)] == [MISS, HIT]
    if "messages" in other:
        other = {"messages": [*other["messages"], *says(text)]}
    assert ask(text, **other) == MISS
    assert len(upstream.seen(marker)) == 2


# --- what is not kept ---------------------------------------------------------------------------------------
def test_nothing_with_personal_data_is_kept(ask, upstream):
    marker = upstream.script()
    assert [ask(f"mail {EMAIL} {marker}") for _ in range(2)] == [None, None]

    async def tells(call):
        await call.json(provider.chat(f"write to {EMAIL}"))

    marker = upstream.script(tells)
    assert [ask(f"whom shall I write to? {marker}") for _ in range(2)] == [MISS, MISS]
    # A tenant that has switched the rule off gets the answer as it is; kept it is not.
    assert [ask(f"whom shall I write to? {marker}", "strict") for _ in range(2)] == [MISS, MISS]
    assert len(upstream.seen(marker)) == 4


@pytest.mark.parametrize("streamed", [False, True])
def test_an_answer_without_its_end_is_not_kept(caching, ask, upstream, streamed):
    async def cut(call):
        if streamed:
            await call.sse(
                provider.event(provider.delta("Hel")) + provider.event(provider.delta("lo", finish="length"))
            )
        else:
            await call.json(provider.chat("Hel", finish="length"))

    marker = upstream.script(cut)
    assert [ask(f"cut {marker}", stream=streamed) for _ in range(2)] == [MISS, MISS]
    assert len(upstream.seen(marker)) == 2


def test_errors_and_refusals_are_not_kept(caching, upstream):
    async def fails(call):
        await call.json(provider.error("server_error", "no"), 500)

    marker = upstream.script(fails)
    client = caching.client()
    assert [client.post(CHAT, chat(f"fails {marker}")).status for _ in range(2)] == [500, 500]
    assert len(upstream.seen(marker)) == 2


def test_tools_and_end_users_are_left_alone(ask, upstream):
    marker = upstream.script()
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    for fields in ({"tools": [tool]}, {"user": "u-1"}, {"n": 2}, {"temperature": 1.5}):
        assert [ask(f"left {marker}", **fields) for _ in range(2)] == [None, None]
    assert len(upstream.seen(marker)) == 8


def test_a_request_says_what_it_wants_of_the_cache(ask, upstream):
    marker = upstream.script()
    text = f"wishes {marker}"

    def wants(value):
        return ask(text, headers=[("cache-control", value)])

    assert wants("no-store") is None
    assert ask(text) == MISS
    assert wants("no-cache") == MISS
    assert wants("max-age=0") == MISS
    assert wants("max-age=600") == HIT
    assert wants("no-store") is None
    assert len(upstream.seen(marker)) == 5


# --- invalidation, accounts, stampede -------------------------------------------------------------------------
def test_answers_are_thrown_away_by_tag_model_and_tenant(caching, ask, upstream, capsys):
    marker = upstream.script()
    text = f"prices {marker}"
    socket = ["--socket", str(caching.operator_socket), "--reason", "new prices"]
    for what in (["--tag", "faq"], ["--model", "gpt-test"], []):
        assert ask(text, "narrow") in {MISS, HIT}
        assert ask(text, "narrow") == HIT
        assert main(["cache", "invalidate", "narrow", *what, *socket]) == 0
        assert ask(text, "narrow") == MISS
    assert ask(text, "narrow") == HIT
    for what in (["--tag", "other"], ["--model", "gpt-open"]):
        assert main(["cache", "invalidate", "narrow", *what, *socket]) == 0
    assert main(["cache", "invalidate", "acme", *socket]) == 0
    assert ask(text, "narrow") == HIT
    assert "Thrown away for narrow: what carries faq" in capsys.readouterr().out

    def told():
        return {one["tenant"] for one in caching.audit() if one["method"] == "cache.invalidate"}

    until("records of both tenants", lambda: told() == {"narrow", "acme"})


def test_a_hit_is_charged_where_policy_says_so_and_a_spent_budget_refuses_it(caching, ask, upstream):
    marker = upstream.script()
    client = caching.client("slow")
    answers = [client.post(CHAT, chat(f"charged {marker}", max_tokens=100)) for _ in range(3)]
    assert [one.header("x-ostiary-cache") for one in answers] == [MISS, HIT, HIT]
    usages = [caching.record(one)["usage"] for one in answers]
    assert [(one["input_tokens"], one["output_tokens"], one["cost_micros"]) for one in usages] == [(7, 5, 57)] * 3
    spending = (client.post(CHAT, chat(f"charged {marker}", max_tokens=100)) for _ in range(100))
    refused = next(one for one in spending if one.status != 200)
    assert refused.code == "budget_exceeded"
    upstream.one(marker)


async def test_a_stampede_lets_one_through(caching, upstream):
    gate = Gate()

    async def slow(call):
        await gate.passed(60)
        await call.json(provider.chat())

    marker = upstream.script(slow)
    body = orjson.dumps(chat(f"stampede {marker}"))
    context = ssl.create_default_context(cafile=str(caching.authority.pem))
    headers = {"authorization": f"Bearer {caching.bundle.keys['acme']}", "content-type": "application/json"}
    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(verify=context, headers=headers, limits=limits, timeout=120) as http:
        url = f"https://localhost:{caching.port}{CHAT}"
        asking = [asyncio.create_task(http.post(url, content=body)) for _ in range(200)]

        def waiting():
            stats = caching.envoy_stats("http.")
            return max(value for name, value in stats.items() if name.endswith("downstream_rq_active")) >= 200

        await asyncio.to_thread(until, "200 requests", waiting, 60)
        gate.open()
        answers = await asyncio.gather(*asking)
    assert [one.status_code for one in answers] == [200] * 200
    assert len({one.content for one in answers}) == 1
    assert sorted(one.headers["x-ostiary-cache"] for one in answers) == [HIT] * 199 + [MISS]
    upstream.one(marker)


async def test_nothing_of_a_prompt_or_an_answer_is_in_valkey_in_the_clear(caching, ask, upstream):
    marker = upstream.script()
    assert [ask(f"secret plans {marker}") for _ in range(2)] == [MISS, HIT]
    client = caching.valkey.client()
    try:
        names = [name async for name in client.scan_iter(match="ostiary:{acme}:cache:*", count=1000)]
        entries = [name for name in names if b":entry:" in name]
        assert entries
        values = [await client.get(name) for name in entries]
    finally:
        await client.aclose()
    for each in (*names, *values):
        assert b"secret plans" not in each
        assert marker.encode() not in each
        assert provider.REPLY.encode() not in each
