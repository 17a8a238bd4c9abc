"""Server-sent events as bytes: where one ends, and what its data is (WHATWG HTML, 9.2). Knows no JSON."""

import re
from dataclasses import dataclass
from typing import Final

from gateway.errors import GatewayError, Kind

_BOM: Final = b"\xef\xbb\xbf"
#: Atomic: without it, CR LF would be tried again as two line ends.
_LINE_END: Final = re.compile(rb"(?>\r\n|\n|\r)")
_EVENT_END: Final = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_EVENT_END_BYTES: Final = 4
_FIRST_OF_LINE_END: Final = (b"\n", b"\r")


@dataclass(frozen=True, slots=True)
class Frame:
    """One event as it came. `raw` joins to the input; `data` is None when the event has no data field."""

    raw: bytes
    data: bytes | None
    event: str = ""
    complete: bool = True  # False: the stream ended inside it. Clients drop such an event, lenient ones may not


class Framer:
    """Cuts a byte stream into events, however it arrives. Holds at most one unfinished event."""

    __slots__ = ("_buf", "_max_event_bytes", "_searched", "_started")

    def __init__(self, max_event_bytes: int) -> None:
        self._max_event_bytes = max_event_bytes
        self._buf = b""
        self._searched = 0  # no event ends in _buf before this
        self._started = False  # whether the stream's first event, which may carry a byte order mark, is done

    def feed(self, data: bytes) -> list[Frame]:
        """Take more bytes; return the events that are now complete."""
        if not self._buf and data.startswith(b"data: ") and data.endswith(b"\n\n") and b"\r" not in data:
            frames = self._whole(data)
            if frames is not None:
                return frames
        self._buf += data
        return self._cut(last=False)

    def close(self) -> list[Frame]:
        """The stream ended: a waiting CR is a line end now, and what is left is an incomplete event."""
        frames = self._cut(last=True)
        if self._buf:
            frames.append(self._frame(self._buf, complete=False))
            self._buf = b""
        return frames

    def _whole(self, data: bytes) -> list[Frame] | None:
        """The usual chunk: whole events of one `data: ` line each. None when anything else is in it."""
        frames = []
        for event in data[:-2].split(b"\n\n"):
            if not event.startswith(b"data: ") or b"\n" in event:
                return None
            if len(event) + 2 > self._max_event_bytes:
                raise _too_large()
            frames.append(Frame(event + b"\n\n", event[6:]))
        self._started = True
        return frames

    def _cut(self, *, last: bool) -> list[Frame]:
        buf, start, frames = self._buf, 0, []
        search_from = max(0, self._searched - _EVENT_END_BYTES)
        while start < len(buf):
            ending = _LINE_END if buf.startswith(_FIRST_OF_LINE_END, start) else _EVENT_END
            found = ending.search(buf, max(start, search_from) if ending is _EVENT_END else start)
            if found is None:
                break
            end = found.end()
            if end == len(buf) and buf[-1:] == b"\r" and not last:
                break  # an LF that belongs to this CR may be the next byte
            frames.append(self._frame(buf[start:end], complete=True))
            start = end
        self._buf = buf[start:]
        self._searched = len(self._buf)
        if len(self._buf) > self._max_event_bytes:
            raise _too_large()
        return frames

    def _frame(self, raw: bytes, *, complete: bool) -> Frame:
        if len(raw) > self._max_event_bytes:
            raise _too_large()
        text = raw
        if not self._started:
            self._started = True
            text = raw.removeprefix(_BOM)
        data: list[bytes] = []
        event = b""
        for line in _LINE_END.split(text):
            name, _, value = line.partition(b":")
            if name == b"data":
                data.append(value.removeprefix(b" "))
            elif name == b"event":
                event = value.removeprefix(b" ")
        return Frame(raw, b"\n".join(data) if data else None, event.decode("utf-8", "replace"), complete)


def encode(data: bytes, event: str = "") -> bytes:
    """One event with `data`, which may have several lines."""
    head = b"event: " + event.encode() + b"\n" if event else b""
    if b"\n" in data or b"\r" in data:
        data = b"\ndata: ".join(_LINE_END.split(data))
    return head + b"data: " + data + b"\n\n"


def _too_large() -> GatewayError:
    return GatewayError(
        Kind.BACKEND_ANSWER_INVALID,
        "The model's answer holds an event that is larger than the gateway accepts. Ask for a shorter answer.",
        cause="event_bytes",
    )
