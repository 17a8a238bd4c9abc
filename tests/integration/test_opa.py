"""Rego through real Envoy and real workers: who is refused and told why, what is seen to, and what bad Rego cannot do."""

import json
import os
import signal
import ssl
import threading

import httpx
import openai
import orjson
import pytest

import provider
import rego
from asking import CHAT, EMAIL, chat
from opa_server import OpaServer
from stack import Options, Stack, until

pytestmark = rego.needs_library
#: As long as a policy may say: a loaded machine is no policy engine that is silent.
DEADLINE_MS = 1000

#: What happens to a caller is written beside its tenant, so that one stack serves every test.
REGO = """package ostiary.authz

import rego.v1

who := input.caller.tenant

decision := {"allow": true} if who == "acme"

decision := {"allow": false, "reasons": ["narrow has no contract", "ask sales"]} if who == "narrow"

decision := {
	"allow": true,
	"obligations": {"models": ["gpt-test", "gpt-unheard-of"], "max_tokens": 50, "guards": ["pii.email"], "route": "eu"},
} if {
	who == "watched"
}

# What an author who thinks in strings may write. It must not count as a yes.
decision := {"allow": "true"} if who == "strict"

# Some seconds of one core.
decision := {"allow": true} if {
	who == "slow"
	numbers_to := numbers.range(1, 110)
	count([1 | some a in numbers_to; some b in numbers_to; some c in numbers_to; a * b * c == -1]) == 0
}
"""


def write(stack, section, *files):
    """Add the section and the files of rego/ to the stack's policy."""
    directory = stack.bundle.directory
    root = json.loads((directory / "policy.yaml").read_text())
    (directory / "policy.yaml").write_text(json.dumps({**root, "opa": section}))
    for name, text in files:
        path = directory / "rego" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


def hang_up(stack, event):
    """SIGHUP, and wait until every worker says what came of it."""
    seen = stack.logs().count(event)
    for worker in stack.workers.values():
        os.kill(worker.pid, signal.SIGHUP)
    until(event, lambda: stack.logs().count(event) >= seen + len(stack.workers))


@pytest.fixture(scope="module")
def ruled(short_dir, upstreams):
    stack = Stack(short_dir(), upstreams, Options(workers=1))
    section = {"package": "ostiary.authz", "cache_on": ["caller.tenant"], "deadline_ms": DEADLINE_MS}
    write(stack, section, ("authz.rego", REGO))
    with stack:
        yield stack


@pytest.fixture
def ask(ruled, upstream):
    def ask(key, prompt="hello", **fields):
        return ruled.client(key).post(CHAT, chat(f"{prompt} {upstream.script()}", **fields))

    return ask


def decision(stack, answer):
    return json.loads(stack.record(answer)["details"]["opa"])


def test_an_allow_reaches_the_model_and_the_second_one_is_remembered(ruled, ask):
    answers = [ask("acme") for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 200]
    assert decision(ruled, answers[1]) == {"allow": True, "cached": True}


def test_a_deny_is_the_sdks_typed_error_with_the_reasons(ruled):
    context = ssl.create_default_context(cafile=str(ruled.authority.pem))
    with (
        httpx.Client(verify=context) as http,
        openai.OpenAI(
            base_url=f"https://localhost:{ruled.port}/v1", api_key=ruled.bundle.keys["narrow"], http_client=http
        ) as sdk,
        pytest.raises(openai.PermissionDeniedError) as caught,
    ):
        sdk.chat.completions.create(model="gpt-test", messages=[{"role": "user", "content": "hi"}])
    assert caught.value.code == "policy_denied"
    assert "narrow has no contract; ask sales" in caught.value.message
    record = ruled.record(caught.value.response.headers["x-request-id"])
    assert (record["writer"], record["outcome"], record["tenant"]) == ("authz", "refused", "narrow")
    assert json.loads(record["details"]["opa"])["reasons"] == ["narrow has no contract", "ask sales"]


def test_a_decision_that_is_no_boolean_is_a_deny(ruled, ask):
    answer = ask("strict")
    assert (answer.status, answer.code) == (403, "policy_denied")
    assert ruled.record(answer)["reason"] == "decision: allow is not a boolean"


# --- obligations --------------------------------------------------------------------------------------


def test_a_model_outside_the_obligation_is_forbidden_and_not_listed(ruled, ask):
    answer = ask("watched", model="gpt-other")
    assert (answer.status, answer.code) == (403, "model_forbidden")
    listed = ruled.client("watched").ask("GET", "/v1/models").json
    assert [entry["id"] for entry in listed["data"]] == ["gpt-test"]


