"""Pools through real Envoy: the next backend answers when one fails, it alone sees its key, and nothing is told twice."""

from dataclasses import dataclass

import orjson
import pytest

import provider
from asking import AFTER_FAULT, CARD, CHAT, chat, padded, stream_errors, told
from bundle import PROVIDER_KEYS
from gateway.errors import Kind
from stack import Options, Stack
from upstream import Call, Gate, Script, Upstream

SSE = [("content-type", "text/event-stream")]
MINE = "Hello from the one that stands in."
POOLS = {
    "pool": {"backends": ["main", "other"], "first_byte_s": 1, "tell": True},
    "pool-quiet": {"backends": ["main", "other"]},
    "pool-refused": {"backends": ["dead", "other"], "tell": True},
    "pool-down": {"backends": ["down", "other"]},
    "pool-tls": {"backends": ["secure", "other"]},  # "secure" speaks TLS to a port that does not
    "pool-keyless": {"backends": ["keyless", "other"], "tell": True},
    "pool-strict": {"backends": ["main", "other"], "retry_on": []},
    "pool-risk": {"backends": ["main", "dead", "secure"], "when_found": {"pii.*": ["dead", "secure"]}},
    "pool-weighted": {"backends": ["main", "other"], "select": "weighted", "weights": {"main": 1, "other": 1}},
}


def _pools(directory):
    backends = orjson.loads((directory / "backends.yaml").read_bytes())
    # The like of "dead" for the test that has its backend ejected: one that is ejected is passed over unasked.
    backends["down"] = backends["dead"]
    (directory / "backends.yaml").write_bytes(orjson.dumps(backends))
    file = directory / "models.yaml"
    file.write_bytes(orjson.dumps(orjson.loads(file.read_bytes()) | POOLS))


@pytest.fixture(scope="module")
def gateway(short_dir, upstreams):
    with Stack(short_dir(), upstreams, Options(workers=2, policy=_pools)) as running:
        yield running


@dataclass
class Pair:
    """Both backends of a pool, each with its script for one request."""

    stack: Stack
    first: Upstream
    second: Upstream

    def ask(self, fails: Script, model="pool", once=None, **fields):
        marker = self.first.script(fails)
        self.second.script(_answers, marker)
        body = chat(f"Hello {marker}", model=model, **fields)
        answer = self.stack.client().post(CHAT, body, timeout_s=20, once=once)
        return answer, self.first.seen(marker), self.second.seen(marker)


async def _answers(call: Call) -> None:
    if call.seen.json.get("stream"):
        await call.sse(provider.stream([MINE]))
    else:
        await call.json(provider.chat(MINE))


@pytest.fixture
def pair(gateway, upstreams):
    return Pair(gateway, upstreams["main"], upstreams["other"])


def _status(status, *headers):
    async def fails(call):
        await call.json({"error": {"message": AFTER_FAULT}}, status, headers)

    return fails


async def _resets(call):
    call.reset()


async def _closes(call):
    call.hang_up()


async def _stalls(call):
    await call.until_gone()


def _clean(seen, key):
    """What one provider saw holds its own key, and nothing of another provider or of ours."""
    assert seen.header("authorization") == f"Bearer {key}"
    head = repr(seen.headers)
    assert [each for each in PROVIDER_KEYS.values() if each in head] == [key]
    assert not [name for name in seen.names if name.startswith(("x-ostiary-", "x-envoy-", "x-forwarded-"))]


@pytest.mark.parametrize(
    "fails",
    [
        _status(500), _status(502), _status(503), _status(529), _status(429, ("retry-after", "30")),
        _resets, _closes, _stalls,
    ],
    ids=["500", "502", "503", "529", "429", "reset", "closed", "stalled"],
)  # fmt: skip
@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
def test_the_next_backend_answers_when_the_first_fails_before_its_first_byte(pair, fails, stream):
    answer, first, second = pair.ask(fails, stream=stream)
    assert answer.status == 200
    assert MINE in (told(answer.body) if stream else answer.body.decode())
    assert AFTER_FAULT.encode() not in answer.body
    assert (answer.header("x-ostiary-backend"), answer.header("x-ostiary-attempts")) == ("other", "2")
    assert (len(first), len(second)) == (1, 1)
    assert first[0].body == second[0].body
    _clean(first[0], PROVIDER_KEYS["main"])
    _clean(second[0], PROVIDER_KEYS["other"])
    assert (first[0].target, second[0].target) == (f"/base-main{CHAT}", f"/base-other{CHAT}")
    assert second[0].header("host") == f"127.0.0.1:{pair.second.port}"
    record = pair.stack.record(answer)
    assert (record["backend"], record["outcome"]) == ("other", "completed")
    assert record["details"] == {"first_backend": "main", "attempts": "2"}
    assert record["usage"]["source"] == "provider"


@pytest.mark.parametrize("model", ["pool-refused", "pool-tls"])
def test_a_backend_that_cannot_be_connected_to_is_passed_over(pair, model):
    answer, first, second = pair.ask(_answers, model)
    assert answer.status == 200
    assert (len(first), len(second)) == (0, 1)
    _clean(second[0], PROVIDER_KEYS["other"])
    assert pair.stack.record(answer)["details"]["attempts"] == "2"


