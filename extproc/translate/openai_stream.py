"""OpenAI's chat completion chunks: a stream of them read, and one written (API reference, "Streaming")."""

from typing import Any, Final

import orjson

from extproc.core import sse
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
from extproc.translate.fields import TOLD, malformed
from extproc.translate.json_end import JsonEnd
from extproc.translate.openai_answer import FINISHED, finish_of, read_error, usage_of, write_error, written_usage

DONE: Final = b"data: [DONE]\n\n"
_ALIVE: Final = b": keep-alive\n\n"
#: An agent's turn has some dozen parts; a stream with more than this is hostile.
MAX_PARTS: Final = 1024
#: Of the ids of a stream's calls, which are held until its end. Some servers put thoughts' signatures into them.
_MAX_ID_CHARS: Final = 1 << 20
#: Field of a delta -> what it is. Two names are in use for reasoning.
_WORDS: Final = {
    "content": Kind.TEXT,
    "refusal": Kind.REFUSAL,
    "reasoning_content": Kind.THINKING,
    "reasoning": Kind.THINKING,
}


class _Call:
    """One open call."""

    __slots__ = ("end", "id", "index", "said")

    def __init__(self, index: int, call_id: str) -> None:
        self.index = index
        self.id = call_id
        self.said = False
        self.end = JsonEnd()


class ChunkReader:
    """Reads one stream. Calls may come mixed, as some servers send parallel ones."""

    def __init__(self, max_event_bytes: int) -> None:
        self._framer = sse.Framer(max_event_bytes)
        self._began = False
        self._next = 0  # index of the next part
        self._words: tuple[int, Kind] | None = None  # the open part of words
        self._calls: dict[int, _Call] = {}  # open calls, by the server's number
        self._id_chars = 0
        self._called = False
        self._finished = False
        self._done = False

    def feed(self, data: bytes) -> list[Event]:
        """See `StreamReader.feed`."""
        return self._frames(self._framer.feed(data))

    def close(self) -> list[Event]:
        """See `StreamReader.close`. Some servers end behind the finish reason, without a word."""
        out = self._frames([frame for frame in self._framer.close() if frame.complete])
        if self._finished and not self._done:
            self._done = True
            out.append(Ended())
        return out

    def _frames(self, frames: list[sse.Frame]) -> list[Event]:
        out: list[Event] = []
        for frame in frames:
            if self._done:
                break
            if frame.data is None:
                if frame.raw.strip():
                    out.append(Alive())
            elif frame.data.strip() == b"[DONE]":
                if not self._finished:
                    self._finish(Finish.STOP, out)
                self._done = True
                out.append(Ended())
            else:
                self._chunk(frame.data, out)
        return out

    def _chunk(self, data: bytes, out: list[Event]) -> None:
        try:
            tree = orjson.loads(data)
        except orjson.JSONDecodeError:
            raise malformed("event is not JSON") from None
        if type(tree) is not dict:
            raise malformed("event is not an object")
        if tree.get("error") is not None:  # also beside choices, which are no end then (OpenRouter)
            self._done = True
            out.append(read_error(500, data))
            return
        if not self._began:
            self._began = True
            out.append(Began(TOLD.string(tree, "id"), TOLD.string(tree, "model"), None, TOLD.whole(tree, "created")))
        for choice in TOLD.objects(tree, "choices"):
            if choice.get("index", 0) != 0:
                raise malformed("more answers than were asked for")
            delta = TOLD.object(choice, "delta")
            if delta:
                self._delta(delta, out)
            # Some servers put "" into every event, which ends nothing.
            if reason := TOLD.string(choice, "finish_reason"):
                self._finish(finish_of(reason), out)
        usage = usage_of(tree.get("usage"))
        if usage is not None:
            out.append(Counted(usage))

    def _delta(self, delta: dict[str, Any], out: list[Event]) -> None:
        for name, kind in _WORDS.items():
            text = delta.get(name)
            if text is None or text == "":
                continue
            if type(text) is not str:
                raise malformed(f"{name} is not a string")
            if name == "reasoning" and delta.get("reasoning_content"):
                continue  # both names for the same words
            out.append(Delta(self._word(kind, out), text))
        for call in TOLD.objects(delta, "tool_calls"):
            number = call.get("index", 0)
            if type(number) is not int:
                raise malformed("a call's index is not an integer")
            function = TOLD.object(call, "function") or {}
            self._call(number, TOLD.string(call, "id"), function, out)
        if delta.get("annotations"):
            out.append(Lost("annotations", "citations are a provider's own"))
        legacy = TOLD.object(delta, "function_call")
        if legacy:
            self._call(-1, "", legacy, out)

    def _open(self) -> int:
        if self._finished:
            raise malformed("text behind a finish reason")
        if self._next >= MAX_PARTS:
            raise malformed("too many parts")
        self._next += 1
        return self._next - 1

    def _word(self, kind: Kind, out: list[Event]) -> int:
        if self._words is not None:
            index, known = self._words
            if known is kind:
                return index
            out.append(PartEnded(index))
        index = self._open()
        self._words = (index, kind)
        out.append(PartBegan(index, kind))
        return index

    def _call(self, number: int, call_id: str, function: dict[str, Any], out: list[Event]) -> None:
        name = TOLD.string(function, "name")
        arguments = TOLD.string(function, "arguments")
        call = self._calls.get(number)
        # Some servers repeat id and name; some number every call 0 and tell them apart by id alone.
        if call is None or (call_id and call.id and call_id != call.id):
            if not name:
                if not arguments.strip() and not call_id:
                    return
                raise malformed("a call without a name")
            if call is not None:
                self._end(number, call, out)
            if self._words is not None:
                out.append(PartEnded(self._words[0]))
                self._words = None
            self._id_chars += len(call_id)
            if self._id_chars > _MAX_ID_CHARS:
                raise malformed("ids of calls are too long")
            call = self._calls[number] = _Call(self._open(), call_id)
            self._called = True
            out.append(PartBegan(call.index, Kind.CALL, call_id, name))
        if not arguments:
            return
        before = call.end.ended
        if not call.end.push(arguments):
            raise malformed("arguments behind their end")
        if before:
            return  # white space
        call.said = call.said or bool(arguments.strip())
        out.append(Delta(call.index, arguments))
        if call.end.ended:
            out.append(PartEnded(call.index))

    def _end(self, number: int, call: _Call, out: list[Event]) -> None:
        del self._calls[number]
        if not call.said:
            out.append(Delta(call.index, "{}"))
        if not call.end.ended:
            out.append(PartEnded(call.index))

    def _finish(self, finish: Finish, out: list[Event]) -> None:
        if self._finished:
            return
        if self._words is not None:
            out.append(PartEnded(self._words[0]))
            self._words = None
        for number, call in list(self._calls.items()):
            self._end(number, call, out)
        if finish is Finish.STOP and self._called:
            finish = Finish.CALLS  # some servers say "stop" where they call
        self._finished = True
        out.append(Finished(finish))


