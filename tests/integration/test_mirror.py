"""Copies to mirrors through real Envoy, Valkey and the official SDKs: all of them, none where policy says so, no charge."""

import ssl

import anthropic
import httpx
import httpx2
import openai
import orjson
import pytest

import provider
from asking import CARD, CHAT, EMAIL, chat, told
from bundle import PROVIDER_KEYS
from gateway.audit.record import MIRROR
from gateway.telemetry.metrics import render
from messaging import block, end, start, stop, text
from stack import Options, Stack, until
from upstream import Gate, Upstream

KEYS = {**PROVIDER_KEYS, "mirror": "sk-mirror-0000", "claude": "sk-mirror-claude"}
ALWAYS = {"backend": "mirror", "percent": 100, "per_minute": 6000}
PII = {"pii.*": ["main"]}
MODELS = {
    "all": {"backends": ["main"], "mirror": ALWAYS},
    "none": {"backends": ["main"], "mirror": {**ALWAYS, "percent": 0}},
    "canary": {"backends": ["main", "other"], "select": "sticky", "weights": {"main": 1, "other": 1}, "tell": True},
    "risky": {"backends": ["main"], "mirror": ALWAYS, "when_found": PII},
    "risky-down": {"backends": ["dead"], "mirror": ALWAYS, "when_found": {"pii.*": ["dead"]}},
    "pool": {"backends": ["main", "other"], "mirror": ALWAYS},
    "across": {"backends": ["main"], "mirror": {**ALWAYS, "backend": "claude"}, "upstream_model": {"claude": "next"}},
    "narrow": {"backends": ["main"], "mirror": ALWAYS, "lacks": {"mirror": ["tools"]}, "context": {"mirror": 100}},
    "down": {"backends": ["main"], "mirror": {**ALWAYS, "backend": "dead"}},
    "keyless-mirror": {"backends": ["main"], "mirror": {**ALWAYS, "backend": "keyless"}},
    "brief": {"backends": ["main"], "mirror": {**ALWAYS, "timeout_s": 1}},
    "slow-rate": {"backends": ["main"], "mirror": {**ALWAYS, "per_minute": 1}},
    "spent": {"backends": ["main"], "mirror": {**ALWAYS, "tokens_per_day": 1000}},
}
TENANTS = {
    "acme": {"budgets": {"limits": {"day": {"tokens": 1_000_000, "per": "day"}}}},
    "narrow": {"models": ["*"], "backends": ["main"]},  # a contract: nobody else sees its prompts
    "slow": {"cache": {"wait_ms": 30000, "deadline_ms": 5000}, "rate": {"requests": 1000, "window_s": 1}},
}

MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn", "stop_sequence": None,
    "content": [{"type": "text", "text": "Nobody reads this."}], "usage": {"input_tokens": 9, "output_tokens": 4},
}  # fmt: skip


@pytest.fixture(scope="module")
def mirror():
    server = Upstream(provider.default).start()
    yield server
    server.stop()
    assert not server.problems


@pytest.fixture(scope="module")
def gateway(short_dir, upstreams, mirror):
    def policy(directory):
        def change(name, changed):
            held = orjson.loads((directory / name).read_bytes())
            (directory / name).write_bytes(orjson.dumps({**held, **changed(held)}))

        for name in ("mirror", "claude"):
            (directory / f"{name}.key").write_text(KEYS[name] + "\n")
            (directory / f"{name}.key").chmod(0o600)
        base = f"http://127.0.0.1:{mirror.port}/base"
        backends = {
            "mirror": {"url": f"{base}-mirror", "credential": {"file": "mirror.key", "header": "x-mirror-key"}},
            "claude": {
                "url": f"{base}-claude",
                "dialect": "anthropic",
                "credential": {"file": "claude.key", "header": "x-api-key"},
            },
        }
        change("backends.yaml", lambda _: backends)
        change("models.yaml", lambda _: MODELS)
        change("tenants.yaml", lambda held: {name: held[name] | more for name, more in TENANTS.items()})

    with Stack(short_dir(), upstreams, Options(workers=1, policy=policy, control=True)) as running:
        yield running
        assert "Traceback" not in running.logs()
        assert "task_crashed" not in running.logs()
        assert not [name for name in KEYS.values() if name in running.logs()]


