"""A whole answer, and whether it may be given again: it ended as it should, and no rule of the catalogue finds a thing.

Pure, and not on the way of the answer: it is asked when the caller has it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import orjson

from extproc.core.texts import strings
from extproc.guardrails.scanner import Scanner
from extproc.providers.turns import READERS, Turn
from gateway import named_path
from gateway.errors import GatewayError

#: What tells objects at the same place apart: choices, content blocks, items.
_NAMING: Final = ("index", "output_index", "content_index", "summary_index", "type")
_PLAIN: Final = frozenset({str, int})
_DATA: Final = b"data: "
_EVENT_END: Final = b"\n\n"
_DONE: Final = b"[DONE]"
#: Why an answer ends that says all it has to say (API references): not `length`, `max_tokens`, `content_filter`.
_ENDS: Final = frozenset({"stop", "end_turn", "stop_sequence"})
_CALLS: Final = frozenset({"tool_calls", "function_call", "tool_use"})


@dataclass(frozen=True, slots=True)
class Heard:
    """What a caller was given."""

    path: str
    streamed: bool
    parts: tuple[bytes, ...] = field(repr=False)
    tokens_in: int
    tokens_out: int
    tools: bool  # whether it may end with calls of tools
    sieve: Scanner | None  # rules that the tenant's own guard does not run; None where it runs all that count

    @property
    def body(self) -> bytes:
        """The answer."""
        return b"".join(self.parts)

    @property
    def keepable(self) -> bool:
        """Whether it is whole, ended well, and is free of what the sieve looks for."""
        try:
            trees = _events(self.body) if self.streamed else (orjson.loads(self.body),)
            ended = (_STREAMS if self.streamed else _WHOLE).get(self.path, _never)
            ends = _ENDS | _CALLS if self.tools else _ENDS
            return trees is not None and ended(trees, ends) and self._clean(trees)
        except (orjson.JSONDecodeError, GatewayError, TypeError, KeyError, AttributeError, IndexError):
            return False  # of another form than is known here: it is not kept, and nobody misses it

    @property
    def said(self) -> tuple[tuple[str, str], ...]:
        """What a stream says at each place of its events, put together: key and text. Nothing of a JSON answer."""
        events = _events(self.body) if self.streamed else None
        return () if events is None else tuple(_joined(events))

    def _clean(self, trees: tuple[Any, ...]) -> bool:
        if self.sieve is None:
            return True
        texts = (text for tree in trees for text in strings(tree)[0])
        if any(self.sieve.scan(text) for text in texts):
            return False
        if not self.streamed:
            return True
        reader = READERS[self.path]()
        turns = [turn for tree in trees for turn in reader.take(tree)]
        return not any(turn.lost or any(map(self.sieve.scan, _said(turn))) for turn in (*turns, *reader.rest()))


def _said(turn: Turn) -> Iterator[str]:
    if turn.text is not None:
        yield turn.text
    for call in turn.calls:
        yield str(call.value)


def _joined(events: tuple[Any, ...]) -> Iterator[tuple[str, str]]:
    """A text came in pieces: those at the same place of the events, by keys and by what numbers and names objects."""
    places: dict[tuple[Any, ...], list[str]] = {}
    for event in events:
        stack: list[tuple[tuple[Any, ...], str, Any]] = [((), "", event)]
        while stack:
            place, key, node = stack.pop()
            if type(node) is dict:
                named = (*place, key, *(node.get(name) for name in _NAMING if type(node.get(name)) in _PLAIN))
                stack.extend((named, name, value) for name, value in node.items())
                places.setdefault((*named, "keys"), []).append(" ".join(node))
            elif type(node) is list:
                stack.extend((place, key, item) for item in node)
            elif type(node) is str:
                places.setdefault((*place, key), []).append(node)
    for place, texts in places.items():
        # Names, ids and kinds are the same in each event.
        yield str(place[-1]), texts[0] if len(set(texts)) == 1 else "".join(texts)


def _events(body: bytes) -> tuple[Any, ...] | None:
    """Every event of a stream as the guard writes them; None where its end is not there."""
    found = []
    for event in body.split(_EVENT_END):
        at = event.find(_DATA)
        if at >= 0 and event[at + len(_DATA) :] != _DONE:
            found.append(orjson.loads(event[at + len(_DATA) :]))
    return tuple(found) if body.endswith(_EVENT_END) and found else None


# --- how answers end, by dialect ----------------------------------------------------------------------------


def _never(trees: tuple[Any, ...], ends: frozenset[str]) -> bool:
    del trees, ends
    return False


def _choices(trees: tuple[Any, ...], ends: frozenset[str]) -> bool:
    """Every choice of a JSON answer."""
    choices = trees[0]["choices"]
    return bool(choices) and all(choice["finish_reason"] in ends for choice in choices)


def _streamed_choices(trees: tuple[Any, ...], ends: frozenset[str]) -> bool:
    seen: dict[int, bool] = {}
    for tree in trees:
        if "error" in tree:
            return False
        for choice in tree.get("choices", ()):
            reason = choice.get("finish_reason")
            seen[choice["index"]] = seen.get(choice["index"], False) if reason is None else reason in ends
    return bool(seen) and all(seen.values())


def _message(trees: tuple[Any, ...], ends: frozenset[str]) -> bool:
    return trees[0]["type"] == "message" and trees[0]["stop_reason"] in ends


def _streamed_message(trees: tuple[Any, ...], ends: frozenset[str]) -> bool:
    reasons = [tree["delta"].get("stop_reason") for tree in trees if tree["type"] == "message_delta"]
    kinds = {tree["type"] for tree in trees}
    return "error" not in kinds and trees[-1]["type"] == "message_stop" and bool(reasons) and reasons[-1] in ends


def _response(trees: tuple[Any, ...], ends: frozenset[str]) -> bool:
    return _completed(trees[0], ends)


def _streamed_response(trees: tuple[Any, ...], ends: frozenset[str]) -> bool:
    return trees[-1]["type"] == "response.completed" and _completed(trees[-1]["response"], ends)


def _completed(response: Any, ends: frozenset[str]) -> bool:
    kinds = {item["type"] for item in response["output"]}
    return response["status"] == "completed" and bool(kinds) and (kinds <= {"message", "reasoning"} or ends > _ENDS)


def _candidates(trees: tuple[Any, ...], ends: frozenset[str]) -> bool:
    """Every candidate, of a JSON answer or of the events of a stream."""
    seen: dict[int, bool] = {}
    for tree in trees:
        if "error" in tree or "promptFeedback" in tree:
            return False
        for candidate in tree.get("candidates", ()):
            parts = candidate.get("content", {}).get("parts", ())
            if any("functionCall" in part for part in parts) and not ends > _ENDS:
                return False
            index = candidate.get("index", 0)
            reason = candidate.get("finishReason")
            seen[index] = seen.get(index, False) if reason is None else reason == "STOP"
    return bool(seen) and all(seen.values())


def _vectors(trees: tuple[Any, ...], ends: frozenset[str]) -> bool:
    del ends
    return bool(trees[0]["data"])


_Ended = Callable[[tuple[Any, ...], frozenset[str]], bool]
_WHOLE: Final[Mapping[str, _Ended]] = MappingProxyType(
    {
        "/v1/chat/completions": _choices,
        "/v1/completions": _choices,
        "/v1/messages": _message,
        "/v1/responses": _response,
        "/v1/embeddings": _vectors,
        named_path.ROUTE: _candidates,
    }
)
_STREAMS: Final[Mapping[str, _Ended]] = MappingProxyType(
    {
        "/v1/chat/completions": _streamed_choices,
        "/v1/completions": _streamed_choices,
        "/v1/messages": _streamed_message,
        "/v1/responses": _streamed_response,
        named_path.ROUTE: _candidates,
    }
)
