"""The event loop of a worker: uvloop, on which the wake-ups of gRPC do not pile up. Knows nothing of what is served.

gRPC's thread writes one byte into a socket pair for each event, and what it calls on our loop takes all events that
there are but reads one byte. On a busy loop bytes pile up: after some 280 of them the thread is blocked in its write,
and from then on one event comes through for each round of the loop. A Check waited seconds behind streams that way.
"""

import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVarTuple, Unpack

import uvloop

if TYPE_CHECKING:
    from _typeshed import HasFileno

_Ts = TypeVarTuple("_Ts")
#: Whose reader it is. Should gRPC rename it, readers stay as they are; a test would tell.
_QUEUE: Final = "PollerCompletionQueue"
#: More than fit into the pair.
_MOST: Final = 4096


class Loop(uvloop.Loop):
    """uvloop's, with that one reader mended."""

    def add_reader(self, fd: "int | HasFileno", callback: Callable[[Unpack[_Ts]], Any], *args: *_Ts) -> None:
        """See asyncio."""
        owner = getattr(getattr(callback, "func", None), "__self__", None)
        if type(owner).__name__ == _QUEUE and isinstance(fd, socket.socket):
            super().add_reader(fd, partial(_once, fd, callback), *args)
        else:
            super().add_reader(fd, callback, *args)


def _once(link: socket.socket, callback: Callable[..., Any], *args: Any) -> None:
    """Take every wake-up but the last, which the callback itself takes.

    Nothing is lost by it: an event is queued before its byte is written, and the callback empties the queue afterwards.
    """
    try:
        waiting = len(link.recv(_MOST, socket.MSG_PEEK))
    except BlockingIOError:
        return
    if waiting > 1:
        link.recv(waiting - 1)
    callback(*args)
