"""Fuzz the event stream: `PYTHONPATH=.:tests/support python tests/fuzz/eventstream_fuzz.py [seconds] [seed]`.

Invariant: for any bytes and any cut, the framer gives the messages of the uncut stream, each within the limit; what it
reads, botocore reads alike; and nothing but GatewayError is ever raised.
"""

import random
import struct
import zlib
from collections.abc import Sequence

from botocore.eventstream import EventStreamBuffer

import fuzzing
from extproc.translate.eventstream import Framer
from gateway.errors import GatewayError

LIMIT_BYTES = 256
HEADERS = (
    b"", b"\x01a\x07\x00\x01b", b"\x0d:message-type\x07\x00\x05event", b"\x01n\x00", b"\x01n\x04\0\0\0\x01", b"\x01u\x09" + b"x" * 16,
    b"\x01b\x06\x00\x02\xff\xff", b"\x01a\x07\x00\x09b", b"\x01z\x0b", b"\xff", b"\x01e\x07\x00\x01\xff", b"\x01t\x08" + b"\0" * 8,
)  # fmt: skip
PAYLOADS = (b"", b"{}", b'{"delta":{"text":"a"}}', b"\0" * 12, b"x" * 300, b"\xff")


def message(dice: random.Random) -> bytes:
    """Nearly a message: lengths and checksums are right most of the time."""
    head, payload = b"".join(dice.choices(HEADERS, k=dice.randint(0, 3))), dice.choice(PAYLOADS)
    lengths = [16 + len(head) + len(payload), len(head)]
    if dice.random() < 0.1:
        lengths[dice.randrange(2)] += dice.choice((-16, -1, 1, 1 << 20))
    raw = struct.pack(">II", *[max(0, length) for length in lengths])
    raw += struct.pack(">I", zlib.crc32(raw)) + head + payload
    raw += struct.pack(">I", zlib.crc32(raw))
    if dice.random() < 0.1:
        at = dice.randrange(len(raw))
        raw = raw[:at] + bytes([raw[at] ^ 1 << dice.randrange(8)]) + raw[at + 1 :]
    return raw


def read(pieces: Sequence[bytes]) -> tuple[list[tuple[dict[str, str], bytes]], bool]:
    """The messages, and whether the stream was refused after them."""
    framer = Framer(LIMIT_BYTES)
    found = []
    try:
        for piece in pieces:
            for each in framer.feed(piece):
                assert len(each.payload) <= LIMIT_BYTES
                found.append((dict(each.headers), each.payload))
    except GatewayError:
        return found, True
    return found, False


def case(dice: random.Random) -> None:
    stream = b"".join(message(dice) for _ in range(dice.randint(0, 5)))[: dice.choice((None, -1, -10))]
    whole = read([stream])
    assert read(fuzzing.pieces(dice, stream)) == whole
    theirs = EventStreamBuffer()
    theirs.add_data(stream)
    for (headers, payload), each in zip(whole[0], theirs, strict=False):
        assert payload == each.payload
        assert headers.items() <= {name: each.headers[name] for name in headers}.items()


if __name__ == "__main__":
    fuzzing.main(case)
