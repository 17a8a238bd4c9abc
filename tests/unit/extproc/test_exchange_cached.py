"""Exchanges of tenants with a cache, played event by event: what is asked of it, given out of it, put into it."""

import json
from dataclasses import replace

import pytest

import messaging
from extproc.core.commands import Answer, Ask, Keep, PassRequestBody, PassResponseHead, Settle
from extproc.core.events import Answered, Gone, RequestBody, ResponseChunk
from extproc.core.questions import Entry, Failed, Hit, Look, Missed, Reserve, Ticket
from gateway import contract
from gateway.budgets.model import PER_DAY, Amounts, Dimension, Hold, Limit, Reservation, Reserved, Resource, Verdict
from gateway.policy.guard import LENGTH_ID
from gateway.policy.kept import Cache, Scope
from gateway.policy.model import Action, Budget, Mode, Model, RuleSetting
from messaging import CLAUDE
from playbook import DONE, MAIL, Play, answer_head, chat, completion, delta, head, texts
from worlds import CALLER, policy, settings

CACHE = Cache()
TICKET = Ticket(CACHE, "acme", "name", 1000, "token")
STOP = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "A tower."}, "finish_reason": "stop"}]}


def held(cache=CACHE, **tenant):
    made = policy(**{name: tenant.pop(name) for name in ("request", "response") if name in tenant})
    return replace(made, tenants={"acme": replace(made.tenants["acme"], cache=cache, **tenant)})


def asked(body=None, of=None, caller=CALLER, **headers):
    """The play, and what it asks of the cache."""
    play = Play(held() if of is None else of)
    commands = play.give(head(caller=caller, **headers), RequestBody(body or chat(), end_of_stream=True))
    looks = [one for each in commands if isinstance(each, Ask) for one in each.questions if isinstance(one, Look)]
    return play, looks[0] if looks else None


def parts(body=None, of=None, **headers):
    return asked(body, of, **headers)[1].parts


def answered(play, *replies):
    return play.give(Answered(replies))


def entry(play, body=None, age_s=7):
    return Entry(body or completion("A tower.", **STOP), play.clock.now() - age_s, 5, 2)


# --- looking ------------------------------------------------------------------------------------------------
def test_the_cache_is_asked_before_the_request_leaves():
    play, look = asked()
    assert (look.tenant, look.cache, look.tags) == ("acme", CACHE, ("model:gpt-4o-mini",))
    assert look.max_age_s == CACHE.ttl_s
    assert "hello" not in repr(look)
    (sent,) = answered(play, Missed(TICKET))
    assert isinstance(sent, PassRequestBody)


@pytest.mark.parametrize("reply", [Failed("cache is away"), Missed(), Missed(TICKET)])
def test_without_an_answer_of_the_cache_the_provider_is_asked(reply):
    play, _ = asked()
    (sent,) = answered(play, reply)
    assert isinstance(sent, PassRequestBody)
    first, *_ = play.give(answer_head(), ResponseChunk(completion("hi", **STOP), end_of_stream=True))
    assert isinstance(first, PassResponseHead)
    assert (contract.CACHE_HEADER, "miss") in first.change.put
    assert play.record.details["cache"] == "miss"


def test_a_tenant_without_a_cache_asks_nobody():
    _, look = asked(of=policy())
    assert look is None


OTHERS = {
    "text": {"body": chat("hello!")},
    "model": {"body": json.dumps({**json.loads(chat()), "model": "text-embedding-3-small"}).encode()},
    "stream": {"body": chat(stream=True)},
    "usage of a stream": {"body": chat(stream=True, stream_options={"include_usage": True})},
    "temperature": {"body": chat(temperature=0.1)},
    "seed": {"body": chat(seed=7)},
    "system prompt": {"body": json.dumps({"model": "gpt-4o-mini", "messages": [
        {"role": "system", "content": "x"}, {"role": "user", "content": "hello"}]}).encode()},
    "role": {"body": json.dumps({"model": "gpt-4o-mini", "messages": [
        {"role": "assistant", "content": "hello"}]}).encode()},
    "two messages for one": {"body": json.dumps({"model": "gpt-4o-mini", "messages": [
        {"role": "user", "content": "hel"}, {"role": "user", "content": "lo"}]}).encode()},
    "a provider's header": {"openai_beta": "assistants=v2"},
    "an unknown header": {"x_region": "eu"},
    "principal": {"caller": replace(CALLER, principal="mallory")},
    "obligation": {"caller": replace(CALLER, obligations=replace(CALLER.obligations, max_tokens=50))},
    "order of a schema": {"body": chat(response_format={"type": "json_schema", "json_schema": {
        "name": "n", "schema": {"type": "object", "properties": {"b": {}, "a": {}}}}})},
}  # fmt: skip


