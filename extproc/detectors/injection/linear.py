"""A linear model over hashed words, their beginnings and pairs of words, scored over sliding windows.

Everything per word runs in C (`crc32`, `map`, `accumulate`); Python's loop sees windows only. Knows no labels, no
provenance and no files.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain, repeat
from operator import add, and_, sub
from typing import Final
from zlib import crc32

#: Weights of the table, a byte each. Four times as many gained nothing on left-out sources (model card).
BUCKETS: Final = 1 << 18
_MASK: Final = BUCKETS - 1
#: A weight of zero. Bytes are unsigned, weights are not.
ZERO: Final = 128
#: Features of one word.
FEATURES: Final = 3
#: Bytes of a word's beginning: an inflected verb shares them with its other forms in most languages of Latin script.
HEAD_BYTES: Final = 5
#: Words of a window that `growth` leaves as it is: about a sentence.
TYPICAL_WORDS: Final = 20
HEAD_SEED: Final = 0x5EED  # keeps a short word apart from its own beginning
_MASKS: Final = repeat(_MASK)
#: Words remembered with their weights, and the longest of them: about 2 MB a worker at most.
REMEMBERED_WORDS: Final = 16_384
REMEMBERED_BYTES: Final = 32
#: Every ASCII byte but letters and digits parts words; what is not ASCII belongs to words.
_BREAKS: Final = bytes(byte if byte >= 0x80 or chr(byte).isalnum() else 0x20 for byte in range(256))
_APOSTROPHE: Final = b"'"


def words(low: str) -> list[bytes]:
    """Words of a normalised text. ASCII punctuation parts them, apostrophes vanish, so that "don't" is one word."""
    return low.encode("utf-8", "replace").translate(_BREAKS, _APOSTROPHE).split()


def hashes(tokens: Sequence[bytes]) -> tuple[Iterator[int], Iterator[int], Iterator[int]]:
    """Buckets of the words, of their beginnings, and of each word with the one before it (one fewer). For training."""
    whole = list(map(crc32, tokens))
    heads = map(crc32, [token[:HEAD_BYTES] for token in tokens], repeat(HEAD_SEED))
    pairs = map(crc32, tokens[1:], whole)
    return map(and_, whole, _MASKS), map(and_, heads, _MASKS), map(and_, pairs, _MASKS)


class _Alone(dict[bytes, int]):
    """Weight of each word by itself, remembered: half of a text's words are the same few hundred everywhere."""

    __slots__ = ("_weights",)

    def __init__(self, weights: bytes) -> None:
        super().__init__()
        self._weights: Final = weights

    def __missing__(self, token: bytes) -> int:
        whole = self._weights[crc32(token) & _MASK]
        weight = whole + self._weights[crc32(token[:HEAD_BYTES], HEAD_SEED) & _MASK]
        if len(token) <= REMEMBERED_BYTES:
            if len(self) >= REMEMBERED_WORDS:
                self.clear()  # cheaper than to keep order, and all that a flood of rare words can do
            self[token] = weight
        return weight


class Linear:
    """Weights, and how a text is scored with them. What it remembers changes its speed, never a score."""

    __slots__ = ("_alone", "_bias", "_growth", "_scale", "_weights")

    def __init__(self, weights: bytes, scale: float, bias: float, growth: float = 0.0) -> None:
        if len(weights) != BUCKETS:
            raise ValueError(f"{len(weights)} weights for {BUCKETS} buckets")
        self._weights: Final = weights
        self._alone: Final = _Alone(weights)
        self._scale: Final = scale
        self._bias: Final = bias
        #: A few words are suspicious by chance, many are not: evidence grows with this power of the words in a window.
        self._growth: Final = growth

    def score(self, low: str, window: int) -> tuple[float, int]:
        """Log-odds of the worst window of a normalised text, and how many windows it has. `window` is in words."""
        tokens = words(low)
        count = len(tokens)
        if not count:
            return self._bias, 1
        sums = self._sums(tokens)
        if count <= window:
            return self._logit(sums[-1], count), 1
        stride = window // 2  # what one window cuts stands whole in the next
        starts = sums[:-window:stride]
        worst = max(map(sub, sums[window::stride], starts))
        last = sums[-1] - sums[-1 - window]  # the rest, which no full stride reaches
        return self._logit(max(worst, last), window), len(starts) + 1

    def _sums(self, tokens: Sequence[bytes]) -> list[int]:
        """Weight of the first n words, for every n: a window is the difference of two of them."""
        pairs = map(self._weights.__getitem__, map(and_, map(crc32, tokens[1:], map(crc32, tokens)), _MASKS))
        alone = map(self._alone.__getitem__, tokens)
        return list(accumulate(map(add, alone, chain((ZERO,), pairs)), initial=0))

    def _logit(self, total: int, count: int) -> float:
        """Sum of weights over the length of the feature vector, so that a long window does not score by being long."""
        length = math.sqrt(FEATURES * count)
        if self._growth:
            length *= (TYPICAL_WORDS / count) ** self._growth
        return self._bias + self._scale * (total - FEATURES * ZERO * count) / length
