"""A stream that is cut at its budget: what its caller is told, in each dialect, of a limit as a real ledger tells it."""

import json
from dataclasses import replace

import pytest

import messaging
import responding
from budgeting import LosingStore, worker
from clocks import ManualClock
from extproc.core.commands import Ask, SendBody
from extproc.core.events import Answered, RequestBody, ResponseChunk
from gateway.budgets.model import PER_DAY, PER_MINUTE, PER_MONTH, Dimension, Limit, Reserved, Resource, Shape, Window
from gateway.policy.model import Budget
from messaging import CLAUDE, MESSAGES, messages
from playbook import CHAT, Play, answer_head, delta, head

NOW_S = 1_790_000_000.0  # 2026-09-21T14:13:20Z
WORDS = "word " * 10
SCOPE = (Dimension.TENANT,)


def _response_events():
    script = responding.Script().begin()
    script.item(responding.message(responding.part(WORDS)), ("output_text", 0, [WORDS]))
    events = [event + b"\n\n" for event in script.raw.split(b"\n\n") if event]
    at = next(number for number, one in enumerate(events) if b"output_text.delta" in one)
    return b"".join(events[:at]), events[at]


#: path -> request, the beginning of a stream and what goes on without an end
DIALECTS = {
    CHAT: (json.loads(b'{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}'), b"", delta(WORDS)),
    MESSAGES: (messages(max_tokens=1000), messaging.start() + messaging.block(), messaging.text(WORDS)),
    responding.PATH: (json.loads(responding.body("hi")), *_response_events()),
}


def _limit(amount=1000, window=PER_DAY):
    return Limit("team", SCOPE, Resource.TOKENS_OUT, amount, window)


async def _cut(path, limit, **more):
    """The last bytes of a stream that runs past what the ledger gave it."""
    held = messaging.held(request={}, response={})
    tenant = replace(held.tenants["acme"], budgets=Budget(limits=(limit,)))
    game = Play(replace(held, tenants={"acme": tenant}))
    game.clock.at = NOW_S
    request, begin, on = DIALECTS[path]
    asked = game.give(
        head(path), RequestBody(json.dumps(request | more | {"stream": True}).encode(), end_of_stream=True)
    )
    (ask,) = [one for one in asked if isinstance(one, Ask)]
    clock = ManualClock(now=NOW_S)
    budgets = worker(LosingStore(clock), clock)
    granted = await budgets.reserve(ask.questions[0].ask)
    assert isinstance(granted, Reserved)
    game.give(Answered((granted,)), answer_head(kind="text/event-stream"), ResponseChunk(begin, end_of_stream=False))
    for _ in range(200):
        game.give(ResponseChunk(on, end_of_stream=False))
        if game.records:
            break
    assert (game.record.outcome, game.record.code) == ("cut", "budget_exceeded")
    return [one for one in game.commands if isinstance(one, SendBody)][-1].body.decode()


@pytest.mark.parametrize("path", DIALECTS)
async def test_each_dialect_tells_when_a_limit_that_is_used_up_begins_anew(path):
    more = {"max_tokens": 1000} if path == MESSAGES else {}
    told = await _cut(path, _limit(), **more)
    assert "The answer reached the limit 'team' and was cut: 0 of 1,000 output tokens of this day (UTC)" in told
    assert "Try again in 9h46m40s (at 2026-09-22T00:00:00Z)." in told


@pytest.mark.parametrize(
    ("window", "when"),
    [
        (PER_MINUTE, "1m1s (at 2026-09-21T14:14:21Z)"),
        (PER_MONTH, "225h46m40s (at 2026-10-01T00:00:00Z)"),
        (Window(Shape.BUCKET, 600), "10m0s (at 2026-09-21T14:23:20Z)"),
    ],
)
async def test_the_moment_is_the_windows_own(window, when):
    assert f"Try again in {when}." in await _cut(CHAT, _limit(window=window))


@pytest.mark.parametrize("path", DIALECTS)
async def test_a_model_that_overruns_its_cap_within_a_limit_that_has_room_names_no_moment(path):
    cap = {CHAT: "max_completion_tokens", MESSAGES: "max_tokens", responding.PATH: "max_output_tokens"}[path]
    told = await _cut(path, _limit(100_000), **{cap: 100})
    assert "longer than the request asked for" in told
    assert "'team'" in told
    assert "Try again" not in told


def test_the_cases_are_of_models_that_are_there():
    assert DIALECTS[MESSAGES][0]["model"] == CLAUDE
