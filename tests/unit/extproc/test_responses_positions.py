"""Where a Responses request or answer could carry text past the guard, and streams that mean harm."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.core.commands import PassRequestBody
from extproc.core.events import RequestBody, ResponseChunk
from gateway.policy.model import Action
from playbook import MAIL, Play, answer_head, head
from responding import (
    PATH,
    Script,
    assembled,
    body,
    call,
    custom,
    events,
    message,
    part,
    reasoning,
    response,
    streamed,
)
from worlds import policy, settings

BLOCKING = policy(response=settings(Action.BLOCK))
CITED = {"type": "url_citation", "url": "%s", "title": "%s", "start_index": 0, "end_index": 1}
RESPONSE_FIELDS = ("id", "object", "created_at", "status", "model", "instructions", "metadata", "tools", "tool_choice",
                   "reasoning", "text", "error", "incomplete_details", "user", "service_tier", "usage", "prompt",
                   "conversation", "output_text", "surprise", MAIL)  # fmt: skip


def item_with(item, **more):
    """The item's own key by key, each holding what is planted."""
    return [{**item, key: "%s"} for key in (*item, *more) if key != "type"] + [{**item, "surprise": "%s"}]


ITEMS = [
    *item_with(message(part("x")), phase=1),
    *item_with(call("{}"), namespace=1),
    *item_with(custom("x")),
    *item_with(reasoning(["x"], ["y"]), encrypted_content=1, status=1),
    message(part("%s")),
    message(part("%s", "refusal")),
    message(part("x", surprise="%s")),
    message(part("x", annotations=[CITED, {"type": "file_citation", "file_id": "%s", "filename": "%s", "index": 0}])),
    message(part("x", logprobs=[{"token": "%s", "logprob": 0, "bytes": [1], "top_logprobs": [{"token": "%s"}]}])),
    message({"type": "%s", "text": "%s"}),
    call('{"to":"%s"}'),
    reasoning(["%s"]),
    reasoning([], ["%s"]),
    {"type": "web_search_call", "id": "w", "action": {"query": "%s"}},
    {"type": "%s"},
]


def planted(tree, value):
    return json.loads(json.dumps(tree).replace('"%s"', value).replace("%s", MAIL))


VALUES = [f'"{MAIL}"', f'["{MAIL}"]', f'{{"a":"{MAIL}"}}', f'{{"{MAIL}":1}}']


@pytest.mark.parametrize("value", VALUES)
def test_no_field_of_an_item_carries_text_past_the_guard_streamed_or_not(value):
    for item in ITEMS:
        check_item(item, value)


def check_item(item, value):
    tree = planted(item, value)
    clean = {**call("{}"), "type": tree.get("type", "message")}
    streams = [
        Script().begin().say("response.output_item.added", output_index=0, item=tree),
        Script().begin().say("response.output_item.done", output_index=0, item=tree),
        Script().begin().say("response.completed", response=response(tree)),
        Script().say("response.created", response=response(tree)),
        Script().begin().say("response.output_item.added", output_index=0, item=clean)
        .say("response.output_item.done", output_index=0, item=tree),
    ]  # fmt: skip
    for script in streams:
        assert b"example" not in streamed(script.raw).sent()
    assert b"example" not in answered(response(tree))


def answered(tree, held=None):
    """What the client gets of a JSON answer, refusals included."""
    play = Play(held)
    play.give(head(PATH), RequestBody(body(), end_of_stream=True))
    play.give(answer_head(), ResponseChunk(json.dumps(tree).encode(), end_of_stream=True))
    assert play.record
    return play.sent()


@pytest.mark.parametrize("kind", ["created", "queued", "in_progress", "completed", "incomplete", "failed"])
def test_no_field_of_a_response_carries_text_past_the_guard(kind):
    for name, value in itertools.product(RESPONSE_FIELDS, VALUES):
        tree = {**response(message(part("x"))), name: json.loads(value)}
        assert b"example" not in streamed(Script().begin().say(f"response.{kind}", response=tree).raw).sent()
        assert b"example" not in answered(tree)


def event_of(kind, fields):
    return b"data: " + json.dumps({"type": kind, **fields}).encode() + b"\n\n"


FIELDS = ("type", "sequence_number", "item_id", "output_index", "content_index", "summary_index", "delta", "text",
          "refusal", "arguments", "input", "part", "logprobs", "obfuscation", "annotation", "annotation_index", "item",
          "response", "name", "code", "message", "param", "error", "status", "surprise")  # fmt: skip


