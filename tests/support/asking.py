"""Requests that the integration suites send, and the canaries that must never reach a client unguarded."""

from typing import Any, Final

import orjson

from rawhttp import RawClient, Response
from upstream import Script, Upstream

CHAT: Final = "/v1/chat/completions"
MODEL: Final = "gpt-test"

#: Personal data that the suite's policy redacts. Test numbers and example domains only (RFC 2606; card schemes' own).
EMAIL: Final = "jane.roe@example.com"
CARD: Final = "4111 1111 1111 1111"
IBAN: Final = "GB82 WEST 1234 5698 7654 32"
CANARIES: Final = (EMAIL, CARD, IBAN)
#: Text that a script sends after a fault: whoever sees it got bytes that nobody guarded.
AFTER_FAULT: Final = "words-behind-the-fault"


def chat(prompt: str, *, model: str = MODEL, **fields: Any) -> dict[str, Any]:
    """A chat request with one user message."""
    return {"model": model, "messages": [{"role": "user", "content": prompt}], **fields}


def padded(marker: str, size: int, **fields: Any) -> bytes:
    """A chat request of exactly `size` bytes whose prompt starts with the marker."""
    bare = len(orjson.dumps(chat(marker + " ", **fields)))
    words = b"plain words " * ((size - bare) // 12 + 1)
    return orjson.dumps(chat(f"{marker} {words[: size - bare].decode()}", **fields))


def say(client: RawClient, upstream: Upstream, script: Script | None = None, **fields: Any) -> Response:
    """One chat request that `script` answers."""
    return client.post(CHAT, chat(f"Hello {upstream.script(script)}", **fields))


def told(body: bytes) -> str:
    """The text of choice 0 in a chat event stream, as an SDK would put it together."""
    parts = []
    for line in body.splitlines():
        data = line.removeprefix(b"data:").strip()
        if line.startswith(b"data:") and data != b"[DONE]":
            choices = orjson.loads(data).get("choices", [])
            parts += [choice["delta"].get("content") or "" for choice in choices if choice["index"] == 0]
    return "".join(parts)


def stream_errors(body: bytes) -> list[str]:
    """Codes of the error events in a stream."""
    codes = []
    for line in body.splitlines():
        if line.startswith(b"data: {"):
            event = orjson.loads(line[6:])
            if "error" in event:
                codes.append(event["error"]["code"])
    return codes


def assert_unseen(received: bytes, *canaries: str) -> None:
    """No canary, and no half of one, is in the client's bytes."""
    for canary in canaries or CANARIES:
        assert canary.encode() not in received
        half = len(canary) // 2 + 2
        assert canary[:half].encode() not in received, "the first half of a canary left"
        assert canary[-half:].encode() not in received, "the second half of a canary left"
