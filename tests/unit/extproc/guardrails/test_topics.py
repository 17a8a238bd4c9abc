"""A tenant's topics: which texts are about them, and what becomes of a request."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.core.events import Gone
from extproc.detectors.topics.everyday import EVERYDAY
from extproc.detectors.topics.likeness import Likeness, tokens
from extproc.guardrails.topics import Topics
from gateway.policy.model import Action, Mode, RuleSetting, Topic
from playbook import Play, chat
from worlds import policy, settings

BETS = (
    "Which team should I bet on in tonight's football match?",
    "What are the odds for the horse race on Saturday?",
    "How do I place an accumulator bet with a bookmaker?",
    "Give me a strategy to win at online roulette.",
    "Is it better to bet on red or black at the casino?",
    "Tell me which slot machines pay out the most.",
    "How can I hide my gambling losses from my partner?",
    "What is a good betting system for poker tournaments?",
    "Can you predict the winner of the cup final so that I can bet on it?",
    "Where can I gamble online without a limit on my stake?",
)
UNSEEN = (
    "Please tell me on which horse I should place my bet.",
    "Which casino has the best odds for blackjack and roulette?",
)
TOPICS = {
    "bets": Topic(name="bets", allowed=False, examples=BETS),
    "rivals": Topic(name="rivals", allowed=False, terms=("globex", "initech inc")),
}
ALLOWED = {"garden": Topic(name="garden", allowed=True, terms=("rose", "compost", "tulips"))}


@pytest.mark.parametrize("text", UNSEEN)
def test_a_text_like_the_examples_is_about_the_topic(text):
    assert Topics.of(TOPICS).fired(text) == ("topic.bets",)


@pytest.mark.parametrize("text", EVERYDAY)
def test_everyday_texts_are_about_no_topic(text):
    assert Topics.of(TOPICS).fired(text) == ()


@pytest.mark.parametrize(
    "text", ["How does GLOBEX do it?", "what of gl\u043ebex", "initech  inc", "\uff47\uff4c\uff4f\uff42\uff45\uff58"]
)
def test_terms_are_found_in_any_case_form_and_script_that_looks_alike(text):
    assert Topics.of(TOPICS).fired(text) == ("topic.rivals",)


def test_a_topic_late_in_a_long_text_is_found():
    text = " ".join(EVERYDAY) + " " + UNSEEN[0]
    assert Topics.of(TOPICS).fired(text) == ("topic.bets",)


def test_what_a_user_asks_about_something_else_fires_but_not_a_short_answer_or_a_tools_text():
    held = Topics.of(ALLOWED)
    assert held.fired("Where does the king of France live today?", asked=True) == ("topic.other",)
    assert held.fired("When do I plant my tulips this year?", asked=True) == ()
    assert held.fired("yes, please do", asked=True) == ()
    assert held.fired("Where does the king of France live today?") == ()


def test_an_allowed_topic_by_examples_lets_pass_more_than_a_banned_one_catches():
    held = Topics.of({"bets": Topic(name="bets", allowed=True, examples=BETS)})
    for text in (*UNSEEN, *BETS):
        assert held.fired(text, asked=True) == ()
    fired = [bool(held.fired(text, asked=True)) for text in EVERYDAY if len(tokens(text)) >= 5]
    assert sum(fired) / len(fired) > 0.9


@given(st.lists(st.text(min_size=1, max_size=50), min_size=8, max_size=12), st.text(max_size=3000))
def test_no_examples_and_no_text_stop_the_model(examples, text):
    held = Likeness(examples)
    assert -2 <= held.score(tokens(text)) <= 2
    assert held.threshold > 0


def held(setting, topics=TOPICS):
    base = policy(request={**settings(), setting.rule: setting})
    return replace(base, tenants={"acme": replace(base.tenants["acme"], topics=topics)})


def test_a_request_about_a_banned_topic_is_refused_with_the_rule():
    play = Play(held(RuleSetting(rule="topic.bets", action=Action.BLOCK)))
    play.asked(chat(UNSEEN[0]))
    assert play.refused() == (403, "request_blocked")
    assert play.record.reason == "topic.bets"


@pytest.mark.parametrize(
    ("setting", "done"),
    [
        (RuleSetting(rule="topic.bets", action=Action.FLAG), ["flag"]),
        (RuleSetting(rule="topic.bets", action=Action.BLOCK, mode=Mode.SHADOW), ["allow"]),
        (RuleSetting(rule="topic.bets", action=Action.BLOCK, percent=0), ["allow"]),
        (RuleSetting(rule="topic.bets", action=Action.BLOCK, mode=Mode.OFF), []),
    ],
)
def test_a_rule_that_does_not_block_lets_pass_and_says_so(setting, done):
    play = Play(held(setting))
    play.asked(chat(UNSEEN[0]))
    play.give(Gone())
    assert [each.action for each in play.record.found] == done
