"""What callers are told of a limit: in words, and in the headers of their SDK."""

import json
from dataclasses import replace

import anthropic
import httpx2
import openai
import pytest

import sharing
from gateway import contract
from gateway.budgets.model import (
    PER_DAY,
    PER_MINUTE,
    PER_MONTH,
    RUNNING,
    Dimension,
    Limit,
    Resource,
    Shape,
    Standing,
    Verdict,
    Window,
)  # fmt: skip
from gateway.budgets.model import (
    Kind as Hardness,
)
from gateway.budgets.told import cut, headers, refusal, state
from gateway.errors import Dialect, Kind, render

NOW_S = 1_790_000_000.0  # 2026-09-21T14:13:20Z
SCOPE = (Dimension.TENANT,)


def limit(resource=Resource.TOKENS, amount=5000, window=PER_DAY, name="day", **more):
    return Limit(name, SCOPE, resource, amount, window, **more)


def refused(standing, *others):
    return Verdict(allowed=False, standings=(standing, *others), refused_by=standing)


FULL = Standing(limit(), used=4900, held=80, reset_s=35_199.5, retry_after_s=35_199.5)
MONEY = Standing(
    limit(Resource.MICRO_USD, 20_000_000, PER_MONTH, "each-key", on_exceed=402), used=19_990_000, held=0, reset_s=9.0, retry_after_s=9.0
)  # fmt: skip


def test_a_refusal_names_the_limit_its_use_and_its_end():
    error = refusal(refused(FULL), Dialect.OPENAI, "USD", NOW_S)
    assert error.public == (
        "The limit 'day' is reached: 4,900 of 5,000 tokens of this day (UTC) are used, 80 are held by requests that run. "
        "Try again in 9h46m40s (at 2026-09-22T00:00:00Z)."
    )
    assert (error.kind, error.retry_after_s, error.cause) == (Kind.BUDGET_EXCEEDED, 35_200, "day")


def test_money_may_be_refused_with_402():
    error = refusal(refused(MONEY), Dialect.OPENAI, "EUR", NOW_S)
    assert error.kind is Kind.BUDGET_SPENT
    assert "19.99 of 20.00 EUR of this month (UTC) are used" in error.public
    assert render(error, Dialect.OPENAI).status == 402
    assert json.loads(render(error, Dialect.ANTHROPIC).body)["error"]["type"] == "billing_error"


@pytest.mark.parametrize(
    ("standing", "words"),
    [
        (Standing(limit(Resource.MICRO_USD, 1), 1, 0, 1.0), "0.000001 of 0.000001 USD of this day (UTC) are used"),
        (Standing(limit(Resource.STREAMS, 4, RUNNING), 4, 4, 1.0), "4 of 4 requests are running"),
        (Standing(limit(Resource.REQUESTS, 60, PER_MINUTE), 60, 0, 1.0), "60 of 60 requests in 1m0s are used"),
        (
            Standing(limit(Resource.TOKENS_IN, 9, Window(Shape.BUCKET, 5)), 9, 0, 1.0),
            "9 of 9 prompt tokens in 5s are used",
        ),
    ],
)
def test_every_kind_of_limit_has_its_words(standing, words):
    assert state(standing, "USD") == words


def test_running_requests_have_no_hour():
    error = refusal(
        refused(Standing(limit(Resource.STREAMS, 4, RUNNING), 4, 0, 0.0, 1.0)), Dialect.OPENAI, "USD", NOW_S
    )
    assert error.public.endswith("4 of 4 requests are running. Try again when one of them has ended.")


def test_what_can_never_fit_is_not_told_to_wait():
    error = refusal(refused(replace(FULL, retry_after_s=-1.0)), Dialect.OPENAI, "USD", NOW_S)
    assert error.kind is Kind.MAX_TOKENS_EXCEEDED
    assert "more than the whole limit 'day' (5,000 tokens of this day (UTC))" in error.public
    assert error.retry_after_s is None


def test_a_ledger_that_is_away_is_no_empty_budget():
    for verdict in (Verdict(allowed=False, unavailable=True), Verdict(allowed=False)):
        assert refusal(verdict, Dialect.OPENAI, "USD", NOW_S).kind is Kind.BUDGETS_UNAVAILABLE


def test_a_cut_names_the_limit_too():
    full = replace(FULL, held=100, reset_s=0.0)  # nothing was used, and a request that runs held it all
    assert cut(full, "USD", NOW_S).public == (
        "The answer reached the limit 'day' and was cut: 4,900 of 5,000 tokens of this day (UTC) are used, 100 are held "
        "by requests that run. Try again in 9h46m40s (at 2026-09-22T00:00:00Z)."
    )
    assert cut(full, "USD", NOW_S).retry_after_s == 35_200
    assert cut(MONEY, "USD", NOW_S).kind is Kind.BUDGET_SPENT
    assert cut(None, "USD", NOW_S).kind is Kind.BUDGET_EXCEEDED


def test_a_cut_within_a_limit_that_has_room_names_no_moment():
    error = cut(FULL, "USD", NOW_S)
    assert error.public == (
        "The answer is longer than the request asked for, and was cut where what was set aside for it of the limit 'day' "
        "was used up: 4,900 of 5,000 tokens of this day (UTC) are used, 80 are held by requests that run."
    )
    assert error.retry_after_s is None


MINUTE = Standing(limit(Resource.REQUESTS, 60, PER_MINUTE, "minute"), used=15, held=0, reset_s=14.2)
OUTPUT = Standing(limit(Resource.TOKENS_OUT, 1000, PER_MINUTE, "out"), used=990, held=0, reset_s=61.0)
SOFT = Standing(limit(Resource.TOKENS, 10, PER_DAY, "soft", kind=Hardness.SOFT), used=10, held=0, reset_s=1.0)
STATE = Verdict(allowed=True, standings=(MINUTE, FULL, OUTPUT, SOFT))


