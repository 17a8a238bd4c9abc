import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.advice import (
    ANSWER_MAX_BYTES,
    QUESTION_MAX_BYTES,
    SCHEMA,
    Advice,
    AdviceError,
    Advised,
    Question,
    Text,
    read_advice,
    read_question,
    write_advice,
    write_question,
)


def asked(*texts, **changes):
    said = tuple(Text(provenance="user", text=text) for text in texts)
    given_ = {"request_id": "r1", "tenant": "acme", "direction": "request", "deadline_ms": 50} | changes
    return Question(schema=SCHEMA, texts=said, **given_)


@given(st.lists(st.text(), max_size=4))
def test_a_question_reads_as_it_was_written(texts):
    assert read_question(write_question(asked(*texts))) == asked(*texts)


@given(st.text(max_size=20))
def test_half_of_a_surrogate_pair_is_replaced_and_moves_nothing(text):
    sent = read_question(write_question(asked("\ud83d" + text + "\udc00"))).texts[0].text
    assert sent == "?" + text + "?"


def test_an_answer_reads_as_it_was_written():
    advice = Advice(
        schema=SCHEMA,
        findings=(
            Advised(rule="injection.transformer", text=0, score=0.93),
            Advised(rule="pii.person", text=1, start=0, end=3, score=0.8),
        ),
        partial=(1,),
    )
    assert read_advice(write_advice(advice), asked("a", "Ada")) == advice


def test_a_finding_of_a_whole_text_is_written_without_places():
    (finding,) = json.loads(
        write_advice(Advice(schema=SCHEMA, findings=(Advised(rule="injection.transformer", text=0, score=0.5),)))
    )["findings"]
    assert finding == {"rule": "injection.transformer", "text": 0, "score": 0.5}


def test_fields_that_a_later_version_adds_are_passed_over():
    assert read_advice(b'{"schema":"ostiary.advice/1","model":"x"}', asked("a")).findings == ()


@pytest.mark.parametrize(
    "finding",
    [
        {"rule": "pii.person", "text": 1, "score": 0.5},
        {"rule": "pii.person", "text": -1, "score": 0.5},
        {"rule": "pii.person", "text": 0, "score": 0.5, "start": 0},
        {"rule": "pii.person", "text": 0, "score": 0.5, "end": 1},
        {"rule": "pii.person", "text": 0, "score": 0.5, "start": 0, "end": 4},
        {"rule": "pii.person", "text": 0, "score": 0.5, "start": 2, "end": 2},
        {"rule": "pii.person", "text": 0, "score": 0.5, "start": 2, "end": 1},
        {"rule": "pii.person", "text": 0, "score": 1.5},
        {"rule": "pii.person", "text": 0, "score": -0.1},
        {"rule": "pii.person", "text": 0, "score": "0.5"},
        {"rule": "pii.person", "text": 0, "score": None},
        {"rule": "person", "text": 0, "score": 0.5},
        {"rule": "pii.person\nforged", "text": 0, "score": 0.5},
        {"rule": "pii." + "p" * 64, "text": 0, "score": 0.5},
        {"text": 0, "score": 0.5},
    ],
)
def test_a_finding_outside_of_the_question_or_of_its_bounds_voids_the_answer(finding):
    with pytest.raises(AdviceError):
        read_advice(json.dumps({"schema": SCHEMA, "findings": [finding]}).encode(), asked("abc"))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"{}",
        b'{"findings":[]}',
        b'{"schema":"ostiary.advice/2"}',
        b'{"schema":"ostiary.advice/1","partial":[1]}',
        b'{"schema":"ostiary.advice/1","findings":[{"rule":"a.b","text":0,"score":NaN}]}',
        b'{"schema":"\xff"}',
        b"[" * 100_000,
        b'{"schema":"ostiary.advice/1","x":' + b"[" * 100_000,
        b'{"schema":"ostiary.advice/1"}' + b" " * ANSWER_MAX_BYTES,
    ],
    ids=range(13),
)
def test_an_answer_that_is_not_the_contract_is_refused(raw):
    with pytest.raises(AdviceError):
        read_advice(raw, asked("abc"))


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": "ostiary.advice/2"},
        {"direction": "sideways"},
        {"deadline_ms": 0},
        {"deadline_ms": 10**9},
        {"deadline_ms": 1.5},
        {"tenant": "t" * 129},
        {"texts": [{"text": "a"}]},
        {"texts": [{"provenance": "A user", "text": "a"}]},
        {"texts": [{"provenance": "user", "text": None}]},
        {"texts": [{"provenance": "user", "text": "a"}] * 1025},
    ],
)
def test_a_question_that_is_not_the_contract_is_refused(changes):
    question = json.loads(write_question(asked("a"))) | changes
    with pytest.raises(AdviceError):
        read_question(json.dumps(question).encode())


def test_a_question_beyond_its_bound_is_refused_before_it_is_read():
    with pytest.raises(AdviceError, match="too large"):
        read_question(b" " * (QUESTION_MAX_BYTES + 1))


@given(st.binary(max_size=300))
def test_garbage_is_refused_and_raises_nothing_else(raw):
    for read in (read_question, lambda raw: read_advice(raw, asked("a"))):
        with pytest.raises(AdviceError):
            read(raw)


def test_what_is_said_of_a_refusal_quotes_no_value():
    question = json.loads(write_question(asked("a"))) | {"direction": "hunter2"}
    with pytest.raises(AdviceError) as caught:
        read_question(json.dumps(question).encode())
    assert "hunter2" not in str(caught.value)
    assert "direction" in str(caught.value)
