"""The cache that compares questions, through real Envoy, Valkey and analysis process: other words get the answer, other
tenants, principals, models and applications do not.
"""

import asyncio
import importlib.util
import json
import ssl
import sys

import httpx
import pytest

import provider
from asking import CHAT, EMAIL
from gateway import contract
from ostiary import engines
from ostiary.cli import main
from rawhttp import RawClient
from stack import START_S, Options, Stack, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in engines.NEEDS["similar"]),
        reason="the models come with `make analysis`",
    ),
]
ALL = {"models": ["*"], "routes": ["*"]}
COMPARED = {"likeness": "usual", "deadline_ms": 5000}
# Looks may take as long as a loaded machine does; nothing here measures time.
PATIENT = {"wait_ms": 30000, "deadline_ms": 5000, "similar": COMPARED}
SHARED = {**PATIENT, "scope": "tenant", "tags": ["faq"]}
TENANTS = {
    "acme": {**ALL, "cache": PATIENT},
    "narrow": {**ALL, "cache": SHARED | {"similar": {**COMPARED, "scope": "tenant"}}},
    "watched": {**ALL, "cache": SHARED},
    "strict": {**ALL, "cache": {**PATIENT, "ttl_s": 1}},
}
ASKED, LIKE = "What are the best ways to learn Python?", "What is the best way to learn Python?"
OTHERS = ("What is the best way to learn Java?", "What are not the best ways to learn Python?")
HIT, SIMILAR, MISS = "hit", "similar", "miss"


@pytest.fixture(scope="module")
def comparing(short_dir, upstreams):
    def write(directory):
        tenants = json.loads((directory / "tenants.yaml").read_text())
        (directory / "tenants.yaml").write_text(json.dumps(tenants | TENANTS))

    with Stack(short_dir(), upstreams, Options(policy=write, control=True)) as running:
        running.index = indexing(running)
        yield running
        assert running.index.end()
        assert "Traceback" not in running.logs()
        assert "task_crashed" not in running.logs()


def indexing(stack):
    socket = stack.run_dir / contract.ANALYSIS_SOCKET
    command = [sys.executable, "-m", "ostiary.cli", "analyse", "--engines", "similar", "--socket", str(socket)]
    environ = {name: value for name, value in stack._environ(0).items() if not name.startswith("OSTIARY_")}
    child = stack._spawn("analysis", command, environ)
    until("analysis", socket.exists, START_S)
    return child


async def answers(call):
    """What is asked in other words is never kept, so that only an answer to the first question can be given again."""
    finish = "length" if LIKE.encode() in call.seen.body else "stop"
    if json.loads(call.seen.body).get("stream"):
        await call.sse(provider.event(provider.delta("A lamp.")) + provider.event(provider.delta("", finish=finish)))
    else:
        await call.json(provider.chat(finish=finish))


@pytest.fixture
def place(upstream):
    """A system prompt of this test alone: what is asked under it finds nothing of another test."""
    return upstream.script(answers)


def body(text, place, model="gpt-test", **fields):
    said = [{"role": "system", "content": f"Be brief. {place}"}, {"role": "user", "content": text}]
    return {"model": model, "messages": said, **fields}


def say(stack, text, place, key="acme", **fields):
    client = key if isinstance(key, RawClient) else stack.client(key)
    answer = client.post(CHAT, body(text, place, **fields))
    assert answer.status == 200, answer.body
    return answer


def status(*asked, **fields):
    return say(*asked, **fields).header(contract.CACHE_HEADER)


def known(stack, place, **fields):
    """Keep an answer, and wait until the index knows of it, which is a little after the caller has it."""
    assert status(stack, ASKED, place, **fields) == MISS
    until("the index", lambda: status(stack, LIKE, place, **fields) == SIMILAR)


def somebody_else(stack, tenant):
    made = stack.operate("POST", "/admin/v1/keys", {"tenant": tenant, "principal": "somebody-else"})
    other = RawClient(stack.port, stack.authority.pem, [("authorization", f"Bearer {made['key']}")])

    # The cache leaves requests of end users alone.
    stack.everywhere(
        "the new key",
        lambda: other.post(CHAT, body("hello", "nowhere", user="u1")),
        lambda answer: answer.status == 200,
    )
    return other


