"""Estimates of prompts, against what OpenAI published that its API reported, and bounds for what nobody can know."""

import pytest

from extproc.counting.prompt import has_audio, prompt_tokens, writes_cache
from extproc.counting.tokenizer import tokenizer
from gateway import named_path

CHAT, MESSAGES, GOOGLE = "/v1/chat/completions", "/v1/messages", named_path.ROUTE
#: OpenAI Cookbook, "How to count tokens with tiktoken": the conversation, and the prompt_tokens that the API reported.
JARGON = [
    {"role": "system", "content": "You are a helpful, pattern-following assistant that translates corporate jargon into plain English."},
    {"role": "system", "name": "example_user", "content": "New synergies will help drive top-line growth."},
    {"role": "system", "name": "example_assistant", "content": "Things working well together will increase revenue."},
    {"role": "system", "name": "example_user", "content": "Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage."},
    {"role": "system", "name": "example_assistant", "content": "Let's talk later when we're less busy about how to do better."},
    {"role": "user", "content": "This late pivot means we don't have time to boil the ocean for the client deliverable."},
]  # fmt: skip
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_current_weather",
        "description": "Get the current weather in a given location",
        "parameters": {
            "type": "object",
            "properties": {
                "location": {"type": "string", "description": "The city and state, e.g. San Francisco, CA"},
                "unit": {
                    "type": "string",
                    "description": "The unit of temperature to return",
                    "enum": ["celsius", "fahrenheit"],
                },
            },
            "required": ["location"],
        },
    },
}
ASKED = [
    {"role": "system", "content": "You are a helpful assistant that can answer to questions about the weather."},
    {"role": "user", "content": "What's the weather like in San Francisco?"},
]
CAPITAL = "What is the capital of France?"


def estimate(path, **body):
    return prompt_tokens(path, body, tokenizer(body["model"]))


@pytest.mark.parametrize(("model", "reported"), [("gpt-4", 129), ("gpt-3.5-turbo-0613", 129), ("gpt-4o", 124)])
def test_messages_count_as_the_api_reports(model, reported):
    assert estimate(CHAT, model=model, messages=JARGON) == reported


@pytest.mark.parametrize(("model", "reported"), [("gpt-4", 105), ("gpt-4o", 101)])
def test_tools_are_never_below_and_little_above_what_the_api_reports(model, reported):
    found = estimate(CHAT, model=model, messages=ASKED, tools=[WEATHER])
    assert reported <= found <= reported * 1.05
    assert estimate(CHAT, model=model, messages=ASKED, functions=[WEATHER["function"]]) == found


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, {"messages": [{"role": "user", "content": CAPITAL}]}),
        (CHAT, {"messages": [{"role": "user", "content": [{"type": "text", "text": CAPITAL}]}]}),
        ("/v1/responses", {"input": CAPITAL}),
        ("/v1/responses", {"input": [{"role": "user", "content": [{"type": "input_text", "text": CAPITAL}]}]}),
    ],
)
def test_one_question_is_fourteen_tokens_however_it_is_written(path, body):
    assert estimate(path, model="gpt-4o", **body) == 14


def test_texts_without_messages_have_no_overhead():
    assert estimate("/v1/completions", model="gpt-3.5-turbo-instruct", prompt=["Hello", "Hello"]) == 2
    assert estimate("/v1/embeddings", model="text-embedding-3-small", input="Hello world") == 2


def test_tokens_in_place_of_texts_count_as_what_they_are():
    for given, count in (([1, 2, 3], 3), ([[1, 2], [3]], 3), (["Hello", [1]], 2)):
        assert estimate("/v1/embeddings", model="text-embedding-3-small", input=given) == count


