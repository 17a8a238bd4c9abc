"""What policy does to exchanges at the Gemini door beside rules of spans: caps, lengths, forms, values, the cache."""

import json
from dataclasses import replace

import pytest

from contents import (
    ONCE,
    PUBLIC,
    STREAM,
    answer,
    answered,
    asked,
    body,
    candidate,
    event,
    events,
    heard,
    held,
    said,
    sent,
    words,
)
from extproc.core.commands import Answer, Ask, Keep, PassRequestBody, Settle
from extproc.core.events import Answered, RequestBody, ResponseChunk
from extproc.core.questions import Entry, Hit, Look, Missed, Ticket
from gateway.budgets.model import PER_DAY, Amounts, Dimension, Hold, Limit, Reservation, Reserved, Resource, Verdict
from gateway.policy.model import Action, Bounds, BoundSchema, Budget, Cache, Part, Restore, RuleSetting
from playbook import MAIL, Play, answer_head, head
from worlds import settings

SCHEMA = {"type": "OBJECT", "properties": {"days": {"type": "INTEGER"}}, "required": ["days"]}


def tenant(base=None, **fields):
    built = held() if base is None else base
    return replace(built, tenants={"acme": replace(built.tenants["acme"], **fields)})


def passed(commands):
    (command,) = [each for each in commands if isinstance(each, PassRequestBody)]
    return command.body


def refusal(play):
    (told,) = [each for each in play.commands if isinstance(each, Answer)]
    return json.loads(told.rendered.body)["error"]["details"][0]


# --- caps ------------------------------------------------
CAPPED = tenant(bounds=Bounds(max_tokens=100))


def test_a_cap_is_spliced_in_and_every_other_byte_stays():
    raw = b'{ "contents":[{"parts":[{"text":"caf\\u00e9"}]}]}'
    assert passed(asked(raw, CAPPED)[1]) == b'{"generationConfig":{"maxOutputTokens":100},' + raw[1:]


@pytest.mark.parametrize("name", ["generationConfig", "generation_config"])
def test_a_cap_is_written_into_settings_that_are_there(name):
    told = json.loads(passed(asked(body(**{name: {"seed": 1}}), CAPPED)[1]))
    assert told["generationConfig"] == {"seed": 1, "maxOutputTokens": 100}


@pytest.mark.parametrize("name", ["maxOutputTokens", "max_output_tokens"])
def test_who_asks_for_less_gets_it_and_who_asks_for_more_is_refused(name):
    assert passed(asked(body(generationConfig={name: 100}), CAPPED)[1]) is None
    play, _ = asked(body(generationConfig={name: 101}), CAPPED)
    assert refusal(play)["reason"] == "MAX_TOKENS_EXCEEDED"
    assert refusal(play)["metadata"] == {"field": "generationConfig.maxOutputTokens"}


@pytest.mark.parametrize("name", ["max_tokens", "max_output_tokens", "max_completion_tokens", "n_predict"])
def test_a_field_of_another_dialect_is_no_cap(name):
    world = tenant(held(strict_schema=False), bounds=Bounds(max_tokens=100))
    assert json.loads(passed(asked(body(**{name: 5}), world)[1]))["generationConfig"] == {"maxOutputTokens": 100}


def test_a_cap_is_on_all_candidates_together():
    told = json.loads(passed(asked(body(generationConfig={"candidateCount": 4}), CAPPED)[1]))
    assert told["generationConfig"]["maxOutputTokens"] == 25


