"""Gemini's clients in front of backends of other dialects: what their paths say arrives, and what is lost is told."""

import json
from dataclasses import replace

import pytest
from google.genai import types

import messaging
from contents import ONCE, PUBLIC, STREAM, body, events, heard, said
from extproc.core.admission import door_at
from extproc.core.commands import Answer, PassRequestBody
from extproc.core.events import RequestBody, ResponseChunk
from extproc.core.named_front import NamedFront
from gateway.errors import GatewayError
from gateway.policy.model import Model
from messaging import SPLIT
from playbook import DONE, MAIL, Play, answer_head, completion, delta, head

BRIEF = {"parts": [{"text": "Be brief."}]}
TOOL = {"name": "pay", "description": "d", "parameters": {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}}


def to(backend, **fields):
    base = messaging.held()
    model = Model(name=PUBLIC, backend=backend, upstream={backend: "theirs"}, **fields)
    return replace(base, models={**base.models, PUBLIC: model})


def asked(tree, world, path=ONCE):
    play = Play(world)
    told = play.give(head(path), RequestBody(json.dumps(tree).encode(), end_of_stream=True))
    return play, [each for each in told if isinstance(each, PassRequestBody)]


def chunks(*pieces):
    return b"".join([*map(delta, pieces), delta("", finish_reason="stop"), DONE])


def answered(raw, world, kind="application/json", path=ONCE, status="200"):
    play, _ = asked(body(), world, path)
    play.give(answer_head(status, kind=kind))
    for chunk in SPLIT.findall(raw):
        play.give(ResponseChunk(chunk, end_of_stream=False))
    play.give(ResponseChunk(b"", end_of_stream=True))
    return play


@pytest.mark.parametrize(("path", "streams"), [(ONCE, False), (STREAM, True)])
def test_a_request_is_told_in_openais_words(path, streams):
    tree = {
        "contents": [said(f"mail {MAIL}")],
        "system_instruction": BRIEF,
        "tools": [{"function_declarations": [TOOL]}],
        "generationConfig": {"maxOutputTokens": 9, "responseMimeType": "application/json",
                             "responseSchema": {"type": "OBJECT", "properties": {"b": {"type": "INTEGER"}}}},
    }  # fmt: skip
    _, (sent,) = asked(tree, to("demo"), path)
    told = json.loads(sent.body)
    assert (told["model"], told.get("stream", False)) == ("theirs", streams)
    assert [each["content"] for each in told["messages"]] == ["Be brief.", "mail [EMAIL]"]
    assert told["max_completion_tokens"] == 9
    assert told["tools"][0]["function"]["parameters"] == {"type": "object", "properties": {"a": {"type": "string"}}}
    assert told["response_format"]["json_schema"]["schema"]["properties"] == {"b": {"type": "integer"}}
    assert dict(sent.change.put)[":path"] == "/base/v1/chat/completions"


def test_a_request_is_told_in_anthropics_words():
    _, (sent,) = asked(body("hi", systemInstruction=BRIEF), to("anthropic"))
    told = json.loads(sent.body)
    assert (told["model"], told["max_tokens"]) == ("theirs", 4096)
    assert told["messages"][0]["content"] in ("hi", [{"type": "text", "text": "hi"}])
    assert "Be brief." in json.dumps(told["system"])


def test_what_has_no_word_is_told_in_a_header_or_refused():
    tree = body("hi", safetySettings=[{"category": "HARM_CATEGORY_HATE_SPEECH", "threshold": "BLOCK_NONE"}],
                generationConfig={"topK": 40})  # fmt: skip
    play, _ = asked(tree, to("demo"))
    play.give(answer_head())
    (passed,) = play.give(ResponseChunk(completion("fine"), end_of_stream=True))[:1]
    assert set(dict(passed.change.put)["x-ostiary-dropped"].split(", ")) == {"safetySettings", "top_k"}
    play, sent = asked(tree, to("demo", on_loss="refuse"))
    (refusal,) = [each for each in play.commands if isinstance(each, Answer)]
    assert (sent, refusal.rendered.status) == ([], 400)
    assert json.loads(refusal.rendered.body)["error"]["status"] == "INVALID_ARGUMENT"


def test_an_answer_comes_back_in_googles_words_and_guarded():
    play = answered(completion(f"to {MAIL}"), to("demo"))
    told = types.GenerateContentResponse.model_validate_json(play.sent())
    assert told.text == "to [EMAIL]"
    assert told.candidates[0].finish_reason is types.FinishReason.STOP
    assert (told.usage_metadata.prompt_token_count, play.record.usage.input_tokens) == (5, 5)


