"""Models of another dialect through real Envoy, with the official SDKs in front: calls, streams, tools, failover."""

import openai
import orjson
import pytest

import messaging
import provider
from asking import AFTER_FAULT, CARD, CHAT, EMAIL, chat, padded
from bundle import PROVIDER_KEYS
from stack import Options, Stack
from upstream import Call

MESSAGES = "/v1/messages"
MODELS = {
    "to-claude": {"backend": "claude", "upstream_model": "claude-theirs"},
    "to-gpt": {"backend": "other", "upstream_model": "gpt-theirs"},
    "to-azure": {"backend": "azure", "upstream_model": "gpt-theirs"},
    "strict": {"backend": "claude", "on_loss": "refuse"},
    "renamed": {"backend": "other", "upstream_model": "gpt-theirs"},
    "mixed": {"backends": ["main", "claude"], "upstream_model": {"claude": "claude-theirs"}, "tell": True},
    "mixed-strict": {"backends": ["claude", "main"], "on_loss": "refuse", "tell": True},
    "claude-first": {"backends": ["claude", "main"], "upstream_model": {"claude": "claude-theirs"}, "tell": True},
    "two-names": {"backends": ["main", "other"], "upstream_model": {"other": "gpt-theirs"}, "tell": True},
}
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


def _policy(directory):
    backends = orjson.loads((directory / "backends.yaml").read_bytes())
    url = backends["other"]["url"].replace("base-other", "base-claude")
    credential = {"file": "other.key", "header": "x-api-key", "prefix": ""}
    backends["claude"] = {"url": url, "dialect": "anthropic", "credential": credential}
    azure = {"file": "other.key", "header": "api-key", "prefix": ""}
    backends["azure"] = {"url": url.replace("base-claude", "openai"), "dialect": "azure", "credential": azure}
    (directory / "backends.yaml").write_bytes(orjson.dumps(backends))
    file = directory / "models.yaml"
    file.write_bytes(orjson.dumps(orjson.loads(file.read_bytes()) | MODELS))


@pytest.fixture(scope="module")
def gateway(short_dir, upstreams):
    with Stack(short_dir(), upstreams, Options(workers=2, policy=_policy)) as running:
        yield running


def _user(text):
    return [{"role": "user", "content": text}]


def _message(*content, reason="end_turn"):
    usage = {"input_tokens": 9, "output_tokens": 4}
    return {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-theirs", "content": [*content],
            "stop_reason": reason, "stop_sequence": None, "usage": usage}  # fmt: skip


async def _as_claude(call: Call) -> None:
    if call.seen.json.get("stream"):
        events = (
            messaging.start(),
            messaging.block(),
            messaging.text(f"mail {EMAIL} now"),
            messaging.stop(),
            messaging.end(),
        )
        await call.sse(b"".join(events))
    else:
        await call.json(_message({"type": "text", "text": f"mail {EMAIL} now"}))


async def _as_gpt(call: Call) -> None:
    if call.seen.json.get("stream"):
        await call.sse(provider.stream(["mail ", EMAIL, " now"]))
    else:
        await call.json(provider.chat(f"mail {EMAIL} now"))


# --- one backend of another dialect -----------------------------------------------------------------------------


def test_the_openai_sdk_calls_a_model_behind_anthropic(gateway, gpt, theirs):
    marker = theirs.script(_as_claude)
    raw = gpt.chat.completions.with_raw_response.create(
        model="to-claude", messages=[{"role": "system", "content": "Be brief."}, *_user(f"mail {EMAIL} {marker}")]
    )
    answer = raw.parse()
    assert answer.choices[0].message.content.startswith("mail ")
    assert EMAIL not in raw.text
    assert answer.choices[0].finish_reason == "stop"
    (seen,) = theirs.seen(marker)
    assert seen.target == "/base-claude/v1/messages"
    assert seen.header("x-api-key") == PROVIDER_KEYS["other"]
    assert seen.header("anthropic-version") == "2023-06-01"
    assert (seen.json["model"], seen.json["system"]) == ("claude-theirs", "Be brief.") or seen.json["system"]
    assert EMAIL.encode() not in seen.body
    record = gateway.record(raw.headers["x-request-id"])
    assert (record["backend"], record["usage"]["input_tokens"], record["usage"]["output_tokens"]) == ("claude", 9, 4)


