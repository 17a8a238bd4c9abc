"""What the scripted upstream says by default, and builders for OpenAI-style answers and event streams."""

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from upstream import Call

MODEL = "provider-model"
REPLY = "Hello from the provider."


def chat(text: str = REPLY, *, finish: str = "stop", choices: int = 1, **message: Any) -> dict[str, Any]:
    """A chat completion whose choices all say `text`."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": MODEL,
        "choices": [
            {
                "index": index,
                "message": {"role": "assistant", "content": text, **message},
                "finish_reason": finish,
                "logprobs": None,
            }
            for index in range(choices)
        ],
        "usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12},
    }


def delta(content: str | None = None, *, index: int = 0, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    """One chat.completion.chunk."""
    body: dict[str, Any] = dict(fields)
    if content is not None:
        body["content"] = content
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": MODEL,
        "choices": [{"index": index, "delta": body, "finish_reason": finish}],
    }


def usage_chunk() -> dict[str, Any]:
    """The extra chunk that `stream_options.include_usage` asks for."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": MODEL,
        "choices": [],
        "usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12},
    }


def event(value: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"


def stream(parts: Sequence[str], *, usage: bool = True) -> bytes:
    """A whole chat event stream that says `parts` one delta each."""
    events = [event(delta("", role="assistant")), *(event(delta(part)) for part in parts)]
    events.append(event(delta(finish="stop")))
    if usage:
        events.append(event(usage_chunk()))
    return b"".join([*events, b"data: [DONE]\n\n"])


def tool_stream(name: str, arguments: Iterable[str]) -> bytes:
    """A stream that calls one tool, its arguments in pieces."""
    head = {"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": ""}}
    events = [event(delta(role="assistant", tool_calls=[head]))]
    events += [event(delta(tool_calls=[{"index": 0, "function": {"arguments": piece}}])) for piece in arguments]
    return b"".join([*events, event(delta(finish="tool_calls")), event(usage_chunk()), b"data: [DONE]\n\n"])


def error(kind: str, message: str, code: str | None = None) -> dict[str, Any]:
    """A provider's error body."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


async def default(call: Call) -> None:
    """A small, honest OpenAI server."""
    asked = call.seen.json if call.seen.body else {}
    path = call.seen.target.split("?")[0]
    if path.endswith("/chat/completions"):
        if asked.get("stream"):
            wants_usage = bool((asked.get("stream_options") or {}).get("include_usage"))
            await call.sse(stream(["Hello", " from", " the", " provider."], usage=wants_usage))
        else:
            await call.json(chat(choices=asked.get("n") or 1))
    elif path.endswith("/completions"):
        await call.json(
            {
                "id": "cmpl-1",
                "object": "text_completion",
                "created": 1_700_000_000,
                "model": MODEL,
                "choices": [{"index": 0, "text": REPLY, "finish_reason": "stop", "logprobs": None}],
                "usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12},
            }
        )
    elif path.endswith("/embeddings"):
        texts = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
        await call.json(
            {
                "object": "list",
                "model": MODEL,
                "data": [
                    {"object": "embedding", "index": i, "embedding": [0.25, -0.5, 1.0]} for i in range(len(texts))
                ],
                "usage": {"prompt_tokens": 3, "total_tokens": 3},
            }
        )
    else:
        await call.json(error("invalid_request_error", "no such route at the provider"), 404)
