"""The engine of like questions with the real model: other words are found, other questions are not."""

import importlib.util

import pytest

from clocks import ManualClock
from gateway import similar
from gateway.policy.kept import Likeness

np = pytest.importorskip("numpy", reason="only with `make analysis`")
pytest.importorskip("onnxruntime", reason="only with `make analysis`")

from analysis.engine import Asked, Item  # noqa: E402 -- after it is known to be there
from analysis.minilm import PACKAGE  # noqa: E402
from analysis.similar import Similar  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec(PACKAGE) is None, reason="the weights come with `make analysis`"),
]
PLACE, OTHER = "a" * 64, "b" * 64


@pytest.fixture(scope="module")
def clock():
    return ManualClock()


@pytest.fixture(scope="module")
def engine(clock):
    return Similar.load(1, clock)


def say(engine, said):
    ((number, told),) = engine.judge([Asked((), 1e9, question=said)])
    assert number == 0
    return told.near


def name(text):
    return text.encode().hex().ljust(64, "0")[:64]


def put(engine, text, place=PLACE, tenant="acme", life_s=60):
    told = say(
        engine,
        similar.Put(
            schema=similar.SCHEMA, tenant=tenant, partition=place, name=name(text), text=text, life_s=life_s, entries=9
        ),
    )
    assert told.name == ""


def find(engine, text, place=PLACE, tenant="acme", likeness=Likeness.USUAL):
    return say(
        engine,
        similar.Find(
            schema=similar.SCHEMA, tenant=tenant, partition=place, text=text, likeness=likeness, deadline_ms=50
        ),
    )


ASKED = "What are the best ways to learn Python?"
LIKE = "What is the best way to learn Python?"


def test_the_same_in_other_words_is_found(engine):
    put(engine, ASKED)
    near = find(engine, LIKE)
    assert near.name == name(ASKED)
    assert 0.8 < near.likeness <= 1
    assert find(engine, ASKED.lower()).name == name(ASKED)


@pytest.mark.parametrize(
    "text",
    [
        "What is the best way to learn Java?",
        "What is the worst way to forget Python?",
        "Why should nobody learn Python?",
        "How do I cook rice?",
        "What are the best ways to learn Python in 30 days?",
        "What are not the best ways to learn Python?",
        "?",
        "\u0000\u0001",
        "x" * 1000,
    ],
)
def test_other_questions_are_not(engine, text):
    put(engine, ASKED)
    assert find(engine, text).name == ""


def test_no_other_place_and_no_other_tenant_is_looked_at(engine):
    put(engine, ASKED)
    assert find(engine, ASKED, place=OTHER).name == ""
    assert find(engine, ASKED, tenant="beta").name == ""


def test_what_is_dropped_or_has_ended_is_not_found(engine, clock):
    place = "c" * 64
    put(engine, ASKED, place)
    gone = similar.Drop(schema=similar.SCHEMA, tenant="acme", partition=place, name=name(ASKED))
    assert find(engine, LIKE, place).name
    say(engine, gone)
    assert find(engine, LIKE, place).name == ""
    put(engine, ASKED, place, life_s=60)
    clock.advance(59)
    assert find(engine, LIKE, place).name
    clock.advance(1)
    assert find(engine, LIKE, place).name == ""


def test_likeness_is_as_policy_wants_it(engine):
    place = "d" * 64
    put(engine, ASKED, place)
    text = "What is the best way to learn the language Python?"
    found = [bool(find(engine, text, place, likeness=each).name) for each in Likeness]
    assert found == sorted(found), "what is near enough for the strict is near enough for all"


def test_what_is_not_for_the_index_is_left_alone(engine):
    assert list(engine.judge([Item((), 1e9)])) == []
