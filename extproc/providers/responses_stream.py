"""The guard of a Responses event stream: every text of every item passes its own hold-back. Knows no requests.

Event shapes: OpenAI API reference, "Streaming events" of Responses. An event leaves as it is written here anew, from
fields that are known; events, items and parts of other types end the stream. A text is told up to five times: in
deltas, in the `done` events of text, part and item, and in the last event. Only the first telling is judged. The others
are written from what was released, so they agree whatever the provider repeats.
"""

from typing import Any, Final

import orjson

from extproc.core import sse
from extproc.core.texts import lay
from extproc.core.unknown import Unknown
from extproc.core.windows import of_source, of_text
from extproc.guardrails.guard import Guard, Tally
from extproc.providers.door import TOLD_ERROR, Seen, break_off
from extproc.providers.openai_stream import malformed
from extproc.providers.responses_ending import replaced
from extproc.providers.responses_items import CALLS, DELTAS, DONES, ITEMS, KINDS, NO_PARTS, PART_EVENTS, Item, Text
from gateway.errors import Dialect, GatewayError, body_of

_KEEP_ALIVE: Final = b": keep-alive\n\n"
_LABELS: Final = {
    "message": ("type", "status", "role", "phase"),
    "reasoning": ("type", "status", "encrypted_content"),
    "function_call": ("type", "status", "call_id", "name", "namespace"),
    "custom_tool_call": ("type", "status", "call_id", "name", "namespace"),
}
_RESPONSE_KEYS: Final = frozenset(
    {"id", "object", "created_at", "completed_at", "status", "error", "incomplete_details", "instructions", "metadata",
     "model", "parallel_tool_calls", "temperature", "tool_choice", "tools", "top_p", "background", "max_output_tokens",
     "max_tool_calls", "previous_response_id", "prompt_cache_key", "prompt_cache_retention", "reasoning",
     "safety_identifier", "service_tier", "store", "text", "top_logprobs", "truncation", "usage", "user",
     "frequency_penalty", "presence_penalty"},
)  # fmt: skip
#: What a `begun` item keeps: its texts are kept for themselves.
_BEGUN: Final = frozenset({"id", *(key for keys in _LABELS.values() for key in keys)}) - {"encrypted_content"}
_ERROR_KEYS: Final = frozenset({"type", "code", "message", "param", "error"})
_BEGINNINGS: Final = frozenset({"response.created", "response.queued", "response.in_progress"})
_ENDINGS: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})
_PLAIN: Final = frozenset({str, int})
#: What names a response in events of our own.
_SHELL: Final = ("id", "created_at", "model")

_MAX_ITEMS: Final = 1024  # as many channels as a chat stream may open
_MAX_CHANNELS: Final = 1024
#: The last event repeats every text, and no event may be larger than this by default (policy: `limits.event_bytes`).
_MAX_KEPT_CHARS: Final = 1024 * 1024


