"""A canary in every place where a request or an answer of any dialect may hold a string: caught, or nowhere to be seen.

The places are read from the official SDKs' types and from the schemas of the front doors, so a place that a dialect
gains has its cell at once. Where a model's words come in pieces, the cells are named, and one that is missing fails.
"""

import json
from itertools import product

import anthropic.types
import openai.types
import openai.types.chat
import openai.types.responses
import pytest
from hypothesis import given
from hypothesis import strategies as st

import messaging
import responding
from extproc.core.admission import DOORS
from extproc.core.commands import PassRequestBody
from extproc.core.events import RequestBody, ResponseChunk
from extproc.providers import anthropic_stream, openai_stream
from extproc.providers.responses_items import CALLS, KINDS
from gateway import contract
from gateway.policy.model import Action, RuleSetting
from playbook import CHAT, DONE, Play, answer_head, head
from typed import least, planted
from worlds import settings

CANARY = "bob.canary@example.com"
WORDS = f"write to {CANARY} at once"
CLEAN = "write to [EMAIL] at once"
COMPLETIONS, EMBEDDINGS = "/v1/completions", "/v1/embeddings"
MESSAGES, RESPONSES = messaging.MESSAGES, responding.PATH
UNKNOWN = RuleSetting(rule="output.unknown", action=Action.FLAG)


def held(action=Action.REDACT, *, passes=True, strict=True):
    rules = {**settings(action), **({UNKNOWN.rule: UNKNOWN} if passes else {})}
    return messaging.held(request=settings(action), response=rules, strict_schema=strict)


def asked(path, *, stream, world):
    body = {"model": messaging.CLAUDE if path == MESSAGES else "gpt-4o-mini", "stream": stream}
    body |= {
        CHAT: {"messages": [{"role": "user", "content": "hi"}]},
        COMPLETIONS: {"prompt": "hi"},
        EMBEDDINGS: {"input": "hi"},
        RESPONSES: {"input": "hi"},
        MESSAGES: {"max_tokens": 64, "messages": [{"role": "user", "content": "hi"}]},
    }[path]
    if path == EMBEDDINGS:
        body = {**body, "model": "text-embedding-3-small"}
        del body["stream"]
    play = Play(world)
    play.give(head(path), RequestBody(json.dumps(body).encode(), end_of_stream=True))
    play.give(answer_head(kind="text/event-stream" if stream else "application/json"))
    return play


def told(play):
    """All that a client gets to see."""
    refusals = b"".join(command.rendered.body for command in play.commands if hasattr(command, "rendered"))
    return play.sent() + refusals


# --- whole answers ----------------------------------------------------------------------------------------
WHOLE = {
    CHAT: openai.types.chat.ChatCompletion,
    COMPLETIONS: openai.types.Completion,
    EMBEDDINGS: openai.types.CreateEmbeddingResponse,
    RESPONSES: openai.types.responses.Response,
    MESSAGES: anthropic.types.Message,
}


def test_every_front_door_has_its_types():
    assert WHOLE.keys() == DOORS.keys()


@pytest.mark.parametrize("passes", [True, False])
@pytest.mark.parametrize("path", WHOLE)
def test_no_string_of_a_whole_answer_leaves_unguarded(path, passes):
    world, cells = held(passes=passes), 0
    for where, tree in planted(WHOLE[path], CANARY):
        play = asked(path, stream=False, world=world)
        play.give(ResponseChunk(json.dumps(tree).encode(), end_of_stream=True))
        assert CANARY.encode() not in told(play), where
        caught = any(found.rule == "pii.email" for found in play.record.found)
        assert caught or play.record.outcome != "completed" or b"logprobs" in json.dumps(tree).encode(), where
        cells += 1
    assert cells > (2 if path == EMBEDDINGS else 7)


# --- streams ----------------------------------------------------------------------------------------------
def chunk(tree):
    return b"data: " + json.dumps(tree).encode() + b"\n\n"


def of_openai(kind):
    return [(where, [b"", chunk(tree)]) for where, tree in planted(kind, CANARY)]


def of_messages():
    blocks = [least(each) for each in (anthropic.types.TextBlock, anthropic.types.ThinkingBlock)]
    blocks += [{"type": "tool_use", "id": "t", "name": "pay", "input": {}}, {"type": "something_else"}]
    openings = [messaging.start(), *[messaging.start() + messaging.block(0, **each) for each in blocks], b""]
    events = list(planted(anthropic.types.RawMessageStreamEvent, CANARY))
    return [(where, [opening, chunk(tree)]) for opening, (where, tree) in product(openings, events)]


