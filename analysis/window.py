"""A text as windows of tokens that overlap: a sentence that one cuts stands whole in the next. Pure."""

import math
from dataclasses import dataclass
from typing import Final

from tokenizers import Tokenizer

#: Tokens of a window, without the two marks around them. An order of one sentence still weighs in the mean of so many,
#: and most prompts of users need one window.
SIZE: Final = 126
#: Tokens that neighbours share: the length of a long sentence. Half a window would cost half as much again.
OVERLAP: Final = 30
_BEGIN: Final = 101  # [CLS] and [SEP] of BERT's uncased vocabulary
_END: Final = 102


@dataclass(frozen=True, slots=True)
class Window:
    """Some tokens of a text, between their marks, and the characters that they stand for."""

    ids: list[int]
    start: int
    end: int


def cut(tokenizer: Tokenizer, text: str) -> list[Window]:
    """Windows of a text, in order; one of the marks alone for a text without any token."""
    encoded = tokenizer.encode(text, add_special_tokens=False)
    ids, offsets = encoded.ids, encoded.offsets
    if len(ids) <= SIZE:
        return [Window([_BEGIN, *ids, _END], 0, len(text))]
    count = math.ceil((len(ids) - OVERLAP) / (SIZE - OVERLAP))
    size = math.ceil((len(ids) + (count - 1) * OVERLAP) / count)  # alike in length: a short rest would judge itself
    starts = [number * (len(ids) - size) // (count - 1) for number in range(count)]
    return [Window([_BEGIN, *ids[at : at + size], _END], offsets[at][0], offsets[at + size - 1][1]) for at in starts]
