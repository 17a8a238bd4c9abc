"""The Gemini front door's requests and whole answers: what passes, what is refused, what is counted."""

import base64
import json

import pytest

from contents import ONCE, PUBLIC, STREAM, THEIRS, USAGE, answer, answered, asked, body, candidate, held, said
from extproc.core.admission import door_of
from extproc.core.commands import Answer, PassRequestBody
from extproc.detectors.injection.provenance import Provenance
from extproc.providers.gemini import GenerateContent, lowered
from extproc.providers.gemini_schema import FIELDS
from gateway.errors import GatewayError
from gateway.named_path import Named
from gateway.policy.model import Action
from playbook import MAIL
from worlds import settings

DOOR = GenerateContent(Named("v1beta", PUBLIC, streams=False))
CALL = {"functionCall": {"id": "c1", "name": "pay", "args": {"a": 1}}}
RESULT = {"functionResponse": {"id": "c1", "name": "pay", "response": {"output": "o"}}}
PIXEL = {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo" * 60}}
SIGNATURE = "c2lnbmF0dXJl" * 50


def passed(commands):
    (command,) = [each for each in commands if isinstance(each, PassRequestBody)]
    return command


def refused(play):
    (told,) = [each for each in play.commands if isinstance(each, Answer)]
    error = json.loads(told.rendered.body)["error"]
    return told.rendered.status, error["details"][0]["reason"].lower(), error["details"][0].get("metadata", {})


# --- requests that pass ------------------------------------------------
@pytest.mark.parametrize("path", [ONCE, STREAM, ONCE.replace("v1beta", "v1")])
def test_what_no_rule_minds_passes_byte_for_byte_to_the_backends_own_address(path):
    raw = b'{ "contents":[{"role":"user", "parts":[{"text":"caf\\u00e9"}]}]}'
    _, told = asked(raw, path=path)
    command = passed(told)
    assert command.body is None
    put = dict(command.change.put)
    assert put[":path"] == path.replace(PUBLIC, THEIRS)
    assert command.metadata["front_path"] == path.partition("?")[0]
    assert command.metadata["model"] == PUBLIC


def test_a_conversation_with_everything_in_it_passes():
    tree = {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [
            said("hi", PIXEL, {"fileData": {"fileUri": "https://example.com/a.png", "mimeType": "image/png"}}),
            said({"text": "hm", "thought": True}, {**CALL, "thoughtSignature": SIGNATURE}, role="model"),
            said({"functionResponse": {**RESULT["functionResponse"], "parts": [PIXEL]}}),
            said({"text": "", "thoughtSignature": SIGNATURE}, role="model"),
        ],
        "tools": [{"functionDeclarations": [{"name": "pay", "description": "d", "parameters": {"type": "OBJECT"}}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["pay"]}},
        "generationConfig": {"temperature": 1, "topK": 40.0, "maxOutputTokens": 9, "stopSequences": ["x"],
                             "thinkingConfig": {"thinkingBudget": -1}, "responseModalities": ["TEXT"]},
        "safetySettings": [{"category": "HARM_CATEGORY_HATE_SPEECH", "threshold": "BLOCK_NONE"}],
        "store": False,
    }  # fmt: skip
    assert passed(asked(tree)[1]).body is None


# --- requests that do not ------------------------------------------------
REFUSED = [
    {"contents": []},
    {"contents": "hi"},
    {"contents": [{"parts": "hi"}]},
    {"contents": [{"role": "system", "parts": [{"text": "hi"}]}]},
    {"contents": [said({})]},
    {"contents": [said({"text": "x", **CALL})]},
    {"contents": [said({"executableCode": {"code": "x"}})]},
    {"contents": [said({"text": "x", "toolCall": {"id": "x"}})]},
    {"contents": [said({"Text": "x"})]},
    {"contents": [said({"text": "x", "inlineData": "x"})]},
    {"contents": [said({"inlineData": {"mimeType": "a/b", "mime_type": "c/d", "data": "eA=="}})]},
    {"contents": [said({"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/x"}})]},
    {"contents": [said({"fileData": {"fileUri": "gs://bucket/x"}})]},
    {"contents": [said({"file_data": {"file_uri": "gs://bucket/x"}})]},
    {"contents": [said({"fileData": {"fileUri": "https://www.youtube.com/watch?v=x"}})]},
    {"contents": [said({"functionResponse": {"name": "f", "response": {}, "parts": [{"fileData": {"fileUri": "gs://x"}}]}})]},
    body(systemInstruction={"parts": [PIXEL]}),
    body(cachedContent="cachedContents/x"),
    body(cached_content="cachedContents/x"),
    body(store=True),
    body(store=[]),
    body(store={}),
    body(model="models/other"),
    body(stream=True),
    body(tools=[{"googleSearch": {}}]),
    body(tools=[{"google_search": {}}]),
    body(tools=[{"codeExecution": {}, "functionDeclarations": []}]),
    body(tools=[{"urlContext": {}}]),
    body(tools=[{"mcpServers": [{"name": "x"}]}]),
    body(toolConfig={"includeServerSideToolInvocations": True}),
    body(toolConfig={"includeServerSideToolInvocations": []}),
    body(toolConfig={"retrievalConfig": {"languageCode": "de"}}),
    body(toolConfig={"retrievalConfig": []}),
    body(toolConfig={"functionCallingConfig": {"streamFunctionCallArguments": True}}),
    body(generationConfig={"responseModalities": ["TEXT", "IMAGE"]}),
    body(generationConfig={"response_modalities": ["audio"]}),
    body(generationConfig={"speechConfig": {}}),
    body(generationConfig={"imageConfig": {}}),
    body(generationConfig={"responseFormat": []}),
    body(generationConfig={"maxOutputTokens": "5"}),
    body(generationConfig={"maxOutputTokens": 0}),
    body(generationConfig={"candidateCount": 9}),
    body(generationConfig={"MaxOutputTokens": 5}),
    body(generationConfig=[]),
]  # fmt: skip


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("tree", REFUSED, ids=lambda tree: json.dumps(tree)[:70])
def test_what_would_pass_the_gateway_by_is_refused_whatever_the_strictness(tree, strict):
    play, _ = asked(tree, held(strict_schema=strict))
    status, code, told = refused(play)
    assert (status, code) == (400, "request_invalid")
    assert told["field"]


def test_an_unknown_field_is_refused_or_guarded_and_recorded():
    play, _ = asked(body(futureField=f"mail {MAIL}"))
    assert refused(play)[:2] == (400, "request_invalid")
    play, told = asked(body(futureField=f"mail {MAIL}"), held(strict_schema=False))
    assert json.loads(passed(told).body)["futureField"] == "mail [EMAIL]"


def test_a_blocking_rule_refuses_in_googles_words():
    play, _ = asked(body(f"mail {MAIL}"), held(request=settings(Action.BLOCK)))
    assert refused(play)[:2] == (403, "request_blocked")


def test_a_file_of_text_is_judged_and_refused_where_it_would_be_changed():
    text = "bWFpbCBib2JAZXhhbXBsZS5jb20gcGxlYXNl"
    play, _ = asked({"contents": [said({"inlineData": {"mimeType": "text/plain", "data": text}})]})
    assert refused(play)[:2] == (403, "request_blocked")


def test_a_signature_passes_as_it_is_or_not_at_all():
    part = {"text": "x", "thoughtSignature": f"mail {MAIL}"}
    assert refused(asked({"contents": [said(part, role="model")]})[0])[:2] == (403, "request_blocked")


# --- what others read of a request ------------------------------------------------
def test_each_text_has_its_author():
    tree = {
        "systemInstruction": said("s"),
        "contents": [said("u"), said("m", CALL, role="model"), said(RESULT, role="user")],
        "tools": [{"functionDeclarations": [{"name": "pay", "description": "d"}]}],
    }
    DOOR.open(tree)
    assert list(DOOR.positions(tree)) == [
        (Provenance.USER, "u"), (Provenance.TOOL_RESULT, "output"), (Provenance.TOOL_RESULT, "o"),
        (Provenance.TOOL_DESCRIPTION, "d"),
    ]  # fmt: skip
    chat = DOOR.as_chat(tree)
    assert [each["role"] for each in chat["messages"]] == ["system", "user", "assistant", "tool"]
    assert chat["messages"][2]["tool_calls"][0]["function"] == {"name": "pay", "arguments": '{"a":1}'}
    assert chat["tools"][0]["function"]["name"] == "pay"


def test_settings_are_told_in_words_that_every_reader_knows():
    shape = {"type": "OBJECT", "properties": {"a": {"type": "STRING"}, "b": {"anyOf": [{"type": "NULL"}]}}}
    config = {"candidateCount": 2, "maxOutputTokens": 7, "temperature": 0.5, "responseSchema": shape}
    told = DOOR.plain(body(generationConfig=config))
    assert (told["n"], told["max_output_tokens"], told["temperature"]) == (2, 7, 0.5)
    assert told["response_format"]["json_schema"]["schema"]["properties"]["a"] == {"type": "string"}
    assert shape["type"] == "OBJECT"
    snake = {"type": "ARRAY", "min_items": 1, "items": {"any_of": [{"type": "STRING", "nullable": True}]}}
    assert lowered({"type": "OBJECT", "properties": {"a_type": snake}, "property_ordering": ["a_type"]}) == {
        "type": "object",
        "properties": {"a_type": {"type": "array", "minItems": 1, "items": {"anyOf": [{"type": ["string", "null"]}]}}},
    }


# --- paths ------------------------------------------------
def test_the_second_lock_minds_the_query_too():
    with pytest.raises(GatewayError):
        door_of(f"{ONCE}?key=x")
    with pytest.raises(GatewayError):
        door_of(STREAM.partition("?")[0])
    assert door_of(STREAM).open(body()).stream


# --- whole answers ------------------------------------------------
def test_an_answer_is_guarded_counted_and_read():
    call = {"functionCall": {"name": "pay", "args": {"to": [MAIL]}}}
    tree = answer(candidate({"text": f"hm {MAIL}", "thought": True}, f"to {MAIL}", call, finish="STOP"))
    play = answered(tree)
    parts = json.loads(play.sent())["candidates"][0]["content"]["parts"]
    assert [part.get("text") for part in parts[:2]] == ["hm [EMAIL]", "to [EMAIL]"]
    assert parts[2]["functionCall"]["args"] == {"to": ["[EMAIL]"]}
    usage = play.record.usage
    assert (usage.input_tokens, usage.output_tokens, usage.reasoning_tokens) == (9, 4, 1)


def test_texts_that_clients_join_do_not_become_one_word():
    play = answered(answer(candidate("bob@exam", "ple.com", finish="STOP")))
    parts = json.loads(play.sent())["candidates"][0]["content"]["parts"]
    assert [part["text"] for part in parts] == ["bob@exam", "\nple.com"]


def test_an_answer_that_no_rule_minds_stays_byte_for_byte():
    tree = answer(candidate("fine", {**CALL, "thoughtSignature": SIGNATURE}, finish="STOP"))
    assert answered(tree).sent() == json.dumps(tree).encode()


def test_log_probabilities_and_what_is_beside_a_text_do_not_leave():
    tree = answer(candidate({"text": "x", "surprise": MAIL}, finish="STOP", logprobsResult={"chosen": [MAIL]}))
    sent = json.loads(answered(tree).sent())
    assert sent["candidates"][0]["content"]["parts"] == [{"text": "x"}]
    assert "logprobsResult" not in sent["candidates"][0]


@pytest.mark.parametrize(
    "candidates",
    ["x", ["x"], [{"content": "x"}], [{"content": {"parts": "x"}}], [candidate(7)], [candidate({"text": 7})],
     [candidate({"text": "x", **CALL})], [candidate({"executableCode": {"code": "x"}})], [candidate(PIXEL)]],
)  # fmt: skip
def test_an_answer_that_cannot_be_guarded_is_withheld(candidates):
    play = answered({"candidates": candidates, "usageMetadata": USAGE})
    assert refused(play)[0] in {403, 502}
    assert not play.sent()


def test_a_blocked_answer_says_what_policy_says():
    play = answered(answer(candidate(f"to {MAIL}", finish="STOP")), held(response=settings(Action.BLOCK)))
    assert refused(play)[:2] == (403, "answer_blocked")


def test_a_providers_error_passes_guarded():
    play = answered({"error": {"code": 400, "message": f"no {MAIL}", "status": "INVALID_ARGUMENT"}}, status="400")
    assert json.loads(play.sent())["error"]["message"] == "no [EMAIL]"


# --- the table of positions of a request ------------------------------------------------
#: A string in every place that the official package knows and this door takes (`test_the_ground_names_every_field`).
GROUND = {
    "contents": [
        said({"text": "t", "partMetadata": {"k": "v"}, "mediaResolution": {"level": "l"}, "videoMetadata": {"startOffset": "s"}},
             {"inlineData": {"mimeType": "image/png", "data": "eA==", "displayName": "n"}},
             {"fileData": {"mimeType": "image/png", "fileUri": "https://example.com/a.png", "displayName": "n"}}),
        said({"text": "thought", "thought": True}, {"functionCall": {"id": "c", "name": "pay", "args": {"k": ["v"]}}},
             {"text": "x", "thoughtSignature": "s"}, role="model"),
        said({"functionResponse": {"id": "c", "name": "pay", "response": {"k": ["v"]}, "scheduling": "SILENT",
              "parts": [{"inlineData": {"mimeType": "image/png", "data": "eA==", "displayName": "n"}}]}}),
    ],
    "systemInstruction": {"role": "user", "parts": [{"text": "s"}]},
    "tools": [{"functionDeclarations": [{"name": "pay", "description": "d", "parameters": {"description": "d"},
               "parametersJsonSchema": {"description": "d"}, "response": {"description": "d"},
               "responseJsonSchema": {"description": "d"}, "behavior": "BLOCKING"}]}],
    "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["pay"]}},
    "safetySettings": [{"category": "C", "threshold": "T", "method": "M"}],
    "generationConfig": {"stopSequences": ["x"], "responseMimeType": "application/json", "mediaResolution": "M",
                         "responseSchema": {"title": "t"}, "responseJsonSchema": {"title": "t"},
                         "thinkingConfig": {"thinkingLevel": "LOW"}, "responseModalities": ["TEXT"]},
    "labels": {"k": "v"},
    "serviceTier": "standard",
}  # fmt: skip


def places(tree, path=()):
    steps = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    if isinstance(tree, str):
        yield path
    for step, value in steps:
        yield from places(value, (*path, step))
    if isinstance(tree, dict):
        yield (*path, f"mail {MAIL}")  # as a key


def put(tree, path, value):
    copy = json.loads(json.dumps(tree))
    holder = copy
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value
    return copy


def test_the_ground_of_the_table_passes():
    assert passed(asked(GROUND)[1]).body is None


def test_the_ground_names_every_field_that_a_check_relies_on():
    written = json.dumps(GROUND)
    left = {name for names in FIELDS.values() for name in names if f'"{name}"' not in written}
    assert left == {
        # refused, or no string
        "cachedContent", "store", "partialArgs", "willContinue", "retrievalConfig", "includeServerSideToolInvocations",
        "streamFunctionCallArguments", "candidateCount", "maxOutputTokens", "responseFormat", "temperature", "topP", "topK",
        "seed", "presencePenalty", "frequencyPenalty", "responseLogprobs", "logprobs", "speechConfig", "imageConfig",
        "enableEnhancedCivicAnswers", "includeThoughts", "thinkingBudget",
    }  # fmt: skip


@pytest.mark.parametrize("path", list(places(GROUND)), ids=lambda path: ".".join(map(str, path)))
def test_no_string_of_a_request_reaches_the_provider_unguarded(path):
    tree = put(GROUND, path, f"my {MAIL} is")
    for strict, action in ((True, Action.REDACT), (False, Action.REDACT), (False, Action.BLOCK)):
        play, told = asked(tree, held(request=settings(action), strict_schema=strict))
        sent = [each for each in told if isinstance(each, PassRequestBody)]
        if not sent:  # where only some words are allowed, or a rule blocks
            assert refused(play)[0] in {400, 403}
            # The name of a caller's own field is told back, no value.
            assert MAIL.encode() not in play.commands[-1].rendered.body or MAIL in str(path[-1])
        else:
            assert action is Action.REDACT
            assert MAIL.encode() not in sent[0].body
            assert b"[EMAIL]" in sent[0].body


CODED = base64.b64encode(f"please write to {MAIL} now. ".encode() * 20).decode()  # long enough for a picture


@pytest.mark.parametrize("media", ["text/plain", "TEXT/CSV", "application/json", "", "x"])
def test_a_text_in_base64_that_a_tool_takes_or_answers_is_opened_whatever_it_says_it_is(media):
    told = {"mimeType": media, "data": CODED}
    call = {"functionCall": {"name": "f", "args": told}}
    for parts in ([call], [{"functionResponse": {"name": "f", "response": told}}]):
        command = passed(asked({"contents": [said("hi"), said(*parts)]})[1])
        assert command.body is not None
        assert CODED.encode() not in command.body


def test_a_picture_that_a_tool_answers_passes_as_it_is():
    told = {"mimeType": "image/png", "data": PIXEL["inlineData"]["data"]}
    assert passed(asked(body({"functionResponse": {"name": "f", "response": told}}))[1]).body is None


def test_a_call_that_is_too_deep_to_be_written_anew_is_withheld_in_the_words_of_the_dialect():
    call = {"functionCall": {"name": "f", "args": {"x": json.loads("[" * 300 + "]" * 300)}}}
    assert refused(answered(answer(candidate(call, finish="STOP"))))[:2] == (502, "backend_answer_invalid")


@pytest.mark.parametrize(
    "content",
    [[{"text": "hi"}], "hi", {"parts": [{"functionCall": "hi"}]}, {"parts": [{"functionCall": ["hi"]}]}],
)
def test_an_answer_whose_words_no_reader_would_find_is_withheld(content):
    play = answered(answer({"content": content, "finishReason": "STOP", "index": 0}))
    assert refused(play)[:2] == (502, "backend_answer_invalid")
    assert play.record.usage.input_tokens == USAGE["promptTokenCount"]
