"""What backends of each dialect say to the same question, and how callers of each door ask it and read the answer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

import messaging
import provider
from asking import CHAT, told
from upstream import Call, Headers, Script

MESSAGES: Final = "/v1/messages"
SSE: Final[Headers] = [("content-type", "text/event-stream")]
#: What each backend says of its tokens, so that a record or a budget tells whose answer it counts.
USAGE: Final = {"openai": (7, 5), "anthropic": (9, 4), "gemini": (11, 3)}
_ANTHROPIC_USAGE: Final = {"input_tokens": 9, "output_tokens": 4}
_GEMINI_USAGE: Final = {"promptTokenCount": 11, "candidatesTokenCount": 3, "totalTokenCount": 14}


@dataclass(frozen=True, slots=True)
class Door:
    """One front door, as a caller without an SDK uses it."""

    path: str
    text: Callable[[dict[str, Any]], str]
    stream_text: Callable[[bytes], str]

    def ask(self, prompt: str, model: str, *, stream: bool = False) -> dict[str, Any]:
        """A small request, which every backend can answer without a loss."""
        return {"model": model, "max_tokens": 64, "stream": stream, "messages": [{"role": "user", "content": prompt}]}

    def said(self, body: bytes, *, stream: bool) -> str:
        """The words of an answer."""
        return self.stream_text(body) if stream else self.text(orjson.loads(body))


def _message_text(stream: bytes) -> str:
    return "".join(block.get("text", "") for block in messaging.assembled(stream))


DOORS: Final[Mapping[str, Door]] = {
    "chat": Door(CHAT, lambda tree: str(tree["choices"][0]["message"]["content"]), told),
    "messages": Door(MESSAGES, lambda tree: str(tree["content"][0]["text"]), _message_text),
}

#: dialect -> header and prefix of its credential
CREDENTIALS: Final = {
    "openai": ("authorization", "Bearer "),
    "anthropic": ("x-api-key", ""),
    "gemini": ("x-goog-api-key", ""),
}


def streams(call: Call) -> bool:
    """Whether a stream was asked for, in any dialect."""
    return "streamGenerateContent" in call.seen.target or call.seen.json.get("stream") is True


def answering(dialect: str, text: str) -> Script:
    """An honest backend of a dialect that says `text`, whole or streamed as it was asked."""

    async def answers(call: Call) -> None:
        if streams(call):
            await call.sse(stream(dialect, [text]))
        else:
            await call.json(whole(dialect, text))

    return answers


def whole(dialect: str, text: str) -> dict[str, Any]:
    """An answer."""
    if dialect == "openai":
        return provider.chat(text)
    if dialect == "anthropic":
        content = [{"type": "text", "text": text}]
        return {"id": "msg_1", "type": "message", "role": "assistant", "model": "theirs", "content": content,
                "stop_reason": "end_turn", "stop_sequence": None, "usage": _ANTHROPIC_USAGE}  # fmt: skip
    return _candidate(text, finish="STOP") | {"usageMetadata": _GEMINI_USAGE}


def stream(dialect: str, pieces: list[str], *, ends: bool = True) -> bytes:
    """An event stream. `ends` False: it breaks off behind the pieces."""
    if dialect == "openai":
        if ends:
            return provider.stream(pieces)
        return b"".join(provider.event(provider.delta(piece)) for piece in pieces)
    if dialect == "anthropic":
        events = [messaging.start(), messaging.block(), *(messaging.text(piece) for piece in pieces)]
        return b"".join([*events, messaging.stop(), messaging.end()] if ends else events)
    events = [_gemini(_candidate(piece)) for piece in pieces]
    last = _gemini(_candidate("", finish="STOP") | {"usageMetadata": _GEMINI_USAGE})
    return b"".join([*events, last] if ends else events)


def _candidate(text: str, finish: str = "") -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "modelVersion": "theirs", "responseId": "r-1"}


def _gemini(value: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\r\n\r\n"