class ResponseStream:
    """The guard of one stream of a response."""

    def __init__(self, guard: Guard, tally: Tally, seen: Seen) -> None:
        self.blocked: str | None = None
        self._guard = guard
        self._tally = tally
        self._seen = seen
        self._unknown = Unknown(guard, tally)
        self._items: dict[int, Item] = {}
        self._by_id: dict[str, Item] = {}
        self._counted: dict[tuple[object, ...], dict[str, int]] = {}  # what an object that comes again had before
        self._sequence = 0
        self._channels = 0
        self._kept_chars = 0
        self.over = False
        self._latest: Text | None = None  # the output text that began last
        self._shell: dict[str, Any] | None = None  # what named the response that clients saw begin

    def feed(self, frames: list[sse.Frame]) -> bytes:
        """Guard whole events; see `StreamGuard.feed`."""
        out: list[bytes] = []
        for frame in frames:
            if self.over or self.blocked is not None:
                break
            self._frame(frame, out)
        return b"".join(out)

    def finish(self) -> bytes:
        """Release what is held, as deltas. Idempotent."""
        out: list[bytes] = []
        self._end_all(out)
        told = b"".join(out)
        return told if self.over or self.blocked is not None else break_off(self, self._seen, told)

    def instead(self, text: str) -> bytes | None:
        """What clients have seen begin ends as it stands; a message of its own says `text`, the last event why."""
        return b"".join([self._written(event) for event in replaced(self._items, self._shell, text)])

    def cut(self, error: GatewayError) -> bytes:
        """An `error` event. The API's form stands beside the object that the official SDKs raise as APIError."""
        told = body_of(error, Dialect.OPENAI)
        event = {"type": "error", "code": error.kind.value, "message": error.public, "param": error.param, **told}
        return self._written(event)

    # --- events -------------------------------------------------------------------------------------------

    def _frame(self, frame: sse.Frame, out: list[bytes]) -> None:
        data = frame.data
        if data is None:
            # A comment's words would pass unseen; its purpose does not need them. A blank line has none.
            if frame.raw.strip():
                out.append(_KEEP_ALIVE)
            return
        if data.strip() == b"[DONE]":  # not in the API; compatible servers write it behind the last event
            out.append(self.finish())
            return
        try:
            tree = orjson.loads(data)
        except orjson.JSONDecodeError:
            raise malformed("event is not JSON") from None
        if type(tree) is not dict:
            raise malformed("event is not an object")
        self._event(tree, out)

    def _event(self, tree: dict[str, Any], out: list[bytes]) -> None:
        kind = tree.get("type", "error" if "error" in tree else None)
        if type(kind) is not str:
            raise malformed("an event without a type")
        if kind in DELTAS:
            self._delta(kind, tree, out)
        elif kind in DONES:
            self._text_done(kind, tree, out)
        elif kind in PART_EVENTS:
            self._part_event(kind, tree, out)
        elif kind == "response.output_item.added":
            self._item_added(tree, out)
        elif kind == "response.output_item.done":
            self._item_done(tree, out)
        elif kind == "response.output_text.annotation.added":
            self._annotation(tree, out)
        elif kind in _BEGINNINGS:
            response = {**self._response(tree), "output": []}
            if self._emit(out, {"type": kind, "response": response}):
                self._shell = {key: response[key] for key in _SHELL if type(response.get(key)) in _PLAIN}
        elif kind in _ENDINGS:
            self._ending(kind, tree, out)
        elif kind == "error":
            self._error(tree, out)
        elif kind == "keepalive":
            out.append(_KEEP_ALIVE)
        else:
            self._unknown_event(kind, tree, out)

    def _unknown_event(self, kind: str, tree: dict[str, Any], out: list[bytes]) -> None:
        if self._unknown.meet("an event", kind):
            self._unknown.event(kind, tree)
        self.blocked = self.blocked or self._unknown.blocked
        self._emit(out, tree)

    def _delta(self, kind: str, tree: dict[str, Any], out: list[bytes]) -> None:
        name = DELTAS[kind]
        output_index, item, index = self._place(name, tree)
        delta = tree.get("delta")
        if type(delta) is not str:
            raise malformed("a delta is not a string")
        text = self._text(output_index, item, name, index)
        self._tell(out, output_index, item, name, index, self._push(text, delta))

    def _text_done(self, kind: str, tree: dict[str, Any], out: list[bytes]) -> None:
        name = DONES[kind]
        output_index, item, index = self._place(name, tree)
        text = self._text(output_index, item, name, index)
        if text.told:
            raise malformed("a text ended twice")
        whole = self._end(text, tree.get(KINDS[name].whole), out, (output_index, item, name, index))
        if self._emit(out, self._about(f"{KINDS[name].events}.done", output_index, item, name, index, whole)):
            text.told, text.sent = True, text.size

    def _part_event(self, kind: str, tree: dict[str, Any], out: list[bytes]) -> None:
        holder, field_ = PART_EVENTS[kind]
        output_index, item = self._item_of(tree)
        index = _whole_number(tree, field_)
        ends = kind.endswith("done")
        part = self._part(item, output_index, holder, index, tree.get("part"), out, ends=ends)
        text = item.texts.get((part["type"], index))
        if text is not None and ends and text.parted:  # a short event would have a long text repeated at will
            raise malformed("a part ended twice")
        event = {"type": kind, "item_id": item.id, "output_index": output_index, field_: index, "part": part}
        if tree.get("status") == "incomplete":
            event["status"] = "incomplete"
        if self._emit(out, event) and text is not None:
            text.opened, text.parted, text.sent = True, text.parted or ends, text.size

    def _item_added(self, tree: dict[str, Any], out: list[bytes]) -> None:
        output_index = _whole_number(tree, "output_index")
        if output_index in self._items:
            raise malformed("an item was announced twice")
        source = tree.get("item")
        item = self._announce(output_index, source)
        told = self._item(item, output_index, source, out, ends=False)
        if self._emit(out, {"type": "response.output_item.added", "output_index": output_index, "item": told}):
            item.begun = {key: value for key, value in told.items() if key in _BEGUN or item.kind not in ITEMS}
            for text in item.texts.values():
                text.opened, text.sent = True, text.size

    def _item_done(self, tree: dict[str, Any], out: list[bytes]) -> None:
        output_index = _whole_number(tree, "output_index")
        source = tree.get("item")
        item = self._items.get(output_index) or self._announce(output_index, source)
        told = self._close(item, output_index, source, out)
        item.over = self._emit(out, {"type": "response.output_item.done", "output_index": output_index, "item": told})

    def _annotation(self, tree: dict[str, Any], out: list[bytes]) -> None:
        output_index, item, index = self._place("output_text", tree)
        number = _whole_number(tree, "annotation_index")
        event = self._about("response.output_text.annotation.added", output_index, item, "output_text", index, None)
        annotation = self._annotated(tree.get("annotation"), ("annotation", output_index, index, number))
        self._emit(out, {**event, "annotation_index": number, "annotation": annotation})

    def _ending(self, kind: str, tree: dict[str, Any], out: list[bytes]) -> None:
        response = self._response(tree)
        self._end_all(out)
        source = tree["response"].get("output")
        if source is not None and type(source) is not list:
            raise malformed("output is not a list")
        output = []
        for position, each in enumerate(source or ()):
            item = self._known(position, each)
            if item.listed:
                raise malformed("an item is listed twice")
            item.listed = True
            output.append(item.final or self._close(item, position, each, out))
        self.over = True
        if kind == "response.failed":
            self._seen.failed = TOLD_ERROR
        self._emit(out, {"type": kind, "response": {**response, "output": output}})

    def _error(self, tree: dict[str, Any], out: list[bytes]) -> None:
        self._end_all(out)
        event = {key: value for key, value in tree.items() if key in _ERROR_KEYS}
        self._lay(event)
        self._seen.failed = self._seen.failed or TOLD_ERROR
        self.over = True
        self._emit(out, {**event, "type": "error"})

    # --- items --------------------------------------------------------------------------------------------

    def _response(self, tree: dict[str, Any]) -> dict[str, Any]:
        """The response object of an event, guarded, without its output."""
        source = tree.get("response")
        if type(source) is not dict:
            raise malformed("a response is not an object")
        self._seen.read(source.get("usage"))
        response = {key: value for key, value in source.items() if key in _RESPONSE_KEYS}
        self._lay(response, ("response",))
        return response

    def _announce(self, output_index: int, source: Any) -> Item:
        kind = source.get("type") if type(source) is dict else None
        if type(kind) is not str or kind not in ITEMS:
            self._pass("an item", kind, (output_index,))
        if len(self._items) >= _MAX_ITEMS:
            raise malformed("too many items")
        raw_id = source.get("id")
        if raw_id is not None and type(raw_id) is not str:
            raise malformed("an item's id is not a string")
        label = {"id": raw_id or ""}
        self._lay(label)
        tool = source["name"] if type(source.get("name")) is str else ""
        item = Item(str(kind), label["id"], raw_id=raw_id or "", tool=tool)
        if raw_id:
            if raw_id in self._by_id:
                raise malformed("two items have the same id")
            self._by_id[raw_id] = item
        self._items[output_index] = item
        return item

    def _known(self, position: int, source: Any) -> Item:
        """The item that the last event lists at `position`: by its id, else by its place, else a new one."""
        raw_id = source.get("id") if type(source) is dict else None
        if type(raw_id) is str and raw_id in self._by_id:
            return self._by_id[raw_id]
        item = self._items.get(position)
        if item is not None and (not raw_id or not item.raw_id):
            return item
        # The place of another item: what is new gets a place that no event has named.
        return self._announce(position if item is None else -1 - len(self._items), source)

    def _close(self, item: Item, output_index: int, source: Any, out: list[bytes]) -> dict[str, Any]:
        if item.final is not None:
            raise malformed("an item ended twice")
        for (name, index), text in item.texts.items():
            self._end(text, None, out, (output_index, item, name, index))
        told = self._item(item, output_index, source, out, ends=True)
        if self.blocked is None:
            item.final = told
            item.texts.clear()
        return told

    def _item(self, item: Item, output_index: int, source: Any, out: list[bytes], *, ends: bool) -> dict[str, Any]:
        if type(source) is not dict or source.get("type") != item.kind:
            raise malformed("an item changed its type")
        if item.kind not in ITEMS:
            return self._unknown_whole({**source, "id": item.id} if "id" in source else source)
        told = {key: source[key] for key in _LABELS[item.kind] if key in source}
        self._lay(told, ("item", output_index))
        if "id" in source:
            told["id"] = item.id
        for holder in ITEMS[item.kind]:
            parts = source.get(holder)
            if parts is None:
                continue
            if type(parts) is not list:
                raise malformed("parts are not a list")
            told[holder] = [
                self._part(item, output_index, holder, index, part, out, ends=ends) for index, part in enumerate(parts)
            ]
        name = CALLS.get(item.kind)
        if name is not None:
            told[name] = self._whole(item, output_index, name, 0, source.get(name), out, ends=ends)
        return told

    def _part(
        self, item: Item, output_index: int, holder: str, index: int, source: Any, out: list[bytes], *, ends: bool
    ) -> dict[str, Any]:
        kind = source.get("type") if type(source) is dict else None
        if type(kind) is not str or kind not in ITEMS.get(item.kind, NO_PARTS).get(holder, ()):
            self._pass("a part", kind, (output_index, holder, index))
            return self._unknown_whole(source)
        whole = KINDS[kind].whole
        part: dict[str, Any] = {
            "type": kind,
            whole: self._whole(item, output_index, kind, index, source.get(whole), out, ends=ends),
        }
        if kind == "output_text":
            annotations = source.get("annotations")
            part["annotations"] = [
                self._annotated(each, ("annotation", output_index, index, number))
                for number, each in enumerate(annotations if type(annotations) is list else ())
            ]
            part["logprobs"] = []  # tokens would spell out what the guard removes
        return part

    def _pass(self, what: str, kind: Any, place: tuple[Any, ...]) -> None:
        """Let something of an unknown kind pass, or be blocked by it."""
        self._unknown.meet(what, kind, place)
        self.blocked = self.blocked or self._unknown.blocked

    def _unknown_whole(self, source: dict[str, Any]) -> dict[str, Any]:
        if self.blocked is None:
            self._unknown.whole(source)
            self.blocked = self._unknown.blocked
        return source

    def _annotated(self, source: Any, slot: tuple[object, ...]) -> Any:
        holder = [source]
        self._lay(holder, slot)
        return holder[0]

    # --- texts --------------------------------------------------------------------------------------------

    def _item_of(self, tree: dict[str, Any]) -> tuple[int, Item]:
        output_index = _whole_number(tree, "output_index")
        item = self._items.get(output_index)
        if item is None or item.final is not None:
            raise malformed("an event of an item that is not open")
        return output_index, item

    def _place(self, name: str, tree: dict[str, Any]) -> tuple[int, Item, int]:
        """Where the event's text stands: the item's index, the item, the text's index in it."""
        output_index, item = self._item_of(tree)
        parts = ITEMS.get(item.kind, NO_PARTS)
        if name != CALLS.get(item.kind) and not any(name in kinds for kinds in parts.values()):
            raise malformed("a text that its item cannot have")
        field_ = KINDS[name].index
        return output_index, item, _whole_number(tree, field_) if field_ else 0

    def _text(self, output_index: int, item: Item, name: str, index: int) -> Text:
        text = item.texts.get((name, index))
        if text is None:
            if self._channels >= _MAX_CHANNELS:
                raise malformed("too many channels")
            self._channels += 1
            if name == "arguments":
                hold = of_source(self._guard, self._tally, tool=item.tool)
            else:
                tool = item.tool if name == "input" else None
                hold = of_text(self._guard, self._tally, tool=tool, joined=name == "output_text")
            text = Text(hold=hold, place=(output_index, index) if name == "output_text" else None)
            item.texts[name, index] = text
        return text

    def _push(self, text: Text, more: str) -> str:
        if not more or self.blocked is not None:
            return ""
        if text.ended:  # it could complete what was released as the end
            raise malformed("text behind its end")
        seam = "" if text.begun else self._seam(text, more)
        text.begun = True
        self._seen.say(more)
        return self._kept(text, seam + text.hold.push(more))

    def _seam(self, text: Text, more: str) -> str:
        """What goes between two output texts: SDKs join them as they are, and the join was judged by nobody."""
        if text.place is None:
            return ""
        before, self._latest = self._latest, text
        if before is None or before.place is None:
            return ""
        if text.place < before.place:
            raise malformed("texts are out of order")
        return seam(before.last if before.ended else "?", more)

    def _flush(self, text: Text) -> str:
        if text.ended or self.blocked is not None:
            return ""
        text.ended = True
        return self._kept(text, text.hold.flush())

    def _kept(self, text: Text, released: str) -> str:
        if text.hold.blocked is not None:
            self.blocked = text.hold.blocked
        self._kept_chars += len(released)
        if self._kept_chars > _MAX_KEPT_CHARS:
            raise malformed("longer than its last event may be")
        if released:
            text.keep(released)
            text.last = released[-1]
        return released

    def _whole(
        self, item: Item, output_index: int, name: str, index: int, value: Any, out: list[bytes], *, ends: bool
    ) -> str:
        """A text that is told as a whole: its beginning, or (`ends`) what was released of all of it."""
        text = self._text(output_index, item, name, index)
        if ends:
            return self._end(text, value, out, (output_index, item, name, index))
        if value is not None and type(value) is not str:
            raise malformed("a text is not a string")
        return self._push(text, value or "")

    def _end(self, text: Text, value: Any, out: list[bytes], where: tuple[int, Item, str, int]) -> str:
        """End a text. What was held leaves as a delta; a text that had none is taken from `value`."""
        if value is not None and type(value) is not str:
            raise malformed("a text is not a string")
        if not text.ended:
            if text.begun:
                self._tell(out, *where, self._flush(text))
            elif value:
                self._push(text, value)
                self._flush(text)
        return "".join(text.released)

    def _end_all(self, out: list[bytes]) -> None:
        self._unknown.finish()
        self.blocked = self.blocked or self._unknown.blocked
        for output_index in sorted(self._items):
            item = self._items[output_index]
            for (name, index), text in item.texts.items():
                if self.blocked is None and text.begun and not text.ended:
                    self._tell(out, output_index, item, name, index, self._flush(text))

    # --- writing ------------------------------------------------------------------------------------------

    def _lay(self, tree: Any, slot: tuple[object, ...] = ()) -> None:
        """Guard an object that comes whole. What a `slot` had when it came before is not counted again."""
        scratch = Tally()
        laid = lay(tree, self._guard, scratch)
        if laid.blocked is not None:
            self.blocked = self.blocked or laid.blocked
        if not scratch.counts:
            return
        remembers = slot in self._counted or (slot and len(self._counted) < _MAX_ITEMS)
        before = self._counted.setdefault(slot, {}) if remembers else {}
        for rule, count in scratch.counts.items():
            for _ in range(count - before.get(rule, 0)):
                self._tally.add(rule)
            before[rule] = max(count, before.get(rule, 0))

    def _about(
        self, kind: str, output_index: int, item: Item, name: str, index: int, whole: str | None
    ) -> dict[str, Any]:
        event: dict[str, Any] = {"type": kind, "item_id": item.id, "output_index": output_index}
        if KINDS[name].index:
            event[KINDS[name].index] = index
        if whole is not None:
            event["delta" if kind.endswith("delta") else KINDS[name].whole] = whole
            if name == "output_text":
                event["logprobs"] = []
        return event

    def _tell(self, out: list[bytes], output_index: int, item: Item, name: str, index: int, released: str) -> None:
        """Write a delta. What was released before a blocking finding leaves too, whatever comes of its event."""
        if released:
            item.texts[name, index].sent += len(released)
            kind = f"{KINDS[name].events}.delta"
            out.append(self._written(self._about(kind, output_index, item, name, index, released)))

    def _emit(self, out: list[bytes], event: dict[str, Any]) -> bool:
        """Write an event unless a rule ended the stream; whether it leaves."""
        if self.blocked is None:
            out.append(self._written(event))
        return self.blocked is None

    def _written(self, event: dict[str, Any]) -> bytes:
        event["sequence_number"] = self._sequence
        self._sequence += 1
        return sse.encode(orjson.dumps(event), event["type"])


def seam(before: str, after: str) -> str:
    """A line break where two texts would become one word, "" elsewhere."""
    return "" if not before or not after or before[-1].isspace() or after[0].isspace() else "\n"


def _whole_number(tree: dict[str, Any], name: str) -> int:
    value = tree.get(name)
    if type(value) is not int or value < 0:
        raise malformed(f"{name} is not a whole number")
    return value
