"""Google Gemini's generateContent: answers, usage and errors (November 2026). No streams."""

from typing import Any, Final

import orjson

from extproc.translate.canon import Answer, Call, Failure, Fault, Finish, Part, Refusal, Text, Thinking, Usage
from extproc.translate.dialect import Origin
from extproc.translate.faults import clean_status, fault_of
from extproc.translate.fields import TOLD, Losses, arguments_of, malformed, source_of

_FINISH: Final = {
    "STOP": Finish.STOP,
    "MAX_TOKENS": Finish.LENGTH,
    "SAFETY": Finish.FILTERED,
    "RECITATION": Finish.FILTERED,
    "BLOCKLIST": Finish.FILTERED,
    "PROHIBITED_CONTENT": Finish.FILTERED,
    "SPII": Finish.FILTERED,
    "MODEL_ARMOR": Finish.FILTERED,
}
FINISH_REASONS: Final = {
    Finish.STOP: "STOP",
    Finish.STOP_SEQUENCE: "STOP",
    Finish.LENGTH: "MAX_TOKENS",
    Finish.CALLS: "STOP",
    Finish.FILTERED: "SAFETY",
    Finish.PAUSED: "STOP",
}
#: Of a candidate: where the words come from.
CITATIONS: Final = ("citationMetadata", "groundingMetadata")
#: google.rpc.Code, by what is meant.
_STATUS_WORDS: Final = {
    Fault.INVALID: "INVALID_ARGUMENT",
    Fault.UNAUTHENTICATED: "UNAUTHENTICATED",
    Fault.FORBIDDEN: "PERMISSION_DENIED",
    Fault.UNKNOWN: "NOT_FOUND",
    Fault.TOO_LARGE: "INVALID_ARGUMENT",
    Fault.LIMITED: "RESOURCE_EXHAUSTED",
    Fault.UNPAID: "FAILED_PRECONDITION",
    Fault.OVERLOADED: "UNAVAILABLE",
    Fault.TIMEOUT: "DEADLINE_EXCEEDED",
    Fault.BROKEN: "INTERNAL",
}


def finish_of(word: str) -> Finish:
    """Why an answer ended. Words for broken answers are failures: what there is of such an answer is no answer."""
    finish = _FINISH.get(word)
    if finish is None:
        raise malformed("the answer ended for a reason that is no end")
    return finish


def read_answer(body: dict[str, Any]) -> Answer:
    """A whole answer. Of several candidates the first."""
    losses = Losses()
    candidates = TOLD.objects(body, "candidates")
    parts: list[Part] = []
    if not candidates:
        if TOLD.object(body, "promptFeedback") is None:
            raise malformed("no candidates")
        finish = Finish.FILTERED  # the prompt was blocked
    else:
        if len(candidates) > 1:
            losses.add("candidates", "one answer was asked for")
        content = TOLD.object(candidates[0], "content") or {}
        parts = [part for told in TOLD.objects(content, "parts") if (part := read_part(told)) is not None]
        finish = finish_of(TOLD.string(candidates[0], "finishReason") or "STOP")
        for name in CITATIONS:
            if candidates[0].get(name):
                losses.add(f"candidates[].{name}", "citations are a provider's own")
    if any(type(part) is Call and part.signature for part in parts):
        losses.add("thoughtSignature", "other dialects have no place for it")
    if finish is Finish.STOP and any(type(part) is Call for part in parts):
        finish = Finish.CALLS
    return Answer(
        id=TOLD.string(body, "responseId"),
        model=TOLD.string(body, "modelVersion"),
        parts=tuple(parts),
        finish=finish,
        usage=usage_of(body.get("usageMetadata")),
        lost=losses.told(),
    )


def read_part(told: dict[str, Any]) -> Part | None:
    """One part of an answer; None where it says nothing."""
    text = told.get("text")
    if text is not None:
        if type(text) is not str:
            raise malformed("text is not a string")
        if told.get("thought") is True:
            return Thinking(text) if text else None
        return Text(text) if text else None
    call = TOLD.object(told, "functionCall")
    if call is not None:
        arguments = source_of(TOLD.object(call, "args") or {}, malformed("the arguments of a call are nested too deep"))
        signature = TOLD.string(told, "thoughtSignature")
        return Call(TOLD.string(call, "id"), TOLD.needed(call, "name"), arguments, signature)
    if told.keys() <= {"thoughtSignature", "thought"}:
        return None
    raise malformed("a part of unknown kind")


