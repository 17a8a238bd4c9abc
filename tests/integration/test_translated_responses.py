"""Responses at backends that do not speak them, through real Envoy, with the official SDK in front: the whole API."""

import asyncio
import json
import threading

import openai
import orjson
import pytest
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

import messaging
import provider
import responding
from asking import CARD, EMAIL
from bundle import PROVIDER_KEYS
from clients import openai_of
from stack import Options, Stack, until
from upstream import Call, Gate

RESPONSES = "/v1/responses"
MODELS = {
    "to-claude": {"backend": "claude", "upstream_model": "theirs"},
    "to-gpt": {"backend": "chatty", "upstream_model": "theirs"},
    "to-azure": {"backend": "azure", "upstream_model": "theirs"},
    "to-gemini": {"backend": "gemini", "upstream_model": "theirs"},
    "own": {"backend": "deployed", "upstream_model": "deployment"},
    "strict": {"backend": "claude", "on_loss": "refuse"},
    "main-first": {"backends": ["main", "claude"], "upstream_model": {"claude": "theirs"}, "tell": True},
    "claude-first": {"backends": ["claude", "main"], "upstream_model": {"claude": "theirs"}, "tell": True},
}
BACKENDS = {
    "claude": ("anthropic", "x-api-key", "/base-claude/v1/messages"),
    "chatty": ("openai", "authorization", "/base-chatty/v1/chat/completions"),
    "azure": ("azure", "api-key", "/base-azure/openai/v1/chat/completions"),
    "gemini": ("gemini", "x-goog-api-key", "/base-gemini/v1/models/theirs:"),
}
TOOL = {"type": "function", "name": "weather", "strict": True, "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False,
}}  # fmt: skip
PIECES = ["mail ", EMAIL[:9], EMAIL[9:], " now"]


def _policy(directory):
    file = directory / "backends.yaml"
    backends = orjson.loads(file.read_bytes())
    for name, (dialect, header, _) in BACKENDS.items():
        url = backends["other"]["url"].replace("base-other", f"base-{name}")
        backends[name] = {"url": url, "dialect": dialect, "credential": {"file": "other.key", "header": header}}
        if name == "chatty":
            backends[name]["responses"] = "translated"
    backends["deployed"] = backends["azure"] | {"responses": "own"}
    file.write_bytes(orjson.dumps(backends))
    file = directory / "models.yaml"
    file.write_bytes(orjson.dumps(orjson.loads(file.read_bytes()) | MODELS))
    file = directory / "tenants.yaml"
    tenants = orjson.loads(file.read_bytes())
    everything = {"models": ["*"], "routes": ["*"]}
    tenants["narrow"] = {**everything, "guards": {"request": {"pii.*": "tokenise"}, "response": {"pii.*": "redact"}}}
    tenants["watched"] = {**everything, "budgets": {"limits": {"day": {"tokens_out": 3000, "per": "day"}}}}
    file.write_bytes(orjson.dumps(tenants))


@pytest.fixture(scope="module")
def gateway(short_dir, upstreams):
    with Stack(short_dir(), upstreams, Options(workers=2, policy=_policy, control=True)) as running:
        yield running


@pytest.fixture
def theirs(upstreams):
    return upstreams["other"]


@pytest.fixture
def gpt(gateway):
    with openai_of(gateway) as sdk:
        yield sdk


def _as(gateway, sdk, key):
    return sdk.with_options(api_key=gateway.bundle.keys[key])


# --- what the backends say ----------------------------------------------------------------------------------------


def _claude(*blocks, reason="end_turn"):
    """A stream of blocks: (block, deltas)."""
    raw = messaging.start()
    for index, (block, deltas) in enumerate(blocks):
        raw += messaging.block(index, **block) + b"".join(deltas) + messaging.stop(index)
    return raw + messaging.end(reason)


def _message(*content, reason="end_turn"):
    return {"id": "msg_1", "type": "message", "role": "assistant", "model": "theirs", "content": [*content],
            "stop_reason": reason, "stop_sequence": None, "usage": {"input_tokens": 9, "output_tokens": 4}}  # fmt: skip