def test_bounds_of_a_tenant_hold():
    functions = [{"functionDeclarations": [{"name": "pay"}]}]
    for bounds, tree in (
        (Bounds(tools=frozenset({"look"})), body(tools=functions)),
        (Bounds(modalities=frozenset({"text"})), body({"inlineData": {"mimeType": "image/png", "data": "eA=="}})),
        (Bounds(modalities=frozenset({"text"})), body({"inlineData": {"mimeType": "video/mp4", "data": "eA=="}})),
        (Bounds(system_prompt="Be kind."), body(systemInstruction=said("Be rude."))),
        (Bounds(formats=frozenset({"text"})), body(generationConfig={"responseMimeType": "application/json"})),
        (Bounds(banned={"x": ("unicorn",)}), body("a unicorn")),
    ):
        assert refusal(asked(tree, tenant(bounds=bounds))[0])["reason"] == "REQUEST_BLOCKED"
    assert (
        passed(asked(body(systemInstruction=said("Be kind. Now.")), tenant(bounds=Bounds(system_prompt="Be kind.")))[1])
        is None
    )


# --- budgets ------------------------------------------------
def granted(tokens, path=ONCE):
    """A play that was granted so many output tokens, and what leaves of its request."""
    limit = Limit(name="out", resource=Resource.TOKENS_OUT, window=PER_DAY, amount=300, scope=(Dimension.TENANT,))
    play, _ = asked(body(), tenant(budgets=Budget(limits=(limit,))), path)
    hold = Reservation("id", "acme", (Hold(limit, "k", tokens),), 0.0)
    return play, passed(play.give(Answered((Reserved(hold, Verdict(allowed=True)),))))


def test_a_request_without_a_cap_gets_what_is_left():
    assert json.loads(granted(77)[1])["generationConfig"] == {"maxOutputTokens": 77}


def test_a_stream_ends_where_its_budget_does_and_what_was_told_is_charged():
    play, _ = granted(6, STREAM)
    play.give(answer_head(kind="text/event-stream"))
    for piece in ["one two three ", "four five six seven ", "eight nine ten ", "never told"]:
        if not play.records:
            play.give(ResponseChunk(event(candidate(piece)), end_of_stream=False))
    told = events(play.sent())
    assert (told[-1]["error"]["code"], told[-1]["error"]["details"][0]["reason"]) == (429, "BUDGET_EXCEEDED")
    assert "never" not in heard(play.sent())
    (settled,) = [each for each in play.commands if isinstance(each, Settle)]
    assert settled.used.tokens_out >= 6


def test_what_the_provider_counted_is_charged_thoughts_too():
    play, _ = granted(100)
    play.give(
        answer_head(), ResponseChunk(json.dumps(answer(candidate("x", finish="STOP"))).encode(), end_of_stream=True)
    )
    (settled,) = [each for each in play.commands if isinstance(each, Settle)]
    assert settled.used == Amounts(9, 4, 0)


# --- lengths ------------------------------------------------
SHORT = {**settings(Action.FLAG), "output.length": RuleSetting(rule="output.length", action=Action.REDACT)}


def test_an_answer_is_cut_where_it_is_full_streamed_or_not():
    world = tenant(held(response=SHORT), max_answer_chars=7)
    thought = {"text": "a long thought", "thought": True}
    play = answered(answer(candidate(thought, "one two three", "four", finish="STOP")), world)
    (told,) = json.loads(play.sent())["candidates"]
    assert [part["text"] for part in told["content"]["parts"]] == ["a long thought", "one two"]
    assert told["finishReason"] == "MAX_TOKENS"
    out, play = sent(event(candidate(thought)) + words("one ", "two ", "three ", "four"), world)
    assert heard(out) == "one two"
    assert events(out)[-1]["candidates"][0]["finishReason"] == "MAX_TOKENS"
    assert (play.record.outcome, play.record.reason) == ("cut", "output.length")


# --- forms ------------------------------------------------
FORM = {**settings(Action.FLAG), "output.schema": RuleSetting(rule="output.schema", action=Action.BLOCK)}


