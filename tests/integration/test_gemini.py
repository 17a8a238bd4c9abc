"""Models behind Google Gemini through real Envoy, with the official SDKs of other providers in front."""

import openai
import orjson
import pytest

from asking import CHAT, EMAIL, chat
from bundle import PROVIDER_KEYS
from stack import Options, Stack
from upstream import Call

MODELS = {
    "to-gemini": {"backend": "gemini", "upstream_model": "gemini-theirs"},
    "gemini-second": {"backends": ["main", "gemini"], "upstream_model": {"gemini": "gemini-theirs"}, "tell": True},
    "gemini-first": {"backends": ["gemini", "main"], "upstream_model": {"gemini": "gemini-theirs"}, "tell": True},
}
USAGE = {"promptTokenCount": 9, "candidatesTokenCount": 3, "thoughtsTokenCount": 1, "totalTokenCount": 13}


def _policy(directory):
    backends = orjson.loads((directory / "backends.yaml").read_bytes())
    url = backends["other"]["url"].replace("base-other", "base-gemini")
    credential = {"file": "other.key", "header": "x-goog-api-key", "prefix": ""}
    backends["gemini"] = {"url": url, "dialect": "gemini", "credential": credential}
    (directory / "backends.yaml").write_bytes(orjson.dumps(backends))
    file = directory / "models.yaml"
    file.write_bytes(orjson.dumps(orjson.loads(file.read_bytes()) | MODELS))


@pytest.fixture(scope="module")
def gateway(short_dir, upstreams):
    with Stack(short_dir(), upstreams, Options(workers=1, policy=_policy)) as running:
        yield running


def _content(*parts, finish=None, **more):
    candidate = {"content": {"role": "model", "parts": [*parts]}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "modelVersion": "gemini-theirs", "responseId": "r-1", **more}


async def _as_gemini(call: Call) -> None:
    cut = len(EMAIL) // 2
    if "stream" not in call.seen.target:
        await call.json(_content({"text": f"mail {EMAIL} now"}, finish="STOP", usageMetadata=USAGE))
        return
    pieces = ["mail ", EMAIL[:cut], EMAIL[cut:], " now"]
    events = [_content({"text": piece}) for piece in pieces]
    events.append(_content({"text": ""}, finish="STOP", usageMetadata=USAGE))
    await call.sse(b"".join(b"data: " + orjson.dumps(event) + b"\r\n\r\n" for event in events))


async def _overloaded(call: Call) -> None:
    error = {"code": 503, "message": "Overloaded.", "status": "UNAVAILABLE"}
    await call.json({"error": error}, status=503)


def _user(text):
    return [{"role": "user", "content": text}]


def test_the_openai_sdk_calls_a_model_behind_gemini(gateway, gpt, theirs):
    marker = theirs.script(_as_gemini)
    raw = gpt.chat.completions.with_raw_response.create(
        model="to-gemini", messages=[{"role": "system", "content": "Be brief."}, *_user(f"Hello {marker}")]
    )
    answer = raw.parse()
    assert answer.choices[0].message.content.startswith("mail ")
    assert EMAIL not in raw.text
    (seen,) = theirs.seen(marker)
    assert seen.target == "/base-gemini/v1/models/gemini-theirs:generateContent"
    assert seen.header("x-goog-api-key") == PROVIDER_KEYS["other"]
    assert seen.header("authorization") is None
    assert seen.json["contents"][0]["role"] == "user"
    record = gateway.record(raw.headers["x-request-id"])
    assert (record["backend"], record["usage"]["input_tokens"], record["usage"]["output_tokens"]) == ("gemini", 9, 4)


def test_the_openai_sdk_streams_from_gemini_and_every_word_is_guarded(gpt, theirs):
    marker = theirs.script(_as_gemini)
    with gpt.chat.completions.create(
        model="to-gemini", messages=_user(f"Hello {marker}"), stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text.startswith("mail ")
    assert text.endswith(" now")
    assert EMAIL not in text
    assert chunks[-1].usage.completion_tokens == 4
    (seen,) = theirs.seen(marker)
    assert seen.target == "/base-gemini/v1/models/gemini-theirs:streamGenerateContent?alt=sse"


def test_the_anthropic_sdk_streams_from_gemini(claude, theirs):
    marker = theirs.script(_as_gemini)
    with claude.messages.stream(model="to-gemini", max_tokens=64, messages=_user(f"Hello {marker}")) as stream:
        message = stream.get_final_message()
    assert message.content[0].text.startswith("mail ")
    assert EMAIL not in message.content[0].text
    assert (message.stop_reason, message.usage.output_tokens) == ("end_turn", 4)


def test_a_call_of_gemini_is_answered_by_the_client(claude, theirs):
    async def calls(call: Call) -> None:
        part = {"functionCall": {"id": "fc-1", "name": "weather", "args": {"city": "Kiel"}}}
        await call.json(_content(part, finish="STOP", usageMetadata=USAGE))

    marker = theirs.script(calls)
    tools = [{"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}]
    asked = _user(f"Weather in Kiel? {marker}")
    message = claude.messages.create(model="to-gemini", max_tokens=64, messages=asked, tools=tools)
    assert message.stop_reason == "tool_use"
    (use,) = message.content
    assert (use.name, use.input) == ("weather", {"city": "Kiel"})
    claude.messages.create(
        model="to-gemini",
        max_tokens=64,
        tools=tools,
        messages=[
            *asked,
            {"role": "assistant", "content": [use.model_dump(exclude_none=True)]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "snow"}]},
        ],
    )
    _, seen = theirs.seen(marker)
    response = seen.json["contents"][-1]["parts"][0]["functionResponse"]
    assert (response["name"], response["id"]) == ("weather", use.id)


def test_a_failure_of_gemini_is_told_in_the_clients_words(gpt, theirs):
    marker = theirs.script(_overloaded)
    with pytest.raises(openai.InternalServerError) as raised:
        gpt.chat.completions.create(model="to-gemini", messages=_user(f"Hello {marker}"))
    assert raised.value.status_code == 503
    assert "Overloaded." in str(raised.value)


def test_a_pool_goes_on_from_gemini_to_openai(gpt, upstreams, theirs):
    marker = theirs.script(_overloaded)
    upstreams["main"].script(marker=marker)
    raw = gpt.chat.completions.with_raw_response.create(model="gemini-first", messages=_user(f"Hello {marker}"))
    assert raw.headers["x-ostiary-backend"] == "main"
    assert raw.parse().choices[0].message.content
    (seen,) = upstreams["main"].seen(marker)
    assert seen.json["messages"][-1]["content"].endswith(marker)
    assert seen.header("x-goog-api-key") is None


@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
def test_gemini_stands_in_for_a_backend_of_the_callers_dialect(gateway, upstream, theirs, stream):
    marker = theirs.script(_as_gemini)
    upstream.script(_overloaded, marker)
    body = chat(f"Hello {marker}", model="gemini-second", stream=stream)
    answer = gateway.client().post(CHAT, body, timeout_s=20)
    assert (answer.status, answer.header("x-ostiary-backend")) == (200, "gemini")
    assert b"chat.completion" in answer.body
    assert EMAIL.encode() not in answer.body
    (seen,) = theirs.seen(marker)
    assert "authorization" not in seen.names
    assert seen.header("x-goog-api-key") == PROVIDER_KEYS["other"]