def _contents(*texts):
    usage = {"promptTokenCount": 9, "candidatesTokenCount": 4, "totalTokenCount": 13}
    for at, text in enumerate(texts):
        candidate = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}
        last = {"finishReason": "STOP"} if at == len(texts) - 1 else {}
        yield {"candidates": [{**candidate, **last}], "modelVersion": "theirs", "responseId": "r-1",
               "usageMetadata": usage}  # fmt: skip


async def _mails(call: Call) -> None:
    """Any of the backends, in its own words, streamed or not."""
    target, stream = call.seen.target, bool(call.seen.json.get("stream")) or "stream" in call.seen.target
    said = "".join(PIECES)
    if "base-gemini" in target and stream:
        await call.sse(b"".join(b"data: " + orjson.dumps(event) + b"\r\n\r\n" for event in _contents(*PIECES)))
    elif "base-gemini" in target:
        await call.json(next(_contents(said)))
    elif "base-claude" in target and stream:
        await call.sse(_claude(({}, [messaging.text(piece) for piece in PIECES])))
    elif "base-claude" in target:
        await call.json(_message({"type": "text", "text": said}))
    elif stream:
        await call.sse(provider.stream(PIECES))
    else:
        await call.json(provider.chat(said))


def _plays(raw: bytes, size: int = 0):
    async def play(call: Call) -> None:
        await call.sse(raw, size=size)

    return play


# --- one backend --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_response_comes_of_every_chat_backend(gateway, gpt, theirs, backend):
    marker = theirs.script(_mails)
    answer = gpt.responses.create(
        model=f"to-{'gpt' if backend == 'chatty' else backend}", instructions="Be brief.", input=f"{EMAIL} {marker}"
    )
    assert (answer.status, answer.object, answer.output_text) == ("completed", "response", "mail [EMAIL] now")
    (seen,) = theirs.seen(marker)
    assert seen.target.startswith(BACKENDS[backend][2])
    assert PROVIDER_KEYS["other"] in seen.header(BACKENDS[backend][1])
    assert EMAIL.encode() not in seen.body
    assert b'"store"' not in seen.body
    record = gateway.record(answer._request_id)
    assert (record["backend"], record["path"], record["usage"]["source"]) == (backend, RESPONSES, "provider")
    assert answer.usage.output_tokens == record["usage"]["output_tokens"] > 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_stream_is_put_together_by_the_sdk_and_every_word_is_guarded(gpt, theirs, backend):
    marker = theirs.script(_mails)
    with gpt.responses.stream(model=f"to-{'gpt' if backend == 'chatty' else backend}", input=f"Hi {marker}") as stream:
        events = list(stream)
        final = stream.get_final_response()
    said = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert said == final.output_text == "mail [EMAIL] now"
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert final.usage.total_tokens > 0


def test_azure_is_asked_in_responses_where_policy_says_so(gpt, theirs):
    async def speaks(call: Call) -> None:
        await call.json(responding.response(responding.message(responding.part(f"mail {EMAIL} now"))))

    marker = theirs.script(speaks)
    answer = gpt.responses.create(model="own", input=f"Hi {marker}", service_tier="default")
    assert (answer.output_text, answer.id) == ("mail [EMAIL] now", "resp_1")
    (seen,) = theirs.seen(marker)
    assert seen.target == "/base-azure/openai/v1/responses"
    assert (seen.json["model"], seen.json["service_tier"]) == ("deployment", "default")
    assert PROVIDER_KEYS["other"] in seen.header("api-key")


def test_langchain_calls_and_streams(gateway, theirs):
    marker = theirs.script(_mails)
    with openai_of(gateway) as sdk:
        chat = ChatOpenAI(
            model="to-claude", use_responses_api=True, api_key="k", client=sdk.chat.completions, root_client=sdk
        )
        assert chat.invoke(f"Hi {marker}").text == "mail [EMAIL] now"
        assert "".join(chunk.text for chunk in chat.stream(f"Hi {marker}")) == "mail [EMAIL] now"


