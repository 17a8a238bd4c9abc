"""Anthropic's stream of a message: read and written (API reference, "Streaming messages", version 2023-06-01)."""

from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from extproc.core import sse
from extproc.translate.anthropic_answer import (
    STOP_REASONS,
    finish_of,
    read_error,
    usage_of,
    write_error,
    written_usage,
)
from extproc.translate.canon import (
    Alive,
    Began,
    Counted,
    Delta,
    Ended,
    Event,
    Failure,
    Finish,
    Finished,
    Kind,
    Lost,
    PartBegan,
    PartEnded,
    Signed,
    Usage,
)
from extproc.translate.dialect import Origin
from extproc.translate.fields import TOLD, malformed, source_of

#: An agent's turn has some dozen blocks; a stream with more than this is hostile.
_MAX_BLOCKS: Final = 1024
#: Characters of calls that wait for their turn. Arguments of a hundred long calls; more is no conversation.
_MAX_WAITING_CHARS: Final = 1 << 20
_KINDS: Final = {
    "text": Kind.TEXT,
    "thinking": Kind.THINKING,
    "redacted_thinking": Kind.REDACTED,
    "tool_use": Kind.CALL,
}
#: Type of a delta -> the kind of part that it belongs to, and its field.
_DELTAS: Final = {
    "text_delta": (Kind.TEXT, "text"),
    "thinking_delta": (Kind.THINKING, "thinking"),
    "input_json_delta": (Kind.CALL, "partial_json"),
}
#: See `usage_of`.
_COUNTS: Final = (
    "input_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "output_tokens",
    "output_tokens_details",
)
_PIECES: Final = {
    Kind.TEXT: ("text_delta", "text"),
    Kind.REFUSAL: ("text_delta", "text"),
    Kind.THINKING: ("thinking_delta", "thinking"),
    Kind.CALL: ("input_json_delta", "partial_json"),
}


@dataclass(slots=True)
class _Open:
    """One open block."""

    part: int
    kind: Kind
    said: bool = False


