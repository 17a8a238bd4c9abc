"""What an answer says when it is complete: turns, from JSON answers and from events of streams. Judges none of them.

Events are read as the guard wrote them, so both ways tell what the client gets.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Protocol

import orjson

from extproc.providers.calls import Named, of_message
from gateway import named_path

#: Why an answer ends before it is complete, or says something else than what it was asked for: reasons of chat
#: completions and of messages (both API references).
_EARLY: Final = frozenset({"length", "content_filter", "max_tokens", "refusal", "pause_turn"}) | {
    "model_context_window_exceeded"
}
#: Reasons of Gemini's that are not early; its others all are.
_WELL: Final = (None, "STOP", "FINISH_REASON_UNSPECIFIED")  # compared: a provider's may be a list
#: Of one turn of a stream. What is longer is not kept, and so not judged as a whole.
KEPT_CHARS: Final = 256 * 1024
#: Of all turns of a stream that are open at a time: as many as somebody who is served wants to read.
_ALL_CHARS: Final = 4 * KEPT_CHARS
#: A piece costs fifty bytes beside its letters, of which there may be one; joining them costs a copy of all.
_MAX_PIECES: Final = 128


@dataclass(frozen=True, slots=True)
class Turn:
    """One choice, message or item that has ended."""

    text: str | None  # what it says to its reader; None where it says nothing that could be judged: it calls tools
    calls: tuple[Named, ...]
    early: bool = False  # cut short, refused or filtered
    lost: bool = False  # longer than what is kept: of text and calls only the tools' names are here


class Turns(Protocol):
    """Reads the events of one stream."""

    def take(self, event: dict[str, Any]) -> Iterator[Turn]:
        """The turns that this event ends."""
        ...

    def rest(self) -> Iterator[Turn]:
        """The turns that nothing has ended when the stream does."""
        ...


def turns(answer: dict[str, Any]) -> Iterator[Turn]:
    """Every turn of a JSON answer, in any dialect."""
    for at, choice in enumerate(_objects(answer.get("choices"))):
        yield _of_choice(choice, f"choices[{at}]")
    if type(answer.get("content")) is list:
        yield _of_answer(answer)
    for at, candidate in enumerate(_objects(answer.get("candidates"))):
        yield _of_candidate(candidate, f"candidates[{at}].content")
    whole = answer.get("status", "completed") == "completed"
    for at, item in enumerate(_objects(answer.get("output"))):
        turn = _of_item(item, f"output[{at}]", early=not _completed(item, whole=whole))
        if turn is not None:
            yield turn


def _of_choice(choice: dict[str, Any], path: str) -> Turn:
    message = choice.get("message")
    if type(message) is not dict:
        message = {"content": choice.get("text")}
    calls = tuple(of_message(message, f"{path}.message"))
    early = choice.get("finish_reason") in _EARLY or bool(message.get("refusal"))
    return Turn(None if calls else _said(message.get("content")), calls, early)


def _of_answer(answer: dict[str, Any]) -> Turn:
    calls = tuple(of_message(answer, ""))
    return Turn(None if calls else _said(answer["content"]), calls, answer.get("stop_reason") in _EARLY)


def _of_candidate(candidate: dict[str, Any], path: str) -> Turn:
    content = candidate.get("content")
    calls = tuple(of_message(content, path)) if type(content) is dict else ()
    said = "".join([text for text, _ in _parts_of(candidate)])
    return Turn(None if calls else said, calls, candidate.get("finishReason") not in _WELL)


def _parts_of(candidate: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What each part of a candidate says to its reader, and its call of a function, if it is one."""
    content = candidate.get("content")
    for part in _objects(content.get("parts") if type(content) is dict else None):
        text, call = part.get("text"), part.get("functionCall")
        yield text if type(text) is str and part.get("thought") is not True else "", call if type(call) is dict else {}


def _of_item(item: dict[str, Any], path: str, *, early: bool) -> Turn | None:
    calls = tuple(of_message(item, path))
    if calls:
        return Turn(None, calls, early)
    if item.get("type") != "message" or item.get("phase") == "commentary":
        return None
    refused = any(part.get("type") == "refusal" for part in _objects(item.get("content")))
    return Turn(_said(item.get("content")), (), early or refused)


