"""A text as windows of tokens that overlap: a sentence that one cuts stands whole in the next. Pure."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tokenizers import Tokenizer  # not where models are trained: windows come there with their numbers

#: Tokens of a window, without the two marks around them. An order of one sentence still weighs in the mean of so many,
#: and most prompts of users need one window.
SIZE: Final = 126
#: Tokens that neighbours share: the length of a long sentence. Half a window would cost half as much again.
OVERLAP: Final = 30
#: Windows of one text that are judged: some 13 ms each. More, and an answer is partial.
JUDGED_MAX: Final = 16
_BEGIN: Final = 101  # [CLS] and [SEP] of BERT's uncased vocabulary
_END: Final = 102


@dataclass(frozen=True, slots=True)
class Window:
    """Some tokens of a text, between their marks, and the characters that they stand for."""

    ids: list[int]
    start: int
    end: int


def cut(tokenizer: "Tokenizer", text: str) -> list[Window]:
    """Windows of a text, in order; one of the marks alone for a text without any token."""
    encoded = tokenizer.encode(text, add_special_tokens=False)
    ids, offsets = encoded.ids, encoded.offsets
    if len(ids) <= SIZE:
        return [Window([_BEGIN, *ids, _END], 0, len(text))]
    count = math.ceil((len(ids) - OVERLAP) / (SIZE - OVERLAP))
    size = math.ceil((len(ids) + (count - 1) * OVERLAP) / count)  # alike in length: a short rest would judge itself
    starts = [number * (len(ids) - size) // (count - 1) for number in range(count)]
    return [Window([_BEGIN, *ids[at : at + size], _END], offsets[at][0], offsets[at + size - 1][1]) for at in starts]


def chosen(text: str, spans: Sequence[tuple[int, int]], weigh: Callable[[str], float]) -> list[int]:
    """Which windows are judged: all, or those that `weigh` finds worst. The same at run time and in training."""
    if len(spans) <= JUDGED_MAX:
        return list(range(len(spans)))
    weights = [weigh(text[start:end]) for start, end in spans]
    return sorted(range(len(spans)), key=lambda number: -weights[number])[:JUDGED_MAX]