def test_the_first_answers_when_it_can_and_nobody_is_told_unless_policy_says_so(pair):
    answer, first, second = pair.ask(_answers, "pool-quiet")
    assert answer.status == 200
    assert (len(first), len(second)) == (1, 0)
    assert not [name for name, _ in answer.headers if name.startswith("x-ostiary-")]
    record = pair.stack.record(answer)
    assert (record["backend"], record["details"]) == ("main", {"first_backend": "main", "attempts": "1"})


def test_a_backend_without_its_credential_is_left_out(pair):
    answer, first, second = pair.ask(_answers, "pool-keyless")
    assert (answer.status, len(first), len(second)) == (200, 0, 1)
    assert (answer.header("x-ostiary-backend"), answer.header("x-ostiary-attempts")) == ("other", "1")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_a_refusal_of_the_first_is_not_sent_again(pair, status):
    answer, first, second = pair.ask(_status(status))
    assert answer.status >= 400
    assert (len(first), len(second)) == (1, 0)


def test_an_answer_that_cannot_be_judged_is_refused_and_not_asked_for_again(pair):
    async def page(call):
        await call.answer(200, AFTER_FAULT.encode(), [("content-type", "text/html")])

    answer, first, second = pair.ask(page)
    assert (answer.status, len(first), len(second)) == (502, 1, 0)
    assert AFTER_FAULT.encode() not in answer.body


def test_policy_may_ask_the_next_only_where_the_first_cannot_have_seen_the_request(pair):
    answer, first, second = pair.ask(_status(503), "pool-strict")
    assert (answer.status, len(first), len(second)) == (503, 1, 0)


def test_a_stream_that_breaks_after_its_first_byte_is_not_begun_again(pair):
    read = Gate()

    async def breaks(call):
        await call.head(200, SSE)
        for word in ["Some words that are long enough to leave the gateway. "] * 12:
            await call.chunk(provider.event(provider.delta(word)))
        await read.passed()
        call.reset()

    answer, first, second = pair.ask(breaks, stream=True, once=(b"Some words", read.open))
    assert answer.status == 200
    assert "Some words" in told(answer.body)
    assert answer.broken or stream_errors(answer.body)
    assert MINE not in told(answer.body)
    assert (len(first), len(second)) == (1, 0)
    record = pair.stack.record(answer)
    assert (record["backend"], record["details"]["attempts"]) == ("main", "1")
    assert record["outcome"] != "completed"


def test_all_failed_is_told_in_the_dialect_and_recorded_once(pair):
    marker = pair.first.script(_status(503, ("retry-after", "7")))
    pair.second.script(_status(429, ("retry-after", "9")), marker)
    answer = pair.stack.client().post(CHAT, chat(f"Hello {marker}", model="pool"))
    assert answer.status == 429
    assert answer.header("retry-after") == "9"
    assert (len(pair.first.seen(marker)), len(pair.second.seen(marker))) == (1, 1)
    assert pair.stack.record(answer)["details"] == {"first_backend": "main", "attempts": "2"}


def test_a_large_body_arrives_whole_at_the_second(pair):
    marker = pair.first.script(_status(500))
    pair.second.script(_answers, marker)
    body = padded(marker, 4 << 20, model="pool")
    answer = pair.stack.client().post(CHAT, body, timeout_s=60)
    assert answer.status == 200
    assert pair.first.one(marker).body == pair.second.one(marker).body == body


def test_what_was_found_keeps_a_request_from_backends_that_may_not_see_it(pair):
    client = pair.stack.client()
    marker = pair.first.script(_answers)
    answer = client.post(CHAT, chat(f"Hello {marker}, my card is {CARD}", model="pool-risk"))
    assert (answer.status, orjson.loads(answer.body)["error"]["code"]) == (503, Kind.BACKEND_UNAVAILABLE.value)
    assert not pair.first.seen(marker)
    assert pair.stack.record(answer)["details"]["first_backend"] == "dead"
    clean = client.post(CHAT, chat(f"Hello {marker}", model="pool-risk"))
    assert (clean.status, len(pair.first.seen(marker))) == (200, 1)


def test_weights_spread_first_attempts(pair):
    marker = pair.first.script(_answers)
    pair.second.script(_answers, marker)
    client = pair.stack.client()
    for _ in range(40):
        assert client.post(CHAT, chat(f"Hello {marker}", model="pool-weighted")).status == 200
    shares = len(pair.first.seen(marker)), len(pair.second.seen(marker))
    assert sum(shares) == 40
    assert min(shares) > 5  # one in 10 million runs has fewer


def test_a_backend_that_stays_down_costs_no_request(pair):
    """More failures in a row than outlier detection lets pass."""
    marker = pair.first.script(_answers)
    pair.second.script(_answers, marker)
    client = pair.stack.client()
    answers = [client.post(CHAT, chat(f"Hello {marker}", model="pool-down")) for _ in range(12)]
    assert [answer.status for answer in answers] == [200] * 12
    ejected = pair.stack.envoy_stats("cluster.be-down.outlier_detection.ejections_enforced_total")
    assert sum(ejected.values()) >= 1
