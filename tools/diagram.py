"""The states of an exchange as a diagram and a table, from the transition table itself. Writes no file."""

import typing
from collections.abc import Iterator, Mapping
from typing import Final

from extproc.core.events import Event
from extproc.core.states import NEXT, State

EVENTS: Final[tuple[type[Event], ...]] = typing.get_args(Event)
#: Long lines of a label are broken at this many events: more make the picture wider than a page.
_EVENTS_PER_LINE: Final = 2

Table = Mapping[tuple[State, type[Event]], frozenset[State]]


def picture(table: Table = NEXT) -> str:
    """A Mermaid state diagram. An event that may also end the exchange is drawn where it leads if all goes well."""
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {State.IDLE.value}"]
    lines += [f"    {state.value} --> {to.value}: {label}" for state, to, label in _edges(table)]
    return "\n".join([*lines, f"    {State.DONE.value} --> [*]", "```"])


def grid(table: Table = NEXT) -> str:
    """A Markdown table: where each event may lead from each state. An empty cell is a protocol error."""
    lines = [
        "| state | " + " | ".join(f"`{event.__name__}`" for event in EVENTS) + " |",
        "|---" * (len(EVENTS) + 1) + "|",
    ]
    for state in State:
        cells = [_cell(table.get((state, event), frozenset())) for event in EVENTS]
        lines.append(f"| `{state.value}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def section(table: Table = NEXT) -> str:
    """What stands between the markers of docs/request-life.md."""
    return f"{picture(table)}\n\n{grid(table)}"


def _edges(table: Table) -> Iterator[tuple[State, State, str]]:
    """(from, to, events): one edge for each pair of states; what leaves an exchange where it is has none."""
    for state in State:
        for to in State:
            names = [event.__name__ for event in EVENTS if to in _drawn(state, table.get((state, event), frozenset()))]
            if names:
                yield state, to, _label(names)


def _drawn(state: State, targets: frozenset[State]) -> frozenset[State]:
    onward = targets - {State.DONE}
    return frozenset() if targets == {state} else onward or targets


def _label(names: list[str]) -> str:
    rows = [names[at : at + _EVENTS_PER_LINE] for at in range(0, len(names), _EVENTS_PER_LINE)]
    return "<br/>".join(", ".join(row) for row in rows)


def _cell(targets: frozenset[State]) -> str:
    return ", ".join(state.value for state in State if state in targets)
