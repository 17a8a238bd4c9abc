"""Gemini event streams: every text of every candidate passes a hold-back of its own.

Each event is a whole answer that says a little more, and nothing marks the end but the end of the bytes (Gemini API
reference, "streamGenerateContent"). Some models tell a finish reason with every event, so none of them is an end: the
last one told leaves in an event of its own, with what was held, when the bytes have ended. Events leave as they are
written here anew, from fields that are known; comments do not leave, because the official SDK takes them for answers.
"""

from typing import Any, Final

import orjson

from extproc.core import sse
from extproc.core.returned import give_back
from extproc.core.texts import broken, lay
from extproc.core.unknown import Unknown
from extproc.core.windows import Channel, judge, of_text
from extproc.guardrails.guard import Guard, Tally
from extproc.providers.door import TOLD_ERROR, Seen, break_off
from extproc.providers.gemini_parts import ABOUT, TOLD, objects, read_usage, seam
from gateway.errors import Dialect, GatewayError, Kind, body_of

#: What says of a candidate that it has not ended.
_NO_REASONS: Final = frozenset({None, "", "FINISH_REASON_UNSPECIFIED"})
_SHELL: Final = frozenset({"usageMetadata", "modelVersion", "responseId", "createTime", "modelStatus"})
_EVENT: Final = _SHELL | {"candidates", "promptFeedback"}
#: Of a candidate, beside its content: objects and words that a provider tells whole.
_BESIDE: Final = frozenset(
    {"safetyRatings", "citationMetadata", "groundingMetadata", "urlContextMetadata", "avgLogprobs", "tokenCount"}
)
_END: Final = ("finishReason", "finishMessage")
_CALL: Final = frozenset({"id", "name", "args"})
#: The API takes eight.
_MAX_CANDIDATES: Final = 64


def malformed(what: str) -> GatewayError:
    """The provider sent something that cannot be guarded."""
    return GatewayError(
        Kind.BACKEND_ANSWER_INVALID,
        "The model's answer could not be understood and was withheld.",
        cause=what,
    )


def kind_of(part: dict[str, Any]) -> str:
    """What a part says: the field that is not about it; "" where it says nothing. What is known goes first."""
    kinds = [name for name, value in part.items() if name not in ABOUT and value is not None]
    known = [name for name in kinds if name in TOLD]
    if len(known) > 1:
        raise malformed("a part says two things")
    return (known or kinds or [""])[0]


class _Candidate:
    """One candidate of the answer."""

    __slots__ = ("before", "beside", "channel", "end", "thought")

    def __init__(self) -> None:
        self.channel: Channel | None = None  # of the text that is told at the moment
        self.thought = False  # whether that is a thought
        self.before = {True: "", False: ""}  # last character of the thoughts, and of the texts
        self.beside: dict[str, Any] = {}  # what was told beside texts that are held
        self.end: dict[str, Any] = {}  # the last reason told