class ChunkWriter:
    """Writes one stream."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._shell: dict[str, Any] = {}
        self._kinds: dict[int, Kind] = {}  # of open parts
        self._calls: dict[int, int] = {}  # open part -> number of the call
        self._called = 0
        self._usage: Usage | None = None
        self._done = False

    def write(self, events: list[Event]) -> bytes:
        """See `StreamWriter.write`."""
        return b"".join([self._event(event) for event in events if not self._done])

    def _event(self, event: Event) -> bytes:
        match event:
            case Delta(index, text):
                kind = self._kinds.get(index)
                if kind is Kind.CALL:
                    return self._say({"tool_calls": [{"index": self._calls[index], "function": {"arguments": text}}]})
                if kind is Kind.TEXT:
                    return self._say({"content": text})
                return self._say({"reasoning_content" if kind is Kind.THINKING else "refusal": text})
            case PartBegan():
                return self._begin(event)
            case PartEnded(index):
                self._kinds.pop(index, None)
                self._calls.pop(index, None)
            case Began():
                return self._start(event)
            case Finished(finish):
                return self._say({}, FINISHED[finish])
            case Counted(usage):
                self._usage = usage
            case Ended():
                self._done = True
                return self._last()
            case Failure():
                self._done = True
                return sse.encode(orjson.dumps(write_error(event))) + DONE
            case Alive():
                return _ALIVE
            case Signed() | Lost():
                pass  # signatures have no place here: such reasoning cannot be sent back
        return b""

    def _start(self, began: Began) -> bytes:
        origin = self._origin
        self._usage = began.usage
        self._shell = {
            "id": began.id or f"chatcmpl-{origin.request_id}",
            "object": "chat.completion.chunk",
            "created": origin.now_s if began.created_s is None else began.created_s,
            "model": began.model or origin.model,
        }
        return self._say({"role": "assistant", "content": ""})

    def _begin(self, part: PartBegan) -> bytes:
        self._kinds[part.index] = part.kind
        if part.kind is not Kind.CALL:
            return b""
        number = self._calls[part.index] = self._called
        self._called += 1
        call = {
            "index": number,
            "id": part.id or self._origin.made_id("call", number),
            "type": "function",
            "function": {"name": part.name, "arguments": ""},
        }
        return self._say({"tool_calls": [call]})

    def _say(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return b"data: " + orjson.dumps({**self._shell, "choices": [choice]}) + b"\n\n"

    def _last(self) -> bytes:
        if self._usage is None or not self._origin.stream_usage:
            return DONE
        tree = {**self._shell, "choices": [], "usage": written_usage(self._usage)}
        return b"data: " + orjson.dumps(tree) + b"\n\n" + DONE
