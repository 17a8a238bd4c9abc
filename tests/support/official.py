"""Official clients over a wire in memory: what they send is seen, what they are answered is given. No sockets."""

from collections.abc import Callable
from typing import Any

import anthropic
import httpx2
import openai
from anthropic.types import message_create_params as anthropic_params
from openai.types.chat import completion_create_params as openai_params

from declared import complaints


class Wire:
    """Answers every request alike and keeps the last one's body and path."""

    def __init__(self, body: bytes = b"{}", *, status: int = 200, stream: bool = False) -> None:
        self.body, self.status = body, status
        self.kind = "text/event-stream" if stream else "application/json"
        self.sent: bytes = b""
        self.path = ""

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.sent, self.path = request.content, request.url.path
        return httpx2.Response(self.status, content=self.body, headers={"content-type": self.kind})


def openai_client(wire: Wire) -> openai.OpenAI:
    http = httpx2.Client(transport=httpx2.MockTransport(wire))
    return openai.OpenAI(base_url="https://gateway.test/v1", api_key="k", http_client=http, max_retries=0)


def anthropic_client(wire: Wire) -> anthropic.Anthropic:
    http = httpx2.Client(transport=httpx2.MockTransport(wire))
    return anthropic.Anthropic(base_url="https://gateway.test", api_key="k", http_client=http, max_retries=0)


def _openai_request(body: dict[str, Any]) -> list[str]:
    kinds = openai_params
    stream = body.get("stream") is True
    return complaints(
        body, kinds.CompletionCreateParamsStreaming if stream else kinds.CompletionCreateParamsNonStreaming
    )


def _anthropic_request(body: dict[str, Any]) -> list[str]:
    kinds = anthropic_params
    stream = body.get("stream") is True
    return complaints(body, kinds.MessageCreateParamsStreaming if stream else kinds.MessageCreateParamsNonStreaming)


#: Dialect -> what the provider's own types say against a request's body.
REQUESTS: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "openai": _openai_request,
    "azure": _openai_request,
    "anthropic": _anthropic_request,
}
