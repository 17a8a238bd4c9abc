"""What backends of each dialect say to the same question, and how callers of each door ask it and read the answer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

import conversing
import messaging
import provider
from asking import CHAT, told
from extproc.translate import eventstream
from upstream import Call, Headers, Script

MESSAGES: Final = "/v1/messages"
GENERATE: Final = "/v1beta/models/*:generateContent"
SSE: Final[Headers] = [("content-type", "text/event-stream")]
#: What each backend says of its tokens, so that a record or a budget tells whose answer it counts.
USAGE: Final = {"openai": (7, 5), "anthropic": (9, 4), "gemini": (11, 3), "bedrock": (13, 6)}
_ANTHROPIC_USAGE: Final = {"input_tokens": 9, "output_tokens": 4}
_GEMINI_USAGE: Final = {"promptTokenCount": 11, "candidatesTokenCount": 3, "totalTokenCount": 14}
_BEDROCK_USAGE: Final = {"inputTokens": 13, "outputTokens": 6, "totalTokens": 19}


@dataclass(frozen=True, slots=True)
class Door:
    """One front door, as a caller without an SDK uses it."""

    path: str  # as policies call it
    text: Callable[[dict[str, Any]], str]
    stream_text: Callable[[bytes], str]

    def target(self, model: str, *, stream: bool = False) -> str:
        """Where a request for a model goes."""
        if self.path != GENERATE:
            return self.path
        return f"/v1beta/models/{model}:" + ("streamGenerateContent?alt=sse" if stream else "generateContent")

    def ask(self, prompt: str, model: str, *, stream: bool = False) -> dict[str, Any]:
        """A small request, which every backend can answer without a loss."""
        if self.path == GENERATE:
            contents = [{"role": "user", "parts": [{"text": prompt}]}]
            return {"contents": contents, "generationConfig": {"maxOutputTokens": 64}}
        return {"model": model, "max_tokens": 64, "stream": stream, "messages": [{"role": "user", "content": prompt}]}

    def said(self, body: bytes, *, stream: bool) -> str:
        """The words of an answer."""
        return self.stream_text(body) if stream else self.text(orjson.loads(body))


def _message_text(stream: bytes) -> str:
    return "".join(block.get("text", "") for block in messaging.assembled(stream))


def _candidate_text(tree: dict[str, Any]) -> str:
    return "".join(part["text"] for part in tree["candidates"][0]["content"]["parts"])


def _candidates_text(stream: bytes) -> str:
    events = [orjson.loads(line[5:]) for line in stream.splitlines() if line.startswith(b"data:")]
    said = [event for event in events if event.get("candidates", [{}])[0].get("content")]
    return "".join(map(_candidate_text, said))


DOORS: Final[Mapping[str, Door]] = {
    "chat": Door(CHAT, lambda tree: str(tree["choices"][0]["message"]["content"]), told),
    "messages": Door(MESSAGES, lambda tree: str(tree["content"][0]["text"]), _message_text),
    "generate": Door(GENERATE, _candidate_text, _candidates_text),
}

#: dialect -> header and prefix of its credential; Bedrock's requests are signed instead
CREDENTIALS: Final = {
    "openai": ("authorization", "Bearer "),
    "anthropic": ("x-api-key", ""),
    "gemini": ("x-goog-api-key", ""),
}


def streams(call: Call) -> bool:
    """Whether a stream was asked for, in any dialect."""
    target = call.seen.target
    in_path = "streamGenerateContent" in target or target.endswith("/converse-stream")
    return in_path or call.seen.json.get("stream") is True


def typed(dialect: str) -> Headers:
    """What the head of a stream says that it is."""
    return [("content-type", eventstream.MEDIA_TYPE)] if dialect == "bedrock" else SSE


def answering(dialect: str, text: str) -> Script:
    """An honest backend of a dialect that says `text`, whole or streamed as it was asked."""

    async def answers(call: Call) -> None:
        if streams(call):
            await call.head(200, typed(dialect))
            await call.chunk(stream(dialect, [text]))
            await call.end()
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
    if dialect == "bedrock":
        return conversing.answer({"text": text}) | {"usage": _BEDROCK_USAGE}
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
    if dialect == "bedrock":
        start, *events = conversing.events(pieces)
        last = conversing.event("metadata", usage=_BEDROCK_USAGE, metrics={"latencyMs": 5})
        return b"".join([start, *events[:-1], last] if ends else [start, *events[: len(pieces)]])
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
