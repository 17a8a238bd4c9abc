"""The request body of generateContent: what the official package writes has its form, in either spelling of fields."""

import json

import httpx
import pytest
from google import genai
from google.genai import types

from contents import asked, body, said
from extproc.core.commands import PassRequestBody
from extproc.providers.gemini_schema import CONTENTS, spell
from gateway.errors import GatewayError
from playbook import MAIL

SCHEMA = {"type": "object", "properties": {"a_b": {"type": "string"}}}


def passed(commands):
    (command,) = [each for each in commands if isinstance(each, PassRequestBody)]
    return command


def written(contents, **config):
    """What the official package sends."""
    got = []

    def take(request):
        got.append(json.loads(request.content))
        return httpx.Response(200, json={"candidates": []})

    with httpx.Client(transport=httpx.MockTransport(take)) as http:
        client = genai.Client(api_key="k", http_options=types.HttpOptions(httpx_client=http))
        client.models.generate_content(model="m", contents=contents, config=types.GenerateContentConfig(**config))
    return got[0]


def test_what_the_official_package_writes_passes_as_it_is():
    part = types.Part
    contents = [
        types.UserContent([part.from_bytes(data=b"\x89PNG" * 9, mime_type="image/png"), "hi",
                           part.from_uri(file_uri="https://example.com/c.png", mime_type="image/png")]),
        types.ModelContent([part(text="hm", thought=True), part(
            function_call=types.FunctionCall(id="1", name="s", args={"a_b": 1}), thought_signature=b"\xff" * 600)]),
        types.UserContent([part(function_response=types.FunctionResponse(
            id="1", name="s", response={"a_b": 1},
            parts=[types.FunctionResponsePart.from_bytes(data=b"x", mime_type="image/png")]))]),
    ]  # fmt: skip
    tool = types.FunctionDeclaration(name="s", description="d", parameters_json_schema=SCHEMA, behavior="BLOCKING")
    tree = written(
        contents,
        system_instruction="Be brief.", temperature=0.3, top_p=0.5, top_k=40, candidate_count=1, max_output_tokens=99,
        stop_sequences=["x"], seed=3, response_mime_type="application/json", response_json_schema=SCHEMA,
        safety_settings=[types.SafetySetting(category="HARM_CATEGORY_HATE_SPEECH", threshold="BLOCK_NONE")],
        tools=[types.Tool(function_declarations=[tool])], service_tier="standard", response_modalities=["TEXT"],
        tool_config=types.ToolConfig(function_calling_config=types.FunctionCallingConfig(mode="ANY")),
        thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_budget=3),
        media_resolution="MEDIA_RESOLUTION_LOW", presence_penalty=0.1, frequency_penalty=0.1, store=False,
    )  # fmt: skip
    assert "inline_data" in json.dumps(tree), "the package spells some fields in snake case"
    _, told = asked(tree)
    assert passed(told).body is None


def test_there_is_one_version_of_it():
    assert list(CONTENTS) == ["2026-11"]


@pytest.mark.parametrize("name", ["inlineData", "inline_data"])
def test_both_spellings_are_one_field(name):
    holder = {name: 1}
    spell(holder, "part")
    assert holder == {"inlineData": 1}


@pytest.mark.parametrize(
    "name", ["InlineData", "inlinedata", "inline_Data", "INLINE_DATA", "_inlineData", "inline__data"]
)
def test_what_only_careless_readers_would_take_for_a_field_is_refused(name):
    with pytest.raises(GatewayError):
        spell({name: 1}, "part")


def test_a_field_in_both_spellings_is_refused():
    with pytest.raises(GatewayError):
        spell({"inlineData": 1, "inline_data": 2}, "part")


def test_fields_in_snake_case_are_read_as_googles_servers_read_them():
    blob = {"inline_data": {"mime_type": "text/plain", "data": "aGVsbG8="}}
    tree = {
        "contents": [said(blob, {"function_response": {"name": "f", "response": {"a_b": f"mail {MAIL}"}}})],
        "system_instruction": {"parts": [{"text": f"tell {MAIL}"}]},
        "generation_config": {"max_output_tokens": 5},
        "tools": [{"function_declarations": [{"name": "f", "parameters_json_schema": {"type": "object"}}]}],
    }
    assert passed(asked(body(**{k: v for k, v in tree.items() if k == "generation_config"}))[1]).body is None
    sent = json.loads(passed(asked(tree)[1]).body)
    assert sent["systemInstruction"]["parts"] == [{"text": "tell [EMAIL]"}]
    assert sent["contents"][0]["parts"][0]["inlineData"]["mimeType"] == "text/plain"
    assert sent["contents"][0]["parts"][1]["functionResponse"]["response"] == {"a_b": "mail [EMAIL]"}