def of_responses():
    openings = []
    for item in (responding.message(), responding.reasoning(), responding.call(""), responding.custom("")):
        script = responding.Script().begin()
        script.open(item)
        openings.append(script.raw)
    events = list(planted(openai.types.responses.ResponseStreamEvent, CANARY))
    whole = [each for each in events if each[0].startswith(".response.")]
    ending = [each for each in whole if each[1]["type"] == "response.completed"]
    parts = [each for each in events if not each[0].startswith(".response.")]
    cells = [(where, [opening, chunk(tree)]) for opening, (where, tree) in product(openings, parts)]
    return cells + [(where, [openings[0], chunk(tree)]) for where, tree in ending]


STREAMS = {
    CHAT: lambda: of_openai(openai.types.chat.ChatCompletionChunk),
    COMPLETIONS: lambda: of_openai(openai.types.Completion),
    RESPONSES: of_responses,
    MESSAGES: of_messages,
}


@pytest.mark.slow
@pytest.mark.parametrize("passes", [True, False])
@pytest.mark.parametrize("path", STREAMS)
def test_no_string_of_an_event_leaves_unguarded(path, passes):
    world, cells = held(passes=passes), 0
    for where, pieces in STREAMS[path]():
        play = asked(path, stream=True, world=world)
        for piece in pieces:
            if not play.records:
                play.give(ResponseChunk(piece, end_of_stream=False))
        if not play.records:
            play.give(ResponseChunk(b"", end_of_stream=True))
        assert CANARY.encode() not in told(play), where
        cells += 1
    assert cells > 7


# --- requests ---------------------------------------------------------------------------------------------
def bodies():
    return [(path, name, schema) for path, door in DOORS.items() for name, schema in door.versions.known.items()]


#: Where requests name users and caches (extproc.core.names).
NAMES = {".user", ".safety_identifier", ".prompt_cache_key", ".metadata.user_id"}


@pytest.mark.parametrize("action", [Action.REDACT, Action.BLOCK])
@pytest.mark.parametrize(("path", "version", "schema"), bodies(), ids=lambda each: each if type(each) is str else "")
def test_no_string_of_a_request_reaches_the_provider_unguarded(path, version, schema, action):
    world, passed = held(action), 0
    model = messaging.CLAUDE if path == MESSAGES else "gpt-4o-mini"
    for where, tree in planted(schema.closed, CANARY):
        body = {**tree, **({} if where == ".model" else {"model": model})}
        play = Play(world)
        commands = play.give(head(path), RequestBody(json.dumps(body).encode(), end_of_stream=True))
        sent = [command for command in commands if isinstance(command, PassRequestBody)]
        assert not any(CANARY.encode() in (each.body or b"") for each in sent), where
        if where in NAMES and (path == MESSAGES) is where.startswith(".metadata"):
            assert sent[0].metadata[contract.DECISION] == "allow", where  # no guard needs to look: a pseudonym leaves
        elif sent:
            passed += 1
            assert action is Action.REDACT, where
            assert sent[0].metadata[contract.DECISION] == "redact", where
        else:
            assert CANARY.encode() not in told(play), where
    assert passed or action is Action.BLOCK


# --- words that come in pieces ----------------------------------------------------------------------------
def choice(path, index=0, **said):
    body = {"index": index, "finish_reason": None, **({"delta": said} if path == CHAT else said)}
    return chunk({"id": "c", "object": "x", "created": 1, "model": "m", "choices": [body]})


def chatted(key, index=0):
    def stream(pieces):
        return [choice(CHAT, index, **{key: piece}) for piece in pieces] + [DONE]

    def whole(words):
        return {"choices": [{"index": index, "message": {"role": "assistant", "content": None, key: words}}]}

    return CHAT, stream, whole


def chat_called(key, wrap):
    """Arguments of a call: JSON source."""

    def stream(pieces):
        named = choice(CHAT, **{key: wrap({"name": "pay", "arguments": ""}, id="t", type="function")})
        return [named, *[choice(CHAT, **{key: wrap({"arguments": piece})}) for piece in pieces], DONE]

    def whole(words):
        called = wrap({"name": "pay", "arguments": words}, id="t", type="function")
        return {"choices": [{"index": 0, "message": {"role": "assistant", "content": None, key: called}}]}

    return CHAT, stream, whole


def continued(index=0):
    def stream(pieces):
        return [choice(COMPLETIONS, index, text=piece) for piece in pieces] + [DONE]

    return COMPLETIONS, stream, lambda words: {"choices": [{"index": index, "text": words}]}


def blocked(kind, delta, field, **opening):
    def stream(pieces):
        deltas = [messaging.delta(0, delta, field, piece) for piece in pieces]
        return [
            messaging.start() + messaging.block(0, type=kind, **opening),
            *deltas,
            messaging.stop() + messaging.end(),
        ]

    def whole(words):
        said = {"input": json.loads(words)} if kind == "tool_use" else {field: words}
        usage = {"input_tokens": 1, "output_tokens": 1}
        block = {"type": kind, **opening, **said}
        return {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [block], "usage": usage}

    return MESSAGES, stream, whole


