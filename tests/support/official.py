"""Official clients over a wire in memory: what they send is seen, what they are answered is given. No sockets."""

from collections.abc import Callable
from typing import Any, get_args

import anthropic
import httpx2
import openai
import orjson
from anthropic.types import message_create_params as anthropic_params
from google import genai
from google.genai import types
from openai.types.chat import completion_create_params as openai_params
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter, ValidationError

from declared import complaints


class Wire:
    """Answers every request alike and keeps the last one's body and path."""

    def __init__(self, body: bytes = b"{}", *, status: int = 200, stream: bool = False) -> None:
        self.body, self.status = body, status
        self.kind = "text/event-stream" if stream else "application/json"
        self.sent: bytes = b""
        self.path = ""
        self.query = ""

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.sent, self.path, self.query = request.content, request.url.path, request.url.query.decode()
        return httpx2.Response(self.status, content=self.body, headers={"content-type": self.kind})


def openai_client(wire: Wire) -> openai.OpenAI:
    http = httpx2.Client(transport=httpx2.MockTransport(wire))
    return openai.OpenAI(base_url="https://gateway.test/v1", api_key="k", http_client=http, max_retries=0)


def anthropic_client(wire: Wire) -> anthropic.Anthropic:
    http = httpx2.Client(transport=httpx2.MockTransport(wire))
    return anthropic.Anthropic(base_url="https://gateway.test", api_key="k", http_client=http, max_retries=0)


def gemini_client(wire: Wire) -> genai.Client:
    http = httpx2.Client(transport=httpx2.MockTransport(wire))
    return genai.Client(api_key="k", http_options=types.HttpOptions(httpx_client=http, base_url="https://gateway.test"))


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


_GEMINI = {
    "contents": list[types.Content],
    "systemInstruction": types.Content,
    "tools": list[types.Tool],
    "toolConfig": types.ToolConfig,
    "generationConfig": types.GenerationConfig,
}


def _gemini_request(body: dict[str, Any]) -> list[str]:
    """The package has no type for a whole body; its types forbid unknown fields themselves."""
    out = [f"{name}: not declared" for name in body.keys() - _GEMINI.keys()]
    for name in body.keys() & _GEMINI.keys():
        try:
            TypeAdapter(_GEMINI[name]).validate_json(orjson.dumps(body[name]))
        except ValidationError as error:
            out += [f"{name}: {each['loc']} {each['msg']}" for each in error.errors()]
    return out


def same_gemini(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two bodies ask for the same: the client writes some fields in snake case, and empty objects."""
    read = [
        {
            name: TypeAdapter(kind).validate_json(orjson.dumps(body[name]))
            for name, kind in _GEMINI.items()
            if body.get(name)
        }
        for body in (one, other)
    ]
    return read[0] == read[1]


def gemini_sends(model: str, body: dict[str, Any], *, stream: bool) -> Wire:
    """What the official client sends for the same request."""
    wire = Wire(b"{}", stream=stream)
    config = types.GenerateContentConfig.model_validate(
        {
            **body.get("generationConfig", {}),
            **{name: body[name] for name in ("systemInstruction", "tools", "toolConfig") if name in body},
            "automaticFunctionCalling": {"disable": True},
        }
    )
    contents = [types.Content.model_validate(each) for each in body["contents"]]
    models = gemini_client(wire).models
    if stream:
        list(models.generate_content_stream(model=model, contents=contents, config=config))
    else:
        models.generate_content(model=model, contents=contents, config=config)
    return wire


#: Dialect -> what the provider's own types say against a request's body.
REQUESTS: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "openai": _openai_request,
    "azure": _openai_request,
    "anthropic": _anthropic_request,
    "gemini": _gemini_request,
}

#: The events of a response, by their types.
RESPONSE_EVENTS: dict[str, Any] = {
    get_args(event.model_fields["type"].annotation)[0]: event for event in get_args(get_args(ResponseStreamEvent)[0])
}
