"""What clients of Responses are told: whole or streamed, it is one answer, as the official package declares it."""

from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai.types.responses import Response

from declared import complaints
from extproc.translate.canon import (
    Answer,
    Began,
    Call,
    Counted,
    Delta,
    Ended,
    Event,
    Failure,
    Fault,
    Finish,
    Finished,
    Image,
    Kind,
    PartBegan,
    PartEnded,
    Redacted,
    Refusal,
    Signed,
    Text,
    Thinking,
    Usage,
)
from extproc.translate.dialect import Origin
from extproc.translate.responses import RESPONSES
from gateway.errors import GatewayError
from gateway.errors import Kind as ErrorKind
from official import RESPONSE_EVENTS, Wire, openai_client

ORIGIN = Origin(model="m", request_id="0af7", now_s=1_790_000_000)
FUZZ = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
words = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=20)
names = st.from_regex(r"[a-z][a-z0-9_]{0,12}", fullmatch=True)
sources = st.dictionaries(names, words | st.integers(-5, 5), max_size=3).map(lambda tree: orjson.dumps(tree).decode())
text = st.builds(Text, words)
parts = st.lists(
    st.one_of(
        text,
        st.just(Text("")),
        st.builds(Refusal, words),
        st.builds(Thinking, words, names),
        st.builds(Redacted, names),
        st.builds(Call, names | st.just(""), names, sources | st.just('{"a": ')),
    ),
    max_size=5,
)
answers = st.builds(
    Answer,
    id=names | st.just(""),
    model=names,
    parts=parts.map(tuple),
    finish=st.sampled_from(list(Finish)),
    usage=st.none() | st.builds(Usage, st.integers(9, 99), st.integers(9, 99), st.integers(0, 9), st.integers(0, 9)),
)
KINDS = {Text: Kind.TEXT, Refusal: Kind.REFUSAL, Thinking: Kind.THINKING, Redacted: Kind.REDACTED, Call: Kind.CALL}


def streamed(answer: Answer, data: st.DataObject) -> list[Event]:
    """The events of an answer, its texts in pieces."""
    events: list[Event] = [Began(answer.id, answer.model)]
    for index, part in enumerate(answer.parts):
        call = part if isinstance(part, Call) else Call("", "", "")
        events.append(PartBegan(index, KINDS[type(part)], call.id, call.name, getattr(part, "data", "")))
        said = getattr(part, "text", call.arguments)
        cut = data.draw(st.integers(0, len(said)))
        events += [Delta(index, piece) for piece in (said[:cut], said[cut:]) if piece]
        if isinstance(part, Thinking):
            events.append(Signed(index, part.signature))
        events.append(PartEnded(index))
    return [*events, Finished(answer.finish), *([Counted(answer.usage)] if answer.usage else []), Ended()]


def trees(raw: bytes) -> list[dict[str, Any]]:
    return [orjson.loads(event.partition(b"data: ")[2]) for event in raw.split(b"\n\n")[:-1]]


@FUZZ
@given(answer=answers, data=st.data())
def test_a_stream_ends_in_what_the_whole_answer_says(answer, data):
    whole = RESPONSES.write_answer(answer, ORIGIN)
    assert complaints(whole, Response) == []
    events = trees(RESPONSES.writer(ORIGIN).write(streamed(answer, data)))
    assert [each for event in events for each in complaints(event, RESPONSE_EVENTS[event["type"]])] == []
    assert events[-1]["response"] == whole
    assert events[-1]["type"] == f"response.{whole['status']}"
    dones = {e["output_index"]: e["item"] for e in events if e["type"] == "response.output_item.done"}
    assert [dones[at] for at in sorted(dones)] == whole["output"]