def itemised(kind, make):
    def stream(pieces):
        script = responding.Script().begin().item(make("".join(pieces)), (kind, 0, pieces)).end()
        return script.events

    return RESPONSES, stream, lambda words: responding.response(make(words))


CELLS = {
    **{("chat", key): chatted(key) for key in ("content", "refusal", "reasoning_content", "reasoning")},
    ("chat", "content of the third choice"): chatted("content", 2),
    ("chat", "tool_calls"): chat_called("tool_calls", lambda said, **more: [{"index": 0, **more, "function": said}]),
    ("chat", "function_call"): chat_called("function_call", lambda said, **more: said),
    ("completions", "text"): continued(),
    ("completions", "text of the third choice"): continued(2),
    ("messages", "text_delta"): blocked("text", "text_delta", "text", text=""),
    ("messages", "input_json_delta"): blocked(
        "tool_use", "input_json_delta", "partial_json", id="t", name="pay", input={}
    ),
    ("messages", "thinking_delta"): blocked("thinking", "thinking_delta", "thinking", thinking="", signature=""),
    ("responses", "output_text"): itemised("output_text", lambda said: responding.message(responding.part(said))),
    ("responses", "refusal"): itemised("refusal", lambda said: responding.message(responding.part(said, "refusal"))),
    ("responses", "reasoning_text"): itemised("reasoning_text", lambda said: responding.reasoning([], [said])),
    ("responses", "summary_text"): itemised("summary_text", lambda said: responding.reasoning([said])),
    ("responses", "arguments"): itemised("arguments", responding.call),
    ("responses", "input"): itemised("input", responding.custom),
}
#: Cells whose text is JSON source.
SOURCES = {"tool_calls", "function_call", "input_json_delta", "arguments"}
#: Passes whole or not at all.
SIGNED = ("messages", "thinking_delta")


def test_no_text_that_comes_in_pieces_is_without_a_cell():
    named = {(dialect, key) for dialect, key in CELLS if "third" not in key}
    labels = {"role"}
    assert {key for dialect, key in named if dialect == "chat"} == openai_stream._DELTA_KEYS - labels
    assert {key for dialect, key in named if dialect == "responses"} == KINDS.keys()
    assert set(CALLS.values()) <= KINDS.keys()
    whole = {"citations_delta", "signature_delta"}  # come in one piece each
    assert {key for dialect, key in named if dialect == "messages"} == anthropic_stream._DELTAS.keys() - whole


#: In a source: plain, and with an escape that hides the sign by which an address is known.
SAID = {False: [WORDS], True: [json.dumps({"to": WORDS}), json.dumps({"to": WORDS}).replace("@", "\\u0040")]}


def streamed(cell, words, size, world):
    path, stream, _ = CELLS[cell]
    play = asked(path, stream=True, world=world)
    for event in stream([words[at : at + size] for at in range(0, len(words), size)]):
        if not play.records:
            play.give(ResponseChunk(event, end_of_stream=False))
    if not play.records:
        play.give(ResponseChunk(b"", end_of_stream=True))
    return play


def answered(cell, words, world):
    path, _, whole = CELLS[cell]
    play = asked(path, stream=False, world=world)
    play.give(ResponseChunk(json.dumps(whole(words)).encode(), end_of_stream=True))
    return play


def pieces_of(play):
    """What a client puts together of a stream's deltas."""
    out = ""
    for block in play.sent().split(b"\n\n"):
        at = block.find(b"data: {")
        if at < 0:
            continue
        tree = json.loads(block[at + 6 :])
        if isinstance(tree.get("delta"), str):
            out += tree["delta"]
        for holder in (tree.get("delta"), *tree.get("choices", ())):
            out += _said(holder) if isinstance(holder, dict) else ""
    return out


def _said(holder):
    inner = holder.get("delta") or holder
    calls = [call["function"] for call in inner.get("tool_calls", ())] + [inner.get("function_call") or {}]
    names = ("text", "thinking", "partial_json", "content", "refusal", "reasoning_content", "reasoning", "arguments")
    return "".join(each.get(name) or "" for each in (inner, *calls) for name in names)


@pytest.mark.parametrize("size", [1, 3, 500])
@pytest.mark.parametrize("cell", CELLS, ids=" ".join)
def test_a_canary_in_pieces_is_caught_and_not_seen(cell, size):
    for words in SAID[cell[1] in SOURCES]:
        play = streamed(cell, words, size, held())
        assert "canary" not in told(play).decode()
        assert [(found.rule, found.count) for found in play.record.found] == [("pii.email", 1)]
        if cell != SIGNED:
            got = pieces_of(play)
            assert (json.loads(got)["to"] if cell[1] in SOURCES else got) == CLEAN
        assert play.record.outcome == ("cut" if cell == SIGNED else "completed")