class MessageReader:
    """Reads one stream."""

    def __init__(self, max_event_bytes: int) -> None:
        self._framer = sse.Framer(max_event_bytes)
        self._blocks: dict[int, _Open] = {}  # open blocks, by their index
        self._next = 0
        self._began = False
        self._finish: Finished | None = None  # told behind the parts
        self._usage: dict[str, Any] = {}  # later counts replace earlier ones
        self._done = False

    def feed(self, data: bytes) -> list[Event]:
        """See `StreamReader.feed`."""
        return self._frames(self._framer.feed(data))

    def close(self) -> list[Event]:
        """See `StreamReader.close`."""
        return self._frames([frame for frame in self._framer.close() if frame.complete])

    def _frames(self, frames: list[sse.Frame]) -> list[Event]:
        out: list[Event] = []
        for frame in frames:
            if self._done:
                break
            if frame.data is None:
                if frame.raw.strip():
                    out.append(Alive())
                continue
            try:
                tree = orjson.loads(frame.data)
            except orjson.JSONDecodeError:
                raise malformed("event is not JSON") from None
            if type(tree) is not dict:
                raise malformed("event is not an object")
            self._event(tree, frame.data, out)
        return out

    def _event(self, tree: dict[str, Any], data: bytes, out: list[Event]) -> None:
        kind = tree.get("type")
        if kind == "error":
            self._done = True
            out.append(read_error(200, data))
        elif kind == "ping":
            out.append(Alive())
        elif kind == "message_start":
            self._start(tree, out)
        elif not self._began:
            raise malformed("an event before the message starts")
        elif kind == "content_block_delta":
            self._delta(tree, out)
        elif kind == "content_block_start":
            self._open(tree, out)
        elif kind == "content_block_stop":
            self._stop(tree, out)
        elif kind == "message_delta":
            self._end(tree)
        elif kind == "message_stop":
            if self._blocks:
                raise malformed("a message ends inside a block")
            out += [self._finish or Finished(Finish.STOP), Counted(usage_of(self._usage) or Usage()), Ended()]
            self._done = True
        # Other events may come at any time and say nothing of the message (API reference, "Versioning").

    def _start(self, tree: dict[str, Any], out: list[Event]) -> None:
        message = TOLD.object(tree, "message")
        if message is None or self._began:
            raise malformed("a message starts twice, or is no object")
        self._began = True
        self._usage = _counts(message)
        out.append(Began(TOLD.string(message, "id"), TOLD.string(message, "model"), usage_of(self._usage)))

    def _open(self, tree: dict[str, Any], out: list[Event]) -> None:
        index, block = tree.get("index"), TOLD.object(tree, "content_block") or {}
        word = block.get("type")
        if type(index) is not int or index in self._blocks:
            raise malformed("a block out of order")
        if type(word) is not str or word not in _KINDS:
            raise malformed("a block of unknown type")
        if self._next >= _MAX_BLOCKS:
            raise malformed("too many blocks")
        kind = _KINDS[word]
        opened = self._blocks[index] = _Open(self._next, kind)
        self._next += 1
        if kind is Kind.CALL:
            out.append(PartBegan(opened.part, kind, TOLD.needed(block, "id"), TOLD.needed(block, "name")))
            if whole := TOLD.object(block, "input"):  # some servers say it all at once
                self._say(opened, source_of(whole, malformed("the input of a call is nested too deep")), out)
            return
        out.append(PartBegan(opened.part, kind, data=TOLD.string(block, "data")))
        if kind is not Kind.REDACTED:
            self._say(opened, TOLD.string(block, word), out)
            if signature := TOLD.string(block, "signature"):
                out.append(Signed(opened.part, signature))

    def _say(self, opened: _Open, text: str, out: list[Event]) -> None:
        if text:
            opened.said = True
            out.append(Delta(opened.part, text))

    def _block(self, tree: dict[str, Any]) -> _Open:
        index = tree.get("index")
        opened = self._blocks.get(index) if type(index) is int else None
        if opened is None:
            raise malformed("no such block")
        return opened

    def _delta(self, tree: dict[str, Any], out: list[Event]) -> None:
        opened = self._block(tree)
        delta = TOLD.object(tree, "delta") or {}
        word = delta.get("type")
        if word == "signature_delta" and opened.kind is Kind.THINKING:
            out.append(Signed(opened.part, TOLD.string(delta, "signature")))
        elif word == "citations_delta":
            # The words that they prove have passed.
            out.append(Lost("content[].citations", "citations are a provider's own"))
        elif type(word) is str and word in _DELTAS and _DELTAS[word][0] is opened.kind:
            self._say(opened, TOLD.string(delta, _DELTAS[word][1]), out)
        else:
            raise malformed("a delta of unknown type")

    def _stop(self, tree: dict[str, Any], out: list[Event]) -> None:
        opened = self._block(tree)
        del self._blocks[tree["index"]]
        if opened.kind is Kind.CALL and not opened.said:
            out.append(Delta(opened.part, "{}"))  # a call without arguments has no deltas
        out.append(PartEnded(opened.part))

    def _end(self, tree: dict[str, Any]) -> None:
        delta = TOLD.object(tree, "delta") or {}
        self._usage.update(_counts(tree))
        if word := TOLD.string(delta, "stop_reason"):
            self._finish = Finished(finish_of(word), TOLD.string(delta, "stop_sequence") or None)


def _counts(holder: dict[str, Any]) -> dict[str, Any]:
    """What `usage` tells, of the fields that are read: they are held as long as the stream."""
    usage = TOLD.object(holder, "usage") or {}
    return {name: usage[name] for name in _COUNTS if usage.get(name) is not None}


@dataclass(slots=True)
class _Waiting:
    """A part whose block cannot open yet: blocks do not overlap, parallel calls do."""

    began: PartBegan
    said: list[str] = field(default_factory=list)
    ended: bool = False


