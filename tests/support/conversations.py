"""Conversations as hypothesis draws them, in the words of the canonical chat."""

import orjson
from hypothesis import strategies as st

from extproc.translate.canon import (
    Call,
    Choice,
    File,
    Image,
    Pick,
    Request,
    Result,
    Role,
    Sampling,
    Schema,
    Text,
    Tool,
    Turn,
)

words = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=20)
names = st.from_regex(r"[a-z][a-z0-9_]{0,12}", fullmatch=True)
keys = st.from_regex(r"[a-zA-Z0-9_-]{1,20}", fullmatch=True)
objects = st.dictionaries(names, words | st.integers(-5, 5) | st.booleans(), max_size=3)
media = st.one_of(
    st.builds(Image, st.sampled_from(["image/png", "image/jpeg"]), st.sampled_from(["AAAA", "iVBORw0K"])),
    st.builds(lambda data: File("application/pdf", data, "document"), st.sampled_from(["JVBERi0=", "AAAA"])),
)
text = st.builds(Text, words)
schemas = st.just({"type": "object", "properties": {"a": {"type": "string"}}})


@st.composite
def conversations(draw):
    """Turns in order: system, then user and assistant by turns, each call answered in the turn that follows."""
    turns = []
    if draw(st.booleans()):
        turns.append(Turn(Role.SYSTEM, tuple(draw(st.lists(text, min_size=1, max_size=2)))))
    waiting: list[Call] = []
    seen: set[str] = set()
    for at in range(draw(st.integers(1, 4))):
        results = [Result(call.id, (draw(text),)) for call in waiting]
        rest = draw(st.lists(text | media, min_size=0 if results else 1, max_size=2))
        turns.append(Turn(Role.USER, (*results, *rest)))
        calls = []
        for call_id in draw(st.lists(keys, max_size=2, unique=True)):
            if call_id not in seen:
                seen.add(call_id)
                calls.append(Call(call_id, draw(names), orjson.dumps(draw(objects)).decode()))
        said = draw(st.lists(text, min_size=0 if calls else 1, max_size=2))
        turns.append(Turn(Role.ASSISTANT, (*said, *calls)))
        waiting = calls
        del at
    if not waiting and draw(st.booleans()):
        turns.append(Turn(Role.USER, (draw(text),)))
    return tuple(turns)


requests = st.builds(
    Request,
    model=st.just("m"),
    turns=conversations(),
    tools=st.lists(st.builds(Tool, names, schemas, words), max_size=2).map(tuple),
    choice=st.none() | st.builds(Choice, st.sampled_from([Pick.AUTO, Pick.NONE, Pick.REQUIRED]))
    | st.builds(Choice, st.just(Pick.NAMED), names),
    max_tokens=st.integers(1, 10**6),
    stop=st.lists(names, max_size=4).map(tuple),
    sampling=st.builds(Sampling, temperature=st.none() | st.floats(0, 1), top_p=st.none() | st.floats(0, 1)),
    schema=st.none() | st.builds(Schema, schemas),
    stream=st.booleans(),
)  # fmt: skip
