"""Responses as clients speak them: what they ask comes to the canonical chat whole, what they are told is one thing."""

from dataclasses import replace
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
    Choice,
    Counted,
    Delta,
    Ended,
    Event,
    Failure,
    Fault,
    File,
    Finish,
    Finished,
    Image,
    Kind,
    PartBegan,
    PartEnded,
    Pick,
    Reasoning,
    Redacted,
    Refusal,
    Request,
    Result,
    Role,
    Sampling,
    Schema,
    Signed,
    Text,
    Thinking,
    Tool,
    Turn,
    Usage,
    joined,
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
media = st.one_of(
    st.builds(Image, st.just("image/png"), st.sampled_from(["AAAA", "iVBORw0K"]), detail=st.sampled_from(["", "low"])),
    st.builds(Image, url=st.just("https://pictures.example/a.png")),
    st.builds(File, st.just("application/pdf"), st.just("JVBERi0="), names),
)
schemas = st.just({"type": "object", "properties": {"a": {"type": "string"}}})
turns = st.lists(
    st.one_of(
        st.builds(Turn, st.just(Role.USER), st.lists(text | media, min_size=1, max_size=3).map(tuple)),
        st.builds(Turn, st.just(Role.DEVELOPER), st.tuples(text)),
        st.builds(Turn, st.just(Role.ASSISTANT), st.tuples(st.builds(Thinking, words))),
        st.builds(Turn, st.just(Role.ASSISTANT), st.tuples(text, st.builds(Refusal, words))),
        st.builds(Turn, st.just(Role.ASSISTANT), st.tuples(st.builds(Call, names, names, sources))),
        st.builds(
            Turn, st.just(Role.USER), st.tuples(st.builds(Result, names, st.lists(text | media, min_size=1).map(tuple)))
        ),
    ),
    min_size=1,
    max_size=6,
)
requests = st.builds(
    Request,
    model=names,
    turns=turns.map(tuple),
    tools=st.lists(st.builds(Tool, names, schemas, words, st.none() | st.booleans()), max_size=2).map(tuple),
    choice=st.none() | st.builds(Choice, st.sampled_from([Pick.AUTO, Pick.NONE, Pick.REQUIRED]))
    | st.builds(Choice, st.just(Pick.NAMED), names),
    parallel_calls=st.none() | st.booleans(),
    max_tokens=st.none() | st.integers(1, 10**6),
    sampling=st.builds(Sampling, temperature=st.none() | st.floats(0, 2), top_p=st.none() | st.floats(0, 1)),
    schema=st.none() | st.just(Schema(None)) | st.builds(Schema, schemas, names, words, st.none() | st.booleans()),
    reasoning=st.none() | st.builds(Reasoning, st.sampled_from(["none", "low", "high"])),
    user=st.just("") | names,
    metadata=st.dictionaries(names, words, max_size=2).map(lambda tree: tuple(tree.items())),
    stream=st.booleans(),
)  # fmt: skip


def part_of(part: Any, *, own: bool) -> dict[str, Any]:
    """A part as the API writes it. `own`: the assistant's."""
    match part:
        case Text(said):
            return {"type": "output_text" if own else "input_text", "text": said}
        case Refusal(said):
            return {"type": "refusal", "refusal": said}
        case Image():
            url = part.url or f"data:{part.media_type};base64,{part.data}"
            return {"type": "input_image", "image_url": url, **({"detail": part.detail} if part.detail else {})}
        case File():
            data = f"data:{part.media_type};base64,{part.data}"
            return {"type": "input_file", "file_data": data, "filename": part.name}
    raise AssertionError(part)


def item_of(turn: Turn) -> dict[str, Any]:
    """A turn of one kind as the API's item."""
    match turn.parts[0]:
        case Thinking(said):
            return {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": said}]}
        case Call(call_id, name, arguments):
            return {"type": "function_call", "id": "fc_1", "call_id": call_id, "name": name, "arguments": arguments}
        case Result(call_id, parts):
            output = [part_of(part, own=False) for part in parts]
            return {"type": "function_call_output", "call_id": call_id, "output": output}
    own = turn.role is Role.ASSISTANT
    return {"type": "message", "role": turn.role.value, "content": [part_of(part, own=own) for part in turn.parts]}


def written(request: Request) -> dict[str, Any]:
    """A request as a client of the API writes it."""
    body: dict[str, Any] = {"model": request.model, "input": [item_of(turn) for turn in request.turns]}
    body["tools"] = [
        {"type": "function", "name": t.name, "parameters": t.schema, "description": t.description, "strict": t.strict}
        for t in request.tools
    ]
    if request.choice is not None:
        named = {"type": "function", "name": request.choice.name}
        body["tool_choice"] = named if request.choice.pick is Pick.NAMED else request.choice.pick.value
    schema = request.schema
    if schema is not None:
        told = {"type": "json_schema", "name": schema.name, "description": schema.description, "strict": schema.strict}
        plain = schema.schema is None
        body["text"] = {"format": {"type": "json_object"} if plain else {**told, "schema": schema.schema}}
    return body | {
        "parallel_tool_calls": request.parallel_calls,
        "max_output_tokens": request.max_tokens,
        "temperature": request.sampling.temperature,
        "top_p": request.sampling.top_p,
        "reasoning": None if request.reasoning is None else {"effort": request.reasoning.effort, "summary": "auto"},
        "safety_identifier": request.user or None,
        "metadata": dict(request.metadata) or None,
        "stream": request.stream,
        "store": False,
    }


@FUZZ
@given(request=requests)
def test_what_a_client_asks_is_read_whole(request):
    read = RESPONSES.read_request(orjson.loads(orjson.dumps(written(request))))
    assert read.lost == ()
    assert read.request == replace(request, turns=joined(request.turns))


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": [{"role": "system", "content": "Be brief."}]}, "input"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input[].role"),
        ({"tool_choice": {"type": "allowed_tools", "mode": "none", "tools": []}}, "tool_choice.mode"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_data": "JVBERi0="}]}]},
         "input[].content[].file_data"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "data:text/html;base64,AA"}]}]},
         "input[].content[].image_url"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_names_its_field(fields, param):
    with pytest.raises(GatewayError) as refused:
        RESPONSES.read_request({"model": "m", "input": "x", **fields})
    assert (refused.value.kind, refused.value.param) == (ErrorKind.REQUEST_INVALID, param)


# --- answers -----------------------------------------------------------------------------------------------------

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
