"""Google Gemini's streamGenerateContent as server-sent events: read and written (November 2026).

Each event is a whole answer of its own that says a little more. Nothing marks the end but the end of the bytes.
"""

from typing import Any, Final

import orjson

from extproc.core import sse
from extproc.translate.canon import (
    Alive,
    Began,
    Call,
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
    Text,
    Thinking,
    Usage,
)
from extproc.translate.dialect import Origin
from extproc.translate.fields import TOLD, arguments_of, malformed
from extproc.translate.gemini_answer import (
    CITATIONS,
    FINISH_REASONS,
    finish_of,
    read_error,
    read_part,
    usage_of,
    write_error,
    written_usage,
)

#: An agent's turn has some dozen parts; a stream with more than this is hostile.
_MAX_PARTS: Final = 1024
#: Characters of calls that are not complete: they are told whole. Arguments of a hundred long calls.
_MAX_WAITING_CHARS: Final = 1 << 20


class ContentReader:
    """Reads one stream."""

    def __init__(self, max_event_bytes: int) -> None:
        self._framer = sse.Framer(max_event_bytes)
        self._began = False
        self._next = 0
        self._words: tuple[int, Kind] | None = None  # the open part
        self._called = False
        self._finish: Finish | None = None  # the last one told: some models tell one with every event
        self._done = False

    def feed(self, data: bytes) -> list[Event]:
        """See `StreamReader.feed`."""
        return self._frames(self._framer.feed(data))

    def close(self) -> list[Event]:
        """See `StreamReader.close`."""
        out = self._frames([frame for frame in self._framer.close() if frame.complete])
        if self._finish is not None and not self._done:
            self._done = True
            self._end(out)
            finish = Finish.CALLS if self._finish is Finish.STOP and self._called else self._finish
            out += [Finished(finish), Ended()]
        return out

    def _frames(self, frames: list[sse.Frame]) -> list[Event]:
        out: list[Event] = []
        for frame in frames:
            if self._done:
                break
            if frame.data is not None:
                self._content(frame.data, out)
            elif frame.raw.strip():
                out.append(Alive())
        return out

    def _content(self, data: bytes, out: list[Event]) -> None:
        try:
            tree = orjson.loads(data)
        except orjson.JSONDecodeError:
            raise malformed("event is not JSON") from None
        if type(tree) is not dict:
            raise malformed("event is not an object")
        if tree.get("error") is not None:
            self._done = True
            out.append(read_error(200, data))
            return
        if not self._began:
            self._began = True
            out.append(Began(TOLD.string(tree, "responseId"), TOLD.string(tree, "modelVersion")))
        candidates = TOLD.objects(tree, "candidates")
        if len(candidates) > 1 or any(each.get("index", 0) != 0 for each in candidates):
            raise malformed("more answers than were asked for")
        for candidate in candidates:
            content = TOLD.object(candidate, "content") or {}
            for told in TOLD.objects(content, "parts"):
                self._part(told, out)
            cited = [name for name in CITATIONS if candidate.get(name)]
            out += [Lost(f"candidates[].{name}", "citations are a provider's own") for name in cited]
            if word := TOLD.string(candidate, "finishReason"):
                self._finish = finish_of(word)
        if not candidates and TOLD.object(tree, "promptFeedback") is not None:
            self._finish = Finish.FILTERED
        usage = usage_of(tree.get("usageMetadata"))
        if usage is not None:
            out.append(Counted(usage))

    def _part(self, told: dict[str, Any], out: list[Event]) -> None:
        part = read_part(told)
        if part is None:
            return
        if type(part) is Call:
            self._end(out)
            index = self._open()
            self._called = True
            out += [PartBegan(index, Kind.CALL, part.id, part.name), Delta(index, part.arguments)]
            if part.signature:
                out.append(Signed(index, part.signature))
            out.append(PartEnded(index))
        elif type(part) is Text or type(part) is Thinking:
            kind = Kind.TEXT if type(part) is Text else Kind.THINKING
            if self._words is None or self._words[1] is not kind:
                self._end(out)
                self._words = (self._open(), kind)
                out.append(PartBegan(self._words[0], kind))
            out.append(Delta(self._words[0], part.text))

    def _open(self) -> int:
        if self._next >= _MAX_PARTS:
            raise malformed("too many parts")
        self._next += 1
        return self._next - 1

    def _end(self, out: list[Event]) -> None:
        if self._words is not None:
            out.append(PartEnded(self._words[0]))
            self._words = None


