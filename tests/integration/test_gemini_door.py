"""Google's official SDK, unmodified, through TLS and real Envoy; and what raw requests try with paths and queries."""

import orjson
import pytest
from google.genai import errors, types

import provider
from asking import CARD, EMAIL
from bundle import PROVIDER_KEYS
from clients import google_async_of, google_of
from contents import answer, candidate
from gateway.errors import Kind
from stack import Options, Stack
from upstream import Call

MODEL = "gemini-test"
USAGE = {"promptTokenCount": 9, "candidatesTokenCount": 3, "thoughtsTokenCount": 1, "totalTokenCount": 13}
HALF = len(EMAIL) // 2
ONCE = f"/v1beta/models/{MODEL}:generateContent"
STREAM = f"/v1beta/models/{MODEL}:streamGenerateContent"
JSON = [("content-type", "application/json")]
SIGNATURE = "c2lnbmF0dXJl" * 50


def _policy(directory):
    backends = orjson.loads((directory / "backends.yaml").read_bytes())
    url = backends["other"]["url"].replace("base-other", "base-gemini")
    credential = {"file": "other.key", "header": "x-goog-api-key", "prefix": ""}
    backends["gemini"] = {"url": url, "dialect": "gemini", "credential": credential}
    (directory / "backends.yaml").write_bytes(orjson.dumps(backends))
    file = directory / "models.yaml"
    models = orjson.loads(file.read_bytes())
    models[MODEL] = {"backend": "gemini", "upstream_model": "theirs"}
    models["gemini/pool-1"] = {"backends": ["gemini", "main"], "upstream_model": {"gemini": "theirs"}}
    models["to-openai"] = {"backend": "main", "upstream_model": "theirs-too"}
    file.write_bytes(orjson.dumps(models))


@pytest.fixture(scope="module")
def gateway(short_dir, upstreams):
    with Stack(short_dir(), upstreams, Options(workers=1, policy=_policy)) as running:
        yield running


@pytest.fixture
def theirs(upstreams):
    return upstreams["other"]


@pytest.fixture
def sdk(gateway):
    with google_of(gateway) as client:
        yield client


def _says(*parts, finish="STOP", **more):
    async def script(call: Call) -> None:
        await call.json(answer(candidate(*parts, finish=finish), **more))

    return script


def _streams(*pieces, finish="STOP", tail=b""):
    async def script(call: Call) -> None:
        told = [answer(candidate(piece)) for piece in pieces]
        told.append(answer(candidate("", finish=finish)))
        await call.sse(b"".join(b"data: " + orjson.dumps(each) + b"\r\n\r\n" for each in told) + tail)

    return script


def _text(chunks):
    return "".join(chunk.text or "" for chunk in chunks)


# --- calls ------------------------------------------------
def test_a_call_is_guarded_both_ways_and_metered(gateway, sdk, theirs):
    marker = theirs.script(_says(f"mail {EMAIL}"))
    told = sdk.models.generate_content(
        model=MODEL, contents=f"mail {EMAIL} {marker}", config={"system_instruction": f"Be brief, {EMAIL}."}
    )
    assert told.text == "mail [EMAIL]"
    assert told.usage_metadata.candidates_token_count == 3
    (seen,) = theirs.seen(marker)
    assert EMAIL.encode() not in seen.body
    assert seen.target == "/base-gemini/v1beta/models/theirs:generateContent"
    assert seen.header("x-goog-api-key") == PROVIDER_KEYS["other"]
    assert gateway.bundle.keys["acme"] not in str(seen.headers)
    assert seen.header("authorization") is None
    record = gateway.record(told.sdk_http_response.headers["x-request-id"])
    assert (record["outcome"], record["model"], record["backend"]) == ("completed", MODEL, "gemini")
    assert (record["usage"]["input_tokens"], record["usage"]["output_tokens"]) == (9, 4)
    assert record["usage"]["reasoning_tokens"] == 1
    assert record["path"] == ONCE


