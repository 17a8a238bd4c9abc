"""What clients are told of their limits, and how guessing is slowed down, through real Envoy and a real worker."""

import contextlib

import orjson
import pytest

import provider
from asking import CHAT, chat, say
from stack import Options, Stack

FAILURES = 4
WRONG = [("authorization", "Bearer osk_aaaaaaaaaaaa_" + "a" * 43)]
NAMES = ("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests")


def gateway(short_dir, upstreams, **edge):
    """One worker, so that counts are exact; damping as small as tests want it."""
    stack = Stack(short_dir(), upstreams, Options(workers=1, edge=edge))
    root = stack.bundle.directory / "policy.yaml"
    damping = {"failures": FAILURES, "window_s": 3600}
    root.write_bytes(orjson.dumps({**orjson.loads(root.read_bytes()), "damping": damping}))
    tenants = stack.bundle.directory / "tenants.yaml"
    rated = {**orjson.loads(tenants.read_bytes())}
    rated["watched"]["rate"] = {"requests": 1000, "window_s": 3600}
    rated["strict"]["rate"] = {"requests": 1000, "window_s": 3600}
    tenants.write_bytes(orjson.dumps(rated))
    return stack


@pytest.fixture(scope="module")
def direct(short_dir, upstreams):
    """Envoy as the outermost proxy: the peer is the client."""
    with gateway(short_dir, upstreams) as running:
        yield running


@pytest.fixture(scope="module")
def behind(short_dir, upstreams):
    """One trusted proxy in front, played by the tests."""
    with gateway(short_dir, upstreams, xff_trusted_hops=1) as running:
        yield running


# --- x-ratelimit-* ----
async def boasting(call):
    """A provider that tells the state of its own limits, which are ours with it, not the client's with us."""
    own = [("x-ratelimit-limit-requests", "77"), ("x-ratelimit-remaining-tokens", "78"), ("retry-after-ms", "5")]
    if call.seen.json.get("stream"):
        await call.sse(provider.stream(["Hello"]), headers=own)
    else:
        await call.json(provider.chat(), headers=own)


@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
def test_every_answer_tells_the_state_of_our_limit_and_never_the_providers(direct, stream):
    answers = [
        say(direct.client("watched"), direct.upstream, boasting, **({"stream": True} if stream else {}))
        for _ in range(3)
    ]
    assert [answer.status for answer in answers] == [200] * 3
    assert [answer.header(NAMES[0]) for answer in answers] == ["1000"] * 3
    first, _, third = (int(answer.header(NAMES[1])) for answer in answers)
    assert first - 2 <= third < first  # in 3.6 s time gives one back
    assert all(answer.header(NAMES[2]).endswith("s") for answer in answers)
    assert "x-ratelimit-remaining-tokens" not in answers[0].names
    assert "retry-after" not in answers[0].names


def test_a_request_that_inspect_refuses_was_counted_and_is_told_so(direct):
    answer = direct.client("strict").post(CHAT, chat("mail jane.roe@example.com"))
    assert (answer.status, answer.code) == (403, "request_blocked")
    assert answer.header(NAMES[0]) == "1000"


def test_without_a_limit_nothing_is_told(direct):
    assert not set(NAMES) & direct.client("acme").post(CHAT, chat("hello")).names


def test_a_spent_limit_is_told_with_the_time_to_wait_and_whose_it_is(direct):
    client = direct.client("slow")
    answers = [client.post(CHAT, chat("hello")) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert [answer.header(NAMES[1]) for answer in answers] == ["1", "0", "0"]
    assert int(answers[2].header("retry-after")) > 60
    assert "your tenant" in answers[2].json["error"]["message"]


# --- guessing ----
def fail(stack, count, source="", *forwarded):
    """Wrong keys from one address; the statuses that came back."""
    client = stack.client("", source=source)
    return [client.post(CHAT, chat("hello"), [*WRONG, *forwarded]).status for _ in range(count)]


def test_guessing_is_slowed_down_also_for_who_guesses_right_at_last(direct):
    assert fail(direct, FAILURES, "127.0.0.11") == [401] * FAILURES
    answer = direct.client("acme", source="127.0.0.11").post(CHAT, chat("hello"))
    assert (answer.status, answer.code) == (429, "authentication_throttled")
    assert int(answer.header("retry-after")) > 60
    assert answer.header("x-should-retry") == "false"  # SDKs wait at most a minute, and would come again too early
    record = direct.record(answer)
    assert (record["code"], record["tenant"], record["key_id"]) == ("authentication_throttled", "", "")
    assert direct.client("acme", source="127.0.0.12").post(CHAT, chat("hello")).status == 200


def test_without_trusted_proxies_x_forwarded_for_neither_evades_nor_throttles_others(direct):
    seen = []
    for number in range(FAILURES + 2):
        forged = ("x-forwarded-for", f"127.0.0.2{number}")
        seen += fail(direct, 1, "127.0.0.20", forged, ("x-real-ip", forged[1]), ("forwarded", f"for={forged[1]}"))
    assert seen == [401] * FAILURES + [429] * 2
    for number in range(1, FAILURES + 2):
        assert direct.client("acme", source=f"127.0.0.2{number}").post(CHAT, chat("hello")).status == 200


def through(*addresses):
    """What a proxy in front sends: what it was given, and whom it saw at its end."""
    return ("x-forwarded-for", ", ".join(addresses))


def test_behind_one_trusted_proxy_the_address_that_it_saw_counts(behind):
    assert fail(behind, FAILURES + 1, "", through("203.0.113.1")) == [401] * FAILURES + [429]
    assert fail(behind, 1, "", through("203.0.113.2")) == [401]


def test_behind_one_trusted_proxy_what_the_client_wrote_neither_evades_nor_throttles_others(behind):
    seen = []
    for number in range(FAILURES + 2):
        seen += fail(behind, 1, "", through(f"198.51.100.{number}", "203.0.113.3"))
    assert seen == [401] * FAILURES + [429] * 2
    # Two header lines are one list (RFC 9110 section 5.3); the proxy's is the last.
    assert fail(behind, 1, "", through("198.51.100.7"), through("203.0.113.3")) == [429]
    for number in range(FAILURES + 2):
        forged = [through(f"198.51.100.{number}")]
        assert behind.client("acme").post(CHAT, chat("hello"), forged).status == 200


def test_behind_a_trusted_proxy_that_forwards_no_address_the_peer_counts(behind):
    assert fail(behind, FAILURES + 1, "127.0.0.31") == [401] * FAILURES + [429]
    assert behind.client("acme", source="127.0.0.32").post(CHAT, chat("hello")).status == 200


def test_rubbish_in_x_forwarded_for_hides_nobody(behind):
    seen = []
    for rubbish in ("x", "203.0.113.300", "127.0.0.1:80:90", "unknown", "''"):
        with contextlib.suppress(ValueError):
            seen += fail(behind, 1, "127.0.0.33", through(rubbish))
    assert seen == [401] * FAILURES + [429]


def test_missing_credentials_and_other_refusals_are_no_guesses(direct):
    client = direct.client("", source="127.0.0.41")
    statuses = [client.post(CHAT, chat("hello")).status for _ in range(FAILURES + 2)]
    named = direct.client("narrow", source="127.0.0.41")
    statuses += [named.post("/v1/embeddings", {"model": "gpt-test", "input": "x"}).status for _ in range(FAILURES)]
    assert set(statuses) == {401, 403}
    assert direct.client("acme", source="127.0.0.41").post(CHAT, chat("hello")).status == 200