def test_whatever_decides_an_answer_has_a_place_of_its_own():
    found = {"": parts()}
    for name, how in OTHERS.items():
        _, look = asked(**how)
        found[name] = look.parts
    ordered = json.loads(OTHERS["order of a schema"]["body"])
    properties = ordered["response_format"]["json_schema"]["schema"]
    properties["properties"] = dict(reversed(properties["properties"].items()))
    found["the other order"] = parts(json.dumps(ordered).encode())
    assert len(set(found.values())) == len(found), "two of them share a place"


def test_policies_tenants_and_bands_have_places_of_their_own():
    other = held()
    caller = replace(CALLER, policy="p-other")
    assert parts() != parts(of=replace(other, version="p-other"), caller=caller)
    elsewhere = replace(other, tenants={"beta": replace(other.tenants["acme"], id="beta")})
    assert parts() != parts(of=elsewhere, caller=replace(CALLER, tenant="beta"))


def test_a_principal_cannot_take_the_place_of_its_whole_tenant():
    shared = held(replace(CACHE, scope=Scope.TENANT))
    mallory = replace(CALLER, principal="mallory")
    assert parts(of=shared) == parts(of=shared, caller=mallory)
    for name in ("tenant", "", "principal=alice"):
        assert parts(caller=replace(CALLER, principal=name)) != parts(of=shared)


def test_spaces_and_headers_that_decide_nothing_have_no_place():
    loose = json.dumps(json.loads(chat()), indent=2).encode()
    assert parts(loose, user_agent="x", x_request_id="1", traceparent="00-1", x_stainless_lang="python") == parts()