@pytest.mark.parametrize("field", ["responseSchema", "responseJsonSchema"])
def test_an_answer_is_compared_with_the_schema_that_was_asked_for(field):
    schema = SCHEMA if field == "responseSchema" else json.loads(json.dumps(SCHEMA).lower())
    tree = body(generationConfig={"responseMimeType": "application/json", field: schema})
    world = held(response=FORM)
    for text, whole in (('{"days":3}', True), ('{"days":"three"}', False)):
        play = answered(answer(candidate(text, finish="STOP")), world, tree)
        assert (play.record.outcome == "completed") is whole
        out, play = sent(words(text[:4], text[4:]), world, request=tree)
        assert (play.record.outcome == "completed") is whole
        assert (b'"error"' in out or not out) is not whole


def test_calls_are_compared_with_a_tenants_schema():
    bound = BoundSchema(
        name="trip", part=Part.ARGUMENTS, source='{"properties":{"days":{"maximum":5}}}', tools=frozenset({"plan"})
    )
    rules = {**settings(Action.FLAG), "schema.trip": RuleSetting(rule="schema.trip", action=Action.BLOCK)}
    world = tenant(held(response=rules, request=rules), schemas={"trip": bound})

    def call(days):
        return {"functionCall": {"name": "plan", "args": {"days": days}}}

    assert answered(answer(candidate(call(3), finish="STOP")), world).record.outcome == "completed"
    assert answered(answer(candidate(call(9), finish="STOP")), world).record.code == "answer_blocked"
    assert sent(event(candidate(call(9), finish="STOP")), world)[1].record.code == "answer_blocked"
    play, _ = asked({"contents": [said("x"), said(call(9), role="model")]}, world)
    assert refusal(play)["metadata"] == {"field": "contents[1].parts[0].functionCall.args.days"}


# --- values that come back ------------------------------------------------
@pytest.mark.parametrize("streams", [True, False])
def test_values_come_back_in_texts_and_to_tools_that_may_have_them(streams):
    world = tenant(held(request=settings(Action.TOKENISE)), restore=Restore(tools=frozenset({"mail"})))
    play, commands = asked(body(f"Write to {MAIL}"), world, STREAM if streams else ONCE)
    placeholder = json.loads(passed(commands))["contents"][0]["parts"][0]["text"].removeprefix("Write to ")
    assert MAIL not in placeholder
    calls = [{"functionCall": {"name": name, "args": {"to": placeholder}}} for name in ("mail", "post")]
    half = len(placeholder) // 2
    if streams:
        play.give(answer_head(kind="text/event-stream"))
        raw = words("I write ", f"to {placeholder[:half]}", f"{placeholder[half:]} now") + event(
            candidate(*calls, finish="STOP")
        )
        play.give(ResponseChunk(raw, end_of_stream=True))
        out = play.sent()
        assert heard(out).startswith(f"I write to {MAIL} now")
        parts = [part for tree in events(out) for each in tree["candidates"] for part in each["content"]["parts"]]
    else:
        tree = answer(candidate(f"to {placeholder}", *calls, finish="STOP"))
        play.give(answer_head(), ResponseChunk(json.dumps(tree).encode(), end_of_stream=True))
        parts = json.loads(play.sent())["candidates"][0]["content"]["parts"]
        assert parts[0]["text"] == f"to {MAIL}"
    told = {
        part["functionCall"]["name"]: part["functionCall"]["args"]["to"] for part in parts if "functionCall" in part
    }
    assert told == {"mail": MAIL, "post": placeholder}


# --- the cache ------------------------------------------------
CACHE = Cache()


def looked(tree, path, **fields):
    play, commands = asked(tree, tenant(cache=replace(CACHE, **fields)), path)
    looks = [one for each in commands if isinstance(each, Ask) for one in each.questions if isinstance(one, Look)]
    return play, looks[0].parts if looks else None


COLD = {"generationConfig": {"temperature": 0}}


def test_a_stream_is_never_answered_with_what_was_no_stream():
    kinds = [ONCE, STREAM, ONCE.replace("v1beta", "v1")]
    assert len({looked(body(**COLD), path)[1] for path in kinds}) == 3


