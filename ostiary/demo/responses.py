"""The answer to POST /v1/responses, whole or as events, as the OpenAI API writes it. Pure; keeps no response."""

from collections.abc import Iterator
from typing import Any, Final

import orjson

from ostiary.demo import schema
from ostiary.demo.answer import CREATED, RefusedError, Reply, cut, identity, listed, parse, say, text_of, words

_OUTPUTS: Final = frozenset({"function_call_output", "custom_tool_call_output"})
_ECHOED: Final[dict[str, Any]] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "store": True,
}


def respond(body: bytes, deltas: int) -> Reply:
    """One item: a call of a function where the request has one and none was answered, else a message."""
    request = parse(body)
    items = _items(request.get("input"))
    user = next((text_of(item.get("content")) for item in reversed(items) if item.get("role") == "user"), "")
    text, finish = say(request, user, body)
    item, said = _item(request, items, text)
    prompt = sum(words(text_of(item.get("content"))) for item in items) + words(text_of(request.get("instructions")))
    complete = finish == "stop"
    frame = {
        "id": identity("resp", body),
        "object": "response",
        "created_at": CREATED,
        "model": request.get("model", "demo"),
        "error": None,
        **{name: request.get(name, default) for name, default in _ECHOED.items()},
    }
    final = {
        **frame,
        "status": "completed" if complete else "incomplete",
        "incomplete_details": None if complete else {"reason": "max_output_tokens"},
        "output": [item],
        "usage": _usage(prompt, words(said)),
    }
    if request.get("stream") is True:
        started = {**frame, "status": "in_progress", "incomplete_details": None, "output": [], "usage": None}
        return Reply(200, tuple(_numbered(_events(started, final, item, said, deltas))), "text/event-stream")
    return Reply(200, (orjson.dumps(final),))


def _items(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return value
    raise RefusedError(400, "Missing required parameter: 'input'.", param="input")


def _item(request: dict[str, Any], items: list[dict[str, Any]], text: str) -> tuple[dict[str, Any], str]:
    """What is answered, and the words in it."""
    tool = _function(request, items)
    wanted = request["text"].get("format") if isinstance(request.get("text"), dict) else None
    if tool is None and isinstance(wanted, dict) and wanted.get("type") == "json_schema":
        text = orjson.dumps(schema.fill(wanted.get("schema", {}), text)).decode()
    if tool is None:
        part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
        item = {"id": "msg_demo", "type": "message", "status": "completed", "role": "assistant", "content": [part]}
        return item, text
    arguments = orjson.dumps(schema.fill(tool.get("parameters") or {"type": "object"}, text)).decode()
    named = {"call_id": "call_demo_0", "name": str(tool.get("name", "tool"))}
    return {"id": "fc_demo", "type": "function_call", "status": "completed", "arguments": arguments, **named}, arguments


def _function(request: dict[str, Any], items: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The function to call: the one that is demanded, else the first; none once a tool has answered."""
    chosen = request.get("tool_choice", "auto")
    functions = [
        tool
        for tool in listed(request.get("tools"), "tools")
        if isinstance(tool, dict) and tool.get("type") == "function"
    ]
    if not functions or chosen == "none" or items[-1].get("type") in _OUTPUTS:
        return None
    demanded = chosen.get("name") if isinstance(chosen, dict) else None
    return next((function for function in functions if function.get("name") == demanded), functions[0])


def _usage(prompt: int, completion: int) -> dict[str, Any]:
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": prompt + completion,
    }


def _events(
    started: dict[str, Any], final: dict[str, Any], item: dict[str, Any], said: str, deltas: int
) -> Iterator[dict[str, Any]]:
    """In the API's order: the response, its item, the item's text in deltas and whole, and all of it once more."""
    yield {"type": "response.created", "response": started}
    yield {"type": "response.in_progress", "response": started}
    where = {"item_id": item["id"], "output_index": 0}
    if item["type"] == "function_call":
        begun = {**item, "status": "in_progress", "arguments": ""}
        yield {"type": "response.output_item.added", "output_index": 0, "item": begun}
        for piece in cut(said, deltas):
            yield {"type": "response.function_call_arguments.delta", **where, "delta": piece}
        yield {"type": "response.function_call_arguments.done", **where, "arguments": said}
    else:
        begun = {**item, "status": "in_progress", "content": []}
        yield {"type": "response.output_item.added", "output_index": 0, "item": begun}
        where["content_index"] = 0
        part = item["content"][0]
        yield {"type": "response.content_part.added", **where, "part": {**part, "text": ""}}
        for piece in cut(said, deltas):
            yield {"type": "response.output_text.delta", **where, "delta": piece, "logprobs": []}
        yield {"type": "response.output_text.done", **where, "text": said, "logprobs": []}
        yield {"type": "response.content_part.done", **where, "part": part}
    yield {"type": "response.output_item.done", "output_index": 0, "item": item}
    yield {"type": f"response.{final['status']}", "response": final}


def _numbered(events: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    for number, event in enumerate(events):
        data = orjson.dumps({**event, "sequence_number": number})
        yield b"event: %b\ndata: %b\n\n" % (event["type"].encode(), data)