def test_calls_of_functions_and_their_results_cross(gpt, theirs):
    calls = [
        ({"type": "thinking", "thinking": "", "signature": ""}, [messaging.thinking("I look."), messaging.signature("s")]),
        ({"type": "tool_use", "id": "toolu_2", "name": "weather", "input": {}},
         [messaging.source('{"ci', 1), messaging.source('ty":"Kiel"}', 1)]),
    ]  # fmt: skip
    marker = theirs.script(_plays(_claude(*calls, reason="tool_use"), size=7))
    history = [
        {"role": "user", "content": f"Oslo, then Kiel {marker}"},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Oslo first."}]},
        {"type": "function_call", "call_id": "toolu_1", "name": "weather", "arguments": '{"city":"Oslo"}'},
        {"type": "function_call_output", "call_id": "toolu_1", "output": "snow"},
    ]
    with gpt.responses.stream(model="to-claude", input=history, tools=[TOOL]) as stream:
        final = stream.get_final_response()
    thought, call = final.output
    assert (thought.type, thought.summary[0].text) == ("reasoning", "I look.")
    assert (call.type, call.call_id, call.name) == ("function_call", "toolu_2", "weather")
    assert json.loads(call.arguments) == {"city": "Kiel"}
    asked, said, answered = theirs.seen(marker)[0].json["messages"]
    assert asked["role"] == "user"
    assert said["content"] == [{"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Oslo"}}]
    assert answered["content"] == [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "snow"}]


class Weather(BaseModel):
    city: str
    degrees: int


@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
def test_structured_output_is_parsed_by_pydantic(gpt, theirs, stream):
    said = '{"city":"Oslo","degrees":-3}'

    async def speaks(call: Call) -> None:
        if call.seen.json.get("stream"):
            await call.sse(provider.stream([said[:7], said[7:]]))
        else:
            await call.json(provider.chat(said))

    marker = theirs.script(speaks)
    ask = {"model": "to-gpt", "input": f"Oslo? {marker}", "text_format": Weather}
    if stream:
        with gpt.responses.stream(**ask) as events:
            answer = events.get_final_response()
    else:
        answer = gpt.responses.parse(**ask)
    assert answer.output_parsed == Weather(city="Oslo", degrees=-3)
    told = theirs.seen(marker)[0].json["response_format"]
    assert (told["type"], told["json_schema"]["name"], told["json_schema"]["strict"]) == (
        "json_schema",
        "Weather",
        True,
    )


