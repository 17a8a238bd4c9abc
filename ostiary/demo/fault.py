"""Scripted misbehaviour, asked for by a model named `fault-<name>` or the header `x-demo-fault: <name>`.

A fault rewrites the reply, or the way in which it is delivered, or both. Pure; `upstream` carries it out.
"""

import gzip
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from ostiary.demo.answer import DONE, Reply, error

MODEL_PREFIX: Final = "fault-"
HEADER: Final = "x-demo-fault"
HUGE_PIECES: Final = 64
HUGE_PIECE_BYTES: Final = 1024 * 1024  # 64 pieces of this are more than any answer limit of the policy examples
BIG_EVENT_CHARS: Final = 2 * 1024 * 1024  # twice the largest event that the default policy holds
SLOW_PAUSE_S: Final = 0.02  # a byte every 20 ms: minutes for one answer, yet never silent


class Ending(Enum):
    """How the last byte of an answer is followed."""

    END = "end"  # as HTTP wants it
    RESET = "reset"  # TCP RST
    STALL = "stall"  # nothing, until the peer leaves
    CLOSE = "close"  # TCP FIN before the body is complete


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How a reply goes on the wire."""

    pieces: int | None = None  # how many pieces are sent before `ending`; None: all, -1: not even the head
    ending: Ending = Ending.END
    slice_bytes: int = 0  # cut the body into writes of this many bytes, regardless of events; 0: no
    pause_s: float = 0.0  # between two writes of the body
    trailers: tuple[tuple[str, str], ...] = ()


_REFUSALS: Final = range(400, 600)
_Fault = Callable[[Reply, Delivery], tuple[Reply, Delivery]]


class UnknownFaultError(Exception):
    """No fault has this name."""


def apply(name: str, reply: Reply, delivery: Delivery) -> tuple[Reply, Delivery]:
    """The reply and its delivery after the fault. A number is a status: `fault-429`."""
    if name.isascii() and name.isdigit() and int(name) in _REFUSALS:
        return _status(int(name)), delivery
    if name not in TABLE:
        raise UnknownFaultError(name)
    return TABLE[name](reply, delivery)


def _status(status: int) -> Reply:
    codes = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}
    refusal = error(status, f"The demo upstream was asked to answer {status}.", code=codes.get(status))
    return replace(refusal, headers=(("retry-after", "7"),)) if status in {429, 503} else refusal


def _deliver(**changes: object) -> _Fault:
    return lambda reply, delivery: (reply, replace(delivery, **changes))  # type: ignore[arg-type]


def _rewrite(change: Callable[[bytes], bytes]) -> _Fault:
    """Rewrite each event of a stream; JSON answers pass."""
    return lambda reply, delivery: (
        replace(reply, pieces=tuple(map(change, reply.pieces))) if reply.streamed else reply,
        delivery,
    )


def _page(status: int) -> _Fault:
    page = b"<!DOCTYPE html><html><head><title>Bad gateway</title></head><body>Bad gateway</body></html>\n"
    return lambda _, delivery: (Reply(status, (page,), "text/html; charset=utf-8"), delivery)


def _encoded(coding: str, encode: Callable[[bytes], bytes]) -> _Fault:
    def fault(reply: Reply, delivery: Delivery) -> tuple[Reply, Delivery]:
        pieces = (encode(b"".join(reply.pieces)),)
        return replace(reply, pieces=pieces, headers=(*reply.headers, ("content-encoding", coding))), delivery

    return fault


def _bad_json(reply: Reply, delivery: Delivery) -> tuple[Reply, Delivery]:
    if not reply.streamed:
        return replace(reply, pieces=(reply.pieces[0][:-7],)), delivery
    middle = len(reply.pieces) // 2
    broken = (
        *reply.pieces[:middle],
        b'data: {"id": "chatcmpl-demo", "choices": [{\n\n',
        *reply.pieces[middle:],
    )
    return replace(reply, pieces=broken), delivery


def _error_event(reply: Reply, delivery: Delivery) -> tuple[Reply, Delivery]:
    if not reply.streamed:
        return _status(500), delivery
    broken = b"data: " + error(500, "The server had an error while processing your request.").pieces[0] + b"\n\n"
    return replace(reply, pieces=(*reply.pieces[: len(reply.pieces) // 2], broken)), delivery


def _no_done(reply: Reply, delivery: Delivery) -> tuple[Reply, Delivery]:
    return replace(reply, pieces=tuple(piece for piece in reply.pieces if piece != DONE)), delivery


def _no_usage(reply: Reply, delivery: Delivery) -> tuple[Reply, Delivery]:
    kept = tuple(piece for piece in reply.pieces if b'"choices":[],' not in piece)
    return replace(reply, pieces=tuple(piece.partition(b',"usage":{')[0] + b"}" if not reply.streamed
                                       else piece for piece in kept)), delivery  # fmt: skip


def _huge(reply: Reply, delivery: Delivery) -> tuple[Reply, Delivery]:
    filler = b"x" * HUGE_PIECE_BYTES
    body = (b'{"filler":"', *([filler] * HUGE_PIECES), b'"}')
    return replace(reply, pieces=body, content_type="application/json"), delivery


def _big_event(reply: Reply, delivery: Delivery) -> tuple[Reply, Delivery]:
    big = b'data: {"filler":"' + b"x" * BIG_EVENT_CHARS + b'"}\n\n'
    return Reply(200, (*reply.pieces[:2], big, DONE), "text/event-stream"), delivery


def _headers(reply: Reply, delivery: Delivery) -> tuple[Reply, Delivery]:
    """Headers that a provider sends and a client must not see through a gateway."""
    foreign = (
        ("set-cookie", "__cf_bm=demo; path=/; HttpOnly"),
        ("openai-organization", "org-demo"),
        ("openai-version", "2020-10-01"),
        ("strict-transport-security", "max-age=1"),
        ("x-ostiary-error-code", "forged"),
        ("x-request-id", "req-of-the-provider"),
        ("server", "cloudflare"),
    )
    return replace(reply, headers=(*reply.headers, *foreign)), delivery


def _nothing(status: int) -> _Fault:
    return lambda reply, delivery: (Reply(status, (), reply.content_type), delivery)


def _multiline(piece: bytes) -> bytes:
    """One payload over several data lines: the parser must join them with a line feed."""
    return piece if piece == DONE else piece.replace(b',"choices"', b'\ndata: ,"choices"', 1)


def _as_json(_: Reply, delivery: Delivery) -> tuple[Reply, Delivery]:
    return Reply(200, (b'{"object":"chat.completion","choices":[]}',)), delivery


def _as_stream(reply: Reply, delivery: Delivery) -> tuple[Reply, Delivery]:
    return Reply(200, tuple(b"data: " + piece + b"\n\n" for piece in reply.pieces), "text/event-stream"), delivery


TABLE: Final[dict[str, _Fault]] = {
    # transport
    "reset": _deliver(pieces=-1, ending=Ending.RESET),
    "reset-head": _deliver(pieces=0, ending=Ending.RESET),
    "reset-body": _deliver(pieces=3, ending=Ending.RESET),
    "stall": _deliver(pieces=-1, ending=Ending.STALL),
    "stall-head": _deliver(pieces=0, ending=Ending.STALL),
    "stall-body": _deliver(pieces=3, ending=Ending.STALL),
    "truncate": _deliver(pieces=3, ending=Ending.CLOSE),
    "slowloris": _deliver(slice_bytes=1, pause_s=SLOW_PAUSE_S),
    "bytes": _deliver(slice_bytes=1),
    "trailers": _deliver(trailers=(("x-demo-trailer", "end"),)),
    # answers that are not what was asked for
    "html": _page(502),
    "html-200": _page(200),
    "gzip": _encoded("gzip", lambda body: gzip.compress(body, mtime=0)),
    "br": _encoded("br", lambda body: body),  # the label alone: who trusts it cannot read on, who ignores it leaks
    "zstd": _encoded("zstd", lambda body: body),
    "badjson": _bad_json,
    "error-event": _error_event,
    "nodone": _no_done,
    "nousage": _no_usage,
    "empty": _nothing(200),
    "204": _nothing(204),
    "huge": _huge,
    "big-event": _big_event,
    "headers": _headers,
    "json": _as_json,
    "sse": _as_stream,
    # legal spellings of server-sent events
    "crlf": _rewrite(lambda piece: piece.replace(b"\n", b"\r\n")),
    "cr": _rewrite(lambda piece: piece.replace(b"\n", b"\r")),
    "comments": _rewrite(lambda piece: b": keep-alive\n\nid: 1\nevent: message\nretry: 10\n" + piece),
    "multiline": _rewrite(_multiline),
    "nospace": _rewrite(lambda piece: piece.replace(b"data: ", b"data:", 1)),
    "bom": lambda reply, delivery: (
        replace(reply, pieces=(b"\xef\xbb\xbf", *reply.pieces)) if reply.streamed else reply,
        delivery,
    ),
}
