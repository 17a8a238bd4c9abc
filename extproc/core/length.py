"""The longest answer that a tenant lets through: counted in characters said to the reader, and cut where it is full.

Counted are content and refusals of each choice, and all texts of a message or response together, as the client gets
them; not reasoning, and not arguments of tools, which half of them would spoil.
"""

from typing import Any, Final

import orjson

from extproc.core import sse
from extproc.guardrails.guard import Guard, Tally
from extproc.providers.openai_stream import DONE
from extproc.providers.responses_bound import SAID, Bound, cut_behind
from gateway.errors import Dialect
from gateway.policy.guard import LENGTH_ID
from gateway.policy.model import Action

_SAID: Final = ("content", "text", "refusal")
_CALLS: Final = ("tool_calls", "function_call")
_DATA: Final = b"data: "
_END: Final = b"\n\n"
_MAX_CHOICES: Final = 1024  # as many as a stream may have; the guard ends those that have more


class Length:
    """The bound on one answer."""

    def __init__(self, most: int, answers: int, path: str, guard: Guard, tally: Tally) -> None:
        """`answers`: as many as the request wants; when all have ended, nothing more is waited for."""
        self.blocked: str | None = None
        self.ended = False  # the stream was cut and has its end
        self._most, self._answers = most, answers
        self._guard, self._tally = guard, tally
        self._dialect = Dialect.of_path(path)
        self._bound = Bound(most) if path == "/v1/responses" else None
        done = guard.done(LENGTH_ID)
        self._stops = done >= Action.REPLACE
        self._cuts = done > Action.FLAG and not self._stops
        self._used: dict[int, int] = {}  # characters by choice; 0 where there is one
        self._over: set[int] = set()
        self._finished: set[int] = set()

    # --- JSON answers -------------------------------------------------------------------------------------

    def whole(self, answer: dict[str, Any]) -> bool:
        """Judge a JSON answer; whether it was cut."""
        for at, choice in enumerate(_objects(answer.get("choices"))):
            message = choice.get("message")
            if self._cut(at, message if type(message) is dict else choice):
                choice["finish_reason"] = "length"
        content = answer.get("content")
        for block in _objects(content):
            if self._cut(0, block) and type(content) is list:
                del content[content.index(block) + 1 :]
                answer["stop_reason"], answer["stop_sequence"] = "max_tokens", None
        for candidate in _objects(answer.get("candidates")):
            self._candidate(candidate)
        self._output(answer)
        return bool(self._over) and self._cuts and self.blocked is None

    def _cut(self, at: int, holder: dict[str, Any]) -> bool:
        """Count what `holder` says, and cut what is too much; whether something was."""
        before = at in self._over
        for key in _SAID:
            if type(holder.get(key)) is str:
                room = self._room(at, len(holder[key]))
                if self._cuts and at in self._over:
                    holder[key] = holder[key][:room]
        if not self._cuts or at not in self._over:
            return False
        for key in _CALLS:
            holder.pop(key, None)
        return not before

    def _candidate(self, candidate: dict[str, Any]) -> bool:
        """The same for a candidate of Gemini's, whose texts are told in parts."""
        content = candidate.get("content")
        parts = content.get("parts") if type(content) is dict else None
        for at, part in enumerate(_objects(parts)):
            if part.get("thought") is not True and self._cut(candidate.get("index", 0), part) and type(parts) is list:
                del parts[at + 1 :]
                candidate["finishReason"] = "MAX_TOKENS"
                return True
        return False

    def _output(self, answer: dict[str, Any]) -> None:
        """The same for a response, whose texts are told in parts of messages."""
        for at, item in enumerate(_every(answer.get("output"))):
            content = item.get("content") if type(item) is dict and item.get("type") == "message" else None
            for index, part in enumerate(_every(content)):
                if type(part) is dict and part.get("type") in SAID and self._cut(0, part):
                    cut_behind(answer, at, index)
                    return

    def _room(self, at: int, size: int) -> int:
        """Take up `size` characters; how many of them there is room for."""
        used = self._used.get(at, 0)
        room = min(self._most - used, size)
        self._used[at] = used + room
        if room < size:
            self._is_over(at)
        return room

    def _is_over(self, at: int) -> None:
        if at not in self._over and len(self._over) < _MAX_CHOICES:
            self._over.add(at)
            self._tally.add(LENGTH_ID)
            if self._stops:
                self.blocked = LENGTH_ID

    # --- streams ------------------------------------------------------------------------------------------

    def feed(self, out: bytes) -> bytes:
        """Guarded events, up to where the answer is full."""
        told: list[bytes] = []
        upto = 0
        while self.blocked is None and not self.ended and (end := out.find(_END, upto)) >= 0:
            event = out[upto : end + len(_END)]
            at = event.find(_DATA)
            data = event[at + len(_DATA) : -len(_END)]
            if at >= 0 and data != b"[DONE]":
                event = self._event(orjson.loads(data), event)
            if self.blocked is None:
                told.append(event)
            upto = end + len(_END)
        return b"".join(told)

    def _event(self, tree: dict[str, Any], raw: bytes) -> bytes:
        if self._bound is not None:
            return self._response(self._bound, tree, raw)
        if self._dialect is Dialect.ANTHROPIC:
            return self._block(tree, raw)
        if "choices" in tree:
            return self._choices(tree, raw)
        if "candidates" in tree:
            return self._candidates(tree, raw)
        return raw

    def _response(self, bound: Bound, tree: dict[str, Any], raw: bytes) -> bytes:
        if bound.full or not bound.take(tree):
            return raw
        self._is_over(0)
        if not self._cuts:
            return raw
        self.ended = True
        return b"".join([sse.encode(orjson.dumps(each), each["type"]) for each in bound.ending()])

    def _choices(self, tree: dict[str, Any], raw: bytes) -> bytes:
        choices = _objects(tree["choices"])
        left = [each for each in choices if not (self._cuts and each.get("index", 0) in self._over)]
        changed = len(left) != len(choices)
        for choice in left:
            index, delta = choice.get("index", 0), choice.get("delta")
            if self._cut(index, delta if type(delta) is dict else choice):
                choice["finish_reason"] = "length"
                changed = True
            if choice.get("finish_reason"):
                self._finished.add(index)
        if not changed:
            return raw
        self.ended = len(self._finished) >= self._answers
        told = sse.encode(orjson.dumps({**tree, "choices": left})) if left or tree.get("usage") else b""
        return told + DONE if self.ended else told

    def _candidates(self, tree: dict[str, Any], raw: bytes) -> bytes:
        candidates = _objects(tree["candidates"])
        left = [each for each in candidates if not (self._cuts and each.get("index", 0) in self._over)]
        changed = len(left) != len(candidates)
        for candidate in left:
            changed |= self._candidate(candidate)
            if candidate.get("finishReason"):
                self._finished.add(candidate.get("index", 0))
        if not changed:
            return raw
        self.ended = len(self._finished) >= self._answers
        return sse.encode(orjson.dumps({**tree, "candidates": left})) if left else b""

    def _block(self, tree: dict[str, Any], raw: bytes) -> bytes:
        kind = tree["type"]
        holder = tree.get("content_block" if kind == "content_block_start" else "delta")
        if not kind.startswith("content_block_") or type(holder) is not dict or not self._cut(0, holder):
            return raw
        self.ended = True
        ends: tuple[dict[str, Any], ...] = (
            tree,
            {"type": "content_block_stop", "index": tree["index"]},
            {
                "type": "message_delta",
                "delta": {"stop_reason": "max_tokens", "stop_sequence": None},
                "usage": {"output_tokens": 0},
            },
            {"type": "message_stop"},
        )
        return b"".join([sse.encode(orjson.dumps(each), each["type"]) for each in ends])


def _every(nodes: Any) -> list[Any]:
    return nodes if type(nodes) is list else []


def _objects(nodes: Any) -> list[dict[str, Any]]:
    return [node for node in nodes if type(node) is dict] if type(nodes) is list else []
