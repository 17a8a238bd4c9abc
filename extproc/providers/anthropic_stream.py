"""Anthropic event streams: every text of every content block passes a hold-back of its own.

Event shapes: Anthropic API reference, "Streaming messages", version 2023-06-01. An event, a block or a delta of a type
that is not known here ends the stream: nobody could say which of its strings are pieces of a text. Fields that are not
known are not passed on. An event always leaves as its judged tree, written anew, under the name that its tree tells.

Thinking is signed, and the provider refuses a conversation whose thinking was changed. So where a rule would replace
something in it, the stream is cut instead; what the rules let pass, passes as it came.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import orjson

from extproc.core import sse
from extproc.core.texts import broken, lay
from extproc.core.unknown import Unknown
from extproc.core.windows import Channel, of_source, of_text
from extproc.guardrails.guard import Guard, Tally
from extproc.providers.anthropic_blocks import TOLD
from extproc.providers.door import TOLD_ERROR, Seen, break_off
from gateway.errors import Dialect, GatewayError, Kind, body_of
from gateway.policy.model import Action

_KEEP_ALIVE: Final = b": keep-alive\n\n"
#: An answer has a handful of blocks, an agent's turn some dozen; a stream with more than this is hostile.
_MAX_BLOCKS: Final = 1024
_MESSAGE_KEYS: Final = frozenset(
    {"id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "stop_details", "usage"},
)
_END_KEYS: Final = frozenset({"stop_reason", "stop_sequence", "stop_details"})
_EVENT_KEYS: Final = {
    "message_start": frozenset({"type", "message"}),
    "content_block_start": frozenset({"type", "index", "content_block"}),
    "content_block_delta": frozenset({"type", "index", "delta"}),
    "content_block_stop": frozenset({"type", "index"}),
    "message_delta": frozenset({"type", "delta", "usage"}),
    "message_stop": frozenset({"type"}),
}
_BLOCK_KEYS: Final = {
    "text": frozenset({"type", "text", "citations"}),
    "thinking": frozenset({"type", "thinking", "signature"}),
    "redacted_thinking": frozenset({"type", "data"}),
    "tool_use": frozenset({"type", "id", "name", "input", "caller"}),
}
#: Type of a delta -> the block that it belongs to, and its one field.
_DELTAS: Final = {
    "text_delta": ("text", "text"),
    "citations_delta": ("text", "citation"),
    "thinking_delta": ("thinking", "thinking"),
    "signature_delta": ("thinking", "signature"),
    "input_json_delta": ("tool_use", "partial_json"),
}
#: Block -> type of the deltas that carry its text in pieces, and their field.
_PIECES: Final = {
    "text": ("text_delta", "text"),
    "thinking": ("thinking_delta", "thinking"),
    "tool_use": ("input_json_delta", "partial_json"),
}
_UNKNOWN: Final = ""  # in place of a block's kind
#: All three are input: those that came from a cache, or went to it, are told apart (API reference, "usage").
_INPUTS: Final = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


def malformed(what: str) -> GatewayError:
    """The provider sent something that cannot be guarded."""
    return GatewayError(
        Kind.BACKEND_ANSWER_INVALID,
        "The model's answer could not be understood and was withheld.",
        cause=what,
    )


def seam(before: str, after: str) -> str:
    """A line break where the texts of two blocks would become one word: clients join them, and no rule sees that."""
    return "" if not before or not after or before[-1].isspace() or after[0].isspace() else "\n"


class Meter:
    """Input tokens of one answer, of all kinds together. Counts of later events replace those of earlier ones."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._told: dict[str, int] = {}

    def read(self, usage: Any) -> None:
        """Take what a `usage` object says of input; anything that is not one is ignored."""
        if type(usage) is not dict:
            return
        self._told.update({name: usage[name] for name in _INPUTS if type(usage.get(name)) is int})
        if "input_tokens" in self._told:
            self._seen.input_tokens = sum(self._told.values())
            self._seen.cached_tokens = self._told.get("cache_read_input_tokens", 0)
            self._seen.cache_write_tokens = self._told.get("cache_creation_input_tokens", 0)


def output_of(usage: Any) -> dict[str, Any] | None:
    """What a `usage` object says of output: its input is the meter's."""
    if type(usage) is not dict:
        return None
    return {name: usage.get(name) for name in ("output_tokens", "output_tokens_details")}