def write_answer(answer: Answer, origin: Origin) -> dict[str, Any]:
    """A whole answer."""
    parts = [told for part in answer.parts if (told := write_part(part)) is not None]
    body: dict[str, Any] = {
        "candidates": [
            {
                "content": {"role": "model", "parts": parts},
                "finishReason": FINISH_REASONS[answer.finish],
                "index": 0,
            },
        ],
        "modelVersion": answer.model or origin.model,
        "responseId": answer.id or origin.request_id,
    }
    if answer.usage is not None:
        body["usageMetadata"] = written_usage(answer.usage)
    return body


def write_part(part: Part) -> dict[str, Any] | None:
    """One part of an answer; None for what only another provider can read."""
    if type(part) is Text or type(part) is Refusal:
        return {"text": part.text}
    if type(part) is Thinking:
        return {"text": part.text, "thought": True}
    if type(part) is Call:
        tree = arguments_of(part.arguments, malformed("the arguments of a call are not a JSON object"))
        call: dict[str, Any] = {"name": part.name, "args": tree}
        if part.id:
            call["id"] = part.id
        return {"functionCall": call, **({"thoughtSignature": part.signature} if part.signature else {})}
    return None


def usage_of(tree: Any) -> Usage | None:
    """The counts of `usageMetadata`; None where there is none. Thoughts are told beside the output."""
    if type(tree) is not dict:
        return None
    thoughts = TOLD.count(tree, "thoughtsTokenCount") or 0
    return Usage(
        (TOLD.count(tree, "promptTokenCount") or 0) + (TOLD.count(tree, "toolUsePromptTokenCount") or 0),
        (TOLD.count(tree, "candidatesTokenCount") or 0) + thoughts,
        TOLD.count(tree, "cachedContentTokenCount") or 0,
        0,
        thoughts,
        _sound(tree, "promptTokensDetails"),
        _sound(tree, "candidatesTokensDetails"),
    )


def _sound(usage: dict[str, Any], name: str) -> int:
    """Tokens of sound, which cost more than those of text."""
    told = [each for each in TOLD.objects(usage, name) if each.get("modality") == "AUDIO"]
    return sum(TOLD.count(each, "tokenCount") or 0 for each in told)


def written_usage(usage: Usage) -> dict[str, Any]:
    """The `usageMetadata` of an answer."""
    told = {
        "promptTokenCount": usage.input_tokens,
        "candidatesTokenCount": max(0, usage.output_tokens - usage.reasoning_tokens),
        "totalTokenCount": usage.input_tokens + usage.output_tokens,
    }
    if usage.cached_tokens:
        told["cachedContentTokenCount"] = usage.cached_tokens
    if usage.reasoning_tokens:
        told["thoughtsTokenCount"] = usage.reasoning_tokens
    return told


def read_error(status: int, body: bytes) -> Failure:
    """The error object, alone or in a list; anything else is told by its status alone. `status` 200 is a stream's."""
    message, word = "", ""
    try:
        tree = orjson.loads(body)
    except orjson.JSONDecodeError:
        tree = None
    if type(tree) is list and tree:
        tree = tree[0]
    told = tree.get("error") if type(tree) is dict else None
    if type(told) is dict:
        message, word = (value if type(value) is str else "" for value in (told.get("message"), told.get("status")))
        if status == 200 and type(told.get("code")) is int:
            status = told["code"]
    status = clean_status(status)
    return Failure(fault_of(status), status, message or f"The model's provider answered {status}.", word)


def write_error(failure: Failure) -> dict[str, Any]:
    """The error object that the official SDK reads."""
    word = _STATUS_WORDS[failure.fault]
    return {"error": {"code": failure.status, "message": failure.message, "status": word}}