def test_what_another_time_may_answer_otherwise_is_not_kept():
    warm = body(generationConfig={"temperature": 2})
    several = body(generationConfig={"temperature": 0, "candidateCount": 2})
    picture = body({"inlineData": {"mimeType": "image/png", "data": "eA=="}}, **COLD)
    result = {"contents": [said({"functionResponse": {"name": "f", "response": {}}})], **COLD}
    tools = body(tools=[{"functionDeclarations": [{"name": "f"}]}], **COLD)
    assert [looked(tree, ONCE, max_temperature=1)[1] for tree in (warm, several, picture, result, tools)] == [None] * 5


@pytest.mark.parametrize(
    ("raw", "path", "kept"),
    [
        (json.dumps(answer(candidate("A tower.", finish="STOP"))).encode(), ONCE, True),
        (json.dumps(answer(candidate("A tow", finish="MAX_TOKENS"))).encode(), ONCE, False),
        (json.dumps(answer(candidate("A tower."))).encode(), ONCE, False),
        (
            json.dumps(answer(candidate({"functionCall": {"name": "f", "args": {}}}, finish="STOP"))).encode(),
            ONCE,
            False,
        ),
        (words("A ", "tower."), STREAM, True),
        (words("A ", "tow", finish="MAX_TOKENS"), STREAM, False),
        (event(candidate("A tow")), STREAM, False),
        (words("A ") + event(error={"code": 503, "message": "m", "status": "UNAVAILABLE"}), STREAM, False),
    ],
)
def test_an_answer_is_kept_that_ended_well(raw, path, kept):
    play, _ = looked(body(**COLD), path)
    play.give(Answered((Missed(Ticket(CACHE, "acme", "name", 1000, "token")),)))
    play.give(answer_head(kind="text/event-stream" if path == STREAM else "application/json"))
    commands = play.give(ResponseChunk(raw, end_of_stream=True))
    answers = [each.answer for each in commands if isinstance(each, Keep)]
    assert any(each.keepable for each in answers) is kept


def test_a_model_of_another_route_is_refused_with_the_routes_that_serve_it():
    base = held()
    world = replace(base, models={**base.models, PUBLIC: replace(base.models[PUBLIC], backend="gemini")})
    play = Play(world)
    tree = {"model": PUBLIC, "prompt": "x"}
    play.give(head("/v1/completions"), RequestBody(json.dumps(tree).encode(), end_of_stream=True))
    (told,) = [each for each in play.commands if isinstance(each, Answer)]
    assert b"POST /v1beta/models/MODEL:generateContent" in told.rendered.body


@pytest.mark.parametrize(
    ("path", "raw"),
    [
        (ONCE, json.dumps(answer(candidate("A tower.", finish="STOP"))).encode()),
        (STREAM, sent(words("A ", "tower."))[0]),
    ],
)
def test_an_answer_that_was_kept_is_given_again_and_judged_by_the_rules_of_now(path, raw):
    play, _ = looked(body(**COLD), path)
    ticket = Ticket(CACHE, "acme", "name", 1000, "token")
    play.give(Answered((Hit(Entry(raw, play.clock.now() - 7, 9, 4), ticket),)))
    (told,) = [each for each in play.commands if isinstance(each, Answer)]
    assert told.rendered.status == 200
    assert dict(told.rendered.headers)["x-ostiary-cache"] == "hit"
    if path == STREAM:
        assert heard(told.rendered.body) == "A tower."
        assert events(told.rendered.body)[-1]["candidates"][0]["finishReason"] == "STOP"
    else:
        assert told.rendered.body == raw
    play, _ = looked(body(**COLD), path)
    play.give(Answered((Hit(Entry(raw.replace(b"tower", MAIL.encode()), play.clock.now(), 9, 4), ticket),)))
    assert [each for each in play.commands if isinstance(each, Answer)] == []
