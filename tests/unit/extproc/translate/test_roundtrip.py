"""What a dialect writes it reads again: the canonical chat comes back, but for what was told as lost."""

from dataclasses import replace

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conversations import keys, names, objects, requests, text, words
from extproc.translate.canon import (
    Answer,
    Began,
    Call,
    Counted,
    Delta,
    Ended,
    File,
    Finish,
    Finished,
    Kind,
    PartBegan,
    PartEnded,
    Redacted,
    Request,
    Schema,
    Signed,
    Text,
    Thinking,
    Turn,
    Usage,
    joined,
)
from extproc.translate.dialect import Origin, Target
from extproc.translate.dialects import DIALECTS

ORIGIN = Origin(model="m", request_id="r", now_s=1)
TARGET = Target(model="m", sampling=True)
NAMES = ["openai", "anthropic", "gemini"]
FUZZ = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))


def plain(request: Request) -> Request:
    """What every dialect tells alike: ids and results as they are, names of schemas and defaults aside."""
    schema = None if request.schema is None else Schema(request.schema.schema)
    return replace(request, turns=joined(request.turns), schema=schema, stream_usage=True)


def nameless(turn: Turn) -> Turn:
    """Files have no names in Gemini's API, which the golden cases tell."""
    return replace(turn, parts=tuple(replace(p, name="") if type(p) is File else p for p in turn.parts))


@pytest.mark.parametrize("name", NAMES)
@FUZZ
@given(request=requests)
def test_a_request_comes_back(name, request):
    dialect = DIALECTS[name]
    if name == "gemini":
        request = replace(request, turns=tuple(nameless(turn) for turn in request.turns))
    if not request.tools:
        request = replace(request, choice=None)
    written = dialect.write_request(request, TARGET)
    assert written.lost == ()
    body = orjson.loads(orjson.dumps(written.body))
    if name == "gemini":
        body |= {"model": "m", "stream": "stream" in written.path}
    read = dialect.read_request(body)
    assert read.lost == ()
    assert plain(read.request) == plain(request)


answers = st.builds(
    Answer,
    id=keys,
    model=names,
    parts=st.lists(
        st.builds(Call, keys, names, objects.map(lambda tree: orjson.dumps(tree).decode())), max_size=2
    ).flatmap(lambda calls: st.lists(text, max_size=1).map(lambda said: (*said, *calls))),
    finish=st.sampled_from([Finish.STOP, Finish.LENGTH, Finish.FILTERED]),
    usage=st.builds(Usage, st.integers(10, 99), st.integers(10, 99), st.integers(0, 10), st.just(0), st.integers(0, 10)),
)  # fmt: skip


def ended(answer: Answer) -> Answer:
    """An answer that calls ends as one that calls, in every dialect."""
    calls = any(type(part) is Call for part in answer.parts)
    return replace(answer, finish=Finish.CALLS) if calls and answer.finish is Finish.STOP else answer


@pytest.mark.parametrize("name", NAMES)
@FUZZ
@given(answer=answers)
def test_an_answer_comes_back(name, answer):
    dialect = DIALECTS[name]
    answer = ended(answer)
    read = dialect.read_answer(orjson.loads(orjson.dumps(dialect.write_answer(answer, ORIGIN))))
    assert replace(read, created_s=None) == answer


@pytest.mark.parametrize("name", ["anthropic"])
@FUZZ
@given(answer=answers, thought=words, signature=keys, opaque=keys)
def test_signed_thoughts_come_back(name, answer, thought, signature, opaque):
    dialect = DIALECTS[name]
    answer = ended(replace(answer, parts=(Thinking(thought, signature), Redacted(opaque), *answer.parts)))
    assert dialect.read_answer(dialect.write_answer(answer, ORIGIN)) == answer


def put_together(events):
    """Parts and ends, as an answer has them."""
    parts, finish, usage = {}, None, None
    for event in events:
        if type(event) is PartBegan:
            parts[event.index] = [event, "", ""]
        elif type(event) is Delta:
            parts[event.index][1] += event.text
        elif type(event) is Signed:
            parts[event.index][2] = event.signature
        elif type(event) is Finished:
            finish = event.finish
        elif type(event) is Counted:
            usage = event.usage
    told = []
    for began, said, signature in parts.values():
        if began.kind is Kind.CALL:
            told.append(Call(began.id, began.name, said, signature))
        else:
            told.append(Thinking(said, signature) if began.kind is Kind.THINKING else Text(said))
    return tuple(told), finish, usage


@pytest.mark.parametrize("name", NAMES)
@FUZZ
@given(answer=answers, data=st.data())
def test_a_stream_comes_back(name, answer, data):
    answer = ended(answer)
    writer, reader = DIALECTS[name].writer(ORIGIN), DIALECTS[name].reader(1 << 20)
    raw = writer.write(streamed(answer, data))
    size = data.draw(st.integers(1, 50))
    events = [event for at in range(0, len(raw), size) for event in reader.feed(raw[at : at + size])] + reader.close()
    assert type(events[-1]) is Ended
    parts, finish, usage = put_together(events)
    assert [
        (type(p), getattr(p, "id", ""), orjson.loads(p.arguments) if type(p) is Call else p.text) for p in parts
    ] == [
        (type(p), getattr(p, "id", ""), orjson.loads(p.arguments) if type(p) is Call else p.text) for p in answer.parts
    ]
    assert (finish, usage) == (answer.finish, answer.usage)


def streamed(answer, data):
    """The events of an answer whose parts come mixed and in pieces."""
    events: list = [Began(answer.id, answer.model)]
    open_parts = []
    for index, part in enumerate(answer.parts):
        kind = Kind.CALL if type(part) is Call else Kind.TEXT
        said = part.arguments if type(part) is Call else part.text
        cut = data.draw(st.integers(0, len(said)))
        events.append(PartBegan(index, kind, getattr(part, "id", ""), getattr(part, "name", "")))
        events += [Delta(index, piece) for piece in (said[:cut],) if piece]
        if kind is Kind.TEXT or data.draw(st.booleans()):
            events += [Delta(index, piece) for piece in (said[cut:],) if piece]
            events.append(PartEnded(index))
        else:
            open_parts.append((index, said[cut:]))
    for index, rest in data.draw(st.permutations(open_parts)):
        events += [Delta(index, piece) for piece in (rest,) if piece]
        events.append(PartEnded(index))
    return [*events, Finished(answer.finish), Counted(answer.usage), Ended()]
