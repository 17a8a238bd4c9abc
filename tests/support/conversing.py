"""AWS Bedrock as the scripted upstream plays it: whole answers, event streams, and the check of every signature."""

from collections.abc import Sequence
from typing import Any

import orjson

import aws
from extproc.translate import eventstream
from upstream import Call, Script

USAGE = {"inputTokens": 9, "outputTokens": 4, "totalTokens": 13}
#: A name with what must be encoded in a path, and be encoded alike where it is signed.
MODEL = "eu.anthropic.claude-x-20260101-v1:0"
PATH = "/model/eu.anthropic.claude-x-20260101-v1%3A0/converse"


def answer(*content: dict[str, Any], stop: str = "end_turn") -> dict[str, Any]:
    """What Converse answers."""
    message = {"role": "assistant", "content": [*content]}
    return {"output": {"message": message}, "stopReason": stop, "usage": USAGE, "metrics": {"latencyMs": 5}}


def event(kind: str, **tree: Any) -> bytes:
    return eventstream.event(kind, orjson.dumps({**tree, "p": "abcdefgh"}))


def events(parts: Sequence[str]) -> list[bytes]:
    """A stream that says `parts`, one message each."""
    return [
        event("messageStart", role="assistant"),
        *[event("contentBlockDelta", contentBlockIndex=0, delta={"text": part}) for part in parts],
        event("contentBlockStop", contentBlockIndex=0),
        event("messageStop", stopReason="end_turn"),
        event("metadata", usage=USAGE, metrics={"latencyMs": 5}),
    ]


def called(name: str, *pieces: str) -> list[bytes]:
    """A stream that calls one tool, its arguments in pieces."""
    start = {"toolUse": {"toolUseId": "tooluse_1", "name": name}}
    return [
        event("messageStart", role="assistant"),
        event("contentBlockStart", contentBlockIndex=0, start=start),
        *[event("contentBlockDelta", contentBlockIndex=0, delta={"toolUse": {"input": piece}}) for piece in pieces],
        event("contentBlockStop", contentBlockIndex=0),
        event("messageStop", stopReason="tool_use"),
        event("metadata", usage=USAGE, metrics={"latencyMs": 5}),
    ]


async def send(call: Call, raw: bytes, *, size: int = 0) -> None:
    """A whole event stream, cut into chunks of `size` bytes (0: one chunk)."""
    await call.head(200, [("content-type", eventstream.MEDIA_TYPE)])
    step = size or len(raw)
    for start in range(0, len(raw), step):
        await call.chunk(raw[start : start + step])
    await call.end()


async def fail(call: Call, status: int, kind: str, message: str) -> None:
    """An error, told as Amazon tells them."""
    await call.json({"message": message}, status, [("x-amzn-errortype", kind)])


def signed(script: Script, **expected: Any) -> Script:
    """The script, for requests that botocore would have signed alike."""

    async def check(call: Call) -> None:
        wrong = aws.unsigned(call.seen, **expected)
        if wrong:
            words = f"User: arn:aws:iam::123456789012:user/gateway: {wrong}"
            await fail(call, 403, "InvalidSignatureException", words)
        else:
            await script(call)

    return check
