"""The golden cases, judged by the providers' own packages: their types for requests, their clients for answers."""

from typing import Any

import anthropic
import openai
import orjson
import pytest
from anthropic.types import Message
from google.genai import errors, types
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response

from declared import complaints
from extproc.translate.attempt import Attempt
from extproc.translate.dialect import Target
from extproc.translate.dialects import DIALECTS, FRONTS
from official import (
    REQUESTS,
    RESPONSE_EVENTS,
    Wire,
    anthropic_client,
    gemini_client,
    gemini_sends,
    openai_client,
    same_gemini,
)
from tools.golden_translate import KINDS, MAX_EVENT_BYTES, ORIGIN, cases, renewed, wire

ALL = [(kind, name) for kind in KINDS for name in cases(kind)]
ASKED = [
    (name, back, told)
    for name, case in cases("requests").items()
    for back, told in case["asked"].items()
    if "refused" not in told and back != "bedrock"  # see test_bedrock
]
ANSWERED = [
    (name, front, told["status"], told["body"])
    for name, case in cases("answers").items()
    for front, told in case["answered"].items()
    if "refused" not in told
]
STREAMED = [
    (name, front, ("\n\n".join(told) + "\n\n").encode())
    for name, case in cases("streams").items()
    for front, told in case["streamed"].items()
    if type(told) is list
]
WHOLE = [each for each in STREAMED if not any(word in each[0] for word in ("error", "broke_off"))]
OK = [each for each in ANSWERED if each[2] == 200]


#: Cases that some other side must refuse.
REFUSED = {
    "requests/anthropic/cache_only": {"openai", "azure", "gemini"},
    "requests/anthropic/server_tool": {"openai", "azure", "gemini"},
    "requests/anthropic/container": {"openai", "azure", "gemini"},
    "requests/anthropic/document_by_id": {"openai", "azure", "gemini"},
    "requests/anthropic/document_by_url": {"openai", "azure", "gemini"},
    "requests/gemini/cached": {"openai", "azure", "anthropic"},
    "requests/gemini/file_by_id": {"openai", "azure", "anthropic"},
    "requests/openai/functions": {"anthropic", "gemini"},
    "requests/openai/search": {"anthropic", "gemini"},
    "requests/openai/spoken": {"anthropic", "gemini"},
    "requests/gemini/search_tool": {"openai", "azure", "anthropic"},
    "requests/responses/background": {"openai", "azure", "anthropic", "gemini"},
    "requests/responses/broken_arguments": {"anthropic", "gemini"},
    "requests/responses/built_in_tool": {"openai", "azure", "anthropic", "gemini"},
    "requests/responses/compacted": {"openai", "azure", "anthropic", "gemini"},
    "requests/responses/conversation_id": {"openai", "azure", "anthropic", "gemini"},
    "requests/responses/custom_tool": {"openai", "azure", "anthropic", "gemini"},
    "requests/responses/file_id": {"openai", "azure", "anthropic", "gemini"},
    "requests/responses/file_url": {"openai", "azure", "anthropic", "gemini"},
    "requests/responses/previous_response": {"openai", "azure", "anthropic", "gemini"},
    "requests/responses/prompt": {"openai", "azure", "anthropic", "gemini"},
    "requests/responses/reference": {"openai", "azure", "anthropic", "gemini"},
    "requests/responses/stored": {"openai", "azure", "anthropic", "gemini"},
    "requests/openai/audio": {"anthropic"},
    "requests/openai/broken_arguments": {"anthropic", "gemini"},
    "requests/openai/custom_tool": {"anthropic", "gemini"},
    "requests/openai/file_id": {"anthropic", "gemini"},
    "answers/bedrock/malformed_call": {"openai", "responses", "anthropic", "gemini"},
    "answers/bedrock/server_call": {"openai", "responses", "anthropic", "gemini"},
    "streams/bedrock/malformed_call": {"openai", "responses", "anthropic", "gemini"},
    "streams/bedrock/server_call": {"openai", "responses", "anthropic", "gemini"},
    "answers/anthropic/server_block": {"openai", "responses", "gemini"},
    "answers/gemini/code": {"openai", "responses", "anthropic"},
    "answers/gemini/malformed_call": {"openai", "responses", "anthropic"},
    "answers/openai/broken_arguments": {"anthropic", "gemini"},
    "streams/anthropic/server_block": {"openai", "responses", "gemini"},
}


def test_nothing_is_refused_that_can_be_told():
    found = {}
    for kind, (_, field) in KINDS.items():
        for name, case in cases(kind).items():
            if refused := {side for side, told in case[field].items() if "refused" in told} - {"bedrock"}:
                found[f"{kind}/{name}"] = refused
    assert found == REFUSED


def ids(cases: list[Any]) -> list[str]:
    return [f"{case[0]}-{case[1]}" for case in cases]


@pytest.mark.parametrize(("kind", "name"), ALL, ids=ids(ALL))
def test_the_case_is_as_the_code_translates_it(kind, name):
    case = cases(kind)[name]
    told = renewed(kind, name, case)
    assert told == case, "run python -m tools.golden_translate and read the difference"


