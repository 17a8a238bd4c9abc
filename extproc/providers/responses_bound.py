"""How much of a Responses answer fits into a tenant's bound, and how it ends where it is full. Judges nothing.

A stream is followed as clients hear it, event by event behind the guard. The event that says too much does not leave:
what fits of it is told as deltas, everything that was begun ends, and the last event repeats it all.
"""

from collections.abc import Iterator
from typing import Any, Final

from extproc.providers.responses_ending import full, stopped
from extproc.providers.responses_items import (
    CALLS,
    DELTAS,
    DONES,
    ITEMS,
    KINDS,
    NO_PARTS,
    PART_EVENTS,
    Announced,
    Telling,
)

#: Parts of messages that are said to the reader.
SAID: Final = frozenset({"output_text", "refusal"})
#: What an item says, which is kept by text. Encrypted reasoning comes whole with its item's end, or not at all.
_TEXTS: Final = frozenset({"content", "summary", "encrypted_content", *CALLS.values()})
_LAST: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})
_Event = dict[str, Any]


class Bound:
    """One stream, as far as clients heard it."""

    def __init__(self, most: int) -> None:
        """`most`: characters of messages that fit."""
        self.full = False
        self._room = most
        self._items: dict[int, Announced[Telling]] = {}
        self._new: list[int] = []  # items of which clients hear first by the event at hand
        self._grown: list[Telling] = []  # texts that it tells something of
        self._begun: _Event = {}  # the response as it began
        self._sequence = 0  # number of the next event

    def take(self, event: _Event) -> bool:
        """Follow the next event; whether it says too much. It must not leave then, nor any behind it."""
        self._new.clear()
        self._grown.clear()
        self._hear(event["type"], event)
        if not self.full:
            for text in self._grown:
                text.sent = text.size
            self._sequence = event["sequence_number"] + 1
        return self.full

    def ending(self) -> Iterator[_Event]:
        """The events in place of the one that says too much."""
        for number, event in enumerate(self._ending(), self._sequence):
            yield {**event, "sequence_number": number}

    def _ending(self) -> Iterator[_Event]:
        for at in sorted(self._new):
            yield {"type": "response.output_item.added", "output_index": at, "item": _announcement(self._items[at])}
        output: list[_Event] = []
        yield from stopped(self._items, output)
        yield {"type": "response.incomplete", "response": full(self._begun, output)}

    # --- events -------------------------------------------------------------------------------------------

    def _hear(self, kind: str, event: _Event) -> None:
        if kind in DELTAS or kind in DONES:
            self._text(kind, event)
        elif kind in PART_EVENTS:
            self._part(kind, event)
        elif kind == "response.output_item.added":
            item = self._item(event["output_index"], event["item"])
            for text in () if self.full else item.texts.values():
                text.opened = True
        elif kind == "response.output_item.done":
            item = self._item(event["output_index"], event["item"])
            if not self.full:
                item.final, item.over = event["item"], True
                item.texts.clear()
        elif kind in _LAST:
            self._last(event["response"]["output"])
        elif not self._begun and type(event.get("response")) is dict:
            self._begun = event["response"]

    def _text(self, kind: str, event: _Event) -> None:
        name = DELTAS.get(kind) or DONES[kind]
        item, index = self._items[event["output_index"]], event[KINDS[name].index] if KINDS[name].index else 0
        if kind in DELTAS:
            self._grow(item, name, index, event["delta"])
            return
        text = self._whole(item, name, index, event[KINDS[name].whole])
        text.told = not self.full

    def _part(self, kind: str, event: _Event) -> None:
        _, index = PART_EVENTS[kind]
        part = event["part"]
        if part["type"] in KINDS:
            text = self._whole(self._items[event["output_index"]], part["type"], event[index], _said(part))
            if not self.full:
                text.opened, text.parted = True, text.parted or kind.endswith("done")

    def _item(self, at: int, source: _Event) -> Announced[Telling]:
        """An item that is told as a whole, or as it begins."""
        item = self._items.get(at)
        if item is None:
            begun = {key: value for key, value in source.items() if key not in _TEXTS or source["type"] not in ITEMS}
            item = self._items[at] = Announced(source["type"], source.get("id") or "", begun=begun)
            self._new.append(at)
        for holder, kinds in ITEMS.get(item.kind, NO_PARTS).items():
            for index, part in enumerate(source.get(holder) or ()):
                if part["type"] in kinds:
                    self._whole(item, part["type"], index, _said(part))
        if item.kind in CALLS:
            name = CALLS[item.kind]
            self._whole(item, name, 0, source.get(name) or "")
        return item

    def _last(self, output: list[_Event]) -> None:
        """The last event tells what had no events of its own."""
        by_id = {item.id: at for at, item in self._items.items() if item.id}
        for position, source in enumerate(output):
            at = by_id.get(source.get("id") or "", position)
            heard = self._items.get(at)
            if heard is not None and heard.id != (source.get("id") or ""):  # the place of another
                at, heard = max(self._items) + 1, None
            if heard is not None and heard.over:
                continue
            item = self._item(at, source)
            if self.full:
                return
            item.final = source

    # --- texts --------------------------------------------------------------------------------------------

    def _whole(self, item: Announced[Telling], name: str, index: int, whole: str) -> Telling:
        """A text is told as far as it goes."""
        text = item.texts.get((name, index))
        return self._grow(item, name, index, whole if text is None else whole[text.size :])

    def _grow(self, item: Announced[Telling], name: str, index: int, more: str) -> Telling:
        """A text goes on."""
        text = item.texts.setdefault((name, index), Telling())
        if self.full:
            return text
        if name in SAID:
            self.full, more = len(more) > self._room, more[: self._room]
            self._room -= len(more)
        if more:
            text.keep(more)
        self._grown.append(text)
        return text


def cut_behind(answer: dict[str, Any], item: int, part: int) -> None:
    """End a JSON answer whose part at this place was cut: nothing stands behind it."""
    answer["status"], answer["incomplete_details"] = "incomplete", {"reason": "max_output_tokens"}
    answer.pop("output_text", None)  # some servers repeat there what the SDKs join for themselves
    answer.pop("completed_at", None)
    output = answer["output"]
    last = output[item]
    last["status"] = "incomplete"
    if last["content"][part].get("annotations"):  # they tell of places that may be gone
        last["content"][part]["annotations"] = []
    del last["content"][part + 1 :], output[item + 1 :]


def _said(part: _Event) -> str:
    return str(part.get(KINDS[part["type"]].whole) or "")


def _announcement(item: Announced[Telling]) -> _Event:
    """An item as it begins, before its texts."""
    told: _Event = dict(item.begun or {})
    if item.kind not in ITEMS:
        return told
    told["status"] = "in_progress"
    told.update({holder: [] for holder in ITEMS[item.kind]})
    if item.kind in CALLS:
        told[CALLS[item.kind]] = ""
    return told