def _completed(item: dict[str, Any], *, whole: bool) -> bool:
    status = item.get("status")
    return whole if status is None else status == "completed"


def _said(content: Any) -> str:
    if type(content) is str:
        return content
    return "".join([part["text"] for part in _objects(content) if type(part.get("text")) is str])


def _objects(nodes: Any) -> list[dict[str, Any]]:
    return [node for node in nodes if type(node) is dict] if type(nodes) is list else []


@dataclass(slots=True)
class _Call:
    name: str
    id: Any = None
    pieces: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Open:
    """A choice or message that has not ended."""

    text: list[str] = field(default_factory=list)
    refused: bool = False
    calls: dict[Any, _Call] = field(default_factory=dict)  # by their place
    ended: list[_Call] = field(default_factory=list)  # of a place that another call has taken
    chars: int = 0
    lost: bool = False

    def add(self, pieces: list[str], text: Any) -> None:
        """Keep one more piece of one of the texts."""
        if type(text) is not str or not text or self.lost:
            return
        self.chars += len(text)
        if self.chars > KEPT_CHARS:
            self.lose()
            return
        pieces.append(text)
        if len(pieces) >= _MAX_PIECES:
            pieces[:] = ["".join(pieces)]

    def lose(self) -> None:
        """Keep no text of it."""
        self.lost, self.chars = True, 0
        self.text.clear()
        for call in (*self.ended, *self.calls.values()):
            call.pieces.clear()

    def turn(self, path: str, reason: Any, *, over: bool) -> Turn:
        made = [*self.ended, *self.calls.values()]
        calls = tuple([Named(f"{path}.{at}", call.name, "".join(call.pieces)) for at, call in enumerate(made)])
        early = not over or self.refused or reason in _EARLY
        return Turn(None if calls else "".join(self.text), calls, early, self.lost)


class ChoiceTurns:
    """Chunks of chat completions, and of completions."""

    def __init__(self) -> None:
        self._open: dict[int, _Open] = {}
        self._chars = 0  # of all that are open

    def take(self, event: dict[str, Any]) -> Iterator[Turn]:
        """See `Turns.take`."""
        for choice in _objects(event.get("choices")):
            index = choice.get("index", 0)
            opened = self._open.setdefault(index, _Open())
            delta, before = choice.get("delta"), opened.chars
            self._add(opened, delta if type(delta) is dict else {"content": choice.get("text")})
            self._chars += opened.chars - before
            if self._chars > _ALL_CHARS:
                self._chars -= opened.chars
                opened.lose()
            if choice.get("finish_reason"):
                del self._open[index]
                self._chars -= opened.chars
                yield opened.turn(f"choices[{index}]", choice["finish_reason"], over=True)

    def rest(self) -> Iterator[Turn]:
        """See `Turns.rest`."""
        for index, opened in self._open.items():
            yield opened.turn(f"choices[{index}]", None, over=False)
        self._open.clear()

    def _add(self, opened: _Open, delta: dict[str, Any]) -> None:
        opened.add(opened.text, delta.get("content"))
        opened.refused |= bool(delta.get("refusal"))
        calls = [(call.get("index", 0), call, call.get("function")) for call in _objects(delta.get("tool_calls"))]
        for place, holder, function in (*calls, ("", {}, delta.get("function_call"))):
            if type(function) is dict:
                call = self._call(opened, place, holder.get("id"), function.get("name"))
                opened.add(call.pieces, function.get("arguments"))

    def _call(self, opened: _Open, place: Any, call_id: Any, name: Any) -> _Call:
        call = opened.calls.get(place)
        # Some providers number every call 0 and tell calls apart by id alone.
        if call is not None and call_id and call.id and call_id != call.id:
            opened.ended.append(call)
            call = None
        if call is None:
            call = opened.calls[place] = _Call("", call_id)
        call.name = name or call.name
        call.id = call_id or call.id
        return call