_REFUSED: Final = {"stop_reason": "refusal", "stop_sequence": None}
#: A message of which the provider's own beginning was not told.
_NAMELESS: Final[dict[str, Any]] = {
    "id": "replaced", "type": "message", "role": "assistant", "model": "", "content": [], "stop_reason": None,
    "stop_sequence": None, "usage": {"input_tokens": 0, "output_tokens": 0},
}  # fmt: skip


class _Block:
    """One open content block."""

    __slots__ = ("begun", "channel", "ended", "kind")

    def __init__(self, kind: str, channel: Channel) -> None:
        self.kind = kind
        self.channel = channel
        self.begun = False  # some of its text came
        self.ended = False  # its text is complete: a signature came


class MessageStream:
    """The guard of one stream of a message."""

    def __init__(self, guard: Guard, tally: Tally, seen: Seen) -> None:
        self.blocked: str | None = None
        self._guard = guard
        self._tally = tally
        self._seen = seen
        self._meter = Meter(seen)
        self._unknown = Unknown(guard, tally)
        self._open: dict[int, _Block] = {}
        self._next = 0  # index of the next block; clients take it for the place in `content`
        self._latest = ""  # last character of the texts so far
        self._started = False
        self.over = False
        self._left: tuple[bool, tuple[int, ...], int] = (False, (), 0)  # the same as far as clients were told

    def feed(self, frames: list[sse.Frame]) -> bytes:
        """Guard whole events; see `StreamGuard.feed`."""
        out: list[bytes] = []
        for frame in frames:
            if self.over or self.blocked is not None:
                break
            told = self._event(frame)
            if self.blocked is None:
                out.append(told)
                self._left = (self._started, tuple(self._open), self._next)
        return b"".join(out)

    def finish(self) -> bytes:
        """Release what is held. Idempotent."""
        self._unknown.finish()
        self.blocked = self.blocked or self._unknown.blocked
        if self.over or self.blocked is not None:
            return b""
        return break_off(self, self._seen, self._rest() if self._started else b"")

    def cut(self, error: GatewayError) -> bytes:
        """The error event that the official SDKs raise as APIStatusError. Nothing follows it."""
        body = body_of(error, Dialect.ANTHROPIC)
        return sse.encode(orjson.dumps({"type": body["type"], "error": body["error"]}), "error")

    def instead(self, text: str) -> bytes | None:
        """A last block that says it, in a message that ends as a refusal."""
        started, opened, index = self._left
        out = [] if started else [_told({"type": "message_start", "message": _NAMELESS})]
        out += [_told({"type": "content_block_stop", "index": block}) for block in opened]
        out += [
            _told({"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": ""}}),
            _delta_event(index, "text_delta", "text", text),
            _told({"type": "content_block_stop", "index": index}),
            _told(
                {"type": "message_delta", "delta": _REFUSED, "usage": {"output_tokens": self._seen.output_tokens or 0}}
            ),
            _told({"type": "message_stop"}),
        ]
        return b"".join(out)

    def _event(self, frame: sse.Frame) -> bytes:
        if frame.data is None:
            # A comment's words would pass unseen; its purpose does not need them. A blank line has none.
            return _KEEP_ALIVE if frame.raw.strip() else b""
        try:
            tree = orjson.loads(frame.data)
        except orjson.JSONDecodeError:
            raise malformed("event is not JSON") from None
        kind = tree.get("type") if type(tree) is dict else None
        if kind == "ping":
            return _told({"type": "ping"})
        if kind == "error":
            return self._error(tree)
        if type(kind) is not str or kind not in _EVENT_KEYS:
            return self._pieces("an event", kind, tree)
        if self._started == (kind == "message_start"):
            raise malformed("a message starts twice" if self._started else "an event before the message starts")
        tree = {key: tree[key] for key in tree if key in _EVENT_KEYS[kind]}
        return _HANDLERS[kind](self, tree)

    def _pieces(self, what: str, kind: Any, tree: Any, place: tuple[Any, ...] = ()) -> bytes:
        """An event that may hold pieces of texts, nobody here knows where. `kind`: of what is unknown of it."""
        if self._unknown.meet(what, kind, place):
            self._unknown.event(kind, tree)
        self.blocked = self.blocked or self._unknown.blocked
        return b"" if self.blocked is not None else _told(tree)

    def _error(self, tree: dict[str, Any]) -> bytes:
        """The provider's own error ends the message. What is held is dropped with it."""
        self._judge(tree)
        self._seen.failed = self._seen.failed or TOLD_ERROR
        self.over = True
        return _told(tree)

    def _message(self, tree: dict[str, Any]) -> bytes:
        message = tree.get("message")
        if type(message) is not dict:
            raise malformed("a message is not an object")
        message = {key: message[key] for key in message if key in _MESSAGE_KEYS}
        if message.get("content"):
            raise malformed("a message starts with content")
        # The count of output here is of the first token alone: a stream that ends early would be billed by it.
        self._meter.read(message.get("usage"))
        self._labels(message, "id", "type", "role", "model", "stop_reason", "stop_sequence")
        self._objects(message, "usage", "stop_details")
        self._started = True
        return _told({**tree, "message": message})

    def _start(self, tree: dict[str, Any]) -> bytes:
        index, block = tree.get("index"), tree.get("content_block")
        if type(index) is not int or index != self._next or self._open:
            raise malformed("a block out of order")
        if type(block) is not dict:
            raise malformed("a block is not an object")
        kind = block.get("type")
        if self._next >= _MAX_BLOCKS:
            raise malformed("too many blocks")
        if type(kind) is not str or kind not in TOLD:
            return self._unknown_block(index, kind, tree)
        self._next += 1
        block = {key: block[key] for key in block if key in _BLOCK_KEYS[kind]}
        self._open[index] = opened = _Block(kind, self._channel(kind, block.get("name")))
        if kind == "redacted_thinking":
            self._seal(block, "data")
        elif kind == "thinking":
            self._seal(block, "signature")
        elif kind == "tool_use":
            self._labels(block, "id", "name")
            self._objects(block, "input", "caller")
        elif block.get("citations") is not None:
            if type(block["citations"]) is not list:
                raise malformed("citations is not a list")
            self._judge(block["citations"])
        if kind in {"text", "thinking"} and block.get(kind) is not None:
            block[kind] = self._push(opened, block[kind])
        return _told({**tree, "content_block": block})

    def _unknown_block(self, index: int, kind: Any, tree: dict[str, Any]) -> bytes:
        if self._unknown.meet("a block", kind):
            self._unknown.whole(tree["content_block"])
        self.blocked = self.blocked or self._unknown.blocked
        self._next += 1
        self._open[index] = _Block(_UNKNOWN, of_text(self._guard, self._tally))
        return _told(tree)

    def _channel(self, kind: str, tool: Any) -> Channel:
        if kind == "thinking":
            return of_text(_sealing(self._guard), self._tally)
        if kind == "tool_use":
            return of_source(self._guard, self._tally, tool=tool if type(tool) is str else "")
        return of_text(self._guard, self._tally, joined=True)

    def _index(self, tree: dict[str, Any]) -> int:
        index = tree.get("index")
        if type(index) is not int or index not in self._open:
            raise malformed("no such block")
        return index

    def _delta(self, tree: dict[str, Any]) -> bytes:
        index = self._index(tree)
        opened = self._open[index]
        delta = tree.get("delta")
        if type(delta) is not dict:
            raise malformed("a delta is not an object")
        kind = delta.get("type")
        if type(kind) is not str or kind not in _DELTAS or opened.kind == _UNKNOWN:
            return self._pieces("a delta", kind, tree, (index, kind))
        block, field = _DELTAS[kind]
        value = delta.get(field)
        if opened.kind != block:
            raise malformed("a delta of another block's type")
        if kind == "citations_delta":
            if type(value) is not dict:
                raise malformed("a citation is not an object")
            self._judge(value)
            return _delta_event(index, kind, field, value)
        if kind == "signature_delta":
            tail = self._flush(index)
            if opened.ended:
                raise malformed("a second signature")
            opened.ended = True
            self._seal(delta, field)
            return tail + _delta_event(index, kind, field, value)
        released = self._push(opened, value)
        # An empty delta of the provider's own is a sign of life; one that became empty says nothing.
        return _delta_event(index, kind, field, released) if released or not value else b""

    def _end(self, tree: dict[str, Any]) -> bytes:
        delta = tree.get("delta")
        if type(delta) is not dict:
            raise malformed("a delta is not an object")
        delta = {key: delta[key] for key in delta if key in _END_KEYS}
        self._labels(delta, "stop_reason", "stop_sequence")
        self._objects(delta, "stop_details")
        self._objects(tree, "usage")
        self._meter.read(tree.get("usage"))
        self._seen.read(output_of(tree.get("usage")))
        return _told({**tree, "delta": delta})

    def _stop(self, tree: dict[str, Any]) -> bytes:
        index = self._index(tree)
        tail = self._flush(index)
        del self._open[index]
        return tail + _told(tree)

    def _last(self, tree: dict[str, Any]) -> bytes:
        self._unknown.finish()
        self.blocked = self.blocked or self._unknown.blocked
        self.over = True
        return self._rest() + _told(tree) if self.blocked is None else b""

    def _rest(self) -> bytes:
        return b"".join([self._flush(index) for index in sorted(self._open)])

    def _push(self, opened: _Block, text: Any) -> str:
        if type(text) is not str:
            raise malformed("text is not a string")
        if text and opened.ended:  # it could complete what was released as the end
            raise malformed("text behind a signature")
        self._seen.say(text)
        if text and opened.kind == "text":
            if not opened.begun:
                text = seam(self._latest, text) + text
                opened.begun = True
            self._latest = text[-1]
        released = opened.channel.push(text)
        self.blocked = self.blocked or opened.channel.blocked
        return released

    def _flush(self, index: int) -> bytes:
        """What a block's channel still holds, as a delta of its own."""
        opened = self._open[index]
        tail = opened.channel.flush()
        if opened.channel.blocked is not None:
            self.blocked = self.blocked or opened.channel.blocked
            return b""
        return _delta_event(index, *_PIECES[opened.kind], tail) if tail else b""

    def _labels(self, holder: dict[str, Any], *keys: str) -> None:
        """Guard the short strings that a provider tells whole: ids, names, reasons."""
        for key in keys:
            value = holder.get(key)
            if type(value) is str:
                applied = self._guard.apply(value, self._tally)
                self.blocked = self.blocked or applied.blocked
                holder[key] = applied.text
            elif value is not None:
                raise malformed(f"{key} is not a string")

    def _objects(self, holder: dict[str, Any], *keys: str) -> None:
        """Guard objects that come whole."""
        for key in keys:
            value = holder.get(key)
            if type(value) is dict:
                self._judge({key: value})  # by its name, as what a tool takes is read otherwise
            elif value is not None:
                raise malformed(f"{key} is not an object")

    def _judge(self, tree: Any) -> None:
        laid = lay(tree, self._guard, self._tally)
        self.blocked = self.blocked or laid.blocked

    def _seal(self, holder: dict[str, Any], key: str) -> None:
        """Judge a string that must pass whole or not at all."""
        value = holder.get(key)
        if value is not None and type(value) is not str:
            raise malformed(f"{key} is not a string")
        kind = "redacted_thinking" if key == "data" else "thinking"
        self.blocked = self.blocked or broken([{"type": kind, key: value}], self._guard, self._tally)