@pytest.fixture
def ask(gateway, upstreams, mirror):
    """One request to a model; the marker by which its copies are known, and the answer."""

    def ask(model, text="Hello", key="acme", primary=None, copy=None, headers=(), **fields):
        marker = upstreams["main"].script(primary)
        upstreams["other"].script(None, marker)
        mirror.script(copy, marker)
        body = chat(f"{text} {marker}", model=model, **fields)
        return marker, gateway.client(key).post(CHAT, body, headers=list(headers), timeout_s=60)

    return ask


def records(gateway, answer, count=2):
    """Of the exchange and its copy, in this order."""
    name = answer.header("x-request-id")

    def both():
        found = [one for one in gateway.audit() if name in {one["request_id"], one["details"].get("mirror_of")}]
        return found if len(found) >= count else None

    found = until("the records of an exchange and its copy", both)
    assert len(found) == count
    return sorted(found, key=lambda one: one["writer"] == MIRROR)


def test_each_request_is_copied_once_where_policy_says_all_and_never_where_it_says_none(
    gateway, mirror, upstreams, ask
):
    marker = upstreams["main"].script()
    mirror.script(None, marker)
    client = gateway.client()
    for model, count in (("all", 25), ("none", 25)):
        for _ in range(count):
            assert client.post(CHAT, chat(f"Hello {marker}", model=model)).status == 200
    last, _ = ask("all")
    mirror.wait_seen(last, 1, 20)
    assert len(mirror.wait_seen(marker, 25, 20)) == 25
    assert len(upstreams["main"].seen(marker)) == 50


def test_a_copy_says_what_the_backend_was_told_and_has_nothing_of_the_caller(gateway, mirror, upstreams, ask):
    sent = [("x-mirror-key", "forged"), ("openai-organization", "org-1"), ("x-tag", "t"), ("traceparent", "00-1-2-3")]
    marker, answer = ask("all", f"Write to {EMAIL},", headers=sent)
    assert answer.status == 200
    copy, primary = mirror.wait_seen(marker, 1, 20)[0], upstreams["main"].one(marker)
    assert copy.body == primary.body
    assert EMAIL.encode() not in copy.body
    assert copy.target == f"/base-mirror{CHAT}"
    assert copy.header("x-mirror-key") == KEYS["mirror"]
    assert copy.names == {
        "host", "accept", "accept-encoding", "user-agent", "content-type", "content-length", "x-mirror-key",
    }  # fmt: skip
    assert copy.header("host") == f"127.0.0.1:{mirror.port}"
    head = repr(copy.headers)
    assert not [key for key in (*PROVIDER_KEYS.values(), gateway.bundle.keys["acme"]) if key in head]
    assert KEYS["mirror"] not in repr(primary.headers)


def test_the_tenant_is_charged_once_and_the_copy_is_on_record_without_a_charge(gateway, ask, mirror, capsys):
    before = _used(gateway)
    _, answer = ask("all")
    own, copy = records(gateway, answer)
    assert (own["writer"], own["backend"], own["usage"]["input_tokens"]) == ("inspect", "main", 7)
    assert (copy["backend"], copy["status"], copy["outcome"], copy["tenant"]) == ("mirror", 200, "completed", "acme")
    assert copy["usage"] is None
    assert (copy["details"]["input_tokens"], copy["details"]["output_tokens"]) == ("7", "5")
    until("the charge", lambda: _used(gateway) == before + 12)
    for backend, role in (("mirror", "mirror"), ("main", "primary")):
        line = f'ostiary_backend_tokens_total{{backend="{backend}",direction="input",model="all",role="{role}"}}'
        until("tokens by backend", lambda line=line: line in _metrics(gateway))


def _used(gateway):
    """As soon as nothing is held: what an earlier exchange used is charged a little after its answer."""

    def settled():
        limits = gateway.operate("GET", "/admin/v1/budgets/acme")["limits"]
        return None if any(one["held"] for one in limits) else (sum(one["used"] for one in limits),)

    return until("settlements", settled)[0]


def _metrics(gateway):
    return render(gateway.metrics_dir).decode()


async def _fails(call):
    await call.json({"error": {"message": "no"}}, 503)


async def _resets(call):
    call.reset()


async def _no_answer(call):
    await call.answer(200, b"\x00" * 64, [("content-type", "text/html")])


