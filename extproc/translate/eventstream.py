"""Messages of `application/vnd.amazon.eventstream` as bytes: read however they are cut, and written. Knows no event.

Format: Smithy specification, "Amazon Event Stream". A message is a prelude (its length, that of its headers, a CRC-32
of both), headers, a payload, and a CRC-32 of all before it; numbers are big-endian.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from extproc.translate.fields import malformed

MEDIA_TYPE: Final = "application/vnd.amazon.eventstream"

_PRELUDE: Final = struct.Struct(">III")
_WORD: Final = struct.Struct(">I")
_LENGTH: Final = struct.Struct(">H")
_FRAME_BYTES: Final = _PRELUDE.size + _WORD.size  # a message that says nothing
_HEADERS_BYTES: Final = 8192  # Bedrock sends some 100 in three headers; the format itself takes 128 KiB
_HEADERS: Final = 32
_STRING: Final = 7
_SIZED: Final = frozenset({6, _STRING})  # bytes and strings: two bytes of length in front
#: Bytes of a value by its type: true, false, byte, short, integer, long, timestamp, UUID.
_FIXED: Final = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `headers` holds those that are strings; others say nothing here."""

    headers: Mapping[str, str]
    payload: bytes


class Framer:
    """Cuts a byte stream into messages. Holds at most one unfinished message, whose length was checked first."""

    __slots__ = ("_buf", "_most_bytes")

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._buf = bytearray()

    @property
    def waiting(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._buf)

    def feed(self, data: bytes) -> Iterator[Message]:
        """Take more bytes; the messages that are now complete. To be read to its end. Raises BACKEND_ANSWER_INVALID."""
        buf = self._buf
        buf += data
        at = 0
        try:
            while len(buf) - at >= _PRELUDE.size:
                length, headers_length = self._prelude(at)
                if len(buf) - at < length:
                    break
                yield _message(bytes(buf[at : at + length]), headers_length)
                at += length
        finally:
            del buf[:at]

    def _prelude(self, at: int) -> tuple[int, int]:
        """Lengths of the message and of its headers. Judged before anything is waited for."""
        length, headers_length, told = _PRELUDE.unpack_from(self._buf, at)
        if zlib.crc32(self._buf[at : at + _PRELUDE.size - _WORD.size]) != told:
            raise malformed("a message's prelude does not match its checksum")
        if length > self._most_bytes:
            raise malformed("a message is longer than an event may be")
        if headers_length > _HEADERS_BYTES or headers_length + _FRAME_BYTES > length:
            raise malformed("a message's headers are longer than they may be")
        return length, headers_length


def _message(raw: bytes, headers_length: int) -> Message:
    end = len(raw) - _WORD.size
    if zlib.crc32(memoryview(raw)[:end]) != _WORD.unpack_from(raw, end)[0]:
        raise malformed("a message does not match its checksum")
    payload_at = _PRELUDE.size + headers_length
    return Message(_headers(raw[_PRELUDE.size : payload_at]), raw[payload_at:end])


def _headers(raw: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    seen: set[bytes] = set()
    at = 0
    try:
        while at < len(raw):
            name = raw[at + 1 : at + 1 + raw[at]]
            at += 1 + raw[at]
            kind = raw[at]
            at += 1
            size = _FIXED.get(kind, 0)
            if kind in _SIZED:
                size = _LENGTH.unpack_from(raw, at)[0]
                at += _LENGTH.size
            elif kind not in _FIXED:
                raise malformed("a message's header is of unknown type")
            if not name or name in seen or len(seen) >= _HEADERS or at + size > len(raw):
                raise malformed("a message's headers are not well formed")
            seen.add(name)
            if kind == _STRING:
                found[name.decode()] = raw[at : at + size].decode()
            at += size
    except (IndexError, struct.error, UnicodeDecodeError):
        raise malformed("a message's headers are not well formed") from None
    return found


def encode(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message, as a provider sends it: for the demo's upstream and for tests."""
    told = b"".join(
        [
            bytes([len(name.encode())])
            + name.encode()
            + bytes([_STRING])
            + _LENGTH.pack(len(value.encode()))
            + value.encode()
            for name, value in headers.items()
        ]
    )
    lengths = struct.pack(">II", _FRAME_BYTES + len(told) + len(payload), len(told))
    raw = lengths + _WORD.pack(zlib.crc32(lengths)) + told + payload
    return raw + _WORD.pack(zlib.crc32(raw))


def event(kind: str, payload: bytes) -> bytes:
    """One event of a stream, as AWS services send it."""
    return encode({":event-type": kind, ":content-type": "application/json", ":message-type": "event"}, payload)
