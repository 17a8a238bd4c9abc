"""An answer on its way out: gathered and judged whole (JSON), or guarded event by event (SSE). One interface."""

from collections.abc import Iterable
from typing import Any, Final, Protocol

import orjson

from extproc.core.body import names_key_twice
from extproc.core.form import RULE_ID as SCHEMA_ID
from extproc.core.form import Form
from extproc.core.length import Length
from extproc.core.returned import give_back
from extproc.core.sse import Framer
from extproc.core.texts import broken, lay
from extproc.core.unknown import Unknown
from extproc.core.windows import judge
from extproc.guardrails.guard import Guard, Tally
from extproc.providers.door import Door, Seen, StreamGuard
from extproc.providers.spoken import spoken
from extproc.providers.turns import Turn, Turns, turns
from gateway.errors import GatewayError, Kind
from gateway.policy.guard import LENGTH_ID, UNKNOWN_ID
from gateway.policy.schemas import FAMILY

#: Fields of an answer that name it, whatever it says.
SHELL: Final = ("id", "created", "created_at", "model", "modelVersion", "responseId")
_PLAIN: Final = frozenset({str, int})
#: How guarded events are written (core.sse): on one line each, without line breaks in it.
_DATA: Final = b"data: "
_END: Final = b"\n\n"
_WHY: Final = {
    LENGTH_ID: "is longer than policy lets through",
    UNKNOWN_ID: "holds something of a kind that the gateway does not know",
}


class Reply(Protocol):
    """Takes an answer's bytes as they come and gives back those that may leave."""

    @property
    def blocked(self) -> str | None:
        """The rule that ended the answer, once one did."""
        ...

    @property
    def ended(self) -> bool:
        """Whether the answer was given its end before the provider's came."""
        ...

    @property
    def over(self) -> bool:
        """Whether its form says that nothing follows, although its bytes have not ended."""
        ...

    def feed(self, data: bytes, *, last: bool) -> bytes:
        """Bytes that may leave now. With `last` nothing more comes and nothing stays behind."""
        ...

    def cut(self, error: GatewayError) -> bytes:
        """How the answer's form tells an error after its first byte."""
        ...

    def instead(self, text: str) -> bytes | None:
        """How the answer's form says `text` and ends well; None where it cannot."""
        ...


class JsonReply:
    """A JSON answer: held until it is whole, at most `limit_bytes`."""

    ended = over = False  # a JSON answer has no other end than its last byte

    def __init__(
        self,
        door: Door,
        guard: Guard,
        tally: Tally,
        seen: Seen,
        limit_bytes: int,
        form: Form | None = None,
        length: Length | None = None,
    ) -> None:
        self.blocked: str | None = None
        self._form, self._length = form, length
        self._door, self._guard, self._tally, self._seen = door, guard, tally, seen
        self._limit_bytes = limit_bytes
        self._parts: list[bytes] = []
        self._shell: dict[str, Any] = {}  # what names the answer
        self._size = 0

    def feed(self, data: bytes, *, last: bool) -> bytes:
        """Nothing until the last byte came; then the guarded whole."""
        self._size += len(data)
        if self._size > self._limit_bytes:
            self._parts.clear()
            raise GatewayError(
                Kind.BACKEND_ANSWER_TOO_LARGE,
                "The model's answer is larger than the gateway holds for inspection; it was withheld.",
            )
        if data:
            self._parts.append(data)
        return self._judge() if last else b""

    def cut(self, error: GatewayError) -> bytes:
        """Never needed: the head of a JSON answer is held as long as its body."""
        del error
        return b""

    def instead(self, text: str) -> bytes | None:
        """A whole answer that says `text`."""
        clean = {name: value for name, value in self._shell.items() if not self._guard.scanner.scan(str(value))}
        tree = self._door.instead(text, clean, self._seen)
        return None if tree is None else orjson.dumps(tree)

    def _judge(self) -> bytes:
        raw = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        try:
            tree = orjson.loads(raw)
        except orjson.JSONDecodeError:
            tree = None
        if type(tree) is not dict:
            raise GatewayError(
                Kind.BACKEND_ANSWER_INVALID,
                "The model's answer is not a JSON object; it was withheld.",
                cause="answer does not parse",
            )
        self._shell = {name: tree[name] for name in SHELL if type(tree.get(name)) in _PLAIN}
        unknown = Unknown(self._guard, self._tally)
        altered = self._door.answer(tree, self._seen, unknown)
        self.blocked = unknown.blocked or broken(self._door.sealed(tree), self._guard, self._tally)
        if self.blocked is None and self._guard.lookout is not None:
            self.blocked = self._overlooked(tree)
        if self.blocked is not None:
            return b""
        returned = {} if self._guard.restoring is None else give_back(tree, self._guard.restoring)
        laid = lay(tree, self._guard, self._tally, returned)
        self.blocked = laid.blocked
        if self.blocked is None and self._length is not None:
            altered |= self._length.whole(tree)
            self.blocked = self._length.blocked
        if self.blocked is None and self._form is not None:
            self.blocked = self._form.judge_all(turns(tree))
        if self.blocked is not None:
            return b""
        # Of a key that is there twice only the last value was judged, and some readers take the first.
        if altered or returned or laid.changed or names_key_twice(raw, laid.keys):
            return orjson.dumps(tree)
        return raw

    def _overlooked(self, tree: dict[str, Any]) -> str | None:
        """The first rule on windows that ends the answer, before values are put back: as in a stream."""
        said = [(each.holder[each.key], each.key == "arguments") for each in spoken(tree)]
        said += [(block["thinking"], False) for block in self._door.sealed(tree) if type(block.get("thinking")) is str]
        stopped = [judge(value, self._guard, self._tally, source=source) for value, source in said]
        return next((rule for rule in stopped if rule is not None), None)