@pytest.mark.parametrize(("name", "back", "told"), ASKED, ids=ids(ASKED))
def test_a_request_is_what_the_package_of_the_provider_declares(name, back, told):
    body = told["body"]
    if "sampling_taken" in name and back == "anthropic":
        body = {k: v for k, v in body.items() if k not in ("temperature", "top_p", "top_k")}  # of older models
    assert REQUESTS[back](body) == []


SENT = [each for each in ASKED if each[1] != "azure" and each[:2] != ("openai/sampling_taken", "anthropic")]


@pytest.mark.parametrize(("name", "back", "told"), SENT, ids=ids(SENT))
def test_the_official_client_would_send_the_same(name, back, told):
    body = told["body"]
    if back == "gemini":
        sent = gemini_sends("backend-model", body, stream="stream" in told["path"])
        assert same_gemini(orjson.loads(sent.sent), body)
        assert f"{sent.path}?{sent.query}" == told["path"] if sent.query else sent.path == told["path"]
        return
    sent = Wire(b"", stream=True)
    if back == "openai":
        openai_client(sent).chat.completions.create(**body)
    else:
        anthropic_client(sent).messages.create(**body, timeout=60)
    assert orjson.loads(sent.sent) == body
    assert sent.path == told["path"]


@pytest.mark.parametrize(("name", "front", "status", "body"), OK, ids=ids(OK))
def test_an_answer_is_what_the_package_declares_and_the_client_reads(name, front, status, body):
    read = ask(front, Wire(orjson.dumps(body)))
    if front == "openai":
        for choice in body["choices"]:
            # Of servers that show reasoning (vLLM, DeepSeek), not of OpenAI: its clients keep what they do not know.
            choice["message"].pop("reasoning_content", None)
        assert complaints(body, ChatCompletion) == []
        assert all(
            orjson.loads(call.function.arguments) is not None for call in read.choices[0].message.tool_calls or ()
        )
    elif front == "responses":
        assert complaints(body, Response) == []
        for each in read.output:
            if each.type == "function_call":
                assert (each.status == "completed") == (name != "openai/broken_arguments")
                assert each.status != "completed" or orjson.loads(each.arguments) is not None
    elif front == "anthropic":
        assert complaints(body, Message) == []
    else:
        types.GenerateContentResponse.model_validate_json(orjson.dumps(body))  # forbids what it does not declare
        assert read.response_id
        assert read.candidates[0].finish_reason.value in _GEMINI_ENDS
        return
    assert read.id
    assert read.usage or "filtered" in name


_GEMINI_ENDS = ("STOP", "MAX_TOKENS", "SAFETY")


def ask(front: str, answers: Wire) -> Any:
    if front == "openai":
        return openai_client(answers).chat.completions.create(model="m", messages=[])
    if front == "responses":
        return openai_client(answers).responses.create(model="m", input="x")
    if front == "gemini":
        return gemini_client(answers).models.generate_content(model="m", contents="x")
    return anthropic_client(answers).messages.create(model="m", messages=[], max_tokens=1)


ERRORS = [each for each in ANSWERED if each[2] != 200]


@pytest.mark.parametrize(("name", "front", "status", "body"), ERRORS, ids=ids(ERRORS))
def test_an_error_is_raised_as_the_client_raises_its_own(name, front, status, body):
    with pytest.raises((openai.APIStatusError, anthropic.APIStatusError, errors.APIError)) as raised:
        ask(front, Wire(orjson.dumps(body), status=status))
    assert getattr(raised.value, "status_code", None) or raised.value.code == status
    message = body["error"]["message"]
    assert message
    assert message in str(raised.value)


def final(front: str, raw: bytes) -> dict[str, Any]:
    """What the official client puts together from a stream."""
    if front == "openai":
        with openai_client(Wire(raw, stream=True)).chat.completions.stream(
            model="m", messages=[], stream_options={"include_usage": True}
        ) as stream:
            try:
                return stream.get_final_completion().to_dict()
            except openai.LengthFinishReasonError as cut:  # the helper's word for an answer that was cut
                return cut.completion.to_dict()
            except openai.ContentFilterFinishReasonError:  # has no answer with it
                return stream.current_completion_snapshot.to_dict()
    if front == "responses":
        with openai_client(Wire(raw, stream=True)).responses.stream(model="m", input="x") as events:
            return list(events)[-1].response.to_dict()  # the helper has no word for an answer that was cut
    if front == "gemini":
        chunks = gemini_client(Wire(raw, stream=True)).models.generate_content_stream(model="m", contents="x")
        return together([chunk.model_dump(mode="json", by_alias=True, exclude_none=True) for chunk in chunks])
    with anthropic_client(Wire(raw, stream=True)).messages.stream(model="m", messages=[], max_tokens=1) as stream:
        return stream.get_final_message().to_dict()


