"""Items of a Responses answer and their texts: kinds, and how far a stream has told each. Judges nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar

from extproc.core.windows import Channel

#: Items that may be answered, and the kinds of their parts by list. All else is the work of a tool of the provider's.
ITEMS: Final = MappingProxyType(
    {
        "message": {"content": frozenset({"output_text", "refusal"})},
        "reasoning": {"summary": frozenset({"summary_text"}), "content": frozenset({"reasoning_text"})},
        "function_call": {},
        "custom_tool_call": {},
    }
)
NO_PARTS: Final[Mapping[str, frozenset[str]]] = MappingProxyType({})
#: The text of a call, which stands in the item itself.
CALLS: Final = {"function_call": "arguments", "custom_tool_call": "input"}


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of text: its events, the field that tells it whole, and the index that finds it in its item."""

    events: str  # before ".delta" and ".done"
    whole: str
    index: str = ""  # "" where an item has one at most


KINDS: Final = {
    "output_text": Kind("response.output_text", "text", "content_index"),
    "refusal": Kind("response.refusal", "refusal", "content_index"),
    "reasoning_text": Kind("response.reasoning_text", "text", "content_index"),
    "summary_text": Kind("response.reasoning_summary_text", "text", "summary_index"),
    "arguments": Kind("response.function_call_arguments", "arguments"),
    "input": Kind("response.custom_tool_call_input", "input"),
}
DELTAS: Final = {f"{kind.events}.delta": name for name, kind in KINDS.items()}
DONES: Final = {f"{kind.events}.done": name for name, kind in KINDS.items()}
#: Events of parts: the list that the part stands in, and the field of its index there.
PART_EVENTS: Final = {
    f"response.{what}.{when}": (holder, index)
    for what, holder, index in (
        ("content_part", "content", "content_index"),
        ("reasoning_summary_part", "summary", "summary_index"),
    )
    for when in ("added", "done")
}
#: A piece costs fifty bytes beside its letters, of which there may be one; joining them costs a copy of all.
_MAX_PIECES: Final = 128


@dataclass(slots=True)
class Telling:
    """How far clients were told a text of an item."""

    released: list[str] = field(default_factory=list)
    size: int = 0  # characters of `released`
    sent: int = 0  # of them, those that clients have
    told: bool = False  # its own `done` event was there
    parted: bool = False  # that of its part too
    opened: bool = False  # the event that announces its part left

    def keep(self, piece: str) -> None:
        """Put `piece` behind what was released."""
        self.released.append(piece)
        self.size += len(piece)
        if len(self.released) >= _MAX_PIECES:
            self.released[:] = ["".join(self.released)]


@dataclass(slots=True, kw_only=True)
class Text(Telling):
    """One text on its way through the guard: its hold-back, and what was released of it, which `done` events repeat."""

    hold: Channel
    place: tuple[int, int] | None  # of an output text, in the order in which clients join them
    last: str = ""  # character of it
    begun: bool = False
    ended: bool = False


_T = TypeVar("_T", bound=Telling)


@dataclass(slots=True)
class Announced(Generic[_T]):
    """One item of the output, as far as clients were told of it."""

    kind: str
    id: str  # as the guard left it; every event of the item says this one
    texts: dict[tuple[str, int], _T] = field(default_factory=dict)
    final: dict[str, Any] | None = None
    begun: dict[str, Any] | None = None  # as clients were told that it begins, without its texts
    over: bool = False  # clients were told that it ended


@dataclass(slots=True, kw_only=True)
class Item(Announced[Text]):
    """One item on its way through the guard."""

    raw_id: str
    tool: str = ""  # that a call names
    listed: bool = False  # by the last event