def test_what_no_rule_minds_arrives_byte_for_byte(gateway, theirs):
    marker = theirs.script(_says("fine"))
    raw = b'{ "contents" : [ {"parts":[{"text": "%s \\u00e9"}]} ] }' % marker.encode()
    told = gateway.client().ask("POST", ONCE, raw, JSON)
    assert told.status == 200
    assert theirs.seen(marker)[0].body == raw


@pytest.mark.parametrize("version", ["v1", "v1beta"])
def test_a_stream_is_guarded_over_every_seam(gateway, theirs, version):
    marker = theirs.script(_streams("mail ", EMAIL[:HALF], EMAIL[HALF:], f" or pay {CARD[:9]}", CARD[9:], " now"))
    with google_of(gateway, version=version) as sdk:
        chunks = list(sdk.models.generate_content_stream(model=MODEL, contents=f"Hello {marker}"))
    assert _text(chunks) == "mail [EMAIL] or pay [CARD] now"
    assert chunks[-1].candidates[0].finish_reason is types.FinishReason.STOP
    assert chunks[-1].usage_metadata.total_token_count == 13
    (seen,) = theirs.seen(marker)
    assert seen.target == f"/base-gemini/{version}/models/theirs:streamGenerateContent?alt=sse"


def test_a_chat_of_the_sdk_keeps_its_history(sdk, theirs):
    async def script(call: Call) -> None:
        streams = "stream" in call.seen.target
        await (_streams("mail ", EMAIL[:HALF], EMAIL[HALF:]) if streams else _says("fine"))(call)

    chat = sdk.chats.create(model=MODEL)
    marker = theirs.script(script)
    assert _text(chat.send_message_stream(f"Hello {marker}")) == "mail [EMAIL]"
    assert chat.send_message("And then?").text == "fine"
    said = theirs.seen(marker)[1].json["contents"]
    assert (said[0]["role"], said[1]["role"], said[-1]["role"]) == ("user", "model", "user")


async def test_the_asynchronous_sdk_calls_and_streams(gateway, theirs):
    async with google_async_of(gateway) as sdk:
        marker = theirs.script(_says(f"mail {EMAIL}"))
        told = await sdk.models.generate_content(model=MODEL, contents=f"Hello {marker}")
        assert told.text == "mail [EMAIL]"
        marker = theirs.script(_streams("mail ", EMAIL[:HALF], EMAIL[HALF:]))
        stream = await sdk.models.generate_content_stream(model=MODEL, contents=f"Hello {marker}")
        assert _text([chunk async for chunk in stream]) == "mail [EMAIL]"


def test_a_call_of_a_function_and_its_answer(sdk, theirs):
    call = {"functionCall": {"id": "fc-1", "name": "send", "args": {"to": EMAIL}}, "thoughtSignature": SIGNATURE}
    marker = theirs.script(_says({"text": "I think.", "thought": True}, call))
    send = types.FunctionDeclaration(name="send", description="d", parameters_json_schema={"type": "object"})
    config = types.GenerateContentConfig(tools=[types.Tool(function_declarations=[send])])
    asked = types.UserContent(f"Send it {marker}")
    told = sdk.models.generate_content(model=MODEL, contents=[asked], config=config)
    (made,) = told.function_calls
    assert (made.name, made.args) == ("send", {"to": "[EMAIL]"})
    result = types.Part.from_function_response(name="send", response={"result": f"sent to {EMAIL}"})
    said = [asked, told.candidates[0].content, types.Content(role="user", parts=[result])]
    sdk.models.generate_content(model=MODEL, contents=said, config=config)
    _, seen = theirs.seen(marker)
    assert seen.json["contents"][1]["parts"][1]["thoughtSignature"] == SIGNATURE
    assert seen.json["contents"][2]["parts"][0]["functionResponse"]["response"] == {"result": "sent to [EMAIL]"}