@pytest.mark.parametrize(
    "body",
    [
        chat(MAIL),
        chat(user="u1"),
        chat(metadata={"customer": "7"}),
        chat("word " * 200_001),
        chat(n=2),
        chat(temperature=1.3),
        chat(web_search_options={"search_context_size": "low"}),
        chat(tools=[{"type": "function", "function": {"name": "f"}}]),
        chat([{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]),
    ],
    ids=["data", "user", "metadata", "long", "n", "temperature", "search", "tools", "picture"],
)
def test_what_would_not_do_another_time_is_not_looked_for(body):
    play, look = asked(body)
    assert look is None
    assert isinstance(play.commands[-1], PassRequestBody)


def test_policy_may_let_tools_and_end_users_in():
    free = held(replace(CACHE, tools=True, personal=True, max_temperature=2.0))
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert asked(chat(tools=tools, user="u1", temperature=1.5), free)[1] is not None
    assert parts(chat(user="u1"), free) != parts(chat(user="u2"), free)


def test_a_model_that_policy_does_not_name_is_left_alone():
    assert asked(of=held(replace(CACHE, models=frozenset({"other"}))))[1] is None


def test_data_whose_rule_the_tenant_switched_off_is_not_looked_for_either():
    off = settings()
    off["pii.email"] = replace(off["pii.email"], mode=Mode.OFF)
    assert asked(chat(MAIL), held(request=off))[1] is None
    assert asked(chat(), held(request=off))[1] is not None


@pytest.mark.parametrize(
    ("headers", "age_s"),
    [
        ({"cache_control": "no-store"}, None),
        ({"cache_control": "max-age=60, NO-STORE"}, None),
        ({"cache_control": "no-cache"}, 0),
        ({"cache_control": "max-age=0"}, 0),
        ({"cache_control": "max-age=60"}, 60),
        ({"cache_control": "max-age=99999999999999999999"}, 0),
        ({"cache_control": "max-age=soon"}, 0),
        ({"cache_control": "max-age=99999"}, CACHE.ttl_s),
        ({"cache_control": "only-if-cached"}, CACHE.ttl_s),
        ({"pragma": "no-cache"}, 0),
        ({"pragma": "no-cache", "cache_control": "max-age=9"}, 9),
    ],
)
def test_a_request_says_how_old_an_answer_may_be(headers, age_s):
    _, look = asked(**headers)
    assert (look.max_age_s if look else None) == age_s


# --- giving ---------------------------------------------------------------------------------------------------
def test_a_hit_is_the_whole_answer_and_the_provider_hears_nothing():
    play, _ = asked()
    found = entry(play)
    (given,) = answered(play, Hit(found, TICKET))
    assert isinstance(given, Answer)
    assert (given.rendered.status, given.rendered.body) == (200, found.body)
    told = dict(given.rendered.headers)
    assert told == {"content-type": "application/json", contract.CACHE_HEADER: "hit", "age": "7"}
    record = play.record
    assert (record.outcome, record.backend, record.usage, record.details) == ("completed", "", None, {"cache": "hit"})


def test_a_stream_is_given_as_a_stream():
    play, _ = asked(chat(stream=True))
    body = delta("A tower.") + delta(None, finish_reason="stop") + DONE
    (given,) = answered(play, Hit(entry(play, body), TICKET))
    assert dict(given.rendered.headers)["content-type"] == "text/event-stream; charset=utf-8"
    assert texts(given.rendered.body) == "A tower."
    assert given.rendered.body.endswith(DONE)


@pytest.mark.parametrize(
    "body",
    [
        completion("", choices=[{"index": 0, "message": {"content": MAIL}, "finish_reason": "stop"}]),
        b"not an answer",
        b"[]",
    ],
    ids=["data", "garbage", "list"],
)
def test_an_entry_in_which_a_rule_of_now_finds_anything_is_not_given(body):
    play, _ = asked()
    (sent,) = answered(play, Hit(entry(play, body), TICKET))
    assert isinstance(sent, PassRequestBody)
    play.give(answer_head(), ResponseChunk(completion("hi", **STOP), end_of_stream=True))
    assert play.record.found == ()
    assert play.record.details["cache"] == "miss"


SAID = (("content", "A tower."), ("id", "c1"))
STREAM = delta("A tower.") + delta(None, finish_reason="stop") + DONE


def test_a_stream_is_judged_by_what_it_says_together_and_given_byte_for_byte():
    play, _ = asked(chat(stream=True))
    (given,) = answered(play, Hit(replace(entry(play, STREAM), said=SAID), TICKET))
    assert given.rendered.body == STREAM


@pytest.mark.parametrize(
    "said", [("content", f"write to {MAIL}"), ("arguments", '{"to": "bob\\u0040example.com"}'), (MAIL, "x")]
)
def test_a_stream_that_says_what_a_rule_of_now_finds_is_not_given(said):
    play, _ = asked(chat(stream=True))
    (sent,) = answered(play, Hit(replace(entry(play, STREAM), said=(*SAID, said)), TICKET))
    assert isinstance(sent, PassRequestBody)


def test_a_stream_whose_form_or_length_is_judged_goes_through_its_events():
    bounded = settings() | {LENGTH_ID: RuleSetting(rule=LENGTH_ID, action=Action.REDACT)}
    play = Play(held(response=bounded, max_answer_chars=3))
    play.asked(chat(stream=True))
    (sent,) = answered(play, Hit(replace(entry(play, STREAM), said=SAID), TICKET))
    assert isinstance(sent, PassRequestBody)


def budgeted(cache):
    limit = Limit(name="r", resource=Resource.REQUESTS, window=PER_DAY, amount=5, scope=(Dimension.TENANT,))
    granted = Reserved(Reservation("id", "acme", (Hold(limit, "k", 1),), 0.0), Verdict(allowed=True))
    return held(cache, budgets=Budget(limits=(limit,))), granted


@pytest.mark.parametrize(("charge", "settled"), [(False, None), (True, Amounts(5, 2, 0))])
def test_a_hit_is_settled_as_policy_says(charge, settled):
    of, granted = budgeted(replace(CACHE, charge=charge))
    play = Play(of)
    commands = play.asked()
    (ask,) = [one for one in commands if isinstance(one, Ask)]
    assert [type(one) for one in ask.questions] == [Reserve, Look]
    commands = answered(play, granted, Hit(entry(play), TICKET))
    assert [one.used for one in commands if isinstance(one, Settle)] == [settled]
    assert (play.record.usage is None) is not charge


def test_without_a_reservation_there_is_no_answer_from_the_cache():
    of, _ = budgeted(CACHE)
    play = Play(of)
    play.asked()
    answered(play, Failed("no ledger"), Hit(entry(play), TICKET))
    assert play.refused()[0] == 503


# --- keeping --------------------------------------------------------------------------------------------------
def ended(*chunks, of=None, body=None, reply=None, status="200", kind="application/json"):
    play, _ = asked(body, of)
    answered(play, Missed(TICKET) if reply is None else reply)
    events = [ResponseChunk(chunk, end_of_stream=at == len(chunks) - 1) for at, chunk in enumerate(chunks)]
    play.give(answer_head(status=status, kind=kind), *events)
    return play, [each.answer for each in play.commands if isinstance(each, Keep)]


def test_what_the_caller_got_is_handed_over():
    play, (heard,) = ended(completion("A tower.", **STOP))
    assert heard.body == play.sent()
    assert heard.keepable
    assert (heard.tokens_in, heard.tokens_out) == (5, 2)
    assert "tower" not in repr(heard)


def test_a_stream_is_handed_over_as_the_caller_got_it():
    chunks = (delta("A "), delta("tower."), delta(None, finish_reason="stop"), DONE)
    play, (heard,) = ended(*chunks, body=chat(stream=True), kind="text/event-stream")
    assert heard.body == play.sent()
    assert heard.keepable


@pytest.mark.parametrize("reply", [Missed(), Failed("away")])
def test_without_a_ticket_nothing_is_handed_over(reply):
    assert ended(completion("A tower.", **STOP), reply=reply)[1] == []


def test_an_answer_in_which_a_rule_found_something_is_not_handed_over():
    choices = [{"index": 0, "message": {"role": "assistant", "content": MAIL}, "finish_reason": "stop"}]
    assert ended(completion("", choices=choices))[1] == []


def test_answers_that_failed_or_broke_off_are_not_handed_over():
    assert ended(b'{"error": {"message": "no"}}', status="500")[1] == []
    play, _ = asked(chat(stream=True))
    answered(play, Missed(TICKET))
    play.give(answer_head(kind="text/event-stream"), ResponseChunk(delta("A "), end_of_stream=False), Gone())
    assert not [each for each in play.commands if isinstance(each, Keep)]


def test_an_answer_that_is_longer_than_policy_keeps_is_not_handed_over():
    small = held(replace(CACHE, entry_bytes=100))
    assert ended(completion("A tower.", **STOP), of=small)[1] == []


def test_a_hit_is_not_kept_again():
    play, _ = asked()
    answered(play, Hit(entry(play), TICKET))
    assert not [each for each in play.commands if isinstance(each, Keep)]


# --- behind another dialect -------------------------------------------------------------------------------------
def translated(**fields):
    base = messaging.held()
    model = Model(name=CLAUDE, backend="anthropic", upstream={"anthropic": "theirs"})
    tenant = replace(base.tenants["acme"], cache=CACHE)
    play = Play(replace(base, models={**base.models, CLAUDE: model}, tenants={"acme": tenant}))
    play.give(head(), RequestBody(chat(model=CLAUDE, **fields), end_of_stream=True))
    answered(play, Missed(TICKET))
    theirs = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "theirs",
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "content": [{"type": "text", "text": "A tower."}],
        "usage": {"input_tokens": 9, "output_tokens": 4},
    }
    play.give(answer_head(), ResponseChunk(json.dumps(theirs).encode(), end_of_stream=True))
    return play, [each.answer for each in play.commands if isinstance(each, Keep)]


