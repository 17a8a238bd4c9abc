"""An exchange and its budget: what is asked for, what a grant pays, where a stream is cut, what is charged in the end."""

import json
from dataclasses import replace

import pytest

from extproc.core import metering
from extproc.core.admission import DOORS
from extproc.core.commands import Answer, Ask, PassRequestBody, SendBody, Settle
from extproc.core.events import Answered, Gone, RequestBody, ResponseChunk, Revoked
from extproc.core.questions import Failed, Reserve
from extproc.counting.tokenizer import tokenizer
from gateway.budgets.model import (
    MOST,
    PER_DAY,
    PER_MINUTE,
    RUNNING,
    Amounts,
    Dimension,
    Exceeded,
    Hold,
    Limit,
    Reservation,
    Reserved,
    Resource,
    Standing,
    Subject,
    Verdict,
)
from gateway.budgets.price import Line, Price, PriceBook
from gateway.errors import GatewayError, Kind
from gateway.policy.model import Budget, Model
from playbook import DONE, REVOKED, Play, answer_head, chat, completion, delta, head
from worlds import policy

TOKENS = Limit("tokens", (Dimension.TENANT,), Resource.TOKENS, 1000, PER_MINUTE)
OUT = Limit("out", (Dimension.TENANT,), Resource.TOKENS_OUT, 1000, PER_MINUTE)
MONEY = Limit("money", (Dimension.TENANT,), Resource.MICRO_USD, 1_000_000, PER_DAY, on_exceed=402)
STREAMS = Limit("streams", (Dimension.TENANT,), Resource.STREAMS, 2, RUNNING)
PRICES = PriceBook(lines={"gpt-4o-mini": (Line(price=Price(input=150_000, output=600_000)),)})
CHAT = DOORS["/v1/chat/completions"]
MODEL = Model(name="gpt-4o-mini", backend="demo")
SUBJECT = Subject("acme", "k1", "alice", "gpt-4o-mini")


def play(*limits, prices=PRICES):
    held = policy(request={}, response={})
    tenant = replace(held.tenants["acme"], budgets=Budget(limits=limits))
    return Play(replace(held, tenants={"acme": tenant}, prices=prices))


def asked(game, **more):
    *_, ask = game.asked(chat("hello there", **more))
    assert isinstance(ask, Ask), ask
    (question,) = ask.questions
    assert isinstance(question, Reserve)
    return question.ask


def reserved(ask, **granted):
    """What a ledger with room grants; `granted` says of which resource it has less."""
    holds = tuple(
        Hold(one, one.name, granted.get(one.resource.value, ask.amounts.of(one.resource))) for one in ask.limits
    )
    standings = tuple(Standing(one, 0, 0, 30.0) for one in ask.limits)
    return Reserved(Reservation("r1", "acme", holds, 1e9), Verdict(allowed=True, standings=standings))


def grant(game, ask, **granted):
    return game.give(Answered((reserved(ask, **granted),)))


def settled(commands):
    return [command.used for command in commands if isinstance(command, Settle)]


def plan(body, *limits, capped=None, prices=PRICES, model=MODEL):
    return metering.plan(Budget(limits=limits), prices, SUBJECT, CHAT, body, "demo", 0.0, capped, model)


def body(**more):
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}], **more}


# --- what is asked for


def test_nothing_is_asked_where_nothing_is_limited():
    game = play()
    assert isinstance(game.asked(chat("hello"))[-1], PassRequestBody)
    other = Limit("group", (Dimension.MODEL_GROUP,), Resource.TOKENS, 10, PER_MINUTE)
    assert plan(body(), other) is None


def test_requests_and_streams_need_no_tokenizer():
    found = plan(body(), STREAMS)
    assert (found.tokenizer, found.ask.amounts) == (None, Amounts())


