"""AWS Bedrock's Converse: answers, usage and errors (service model of November 2026). No streams."""

import re
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
    Text,
    Thinking,
    Usage,
)
from extproc.translate.faults import clean_status, fault_of
from extproc.translate.fields import TOLD, Losses, malformed, source_of

#: Without `malformed_model_output` and `malformed_tool_use`: what there is of such an answer is no answer.
_FINISH: Final = {
    "end_turn": Finish.STOP,
    "stop_sequence": Finish.STOP_SEQUENCE,
    "max_tokens": Finish.LENGTH,
    "model_context_window_exceeded": Finish.LENGTH,
    "tool_use": Finish.CALLS,
    "content_filtered": Finish.FILTERED,
    "guardrail_intervened": Finish.FILTERED,
}
#: Statuses of exceptions within streams, which have none of their own (service model, ConverseStreamOutput).
_STATUSES: Final = {
    "accessdeniedexception": 403,
    "internalserverexception": 500,
    "modelerrorexception": 424,
    "modelnotreadyexception": 429,
    "modelstreamerrorexception": 424,
    "modeltimeoutexception": 408,
    "resourcenotfoundexception": 404,
    "serviceunavailableexception": 503,
    "throttlingexception": 429,
    "validationexception": 400,
}
_MODEL_FAILED: Final = 424  # ModelErrorException: the model's fault, not the caller's
#: Names of resources have the number of the gateway's account in them.
_ARN: Final = re.compile(r"arn:aws[^\s\"'<>]{0,512}")


def finish_of(word: str, *, called: bool) -> Finish:
    """Why an answer ended. Some models say of their calls that they ended their turn."""
    finish = _FINISH.get(word)
    if finish is None:
        raise malformed("the answer ended for a reason that is no end")
    return Finish.CALLS if finish is Finish.STOP and called else finish


def read_answer(body: dict[str, Any]) -> Answer:
    """A whole answer. It names neither itself nor its model."""
    losses = Losses()
    message = TOLD.object(TOLD.object(body, "output") or {}, "message") or {}
    parts: list[Part] = []
    for block in TOLD.objects(message, "content"):
        parts += _read_block(block, losses)
    called = any(type(part) is Call for part in parts)
    return Answer(
        id="",
        model="",
        parts=tuple(parts),
        finish=finish_of(TOLD.needed(body, "stopReason"), called=called),
        usage=usage_of(body.get("usage")),
        lost=losses.told(),
    )


def _read_block(block: dict[str, Any], losses: Losses) -> tuple[Part, ...]:
    if block.get("text") is not None:
        return (Text(TOLD.string(block, "text")),)
    call = TOLD.object(block, "toolUse")
    if call is not None:
        call_id, name = call_of(call)
        arguments = source_of(TOLD.object(call, "input") or {}, malformed("the input of a call is nested too deep"))
        return (Call(call_id, name, arguments),)
    thought = TOLD.object(block, "reasoningContent")
    if thought is not None:
        if thought.get("redactedContent") is not None:
            return (Redacted(TOLD.string(thought, "redactedContent")),)
        told = TOLD.object(thought, "reasoningText") or {}
        return (Thinking(TOLD.string(told, "text"), TOLD.string(told, "signature")),)
    cited = TOLD.object(block, "citationsContent")
    if cited is not None:
        losses.add("content[].citations", "citations are a provider's own")
        return tuple(Text(TOLD.string(each, "text")) for each in TOLD.objects(cited, "content"))
    raise malformed("a block of unknown kind")


def call_of(told: dict[str, Any]) -> tuple[str, str]:
    """Id and name of a call that the client answers."""
    if told.get("type") is not None:
        raise malformed("a call of the provider's own")
    return TOLD.needed(told, "toolUseId"), TOLD.needed(told, "name")


def usage_of(tree: Any) -> Usage | None:
    """The counts of `usage`; None where there is none. What a cache read or wrote is told beside the input."""
    if type(tree) is not dict:
        return None
    cached = TOLD.count(tree, "cacheReadInputTokens") or 0
    written = TOLD.count(tree, "cacheWriteInputTokens") or 0
    fresh = TOLD.count(tree, "inputTokens") or 0
    return Usage(fresh + cached + written, TOLD.count(tree, "outputTokens") or 0, cached, written)


def read_error(status: int, body: bytes) -> Failure:
    """The error object; anything else is told by its status alone."""
    message, word = "", ""
    try:
        tree = orjson.loads(body)
    except orjson.JSONDecodeError:
        tree = None
    if type(tree) is dict:
        told = (tree.get("message") or tree.get("Message"), tree.get("__type"))
        message, word = (value if type(value) is str else "" for value in told)
    return _failure(clean_status(status), message, word.rpartition("#")[2])


def read_exception(kind: str, payload: bytes) -> Failure:
    """What a stream is ended by."""
    failure = read_error(_STATUSES.get(kind.lower(), 500), payload)
    return Failure(failure.fault, failure.status, failure.message, kind)


def _failure(status: int, message: str, code: str) -> Failure:
    fault = Fault.BROKEN if status == _MODEL_FAILED else fault_of(status)
    if fault in (Fault.UNAUTHENTICATED, Fault.FORBIDDEN):
        message = ""  # it speaks of the gateway's own keys, by their account and user
    return Failure(fault, status, _ARN.sub("arn", message) or f"The model's provider answered {status}.", code)