def test_a_pool_is_asked_at_its_own_address(gateway, theirs):
    marker = theirs.script(_says("fine"))
    with google_of(gateway) as sdk:
        told = sdk.models.generate_content(model="gemini/pool-1", contents=f"Hello {marker}")
    assert told.text == "fine"
    (seen,) = theirs.seen(marker)
    assert seen.target == "/base-gemini/v1beta/models/theirs:generateContent"
    assert seen.header("x-goog-api-key") == PROVIDER_KEYS["other"]


# --- refusals ------------------------------------------------
def test_refusals_are_errors_of_googles_own_form(gateway, sdk):
    with pytest.raises(errors.ClientError) as refused:
        sdk.models.generate_content(model="no-such-model", contents="hi")
    assert (refused.value.code, refused.value.status) == (404, "NOT_FOUND")
    assert refused.value.details["error"]["details"][0]["reason"] == "MODEL_UNKNOWN"
    with google_of(gateway, key="osk_nobody") as stranger, pytest.raises(errors.ClientError) as refused:
        stranger.models.generate_content(model=MODEL, contents="hi")
    assert (refused.value.code, refused.value.status) == (401, "UNAUTHENTICATED")
    with google_of(gateway, key="narrow") as narrow, pytest.raises(errors.ClientError) as refused:
        narrow.models.generate_content(model=MODEL, contents="hi")
    assert (refused.value.code, refused.value.status) == (403, "PERMISSION_DENIED")


def test_a_stream_that_breaks_off_in_its_middle_is_an_error_of_the_sdk(sdk, theirs):
    marker = theirs.script(_streams("Hello. ", tail=b"data: {broken\r\n\r\n"))
    got = []
    with pytest.raises(errors.ServerError) as cut:
        got += sdk.models.generate_content_stream(model=MODEL, contents=f"Hello {marker}")
    assert (cut.value.code, cut.value.status) == (502, "INTERNAL")


def test_an_error_of_the_provider_is_told_in_its_words(sdk, theirs):
    async def overloaded(call: Call) -> None:
        error = {"code": 503, "message": f"Busy, {EMAIL}.", "status": "UNAVAILABLE"}
        await call.json({"error": error}, status=503)

    marker = theirs.script(overloaded)
    with pytest.raises(errors.ServerError) as told:
        sdk.models.generate_content(model=MODEL, contents=f"Hello {marker}")
    assert (told.value.code, told.value.status) == (503, "UNAVAILABLE")
    assert EMAIL not in str(told.value)


@pytest.mark.parametrize("method", ["count_tokens", "embed_content"])
def test_other_methods_are_refused_clearly(gateway, method):
    for version in ("v1", "v1beta"):
        with google_of(gateway, version=version) as sdk, pytest.raises(errors.ClientError) as refused:
            getattr(sdk.models, method)(model=MODEL, contents="hi")
        assert (refused.value.code, refused.value.status) == (404, "NOT_FOUND")
        assert "generateContent" in refused.value.message


@pytest.mark.parametrize("version", ["v1", "v1beta"])
def test_the_sdk_lists_models_and_looks_one_up(gateway, version):
    every = sorted(each["id"] for each in gateway.client().ask("GET", "/v1/models").json["data"])
    with google_of(gateway, version=version) as sdk:
        assert [each.name for each in sdk.models.list()] == [f"models/{name}" for name in every]
        pager = sdk.models.list(config={"page_size": 3})
        assert [each.name for each in pager.page] == [f"models/{name}" for name in every[:3]]
        assert [each.name for each in pager] == [f"models/{name}" for name in every]
        for name in (MODEL, "gemini/pool-1"):
            one = sdk.models.get(model=name)
            assert (one.name, one.display_name, one.supported_actions) == (f"models/{name}", name, ["generateContent"])
        with pytest.raises(errors.ClientError) as refused:
            sdk.models.get(model="of-somebody-else")
    assert refused.value.code == 404
    assert "GET /v1/models" in refused.value.message