def test_a_stream_comes_back_in_googles_words_and_guarded_over_its_seams():
    play = answered(chunks("Write to bob@exam", "ple.com or ", "wait"), to("demo"), "text/event-stream", STREAM)
    assert heard(play.sent()) == "Write to [EMAIL] or wait"
    for tree in events(play.sent()):
        types.GenerateContentResponse.model_validate(tree)
    assert events(play.sent())[-1]["candidates"][0]["finishReason"] == "STOP"


def test_a_stream_of_anthropics_comes_back_in_googles_words():
    use = {"type": "tool_use", "id": "t1", "name": "pay", "input": {}}
    source = messaging.delta(1, "input_json_delta", "partial_json", json.dumps({"to": MAIL}))
    raw = b"".join([messaging.start(), messaging.block(), messaging.delta(value="I pay. "), messaging.stop(),
                    messaging.block(1, **use), source, messaging.stop(1), messaging.end("tool_use")])  # fmt: skip
    play = answered(raw, to("anthropic"), "text/event-stream", STREAM)
    parts = [part for tree in events(play.sent()) for each in tree["candidates"] for part in each["content"]["parts"]]
    assert heard(play.sent()).strip() == "I pay."
    (call,) = [part["functionCall"] for part in parts if "functionCall" in part]
    assert (call["name"], call["args"]) == ("pay", {"to": "[EMAIL]"})


def test_an_error_of_the_backend_is_told_in_googles_words():
    raw = json.dumps({"error": {"message": f"slow down {MAIL}", "type": "rate_limit_error", "code": "x"}}).encode()
    told = json.loads(answered(raw, to("demo"), status="429").sent())
    assert (told["error"]["code"], told["error"]["status"]) == (429, "RESOURCE_EXHAUSTED")
    assert MAIL not in json.dumps(told)


def test_a_stream_that_breaks_off_is_an_error():
    play = answered(delta("half "), to("demo"), "text/event-stream", STREAM)
    assert events(play.sent())[-1]["error"]["status"] == "INTERNAL"


@pytest.mark.parametrize(
    "tree",
    [body(tools=[{"googleSearch": {}}]), body(cachedContent="x"),
     body({"inlineData": {"mimeType": "image/png", "data": "eA=="}, "text": "x"})],
)  # fmt: skip
def test_what_the_door_refuses_is_refused_here_too(tree):
    play, sent = asked(tree, to("demo"))
    assert sent == []
    assert play.record.code == "request_invalid"


def called(name, told_id=None):
    return {"functionCall": {"name": name, **({"id": told_id} if told_id else {})}}


def result(name, told_id=None):
    return {"functionResponse": {"name": name, "response": {"output": "o"}, **({"id": told_id} if told_id else {})}}


def test_answers_find_their_calls_by_id_or_by_name_in_whatever_order_and_only_once():
    calls = said(called("f"), called("f", "a"), called("g", "b"), called("f", "a"), role="model")
    read = NamedFront(door_at(ONCE)).read_request

    def answers(*parts):
        (turn,) = read(body() | {"contents": [said("hi"), calls, said(*parts)]}).request.turns[2:]
        return [part.call_id for part in turn.parts]

    assert answers(result("f"), result("f"), result("f"), result("g")) == ["call_1", "a", "a", "b"]
    assert answers(result("g", "b"), result("f", "a"), result("f"), result("f", "a")) == ["b", "a", "call_1", "a"]
    for parts in ([result("g"), result("g", "b")], [result("f", "c")], [result("h")], [result("f", "a")] * 3):
        with pytest.raises(GatewayError):
            answers(*parts)


def test_thousands_of_calls_that_are_answered_backwards_are_not_searched():
    count = 10_000  # a search would compare fifty million times
    calls = said(*[called("f", f"c{at}") for at in range(count)], role="model")
    back = said(*[result("f", f"c{at}") for at in reversed(range(count))])
    (turn,) = NamedFront(door_at(ONCE)).read_request({"contents": [calls, back]}).request.turns[1:]
    assert [part.call_id for part in turn.parts] == [f"c{at}" for at in reversed(range(count))]


def test_paths_of_one_door_are_fronts_of_their_own():
    once, stream = NamedFront(door_at(ONCE)), NamedFront(door_at(STREAM.partition("?")[0]))
    assert once != stream
    assert {once, NamedFront(door_at(ONCE))} == {once}
    assert (once.read_request(body()).request.stream, stream.read_request(body()).request.stream) == (False, True)
