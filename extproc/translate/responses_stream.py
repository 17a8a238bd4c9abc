"""OpenAI's Responses events, written (API reference, "Streaming events" of Responses). Reads nothing.

The API tells a text up to four times more when it is complete, and all of them in its last event: so it is held until
then, within a bound.
"""

from io import StringIO
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
from extproc.translate.fields import malformed
from extproc.translate.openai_answer import write_error
from extproc.translate.responses_answer import (
    FIELDS,
    call,
    call_id,
    ended,
    message,
    reasoning,
    shell,
    status_of,
    summary,
    words,
)

_ALIVE: Final = b": keep-alive\n\n"
#: Of texts, names and ids, which are held until the end. The guards hold no more either, and the last event must fit
#: `limits.event_bytes`.
_MAX_HELD_CHARS: Final = 1 << 20
_WORDS: Final = {Kind.TEXT: "output_text", Kind.REFUSAL: "refusal"}


class _Item:
    """One item that is not complete."""

    __slots__ = ("at", "call_id", "content", "id", "kind", "name", "open", "over", "said")

    def __init__(self, at: int, kind: str) -> None:
        self.at = at
        self.kind = kind  # of the words that come: `output_text`, `refusal`, `summary_text`, `arguments`
        self.id = ""
        self.said = StringIO()  # of the part that is open
        self.content: list[dict[str, Any]] = []  # parts that ended
        self.open = 0  # parts of the provider's that may still say something here
        self.over = False  # nothing but these will
        self.call_id = self.name = ""