def test_a_request_with_a_cap_asks_for_all_of_it_or_nothing():
    found = plan(body(max_tokens=300, n=2), TOKENS, MONEY)
    assert found.ask.amounts.tokens_out == 600
    assert found.ask.least is None
    # 0.6 USD a million for what goes out, 0.15 for what goes in, rounded up
    assert found.ask.amounts.micro_usd == -(-(found.tokens_in * 150_000 + 600 * 600_000) // 1_000_000)


def test_a_request_without_a_cap_takes_what_is_left_down_to_something_useful():
    found = plan(body(), TOKENS)
    assert found.ask.amounts.tokens_out == metering.OPEN_TOKENS
    assert found.ask.least.tokens_out == metering.LEAST_TOKENS


def test_a_model_answers_no_more_than_it_can():
    model = replace(MODEL, max_output_tokens=2000)
    assert plan(body(), TOKENS, model=model).ask.amounts.tokens_out == 2000


@pytest.mark.parametrize("cap", [10**10, 2**63 - 1])
def test_no_request_sets_aside_more_than_the_ledger_can_add_up(cap):
    """A soft limit holds whatever is asked for: a cap of 2^63 - 1 spoiled its sums for good."""
    priced = PriceBook(lines={"gpt-4o-mini": (Line(price=Price(input=1, output=10**12)),)})
    amounts = plan(body(max_tokens=cap, n=2), OUT, MONEY, prices=priced).ask.amounts
    assert (amounts.tokens_out, amounts.micro_usd) == (metering.MOST_TOKENS, MOST)


def test_a_cap_of_policy_bounds_what_is_asked_for():
    assert plan(body(), TOKENS, capped=50).ask.amounts.tokens_out == 50


def test_money_needs_a_price_and_tokens_do_not():
    assert plan(body(), TOKENS, prices=PriceBook()).price is None
    game = play(MONEY, prices=PriceBook())
    (answer,) = [each for each in game.asked(chat("hello")) if isinstance(each, Answer)]
    assert json.loads(answer.rendered.body)["error"]["code"] == "model_unpriced"


# --- what a grant pays


@pytest.mark.parametrize(("limit", "granted", "most"), [(OUT, 70, 70), (TOKENS, 108, 100), (MONEY, 62, 100)])
def test_the_tightest_grant_bounds_the_answer(limit, granted, most):
    found = replace(plan(body(), limit), tokens_in=8)
    hold = Reservation("r", "acme", (Hold(limit, "k", granted),), 1e9)
    meter = metering.Meter(found, Reserved(hold, Verdict(allowed=True)))
    assert meter.most_out == most


def test_a_request_without_a_cap_is_told_how_long_its_answer_may_be():
    game = play(OUT)
    (passed,) = grant(game, asked(game), tokens_out=400)
    assert json.loads(passed.body)["max_completion_tokens"] == 400


def test_a_request_with_a_cap_goes_on_as_it_was():
    game = play(OUT)
    (passed,) = grant(game, asked(game, max_tokens=40))
    assert passed.body is None


# --- refusals


@pytest.mark.parametrize(
    ("reply", "status", "code"),
    [
        (Exceeded(Verdict(allowed=False, refused_by=Standing(OUT, 990, 0, 30.0, 12.0))), 429, "budget_exceeded"),
        (Exceeded(Verdict(allowed=False, unavailable=True)), 503, "budgets_unavailable"),
        (Failed("RuntimeError"), 503, "budgets_unavailable"),
    ],
)
def test_what_is_not_covered_is_refused_and_nothing_is_settled(reply, status, code):
    game = play(OUT)
    asked(game)
    commands = game.give(Answered((reply,)))
    (answer,) = [each for each in commands if isinstance(each, Answer)]
    assert (answer.rendered.status, json.loads(answer.rendered.body)["error"]["code"]) == (status, code)
    assert settled(commands) == []
    assert game.record.outcome == "refused"


# --- settlements


def answered(game, *, stream=False, **more):
    ask = asked(game, stream=stream, **more)
    grant(game, ask)
    return ask


def test_what_the_provider_told_is_charged_and_stands_in_the_record():
    game = play(TOKENS, MONEY)
    answered(game, max_tokens=50)
    commands = game.give(answer_head(), ResponseChunk(completion("hi"), end_of_stream=True))
    assert settled(commands) == [Amounts(5, 2, 2)]  # 5 x 0.15 + 2 x 0.6 millionths, rounded up
    usage = game.record.usage
    assert (usage.input_tokens, usage.output_tokens, usage.cost_micros) == (5, 2, 2)


@pytest.mark.parametrize("status", ["500", "429", "401"])
def test_an_error_of_the_provider_gives_everything_back(status):
    game = play(TOKENS)
    answered(game)
    commands = game.give(answer_head(status), ResponseChunk(b'{"error": {}}', end_of_stream=True))
    assert settled(commands) == [None]


def test_a_client_that_leaves_pays_for_what_came():
    game = play(TOKENS)
    answered(game, stream=True)
    game.give(answer_head(kind="text/event-stream"), ResponseChunk(delta("one two three four "), end_of_stream=False))
    (used,) = settled(game.give(Gone()))
    assert used.tokens_out == tokenizer("gpt-4o-mini").count("one two three four ")
    assert used.tokens_in > 0
    assert game.record.usage.source == "estimate"


def test_a_client_that_leaves_before_the_answer_pays_for_its_prompt():
    game = play(TOKENS)
    answered(game)
    (used,) = settled(game.give(Gone()))
    assert used.tokens_in > 0
    assert used.tokens_out == 0


def test_whoever_leaves_while_the_ledger_is_asked_settles_nothing():
    game = play(TOKENS)
    asked(game)
    assert settled(game.give(Gone())) == []


def test_a_revoked_stream_pays_for_what_came():
    game = play(TOKENS)
    answered(game, stream=True)
    game.give(answer_head(kind="text/event-stream"), ResponseChunk(delta("one two three "), end_of_stream=False))
    (used,) = settled(game.give(Revoked(REVOKED)))
    assert used.tokens_out > 0


# --- cutting a stream at its budget


def test_a_stream_is_cut_at_its_budget_in_the_dialect_and_the_limit_is_named():
    game = play(OUT)
    ask = asked(game, stream=True)
    grant(game, ask, tokens_out=300)
    game.give(answer_head(kind="text/event-stream"))
    sent, commands = 0, []
    while sent < 100:
        commands = game.give(ResponseChunk(delta("word " * 10), end_of_stream=False))
        sent += 1
        if any(isinstance(each, Settle) for each in commands):
            break
    last = [each for each in commands if isinstance(each, SendBody)][-1]
    assert last.end_of_stream
    event = json.loads(last.body.split(b"\n\n")[-3].removeprefix(b"data: "))
    assert event["error"]["code"] == "budget_exceeded"
    assert "out" in event["error"]["message"]
    assert last.body.endswith(DONE)
    (used,) = settled(commands)
    assert 300 < used.tokens_out <= 300 + 11  # one chunk too many
    assert (game.record.outcome, game.record.code) == ("cut", "budget_exceeded")


def test_the_last_chunk_of_an_answer_that_ends_is_not_cut():
    game = play(OUT)
    grant(game, asked(game, stream=True), tokens_out=3)
    game.give(answer_head(kind="text/event-stream"))
    commands = game.give(ResponseChunk(delta("word " * 10) + DONE, end_of_stream=True))
    assert game.record.outcome == "completed"
    assert len(settled(commands)) == 1


def test_an_answer_that_only_told_its_beginning_is_counted_here():
    """Anthropic's message_start tells one output token; a stream that is cut has more."""
    game = play(OUT)
    grant(game, asked(game, stream=True))
    game.give(answer_head(kind="text/event-stream"))
    early = json.loads(delta("one two three four five ").removeprefix(b"data: "))
    early["usage"] = {"prompt_tokens": 4, "completion_tokens": 1}
    game.give(ResponseChunk(b"data: " + json.dumps(early).encode() + b"\n\n", end_of_stream=False))
    (used,) = settled(game.give(Gone()))
    assert used.tokens_in == 4
    assert used.tokens_out >= 5


def test_so_far_is_told_to_whoever_keeps_the_reservation():
    game = play(OUT)
    assert game.exchange.so_far() == Amounts()
    answered(game, stream=True)
    game.give(answer_head(kind="text/event-stream"), ResponseChunk(delta("one two three "), end_of_stream=False))
    assert game.exchange.so_far().tokens_out > 0
    assert game.give(head(), RequestBody(b"{}", end_of_stream=True)) is not None


@pytest.mark.parametrize("spelling", ["max_output_tokens", "max_new_tokens", "n_predict", "num_predict"])
def test_a_cap_that_the_provider_may_not_know_is_no_cap(spelling):
    """Three tokens set aside for an answer of any length would let a tenant past any limit."""
    made = plan(body(**{spelling: 3}), OUT)
    assert not made.bounded
    assert made.ask.amounts.tokens_out == metering.OPEN_TOKENS


@pytest.mark.parametrize(
    "wrong", [{"n_predict": -1}, {"num_predict": 0}, {"max_new_tokens": 5.0}, {"best_of": "3"}, {"best_of": 2.0}]
)
def test_a_cap_or_a_count_that_readers_may_take_otherwise_is_refused(wrong):
    """What is set aside for less than nothing would be room for others."""
    with pytest.raises(GatewayError) as refused:
        plan(body(**wrong), OUT)
    assert refused.value.kind is Kind.REQUEST_INVALID