async def test_the_asynchronous_sdk_lists_models_too(gateway):
    async with google_async_of(gateway) as sdk:
        names = [each.name async for each in await sdk.models.list(config={"page_size": 2})]
    assert f"models/{MODEL}" in names


def test_a_tenant_is_shown_its_own_models_alone(gateway):
    with google_of(gateway, key="narrow") as sdk:
        assert [each.name for each in sdk.models.list()] == ["models/gpt-test"]
        with pytest.raises(errors.ClientError) as hidden:
            sdk.models.get(model=MODEL)
        with pytest.raises(errors.ClientError) as tuned:
            sdk.models.list(config={"query_base": False})
    assert (hidden.value.code, hidden.value.status) == (404, "NOT_FOUND")
    assert (tuned.value.code, tuned.value.status) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("method", "target", "status", "said"),
    [
        ("GET", "/v1beta/models?pageSize=x", 400, "INVALID_ARGUMENT"),
        ("GET", "/v1beta/models?filter=x", 400, "INVALID_ARGUMENT"),
        ("GET", "/v1beta/models?key=AIzaSyA1234567890", 400, "INVALID_ARGUMENT"),
        ("GET", "/v1beta/models/", 404, "NOT_FOUND"),
        ("GET", "/v1beta/models/gemini-test:countTokens", 404, "NOT_FOUND"),
        ("GET", "/v1alpha/models", 404, "NOT_FOUND"),
        ("POST", "/v1alpha/models/gemini-test:generateContent", 404, "NOT_FOUND"),
        ("GET", ONCE, 405, "INVALID_ARGUMENT"),
    ],
)
def test_what_else_is_asked_there_is_refused_in_googles_words(gateway, method, target, status, said):
    told = gateway.client().ask(method, target, b"{}" if method == "POST" else b"", JSON)
    assert (told.status, told.json["error"]["code"], told.json["error"]["status"]) == (status, status, said)
    assert b"AIza" not in told.raw
    stranger = gateway.client("").ask(method, target, b"", JSON)
    assert (stranger.status, stranger.json["error"]["status"]) == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize("version", ["v1alpha", "v1beta", "v1beta2"])