_HANDLERS: Final[dict[str, Callable[[MessageStream, dict[str, Any]], bytes]]] = {
    "message_start": MessageStream._message,  # noqa: SLF001 - the class's own table
    "content_block_start": MessageStream._start,  # noqa: SLF001
    "content_block_delta": MessageStream._delta,  # noqa: SLF001
    "content_block_stop": MessageStream._stop,  # noqa: SLF001
    "message_delta": MessageStream._end,  # noqa: SLF001
    "message_stop": MessageStream._last,  # noqa: SLF001
}


def _sealing(guard: Guard) -> Guard:
    """The guard for text that must not be altered: what would be replaced ends the stream."""
    settings = {
        rule: replace(setting, action=Action.BLOCK) if _replaces(guard, rule) else setting
        for rule, setting in guard.settings.items()
    }
    sealing = Guard(guard.scanner, settings)
    sealing.lookout = guard.lookout
    return sealing


def _replaces(guard: Guard, rule: str) -> bool:
    return rule in guard.scanner.rules and guard.replace(rule) is not None


def _told(tree: dict[str, Any]) -> bytes:
    """An event under the name of its type: clients of this dialect go by either."""
    return sse.encode(orjson.dumps(tree), tree["type"])


def _delta_event(index: int, kind: str, field: str, value: Any) -> bytes:
    delta = {"type": kind, field: value}
    return _told({"type": "content_block_delta", "index": index, "delta": delta})
