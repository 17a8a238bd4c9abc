"""OpenAI's Responses: whole answers for clients, and the objects that streams are made of too. Reads nothing."""

from typing import Any, Final

import orjson

from extproc.translate.canon import Answer, Call, Finish, Part, Redacted, Refusal, Text, Thinking, Usage
from extproc.translate.dialect import Origin
from extproc.translate.fields import malformed

#: Why a response is incomplete; other ends are complete ones.
_INCOMPLETE: Final = {Finish.LENGTH: "max_output_tokens", Finish.FILTERED: "content_filter"}


#: How ids of reasoning begin that is told here: no provider's do.
OWN_REASONING: Final = "rs_gw"
#: Kinds of parts of a message, and the field that their words stand in.
FIELDS: Final = {"output_text": "text", "refusal": "refusal"}


def write_answer(answer: Answer, origin: Origin) -> dict[str, Any]:
    """A whole response."""
    output: list[dict[str, Any]] = []
    ids: set[str] = set()
    talk: list[dict[str, Any]] | None = None  # of the message that further words are added to
    for part in answer.parts:
        if type(part) is Text or type(part) is Refusal:
            if not part.text:
                continue
            if talk is None:
                talk = []
                output.append(message(origin, len(output), talk, "completed"))
            _say(part, talk)
        elif (item := _item(part, origin, len(output), ids)) is not None:
            talk = None
            output.append(item)
    if talk is not None and answer.finish in _INCOMPLETE:
        output[-1]["status"] = "incomplete"
    told = shell(answer.id, answer.model, answer.created_s, origin)
    return ended(told, answer.finish, output, answer.usage)


def _say(part: Text | Refusal, talk: list[dict[str, Any]]) -> None:
    """Texts that follow each other are one, as clients join them."""
    kind = "output_text" if type(part) is Text else "refusal"
    if talk and talk[-1]["type"] == kind:
        talk[-1][FIELDS[kind]] += part.text
    else:
        talk.append(words(kind, part.text))


def call_id(told: str, origin: Origin, at: int, ids: set[str]) -> str:
    """The id of a call among `ids` of those before it. One that a provider gives twice would end OpenAI's client."""
    chosen = origin.made_id("call", at) if not told or told in ids else told
    ids.add(chosen)
    return chosen


def _item(part: Part, origin: Origin, at: int, ids: set[str]) -> dict[str, Any] | None:
    if type(part) is Thinking:
        return reasoning(origin, at, part.text) if part.text else None
    if type(part) is Call:
        return call(origin, at, call_id(part.id, origin, at, ids), part.name, part.arguments, status_of(part.arguments))
    if type(part) is Redacted:
        return None
    raise malformed("a part that a response has no item for")


def words(kind: str, text: str) -> dict[str, Any]:
    """A part of a message."""
    if kind == "output_text":
        return {"type": kind, "text": text, "annotations": [], "logprobs": []}
    return {"type": kind, FIELDS[kind]: text}


def summary(text: str) -> dict[str, Any]:
    """A part of reasoning. Providers that show reasoning show it retold, more often than not."""
    return {"type": "summary_text", "text": text}


def message(origin: Origin, at: int, content: list[dict[str, Any]], status: str) -> dict[str, Any]:
    """What the model says."""
    name = origin.made_id("msg", at)
    return {"type": "message", "id": name, "role": "assistant", "status": status, "content": content}


def reasoning(origin: Origin, at: int, text: str) -> dict[str, Any]:
    """What the model thinks, as far as it is shown."""
    name = origin.made_id(OWN_REASONING, at)
    return {"type": "reasoning", "id": name, "summary": [summary(text)] if text else []}


def call(origin: Origin, at: int, told_id: str, name: str, arguments: str, status: str) -> dict[str, Any]:
    """A function that the model calls."""
    return {
        "type": "function_call",
        "id": origin.made_id("fc", at),
        "call_id": told_id,
        "name": name,
        "arguments": arguments,
        "status": status,
    }


def status_of(arguments: str) -> str:
    """Clients call a function on arguments that are complete: an answer that was cut leaves some that are no JSON."""
    try:
        orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return "incomplete"
    return "completed"


def shell(name: str, model: str, created_s: int | None, origin: Origin) -> dict[str, Any]:
    """A response that has said nothing yet. What OpenAI repeats of the request is not held that long."""
    return {
        "id": name or f"resp_{origin.request_id}",
        "object": "response",
        "created_at": origin.now_s if created_s is None else created_s,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": model or origin.model,
        "output": [],
        "parallel_tool_calls": True,
        "temperature": None,
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "usage": None,
    }


def ended(told: dict[str, Any], finish: Finish, output: list[dict[str, Any]], usage: Usage | None) -> dict[str, Any]:
    """The response at its end."""
    reason = _INCOMPLETE.get(finish)
    return {
        **told,
        "status": "completed" if reason is None else "incomplete",
        "incomplete_details": None if reason is None else {"reason": reason},
        "output": output,
        "usage": None if usage is None else written_usage(usage),
    }


def written_usage(usage: Usage) -> dict[str, Any]:
    """The `usage` object."""
    read = {"cached_tokens": usage.cached_tokens, "cache_write_tokens": usage.cache_write_tokens}
    made = {"reasoning_tokens": usage.reasoning_tokens}
    if usage.audio_input_tokens:
        read["audio_tokens"] = usage.audio_input_tokens
    if usage.audio_output_tokens:
        made["audio_tokens"] = usage.audio_output_tokens
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": read,
        "output_tokens": usage.output_tokens,
        "output_tokens_details": made,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