#: Body of a request, and a text that it must count: added, the estimate must grow by at least that text's tokens.
TEXT = " committee library reading room northern" * 10
PLACES = [
    (CHAT, lambda text: {"messages": [{"role": "user", "content": "x" + text}]}),
    (CHAT, lambda text: {"messages": [{"role": "tool", "content": [{"type": "text", "text": "x" + text}]}]}),
    (CHAT, lambda text: {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "x" + text}}]}]}),
    (CHAT, lambda text: {"messages": [{"role": "assistant", "tool_calls": [{"custom": {"name": "f", "input": "x" + text}}]}]}),
    (CHAT, lambda text: {"messages": [{"role": "assistant", "function_call": {"name": "f", "arguments": "x" + text}}]}),
    (CHAT, lambda text: {"messages": [{"role": "assistant", "reasoning_content": "x" + text, "refusal": None}]}),
    (CHAT, lambda text: {"messages": [], "tools": [{"function": {"name": "f", "description": "x" + text}}]}),
    (CHAT, lambda text: {"messages": [], "tools": [{"custom": {"name": "f", "description": "x" + text}, "type": "custom"}]}),
    (CHAT, lambda text: {"messages": [], "response_format": {"type": "json_schema", "json_schema": {"name": "x" + text}}}),
    ("/v1/responses", lambda text: {"input": "x", "instructions": "x" + text}),
    ("/v1/responses", lambda text: {"input": [{"type": "function_call", "name": "f", "arguments": "x" + text}]}),
    ("/v1/responses", lambda text: {"input": [{"type": "function_call_output", "output": "x" + text}]}),
    ("/v1/responses", lambda text: {"input": [{"type": "reasoning", "summary": [{"text": "x" + text}]}]}),
    ("/v1/responses", lambda text: {"input": "x", "text": {"format": {"type": "json_schema", "schema": {"title": "x" + text}}}}),
    (MESSAGES, lambda text: {"messages": [{"role": "user", "content": "x" + text}]}),
    (MESSAGES, lambda text: {"messages": [], "system": [{"type": "text", "text": "x" + text}]}),
    (MESSAGES, lambda text: {"messages": [], "tools": [{"name": "f", "description": "x" + text, "input_schema": {}}]}),
    (MESSAGES, lambda text: {"messages": [{"content": [{"type": "tool_use", "name": "f", "input": {"a": "x" + text}}]}]}),
    (MESSAGES, lambda text: {"messages": [{"content": [{"type": "tool_result", "content": [{"type": "text", "text": "x" + text}]}]}]}),
    (MESSAGES, lambda text: {"messages": [{"content": [{"type": "thinking", "thinking": "x" + text}]}]}),
    (MESSAGES, lambda text: {"messages": [{"content": [{"type": "document", "source": {"type": "text", "data": "x" + text}}]}]}),
    (MESSAGES, lambda text: {"messages": [{"content": [{"type": "search_result", "source": "u", "content": [{"type": "text", "text": "x" + text}]}]}]}),
    (GOOGLE, lambda text: {"contents": [{"role": "user", "parts": [{"text": "x" + text}]}]}),
    (GOOGLE, lambda text: {"contents": [], "systemInstruction": {"parts": [{"text": "x" + text}]}}),
    (GOOGLE, lambda text: {"contents": [{"parts": [{"functionCall": {"name": "f", "args": {"a": "x" + text}}}]}]}),
    (GOOGLE, lambda text: {"contents": [{"parts": [{"functionResponse": {"name": "f", "response": {"a": "x" + text}}}]}]}),
    (GOOGLE, lambda text: {"contents": [], "tools": [{"functionDeclarations": [{"name": "f", "description": "x" + text}]}]}),
    (GOOGLE, lambda text: {"contents": [], "generationConfig": {"responseJsonSchema": {"title": "x" + text}}}),
    ("/v1/elsewhere", lambda text: {"anything": ["x" + text]}),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body"), PLACES, ids=range(len(PLACES)))
def test_no_text_that_a_model_reads_is_left_out(path, body):
    short, long = (estimate(path, model="gpt-4o", **body(text)) for text in ("", TEXT))
    assert long - short >= tokenizer("gpt-4o").count(TEXT)


def test_a_tools_schema_counts_to_its_last_description():
    def tool(text):
        return {
            "name": "f",
            "parameters": {
                "properties": {"a": {"type": "array", "items": {"properties": {"b": {"description": "x" + text}}}}}
            },
        }

    short, long = (estimate(CHAT, model="gpt-4o", messages=[], tools=[{"function": tool(text)}]) for text in ("", TEXT))
    assert long - short >= tokenizer("gpt-4o").count(TEXT)


@pytest.mark.parametrize(
    ("media", "least", "most"),
    [("image/png", 1120, 1300), ("audio/wav", 300, 500), ("video/mp4", 700, 1000), ("application/pdf", 3000, 10_000)],
)
def test_googles_files_count_as_what_they_are_and_never_as_their_base64(media, least, most):
    blob = {"inlineData": {"mimeType": media, "data": "A" * 40_000}}
    for part in (blob, {"functionResponse": {"name": "f", "response": {}, "parts": [blob]}}):
        assert least <= estimate(GOOGLE, model="gpt-4o", contents=[{"parts": [part]}]) <= most
    assert has_audio({"contents": [{"parts": [blob]}]}) is (media == "audio/wav")


def test_sound_and_files_are_not_free():
    sound = {"type": "input_audio", "input_audio": {"data": "A" * 40_000, "format": "mp3"}}
    file = {"type": "file", "file": {"file_data": "A" * 40_000}}
    assert estimate(CHAT, model="gpt-4o", messages=[{"role": "user", "content": [sound]}]) > 300
    assert estimate(CHAT, model="gpt-4o", messages=[{"role": "user", "content": [file]}]) > 3000
    assert has_audio({"messages": [{"content": [sound]}]})
    assert not has_audio({"messages": [{"content": [file]}]})


def test_a_wish_to_write_the_cache_is_seen_wherever_it_stands():
    mark = {"cache_control": {"type": "ephemeral"}}
    for body in (
        {"system": [{"type": "text", "text": "a", **mark}], "messages": []},
        {"tools": [{"name": "f", **mark}], "messages": []},
        {"messages": [{"content": [{"type": "text", **mark}]}]},
        {"messages": [{"content": [{"type": "tool_result", "content": [{"type": "text", **mark}]}]}]},
        {"messages": [], **mark},
    ):
        assert writes_cache(body)
    assert not writes_cache({"messages": [{"content": "cache_control"}]})


@pytest.mark.parametrize("path", [CHAT, "/v1/responses", "/v1/completions", "/v1/embeddings", MESSAGES])
@pytest.mark.parametrize("odd", [None, 1, "x", [], {}, [None, 1, [[]]], [{"content": [{"type": []}, None]}]])
def test_odd_shapes_are_counted_without_failing(path, odd):
    body = dict.fromkeys(
        ("messages", "input", "prompt", "tools", "system", "text", "response_format", "thinking", "output_config"), odd
    )
    assert estimate(path, model="gpt-4o", **body) >= 0
