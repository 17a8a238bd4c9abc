"""Responses as clients ask: what they say comes to the canonical chat whole, or names what cannot."""

from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extproc.translate.canon import (
    Call,
    Choice,
    File,
    Image,
    Pick,
    Reasoning,
    Refusal,
    Request,
    Result,
    Role,
    Sampling,
    Schema,
    Text,
    Thinking,
    Tool,
    Turn,
    joined,
)
from extproc.translate.responses import RESPONSES
from gateway.errors import GatewayError
from gateway.errors import Kind as ErrorKind

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
    reasoning=st.none() | st.builds(Reasoning, st.sampled_from([None, "none", "low", "high"]), shown=st.booleans()),
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
    thought = request.reasoning
    summary = "auto" if thought is not None and thought.shown else None
    return body | {
        "parallel_tool_calls": request.parallel_calls,
        "max_output_tokens": request.max_tokens,
        "temperature": request.sampling.temperature,
        "top_p": request.sampling.top_p,
        "reasoning": None if thought is None else {"effort": thought.effort, "summary": summary},
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
    thought = request.reasoning if request.reasoning != Reasoning() else None  # which asks for nothing
    assert read.request == replace(request, turns=joined(request.turns), reasoning=thought)


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