def test_openais_headers_tell_the_tightest_limit_of_each_kind():
    assert dict(headers(STATE, Dialect.OPENAI, NOW_S)) == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "45",
        "x-ratelimit-reset-requests": "15s",
        "x-ratelimit-limit-tokens": "5000",
        "x-ratelimit-remaining-tokens": "20",
        "x-ratelimit-reset-tokens": "9h46m40s",
    }


def test_anthropics_headers_tell_each_kind_by_its_name():
    told = dict(headers(STATE, Dialect.ANTHROPIC, NOW_S))
    assert told["anthropic-ratelimit-requests-limit"] == "60"
    assert told["anthropic-ratelimit-tokens-remaining"] == "20"
    assert told["anthropic-ratelimit-output-tokens-remaining"] == "10"
    assert told["anthropic-ratelimit-tokens-reset"] == "2026-09-22T00:00:00Z"
    assert "anthropic-ratelimit-input-tokens-limit" not in told


@pytest.mark.parametrize("dialect", Dialect)
def test_without_limits_nothing_is_told(dialect):
    assert headers(Verdict(allowed=True, standings=(SOFT, MONEY)), dialect, NOW_S) == ()


def answering(error, dialect):
    rendered = render(error, dialect, "r-1")
    return httpx2.Client(
        transport=httpx2.MockTransport(
            lambda _: httpx2.Response(rendered.status, headers=list(rendered.headers), content=rendered.body)
        )
    )


def test_openais_sdk_raises_its_rate_limit_error_with_usable_headers():
    error = refusal(refused(FULL, MINUTE), Dialect.OPENAI, "USD", NOW_S)
    http = answering(error, Dialect.OPENAI)
    with (
        openai.OpenAI(api_key="k", base_url="http://gateway/v1", http_client=http) as client,
        pytest.raises(openai.RateLimitError) as caught,
    ):
        client.chat.completions.create(model="gpt", messages=[{"role": "user", "content": "hello"}])
    assert caught.value.code == "budget_exceeded"
    assert "'day'" in caught.value.message
    assert caught.value.response.headers["x-ratelimit-remaining-tokens"] == "20"
    assert caught.value.response.headers["retry-after"] == "35200"


def test_anthropics_sdk_raises_its_rate_limit_error_with_usable_headers():
    error = refusal(refused(FULL, MINUTE), Dialect.ANTHROPIC, "USD", NOW_S)
    http = answering(error, Dialect.ANTHROPIC)
    with (
        anthropic.Anthropic(api_key="k", base_url="http://gateway", http_client=http) as client,
        pytest.raises(anthropic.RateLimitError) as caught,
    ):
        client.messages.create(model="claude", max_tokens=8, messages=[{"role": "user", "content": "hello"}])
    assert caught.value.response.headers["anthropic-ratelimit-tokens-remaining"] == "20"


def test_a_providers_own_limits_never_reach_a_caller():
    """They tell of the gateway's account, and would stand beside ours."""
    assert not [name for name in contract.UPSTREAM_RESPONSE_HEADERS if "ratelimit" in name]


# --- what is shared ----
GPU = sharing.shared(600_000, {"acme": 1, "beta": 3})
SHARED = Standing(
    GPU, used=590_000, held=9_000, reset_s=40.0, retry_after_s=11.2, own=160_000, assured=150_000
)  # fmt: skip


def test_a_refusal_names_what_is_shared_and_the_callers_part():
    error = refusal(refused(SHARED), Dialect.OPENAI, "USD", NOW_S)
    assert error.public == (
        "The shared limit 'gpu' is reached: 590,000 of 600,000 tokens in 1m0s are used, 9,000 are held by requests that "
        "run; yours are 160,000, and 150,000 are assured to you. Try again in 12s (at 2026-09-21T14:13:32Z)."
    )
    assert (error.kind, error.retry_after_s) == (Kind.BUDGET_EXCEEDED, 12)


def test_shared_streams_are_told_as_what_runs():
    streams = sharing.shared(40, {"acme": 1, "beta": 3}, Resource.STREAMS, RUNNING, "slots")
    standing = Standing(streams, used=0, held=40, reset_s=0.0, retry_after_s=1.0, own=12, assured=10)
    assert state(standing, "USD") == ("40 of 40 requests are running; yours are 12, and 10 are assured to you")


def test_more_than_can_ever_be_borrowed_is_refused_for_good():
    error = refusal(refused(replace(SHARED, retry_after_s=-0.001)), Dialect.OPENAI, "USD", NOW_S)
    assert error.kind is Kind.MAX_TOKENS_EXCEEDED
    assert "ever have of the shared limit 'gpu' (600,000 tokens in 1m0s, of which 150,000 are assured" in error.public


@pytest.mark.parametrize("dialect", [Dialect.OPENAI, Dialect.ANTHROPIC])
def test_both_dialects_tell_what_is_shared_beside_the_sdks_own_headers(dialect):
    told = dict(headers(Verdict(allowed=True, standings=(FULL, SHARED)), dialect, NOW_S))
    assert told[contract.SHARED_LIMIT_HEADER] == '"gpu";amount=600000;left=1000;assured=150000;own=160000'
    assert len(told) > 1
    assert contract.SHARED_LIMIT_HEADER not in dict(headers(Verdict(allowed=True, standings=(FULL,)), dialect, NOW_S))


def test_a_stream_is_told_which_shared_limit_cut_it():
    full = replace(SHARED, held=SHARED.limit.amount - SHARED.used)
    assert cut(full, "USD", NOW_S).public.startswith(
        "The answer reached the shared limit 'gpu' and was cut: 590,000 of"
    )
