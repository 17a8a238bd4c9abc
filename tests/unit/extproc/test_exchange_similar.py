"""Exchanges whose cache compares questions: what is compared with what, and how an answer to other words is told."""

import json
from dataclasses import replace

import pytest

from extproc.core.commands import Answer, Ask, PassRequestBody
from extproc.core.events import Answered, RequestBody
from extproc.core.questions import Entry, Hit, Look, Ticket
from gateway import contract
from gateway.policy.kept import Cache, Scope, Similar
from playbook import MAIL, Play, chat, completion, head
from worlds import CALLER, policy

SIMILAR = Similar()
TICKET = Ticket(Cache(), "acme", "name", 1000)
STOP = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "A tower."}, "finish_reason": "stop"}]}


def held(similar=SIMILAR, scope=Scope.PRINCIPAL, **cache):
    made = policy()
    kept = Cache(similar=similar, scope=scope, **cache)
    return replace(made, tenants={"acme": replace(made.tenants["acme"], cache=kept)})


def asked(body=None, of=None, caller=CALLER, **headers):
    play = Play(held() if of is None else of)
    commands = play.give(head(caller=caller, **headers), RequestBody(body or chat("why?"), end_of_stream=True))
    (look,) = [one for each in commands if isinstance(each, Ask) for one in each.questions if isinstance(one, Look)]
    return play, look


def place(body=None, of=None, **how):
    return asked(body, of, **how)[1].alike.parts


def messages(*said, **fields):
    told = [{"role": role, "content": content} for role, content in said]
    return json.dumps({"model": "gpt-4o-mini", "messages": told, **fields}).encode()


def test_questions_to_the_same_application_share_a_place():
    _, one = asked(chat("why?"))
    _, other = asked(chat("what for?"))
    assert (one.alike.text, other.alike.text) == ("why?", "what for?")
    assert one.alike.parts == other.alike.parts
    assert one.parts != other.parts
    assert one.parts != one.alike.parts
    assert "why?" not in repr(one)


OTHERS = {
    "model": {"body": json.dumps({**json.loads(chat("why?")), "model": "text-embedding-3-small"}).encode()},
    "stream": {"body": chat("why?", stream=True)},
    "temperature": {"body": chat("why?", temperature=0.1)},
    "seed": {"body": chat("why?", seed=7)},
    "format": {"body": chat("why?", response_format={"type": "json_object"})},
    "system prompt": {"body": messages(("system", "Be brief."), ("user", "why?"))},
    "another system prompt": {"body": messages(("system", "Be kind."), ("user", "why?"))},
    "role": {"body": messages(("developer", "Be brief."), ("user", "why?"))},
    "a provider's header": {"openai_beta": "assistants=v2"},
    "an unknown header": {"x_region": "eu"},
    "principal": {"caller": replace(CALLER, principal="mallory")},
    "obligation": {"caller": replace(CALLER, obligations=replace(CALLER.obligations, max_tokens=50))},
}


def test_whatever_else_decides_an_answer_has_a_place_of_its_own():
    places = {"": place()} | {name: place(**how) for name, how in OTHERS.items()}
    other = held()
    places["policy"] = place(of=replace(other, version="p-other"), caller=replace(CALLER, policy="p-other"))
    elsewhere = replace(other, tenants={"beta": replace(other.tenants["acme"], id="beta")})
    places["tenant"] = place(of=elsewhere, caller=replace(CALLER, tenant="beta"))
    assert len(set(places.values())) == len(places), "two of them share a place"


def test_principals_share_questions_only_where_policy_says_so_of_questions():
    mallory = replace(CALLER, principal="mallory")
    answers = held(scope=Scope.TENANT)
    assert place(of=answers) != place(of=answers, caller=mallory)
    assert asked(of=answers)[1].parts == asked(of=answers, caller=mallory)[1].parts
    both = held(replace(SIMILAR, scope=Scope.TENANT), Scope.TENANT)
    assert place(of=both) == place(of=both, caller=mallory)


@pytest.mark.parametrize(
    "body",
    [
        messages(("user", "hi"), ("assistant", "yes?"), ("user", "why?")),
        chat("why?", tools=[{"type": "function", "function": {"name": "f"}}]),
        chat("why?", user="u1"),
        chat("why?", metadata={"order": "1"}),
        chat("why? " * 100),
        messages(("user", [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])),
    ],
)
def test_what_is_not_one_plain_question_is_compared_with_nothing(body):
    """Also where policy lets tools and end users into the cache."""
    _, look = asked(body, held(tools=True, personal=True))
    assert look.alike is None


def test_without_a_word_of_policy_nothing_is_compared():
    assert asked(of=held(None))[1].alike is None


def test_an_answer_to_other_words_is_told_as_one():
    play, _ = asked()
    found = Entry(completion("A tower.", **STOP), play.clock.now() - 7, 5, 2)
    (given,) = play.give(Answered((Hit(found, TICKET, 0.8765),)))
    assert isinstance(given, Answer)
    told = dict(given.rendered.headers)
    assert (told[contract.CACHE_HEADER], told["age"]) == ("similar", "7")
    assert play.record.details == {"cache": "similar", "likeness": "0.876"}
    assert (play.record.outcome, play.record.usage) == ("completed", None)


def test_an_answer_to_other_words_passes_the_rules_of_now():
    play, _ = asked()
    spoilt = {"choices": [{"index": 0, "message": {"content": MAIL}, "finish_reason": "stop"}]}
    found = Entry(completion("", **spoilt), play.clock.now(), 5, 2)
    (sent,) = play.give(Answered((Hit(found, TICKET, 0.99),)))
    assert isinstance(sent, PassRequestBody)
