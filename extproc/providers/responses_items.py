"""Items of a Responses answer and their texts: kinds, and how far a stream has told each. Judges nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

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


@dataclass(slots=True)
class Text:
    """One text of an item: its hold-back, and what was released of it, which the `done` events repeat."""

    hold: Channel
    place: tuple[int, int] | None  # of an output text, in the order in which clients join them
    released: list[str] = field(default_factory=list)
    last: str = ""  # character of it
    begun: bool = False
    ended: bool = False
    told: bool = False  # its own `done` event was there
    parted: bool = False  # that of its part too
    opened: bool = False  # the event that announces its part left
    size: int = 0  # characters of `released`
    sent: int = 0  # of them, those that clients have


@dataclass(slots=True)
class Item:
    """One item of the output."""

    kind: str
    raw_id: str
    id: str  # as the guard left it; every event of the item says this one
    tool: str = ""  # that a call names
    texts: dict[tuple[str, int], Text] = field(default_factory=dict)
    final: dict[str, Any] | None = None
    listed: bool = False  # by the last event
    begun: dict[str, Any] | None = None  # as clients were told that it begins, without its texts
    over: bool = False  # clients were told that it ended