class ResponseWriter:
    """Writes one stream. A message goes on over parts of the provider's until another item begins or the end comes."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._shell: dict[str, Any] | None = None
        self._kinds: dict[int, Kind] = {}  # of parts that have said nothing
        self._items: dict[int, _Item] = {}  # part -> item that it speaks in
        self._message: _Item | None = None  # that further words are added to
        self._output: list[dict[str, Any]] = []
        self._call_ids: set[str] = set()
        self._held_chars = 0
        self._sequence = 0
        self._finish = Finish.STOP
        self._usage: Usage | None = None
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
                self._say(index, text, out)
            case PartBegan():
                self._part(event, out)
            case PartEnded(index):
                self._part_ended(index, out)
            case Began():
                self._start(event, out)
            case Finished(finish):
                self._finish = finish
            case Counted(usage):
                self._usage = usage
            case Ended():
                self._last(out)
            case Failure():
                self._fail(event, out)
            case Alive():
                out.append(_ALIVE)
            case Signed() | Lost():
                pass  # signatures have no place here: such reasoning cannot be sent back

    def _start(self, began: Began, out: list[bytes]) -> None:
        self._usage = began.usage
        told = self._shell = shell(began.id, began.model, began.created_s, self._origin)
        self._tell("response.created", out, response=told)
        self._tell("response.in_progress", out, response=told)

    # --- items ------------------------------------------------------------------------------------------------

    def _part(self, part: PartBegan, out: list[bytes]) -> None:
        if part.kind is not Kind.CALL:
            self._kinds[part.index] = part.kind
            return
        item = self._open(part.index, "arguments", out)
        item.call_id = call_id(part.id, self._origin, item.at, self._call_ids)
        item.name = part.name
        self._hold(len(part.id) + len(part.name))
        told = call(self._origin, item.at, item.call_id, item.name, "", "in_progress")
        self._begin(item, told, out)

    def _open(self, index: int, kind: str, out: list[bytes]) -> _Item:
        """An item for a part of the provider's. Its place in the output is taken at once."""
        if self._shell is None:
            self._start(Began("", ""), out)
        self._retire(out)
        item = self._items[index] = _Item(len(self._output), kind)
        item.open = 1
        self._output.append({})
        return item

    def _begin(self, item: _Item, told: dict[str, Any], out: list[bytes]) -> None:
        item.id = told["id"]
        self._tell("response.output_item.added", out, output_index=item.at, item=told)

    def _say(self, index: int, text: str, out: list[bytes]) -> None:
        self._hold(len(text))
        if index in self._kinds:
            self._speak(index, self._kinds.pop(index), out)
        item = self._items.get(index)
        if item is None:
            raise malformed("words of no part")
        item.said.write(text)
        where = {"item_id": item.id, "output_index": item.at, "delta": text}
        if item.kind == "arguments":
            self._tell("response.function_call_arguments.delta", out, **where)
        elif item.kind == "summary_text":
            self._tell("response.reasoning_summary_text.delta", out, **where, summary_index=0)
        elif item.kind == "refusal":
            self._tell("response.refusal.delta", out, **where, content_index=len(item.content))
        else:
            self._tell("response.output_text.delta", out, **where, content_index=len(item.content), logprobs=[])

    def _speak(self, index: int, kind: Kind, out: list[bytes]) -> None:
        """A part says its first word: in an item of its own, or in the message that is open."""
        if kind not in _WORDS:
            item = self._open(index, "summary_text", out)
            self._begin(item, reasoning(self._origin, item.at, ""), out)
            place = {"item_id": item.id, "output_index": item.at, "summary_index": 0}
            self._tell("response.reasoning_summary_part.added", out, **place, part=summary(""))
            return
        told = _WORDS[kind]
        if self._message is None:
            item = self._message = self._open(index, told, out)
            self._begin(item, message(self._origin, item.at, [], "in_progress"), out)
        else:
            item = self._items[index] = self._message
            item.open += 1
            if item.kind == told:
                return
            self._end_words(item, out)
            item.kind = told
        place = {"item_id": item.id, "output_index": item.at, "content_index": len(item.content)}
        self._tell("response.content_part.added", out, **place, part=words(told, ""))

    def _part_ended(self, index: int, out: list[bytes]) -> None:
        self._kinds.pop(index, None)
        item = self._items.pop(index, None)
        if item is None:
            return
        item.open -= 1
        if item.kind in FIELDS:
            if item.over and not item.open:
                self._end_message(item, "completed", out)
        elif item.kind == "arguments":
            self._end_call(item, out)
        else:
            self._end_reasoning(item, out)

    def _retire(self, out: list[bytes]) -> None:
        """Another item begins: what is said next is another message."""
        item, self._message = self._message, None
        if item is not None:
            item.over = True
            if not item.open:
                self._end_message(item, "completed", out)

    # --- ends -------------------------------------------------------------------------------------------------

    def _end_words(self, item: _Item, out: list[bytes]) -> None:
        text = item.said.getvalue()
        item.said = StringIO()
        place = {"item_id": item.id, "output_index": item.at, "content_index": len(item.content)}
        if item.kind == "refusal":
            self._tell("response.refusal.done", out, **place, refusal=text)
        else:
            self._tell("response.output_text.done", out, **place, text=text, logprobs=[])
        item.content.append(words(item.kind, text))
        self._tell("response.content_part.done", out, **place, part=item.content[-1])

    def _end_message(self, item: _Item, status: str, out: list[bytes]) -> None:
        self._end_words(item, out)
        self._end(item, message(self._origin, item.at, item.content, status), out)

    def _end_call(self, item: _Item, out: list[bytes]) -> None:
        arguments = item.said.getvalue()
        status = status_of(arguments)
        if status == "completed":  # clients call the function on this event
            where = {"item_id": item.id, "output_index": item.at, "arguments": arguments}
            self._tell("response.function_call_arguments.done", out, **where)
        self._end(item, call(self._origin, item.at, item.call_id, item.name, arguments, status), out)

    def _end_reasoning(self, item: _Item, out: list[bytes]) -> None:
        text = item.said.getvalue()
        place = {"item_id": item.id, "output_index": item.at, "summary_index": 0}
        self._tell("response.reasoning_summary_text.done", out, **place, text=text)
        self._tell("response.reasoning_summary_part.done", out, **place, part=summary(text))
        self._end(item, reasoning(self._origin, item.at, text), out)

    def _end(self, item: _Item, told: dict[str, Any], out: list[bytes]) -> None:
        self._output[item.at] = told
        self._tell("response.output_item.done", out, output_index=item.at, item=told)

    def _last(self, out: list[bytes]) -> None:
        self._done = True
        if self._shell is None:
            self._start(Began("", ""), out)
        told = ended(self._shell or {}, self._finish, self._output, self._usage)
        if self._message is not None:
            self._end_message(self._message, told["status"], out)
        if not all(self._output):
            raise malformed("an item without an end")
        self._tell("response.completed" if told["status"] == "completed" else "response.incomplete", out, response=told)

    def _fail(self, failure: Failure, out: list[bytes]) -> None:
        """The API's `error` event. The official clients raise on the object inside, and on no other event."""
        self._done = True
        error = write_error(failure)["error"]
        outer = {"code": error["code"], "message": error["message"], "param": None}
        self._tell("error", out, **outer, error=error)

    def _hold(self, chars: int) -> None:
        self._held_chars += chars
        if self._held_chars > _MAX_HELD_CHARS:
            raise malformed("longer than its last event may be")

    def _tell(self, kind: str, out: list[bytes], **fields: Any) -> None:
        out.append(sse.encode(orjson.dumps({"type": kind, "sequence_number": self._sequence, **fields}), kind))
        self._sequence += 1
