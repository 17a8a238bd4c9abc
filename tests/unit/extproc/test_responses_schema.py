"""Requests to the Responses endpoint: what is known, what is refused whatever the policy, and who said what."""

import json
from dataclasses import replace

import pytest

from extproc.core.commands import PassRequestBody
from extproc.core.events import RequestBody
from extproc.detectors.injection.provenance import Provenance
from extproc.providers.openai import DOORS
from gateway.errors import GatewayError, Kind
from gateway.identity import Obligations
from gateway.policy.model import Bounds, Limits
from playbook import Play, head
from responding import PATH, body, call, custom, message, part, reasoning
from worlds import CALLER, policy

DOOR = DOORS[PATH]
USER = {"role": "user", "content": "hello"}
RESULT = {"type": "function_call_output", "call_id": "c", "output": "done"}
IMAGE = {"type": "input_image", "image_url": "data:image/png;base64," + "A" * 40, "detail": "auto"}
FILE = {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}
TOOL = {"type": "function", "name": "get_weather", "description": "d", "parameters": {"type": "object"}, "strict": True}


def asked(raw, held=None, caller=CALLER):
    play = Play(held)
    play.give(head(PATH, caller=caller), RequestBody(raw, end_of_stream=True))
    return play


def sent(play):
    (command,) = [command for command in play.commands if isinstance(command, PassRequestBody)]
    return json.loads(command.body)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    "raw",
    [
        body(),
        body([USER]),
        body([{**USER, "type": "message", "id": "m", "status": "completed"}]),
        body([USER, message(part("a"), part("b", "refusal"), phase="final_answer"), USER]),
        body([USER, reasoning(["s"], ["c"], encrypted_content="x", status="completed"), call("{}"), RESULT]),
        body([USER, custom("x"), {**RESULT, "type": "custom_tool_call_output", "output": [{"type": "input_text", "text": "x"}]}]),
        body([{"role": "user", "content": [{"type": "input_text", "text": "x"}, IMAGE, FILE]}]),
        body(instructions="be kind", max_output_tokens=5, temperature=1, top_p=0.5, metadata={"a": "b"}, user="u"),
        body(tools=[TOOL, {"type": "custom", "name": "c", "format": {"type": "text"}}], tool_choice={"type": "function", "name": "f"}),
        body(stream=True, stream_options={"include_obfuscation": False}, include=["reasoning.encrypted_content"]),
        body(text={"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": True}, "verbosity": "low"}),
        body(reasoning={"effort": "low", "summary": "auto"}, truncation="auto", parallel_tool_calls=False, service_tier="auto"),
        body(background=False, previous_response_id=None, conversation=None, prompt=None, store=None, tools=None, tool_choice="auto"),
    ],
)  # fmt: skip
def test_what_the_api_reference_knows_passes(raw, strict):
    assert sent(asked(raw, policy(strict_schema=strict)))["store"] is False


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    ("param", "raw"),
    [
        ("previous_response_id", body(previous_response_id="resp_1")),
        ("conversation", body(conversation="conv_1")),
        ("conversation", body(conversation={"id": "conv_1"})),
        ("prompt", body(prompt={"id": "pmpt_1"})),
        ("context_management", body(context_management=[{"type": "compaction"}])),
        ("background", body(background=True)),
        ("store", body(store=True)),
        ("store", body(store="no")),
        ("Store".casefold(), body(Store=True)),
        ("input", json.dumps({"model": "gpt-4o-mini"}).encode()),
        ("input", body("")),
        ("input", body([])),
        ("input[0].type", body([{"type": "item_reference", "id": "msg_1"}])),
        ("input[0].type", body([{"id": "msg_1"}])),
        ("input[1].type", body([USER, {"type": "web_search_call", "id": "w", "status": "completed"}])),
        ("input[0].type", body([{"type": "compaction", "encrypted_content": "x"}])),
        ("input[0]", body([{**RESULT, "role": "user"}])),
        ("input[0]", body([{"type": "message", "content": "x"}])),
        ("input[0]", body(["x"])),
        ("input[0].role", body([{"role": "tool", "content": "x"}])),
        ("input[0].content", body([{"role": "user", "content": 5}])),
        ("input[0].content[0].type", body([{"role": "user", "content": [{"type": "input_video"}]}])),
        ("input[0].content[0].file_id", body([{"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}])),
        ("input[0].output[0].file_id", body([{**RESULT, "output": [{**IMAGE, "file_id": "file-1"}]}])),
        *(
            ("tools[0].type", body(tools=[{"type": kind, "name": "x"}]))
            for kind in ("web_search", "web_search_preview", "file_search", "code_interpreter", "mcp", "computer_use_preview",
                         "image_generation", "local_shell", "shell", "apply_patch", "tool_search", "namespace", ["function"])
        ),
        ("tools", body(tools={"type": "function"})),
        ("tools[0].type", body(tools=["function"])),
        ("tool_choice.type", body(tool_choice={"type": "mcp", "server_label": "x"})),
    ],
)  # fmt: skip
def test_what_would_pass_the_gateway_by_is_refused_whatever_the_policy(param, raw, strict):
    play = asked(raw, policy(strict_schema=strict))
    assert play.refused() == (400, "request_invalid")
    assert json.loads(play.commands[-1].rendered.body)["error"]["param"] == param


@pytest.mark.parametrize(
    ("param", "raw"),
    [
        ("surprise", body(surprise=1)),
        ("input[].surprise", body([{**USER, "surprise": 1}])),
        ("tools[].defer_loading", body(tools=[{**TOOL, "defer_loading": True}])),
        ("messages", body(messages=[USER])),
    ],
)
def test_fields_that_nobody_knows_are_refused_or_put_on_record(param, raw):
    told = json.loads(asked(raw).commands[-1].rendered.body)["error"]["param"]
    assert told.replace("[0]", "[]") == param
    assert sent(asked(raw, policy(strict_schema=False)))


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    "raw",
    [
        body(Tools=[{"type": "web_search"}]),
        body([{**USER, "Content": "x"}]),
        body([{**RESULT, "OUTPUT": "x"}]),
        body([{"role": "user", "content": [{"type": "input_text", "text": "x", "Text": "y"}]}]),
        body([{"role": "user", "content": [{**FILE, "File_ID": "file-1"}]}]),
    ],
)
def test_a_field_that_some_readers_take_for_another_is_refused_either_way(raw, strict):
    assert asked(raw, policy(strict_schema=strict)).refused() == (400, "request_invalid")


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("raw", [body(temperature="hot"), body(metadata={"a": 1}), body([{**RESULT, "call_id": 1}])])
def test_wrong_types_are_refused_either_way(raw, strict):
    assert asked(raw, policy(strict_schema=strict)).refused() == (400, "request_invalid")


def test_texts_are_judged_by_who_said_them_and_the_tenants_own_are_not():
    tree = json.loads(
        body(
            [
                {"role": "system", "content": "ours"},
                {"role": "developer", "content": [{"type": "input_text", "text": "ours"}]},
                USER,
                {"role": "user", "content": [{"type": "input_text", "text": "more"}, IMAGE]},
                message(part("model's")),
                call("{}"),
                RESULT,
                {"type": "custom_tool_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "rows"}]},
            ],
            instructions="ours",
            tools=[TOOL],
        )
    )
    assert list(DOOR.positions(tree)) == [
        (Provenance.USER, "hello"),
        (Provenance.USER, "more"),
        (Provenance.TOOL_RESULT, "done"),
        (Provenance.TOOL_RESULT, "rows"),
        (Provenance.TOOL_DESCRIPTION, "d"),
    ]
    assert list(DOOR.positions(json.loads(body("words")))) == [(Provenance.USER, "words")]


def bounded(raw, *, tolerant=False, **bounds):
    """The code of the refusal under a tenant's bounds, None where the request passes."""
    held = policy(strict_schema=not tolerant)
    tenant = replace(held.tenants["acme"], bounds=Bounds(**bounds))
    play = asked(raw, replace(held, tenants={"acme": tenant}))
    return play.record.reason if play.records else None


def test_a_tenants_bounds_count_here_too():
    assert bounded(body(tools=[TOOL]), tools=frozenset({"get_*"})) is None
    assert bounded(body(tools=[TOOL]), tools=frozenset({"other"})) == "tenant.tools"
    both = {**TOOL, "function": {"name": "other"}}
    assert bounded(body(tools=[both]), tolerant=True, tools=frozenset({"get_*"})) == "tenant.tools"
    assert bounded(body([{"role": "user", "content": [IMAGE]}]), modalities=frozenset({"text", "image"})) is None
    assert bounded(body([{"role": "user", "content": [IMAGE]}]), modalities=frozenset({"text"})) == "tenant.modalities"
    assert bounded(body([{**RESULT, "output": [FILE]}]), modalities=frozenset({"text"})) == "tenant.modalities"
    assert bounded(body(instructions="Be kind. And brief."), system_prompt="Be kind.") is None
    assert bounded(body([{"role": "system", "content": "Be kind."}, USER]), system_prompt="Be kind.") is None
    for raw in (body(), body(instructions="Be rude."), body([USER, {"role": "system", "content": "Be kind."}])):
        assert bounded(raw, system_prompt="Be kind.") == "tenant.system_prompt"
    assert bounded(body("tell me a secret"), banned={"x": ("secret",)}) == "tenant.banned.x"


@pytest.mark.parametrize(
    ("limits", "raw"),
    [
        (Limits(messages=1), body([USER, USER])),
        (Limits(tools=0), body(tools=[TOOL])),
        (Limits(images=0), body([{"role": "user", "content": [IMAGE]}])),
        (Limits(image_bytes=10), body([{**RESULT, "output": [IMAGE]}])),
    ],
)
def test_counts_are_bounded_by_policy(limits, raw):
    assert sent(asked(raw))
    assert asked(raw, policy(limits=limits)).refused() == (400, "request_invalid")


def test_a_cap_on_output_tokens_is_written_and_kept():
    caller = replace(CALLER, obligations=Obligations(max_tokens=10))
    assert sent(asked(body(), caller=caller))["max_output_tokens"] == 10
    assert sent(asked(body(max_output_tokens=None, store=None), caller=caller))["max_output_tokens"] == 10
    assert sent(asked(body(max_output_tokens=7), caller=caller))["max_output_tokens"] == 7
    assert asked(body(max_output_tokens=11), caller=caller).refused() == (403, "max_tokens_exceeded")


def test_an_error_names_a_field_and_never_a_value():
    with pytest.raises(GatewayError) as caught:
        DOOR.open(json.loads(body([{"type": "secret words", "id": "x"}])))
    assert caught.value.kind is Kind.REQUEST_INVALID
    assert "secret" not in caught.value.public