def test_an_answer_that_was_cut_is_incomplete(gpt, theirs):
    async def cut(call: Call) -> None:
        await call.json(provider.chat("Once upon", finish="length"))

    answer = gpt.responses.create(model="to-gpt", input=f"Hi {theirs.script(cut)}", max_output_tokens=16)
    assert (answer.status, answer.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert (answer.output_text, answer.output[0].status) == ("Once upon", "incomplete")


# --- what guards and budgets do ------------------------------------------------------------------------------------


def test_a_stream_is_ended_by_what_policy_blocks(gateway, gpt, theirs):
    heard, said = Gate(), ""

    async def leaks(call: Call) -> None:
        await call.head(200, (("content-type", "text/event-stream"),))
        await call.chunk(messaging.start() + messaging.block() + messaging.text("plain words here " * 40))
        await heard.passed()
        await call.chunk(b"".join([messaging.text(piece) for piece in PIECES]) + messaging.stop() + messaging.end())

    marker = theirs.script(leaks)
    with pytest.raises(openai.APIError) as blocked:  # noqa: PT012  # the words before it are wanted too
        for event in _as(gateway, gpt, "strict").responses.create(model="to-claude", input=marker, stream=True):
            if event.type == "response.output_text.delta":
                said += event.delta
                heard.open()
    assert blocked.value.code == "answer_blocked"
    assert said.startswith("plain words here ")
    assert EMAIL[:9] not in said


def test_personal_data_is_kept_from_the_provider_and_given_back_to_the_caller(gateway, gpt, theirs):
    async def repeats(call: Call) -> None:
        (told,) = [part for part in call.seen.body.decode().split() if part.startswith("[EMAIL_T")]
        cut = len(told) // 2
        await call.sse(provider.stream(["write to ", told[:cut], told[cut:], " now"]))

    marker = theirs.script(repeats)
    ask = {"model": "to-gpt", "input": f"{marker} mail {EMAIL} soon"}
    with _as(gateway, gpt, "narrow").responses.stream(**ask) as stream:
        final = stream.get_final_response()
    assert final.output_text == f"write to {EMAIL} now"
    assert EMAIL.encode() not in theirs.seen(marker)[0].body


def test_a_stream_is_cut_at_its_budget_and_the_provider_is_left(gateway, gpt, theirs):
    gone = threading.Event()

    async def endless(call: Call) -> None:
        await call.head(200, (("content-type", "text/event-stream"),))
        try:
            await call.chunk(messaging.start() + messaging.block())
            for _ in range(2000):
                await call.chunk(messaging.text("word " * 10))
                await asyncio.sleep(0.002)
        except (ConnectionError, OSError):
            pass
        await call.until_gone()
        gone.set()

    said = []
    ask = {"model": "to-claude", "input": theirs.script(endless), "max_output_tokens": 1000}
    with pytest.raises(openai.APIError) as cut:  # noqa: PT012
        for event in _as(gateway, gpt, "watched").responses.create(**ask, stream=True):
            said += [event.delta] if event.type == "response.output_text.delta" else []
    assert (cut.value.code, "'day'" in cut.value.message) == ("budget_exceeded", True)
    assert 600 <= len("".join(said).split()) <= 1020
    assert gone.wait(20)
    (record,) = until("the record", lambda: [one for one in gateway.audit() if one["outcome"] == "cut" and one["tenant"] == "watched"])  # fmt: skip
    assert (record["path"], record["backend"]) == (RESPONSES, "claude")


# --- what cannot be carried over, and what fails -------------------------------------------------------------------


def test_what_has_no_word_is_dropped_and_told(gpt, theirs):
    marker = theirs.script(_mails)
    raw = gpt.responses.with_raw_response.create(
        model="to-claude", input=f"Hi {marker}", truncation="auto", include=["reasoning.encrypted_content"]
    )
    assert raw.headers["x-ostiary-dropped"] == "include, truncation"
    assert not {"truncation", "include"} & theirs.seen(marker)[0].json.keys()


def test_or_refused_where_policy_says_so(gpt, theirs):
    marker = theirs.script(_mails)
    with pytest.raises(openai.BadRequestError) as caught:
        gpt.responses.create(model="strict", input=f"Hi {marker}", truncation="auto")
    assert (caught.value.param, theirs.seen(marker)) == ("truncation", [])


@pytest.mark.parametrize(
    "fields",
    [{"previous_response_id": "resp_1"}, {"conversation": "conv_1"}, {"background": True}, {"store": True},
     {"tools": [{"type": "web_search"}]}, {"tools": [{"type": "custom", "name": "sql"}]}],
    ids=lambda fields: next(iter(fields)),
)  # fmt: skip
def test_what_only_openai_keeps_or_runs_is_always_refused(gpt, theirs, fields):
    marker = theirs.script(_mails)
    with pytest.raises(openai.BadRequestError) as caught:
        gpt.responses.create(model="to-claude", input=f"Hi {marker}", **fields)
    assert caught.value.param.startswith(next(iter(fields)))
    assert theirs.seen(marker) == []


def test_errors_of_the_backend_come_as_openais(gpt, theirs):
    async def fails(call: Call) -> None:
        error = {"type": "invalid_request_error", "message": "messages: too many"}
        await call.json({"type": "error", "error": error}, 400)

    with pytest.raises(openai.BadRequestError, match="too many"):
        gpt.responses.create(model="to-claude", input=f"Hi {theirs.script(fails)}")


def test_an_error_in_a_stream_is_raised_by_the_sdk(gpt, theirs):
    error = messaging.event(type="error", error={"type": "overloaded_error", "message": "Overloaded"})
    marker = theirs.script(_plays(messaging.start() + messaging.block() + messaging.text("some words") + error))
    with pytest.raises(openai.APIError, match="Overloaded"):
        list(gpt.responses.create(model="to-claude", input=f"Hi {marker}", stream=True))


# --- pools of several dialects --------------------------------------------------------------------------------------


async def _broken(call: Call) -> None:
    await call.json({"error": {"message": "words-behind-the-fault"}}, 500)


@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
def test_a_backend_of_another_dialect_stands_in(gateway, upstream, theirs, stream):
    marker = upstream.script(_broken)
    theirs.script(_mails, marker)
    body = {"model": "main-first", "input": f"Hi {marker} {CARD}", "stream": stream}
    answer = gateway.client().post(RESPONSES, body, timeout_s=20)
    assert (answer.status, answer.header("x-ostiary-backend"), answer.header("x-ostiary-attempts")) == (
        200, "claude", "2",
    )  # fmt: skip
    assert b'"status":"completed"' in answer.body
    assert b"mail [EMAIL] now" in answer.body
    (first,), (second,) = upstream.seen(marker), theirs.seen(marker)
    assert (first.target, second.target) == (f"/base-main{RESPONSES}", BACKENDS["claude"][2])
    assert (first.json["model"], first.json["store"], second.json["model"]) == ("main-first", False, "theirs")
    assert PROVIDER_KEYS["main"] not in repr(second.headers)
    assert CARD.encode() not in first.body + second.body


def test_the_next_one_gets_the_original_and_its_answer_passes_as_it_is(gateway, upstream, theirs):
    async def speaks(call: Call) -> None:
        message = responding.message(responding.part("as it is"))
        await call.json(responding.response(message, service_tier="default"))

    marker = theirs.script(_broken)
    upstream.script(speaks, marker)
    body = {"model": "claude-first", "input": f"Hi {marker}", "truncation": "auto", "store": False}
    answer = gateway.client().post(RESPONSES, body, timeout_s=20)
    assert (answer.status, answer.header("x-ostiary-backend")) == (200, "main")
    assert orjson.loads(answer.body)["service_tier"] == "default"
    (seen,) = upstream.seen(marker)
    assert (seen.target, seen.json) == (f"/base-main{RESPONSES}", body)
    assert seen.header("anthropic-version") is None
    assert seen.header("x-api-key") is None
    assert answer.header("x-ostiary-dropped") is None


def test_a_conversation_that_one_dialect_began_goes_on_in_another(gpt, upstream, theirs):
    async def thinks(call: Call) -> None:
        thought = {"type": "thinking", "thinking": "I look.", "signature": "s"}
        tool = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Kiel"}}
        await call.json(_message(thought, {"type": "text", "text": "One moment."}, tool, reason="tool_use"))

    async def speaks(call: Call) -> None:
        await call.json(responding.response(responding.message(responding.part("It rains."))))

    marker = theirs.script(thinks)
    upstream.script(speaks, marker)
    asked = {"role": "user", "content": f"Kiel? {marker}"}
    first = gpt.responses.create(model="to-claude", input=[asked], tools=[TOOL])
    assert [item.type for item in first.output] == ["reasoning", "message", "function_call"]
    result = {"type": "function_call_output", "call_id": first.output[2].call_id, "output": "rain"}
    history = [asked, *first.output, result]
    raw = gpt.responses.with_raw_response.create(model="main-first", input=history, tools=[TOOL])
    assert (raw.parse().output_text, raw.headers["x-ostiary-backend"]) == ("It rains.", "main")
    assert raw.headers["x-ostiary-dropped"] == "input[].reasoning"
    assert [item.get("type") for item in upstream.seen(marker)[0].json["input"]] == [
        None, "message", "function_call", "function_call_output",
    ]  # fmt: skip