def test_envoys_own_replies_are_in_googles_words_too(gateway, version):
    told = gateway.client().ask("GET", f"/{version}/models/x%2fy", b"", [])
    assert (told.status, told.json["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert told.json["error"]["details"][0]["reason"] == Kind.HEADER_INVALID.value.upper()


# --- what raw requests try ------------------------------------------------
#: (what is asked for, what comes of it): nothing of it may reach a provider unjudged.
TRICKS = [
    ("/v1beta/models%2Fgemini-test:generateContent", 400),
    ("/v1beta/models/gemini-test%3AgenerateContent", 404),
    ("/v1beta/models/gemini-test%253AgenerateContent", 404),
    ("/v1beta/models/x%2f..%2fgemini-test:generateContent", 400),
    ("/v1beta/models/gemini-test:generateContent/", 404),
    ("/v1beta/models/gemini-test:generateContent:generateContent", 404),
    ("/v1beta/models/gemini-test:GenerateContent", 404),
    ("/v1beta/models/gemini-test:generatecontent", 404),
    ("/v1beta/models/gemini-test:generateContent;x=1", 404),
    ("/v1beta/models/gemini-test:generateContent%00", 400),
    ("/v1beta/models/gemini-test:generateContent#x", 400),
    ("/v1beta/models/:generateContent", 404),
    ("/v1beta/models/.:generateContent", 404),
    ("/v1beta/models/-x:generateContent", 404),
    ("/v1beta/tunedModels/gemini-test:generateContent", 404),
    ("/v1beta/gemini-test:generateContent", 404),
    ("/v1beta/models/gemini-test", 404),
    ("/v1beta/models", 404),
    ("/v1beta/models/gemini-test:countTokens", 404),
    ("/v1beta/models/gemini-test:embedContent", 404),
    ("/v1beta/models/gemini-test:batchGenerateContent", 404),
    ("/v1/models/gemini-test:countTokens", 404),
    ("/v1alpha/models/gemini-test:generateContent", 404),
    ("/v1beta1/models/gemini-test:generateContent", 404),
    ("/V1BETA/models/gemini-test:generateContent", 404),
    ("/v2/models/gemini-test:generateContent", 404),
    ("/upload/v1beta/files", 404),
    ("/v1beta/cachedContents", 404),
    ("/v1beta/models/*:generateContent", 404),
    (f"{ONCE}?key=AIzaSyA1234567890", 400),
    (f"{ONCE}?%6bey=AIzaSyA1234567890", 400),
    (f"{ONCE}?access_token=ya29.x", 400),
    (f"{ONCE}?$httpHeaders=x-goog-api-key:x", 400),
    (f"{ONCE}?%24httpHeaders=x", 400),
    (f"{ONCE}?alt=sse", 400),
    (f"{ONCE}?alt=media", 400),
    (f"{ONCE}?$alt=json", 400),
    (f"{ONCE}?fields=candidates", 400),
    (f"{ONCE}?prettyPrint=false", 400),
    (STREAM, 400),
    (f"{STREAM}?alt=json", 400),
    (f"{STREAM}?alt=proto", 400),
    (f"{STREAM}?alt=sse&alt=json", 400),
    (f"{STREAM}?alt=SSE", 400),
    (f"{STREAM}?alt=sse&key=x", 400),
    (f"{STREAM}?alt=sse&$httpMethod=GET", 400),
]


@pytest.mark.parametrize(("target", "status"), TRICKS)
def test_no_path_or_query_reaches_a_provider_unjudged(gateway, theirs, target, status):
    marker = theirs.script(_says("never"))
    body = orjson.dumps({"contents": [{"parts": [{"text": f"Hello {marker}"}]}]})
    told = gateway.client().ask("POST", target, body, JSON)
    assert told.status == status
    assert theirs.seen(marker) == []
    assert b"AIza" not in told.raw


#: The same door by other spellings, which Envoy makes one of before anybody is asked.
SAME = ["//v1beta/models/gemini-test:generateContent", "/v1beta//models/gemini-test:generateContent",
        "/v1beta/models/x/../gemini-test:generateContent", "/v1beta/models/gemini%2Dtest:generateContent",
        "/v1beta/./models/gemini-test:generateContent",
        f"{ONCE}?alt=json", f"{ONCE}?"]  # fmt: skip


@pytest.mark.parametrize("target", SAME)
def test_other_spellings_are_the_same_door_with_all_its_guards(gateway, theirs, target):
    marker = theirs.script(_says(f"mail {EMAIL}"))
    body = orjson.dumps({"contents": [{"parts": [{"text": f"Hello {marker} {EMAIL}"}]}]})
    told = gateway.client().ask("POST", target, body, JSON)
    assert told.status == 200
    assert EMAIL.encode() not in told.raw
    (seen,) = theirs.seen(marker)
    assert seen.target == "/base-gemini/v1beta/models/theirs:generateContent"
    assert EMAIL.encode() not in seen.body


def test_a_key_in_the_address_opens_nothing_and_is_written_nowhere(gateway, theirs):
    marker = theirs.script(_says("never"))
    key = gateway.bundle.keys["acme"]
    body = orjson.dumps({"contents": [{"parts": [{"text": f"Hello {marker}"}]}]})
    with gateway.client().open() as conn:
        head = f"POST {ONCE}?key={key} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        conn.send(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        told = conn.answer(timeout_s=20)
    assert told.status == 401
    assert "replace it" in told.json["error"]["message"]
    assert (told.json["error"]["status"], theirs.seen(marker)) == ("UNAUTHENTICATED", [])
    gateway.record(told)
    gateway.logged(told)
    assert key not in gateway.logs() + str(gateway.audit()) + str(gateway.access_log())


@pytest.mark.parametrize("header", ["x-goog-api-key", "x-api-key"])
def test_the_key_may_come_in_any_sdks_header_but_only_in_one(gateway, theirs, header):
    body = {"contents": [{"parts": [{"text": "hi " + theirs.script(_says("fine"))}]}]}
    key = gateway.bundle.keys["acme"]
    raw = orjson.dumps(body)
    with gateway.client().open() as conn:
        head = f"POST {ONCE} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{header}: {key}\r\n"
        conn.send(f"{head}content-length: {len(raw)}\r\n\r\n".encode() + raw)
        assert conn.answer(timeout_s=20).status == 200
    twice = gateway.client().ask("POST", ONCE, raw, [*JSON, (header, key)])
    assert (twice.status, twice.header("x-ostiary-error-code")) == (401, Kind.CREDENTIAL_AMBIGUOUS)


def test_a_key_twice_in_the_body_is_refused(gateway, theirs):
    marker = theirs.script(_says("never"))
    raw = b'{"contents":[{"parts":[{"text":"%s"}]}],"contents":[]}' % marker.encode()
    told = gateway.client().ask("POST", ONCE, raw, JSON)
    assert (told.status, told.json["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert told.header("x-ostiary-error-code") == Kind.JSON_DUPLICATE_KEY
    assert theirs.seen(marker) == []


# --- other backends ------------------------------------------------
def test_a_model_of_openais_answers_googles_sdk(gateway, sdk, upstream):
    async def script(call: Call) -> None:
        await call.json(provider.chat(f"mail {EMAIL}"))

    marker = upstream.script(script)
    told = sdk.models.generate_content(
        model="to-openai", contents=f"Hello {marker}", config={"max_output_tokens": 9, "top_k": 3}
    )
    assert told.text == "mail [EMAIL]"
    headers = told.sdk_http_response.headers
    assert headers["x-ostiary-dropped"] == "top_k"
    seen = upstream.one(marker)
    assert (seen.json["max_completion_tokens"], seen.json["model"]) == (9, "theirs-too")
    record = gateway.record(headers["x-request-id"])
    assert (record["backend"], record["usage"]["output_tokens"]) == ("main", 5)


def test_a_stream_of_openais_reaches_googles_sdk(sdk, upstream):
    async def script(call: Call) -> None:
        pieces = ["mail ", EMAIL[:HALF], EMAIL[HALF:], " now"]
        chunks = [provider.event(provider.delta(piece)) for piece in pieces]
        await call.sse(b"".join([*chunks, provider.event(provider.delta(finish="stop")), b"data: [DONE]\n\n"]))

    marker = upstream.script(script)
    chunks = list(sdk.models.generate_content_stream(model="to-openai", contents=f"Hello {marker}"))
    assert _text(chunks) == "mail [EMAIL] now"
    assert chunks[-1].candidates[0].finish_reason is types.FinishReason.STOP


def test_a_pool_falls_over_to_a_backend_of_another_dialect(gateway, sdk, theirs):
    async def busy(call: Call) -> None:
        await call.json({"error": {"code": 503, "message": "Busy.", "status": "UNAVAILABLE"}}, status=503)

    marker = theirs.script(busy)
    told = sdk.models.generate_content(model="gemini/pool-1", contents=f"Hello {marker}")
    assert told.text == provider.REPLY
    (first,) = theirs.seen(marker)
    assert first.target == "/base-gemini/v1beta/models/theirs:generateContent"
    record = gateway.record(told.sdk_http_response.headers["x-request-id"])
    assert record["backend"] == "main"
    assert record["details"] == {"first_backend": "gemini", "attempts": "2"}