def test_the_openai_sdk_streams_from_anthropic_and_every_word_is_guarded(gpt, theirs):
    marker = theirs.script(_as_claude)
    with gpt.chat.completions.create(
        model="to-claude", messages=_user(f"Hello {marker}"), stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text.startswith("mail ")
    assert text.endswith(" now")
    assert EMAIL not in text
    assert chunks[-1].usage is not None


def test_the_anthropic_sdk_calls_a_model_behind_openai(gateway, claude, theirs):
    marker = theirs.script(_as_gpt)
    raw = claude.messages.with_raw_response.create(
        model="to-gpt", max_tokens=64, system="Be brief.", messages=_user(f"Hello {marker}")
    )
    answer = raw.parse()
    assert answer.stop_reason == "end_turn"
    assert answer.content[0].text.startswith("mail ")
    assert EMAIL not in answer.content[0].text
    (seen,) = theirs.seen(marker)
    assert seen.target == f"/base-other{CHAT}"
    assert seen.header("authorization") == f"Bearer {PROVIDER_KEYS['other']}"
    assert seen.json["model"] == "gpt-theirs"
    assert seen.json["messages"][0]["role"] in {"system", "developer"}
    assert gateway.record(raw.headers["x-request-id"])["usage"]["source"] == "provider"


def test_the_anthropic_sdk_streams_from_openai(claude, theirs):
    marker = theirs.script(_as_gpt)
    with claude.messages.stream(model="to-gpt", max_tokens=64, messages=_user(f"Hello {marker}")) as stream:
        message = stream.get_final_message()
    assert message.content[0].text.startswith("mail ")
    assert EMAIL not in message.content[0].text
    assert message.stop_reason == "end_turn"


def test_tools_and_their_results_cross(gpt, theirs):
    async def calls(call):
        await call.json(
            _message(
                {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Kiel"}}, reason="tool_use"
            )
        )

    marker = theirs.script(calls)
    messages = [
        *_user(f"Hello {marker}"),
        {"role": "assistant", "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Bonn"}'}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
    ]  # fmt: skip
    answer = gpt.chat.completions.create(model="to-claude", messages=messages, tools=[WEATHER])
    (made,) = answer.choices[0].message.tool_calls
    assert (made.function.name, orjson.loads(made.function.arguments)) == ("weather", {"city": "Kiel"})
    assert answer.choices[0].finish_reason == "tool_calls"
    blocks = [block for each in theirs.seen(marker)[0].json["messages"] if type(each["content"]) is list
              for block in each["content"]]  # fmt: skip
    assert {"tool_use", "tool_result"} <= {block["type"] for block in blocks}


def test_azure_is_reached_by_its_own_path(gateway, theirs):
    marker = theirs.script(_as_gpt)
    assert gateway.client().post(CHAT, chat(f"Hello {marker}", model="to-azure")).status == 200
    (seen,) = theirs.seen(marker)
    assert seen.target.startswith("/openai/")
    assert seen.header("api-key") == PROVIDER_KEYS["other"]


# --- what cannot be carried over, and what fails -----------------------------------------------------------------


def test_what_has_no_word_is_dropped_and_told(gpt, theirs):
    marker = theirs.script(_as_claude)
    raw = gpt.chat.completions.with_raw_response.create(
        model="to-claude", messages=_user(f"Hello {marker}"), logit_bias={"50256": -100}
    )
    assert "logit_bias" in raw.headers["x-ostiary-dropped"]
    assert "logit_bias" not in theirs.seen(marker)[0].json


def test_or_refused_where_policy_says_so(gpt, theirs):
    marker = theirs.script(_as_claude)
    with pytest.raises(openai.BadRequestError) as caught:
        gpt.chat.completions.create(model="strict", messages=_user(f"Hello {marker}"), logit_bias={"50256": -100})
    assert caught.value.param == "logit_bias"
    assert theirs.seen(marker) == []


def test_a_backend_that_cannot_be_told_all_is_left_out_of_its_pool(gateway, upstream, theirs):
    marker = upstream.script(_as_gpt)
    theirs.script(_as_claude, marker)
    answer = gateway.client().post(CHAT, chat(f"Hello {marker}", model="mixed-strict", logit_bias={"50256": -100}))
    assert (answer.status, answer.header("x-ostiary-backend"), theirs.seen(marker)) == (200, "main", [])


def test_errors_come_in_the_callers_dialect(gpt, theirs):
    async def fails(call):
        error = {"type": "invalid_request_error", "message": "messages: too many"}
        await call.json({"type": "error", "error": error}, 400)

    with pytest.raises(openai.BadRequestError, match="too many"):
        gpt.chat.completions.create(model="to-claude", messages=_user(f"Hello {theirs.script(fails)}"))


def test_an_error_in_a_stream_is_the_callers_typed_error(gpt, theirs):
    async def fails(call):
        error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
        await call.sse(messaging.start() + messaging.block() + messaging.text("some words") + messaging.event(**error))

    marker = theirs.script(fails)
    stream = gpt.chat.completions.create(model="to-claude", messages=_user(f"Hello {marker}"), stream=True)
    with stream, pytest.raises(openai.APIError):
        list(stream)


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"content": 7}', b"null"])
def test_an_answer_that_cannot_be_read_is_withheld(gateway, theirs, body):
    async def nonsense(call):
        await call.answer(200, body)

    answer = gateway.client().post(CHAT, chat(f"Hello {theirs.script(nonsense)}", model="to-claude"))
    assert (answer.status, orjson.loads(answer.body)["error"]["code"]) == (502, "backend_answer_invalid")


def test_doors_without_words_in_that_dialect_say_where_the_model_is_served(gpt):
    with pytest.raises(openai.BadRequestError, match="/v1/chat/completions"):
        gpt.embeddings.create(model="to-claude", input="Hello")


# --- pools of several dialects ------------------------------------------------------------------------------------


async def _broken(call: Call) -> None:
    await call.json({"error": {"message": AFTER_FAULT}}, 500)


@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
def test_a_backend_of_another_dialect_stands_in(gateway, upstream, theirs, stream):
    marker = upstream.script(_broken)
    theirs.script(_as_claude, marker)
    body = chat(f"Hello {marker} {CARD}", model="mixed", stream=stream)
    answer = gateway.client().post(CHAT, body, timeout_s=20)
    assert (answer.status, answer.header("x-ostiary-backend"), answer.header("x-ostiary-attempts")) == (
        200, "claude", "2",
    )  # fmt: skip
    assert b"mail " in answer.body
    assert b"chat.completion" in answer.body
    assert EMAIL.encode() not in answer.body
    (first,), (second,) = upstream.seen(marker), theirs.seen(marker)
    assert (first.target, second.target) == (f"/base-main{CHAT}", f"/base-claude{MESSAGES}")
    assert (first.json["model"], second.json["model"]) == ("mixed", "claude-theirs")
    assert PROVIDER_KEYS["main"] not in repr(second.headers)
    assert second.header("x-api-key") == PROVIDER_KEYS["other"]
    assert CARD.encode() not in first.body + second.body
    assert gateway.record(answer)["backend"] == "claude"


def test_the_next_one_gets_the_original_and_not_the_translation(gateway, upstream, theirs):
    marker = theirs.script(_broken)
    upstream.script(_as_gpt, marker)
    answer = gateway.client().post(CHAT, chat(f"Hello {marker}", model="claude-first", seed=7), timeout_s=20)
    assert (answer.status, answer.header("x-ostiary-backend")) == (200, "main")
    (seen,) = upstream.seen(marker)
    assert (seen.target, seen.json["seed"], "max_tokens" in seen.json) == (f"/base-main{CHAT}", 7, False)
    assert seen.header("anthropic-version") is None
    assert seen.header("x-api-key") is None
    assert answer.header("x-ostiary-dropped") is None


def test_backends_of_a_pool_may_call_the_model_by_names_of_their_own(gateway, upstream, theirs):
    marker = upstream.script(_broken)
    theirs.script(_as_gpt, marker)
    answer = gateway.client().post(CHAT, chat(f"Hello {marker}", model="two-names"), timeout_s=20)
    assert (answer.status, answer.header("x-ostiary-backend")) == (200, "other")
    assert upstream.seen(marker)[0].json["model"] == "two-names"
    assert theirs.seen(marker)[0].json["model"] == "gpt-theirs"


def test_a_lone_backend_may_too(gateway, theirs):
    marker = theirs.script(_as_gpt)
    assert gateway.client().post(CHAT, chat(f"Hello {marker}", model="renamed")).status == 200
    assert theirs.seen(marker)[0].json["model"] == "gpt-theirs"


@pytest.mark.parametrize("size", [100_000, 2_000_000])
def test_large_requests_cross_whole(gateway, upstream, theirs, size):
    marker = upstream.script(_broken)
    theirs.script(_as_claude, marker)
    answer = gateway.client().post(CHAT, padded(marker, size, model="mixed"), timeout_s=30)
    assert answer.status == 200
    assert len(theirs.seen(marker)[0].body) > size * 0.99


# --- names that a request gives its provider -----------------------------------------------------------------------


def test_two_tenants_have_no_name_in_common_at_a_provider_and_no_user_is_named(gateway, theirs):
    said = []
    for key in ("acme", "watched"):
        for path, script, model, names in (
            (CHAT, _as_gpt, "renamed", {"user": "ann-7", "prompt_cache_key": "support", "safety_identifier": "ann-7"}),
            (CHAT, _as_gpt, "gpt-other", {"user": "ann-7", "prompt_cache_key": "support"}),
            (CHAT, _as_claude, "to-claude", {"user": "ann-7"}),
            (MESSAGES, _as_gpt, "to-gpt", {"metadata": {"user_id": "ann-7"}}),
        ):
            marker = theirs.script(script)
            body = {"model": model, "max_tokens": 64, "messages": _user(f"Hello {marker}"), **names}
            assert gateway.client(key).post(path, body).status == 200
            (seen,) = theirs.seen(marker)
            assert b"ann-7" not in seen.body
            assert b"support" not in seen.body
            told = seen.json
            said.append((key, told.get("user") or told["metadata"]["user_id"], told.get("prompt_cache_key")))
    acme, watched = ({each for one in said if one[0] == key for each in one[1:] if each} for key in ("acme", "watched"))
    assert len(acme) == len(watched) == 2  # one user, one cache: the same at every backend
    assert not acme & watched