async def _huge(call):
    await call.head(200, [("content-type", "text/event-stream")])
    while True:
        await call.chunk(b"data: " + b"x" * 65_000 + b"\n\n")


@pytest.mark.parametrize(
    ("copy", "outcome", "reason"),
    [
        (_fails, "failed", ""),
        (_resets, "failed", None),
        (_no_answer, "completed", ""),
        (_huge, "cut", "longer than what is listened to"),
    ],
    ids=["503", "reset", "nonsense", "huge"],
)
def test_what_a_mirror_answers_changes_nothing(gateway, ask, copy, outcome, reason):
    _, answer = ask("all", copy=copy)
    assert answer.status == 200
    assert orjson.loads(answer.body)["choices"][0]["message"]["content"] == provider.REPLY
    assert not [name for name, _ in answer.headers if "mirror" in name]
    own, record = records(gateway, answer)
    assert (own["outcome"], record["outcome"]) == ("completed", outcome)
    assert reason is None or record["reason"] == reason


@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
def test_an_answer_does_not_wait_for_the_mirror(gateway, ask, mirror, stream):
    gate = Gate()

    async def stalls(call):
        await gate.passed(60)
        await call.json(provider.chat())

    marker, answer = ask("all", copy=stalls, stream=stream)
    assert answer.status == 200  # and its end was read, while nobody had opened the gate
    assert provider.REPLY in (told(answer.body) if stream else answer.body.decode())
    gate.open()
    assert records(gateway, answer)[1]["outcome"] == "completed"
    assert len(mirror.seen(marker)) == 1


def test_a_mirror_that_stalls_is_hung_up_on_and_one_that_is_not_there_is_missed_by_nobody(gateway, ask):
    async def stalls(call):
        await call.until_gone(60)

    _, answer = ask("brief", copy=stalls)
    assert answer.status == 200
    copy = records(gateway, answer)[1]
    assert (copy["outcome"], copy["reason"], copy["status"]) == ("failed", "timeout", 0)
    _, answer = ask("down")
    assert answer.status == 200
    copy = records(gateway, answer)[1]
    assert (copy["backend"], copy["outcome"], copy["status"]) == ("dead", "failed", 503)


def test_what_was_found_keeps_a_copy_from_a_mirror_that_may_not_see_it(gateway, ask, mirror):
    private, answer = ask("risky", f"My card is {CARD}.")
    assert answer.status == 200
    down, refused = ask("risky-down", f"My card is {CARD}.")
    assert refused.status == 503
    clean, answer = ask("risky")
    mirror.wait_seen(clean, 1, 20)
    assert (mirror.seen(private), mirror.seen(down)) == ([], [])


def test_no_copy_is_made_of_what_may_not_go_there_or_went_nowhere(gateway, ask, mirror):
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    markers = [
        ask("narrow", tools=[tool])[0],
        ask("narrow", max_tokens=500)[0],
        ask("all", key="narrow")[0],
        ask("keyless-mirror")[0],
        ask("all", f"Mail {EMAIL}", key="strict")[0],
        ask("all", "words " * 60_000)[0],
    ]
    first, _ = ask("slow-rate")
    second, answer = ask("slow-rate")
    assert answer.status == 200
    mirror.wait_seen(first, 1, 20)
    marker, answer = ask("narrow", max_tokens=5)
    mirror.wait_seen(marker, 1, 20)
    assert [mirror.seen(one) for one in (*markers, second)] == [[]] * 7
    for model, backend, reason in (("keyless-mirror", "keyless", "credential"), ("slow-rate", "mirror", "rate")):
        line = f'ostiary_copies_not_sent_total{{backend="{backend}",model="{model}",reason="{reason}"}} 1.0'
        until("the count of what was not copied", lambda line=line: line in _metrics(gateway))


def test_a_hit_of_the_cache_is_not_copied(gateway, ask, mirror, upstreams):
    marker = upstreams["main"].script()
    mirror.script(None, marker)
    client = gateway.client("slow")

    def say():
        answer = client.post(CHAT, chat(f"Hello {marker}", model="all", temperature=0))
        assert answer.status == 200
        return answer.header("x-ostiary-cache")

    assert say() == "miss"
    until("a hit", lambda: say() == "hit")
    asked = len(upstreams["main"].seen(marker))
    last, _ = ask("all")
    mirror.wait_seen(last, 1, 20)
    assert len(mirror.wait_seen(marker, asked, 20)) == asked


