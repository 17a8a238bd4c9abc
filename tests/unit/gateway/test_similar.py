"""The contract of the index of questions: bounded both ways, and silent about what stood there."""

import pytest

from gateway import similar
from gateway.policy.kept import Likeness
from gateway.similar import Drop, Find, Near, Put, SimilarError, read_near, read_question, write

PLACE, NAME = "a" * 64, "b" * 64
COMMON = {"schema": similar.SCHEMA, "tenant": "acme", "partition": PLACE}
ASKED = (
    Find(**COMMON, text="what?", likeness=Likeness.STRICT, deadline_ms=50),
    Put(**COMMON, name=NAME, text="what?", life_s=60, entries=10),
    Drop(**COMMON, name=NAME),
)


@pytest.mark.parametrize("asked", ASKED)
def test_a_question_arrives_as_it_was_sent(asked):
    assert read_question(write(asked)) == asked


def test_an_answer_arrives_as_it_was_sent():
    for said in (Near(schema=similar.SCHEMA), Near(schema=similar.SCHEMA, name=NAME, likeness=0.5)):
        assert read_near(write(said)) == said


@pytest.mark.parametrize(
    ("at", "change"),
    [
        (0, (b"ostiary.similar/1", b"ostiary.similar/2")),
        (0, (b'"find"', b'"look"')),
        (0, (b"strict", b"any")),
        (0, (b'"deadline_ms":50', b'"deadline_ms":0')),
        (0, (b'"what?"', b'"' + b"x" * 1001 + b'"')),
        (0, (b"a" * 64, b"a" * 63)),
        (0, (b"acme", b"")),
        (1, (b'"life_s":60', b'"life_s":604801')),
        (1, (b'"entries":10', b'"entries":100001')),
        (1, (b"b" * 64, b"B" * 64)),
        (2, (b'"tenant"', b'"tenants"')),
    ],
)
def test_anything_else_is_refused_without_a_word_of_it(at, change):
    raw = write(ASKED[at])
    assert change[0] in raw
    with pytest.raises(SimilarError) as refused:
        read_question(raw.replace(*change))
    assert str(refused.value) == "not the contract"


def test_what_is_too_long_is_not_read():
    with pytest.raises(SimilarError, match="too large"):
        read_question(b" " * (similar.QUESTION_MAX_BYTES + 1))


def test_the_longest_question_fits():
    longest = Put(
        schema=similar.SCHEMA,
        tenant="t" * 128,
        partition=PLACE,
        name=NAME,
        text="\x01" * similar.CHARS[1],
        life_s=similar.LIFE_MAX_S,
        entries=similar.ENTRIES[1],
    )
    assert len(write(longest)) <= similar.QUESTION_MAX_BYTES