@FUZZ
@given(answer=answers, data=st.data())
def test_the_official_client_puts_the_stream_together_from_its_deltas(answer, data):
    raw = RESPONSES.writer(ORIGIN).write(streamed(answer, data))
    whole = RESPONSES.write_answer(answer, ORIGIN)
    texts: dict[tuple[str, str], str] = {}
    calls: dict[str, str] = {}
    with openai_client(Wire(raw, stream=True)).responses.stream(model="m", input="x") as stream:
        for event in stream:
            if event.type in ("response.output_text.delta", "response.refusal.delta"):
                key = (event.item_id, str(event.content_index))
                texts[key] = texts.get(key, "") + event.delta
            elif event.type == "response.function_call_arguments.delta":
                calls[event.item_id] = calls.get(event.item_id, "") + event.delta
                assert event.snapshot == calls[event.item_id]
    told = {
        (item["id"], str(at)): part.get("text", part.get("refusal"))
        for item in whole["output"]
        if item["type"] == "message"
        for at, part in enumerate(item["content"])
    }
    assert texts == told
    assert calls == {item["id"]: item["arguments"] for item in whole["output"] if item["type"] == "function_call"}


def test_calls_under_one_id_get_ids_of_their_own():
    """OpenAI's client ends with an error where two calls have the same."""
    parts = (Call("x", "f", "{}"), Call("x", "g", "{}"), Call("", "h", "{}"))
    answer = Answer(id="a", model="m", parts=parts, finish=Finish.STOP)
    ids = [item["call_id"] for item in RESPONSES.write_answer(answer, ORIGIN)["output"]]
    assert ids[0] == "x"
    assert len(set(ids)) == 3


def test_calls_that_a_provider_mixes_are_told_as_they_come():
    events: list[Event] = [
        Began("r", "m"),
        PartBegan(0, Kind.CALL, "c0", "f"),
        PartBegan(1, Kind.CALL, "c1", "g"),
        Delta(1, "{}"),
        PartEnded(1),
        Delta(0, "{}"),
        PartEnded(0),
        Finished(Finish.CALLS),
        Ended(),
    ]
    told = trees(RESPONSES.writer(ORIGIN).write(events))
    assert [item["call_id"] for item in told[-1]["response"]["output"]] == ["c0", "c1"]
    assert [e["output_index"] for e in told if e["type"].endswith("arguments.done")] == [1, 0]


def test_a_call_that_was_cut_is_not_told_as_done():
    begun: list[Event] = [Began("r", "m"), PartBegan(0, Kind.CALL, "c0", "f"), Delta(0, '{"a":'), PartEnded(0)]
    told = trees(RESPONSES.writer(ORIGIN).write([*begun, Finished(Finish.LENGTH), Ended()]))
    assert not [e for e in told if e["type"] == "response.function_call_arguments.done"]
    assert told[-1]["response"]["output"][0]["status"] == "incomplete"


def test_a_failure_is_an_error_event_behind_which_nothing_comes():
    writer = RESPONSES.writer(ORIGIN)
    failure = Failure(Fault.OVERLOADED, 503, "Busy.", "overloaded_error")
    (told,) = trees(writer.write([failure]))
    assert complaints({k: v for k, v in told.items() if k != "error"}, RESPONSE_EVENTS["error"]) == []
    assert (told["message"], told["error"]["type"]) == ("Busy.", "server_error")
    assert writer.write([Ended()]) == b""


def test_an_empty_stream_is_a_response_all_the_same():
    told = trees(RESPONSES.writer(ORIGIN).write([Finished(Finish.STOP), Ended()]))
    assert [event["type"] for event in told] == ["response.created", "response.in_progress", "response.completed"]
    assert told[-1]["response"]["id"] == "resp_0af7"


@pytest.mark.parametrize(
    "events",
    [
        [Delta(0, "words of no part")],
        [PartBegan(0, Kind.TEXT), *[Delta(0, "x" * 1024)] * 1025],
        [PartBegan(0, Kind.CALL, "c", "f" * (1 << 20 | 1))],
        [PartBegan(0, Kind.CALL, "c", "f"), Finished(Finish.STOP), Ended()],
    ],
    ids=["no part", "long", "long name", "no end"],
)
def test_what_no_client_could_read_is_withheld(events):
    with pytest.raises(GatewayError) as refused:
        RESPONSES.writer(ORIGIN).write([Began("r", "m"), *events])
    assert refused.value.kind is ErrorKind.BACKEND_ANSWER_INVALID


def test_pictures_of_a_model_are_withheld():
    answer = Answer(id="r", model="m", parts=(Image("image/png", "AAAA"),), finish=Finish.STOP)
    with pytest.raises(GatewayError):
        RESPONSES.write_answer(answer, ORIGIN)