def together(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """Gemini's client leaves this to its users: texts that follow each other are one."""
    parts: list[dict[str, Any]] = []
    for chunk in chunks:
        for part in chunk["candidates"][0]["content"]["parts"]:
            before = parts[-1] if parts else {}
            if "text" in part and "text" in before and part.get("thought") == before.get("thought"):
                before["text"] += part["text"]
            elif part.get("text") != "":
                parts.append(part)
    last = chunks[-1]
    last["candidates"][0]["content"]["parts"] = parts
    return last


@pytest.mark.parametrize(("name", "front", "raw"), WHOLE, ids=ids(WHOLE))
def test_a_stream_is_put_together_by_the_client(name, front, raw):
    whole = final(front, raw)
    if front == "openai":
        for event in raw.decode().split("\n\n")[:-1]:
            if not event.startswith(":") and event != "data: [DONE]":
                tree = orjson.loads(event.removeprefix("data: "))
                for choice in tree["choices"]:
                    choice["delta"].pop("reasoning_content", None)
                assert complaints(tree, ChatCompletionChunk) == []
        assert whole["choices"][0]["finish_reason"]
    elif front == "responses":
        trees = [
            orjson.loads(event.partition("data: ")[2]) for event in raw.decode().split("\n\n")[:-1] if event[0] != ":"
        ]
        assert [tree["sequence_number"] for tree in trees] == list(range(len(trees)))
        assert [complaint for tree in trees for complaint in complaints(tree, RESPONSE_EVENTS[tree["type"]])] == []
        assert whole["status"] == trees[-1]["type"].removeprefix("response.")
    elif front == "gemini":
        assert whole["candidates"][0]["finishReason"] in _GEMINI_ENDS
    else:
        assert complaints({k: v for k, v in whole.items() if k != "parsed_output"}, Message) == []
        assert whole["stop_reason"]


TWINS = [
    (name, front, raw) for name, front, raw in WHOLE if any(kind[0] == name and kind[1] == front for kind in ANSWERED)
]


def said(front: str, body: dict[str, Any]) -> Any:
    """What an answer says, whoever put it together."""
    if front == "openai":
        message = body["choices"][0]["message"]
        calls = [(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in message.get("tool_calls") or ()]
        words = [message.get(key) or "" for key in ("content", "refusal", "reasoning_content")]
        return words, [(i, n, orjson.loads(a)) for i, n, a in calls], body["choices"][0]["finish_reason"]
    if front == "gemini":
        candidate = body["candidates"][0]
        return candidate["content"]["parts"], candidate["finishReason"]
    if front == "responses":
        items = [
            {k: v for k, v in item.items() if k not in ("arguments", "parsed_arguments")} for item in body["output"]
        ]
        for part in (part for item in items for part in item.get("content", ())):
            part.pop("parsed", None)  # what the helper adds
        calls = [orjson.loads(item["arguments"]) for item in body["output"] if item["type"] == "function_call"]
        return items, calls, body["status"], body["incomplete_details"], body["usage"]
    blocks = [{k: v for k, v in block.items() if k in _SAID and v is not None} for block in body["content"]]
    return blocks, body["stop_reason"], body["stop_sequence"]


_SAID = ("type", "text", "thinking", "signature", "data", "id", "name", "input")


@pytest.mark.parametrize(("name", "front", "raw"), TWINS, ids=ids(TWINS))
def test_a_stream_says_what_the_whole_answer_says(name, front, raw):
    whole = cases("answers")[name]["answered"][front]["body"]
    streamed = final(front, raw)
    assert said(front, streamed) == said(front, whole)
    if front == "gemini":
        assert streamed["usageMetadata"] == whole["usageMetadata"]
    else:
        assert streamed["usage"]["completion_tokens" if front == "openai" else "output_tokens"] == output_of(whole)


def output_of(whole: dict[str, Any]) -> int:
    return whole["usage"].get("completion_tokens") or whole["usage"].get("output_tokens", 0)


FAILED = [each for each in STREAMED if "broke_off" in each[0] or "error" in each[0]]


@pytest.mark.parametrize(("name", "front", "raw"), FAILED, ids=ids(FAILED))
def test_a_stream_that_fails_is_raised_by_the_client(name, front, raw):
    with pytest.raises((openai.APIError, anthropic.APIError, errors.APIError)):
        final(front, raw)


@pytest.mark.parametrize("name", cases("streams"))
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_the_cuts_of_a_stream_do_not_matter(name, data):
    case = cases("streams")[name]
    raw = wire(case)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(raw) - 1), max_size=12)))
    for front, told in case["streamed"].items():
        if type(told) is not list:
            continue
        attempt = Attempt(FRONTS[front], DIALECTS[name.partition("/")[0]], Target(model="m"))
        stream = attempt.stream(ORIGIN, MAX_EVENT_BYTES)
        pieces = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
        out = b"".join([stream.feed(piece) for piece in pieces]) + stream.close()
        assert out.decode().split("\n\n")[:-1] == told