class MessageWriter:
    """Writes one stream, one block at a time."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._open: PartBegan | None = None
        self._waiting: dict[int, _Waiting] = {}
        self._waiting_chars = self._waiting_names = 0  # of what is said, and of ids and names
        self._blocks = 0
        self._refused = False
        self._finish = Finished(Finish.STOP)
        self._usage = Usage()
        self._done = False

    def write(self, events: list[Event]) -> bytes:
        """See `StreamWriter.write`."""
        out: list[bytes] = []
        for event in events:
            if not self._done:
                self._event(event, out)
        return b"".join(out)

    def _event(self, event: Event, out: list[bytes]) -> None:
        match event:
            case Delta(index, text):
                if self._open is not None and self._open.index == index:
                    out.append(self._said(self._open.kind, text))
                else:
                    self._wait(index, text)
            case PartBegan(index):
                if self._open is None:
                    out.append(self._begin(event))
                else:
                    self._waiting_names += _chars(event)
                    _within(self._waiting_names)
                    self._waiting[index] = _Waiting(event)
            case PartEnded(index):
                if self._open is not None and self._open.index == index:
                    self._close(out)
                elif index in self._waiting:
                    self._waiting[index].ended = True
            case Signed(index, signature):
                if self._open is not None and self._open.index == index and self._open.kind is Kind.THINKING:
                    out.append(self._piece("signature_delta", "signature", signature))
            case Began():
                out.append(self._start(event))
            case Finished():
                self._finish = event
            case Counted(usage):
                self._usage = usage
            case Ended():
                self._done = True
                self._last(out)
            case Failure():
                self._done = True
                out.append(_told(write_error(event)))
            case Alive():
                out.append(_told({"type": "ping"}))
            case Lost():
                pass  # told by a header, or in the record

    def _start(self, began: Began) -> bytes:
        self._usage = began.usage or Usage()
        message: dict[str, Any] = {
            "id": began.id or f"msg_{self._origin.request_id}",
            "type": "message",
            "role": "assistant",
            "model": began.model or self._origin.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": written_usage(self._usage),
        }
        return _told({"type": "message_start", "message": message})

    def _begin(self, part: PartBegan) -> bytes:
        self._open = part
        self._refused = self._refused or part.kind is Kind.REFUSAL
        if part.kind is Kind.CALL:
            call_id = part.id or self._origin.made_id("toolu", part.index)
            block: dict[str, Any] = {"type": "tool_use", "id": call_id, "name": part.name, "input": {}}
        elif part.kind is Kind.THINKING:
            block = {"type": "thinking", "thinking": "", "signature": ""}
        elif part.kind is Kind.REDACTED:
            block = {"type": "redacted_thinking", "data": part.data}
        else:
            block = {"type": "text", "text": ""}
        return _told({"type": "content_block_start", "index": self._blocks, "content_block": block})

    def _said(self, kind: Kind, text: str) -> bytes:
        word, name = _PIECES[kind]
        return self._piece(word, name, text)

    def _piece(self, word: str, name: str, text: str) -> bytes:
        return _told({"type": "content_block_delta", "index": self._blocks, "delta": {"type": word, name: text}})

    def _wait(self, index: int, text: str) -> None:
        waiting = self._waiting.get(index)
        if waiting is None:
            raise malformed("words of no part")
        self._waiting_chars += len(text)
        _within(self._waiting_chars)
        waiting.said.append(text)

    def _close(self, out: list[bytes]) -> None:
        """The open block ends, and so does every waiting one that is complete, up to the first that is not."""
        while True:
            out.append(_told({"type": "content_block_stop", "index": self._blocks}))
            self._blocks += 1
            self._open = None
            if not self._waiting:
                return
            index = next(iter(self._waiting))
            waiting = self._waiting.pop(index)
            out.append(self._begin(waiting.began))
            text = "".join(waiting.said)
            self._waiting_chars -= len(text)
            self._waiting_names -= _chars(waiting.began)
            if text:
                out.append(self._said(waiting.began.kind, text))
            if not waiting.ended:
                return

    def _last(self, out: list[bytes]) -> None:
        while self._open is not None:
            self._close(out)
        finish = self._finish.finish
        if finish is Finish.STOP and self._refused:
            finish = Finish.FILTERED
        delta = {"stop_reason": STOP_REASONS[finish], "stop_sequence": self._finish.stop_sequence}
        out += [
            _told({"type": "message_delta", "delta": delta, "usage": written_usage(self._usage)}),
            _told({"type": "message_stop"}),
        ]


def _within(chars: int) -> None:
    if chars > _MAX_WAITING_CHARS:
        raise malformed("too much is said at the same time")


def _chars(part: PartBegan) -> int:
    return len(part.id) + len(part.name) + len(part.data)


def _told(tree: dict[str, Any]) -> bytes:
    """An event under the name of its type: clients of this dialect go by either."""
    return b"event: %b\ndata: %b\n\n" % (tree["type"].encode(), orjson.dumps(tree))