def test_a_request_that_fails_over_is_copied_once(gateway, ask, mirror, upstreams):
    marker, answer = ask("pool", primary=_fails)
    assert answer.status == 200
    own, copy = records(gateway, answer)
    assert (own["backend"], own["details"]["attempts"], copy["outcome"]) == ("other", "2", "completed")
    assert len(mirror.seen(marker)) == 1


def test_the_mirror_has_a_budget_of_its_own(gateway, ask, mirror):
    """1,000 tokens a day, of which the first copy uses 900; each may need 200, and that much is not left."""

    async def uses(call):
        spent = provider.chat()
        spent["usage"] = {"prompt_tokens": 600, "completion_tokens": 300, "total_tokens": 900}
        await call.json(spent)

    _, answer = ask("spent", copy=uses, max_tokens=200)
    assert records(gateway, answer)[1]["details"]["input_tokens"] == "600"
    line = 'ostiary_copies_not_sent_total{backend="mirror",model="spent",reason="budget"}'

    def refused():
        marker, answer = ask("spent", max_tokens=200)
        assert answer.status == 200
        return line in _metrics(gateway) and not mirror.seen(marker)

    until("a copy that the mirror's budget refuses", refused)


def test_a_sticky_canary_keeps_its_callers_and_is_compared_by_metrics(gateway):
    asked = {}
    for key in ("acme", "narrow", "watched", "strict"):
        client = gateway.client(key)
        answers = [client.post(CHAT, chat("Hello", model="canary")) for _ in range(4)]
        assert {answer.status for answer in answers} == {200}
        (asked[key],) = {answer.header("x-ostiary-backend") for answer in answers}
    assert asked["narrow"] == "main"  # where its requests may go comes first
    for backend in set(asked.values()):
        count = 4 * list(asked.values()).count(backend)
        labels = f'backend="{backend}",model="canary",outcome="completed",role="primary",status="2xx"'
        line = f"ostiary_backend_exchanges_total{{{labels}}} {count}.0"
        until("what is counted by backend", lambda line=line: line in _metrics(gateway))


@pytest.fixture
def sdks(gateway):
    context = ssl.create_default_context(cafile=str(gateway.authority.pem))
    base = f"https://localhost:{gateway.port}"
    options = {"api_key": gateway.bundle.keys["acme"], "max_retries": 0, "timeout": 60}
    with httpx.Client(verify=context) as http, httpx2.Client(verify=context) as other:
        yield (
            openai.OpenAI(base_url=f"{base}/v1", http_client=http, **options),
            anthropic.Anthropic(base_url=base, http_client=other, **options),
        )


@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
def test_official_clients_get_their_answers_and_mirrors_of_another_dialect_understand_the_copy(
    gateway, sdks, mirror, upstreams, stream
):
    async def answers(call):
        if stream:
            await call.sse(start() + block() + text("Nobody reads this.") + stop() + end())
        else:
            await call.json(MESSAGE)

    marker = upstreams["main"].script()
    mirror.script(answers, marker)
    chats, messages = sdks
    asked = [{"role": "user", "content": f"Hello {marker}"}]
    answer = chats.chat.completions.create(model="across", messages=asked, stream=stream)
    said = "".join(c.choices[0].delta.content or "" for c in answer) if stream else answer.choices[0].message.content
    assert said == provider.REPLY
    copy = mirror.wait_seen(marker, 1, 20)[0]
    assert (copy.target, copy.json["model"]) == ("/base-claude/v1/messages", "next")
    assert copy.json["messages"][0]["content"] == f"Hello {marker}"
    assert (copy.header("x-api-key"), copy.header("authorization")) == (KEYS["claude"], None)
    body = messages.messages.create(model="across", max_tokens=50, messages=asked)
    assert body.content[0].text == provider.REPLY
    second = mirror.wait_seen(marker, 2, 20)[1]
    assert second.json["messages"][0]["content"] == f"Hello {marker}"
    tokens = until(
        "what the mirror told of its tokens",
        lambda: {one["details"].get("input_tokens") for one in gateway.audit() if one["backend"] == "claude"} - {None},
    )
    assert tokens
