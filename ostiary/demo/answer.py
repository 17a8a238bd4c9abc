"""Request body in, answer bodies out, as the OpenAI API writes them. Pure: no sockets, time, randomness."""

import base64
import hashlib
import itertools
import math
import re
import struct
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import orjson

from extproc.translate.eventstream import MEDIA_TYPE
from ostiary.demo import sample, schema

CREATED: Final = 1_700_000_000  # a fixed second, so that two runs differ in nothing
CHOICES_LIMIT: Final = 128  # OpenAI's own bound for `n`
DIMENSIONS_DEFAULT: Final = 256  # small enough to read, large enough that unrelated texts are near orthogonal
DIMENSIONS_LIMIT: Final = 4096
_WORD: Final = re.compile(r"\S+\s*")
_LIMITS: Final = ("max_completion_tokens", "max_output_tokens", "max_tokens")
DONE: Final = b"data: [DONE]\n\n"


class RefusedError(Exception):
    """What the provider itself would refuse, told in its error body."""

    def __init__(self, status: int, message: str, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer before it is put on the wire: one piece for JSON, one piece per event for a stream."""

    status: int
    pieces: tuple[bytes, ...]
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def streamed(self) -> bool:
        """Whether the pieces are events of a stream."""
        return self.content_type.startswith(("text/event-stream", MEDIA_TYPE))


@dataclass(frozen=True, slots=True)
class _Choice:
    """What one choice says: text, or calls of tools as (name, arguments)."""

    text: str
    calls: tuple[tuple[str, str], ...]
    finish: str


def error(status: int, message: str, *, code: str | None = None, param: str | None = None) -> Reply:
    """An error body of the OpenAI API."""
    kind = "invalid_request_error" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "server_error"
    kind = {429: "requests", 403: "permission_error"}.get(status, kind)
    body = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return Reply(status, (orjson.dumps(body),))


def parse(body: bytes) -> dict[str, Any]:
    """The body as an object, or the provider's complaint."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as failure:
        raise RefusedError(400, "We could not parse the JSON body of your request.") from failure
    if not isinstance(value, dict):
        raise RefusedError(400, "The JSON body of your request must be an object.")
    return value


def listed(value: Any, name: str) -> list[Any]:
    """A list that may be left out, or the provider's complaint."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise RefusedError(400, f"Invalid value at '{name}': expected a list.", param=name)
    return value


def words(text: str) -> int:
    """The demo's token count: whitespace separated words, so that a person can check it by eye."""
    return len(text.split())


def say(request: dict[str, Any], user_text: str, body: bytes) -> tuple[str, str]:
    """The model's words, and why they end there."""
    text = sample.say(str(request.get("model", "")), user_text, body)
    limit = next((request[name] for name in _LIMITS if request.get(name)), None)
    if isinstance(limit, int) and 0 < limit < words(text):
        return "".join(_WORD.findall(text)[:limit]).rstrip(), "length"
    return text, "stop"


def text_of(content: Any) -> str:
    """The text of a message: a string, or the text parts of a list."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return ""


def identity(prefix: str, body: bytes) -> str:
    """An id that depends on the request alone."""
    return f"{prefix}-demo-{hashlib.sha256(body).hexdigest()[:12]}"


def _count(request: dict[str, Any], name: str = "n") -> int:
    count = request.get(name)
    if count is None:
        return 1
    if not isinstance(count, int) or not 1 <= count <= CHOICES_LIMIT:
        raise RefusedError(400, f"'{name}' must be between 1 and {CHOICES_LIMIT}.", param=name)
    return count


def _usage(prompt: int, completion: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def cut(text: str, pieces: int) -> list[str]:
    """`text` in at most `pieces` parts of nearly equal length; none is empty."""
    pieces = max(1, min(pieces, len(text)))
    bounds = [len(text) * index // pieces for index in range(pieces + 1)]
    return [text[start:end] for start, end in itertools.pairwise(bounds)] if text else []


def event(value: object) -> bytes:
    """One server-sent event with a JSON payload (HTML Living Standard, "Server-sent events")."""
    return b"data: " + orjson.dumps(value) + b"\n\n"


# --- chat -----------------------------------------------------------------------------------------


def chat(body: bytes, deltas: int) -> Reply:
    """The answer to POST /v1/chat/completions."""
    request = parse(body)
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages:
        raise RefusedError(400, "Missing required parameter: 'messages'.", param="messages")
    known = [message for message in messages if isinstance(message, dict)]
    if len(known) != len(messages):
        raise RefusedError(400, "Invalid type for 'messages': expected objects.", param="messages")
    user = next((text_of(m.get("content")) for m in reversed(known) if m.get("role") == "user"), "")
    choice = _choice(request, known, user, body)
    count = _count(request)
    prompt = sum(words(text_of(message.get("content"))) for message in known)
    completion = words(choice.text) + sum(words(arguments) + 1 for _, arguments in choice.calls)
    usage = _usage(prompt, completion * count)
    frame = {"id": identity("chatcmpl", body), "created": CREATED, "model": request.get("model", "demo")}
    if request.get("stream") is True:
        frame["object"] = "chat.completion.chunk"
        pieces = _chat_events(frame, choice, count, deltas, usage if _wants_usage(request) else None)
        return Reply(200, tuple(pieces), "text/event-stream")
    frame["object"] = "chat.completion"
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if choice.calls else choice.text,
        "refusal": None,
    }
    if choice.calls:
        message["tool_calls"] = [_call(index, *call) for index, call in enumerate(choice.calls)]
    choices = [
        {"index": index, "message": message, "logprobs": None, "finish_reason": choice.finish} for index in range(count)
    ]
    return Reply(200, (orjson.dumps({**frame, "choices": choices, "usage": usage}),))


def _choice(request: dict[str, Any], messages: list[dict[str, Any]], user: str, body: bytes) -> _Choice:
    text, finish = say(request, user, body)
    tool = _tool(request, messages)
    if tool is not None:
        arguments = orjson.dumps(schema.fill(tool.get("parameters", {"type": "object"}), text)).decode()
        return _Choice("", ((str(tool.get("name", "tool")), arguments),), "tool_calls")
    wanted = request.get("response_format")
    if isinstance(wanted, dict) and wanted.get("type") == "json_schema":
        declared = wanted.get("json_schema")
        inner = declared.get("schema", {}) if isinstance(declared, dict) else {}
        return _Choice(orjson.dumps(schema.fill(inner, text)).decode(), (), "stop")
    if isinstance(wanted, dict) and wanted.get("type") == "json_object":
        return _Choice(orjson.dumps({"answer": text}).decode(), (), "stop")
    return _Choice(text, (), finish)


def _tool(request: dict[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The function to call: the one that is demanded, else the first; none once a tool has answered."""
    chosen = request.get("tool_choice", "auto")
    tools = [t.get("function") for t in _list(request.get("tools")) if isinstance(t, dict)]
    functions = [function for function in tools if isinstance(function, dict)]
    if not functions or chosen == "none" or messages[-1].get("role") == "tool":
        return None
    if isinstance(chosen, dict) and isinstance(chosen.get("function"), dict):
        demanded = chosen["function"].get("name")
        return next((function for function in functions if function.get("name") == demanded), functions[0])
    return functions[0]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _call(index: int, name: str, arguments: str) -> dict[str, Any]:
    return {
        "id": f"call_demo_{index}",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def _wants_usage(request: dict[str, Any]) -> bool:
    options = request.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def _chat_events(
    frame: dict[str, Any],
    choice: _Choice,
    count: int,
    deltas: int,
    usage: dict[str, int] | None,
) -> list[bytes]:
    """First the role, then the text with the choices interleaved, then the reasons, then usage."""
    empty = {} if usage is None else {"usage": None}

    def one(index: int, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choices = [{"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}]
        return event({**frame, "choices": choices, **empty})

    first = {"role": "assistant", "content": None if choice.calls else ""}
    events = [one(index, first) for index in range(count)]
    for position, (name, arguments) in enumerate(choice.calls):
        opening = {"index": position, **_call(position, name, "")}
        events += [one(index, {"tool_calls": [opening]}) for index in range(count)]
        for part in cut(arguments, deltas):
            fragment = {"index": position, "function": {"arguments": part}}
            events += [one(index, {"tool_calls": [fragment]}) for index in range(count)]
    for part in cut(choice.text, deltas):
        events += [one(index, {"content": part}) for index in range(count)]
    events += [one(index, {}, choice.finish) for index in range(count)]
    if usage is not None:
        events.append(event({**frame, "choices": [], "usage": usage}))
    events.append(DONE)
    return events


# --- completions ----------------------------------------------------------------------------------


def completion(body: bytes, deltas: int) -> Reply:
    """The answer to POST /v1/completions; several prompts give several choices, prompt by prompt."""
    request = parse(body)
    prompts = _prompts(request.get("prompt"))
    count = _count(request)
    said = [say(request, prompt, body) for prompt in prompts for _ in range(count)]
    usage = _usage(sum(map(words, prompts)), sum(words(text) for text, _ in said))
    frame = {"id": identity("cmpl", body), "object": "text_completion", "created": CREATED,
             "model": request.get("model", "demo")}  # fmt: skip
    if request.get("stream") is True:
        pieces = _completion_events(frame, said, deltas, usage if _wants_usage(request) else None)
        return Reply(200, tuple(pieces), "text/event-stream")
    choices = [
        {"index": index, "text": text, "logprobs": None, "finish_reason": finish}
        for index, (text, finish) in enumerate(said)
    ]
    return Reply(200, (orjson.dumps({**frame, "choices": choices, "usage": usage}),))


def _prompts(prompt: Any) -> list[str]:
    if isinstance(prompt, str):
        return [prompt]
    if isinstance(prompt, list) and prompt and all(isinstance(item, str) for item in prompt):
        return prompt
    if isinstance(prompt, list) and prompt and all(isinstance(item, int) for item in prompt):
        return [" ".join(map(str, prompt))]  # token ids: one prompt, a word per token
    raise RefusedError(400, "Missing required parameter: 'prompt'.", param="prompt")


def _completion_events(
    frame: dict[str, Any],
    said: list[tuple[str, str]],
    deltas: int,
    usage: dict[str, int] | None,
) -> list[bytes]:
    empty = {} if usage is None else {"usage": None}
    events: list[bytes] = []
    for index, (text, finish) in enumerate(said):
        parts: list[tuple[str, str | None]] = [(part, None) for part in cut(text, deltas)]
        for part, reason in [*parts, ("", finish)]:
            choices = [{"index": index, "text": part, "logprobs": None, "finish_reason": reason}]
            events.append(event({**frame, "choices": choices, **empty}))
    if usage is not None:
        events.append(event({**frame, "choices": [], "usage": usage}))
    events.append(DONE)
    return events


# --- embeddings and models ------------------------------------------------------------------------


def embedding(body: bytes) -> Reply:
    """The answer to POST /v1/embeddings: unit vectors that depend on the text alone."""
    request = parse(body)
    texts = _prompts_of_embedding(request.get("input"))
    dimensions = request.get("dimensions", DIMENSIONS_DEFAULT)
    if not isinstance(dimensions, int) or not 1 <= dimensions <= DIMENSIONS_LIMIT:
        raise RefusedError(400, f"'dimensions' must be between 1 and {DIMENSIONS_LIMIT}.", param="dimensions")
    packed = request.get("encoding_format") == "base64"
    data = []
    for index, text in enumerate(texts):
        numbers = vector(text, dimensions)
        value = base64.b64encode(struct.pack(f"<{dimensions}f", *numbers)).decode() if packed else numbers
        data.append({"object": "embedding", "index": index, "embedding": value})
    total = sum(map(words, texts))
    usage = {"prompt_tokens": total, "total_tokens": total}
    model = request.get("model", "demo-embed")
    return Reply(200, (orjson.dumps({"object": "list", "data": data, "model": model, "usage": usage}),))


def _prompts_of_embedding(value: Any) -> list[str]:
    if isinstance(value, list) and value and all(isinstance(item, list) for item in value):
        return [" ".join(map(str, item)) for item in value]
    try:
        return _prompts(value)
    except RefusedError as failure:
        raise RefusedError(400, "Missing required parameter: 'input'.", param="input") from failure


def vector(text: str, dimensions: int) -> list[float]:
    """A point on the unit sphere, uniform enough for similarity tests, from SHAKE-256 of the text."""
    raw = hashlib.shake_256(text.encode("utf-8", "surrogatepass")).digest(2 * dimensions)
    numbers = [number + 0.5 for number in struct.unpack(f"<{dimensions}h", raw)]  # + 0.5: never the zero vector
    length = math.sqrt(sum(number * number for number in numbers))
    return [number / length for number in numbers]


def models() -> Reply:
    """The answer to GET /v1/models."""
    data = [{"id": name, "object": "model", "created": CREATED, "owned_by": "demo"} for name in sample.MODELS]
    return Reply(200, (orjson.dumps({"object": "list", "data": data}),))