class ContentStream:
    """The guard of one stream."""

    def __init__(self, guard: Guard, tally: Tally, seen: Seen) -> None:
        self.blocked: str | None = None
        self._guard = guard
        self._tally = tally
        self._seen = seen
        self._unknown = Unknown(guard, tally)
        self._candidates: dict[int, _Candidate] = {}
        self._shell: dict[str, Any] = {}  # what names the answer, as told last
        self.over = False  # only an error is seen to be the last event; the bytes tell any other end
        self._finished = False
        self._prevented = False  # the prompt was refused: no candidate will come

    def feed(self, frames: list[sse.Frame]) -> bytes:
        """Guard whole events; see `StreamGuard.feed`."""
        out: list[bytes] = []
        for frame in frames:
            if self.over or self.blocked is not None:
                break
            told = b"" if frame.data is None else self._event(frame.data)
            if self.blocked is None:
                out.append(told)
        return b"".join(out)

    def finish(self) -> bytes:
        """Release what is held, with the reason of the end. Idempotent."""
        self._unknown.finish()
        self.blocked = self.blocked or self._unknown.blocked
        if self.over or self._finished or self.blocked is not None:
            return b""
        self._finished = True
        reasons = [each.end.get("finishReason") for each in self._candidates.values()]
        ends = self._prevented or (reasons and not _NO_REASONS & set(reasons))
        last = []
        for index, candidate in sorted(self._candidates.items()):
            parts: list[dict[str, Any]] = []
            self._flush(candidate, parts)
            beside = {**candidate.beside, **candidate.end}
            if parts or beside:
                last.append(_told(index, parts or [{"text": ""}], beside))
        if self.blocked is not None or (ends and not last):
            return b""
        held = _written({"candidates": last, **self._shell}) if last else b""
        return held if ends else break_off(self, self._seen, held)

    def cut(self, error: GatewayError) -> bytes:
        """The event that the official SDK raises as an APIError. Nothing follows it."""
        return _written(body_of(error, Dialect.GEMINI))

    def instead(self, text: str) -> bytes | None:
        """A last event that says it, in candidates that end for safety's sake."""
        last = [_told(index, [{"text": text}], {"finishReason": "SAFETY"}) for index in sorted(self._candidates) or [0]]
        return _written({"candidates": last, **self._shell})

    def _event(self, data: bytes) -> bytes:
        try:
            tree = orjson.loads(data)
        except orjson.JSONDecodeError:
            raise malformed("event is not JSON") from None
        if type(tree) is not dict:
            raise malformed("event is not an object")
        if tree.get("error") is not None:
            return self._error(tree["error"])
        told = {key: tree[key] for key in tree if key in _EVENT and tree[key] is not None}
        if not told:
            raise malformed("an event of an unknown type")
        candidates = told.pop("candidates", None)
        feedback = told.get("promptFeedback")
        self._prevented |= type(feedback) is dict and bool(feedback.get("blockReason"))
        read_usage(self._seen, told.get("usageMetadata"))
        self._judge(told)
        self._shell.update({key: told[key] for key in told if key in _SHELL})
        if candidates is None:
            return _written(told)
        if type(candidates) is not list or len(objects(candidates)) != len(candidates):
            raise malformed("candidates are not a list of objects")
        left = [each for each in map(self._candidate, candidates) if each is not None]
        if not left and "promptFeedback" not in told:
            return b""
        return _written({"candidates": left, **told} if left else told)

    def _error(self, error: Any) -> bytes:
        """The provider's own error ends the answer. What is held is dropped with it."""
        told = {"error": error}  # first in its event: the official SDK looks for it there
        self._judge(told)
        self._seen.failed = self._seen.failed or TOLD_ERROR
        self.over = True
        return _written(told)

    def _candidate(self, source: dict[str, Any]) -> dict[str, Any] | None:
        """What may be told of a candidate now; None where that is nothing."""
        index = source.get("index", 0)
        if type(index) is not int or index < 0:
            raise malformed("a candidate's index is not a whole number")
        candidate = self._candidates.get(index)
        if candidate is None:
            if len(self._candidates) >= _MAX_CANDIDATES:
                raise malformed("too many candidates")
            candidate = self._candidates[index] = _Candidate()
        beside = {key: source[key] for key in source if key in _BESIDE and source[key] is not None}
        end = {key: source[key] for key in _END if source.get(key) is not None}
        if any(type(value) is not str for value in end.values()):
            raise malformed("a finish reason is not a string")
        self._judge(beside)
        self._judge(end)
        content = source.get("content")
        parts = self._parts(candidate, content) if content is not None else []
        if end:
            candidate.end = end
        candidate.beside.update(beside)
        if not parts:
            return None  # the official SDK takes a conversation for broken in which an event says nothing
        beside, candidate.beside = candidate.beside, {}
        return _told(index, parts, beside)

    def _parts(self, candidate: _Candidate, content: Any) -> list[dict[str, Any]]:
        parts = content.get("parts") if type(content) is dict else content
        if parts is None and type(content) is dict:
            return []
        if type(parts) is not list:
            raise malformed("parts are not a list")
        out: list[dict[str, Any]] = []
        for part in parts:
            if type(part) is not dict:
                raise malformed("a part is not an object")
            self._part(candidate, part, out)
        return out

    def _part(self, candidate: _Candidate, part: dict[str, Any], out: list[dict[str, Any]]) -> None:
        kind, signature = kind_of(part), part.get("thoughtSignature")
        if signature is not None:
            if type(signature) is not str:
                raise malformed("a signature is not a string")
            self.blocked = self.blocked or broken([{"thoughtSignature": signature}], self._guard, self._tally)
        about: dict[str, Any] = {} if signature is None else {"thoughtSignature": signature}
        if kind and kind not in TOLD:
            self._flush(candidate, out)
            if self._unknown.meet("a part", kind, (kind,)):
                self._unknown.event(kind, part)
            self.blocked = self.blocked or self._unknown.blocked
            out.append(part)
        elif kind == "functionCall":
            self._flush(candidate, out)
            out.append({"functionCall": self._call(part[kind]), **about})
        else:
            thought = part.get("thought") is True
            released = self._push(candidate, part.get("text"), out, thought=thought)
            if released or about:
                out.append({"text": released, **({"thought": True} if thought else {}), **about})

    def _call(self, source: Any) -> dict[str, Any]:
        """A call, which comes whole, and is guarded as those of JSON answers are."""
        if type(source) is not dict or not source.keys() <= _CALL:
            raise malformed("a call that is told in pieces, or is none")
        name, args = source.get("name"), source.get("args")
        if type(name) is not str or (args is not None and type(args) is not dict):
            raise malformed("a call without a name, or with arguments that are no object")
        call = {key: value for key, value in source.items() if value is not None}
        self._seen.say(orjson.dumps(call).decode())
        if args:
            self.blocked = self.blocked or judge(args, self._guard, self._tally, source=False)
        tree = {"candidates": [{"content": {"parts": [{"functionCall": call}]}}]}
        returned = {} if self._guard.restoring is None else give_back(tree, self._guard.restoring)
        laid = lay(tree, self._guard, self._tally, returned)
        self.blocked = self.blocked or laid.blocked
        return call

    def _push(self, candidate: _Candidate, text: Any, out: list[dict[str, Any]], *, thought: bool) -> str:
        if text is None:
            return ""
        if type(text) is not str:
            raise malformed("text is not a string")
        if not text:
            return ""
        self._seen.say(text)
        if candidate.channel is not None and candidate.thought is not thought:
            self._flush(candidate, out)
        if candidate.channel is None:
            candidate.thought = thought
            candidate.channel = of_text(self._guard, self._tally, joined=not thought)
            text = seam(candidate.before[thought], text) + text
        candidate.before[thought] = text[-1]
        released = candidate.channel.push(text)
        self.blocked = self.blocked or candidate.channel.blocked
        return released

    def _flush(self, candidate: _Candidate, out: list[dict[str, Any]]) -> None:
        """End the text that is told at the moment; what it still held is a part of its own."""
        channel, candidate.channel = candidate.channel, None
        if channel is None:
            return
        tail = channel.flush()
        self.blocked = self.blocked or channel.blocked
        if tail:
            out.append({"text": tail, **({"thought": True} if candidate.thought else {})})

    def _judge(self, tree: dict[str, Any]) -> None:
        """Guard what a provider tells whole."""
        laid = lay(tree, self._guard, self._tally)
        self.blocked = self.blocked or laid.blocked


def _told(index: int, parts: list[dict[str, Any]], end: dict[str, Any]) -> dict[str, Any]:
    return {"content": {"role": "model", "parts": parts}, **end, "index": index}


def _written(tree: dict[str, Any]) -> bytes:
    return sse.encode(orjson.dumps(tree))
