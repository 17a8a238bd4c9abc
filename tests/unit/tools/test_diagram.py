"""The drawn table says what the transition table says, for ours and for any other."""

import re

from extproc.core.events import Gone, RequestBody, RequestHead
from extproc.core.states import NEXT, State
from tools import diagram

SMALL = {
    (State.IDLE, RequestHead): frozenset({State.BODY, State.DONE}),
    (State.BODY, RequestBody): frozenset({State.BODY}),
    (State.BODY, Gone): frozenset({State.DONE}),
}


def test_the_picture_draws_each_event_where_it_leads_if_all_goes_well():
    drawn = re.findall(r"^    (\w+) --> (\w+): (.+)$", diagram.picture(SMALL), re.MULTILINE)
    assert drawn == [("idle", "body", "RequestHead"), ("body", "done", "Gone")]


def test_the_grid_holds_every_cell_of_the_table():
    head, _, *rows = [line.strip("|").split("|") for line in diagram.grid().splitlines()]
    names = [cell.strip(" `") for cell in head[1:]]
    seen = {
        (row[0].strip(" `"), name): {state.strip() for state in cell.split(",")} - {""}
        for row in rows
        for name, cell in zip(names, row[1:], strict=True)
    }
    assert seen == {
        (state.value, event.__name__): {to.value for to in NEXT.get((state, event), frozenset())}
        for state in State
        for event in diagram.EVENTS
    }


def test_every_way_between_two_states_is_drawn():
    drawn = set(re.findall(r"^    (\w+) --> (\w+):", diagram.picture(), re.MULTILINE))
    ways = {(state.value, to.value) for (state, _), tos in NEXT.items() for to in tos - {state}}
    assert {(a, b) for a, b in drawn if a != b} == ways


def test_long_labels_are_broken():
    assert diagram._label(["A", "B", "C"]) == "A, B<br/>C"