@pytest.mark.parametrize(
    "kind",
    ["output_text.delta", "output_text.done", "refusal.delta", "refusal.done", "reasoning_text.delta", "reasoning_text.done",
     "reasoning_summary_text.delta", "reasoning_summary_text.done", "function_call_arguments.delta",
     "function_call_arguments.done", "custom_tool_call_input.delta", "custom_tool_call_input.done", "content_part.added",
     "content_part.done", "reasoning_summary_part.added", "reasoning_summary_part.done", "output_text.annotation.added",
     "output_item.added", "output_item.done", "created", "completed"],
)  # fmt: skip
def test_no_field_of_an_event_carries_text_past_the_guard(kind):
    script = Script().begin()
    for item in (message(), reasoning(), call(""), custom("")):
        script.open(item)
    index = 1 if "reasoning" in kind else 2 if "arguments" in kind else 3 if "custom" in kind else 0
    whole = {
        "item_id": "x", "output_index": index, "content_index": 0, "summary_index": 0, "delta": "x", "text": "x",
        "refusal": "x", "arguments": "{}", "input": "x", "part": part("x", "summary_text" if index else "output_text"),
        "annotation": {}, "annotation_index": 0, "item": message(), "response": response(),
    }  # fmt: skip
    opened = list(script.events)
    for field, value in itertools.product(FIELDS, [*VALUES, "7", "null", "-1", "true"]):
        script.events = [*opened, event_of(f"response.{kind}", {**whole, field: json.loads(value)})]
        assert b"example" not in streamed(script.raw).sent()


@pytest.mark.parametrize("item", [each for each in ITEMS if "%s" in json.dumps(each)])
def test_a_block_counts_in_every_field_of_a_known_item(item):
    tree = planted(item, f'"{MAIL}"')
    play = streamed(Script().begin().say("response.output_item.done", output_index=0, item=tree).raw, BLOCKING)
    assert b"example" not in play.sent()


def hostile(*late):
    script = Script().begin()
    script.text(script.open(message(part("fine. "))), "fine. ")
    for kind, fields in late:
        script.say(kind, **fields)
    return script.raw


AT = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
TEXT = "response.output_text"


@pytest.mark.parametrize(
    "late",
    [
        ("response.audio.delta", {"delta": MAIL}),
        ("response.web_search_call.searching", {"item_id": "w", "output_index": 0}),
        ("response.mcp_call_arguments.delta", {"item_id": "w", "output_index": 0, "delta": MAIL}),
        ("something.new", {"delta": MAIL}),
        (f"{TEXT}.delta", {**AT, "delta": "behind its end"}),
        (f"{TEXT}.done", {**AT, "text": "fine. "}),
        ("response.content_part.done", {**AT, "part": part("fine. ")}),
        ("response.completed", {"response": response(message(), message())}),
        (f"{TEXT}.delta", {**AT, "output_index": 5, "delta": "of an item that nobody announced"}),
        (f"{TEXT}.delta", {**AT, "content_index": 1, "delta": ["a"]}),
        (f"{TEXT}.delta", {**AT, "content_index": "1", "delta": "a"}),
        (f"{TEXT}.delta", {**AT, "content_index": True, "delta": "a"}),
        ("response.function_call_arguments.delta", {**AT, "delta": "of a message"}),
        ("response.output_item.added", {"output_index": 0, "item": message(id_="again")}),
        ("response.output_item.added", {"output_index": 1, "item": message()}),
        ("response.output_item.added", {"output_index": 1, "item": {"type": "web_search_call", "id": "w"}}),
        ("response.output_item.added", {"output_index": 1, "item": "x"}),
        ("response.output_item.added", {"output_index": 1, "item": message(id_=7)}),
        ("response.output_item.done", {"output_index": 0, "item": call("{}", id_="msg_1")}),
        ("response.content_part.added", {**AT, "content_index": 1, "part": {"type": "audio", "data": "x"}}),
        ("response.content_part.done", {**AT, "content_index": 1, "part": {"type": "summary_text", "text": "x"}}),
        ("response.completed", {"response": [MAIL]}),
        ("response.completed", {"response": response(output={"a": MAIL})}),
        ("response.completed", {"response": {**response(), "output": [{"type": "mcp_call", "output": MAIL}]}}),
    ],
)
def test_what_cannot_be_guarded_cuts_the_stream(late):
    play = streamed(hostile(late), cuts=(len(hostile()),))
    told = events(play.sent())
    assert (told[-1]["type"], told[-1]["code"]) == ("error", "backend_answer_invalid")
    assert assembled(told) == {(0, "output_text", 0): "fine. "}
    assert MAIL not in json.dumps(told)
    assert play.record.outcome == "cut"
    assert play.commands[-1].end_of_stream


@pytest.mark.parametrize(
    "bad", [b"data: {bro\n\n", b"data: []\n\n", b"data: \xff\xfe\n\n", b"data: {}\n\n", b'data: {"type":{}}\n\n']
)
def test_an_event_that_cannot_be_read_cuts_the_stream(bad):
    play = streamed(hostile() + bad, cuts=(len(hostile()),))
    assert events(play.sent())[-1]["code"] == "backend_answer_invalid"