@pytest.mark.parametrize("stream", [False, True])
def test_the_provider_sees_the_cap(ruled, upstream, stream):
    marker = upstream.script()
    answer = ruled.client("watched").post(CHAT, chat(marker, stream=stream))
    assert answer.status == 200
    assert upstream.one(marker).json["max_completion_tokens"] == 50
    obligations = json.loads(ruled.record(answer)["details"]["obligations"])
    assert (obligations["max_tokens"], obligations["route"]) == (50, "eu")


def test_more_than_the_cap_is_refused_before_the_provider(ruled, upstream):
    marker = upstream.script()
    answer = ruled.client("watched").post(CHAT, chat(marker, max_tokens=51))
    assert (answer.status, answer.code) == (403, "max_tokens_exceeded")
    assert not upstream.seen(marker)


def test_an_obligatory_guard_blocks_what_the_tenant_only_flags(ruled, upstream):
    asked = upstream.script()
    answer = ruled.client("watched").post(CHAT, chat(f"mail {EMAIL} {asked}"))
    assert (answer.status, answer.code) == (403, "request_blocked")
    assert not upstream.seen(asked)

    async def tells(call):
        await call.json(provider.chat(f"write to {EMAIL}"))

    answer = ruled.client("watched").post(CHAT, chat(upstream.script(tells)))
    assert (answer.status, answer.code) == (403, "answer_blocked")
    assert EMAIL.encode() not in answer.raw


# --- bad Rego -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_rego_that_loops_is_a_refusal_and_stops_nobody_else(ruled, ask):
    answers = []
    looping = threading.Thread(target=lambda: answers.append(ask("slow")))
    looping.start()
    others = 0
    while looping.is_alive() or not others:
        assert ask("acme").status == 200
        assert ask("strict").status == 403  # not remembered: it is evaluated beside the loop each time
        others += 1
    looping.join()
    assert (answers[0].status, answers[0].code) == (503, "policy_engine_unavailable")
    assert answers[0].header("retry-after")
    assert ruled.record(answers[0])["reason"] == "no decision within the policy's deadline_ms"
    again = ask("slow")
    assert again.code == "policy_engine_unavailable"
    assert "still runs" in ruled.record(again)["reason"]
    until("the end of the loop", lambda: "opa_evaluation_late" in ruled.logs())
    assert ask("acme").status == 200


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("package ostiary.authz\n\ndecision := {\n", "unexpected eof"),
        ("package ostiary.authz\n\nx := 1\n", "no source has a rule"),
        (rego.ALLOW + '\nx := http.send({"method": "get", "url": "http://127.0.0.1:9"})\n', "http.send is not allowed"),
    ],
)
def test_rego_that_may_not_be_policy_keeps_the_policy_before(ruled, ask, text, words):
    file = ruled.bundle.directory / "rego" / "authz.rego"
    file.write_text(text)
    try:
        hang_up(ruled, "policy_refused")
        assert words in ruled.logs()
        assert (ask("acme").status, ask("narrow").status) == (200, 403)
    finally:
        file.write_text(REGO)


def test_new_rego_counts_at_once_whatever_was_remembered(ruled, ask):
    file = ruled.bundle.directory / "rego" / "authz.rego"
    assert (ask("acme").status, ask("narrow").status) == (200, 403)
    file.write_text(REGO.replace('who == "acme"', 'who == "narrow!"').replace('"allow": false', '"allow": true'))
    hang_up(ruled, "policy_activated")
    try:
        assert (ask("acme").status, ask("narrow").status) == (403, 200)
    finally:
        file.write_text(REGO)
        hang_up(ruled, "policy_activated")
    assert ask("acme").status == 200


# --- a server -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_server_decides_and_what_befalls_it_refuses(short_dir, upstreams):
    with OpaServer() as opa:
        stack = Stack(short_dir(), upstreams, Options(workers=1))
        write(stack, {"package": "ostiary.authz", "url": opa.url, "deadline_ms": DEADLINE_MS})

        def asked():
            answer = stack.client().post(CHAT, chat("hello"))
            return answer.status, answer.code if answer.status != 200 else ""

        with stack:
            assert asked() == (200, "")
            _, document = opa.asked[-1]
            caller = orjson.loads(document)["input"]["caller"]
            assert (caller["tenant"], caller["method"]) == ("acme", "api_key")
            opa.body = b'{"result":{"allow":false,"reasons":["says the server"]}}'
            assert asked() == (403, "policy_denied")
            opa.body = b"<html>"
            assert asked() == (403, "policy_denied")
            opa.status, opa.body = 503, b""
            assert asked() == (503, "policy_engine_unavailable")
            opa.status, opa.body, opa.hangs_up = 200, b'{"result":{"allow":true}}', True
            assert asked() == (503, "policy_engine_unavailable")
            opa.hangs_up, opa.silent = False, True
            assert asked() == (503, "policy_engine_unavailable")
            opa.silent = False
            until("the circuit to close", lambda: asked() == (200, ""))
            opa.__exit__()
            assert asked() == (503, "policy_engine_unavailable")
