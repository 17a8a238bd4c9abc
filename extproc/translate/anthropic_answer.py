"""Anthropic's messages: answers, usage and errors (API version 2023-06-01). No streams."""

from typing import Any, Final

import orjson

from extproc.translate.canon import (
    Answer,
    Call,
    Failure,
    Fault,
    Finish,
    Part,
    Redacted,
    Refusal,
    Text,
    Thinking,
    Usage,
)
from extproc.translate.dialect import Origin
from extproc.translate.faults import clean_status, fault_of
from extproc.translate.fields import TOLD, Losses, arguments_of, malformed, source_of

_FINISH: Final = {
    "end_turn": Finish.STOP,
    "max_tokens": Finish.LENGTH,
    "model_context_window_exceeded": Finish.LENGTH,
    "stop_sequence": Finish.STOP_SEQUENCE,
    "tool_use": Finish.CALLS,
    "refusal": Finish.FILTERED,
    "pause_turn": Finish.PAUSED,
}
STOP_REASONS: Final = {
    Finish.STOP: "end_turn",
    Finish.STOP_SEQUENCE: "stop_sequence",
    Finish.LENGTH: "max_tokens",
    Finish.CALLS: "tool_use",
    Finish.FILTERED: "refusal",
    Finish.PAUSED: "pause_turn",
}
#: Anthropic API, "Errors".
_ERROR_TYPES: Final = {
    Fault.INVALID: "invalid_request_error",
    Fault.UNAUTHENTICATED: "authentication_error",
    Fault.FORBIDDEN: "permission_error",
    Fault.UNKNOWN: "not_found_error",
    Fault.TOO_LARGE: "request_too_large",
    Fault.LIMITED: "rate_limit_error",
    Fault.UNPAID: "billing_error",
    Fault.OVERLOADED: "overloaded_error",
    Fault.TIMEOUT: "timeout_error",
    Fault.BROKEN: "api_error",
}
_FAULTS: Final = {word: fault for fault, word in _ERROR_TYPES.items()}
#: Statuses of errors within streams, which have none of their own.
_STATUSES: Final = {
    Fault.INVALID: 400,
    Fault.UNAUTHENTICATED: 401,
    Fault.UNPAID: 402,
    Fault.FORBIDDEN: 403,
    Fault.UNKNOWN: 404,
    Fault.TOO_LARGE: 413,
    Fault.LIMITED: 429,
    Fault.OVERLOADED: 503,
    Fault.TIMEOUT: 504,
    Fault.BROKEN: 500,
}


def finish_of(word: str) -> Finish:
    """Why an answer ended. A word that is new is an end like any other."""
    return _FINISH.get(word, Finish.STOP)


def read_answer(body: dict[str, Any]) -> Answer:
    """A whole message."""
    losses = Losses()
    content = TOLD.objects(body, "content")
    return Answer(
        id=TOLD.string(body, "id"),
        model=TOLD.string(body, "model"),
        parts=tuple(_read_block(block, losses) for block in content),
        finish=finish_of(TOLD.string(body, "stop_reason")),
        stop_sequence=TOLD.string(body, "stop_sequence") or None,
        usage=usage_of(body.get("usage")),
        lost=losses.told(),
    )


def _read_block(block: dict[str, Any], losses: Losses) -> Part:
    kind = block.get("type")
    if kind == "text":
        if block.get("citations"):
            losses.add("content[].citations", "citations are a provider's own")
        return Text(TOLD.string(block, "text"))
    if kind == "tool_use":
        arguments = source_of(TOLD.object(block, "input") or {}, malformed("the input of a call is nested too deep"))
        return Call(TOLD.needed(block, "id"), TOLD.needed(block, "name"), arguments)
    if kind == "thinking":
        return Thinking(TOLD.string(block, "thinking"), TOLD.string(block, "signature"))
    if kind == "redacted_thinking":
        return Redacted(TOLD.string(block, "data"))
    raise malformed("a block of unknown type")


def write_answer(answer: Answer, origin: Origin) -> dict[str, Any]:
    """A whole message."""
    usage = answer.usage or Usage()
    refused = answer.finish is Finish.STOP and any(type(part) is Refusal for part in answer.parts)
    content = [
        block
        for index, part in enumerate(answer.parts)
        if (block := _write_block(part, origin.made_id("toolu", index))) is not None
    ]
    return {
        "id": answer.id or f"msg_{origin.request_id}",
        "type": "message",
        "role": "assistant",
        "model": answer.model or origin.model,
        "content": content,
        "stop_reason": STOP_REASONS[Finish.FILTERED if refused else answer.finish],
        "stop_sequence": answer.stop_sequence,
        "usage": written_usage(usage),
    }


def _write_block(part: Part, call_id: str) -> dict[str, Any] | None:
    if type(part) is Text or type(part) is Refusal:
        return {"type": "text", "text": part.text} if part.text else None
    if type(part) is Call:
        tree = arguments_of(part.arguments, malformed("the arguments of a call are not a JSON object"))
        return {"type": "tool_use", "id": part.id or call_id, "name": part.name, "input": tree}
    if type(part) is Thinking:
        return {"type": "thinking", "thinking": part.text, "signature": part.signature}
    if type(part) is Redacted:
        return {"type": "redacted_thinking", "data": part.data}
    raise malformed("a part that no message holds")


def usage_of(tree: Any) -> Usage | None:
    """The counts of a `usage` object; None where there is none. What was read from a cache is told beside the input."""
    if type(tree) is not dict:
        return None
    fresh = TOLD.count(tree, "input_tokens") or 0
    cached = TOLD.count(tree, "cache_read_input_tokens") or 0
    written = TOLD.count(tree, "cache_creation_input_tokens") or 0
    details = TOLD.object(tree, "output_tokens_details") or {}
    return Usage(
        fresh + cached + written,
        TOLD.count(tree, "output_tokens") or 0,
        cached,
        written,
        TOLD.count(details, "thinking_tokens") or 0,
    )


def written_usage(usage: Usage) -> dict[str, Any]:
    """The `usage` object of a message."""
    told: dict[str, Any] = {
        "input_tokens": max(0, usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens),
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
    }
    if usage.reasoning_tokens:
        told["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return told


def read_error(status: int, body: bytes) -> Failure:
    """The error object; anything else is told by its status alone. `status` 200 is that of a stream."""
    message, word = "", ""
    try:
        tree = orjson.loads(body)
    except orjson.JSONDecodeError:
        tree = None
    told = tree.get("error") if type(tree) is dict else None
    if type(told) is dict:
        message, word = (value if type(value) is str else "" for value in (told.get("message"), told.get("type")))
    if status == 200:
        fault = _FAULTS.get(word, Fault.BROKEN)
        status = _STATUSES[fault]
    else:
        status = clean_status(status)
        fault = fault_of(status)
    return Failure(fault, status, message or f"The model's provider answered {status}.", word)


def write_error(failure: Failure) -> dict[str, Any]:
    """The error object that the official SDKs read."""
    return {"type": "error", "error": {"type": _ERROR_TYPES[failure.fault], "message": failure.message}}
