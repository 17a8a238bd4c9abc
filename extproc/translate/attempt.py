"""One attempt at one backend of another dialect, bytes to bytes: what `adapt` calls. Pure; knows no dialect by name.

attempt = Attempt(front, back, target, on_loss)
sent = attempt.request(body)             # path, headers and body for the backend; `sent.told` for a header
answer = attempt.answer(status, body, origin)     # a whole answer, or an error of any status
stream = attempt.stream(origin, max_event_bytes)  # stream.feed(bytes) -> bytes, stream.close() -> bytes
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import orjson

from extproc.translate.canon import Began, Counted, Ended, Event, Failure, Fault, Lost, Usage
from extproc.translate.dialect import Back, Front, Origin, StreamReader, StreamWriter, Target
from gateway.errors import GatewayError, Kind

#: Header values: enough names to see what went wrong, short enough for any proxy's limit of a header line.
_TOLD_FIELDS: Final = 16
_FOREIGN: Final = re.compile(r"[^A-Za-z0-9_.\[\]-]")
_FIELD_CHARS: Final = 64


class OnLoss(StrEnum):
    """What becomes of a request that cannot be carried over whole."""

    DROP = "drop"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Sent:
    """A request, ready for the backend."""

    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    lost: tuple[Lost, ...]
    stream: bool

    @property
    def told(self) -> str:
        """What was lost, as a header's value; "" where nothing was."""
        return told(self.lost)


@dataclass(frozen=True, slots=True)
class Received:
    """An answer, ready for the client."""

    status: int
    body: bytes
    lost: tuple[Lost, ...] = ()


@dataclass(frozen=True, slots=True)
class Attempt:
    """A client's dialect in front of a backend's. Immutable: attempts of the same pair may share it."""

    front: Front
    back: Back
    target: Target
    on_loss: OnLoss = OnLoss.DROP

    @property
    def translates(self) -> bool:
        """False: answers and streams pass as they come, and only the request's model and path are the backend's."""
        return self.front.family != self.back.family

    def request(self, body: bytes) -> Sent:
        """Translate a request. Raises REQUEST_INVALID: what policy does not let be lost, or cannot be read."""
        tree = _object(body)
        if tree is None:
            raise GatewayError(Kind.JSON_INVALID, "The body is not a JSON object.")
        if not self.translates:
            return self._readdressed(body, tree)
        read = self.front.read_request(tree)
        self._judge(read.lost)
        written = self.back.write_request(read.request, self.target)
        self._judge(written.lost)
        lost = _distinct(read.lost + written.lost)
        headers = (("content-type", "application/json"), *written.headers)
        return Sent(written.path, headers, orjson.dumps(written.body), lost, read.request.stream)

    def _judge(self, lost: tuple[Lost, ...]) -> None:
        for each in lost:
            if each.essential or self.on_loss is OnLoss.REFUSE:
                raise _refused(each)

    def _readdressed(self, body: bytes, tree: dict[str, Any]) -> Sent:
        """The client's own bytes, with the backend's name of the model."""
        stream = tree.get("stream") is True
        if tree.get("model") != self.target.model:
            body = orjson.dumps({**tree, "model": self.target.model})
        return Sent(self.back.path_of(self.target, stream=stream), (), body, (), stream)

    def answer(self, status: int, body: bytes, origin: Origin) -> Received:
        """Translate a whole answer or an error. Raises BACKEND_ANSWER_INVALID for a 200 that cannot be read."""
        if not self.translates:
            return Received(status, body)
        if status != 200:
            failure = self.back.read_error(status, body)
            return Received(failure.status, orjson.dumps(self.front.write_error(failure)))
        tree = _object(body)
        if tree is None:
            raise GatewayError(
                Kind.BACKEND_ANSWER_INVALID,
                "The model's answer could not be understood and was withheld.",
                cause="the answer is not a JSON object",
            )
        answer = self.back.read_answer(tree)
        return Received(200, orjson.dumps(self.front.write_answer(answer, origin)), answer.lost)

    def usage(self, body: bytes) -> Usage | None:
        """What an answer tells of its tokens, also one that `answer` refuses. Never raises."""
        tree = _object(body)
        try:
            return None if tree is None else self.back.read_usage(tree)
        except GatewayError:
            return None

    def stream(self, origin: Origin, max_event_bytes: int) -> "Stream":
        """A translator for one stream with status 200."""
        if not self.translates:
            return _Same()
        return Stream(self.back.reader(max_event_bytes), self.front.writer(origin))


class Stream:
    """One stream on its way. Memory: an unfinished event, and what the client's dialect cannot say yet."""

    __slots__ = ("_done", "_reader", "_writer", "begun", "counted", "failed", "lost")

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.begun: Usage | None = None  # as told at the start: its output is of the first word alone
        self.counted: Usage | None = None  # as told last
        self.failed = False  # it ended in an error, or broke off
        self.lost: dict[str, Lost] = {}  # by its field: what the client's dialect has no word for
        self._reader = reader
        self._writer = writer
        self._done = False

    def feed(self, data: bytes) -> bytes:
        """Bytes of the provider, cut anywhere, to whole events of the client. Raises BACKEND_ANSWER_INVALID."""
        return self._write(self._reader.feed(data))

    def close(self) -> bytes:
        """The provider's bytes ended. One that broke off is told to the client as a failure, never as an end."""
        out = self._write(self._reader.close())
        if not self._done:
            out += self._write([_BROKE_OFF])
        return out

    def _write(self, events: list[Event]) -> bytes:
        if self._done or not events:
            return b""
        self._done = isinstance(events[-1], Ended | Failure)
        for event in events:
            if type(event) is Counted:
                self.counted = event.usage
            elif type(event) is Began:
                self.begun = event.usage
            elif type(event) is Failure:
                self.failed = True
            elif type(event) is Lost:
                self.lost[event.field] = event
        return self._writer.write(events)


class _Same(Stream):
    """One stream of the client's own dialect: bytes as they are."""

    __slots__ = ()

    def __init__(self) -> None:
        """Without reader and writer: neither is needed."""
        self.begun = self.counted = None
        self.failed = False
        self.lost = {}

    def feed(self, data: bytes) -> bytes:
        return data

    def close(self) -> bytes:
        return b""


_BROKE_OFF: Final = Failure(Fault.BROKEN, 502, "The model's answer broke off.", "stream_broken")


def told(lost: Iterable[Lost]) -> str:
    """Names of what was lost, for a header: bounded, and of harmless characters, since clients may name fields."""
    names = list(dict.fromkeys(_FOREIGN.sub("?", each.field)[:_FIELD_CHARS] for each in lost))
    more = [f"+{len(names) - _TOLD_FIELDS}"] if len(names) > _TOLD_FIELDS else []
    return ", ".join(names[:_TOLD_FIELDS] + more)


def _distinct(lost: Iterable[Lost]) -> tuple[Lost, ...]:
    return tuple({each.field: each for each in lost}.values())


def _refused(lost: Lost) -> GatewayError:
    name = _FOREIGN.sub("?", lost.field)[:_FIELD_CHARS]
    return GatewayError(
        Kind.REQUEST_INVALID, f"'{name}' cannot be carried to the model that serves this name: {lost.why}.", param=name
    )


def _object(raw: bytes) -> dict[str, Any] | None:
    try:
        tree = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return tree if type(tree) is dict else None
