"""The form of answers: schemas that the request brings along, and those of its tenant, in every dialect."""

import json
from dataclasses import replace

import pytest

import messaging
import responding
from extproc.core.events import RequestBody, ResponseChunk
from gateway.policy.model import Action, BoundSchema, Mode, Part, RuleSetting
from playbook import CHAT, DONE, Play, answer_head, delta, head
from worlds import policy, settings

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
FITS, BREAKS = '{"city": "Rome", "days": 3}', '{"city": "Rome", "days": "three"}'
AT_MOST = '{"properties":{"days":{"maximum":5}},"type":"object"}'


def held(action=Action.BLOCK, base=policy, rule="output.schema", mode=Mode.ENFORCE, schemas=None, text=""):
    made = settings(Action.FLAG)
    made[rule] = RuleSetting(rule=rule, action=action, mode=mode, text=text)
    built = base(response=made)
    tenant = replace(built.tenants["acme"], schemas=schemas or {})
    return replace(built, tenants={"acme": tenant})


def tenants(action=Action.BLOCK, base=policy):
    bound = BoundSchema(name="trip", part=Part.ARGUMENTS, source=AT_MOST, tools=frozenset({"plan"}))
    return held(action, base, rule="schema.trip", schemas={"trip": bound})


def found(play):
    return {each.rule: (each.count, each.action) for each in play.record.found}


class Chat:
    path, base = CHAT, staticmethod(policy)

    @staticmethod
    def body(schema=None, tool=None, stream=False):
        more = {}
        if schema is not None:
            more["response_format"] = {"type": "json_schema", "json_schema": {"name": "trip", "schema": schema}}
        if tool is not None:
            more["tools"] = [{"type": "function", "function": {"name": "plan", "parameters": tool}}]
        return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "go"}], "stream": stream, **more}

    @staticmethod
    def whole(text=None, arguments=None, early=False):
        calls = [{"id": "c", "type": "function", "function": {"name": "plan", "arguments": arguments}}]
        message = {"role": "assistant", "content": text, **({} if arguments is None else {"tool_calls": calls})}
        choice = {"index": 0, "message": message, "finish_reason": "length" if early else "stop"}
        return {"id": "c1", "object": "chat.completion", "choices": [choice]}

    @staticmethod
    def events(text=None, arguments=None, early=False):
        said = [delta(char) for char in text or ""]
        if arguments is not None:
            pieces = [{"index": 0, "id": "c", "type": "function", "function": {"name": "plan", "arguments": ""}}]
            pieces += [{"index": 0, "function": {"arguments": char}} for char in arguments]
            said += [delta(None, delta={"tool_calls": [piece]}) for piece in pieces]
        return [*said, delta("", finish_reason="length" if early else "stop"), DONE]


class Messages:
    path, base = messaging.MESSAGES, staticmethod(messaging.held)

    @staticmethod
    def body(schema=None, tool=None, stream=False):
        more = {} if schema is None else {"output_config": {"format": {"type": "json_schema", "schema": schema}}}
        if tool is not None:
            more["tools"] = [{"name": "plan", "input_schema": tool}]
        return messaging.messages(stream=stream, **more)

    @staticmethod
    def whole(text=None, arguments=None, early=False):
        content = [] if text is None else [{"type": "text", "text": text}]
        if arguments is not None:
            content.append({"type": "tool_use", "id": "t", "name": "plan", "input": json.loads(arguments)})
        return {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": content,
                "stop_reason": "max_tokens" if early else "end_turn", "stop_sequence": None,
                "usage": {"input_tokens": 9, "output_tokens": 4}}  # fmt: skip

    @staticmethod
    def events(text=None, arguments=None, early=False):
        said = [messaging.start()]
        if text is not None:
            said += [messaging.block(), *(messaging.text(char) for char in text), messaging.stop()]
        else:
            said += [messaging.block(type="tool_use", id="t", name="plan", input={})]
            said += [*(messaging.source(char) for char in arguments), messaging.stop()]
        reason = {"stop_reason": "max_tokens" if early else "end_turn", "stop_sequence": None}
        ends = messaging.event(type="message_delta", delta=reason, usage={"output_tokens": 4})
        return [*said, ends, messaging.event(type="message_stop")]