def looked_for(messages, cache=CACHE):
    """Whether the cache is asked for the answer to a request in Anthropic's words."""
    base = messaging.held()
    play = Play(replace(base, tenants={"acme": replace(base.tenants["acme"], cache=cache)}))
    body = json.dumps({**messaging.messages(), "messages": messages}).encode()
    return any(isinstance(each, Ask) for each in play.give(head(messaging.MESSAGES), RequestBody(body, True)))


@pytest.mark.parametrize("tools", [False, True])
def test_what_tools_said_is_looked_for_only_where_policy_says_so_in_either_dialect(tools):
    call = {"type": "tool_use", "id": "t", "name": "weather", "input": {"city": "Oslo"}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": "It rains."}
    history = [
        {"role": "user", "content": "Shall I take an umbrella?"},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [result]},
    ]
    assert looked_for(history, replace(CACHE, tools=tools)) is tools
    assert looked_for(history[:1], replace(CACHE, tools=tools))


def test_the_answer_of_another_dialect_is_kept_in_the_callers_words():
    play, (heard,) = translated()
    assert heard.body == play.sent()
    assert json.loads(heard.body)["object"] == "chat.completion"
    assert heard.keepable


def test_an_answer_with_which_the_caller_is_told_of_a_loss_is_not_kept():
    play, kept = translated(logit_bias={"1": 2})
    assert kept == []
    (passed,) = [each for each in play.commands if isinstance(each, PassResponseHead)]
    assert contract.DROPPED_HEADER in dict(passed.change.put)