class MessageTurns:
    """Events of Anthropic's messages: one turn, which ends with its reason."""

    def __init__(self) -> None:
        self._open: _Open | None = _Open()

    def take(self, event: dict[str, Any]) -> Iterator[Turn]:
        """See `Turns.take`."""
        opened, kind = self._open, event.get("type")
        if opened is None:
            return
        if kind == "content_block_start":
            block = event["content_block"]
            if block.get("type") == "tool_use":
                call = opened.calls[event["index"]] = _Call(str(block.get("name", "")))
                if block.get("input"):  # told at once, by servers that do not cut it up
                    opened.add(call.pieces, orjson.dumps(block["input"]).decode())
            opened.add(opened.text, block.get("text"))
        elif kind == "content_block_delta":
            delta, spoken = event["delta"], opened.calls.get(event["index"])
            pieces = opened.text if spoken is None else spoken.pieces
            opened.add(pieces, delta.get("text" if spoken is None else "partial_json"))
        elif kind == "message_delta" and event["delta"].get("stop_reason"):
            self._open = None
            yield opened.turn("content", event["delta"]["stop_reason"], over=True)

    def rest(self) -> Iterator[Turn]:
        """See `Turns.rest`."""
        opened, self._open = self._open, None
        if opened is not None:
            yield opened.turn("content", None, over=False)


class CandidateTurns:
    """Events of Gemini's: each candidate is a turn, and calls come whole."""

    def __init__(self) -> None:
        self._open: dict[int, _Open] = {}

    def take(self, event: dict[str, Any]) -> Iterator[Turn]:
        """See `Turns.take`."""
        for candidate in _objects(event.get("candidates")):
            index = candidate.get("index", 0)
            opened = self._open.setdefault(index, _Open())
            for text, call in _parts_of(candidate):
                opened.add(opened.text, text)
                if call:
                    made = _Call(str(call.get("name", "")))
                    opened.ended.append(made)
                    opened.add(made.pieces, orjson.dumps(call.get("args") or {}).decode())
            if sum(each.chars for each in self._open.values()) > _ALL_CHARS:
                opened.lose()
            if candidate.get("finishReason"):
                del self._open[index]
                early = candidate["finishReason"] not in _WELL
                yield opened.turn(f"candidates[{index}].content", "length" if early else None, over=True)

    def rest(self) -> Iterator[Turn]:
        """See `Turns.rest`."""
        for index, opened in self._open.items():
            yield opened.turn(f"candidates[{index}].content", None, over=False)
        self._open.clear()


class ItemTurns:
    """Events of responses, which tell each item whole when it ends."""

    def __init__(self) -> None:
        self._told: set[Any] = set()

    def take(self, event: dict[str, Any]) -> Iterator[Turn]:
        """See `Turns.take`."""
        item, response = event.get("item"), event.get("response")
        if event.get("type") == "response.output_item.done" and type(item) is dict:
            if item.get("status") is not None:  # else the response's own tells whether it is complete
                yield from self._turn(item, event.get("output_index"), whole=False)
        elif type(response) is dict:
            whole = response.get("status", "completed") == "completed"
            for at, each in enumerate(_objects(response.get("output"))):
                yield from self._turn(each, at, whole=whole)

    def rest(self) -> Iterator[Turn]:
        """Nothing: an item that did not end was told in pieces only."""
        return iter(())

    def _turn(self, item: dict[str, Any], place: Any, *, whole: bool) -> Iterator[Turn]:
        if (item.get("id") or place) in self._told:
            return
        self._told.add(item.get("id") or place)
        turn = _of_item(item, f"output[{place}]", early=not _completed(item, whole=whole))
        if turn is not None:
            yield turn


#: Who reads the streams of each front door that answers in turns.
READERS: Final[Mapping[str, Callable[[], Turns]]] = MappingProxyType(
    {
        "/v1/chat/completions": ChoiceTurns,
        "/v1/completions": ChoiceTurns,
        "/v1/messages": MessageTurns,
        "/v1/responses": ItemTurns,
        named_path.ROUTE: CandidateTurns,
    }
)
