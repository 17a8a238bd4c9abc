"""Two linear models over the same words, scored in one pass. As `injection.linear`, which does it for one.

Weights of both lie in one integer, far enough apart that no text's sums can meet: a word costs one look-up and one
addition for both models. Pure; what it remembers changes its speed, never a score.
"""

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, repeat
from operator import add, and_
from typing import Final
from zlib import crc32

from extproc.detectors.injection.linear import (
    BUCKETS,
    FEATURES,
    HEAD_BYTES,
    HEAD_SEED,
    REMEMBERED_BYTES,
    REMEMBERED_WORDS,
    ZERO,
    words,
)

_MASK: Final = BUCKETS - 1
_MASKS: Final = repeat(_MASK)
#: Room for the sum of one model: 2**32 is five million words of the largest weight.
_SHIFT: Final = 32
_LOW: Final = (1 << _SHIFT) - 1
_ZERO_PAIR: Final = ZERO | ZERO << _SHIFT


@dataclass(frozen=True, slots=True)
class Table:
    """One model: a byte a bucket, what a step of it is worth, and the bias."""

    weights: bytes
    scale: float
    bias: float

    def logit(self, total: int, count: int) -> float:
        """Sum of weights over the length of the feature vector (as `Linear` has it)."""
        return self.bias + self.scale * (total - FEATURES * ZERO * count) / math.sqrt(FEATURES * count)


class _Alone(dict[bytes, int]):
    """Weights of each word by itself, remembered: half of a text's words are the same few hundred everywhere."""

    __slots__ = ("_pairs",)

    def __init__(self, pairs: Sequence[int]) -> None:
        super().__init__()
        self._pairs: Final = pairs

    def __missing__(self, token: bytes) -> int:
        weight = self._pairs[crc32(token) & _MASK] + self._pairs[crc32(token[:HEAD_BYTES], HEAD_SEED) & _MASK]
        if len(token) <= REMEMBERED_BYTES:
            if len(self) >= REMEMBERED_WORDS:
                self.clear()  # cheaper than to keep order, and all that a flood of rare words can do
            self[token] = weight
        return weight


class Twin:
    """Two tables as one."""

    __slots__ = ("_alone", "_first", "_pairs", "_second")

    def __init__(self, first: Table, second: Table) -> None:
        if not len(first.weights) == len(second.weights) == BUCKETS:
            raise ValueError(f"weights for other than {BUCKETS} buckets")
        self._first: Final = first
        self._second: Final = second
        low, high = first.weights, second.weights
        self._pairs: Final = array("Q", [one | other << _SHIFT for one, other in zip(low, high, strict=True)])
        self._alone: Final = _Alone(self._pairs)

    def scores(self, low: str, window: int) -> tuple[float, float, int]:
        """Log-odds of the worst window by either model, and how many windows there are. `window` is in words."""
        tokens = words(low)
        count = len(tokens)
        if not count:
            return self._first.bias, self._second.bias, 1
        alone = map(self._alone.__getitem__, tokens)
        pairs = map(self._pairs.__getitem__, map(and_, map(crc32, tokens[1:], map(crc32, tokens)), _MASKS))
        each = map(add, alone, chain((_ZERO_PAIR,), pairs))
        if count <= window:
            total = sum(each)
            return self._first.logit(total & _LOW, count), self._second.logit(total >> _SHIFT, count), 1
        sums = list(accumulate(each, initial=0))
        stride = window // 2  # what one window cuts stands whole in the next
        # The last window is the rest, which no full stride reaches.
        starts = [*range(0, count + 1 - window, stride), count - window]
        totals = [sums[start + window] - sums[start] for start in starts]
        first = max([total & _LOW for total in totals])
        second = max([total >> _SHIFT for total in totals])
        return self._first.logit(first, window), self._second.logit(second, window), len(totals)