class ContentWriter:
    """Writes one stream. Calls are told whole, so they wait until they are complete."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._shell: dict[str, Any] = {"modelVersion": origin.model, "responseId": origin.request_id}
        self._kinds: dict[int, Kind] = {}
        self._calls: dict[int, tuple[PartBegan, list[str]]] = {}  # in the order in which they began
        self._complete: set[int] = set()
        self._signatures: dict[int, str] = {}
        self._waiting_chars = 0
        self._finish = Finished(Finish.STOP)
        self._usage: Usage | None = None
        self._done = False

    def write(self, events: list[Event]) -> bytes:
        """See `StreamWriter.write`."""
        return b"".join([self._event(event) for event in events if not self._done])

    def _event(self, event: Event) -> bytes:
        match event:
            case Delta(index, text):
                return self._delta(index, text)
            case PartBegan(index, kind):
                self._kinds[index] = kind
                if kind is Kind.CALL:
                    self._calls[index] = (event, [])
            case PartEnded(index):
                self._kinds.pop(index, None)
                if index in self._calls:
                    self._complete.add(index)
                    return self._ready()
            case Signed(index, signature):
                if index in self._calls:
                    self._signatures[index] = signature
            case Began():
                self._usage = event.usage
                self._shell = {
                    "modelVersion": event.model or self._origin.model,
                    "responseId": event.id or self._origin.request_id,
                }
            case Finished():
                self._finish = event
            case Counted(usage):
                self._usage = usage
            case Ended():
                self._done = True
                return self._last()
            case Failure():
                self._done = True
                return sse.encode(orjson.dumps(write_error(event)))
            case Alive() | Lost():
                pass  # the official client takes a comment for an answer that is not JSON
        return b""

    def _delta(self, index: int, text: str) -> bytes:
        kind = self._kinds.get(index)
        if kind is Kind.CALL:
            self._waiting_chars += len(text)
            if self._waiting_chars > _MAX_WAITING_CHARS:
                raise malformed("too much is said at the same time")
            self._calls[index][1].append(text)
            return b""
        return self._say({"text": text, "thought": True} if kind is Kind.THINKING else {"text": text})

    def _ready(self) -> bytes:
        """Every call that is complete, up to the first that is not: clients number calls by their order."""
        out = []
        while self._calls and (index := next(iter(self._calls))) in self._complete:
            self._complete.remove(index)
            out.append(self._call(index))
        return b"".join(out)

    def _call(self, index: int) -> bytes:
        began, said = self._calls.pop(index)
        source = "".join(said)
        self._waiting_chars -= len(source)
        tree = arguments_of(source, malformed("the arguments of a call are not a JSON object"))
        call: dict[str, Any] = {"name": began.name, "args": tree}
        if began.id:
            call["id"] = began.id
        signature = self._signatures.pop(index, "")
        return self._say({"functionCall": call, **({"thoughtSignature": signature} if signature else {})})

    def _say(self, part: dict[str, Any]) -> bytes:
        candidate = {"content": {"role": "model", "parts": [part]}, "index": 0}
        return b"data: " + orjson.dumps({"candidates": [candidate], **self._shell}) + b"\n\n"

    def _last(self) -> bytes:
        candidate = {
            "content": {"role": "model", "parts": [{"text": ""}]},
            "finishReason": FINISH_REASONS[self._finish.finish],
            "index": 0,
        }
        tree: dict[str, Any] = {"candidates": [candidate], **self._shell}
        if self._usage is not None:
            tree["usageMetadata"] = written_usage(self._usage)
        return b"data: " + orjson.dumps(tree) + b"\n\n"
