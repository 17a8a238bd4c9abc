"""AWS Bedrock's ConverseStream: read (service model of November 2026). Frames are of `eventstream`."""

from typing import Any, Final

import orjson

from extproc.translate.bedrock_answer import call_of, finish_of, read_exception, usage_of
from extproc.translate.canon import (
    Alive,
    Began,
    Counted,
    Delta,
    Ended,
    Event,
    Finished,
    Kind,
    Lost,
    PartBegan,
    PartEnded,
    Signed,
)
from extproc.translate.eventstream import Framer, Message
from extproc.translate.fields import TOLD, malformed

#: An agent's turn has some dozen parts; a stream with more than this is hostile.
_MAX_PARTS: Final = 1024
_WORDS: Final = frozenset({"contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop"})


class _Open:
    """One open block, and the part that it is at."""

    __slots__ = ("kind", "part", "said")

    def __init__(self) -> None:
        self.part = -1
        self.kind: Kind | None = None  # None: nothing was said yet that would tell
        self.said = False


class ConverseReader:
    """Reads one stream."""

    def __init__(self, max_event_bytes: int) -> None:
        self._framer = Framer(max_event_bytes)
        self._blocks: dict[int, _Open] = {}  # open blocks, by their index
        self._next = 0
        self._began = self._finished = self._called = self._done = False

    def feed(self, data: bytes) -> list[Event]:
        """See `StreamReader.feed`."""
        out: list[Event] = []
        if not self._done:
            for message in self._framer.feed(data):
                if self._message(message, out):
                    break
        return out

    def close(self) -> list[Event]:
        """See `StreamReader.close`. Usage comes behind the end, and an answer without it is whole all the same."""
        if self._done or not self._finished or self._framer.waiting:
            return []
        self._done = True
        return [Ended()]

    def _message(self, message: Message, out: list[Event]) -> bool:
        """Whether nothing of what follows is read any more."""
        headers = message.headers
        match headers.get(":message-type"):
            case "event":
                self._event(headers.get(":event-type", ""), _tree(message.payload), out)
            case "exception":
                self._done = True
                out.append(read_exception(headers.get(":exception-type", ""), message.payload))
            case "error":
                self._done = True
                told = orjson.dumps({"message": headers.get(":error-message", "")})
                out.append(read_exception(headers.get(":error-code", ""), told))
            case _:
                raise malformed("a message of unknown type")
        return self._done

    def _event(self, kind: str, tree: dict[str, Any], out: list[Event]) -> None:
        if kind == "messageStart":
            if self._began:
                raise malformed("a message starts twice")
            self._began = True
            out.append(Began("", ""))
        elif not self._began:
            raise malformed("an event before the message starts")
        elif kind == "metadata":
            self._end(tree, out)
        elif self._finished and kind in _WORDS:
            raise malformed("an event behind the end of the message")
        elif kind == "contentBlockDelta":
            self._delta(tree, out)
        elif kind == "contentBlockStart":
            self._start(tree, out)
        elif kind == "contentBlockStop":
            self._stop(tree, out)
        elif kind == "messageStop":
            if self._blocks:
                raise malformed("a message ends inside a block")
            self._finished = True
            out.append(Finished(finish_of(TOLD.needed(tree, "stopReason"), called=self._called)))
        else:
            out.append(Alive())  # an event of tomorrow, which nobody here could judge

    def _end(self, tree: dict[str, Any], out: list[Event]) -> None:
        if not self._finished:
            raise malformed("metadata before the end of the message")
        self._done = True
        usage = usage_of(tree.get("usage"))
        if usage is not None:
            out.append(Counted(usage))
        out.append(Ended())

    def _start(self, tree: dict[str, Any], out: list[Event]) -> None:
        index = _index(tree)
        if index in self._blocks:
            raise malformed("a block starts twice")
        start = TOLD.object(tree, "start") or {}
        call = TOLD.object(start, "toolUse")
        if call is None:
            if start:
                raise malformed("a block of unknown kind")
            self._block(index)
            return
        opened = self._block(index)
        self._called = True
        self._part(opened, Kind.CALL, out, *call_of(call))

    def _delta(self, tree: dict[str, Any], out: list[Event]) -> None:
        opened = self._block(_index(tree))
        delta = TOLD.object(tree, "delta") or {}
        call, thought = TOLD.object(delta, "toolUse"), TOLD.object(delta, "reasoningContent")
        if call is not None:
            if opened.kind is not Kind.CALL:
                raise malformed("a call that did not start")
            self._say(opened, TOLD.string(call, "input"), out)
        elif opened.kind is Kind.CALL:
            raise malformed("words inside a call")
        elif delta.get("text") is not None:
            self._part(opened, Kind.TEXT, out)
            self._say(opened, TOLD.string(delta, "text"), out)
        elif thought is not None:
            self._think(opened, thought, out)
        elif delta.get("citation") is not None:  # the words that it proves have passed
            out.append(Lost("content[].citations", "citations are a provider's own"))
        else:
            raise malformed("a delta of unknown kind")

    def _think(self, opened: _Open, thought: dict[str, Any], out: list[Event]) -> None:
        if thought.get("redactedContent") is not None:
            self._part(opened, Kind.REDACTED, out, data=TOLD.string(thought, "redactedContent"))
            return
        self._part(opened, Kind.THINKING, out)
        self._say(opened, TOLD.string(thought, "text"), out)
        if signature := TOLD.string(thought, "signature"):
            out.append(Signed(opened.part, signature))

    def _stop(self, tree: dict[str, Any], out: list[Event]) -> None:
        opened = self._blocks.pop(_index(tree), None)
        if opened is None:
            raise malformed("no such block")
        if opened.kind is Kind.CALL and not opened.said:
            out.append(Delta(opened.part, "{}"))  # a call without arguments has no deltas
        if opened.kind is not None:
            out.append(PartEnded(opened.part))

    def _block(self, index: int) -> _Open:
        """The open block. Only calls are told when they start; all else begins with its first delta."""
        opened = self._blocks.get(index)
        if opened is None:
            if len(self._blocks) >= _MAX_PARTS:
                raise malformed("too many blocks")
            opened = self._blocks[index] = _Open()
        return opened

    def _part(
        self, opened: _Open, kind: Kind, out: list[Event], call_id: str = "", name: str = "", data: str = ""
    ) -> None:
        """Let the block be at a part of this kind."""
        if opened.kind is kind and kind is not Kind.REDACTED:
            return
        if opened.kind is not None:
            out.append(PartEnded(opened.part))
        if self._next >= _MAX_PARTS:
            raise malformed("too many parts")
        opened.part, opened.kind = self._next, kind
        self._next += 1
        out.append(PartBegan(opened.part, kind, call_id, name, data))

    def _say(self, opened: _Open, text: str, out: list[Event]) -> None:
        if text:
            opened.said = True
            out.append(Delta(opened.part, text))


def _index(tree: dict[str, Any]) -> int:
    index = TOLD.count(tree, "contentBlockIndex")
    if index is None:
        raise malformed("a block without its number")
    return index


def _tree(payload: bytes) -> dict[str, Any]:
    try:
        tree = orjson.loads(payload)
    except orjson.JSONDecodeError:
        raise malformed("event is not JSON") from None
    if type(tree) is not dict:
        raise malformed("event is not an object")
    return tree