@pytest.mark.parametrize("size", [1, 3, 500])
@pytest.mark.parametrize("cell", CELLS, ids=" ".join)
def test_a_canary_in_pieces_ends_the_stream_where_a_rule_blocks(cell, size):
    for words in SAID[cell[1] in SOURCES]:
        play = streamed(cell, words, size, held(Action.BLOCK))
        assert "canary" not in told(play).decode()
        assert [(found.rule, found.action) for found in play.record.found] == [("pii.email", "block")]
        assert play.record.code == "answer_blocked"


@pytest.mark.parametrize("action", [Action.REDACT, Action.BLOCK])
@pytest.mark.parametrize("cell", CELLS, ids=" ".join)
def test_a_canary_in_a_whole_answer_is_caught_and_not_seen(cell, action):
    for words in SAID[cell[1] in SOURCES]:
        play = answered(cell, words, held(action))
        assert "canary" not in told(play).decode()
        assert [(found.rule, found.count) for found in play.record.found] == [("pii.email", 1)]
        refused = action is Action.BLOCK or cell == SIGNED
        assert play.record.outcome == ("refused" if refused else "completed")
        assert refused or "[EMAIL] at once" in told(play).decode()


@pytest.mark.parametrize("size", [1, 500])
@pytest.mark.parametrize("cell", CELLS, ids=" ".join)
def test_words_that_no_rule_minds_pass_every_cell(cell, size):
    words = json.dumps({"to": "all of you"}) if cell[1] in SOURCES else "write to all of you"
    play = streamed(cell, words, size, held())
    assert pieces_of(play) == words
    assert play.record.found == ()


# --- the streaming invariant ------------------------------------------------------------------------------
CARD = "4111 1111 1111 1111"
FRAGMENTS = st.lists(
    st.sampled_from([CANARY, CARD, "words ", " and ", "bob@", "@", "example.com", "4111 1111 ", "\n", "é ", ". "]),
    min_size=1,
    max_size=8,
).map("".join)
ACTIONS = [Action.ALLOW, Action.FLAG, Action.MASK, Action.HASH, Action.REDACT, Action.REPLACE, Action.BLOCK]


def said_whole(cell, tree):
    """What a whole answer says at a cell."""
    dialect, key = cell
    if dialect in {"chat", "completions"}:
        (told,) = tree["choices"]
        holder = told.get("message", told)
        called = [*(holder.get("tool_calls") or ()), {"function": holder.get("function_call")}]
        source = next((call["function"]["arguments"] for call in called if call["function"]), None)
        return source if key in SOURCES else holder[key.split()[0]]
    if dialect == "messages":
        (told,) = tree["content"]
        return json.dumps(told["input"]) if key in SOURCES else told[told["type"]]
    (item,) = tree["output"]
    parts = item.get("content") or item.get("summary")
    return item[key] if key in item else parts[0].get("text", parts[0].get("refusal"))


@given(st.data(), st.sampled_from(list(CELLS)), st.sampled_from(ACTIONS), FRAGMENTS)
def test_cut_anywhere_a_stream_says_what_the_whole_answer_says(data, cell, action, words):
    """Whatever the pieces of text are, and wherever the bytes of their events are cut."""
    world = held(action)
    source = cell[1] in SOURCES
    words = json.dumps({"to": words}) if source else words
    size = data.draw(st.integers(1, 9))
    path, stream, _ = CELLS[cell]
    raw = b"".join(stream([words[at : at + size] for at in range(0, len(words), size)]))
    step = data.draw(st.sampled_from([1, 7, 100, len(raw)]))
    play, whole = asked(path, stream=True, world=world), answered(cell, words, world)
    for at in range(0, len(raw), step):
        if not play.records:
            play.give(ResponseChunk(raw[at : at + step], end_of_stream=False))
    if not play.records:
        play.give(ResponseChunk(b"", end_of_stream=True))
    ended = whole.record.code == "answer_blocked"
    assert (play.record.code == "answer_blocked") == ended
    if ended:
        assert play.record.reason == whole.record.reason
        assert CANARY.encode() not in play.sent()
        assert CARD.encode() not in play.sent()
        return
    assert [(each.rule, each.count) for each in play.record.found] == [
        (each.rule, each.count) for each in whole.record.found
    ]
    got, wanted = pieces_of(play), said_whole(cell, json.loads(whole.sent()))
    assert (json.loads(got), got) == (json.loads(wanted), got) if source else got == wanted
