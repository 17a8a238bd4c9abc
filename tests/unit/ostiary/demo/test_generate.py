"""The demo's Gemini answers: as the official package reads them, the same words streamed or not."""

import orjson
import pytest
from google.genai.types import FunctionCall

from official import Wire, gemini_client
from ostiary.demo import generate, sample
from ostiary.demo.answer import RefusedError

PATH = "/v1beta/models/gemini-demo:generateContent"
STREAM = "/v1/models/gemini-demo:streamGenerateContent"
FIND = {"name": "find", "parameters": {"type": "OBJECT", "properties": {"q": {"type": "STRING"}}}}
OTHER = {"name": "other", "parametersJsonSchema": {"type": "object", "properties": {"n": {"type": "integer"}}}}
TOOLS = [{"functionDeclarations": [OTHER]}, {"functionDeclarations": [FIND]}]


def ask(*parts, path=PATH, deltas=8, **fields):
    said = [{"text": part} if isinstance(part, str) else part for part in parts or ("two words",)]
    return generate.generate(path, orjson.dumps({"contents": [{"parts": said}], **fields}), deltas)


def read(reply):
    """What the package reads."""
    with gemini_client(Wire(b"".join(reply.pieces))) as sdk:
        return sdk.models.generate_content(model="m", contents="x")


def read_events(reply):
    """What the package reads of a stream."""
    with gemini_client(Wire(b"".join(reply.pieces), stream=True)) as sdk:
        return list(sdk.models.generate_content_stream(model="m", contents="x"))


def calling(*parts, **config):
    return read(ask(*parts, tools=TOOLS, toolConfig={"functionCallingConfig": config})).function_calls


def test_words_and_usage():
    said = read(ask())
    assert (said.text, said.candidates[0].finish_reason.value) == (sample.FRIENDLY, "STOP")
    usage = said.usage_metadata
    assert (usage.prompt_token_count, usage.candidates_token_count) == (2, len(sample.FRIENDLY.split()))
    with_system = read(ask(systemInstruction={"parts": [{"text": "Be brief now."}]}))
    assert with_system.usage_metadata.prompt_token_count == 5
    assert read(ask("p", path="/v1/models/gemini-demo-echo:generateContent")).text == "p"
    short = read(ask(generationConfig={"maxOutputTokens": 2}))
    assert (short.text, short.candidates[0].finish_reason.value) == ("Hello from", "MAX_TOKENS")


@pytest.mark.parametrize("deltas", [1, 8, 500])
@pytest.mark.parametrize("tools", [{}, {"tools": TOOLS}], ids=["text", "call"])
def test_a_stream_says_the_same(deltas, tools):
    reply = ask(path=STREAM, deltas=deltas, **tools)
    assert reply.streamed
    assert len(reply.pieces) == (1 if tools else min(deltas, len(sample.FRIENDLY)))
    chunks, whole = read_events(reply), read(ask(**tools))
    assert "".join(chunk.text or "" for chunk in chunks) == (whole.text or "")
    assert [call for chunk in chunks for call in chunk.function_calls or ()] == (whole.function_calls or [])
    assert [chunk.candidates[0].finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].candidates[0].finish_reason == whole.candidates[0].finish_reason
    assert chunks[-1].usage_metadata == whole.usage_metadata


def test_nothing_said_is_one_event():
    (chunk,) = read_events(ask("", path="/v1/models/gemini-demo-echo:streamGenerateContent"))
    assert chunk.candidates[0].finish_reason.value == "STOP"


def test_a_function_is_called_once():
    assert calling() == [FunctionCall(name="other", args={"n": 0})]
    assert calling(mode="ANY", allowedFunctionNames=["find"]) == [
        FunctionCall(name="find", args={"q": sample.FRIENDLY})
    ]
    assert calling(mode="NONE") is None
    assert calling({"functionResponse": {"name": "other", "response": {}}}) is None


@pytest.mark.parametrize("turns", [None, [], "x", ["x"]])
def test_a_request_without_contents_is_refused(turns):
    with pytest.raises(RefusedError):
        generate.generate(PATH, orjson.dumps({"contents": turns}), 8)


@pytest.mark.parametrize("odd", [5, 1.5, True, "x", {"a": 1}])
@pytest.mark.parametrize(
    ("of", "name"),
    [
        (lambda odd: {"tools": odd}, "tools"),
        (lambda odd: {"tools": [{"functionDeclarations": odd}]}, "tools.functionDeclarations"),
        (
            lambda odd: {"tools": TOOLS, "toolConfig": {"functionCallingConfig": {"allowedFunctionNames": odd}}},
            "toolConfig.functionCallingConfig.allowedFunctionNames",
        ),
    ],
    ids=["tools", "functions", "allowed"],
)
def test_what_should_be_a_list_and_is_none_is_refused(of, name, odd):
    with pytest.raises(RefusedError) as caught:
        ask(**of(odd))
    assert (caught.value.status, caught.value.param) == (400, name)
    assert ask(**of(None)).status == 200, "null is left out"


def test_a_model_is_named_in_the_path():
    assert generate.model_of("/v1/models/a%2Fb:streamGenerateContent") == "a/b"
    assert generate.model_of("/v1beta/models/a:countTokens") == ""
    assert generate.model_of("/v1/models/a") == ""