@pytest.mark.parametrize("field", [b"id: %s", b"retry: %s", b": %s", b"%s: x", b"%s", b"event: %s"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_no_other_line_of_an_event_leaves_whatever_ends_it(field, end):
    data = json.dumps({"type": f"{TEXT}.delta", **AT, "content_index": 1, "delta": "more. "}).encode()
    event = end.join([field % MAIL.encode(), b"data: " + data, field % MAIL.encode(), b"", b""])
    out = streamed(hostile() + event).sent()
    assert b"example" not in out
    assert assembled(events(out))[0, "output_text", 1] == "more. "


def test_pieces_of_one_letter_cost_no_more_than_their_letters_and_are_joined():
    script = Script().begin()
    words = "ab " * 200
    script.item(message(part(words)), ("output_text", 0, list(words)))
    told = events(streamed(script.end().raw).sent())
    assert told[-1]["response"]["output"][0]["content"][0]["text"] == words == assembled(told)[0, "output_text", 0]


def test_an_item_that_ended_says_nothing_more():
    script = Script().begin().item(message(part("fine. ")), ("output_text", 0, ["fine. "]))
    began = len(script.raw)
    script.say(f"{TEXT}.delta", **{**AT, "content_index": 1}, delta="more")
    assert b"more" not in streamed(script.raw, cuts=(began,)).sent()
    script = Script().begin().item(message(part("fine. ")), ("output_text", 0, ["fine. "]))
    assert events(streamed(script.close(0).raw, cuts=(began,)).sent())[-1]["code"] == "backend_answer_invalid"


def test_nothing_follows_the_end():
    script = Script().begin().end()
    whole = len(script.raw)
    script.say("response.created", response=response(model="late"))
    assert b"late" not in streamed(script.raw, cuts=(whole,)).sent()


def test_more_items_texts_or_words_than_an_answer_can_have_cut_the_stream():
    script = Script().begin()
    for index in range(1025):
        script.say("response.output_item.added", output_index=index, item=message(id_=f"m{index}"))
    assert events(streamed(script.raw, cuts=(500,)).sent())[-1]["code"] == "backend_answer_invalid"
    script = Script().begin()
    script.open(message())
    for index in range(1025):
        script.say(f"{TEXT}.delta", **{**AT, "content_index": index}, delta="")
    assert events(streamed(script.raw, cuts=(500,)).sent())[-1]["code"] == "backend_answer_invalid"
    script = Script().begin()
    script.open(message())
    for _ in range(3):
        script.say(f"{TEXT}.delta", **AT, delta="word " * 80_000)
    assert events(streamed(script.raw, cuts=(500,)).sent())[-1]["code"] == "backend_answer_invalid"


def test_one_large_delta_passes_and_is_repeated():
    words = "word " * 20_000
    script = Script().begin().item(message(part(words)), ("output_text", 0, [words])).end()
    told = events(streamed(script.raw).sent())
    assert assembled(told) == {(0, "output_text", 0): words}
    assert told[-1]["response"]["output"][0]["content"][0]["text"] == words


def test_a_json_answer_is_guarded_counted_and_read():
    tree = response(
        message(part(f"to {MAIL}", logprobs=[{"token": MAIL, "logprob": 0.0}])), call(json.dumps({"to": MAIL}))
    )
    told = json.loads(answered(tree))
    assert told["output"][0]["content"][0] == part("to [EMAIL]")
    assert json.loads(told["output"][1]["arguments"]) == {"to": "[EMAIL]"}
    play = Play()
    play.give(head(PATH), RequestBody(body(), end_of_stream=True))
    play.give(answer_head(), ResponseChunk(json.dumps(response()).encode(), end_of_stream=True))
    assert (play.record.usage.input_tokens, play.record.usage.output_tokens) == (9, 4)


@pytest.mark.parametrize(
    "output",
    [
        [{"type": "web_search_call"}],
        [{"type": []}],
        ["x"],
        {"a": 1},
        [message({"type": "audio"})],
        [{**message(), "content": "x"}],
    ],
)
def test_a_json_answer_with_what_a_stream_could_not_have_is_withheld(output):
    play = Play()
    play.give(head(PATH), RequestBody(body(), end_of_stream=True))
    play.give(answer_head(), ResponseChunk(json.dumps({**response(), "output": output}).encode(), end_of_stream=True))
    assert play.refused() == (502, "backend_answer_invalid")


def test_a_providers_error_body_passes_guarded():
    play = Play()
    play.give(head(PATH), RequestBody(body(), end_of_stream=True))
    raw = json.dumps({"error": {"message": f"no {MAIL}", "type": "x", "param": None, "code": "c"}}).encode()
    play.give(answer_head("400"), ResponseChunk(raw, end_of_stream=True))
    assert json.loads(play.sent())["error"]["message"] == "no [EMAIL]"


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-1, 2)
    | st.just(MAIL)
    | st.sampled_from(["", "x", "message", "output_text"])
)
KEYS = ["type", "item_id", "output_index", "content_index", "delta", "text", "part", "item", "response", "output", "content",
        "id", "role", "annotations", "logprobs", "usage", "error", "arguments", "name", MAIL]  # fmt: skip
TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
)
TYPES = ["response.created", "response.completed", "response.output_item.added", "response.output_item.done", f"{TEXT}.delta",
         f"{TEXT}.done", "response.content_part.added", "response.content_part.done", "error", "x"]  # fmt: skip


@given(
    st.lists(
        st.tuples(st.sampled_from(TYPES), st.dictionaries(st.sampled_from(KEYS[1:]), TREES, max_size=5)), max_size=3
    )
)
def test_whatever_shape_events_have_no_address_leaves(late):
    assert MAIL.encode() not in streamed(hostile(*late)).sent()


# --- requests ------------------------------------------------
TOOL = {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
GROUND = {
    "model": "gpt-4o-mini",
    "instructions": "i",
    "input": [
        {"type": "message", "role": "user", "content": [
            {"type": "input_text", "text": "t"}, {"type": "input_image", "image_url": "https://a/b.png", "detail": "low"},
            {"type": "input_file", "filename": "n", "file_data": "d"}]},
        {"role": "developer", "content": "c"},
        message(part("said")),
        reasoning(["s"], ["r"]),
        call('{"a":"b"}'), {"type": "function_call_output", "call_id": "call_1", "output": "o"},
        custom("w"), {"type": "custom_tool_call_output", "call_id": "call_1", "output": [{"type": "input_text", "text": "t"}]},
    ],
    "tools": [TOOL, {"type": "custom", "name": "c", "description": "d"}],
    "metadata": {"k": "v"},
    "text": {"format": {"type": "json_schema", "name": "n", "schema": {"description": "d"}}},
}  # fmt: skip


def places(tree, path=()):
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from places(value, (*path, key))
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from places(value, (*path, index))
    elif isinstance(tree, str):
        yield path


def put(tree, path, value):
    copy = json.loads(json.dumps(tree))
    holder = copy
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value
    return copy


def asked(raw, held=None):
    play = Play(held)
    commands = play.give(head(PATH), RequestBody(raw, end_of_stream=True))
    passed = [command for command in commands if isinstance(command, PassRequestBody)]
    return play, passed[0].body if passed else None


def test_the_ground_of_the_table_passes():
    _, sent = asked(json.dumps(GROUND).encode())
    assert json.loads(sent) == {**GROUND, "store": False}


@pytest.mark.parametrize("path", list(places(GROUND)), ids=lambda path: ".".join(map(str, path)))
def test_no_string_of_a_request_reaches_the_provider_unguarded(path):
    words = f"my {MAIL} is"
    words = json.dumps({"to": words}) if path[-1] == "arguments" else words
    play, sent = asked(json.dumps(put(GROUND, path, words)).encode())
    if sent is None:  # where only some words are allowed
        assert play.refused()[0] in {400, 404}
        assert MAIL.encode() not in play.commands[-1].rendered.body
    else:
        assert MAIL.encode() not in sent
        assert b"[EMAIL]" in sent


@pytest.mark.parametrize("path", list(places(GROUND)), ids=lambda path: ".".join(map(str, path)))
def test_no_string_of_a_request_passes_a_blocking_rule(path):
    play, sent = asked(json.dumps(put(GROUND, path, f"my {MAIL} is")).encode(), policy(request=settings(Action.BLOCK)))
    assert sent is None
    assert play.refused()[0] in {400, 403, 404}


@pytest.mark.parametrize("field", ["user", "safety_identifier", "prompt_cache_key"])
@pytest.mark.parametrize("action", [Action.REDACT, Action.BLOCK])
def test_names_of_users_and_caches_reach_the_provider_as_pseudonyms(field, action):
    _, sent = asked(json.dumps({**GROUND, field: f"my {MAIL} is"}).encode(), policy(request=settings(action)))
    assert len(json.loads(sent)[field]) == 32
    assert MAIL.encode() not in sent


def test_nothing_is_kept_at_the_provider_and_every_other_byte_stays():
    raw = body(stream=True)
    assert asked(raw)[1] == b'{"store":false,' + raw[1:]
    assert asked(body(store=False))[1] is None
    assert json.loads(asked(body(store=None))[1])["store"] is False
    play, _ = asked(body(store=True))
    assert play.refused() == (400, "request_invalid")