class Responses:
    path, base = responding.PATH, staticmethod(policy)

    @staticmethod
    def body(schema=None, tool=None, stream=False):
        more = {} if schema is None else {"text": {"format": {"type": "json_schema", "name": "trip", "schema": schema}}}
        if tool is not None:
            more["tools"] = [{"type": "function", "name": "plan", "parameters": tool}]
        return json.loads(responding.body(stream=stream, **more))

    @staticmethod
    def item(text, arguments, early):
        status = "incomplete" if early else "completed"
        if arguments is None:
            return responding.message(responding.part(text), status=status)
        return responding.call(arguments, name="plan", status=status)

    @classmethod
    def whole(cls, text=None, arguments=None, early=False):
        status = "incomplete" if early else "completed"
        return responding.response(cls.item(text, arguments, early), status=status)

    @classmethod
    def events(cls, text=None, arguments=None, early=False):
        item = cls.item(text, arguments, early)
        script = responding.Script().begin()
        script.say("response.output_item.added", output_index=0, item={**item, "arguments": ""} if arguments else
                   {**item, "content": []})  # fmt: skip
        place = {"item_id": item["id"], "output_index": 0}
        kind = "response.output_text" if arguments is None else "response.function_call_arguments"
        at = {"content_index": 0, "logprobs": []} if arguments is None else {}
        for char in text or arguments:
            script.say(f"{kind}.delta", **place, **at, delta=char)
        script.say(f"{kind}.done", **place, **at, **({"text": text} if arguments is None else {"arguments": arguments}))
        script.say("response.output_item.done", output_index=0, item=item)
        script.items.append(item)
        return script.end("incomplete" if early else "completed").events


DIALECTS = [Chat, Messages, Responses]


def ask(dialect, world, *, stream, schema=None, tool=None, **answer):
    play = Play(world)
    body = json.dumps(dialect.body(schema, tool, stream)).encode()
    play.give(head(dialect.path), RequestBody(body, end_of_stream=True))
    play.give(answer_head(kind="text/event-stream" if stream else "application/json"))
    pieces = dialect.events(**answer) if stream else [json.dumps(dialect.whole(**answer)).encode()]
    for at, piece in enumerate(pieces):
        if not play.records:
            play.give(ResponseChunk(piece, end_of_stream=at == len(pieces) - 1))
    return play


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("where", ["text", "arguments"])
def test_an_answer_of_the_wrong_form_is_flagged_and_passes(dialect, stream, where):
    asked = {"schema" if where == "text" else "tool": SCHEMA}
    play = ask(dialect, held(Action.FLAG, dialect.base), stream=stream, **asked, **{where: BREAKS})
    assert found(play) == {"output.schema": (1, "flag")}
    assert play.record.outcome == "completed"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("where", ["text", "arguments"])
def test_an_answer_of_the_right_form_passes(dialect, stream, where):
    asked = {"schema" if where == "text" else "tool": SCHEMA}
    play = ask(dialect, held(Action.BLOCK, dialect.base), stream=stream, **asked, **{where: FITS})
    assert (found(play), play.record.outcome) == ({}, "completed")


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("where", ["text", "arguments"])
def test_block_withholds_a_json_answer(dialect, where):
    asked = {"schema" if where == "text" else "tool": SCHEMA}
    play = ask(dialect, held(Action.BLOCK, dialect.base), stream=False, **asked, **{where: BREAKS})
    assert b"Rome" not in play.sent()
    assert (play.record.outcome, play.record.code, play.record.reason) == ("refused", "answer_blocked", "output.schema")


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("where", ["text", "arguments"])
def test_block_ends_a_stream_in_an_error_in_place_of_its_end(dialect, where):
    asked = {"schema" if where == "text" else "tool": SCHEMA}
    play = ask(dialect, held(Action.BLOCK, dialect.base), stream=True, **asked, **{where: BREAKS})
    sent = play.sent()
    assert b"form that was asked for (rule output.schema)" in sent
    for end in (b'"finish_reason":"stop"', b"message_delta", b"message_stop", b"output_item.done", b"completed\n"):
        assert end not in sent
    assert (play.record.outcome, play.record.code) == ("cut", "answer_blocked")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_answer_that_was_cut_short_is_not_compared(dialect, stream):
    play = ask(dialect, held(Action.BLOCK, dialect.base), stream=stream, schema=SCHEMA, text='{"city": "Ro', early=True)
    assert (found(play), play.record.outcome) == ({}, "completed")