def test_other_words_get_the_answer_and_other_questions_do_not(comparing, place, upstream):
    known(comparing, place)
    before = len(upstream.seen(place))
    answer = say(comparing, LIKE, place)
    assert answer.header(contract.CACHE_HEADER) == SIMILAR
    assert int(answer.header("age")) >= 0
    assert answer.json["choices"][0]["message"]["content"] == provider.REPLY
    record = comparing.record(answer.header("x-request-id"))
    assert (record["outcome"], record["backend"], record["usage"]) == ("completed", "", None)
    assert record["details"]["cache"] == SIMILAR
    assert 0.8 < float(record["details"]["likeness"]) <= 1
    assert status(comparing, ASKED, place) == HIT
    assert len(upstream.seen(place)) == before
    assert [status(comparing, text, place) for text in OTHERS] == [MISS, MISS]


def test_a_stream_is_given_again_as_a_stream_and_to_streams_alone(comparing, place):
    known(comparing, place, stream=True)
    answer = say(comparing, LIKE, place, stream=True)
    assert answer.header(contract.CACHE_HEADER) == SIMILAR
    assert answer.header("content-type").startswith("text/event-stream")
    assert b"lamp." in answer.body
    assert status(comparing, LIKE, place) == MISS


def test_nothing_crosses_a_border(comparing, place, upstream):
    known(comparing, place)
    borders = {
        "tenant": {"key": "narrow"},
        "principal": {"key": somebody_else(comparing, "acme")},
        "model": {"model": "gpt-open"},
        "system prompt": {"place": upstream.script(answers)},
        "temperature": {"temperature": 0.5},
        "seed": {"seed": 1},
        "format": {"response_format": {"type": "text"}},
        "stream": {"stream": True},
    }
    found = {name: status(comparing, LIKE, **({"place": place} | how)) for name, how in borders.items()}
    assert found == dict.fromkeys(borders, MISS)
    apart = {"tools": [{"type": "function", "function": {"name": "f"}}]}, {"user": "u1"}
    assert [status(comparing, LIKE, place, **fields) for fields in apart] == [None, None]
    assert status(comparing, f"{LIKE} Write to {EMAIL}.", place) is None
    assert status(comparing, LIKE, place) == SIMILAR


def test_principals_share_questions_only_where_policy_says_so_of_questions(comparing, place):
    """Watched shares the answers to the same words, and keeps questions apart."""
    for tenant, wanted in (("narrow", SIMILAR), ("watched", MISS)):
        known(comparing, place, key=tenant)
        other = somebody_else(comparing, tenant)
        assert status(comparing, ASKED, place, key=other) == HIT
        assert status(comparing, LIKE, place, key=other) == wanted


def test_what_is_thrown_away_answers_nobody(comparing, place):
    socket = ["--socket", str(comparing.operator_socket), "--reason", "new prices"]
    for what in (["--tag", "faq"], ["--model", "gpt-test"], []):
        known(comparing, place, key="narrow")
        assert main(["cache", "invalidate", "narrow", *what, *socket]) == 0
        assert status(comparing, LIKE, place, key="narrow") == MISS


def test_an_answer_ends_with_its_life_and_a_fresh_one_can_be_asked_for(comparing, place):
    known(comparing, place)
    client = comparing.client()
    fresh = client.post(CHAT, body(LIKE, place), headers=[("cache-control", "no-cache")])
    assert fresh.header(contract.CACHE_HEADER) == MISS
    assert status(comparing, ASKED, place, key="strict") == MISS
    until("its end", lambda: status(comparing, LIKE, place, key="strict") == MISS)


async def test_a_stampede_in_other_words_reaches_no_provider(comparing, place, upstream):
    await asyncio.to_thread(known, comparing, place)
    before = len(upstream.seen(place))
    context = ssl.create_default_context(cafile=str(comparing.authority.pem))
    headers = {"authorization": f"Bearer {comparing.bundle.keys['acme']}"}
    limits = httpx.Limits(max_connections=100)
    async with httpx.AsyncClient(verify=context, headers=headers, limits=limits, timeout=120) as http:
        url = f"https://localhost:{comparing.port}{CHAT}"
        told = await asyncio.gather(*(http.post(url, json=body(LIKE, place)) for _ in range(100)))
    assert {one.headers[contract.CACHE_HEADER] for one in told} == {SIMILAR}
    assert len(upstream.seen(place)) == before


def test_without_the_index_other_words_are_a_miss_and_nothing_else(comparing, place):
    known(comparing, place)
    assert comparing.index.end()
    try:
        assert status(comparing, LIKE, place) == MISS
        assert status(comparing, ASKED, place) == HIT
    finally:
        comparing.index = indexing(comparing)
    # It begins empty, and workers ask it again when their circuits have closed.
    until("new questions", lambda: status(comparing, "How do I learn Python best?", place) in {MISS, HIT})
