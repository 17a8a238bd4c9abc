"""The transition table as data: every state can end, every event has a place, DONE is the only way out."""

import typing

from extproc.core.events import Event, Gone, RequestBody
from extproc.core.exchange import _HANDLERS
from extproc.core.states import NEXT, State

EVENTS = typing.get_args(Event)


def test_every_state_but_done_can_be_left_by_the_client_at_any_time():
    assert {state for state, event in NEXT if event is Gone} == set(State) - {State.DONE}
    assert all(NEXT[state, Gone] == {State.DONE} for state in set(State) - {State.DONE})


def test_done_is_never_left():
    assert not [step for step in NEXT if step[0] is State.DONE]


def test_every_event_has_a_handler_and_is_legal_somewhere():
    assert set(_HANDLERS) == set(EVENTS)
    assert {event for _, event in NEXT} == set(EVENTS)


def test_every_state_can_be_reached_from_idle():
    reached, frontier = {State.IDLE}, {State.IDLE}
    while frontier:
        frontier = {to for (state, _), tos in NEXT.items() if state in frontier for to in tos} - reached
        reached |= frontier
    assert reached == set(State)


def test_nothing_passes_upstream_without_its_body_having_been_seen():
    assert {state for (state, _), tos in NEXT.items() if State.UPSTREAM in tos} == {
        State.BODY,
        State.ASKING,  # entered from BODY alone, by the body
        State.UPSTREAM,
    }
    assert {state for (state, _), tos in NEXT.items() if State.ASKING in tos} == {State.BODY, State.ASKING}
    assert State.STREAM not in NEXT[State.BODY, RequestBody]