class StreamReply:
    """An event stream: every whole event is guarded as it comes; its form is judged where its turns end."""

    def __init__(
        self,
        stream: StreamGuard,
        event_bytes: int,
        form: Form | None = None,
        reader: Turns | None = None,
        length: Length | None = None,
    ) -> None:
        self._stream = stream
        self._framer = Framer(event_bytes)
        self._form, self._reader = form, reader
        self._misformed: str | None = None
        self._length = length

    @property
    def ended(self) -> bool:
        """Whether the stream was cut where it is long enough."""
        return self._length is not None and self._length.ended

    @property
    def over(self) -> bool:
        """Whether the dialect's last event, or an error in its place, has left."""
        return self._stream.over

    @property
    def blocked(self) -> str | None:
        """The rule that ended the stream. Behind its own end nothing was told that a rule could have ended."""
        return self._misformed or (None if self.ended else self._stream.blocked)

    def feed(self, data: bytes, *, last: bool) -> bytes:
        """Guarded events."""
        stream = self._stream
        out = stream.feed(self._framer.feed(data)) if data else b""
        if last and stream.blocked is None:
            out += stream.feed(self._framer.close())
            out += stream.finish()
        if self._length is not None:
            out = self._length.feed(out)
            self._misformed = self._length.blocked
        if self._misformed is None and self._form is not None and self._reader is not None:
            out = self._formed(out, self._form, self._reader)
            # What its dialect, a break or its length has ended was judged there.
            if last and self.blocked is None and not self.over and not self.ended:
                self._misformed = self._form.judge_all(self._reader.rest())
        return out

    def cut(self, error: GatewayError) -> bytes:
        """The dialect's error event and terminator."""
        return self._stream.cut(error)

    def instead(self, text: str) -> bytes | None:
        """Events that say `text` and end the stream as the dialect ends it; None where all was said already."""
        return self._stream.instead(text) if self._misformed is None else None

    def _formed(self, out: bytes, form: Form, reader: Turns) -> bytes:
        """The events before the one that ends a turn of the wrong form."""
        upto = 0
        while self._misformed is None and (end := out.find(_END, upto)) >= 0:
            at = out.find(_DATA, upto, end)
            self._misformed = None if at < 0 else form.judge_all(_ended(out[at + len(_DATA) : end], reader))
            if self._misformed is None:
                upto = end + len(_END)
        return out[:upto]


def _ended(data: bytes, reader: Turns) -> Iterable[Turn]:
    return reader.rest() if data == b"[DONE]" else reader.take(orjson.loads(data))


def answer_blocked(rule: str, tally: Tally) -> GatewayError:
    """What an answer becomes that a rule ended and that says nothing in its place."""
    note = tally.notes.get(rule)
    misformed = rule == SCHEMA_ID or rule.startswith(f"{FAMILY}.")
    why = "does not have the form that was asked for" if misformed else "held data that policy does not let through"
    why = _WHY.get(rule, why)
    return GatewayError(
        Kind.ANSWER_BLOCKED,
        f"The answer {why} (rule {rule}).",
        cause=rule if note is None else f"{rule}: {note}",
    )
