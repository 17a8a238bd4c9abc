"""OpenAI's chat completions: answers, usage and errors (API reference, November 2026). No streams."""

from typing import Any, Final

import orjson

from extproc.translate.canon import Answer, Call, Failure, Fault, Finish, Part, Refusal, Text, Thinking, Usage
from extproc.translate.dialect import Origin
from extproc.translate.faults import clean_status, fault_of
from extproc.translate.fields import TOLD, Losses, malformed

_FINISH: Final = {
    "stop": Finish.STOP,
    "length": Finish.LENGTH,
    "tool_calls": Finish.CALLS,
    "function_call": Finish.CALLS,
    "content_filter": Finish.FILTERED,
}
FINISHED: Final = {
    Finish.STOP: "stop",
    Finish.STOP_SEQUENCE: "stop",
    Finish.LENGTH: "length",
    Finish.CALLS: "tool_calls",
    Finish.FILTERED: "content_filter",
    Finish.PAUSED: "stop",
}
#: OpenAI API reference, "Error codes".
ERROR_TYPES: Final = {
    Fault.INVALID: "invalid_request_error",
    Fault.UNAUTHENTICATED: "authentication_error",
    Fault.FORBIDDEN: "permission_error",
    Fault.UNKNOWN: "not_found_error",
    Fault.TOO_LARGE: "invalid_request_error",
    Fault.LIMITED: "rate_limit_error",
    Fault.UNPAID: "insufficient_quota",
    Fault.OVERLOADED: "server_error",
    Fault.TIMEOUT: "server_error",
    Fault.BROKEN: "server_error",
}


def read_answer(body: dict[str, Any]) -> Answer:
    """A whole completion."""
    losses = Losses()
    choices = TOLD.objects(body, "choices")
    if not choices:
        raise malformed("no choices")
    if len(choices) > 1:
        losses.add("choices", "one answer was asked for")
    message = TOLD.object(choices[0], "message")
    if message is None:
        raise malformed("no message")
    parts = _read_message(message, losses)
    finish = finish_of(TOLD.string(choices[0], "finish_reason"))
    if finish is Finish.STOP and any(type(part) is Call for part in parts):
        finish = Finish.CALLS  # some servers say "stop" where they call
    return Answer(
        id=TOLD.string(body, "id"),
        model=TOLD.string(body, "model"),
        parts=parts,
        finish=finish,
        usage=usage_of(body.get("usage")),
        created_s=TOLD.whole(body, "created"),
        lost=losses.told(),
    )


def write_answer(answer: Answer, origin: Origin) -> dict[str, Any]:
    """A whole completion."""
    said = "".join([part.text for part in answer.parts if type(part) is Text])
    refused = "".join([part.text for part in answer.parts if type(part) is Refusal])
    thought = "".join([part.text for part in answer.parts if type(part) is Thinking])
    calls = [part for part in answer.parts if type(part) is Call]
    message: dict[str, Any] = {"role": "assistant", "content": said or None, "refusal": refused or None}
    if not said and not calls and not refused:
        message["content"] = ""
    if thought:
        message["reasoning_content"] = thought
    if calls:
        message["tool_calls"] = [
            {
                "id": call.id or origin.made_id("call", index),
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for index, call in enumerate(calls)
        ]
    body: dict[str, Any] = {
        "id": answer.id or f"chatcmpl-{origin.request_id}",
        "object": "chat.completion",
        "created": origin.now_s if answer.created_s is None else answer.created_s,
        "model": answer.model or origin.model,
        "choices": [
            {"index": 0, "message": message, "logprobs": None, "finish_reason": FINISHED[answer.finish]},
        ],
    }
    if answer.usage is not None:
        body["usage"] = written_usage(answer.usage)
    return body


def _read_message(message: dict[str, Any], losses: Losses) -> tuple[Part, ...]:
    parts: list[Part] = []
    if thought := TOLD.string(message, "reasoning_content") or TOLD.string(message, "reasoning"):
        parts.append(Thinking(thought))
    if said := TOLD.string(message, "content"):
        parts.append(Text(said))
    if refused := TOLD.string(message, "refusal"):
        parts.append(Refusal(refused))
    if message.get("annotations"):
        losses.add("annotations", "citations are a provider's own")
    calls = TOLD.objects(message, "tool_calls")
    legacy = TOLD.object(message, "function_call")
    for call in (*calls, *([{"function": legacy}] if legacy else ())):
        function = TOLD.object(call, "function")
        if function is None:
            raise malformed("a call of no function")
        arguments = TOLD.string(function, "arguments")
        parts.append(
            Call(TOLD.string(call, "id"), TOLD.needed(function, "name"), arguments if arguments.strip() else "{}")
        )
    return tuple(parts)


def usage_of(tree: Any) -> Usage | None:
    """The counts of a `usage` object; None where there is none."""
    if type(tree) is not dict:
        return None
    read = TOLD.object(tree, "prompt_tokens_details") or {}
    made = TOLD.object(tree, "completion_tokens_details") or {}
    asked, said = TOLD.count(tree, "prompt_tokens") or 0, TOLD.count(tree, "completion_tokens") or 0
    thought = TOLD.count(made, "reasoning_tokens") or 0
    if thought and tree.get("total_tokens") == asked + said + thought:
        said += thought  # some servers leave reasoning out of the output and bill it all the same (xAI)
    cached = TOLD.count(read, "cached_tokens") or TOLD.count(tree, "prompt_cache_hit_tokens")  # DeepSeek's name
    return Usage(
        asked,
        said,
        cached or 0,
        TOLD.count(read, "cache_write_tokens") or 0,
        thought,
        TOLD.count(read, "audio_tokens") or 0,
        TOLD.count(made, "audio_tokens") or 0,
    )


def written_usage(usage: Usage) -> dict[str, Any]:
    """The `usage` object of an answer or of a stream's last event."""
    told: dict[str, Any] = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
    read = {
        "cached_tokens": usage.cached_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "audio_tokens": usage.audio_input_tokens,
    }
    if any(read.values()):
        told["prompt_tokens_details"] = {
            name: count for name, count in read.items() if count or name == "cached_tokens"
        }
    made = {"reasoning_tokens": usage.reasoning_tokens, "audio_tokens": usage.audio_output_tokens}
    if any(made.values()):
        told["completion_tokens_details"] = {name: count for name, count in made.items() if count}
    return told


def finish_of(word: str) -> Finish:
    """Why an answer ended. A word of a server's own is an end like any other."""
    return _FINISH.get(word, Finish.STOP)


def read_error(status: int, body: bytes) -> Failure:
    """The error object of OpenAI, Azure and vLLM; anything else is told by its status alone."""
    message, code = "", ""
    try:
        tree = orjson.loads(body)
    except orjson.JSONDecodeError:
        tree = None
    if type(tree) is dict:
        inner = tree.get("error")
        told = inner if type(inner) is dict else tree
        message, code = (value if type(value) is str else "" for value in (told.get("message"), told.get("code")))
    status = clean_status(status)
    return Failure(fault_of(status), status, message or f"The model's provider answered {status}.", code)


def write_error(failure: Failure) -> dict[str, Any]:
    """The error object that the official SDKs read."""
    return {
        "error": {
            "message": failure.message,
            "type": ERROR_TYPES[failure.fault],
            "param": None,
            "code": failure.code or None,
        },
    }
