"""The transition table of an exchange: which event may arrive in which state, and where it may lead.

The table is data: `tests/unit/extproc/test_states.py` walks it and `docs/request-life.md` shows it. An event that the
table does not name is a protocol error, and a protocol error refuses the exchange.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from extproc.core.events import (
    Answered,
    Event,
    Expired,
    Gone,
    RequestBody,
    RequestHead,
    RequestTrailers,
    ResponseChunk,
    ResponseHead,
    ResponseTrailers,
    Revoked,
)


class State(StrEnum):
    """Where an exchange stands."""

    IDLE = "idle"  # nothing seen yet
    BODY = "body"  # request head accepted, Envoy is buffering the body
    ASKING = "asking"  # the request is judged as far as this process can; advisers or budgets are being asked
    UPSTREAM = "upstream"  # request sent on, no answer yet
    COLLECT = "collect"  # a JSON answer is gathered; its head is held back
    STREAM = "stream"  # an event stream passes through the guard
    LOCAL = "local"  # a local reply of Envoy or authz passes by: no upstream was asked
    DONE = "done"  # all is said; whatever still arrives is ignored


_ENDS: Final = frozenset({State.DONE})


def _to(*states: State) -> frozenset[State]:
    return frozenset(states) | _ENDS


NEXT: Final[Mapping[tuple[State, type[Event]], frozenset[State]]] = MappingProxyType(
    {
        (State.IDLE, RequestHead): _to(State.BODY),
        (State.IDLE, ResponseHead): _to(State.LOCAL),
        (State.BODY, RequestBody): _to(State.ASKING, State.UPSTREAM),
        (State.BODY, RequestTrailers): _ENDS,
        (State.BODY, ResponseHead): _to(State.LOCAL),  # for example 408 while the body was awaited
        (State.ASKING, Answered): _to(State.ASKING, State.UPSTREAM),
        (State.ASKING, ResponseHead): _to(State.LOCAL),  # Envoy did not want to wait any longer
        (State.UPSTREAM, RequestTrailers): _ENDS,
        (State.UPSTREAM, ResponseHead): _to(State.COLLECT, State.STREAM),
        (State.COLLECT, ResponseChunk): _to(State.COLLECT),
        (State.COLLECT, ResponseTrailers): _ENDS,
        (State.STREAM, ResponseChunk): _to(State.STREAM),
        (State.STREAM, ResponseTrailers): _ENDS,
        (State.LOCAL, Answered): frozenset({State.LOCAL}),  # too late: Envoy has answered meanwhile
        (State.LOCAL, ResponseChunk): _to(State.LOCAL),
        (State.LOCAL, ResponseTrailers): _ENDS,
        (State.IDLE, Gone): _ENDS,
        (State.BODY, Gone): _ENDS,
        (State.ASKING, Gone): _ENDS,
        (State.UPSTREAM, Gone): _ENDS,
        (State.COLLECT, Gone): _ENDS,
        (State.STREAM, Gone): _ENDS,
        (State.LOCAL, Gone): _ENDS,
        # Envoy's own timers stand behind us where we may not speak unasked (before the answer's head).
        (State.IDLE, Expired): frozenset({State.IDLE}),
        (State.BODY, Expired): frozenset({State.BODY}),
        (State.ASKING, Expired): _ENDS,  # the request is ours to answer
        (State.UPSTREAM, Expired): frozenset({State.UPSTREAM}),
        (State.COLLECT, Expired): _ENDS,
        (State.STREAM, Expired): _ENDS,
        (State.LOCAL, Expired): frozenset({State.LOCAL}),
        # Remembered where the next event is due at once, and is refused then.
        (State.IDLE, Revoked): frozenset({State.IDLE}),
        (State.BODY, Revoked): frozenset({State.BODY}),
        (State.ASKING, Revoked): _ENDS,
        # Envoy takes an answer also while it awaits the provider's head, and leaves the provider (test_revocation.py).
        (State.UPSTREAM, Revoked): _ENDS,
        (State.COLLECT, Revoked): _ENDS,
        (State.STREAM, Revoked): _ENDS,
        (State.LOCAL, Revoked): frozenset({State.LOCAL}),  # no upstream text is in it
    },
)


class IllegalTransitionError(Exception):
    """An event that cannot happen here: Envoy is configured otherwise than we require, or somebody else speaks."""
