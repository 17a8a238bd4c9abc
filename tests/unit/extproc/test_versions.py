"""Versions of request schemas: which fields each knows, which one judges a request, and that none ever changes."""

import json
from dataclasses import replace
from typing import get_args, get_type_hints

import openai.types.chat.completion_create_params as reference
import pytest
from typing_extensions import is_typeddict

from extproc.core.admission import DOORS
from extproc.core.commands import PassRequestBody
from extproc.core.events import RequestBody
from extproc.providers.gemini import GenerateContent
from gateway.errors import GatewayError
from gateway.named_path import Named
from gateway.policy.api_versions import SAID_BY_CLIENTS, VERSIONS
from messaging import held, messages
from playbook import Play, chat, head
from worlds import policy

PATH = "/v1/chat/completions"
CHAT = DOORS[PATH].versions
OLD, NEW = VERSIONS[PATH]
USER = {"role": "user", "content": "hello"}
TEXT = {"type": "text", "text": "x"}
BREAK = {"prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"}}
PICTURE = {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}


def body(**more):
    return {"model": "m", "messages": [USER], **more}


def said(*parts):
    return body(messages=[{"role": "user", "content": list(parts)}])


#: A request, and in which version it has the form: fields of both, of the newest only, and of none.
TABLE = {
    "verbosity": (body(verbosity="low"), {OLD, NEW}),
    "prompt_cache_key": (body(prompt_cache_key="k"), {OLD, NEW}),
    "prompt_cache_retention": (body(prompt_cache_retention="24h"), {OLD, NEW}),
    "safety_identifier": (body(safety_identifier="s"), {OLD, NEW}),
    "web_search_options": (body(web_search_options={}), {OLD, NEW}),
    "custom tools": (body(tools=[{"type": "custom", "custom": {"name": "f"}}]), {OLD, NEW}),
    "functions": (body(functions=[{"name": "f"}]), {OLD, NEW}),
    "cache_control": (said({**TEXT, "cache_control": {"type": "ephemeral"}}), {OLD, NEW}),
    "moderation": (body(moderation={"model": "m"}), {NEW}),
    "moderation, policy": (body(moderation={"model": "m", "policy": {"input": {"mode": "block"}}}), {NEW}),
    "prompt_cache_options": (body(prompt_cache_options={"mode": "explicit", "ttl": "30m"}), {NEW}),
    "breakpoint, text": (said({**TEXT, **BREAK}), {NEW}),
    "breakpoint, system": (body(messages=[{"role": "system", "content": [{**TEXT, **BREAK}]}, USER]), {NEW}),
    "breakpoint, picture": (said({**PICTURE, **BREAK}), {NEW}),
    "breakpoint, file": (said({"type": "file", "file": {"file_id": "f"}, **BREAK}), {NEW}),
    "breakpoint, audio": (said({"type": "input_audio", "input_audio": {"data": "A", "format": "wav"}, **BREAK}), {NEW}),
    "moderation without a model": (body(moderation={}), set()),
    "breakpoint of another form": (said({**TEXT, "prompt_cache_breakpoint": {"where": 1}}), set()),
    "a field of no version": (body(surprise=1), set()),
}


def judged(tree, version):
    try:
        return CHAT.known[version].check(tree, strict=True)
    except GatewayError:
        return False


@pytest.mark.parametrize("version", [OLD, NEW])
@pytest.mark.parametrize("row", TABLE)
def test_each_version_takes_the_fields_that_it_has_and_no_others(row, version):
    tree, versions = TABLE[row]
    assert judged(tree, version) is (version in versions)


def fields_of(kind):
    return set(kind.__struct_encode_fields__)


COMMON = {
    "audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs", "max_completion_tokens",
    "max_tokens", "messages", "metadata", "modalities", "model", "n", "parallel_tool_calls", "prediction",
    "presence_penalty", "prompt_cache_key", "prompt_cache_retention", "reasoning_effort", "response_format",
    "safety_identifier", "seed", "service_tier", "stop", "store", "stream", "stream_options", "temperature",
    "tool_choice", "tools", "top_logprobs", "top_p", "user", "verbosity", "web_search_options",
}  # fmt: skip