def test_a_refusal_is_not_compared():
    body = json.dumps(Chat.body(SCHEMA)).encode()
    play = Play(held())
    play.give(head(), RequestBody(body, end_of_stream=True), answer_head())
    message = {"role": "assistant", "content": None, "refusal": "I cannot help with that."}
    answer = {"id": "c1", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    play.give(ResponseChunk(json.dumps(answer).encode(), end_of_stream=True))
    assert (found(play), play.record.outcome) == ({}, "completed")


@pytest.mark.parametrize("text", ["", "Rome, three days", "[]", '{"city": "Rome", "days": 3, "days": 4}'])
def test_what_is_no_such_json_breaks_the_form(text):
    play = ask(Chat, held(), stream=False, schema=SCHEMA, text=text)
    assert play.record.reason == "output.schema"


def test_json_mode_promises_an_object():
    for text, outcome in (("{}", "completed"), ("[1]", "refused")):
        body = {**Chat.body(), "response_format": {"type": "json_object"}}
        play = Play(held())
        play.give(head(), RequestBody(json.dumps(body).encode(), end_of_stream=True), answer_head())
        play.give(ResponseChunk(json.dumps(Chat.whole(text)).encode(), end_of_stream=True))
        assert play.record.outcome == outcome


@pytest.mark.parametrize("stream", [False, True])
def test_a_schema_that_has_no_bound_is_not_compared_and_the_record_says_so(stream):
    endless = {"type": "object", "properties": {"next": {"$ref": "#"}}}
    play = ask(Chat, held(), stream=stream, schema=endless, text="no JSON at all {")
    assert found(play)["output.schema"] == (1, "block")
    play = ask(Chat, held(), stream=stream, schema=endless, text='{"next": 3}')
    assert found(play) == {"output.unchecked": (1, "allow")}
    assert play.record.outcome == "completed"


def test_shadow_only_counts():
    play = ask(Chat, held(mode=Mode.SHADOW), stream=True, schema=SCHEMA, text=BREAKS)
    assert found(play) == {"output.schema": (1, "allow")}
    assert play.sent().endswith(DONE)


def test_replace_speaks_for_a_json_answer_and_cuts_a_stream():
    sorry = held(Action.REPLACE, text="Please ask again.")
    play = ask(Chat, sorry, stream=False, schema=SCHEMA, text=BREAKS)
    assert json.loads(play.sent())["choices"][0]["message"]["content"] == "Please ask again."
    play = ask(Chat, sorry, stream=True, schema=SCHEMA, text=BREAKS)
    assert b"Please ask again." not in play.sent()
    assert b"(rule output.schema)" in play.sent()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_tenants_schema_judges_calls_of_answers(dialect, stream):
    too_long = '{"city": "Rome", "days": 9}'
    play = ask(dialect, tenants(base=dialect.base), stream=stream, tool={"type": "object"}, arguments=too_long)
    assert found(play) == {"schema.trip": (1, "block")}
    assert play.record.reason == "schema.trip"
    play = ask(dialect, tenants(base=dialect.base), stream=stream, tool={"type": "object"}, arguments=FITS)
    assert (found(play), play.record.outcome) == ({}, "completed")


@pytest.mark.parametrize("stream", [False, True])
def test_the_tenants_schema_judges_a_call_of_a_cut_answer_if_it_is_whole(stream):
    for arguments, outcome in (('{"days": 9}', "answer_blocked"), ('{"days": 9', "")):
        play = ask(Chat, tenants(), stream=stream, tool={"type": "object"}, arguments=arguments, early=True)
        assert play.record.code == outcome


@pytest.mark.parametrize("stream", [False, True])
def test_a_call_too_long_to_be_kept_breaks_the_tenants_schema(stream):
    padded = json.dumps({"days": 1, "note": "x" * 300_000})
    play = Play(tenants())
    play.give(head(), RequestBody(json.dumps(Chat.body(tool=SCHEMA, stream=stream)).encode(), end_of_stream=True))
    play.give(answer_head(kind="text/event-stream" if stream else "application/json"))
    function = {"name": "plan", "arguments": padded}
    call = {"index": 0, "id": "c", "type": "function", "function": function}
    if stream:
        whole = delta(None, delta={"tool_calls": [call]}, finish_reason="tool_calls")
    else:
        whole = json.dumps(Chat.whole(None, padded)).encode()
    play.give(ResponseChunk(whole, end_of_stream=True))
    assert play.record.reason == "schema.trip"


def test_a_call_of_a_stream_that_nothing_ended_is_judged():
    play = Play(tenants())
    play.give(head(), RequestBody(json.dumps(Chat.body(tool=SCHEMA, stream=True)).encode(), end_of_stream=True))
    play.give(answer_head(kind="text/event-stream"))
    for piece in Chat.events(arguments='{"days": 9}')[:-2]:
        play.give(ResponseChunk(piece, end_of_stream=False))
    play.give(ResponseChunk(DONE, end_of_stream=True))
    assert play.record.reason == "schema.trip"
    assert b"(rule schema.trip)" in play.sent()


def test_calls_that_share_a_number_are_told_apart_by_id():
    play = Play(tenants())
    play.give(head(), RequestBody(json.dumps(Chat.body(tool=SCHEMA, stream=True)).encode(), end_of_stream=True))
    play.give(answer_head(kind="text/event-stream"))
    for name, number in (("a", 1), ("b", 2)):
        function = {"name": "plan", "arguments": json.dumps({"days": number})}
        call = {"index": 0, "id": name, "type": "function", "function": function}
        play.give(ResponseChunk(delta(None, delta={"tool_calls": [call]}), end_of_stream=False))
    play.give(ResponseChunk(delta("", finish_reason="tool_calls") + DONE, end_of_stream=True))
    assert (found(play), play.record.outcome) == ({}, "completed")
