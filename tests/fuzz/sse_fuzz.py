"""Fuzz the SSE framer: `PYTHONPATH=.:tests/support python tests/fuzz/sse_fuzz.py [seconds] [seed]`.

Invariant: for any bytes and any cut, the framer gives the frames of the uncut stream, their raw bytes join to the
stream, each frame stays within the limit, and nothing but GatewayError is ever raised.
"""

import random
from collections.abc import Sequence

import fuzzing
from extproc.core.sse import Frame, Framer
from gateway.errors import GatewayError

LIMIT_BYTES = 64
PARTS = (
    b"\n", b"\r", b"\r\n", b"\n\n", b"data: ", b"data:", b"data", b"event: x", b"id: 1", b": c", b":", b" ", b"\xef\xbb\xbf",
    b"\xc3\xa9", b"\xff", b"\0", b'{"a":1}', b"[DONE]", b"x" * 30, b"data: a\n\n", b"data: b\r\n\r\n", b"data: c\r\r",
)  # fmt: skip


def frames(pieces: Sequence[bytes]) -> list[Frame] | None:
    """All frames, or None when an event was refused as too large."""
    framer = Framer(LIMIT_BYTES)
    found: list[Frame] = []
    try:
        for piece in pieces:
            found += framer.feed(piece)
        return found + framer.close()
    except GatewayError:
        return None


def case(dice: random.Random) -> None:
    stream = b"".join(dice.choices(PARTS, k=dice.randint(0, 16)))
    whole = frames([stream])
    if whole is not None:
        assert b"".join(frame.raw for frame in whole) == stream
        assert all(len(frame.raw) <= LIMIT_BYTES for frame in whole)
    assert frames(fuzzing.pieces(dice, stream)) == whole


if __name__ == "__main__":
    fuzzing.main(case)