def test_no_version_ever_changes():
    assert {name: fields_of(one.closed) for name, one in CHAT.known.items()} == {
        "2025-11": COMMON,
        "2026-11": COMMON | {"moderation", "prompt_cache_options"},
    }


def test_the_newest_version_knows_every_field_of_the_official_sdk():
    hints = get_type_hints(reference.CompletionCreateParamsNonStreaming)
    assert set(hints) <= fields_of(CHAT.known[NEW].closed)
    (parts,) = {kind for kind in _dicts(hints["messages"]) if kind.__name__ == "ChatCompletionContentPartTextParam"}
    assert set(get_type_hints(parts)) <= {*TEXT, *BREAK}


def _dicts(kind):
    if is_typeddict(kind):
        return {kind}.union(*(_dicts(each) for each in get_type_hints(kind).values()))
    return set().union(*(_dicts(each) for each in get_args(kind)))


def test_policy_and_endpoints_name_the_same_versions():
    named = GenerateContent(Named("v1", "m", streams=False))
    doors = {**DOORS, named.path: named}
    assert {path: tuple(door.versions.known) for path, door in doors.items()} == dict(VERSIONS)
    assert {path for path, door in DOORS.items() if door.versions.header} == SAID_BY_CLIENTS


@pytest.mark.parametrize(("pinned", "code"), [({}, None), ({PATH: (NEW,)}, None), ({PATH: (OLD,)}, "request_invalid")])
def test_a_tenant_stays_with_the_version_that_its_policy_names(pinned, code):
    base = policy()
    tenant = replace(base.tenants["acme"], api_versions=pinned)
    play = Play(replace(base, tenants={"acme": tenant}))
    told = play.give(head(), RequestBody(chat(moderation={"model": "m"}), end_of_stream=True))
    assert ([each.record.code for each in play.records] or [None]) == [code]
    if code is not None:
        assert "'moderation' is not a field" in told[-1].rendered.body.decode()


def test_a_tolerant_tenant_of_an_older_version_has_newer_fields_on_record():
    assert CHAT.known[OLD].check(body(moderation={"model": "m"}), strict=False) is False


@pytest.mark.parametrize("version", ["", "2023-06-01", "2026-10-21"])
def test_a_client_of_messages_may_say_its_version_or_leave_it_open(version):
    play = Play(held())
    headers = {"anthropic_version": version} if version else {}
    told = play.give(head("/v1/messages", **headers), RequestBody(json.dumps(messages()).encode(), end_of_stream=True))
    assert any(isinstance(each, PassRequestBody) for each in told)


def test_what_a_chat_client_says_in_a_header_chooses_nothing():
    assert CHAT.choose({"anthropic-version": "x", "openai-version": OLD}, ()) is CHAT.known[NEW]


QUOTED = [{"role": "user", "content": [{"type": "text", "text": "x", "citations": [{"cited_text": "y"}]}]}]


@pytest.mark.parametrize(
    "fields",
    [{"temperature": 1.0}, {"top_p": 0.5}, {"top_k": 3}, {"messages": QUOTED}],
    ids=lambda each: next(iter(each)),
)
@pytest.mark.parametrize(
    ("version", "passes"), [("2023-06-01", True), ("", True), ("2026-10-21", False)], ids=["old", "unsaid", "new"]
)
def test_the_newer_version_of_messages_takes_fields_away(fields, version, passes):
    play = Play(held())
    headers = {"anthropic_version": version} if version else {}
    body = json.dumps({**messages(), **fields}).encode()
    told = play.give(head("/v1/messages", **headers), RequestBody(body, end_of_stream=True))
    assert any(isinstance(each, PassRequestBody) for each in told) is passes
    if not passes:
        assert told[-1].rendered.status == 400
