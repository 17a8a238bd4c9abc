"""How much a text is like a tenant's examples of a topic: the nearer of two centroids, over sliding windows. Pure.

Made in milliseconds when a policy is prepared; there is no training, and no artefact. Experimental: what it can and
cannot tell apart is in docs/detectors.md.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate, chain
from typing import Final

from extproc.detectors.injection.linear import hashes, words
from extproc.detectors.injection.normalise import plain
from extproc.detectors.topics.everyday import EVERYDAY

#: Words of one window, as of the other linear models: a prompt is mostly one thing.
WINDOW: Final = 48
#: Of the examples themselves, each judged by the others: what this share of them falls below is too far out.
_OUTLIERS: Final = 0.25
#: New texts are less like the examples than those are like each other (measured: docs/detectors.md).
_SLACK: Final = 0.8
#: How far above everything everyday a text must be.
_MARGIN: Final = 1.05
#: Examples that have nothing in common make no topic: below this, every text would be about it, an empty one too.
_LEAST: Final = 0.05

_Vector = Mapping[int, float]


class Likeness:
    """One topic's examples, compiled: a weight for each hashed word, beginning of a word and pair of words."""

    __slots__ = ("_weights", "threshold")

    def __init__(self, examples: Sequence[str]) -> None:
        rare = _rarity()
        vectors = [rare.vector(tokens(text)) for text in examples]
        centre = _mean(vectors)
        norm = math.sqrt(sum(value * value for value in centre.values())) or 1.0
        weights = {bucket: value / norm for bucket, value in centre.items()}
        for bucket, value in rare.centre.items():
            weights[bucket] = weights.get(bucket, 0.0) - value
        self._weights: Final = {bucket: value * rare.of(bucket) for bucket, value in weights.items()}
        count = len(vectors)
        alone = sorted(_without(vector, centre, count, norm) - _dot(vector, rare.centre) for vector in vectors)
        everyday = max(self.score(each) for each in rare.everyday)
        #: From here on a text is of the topic.
        self.threshold: Final = max(alone[int(count * _OUTLIERS)] * _SLACK, everyday * _MARGIN, _LEAST)

    def score(self, found: Sequence[bytes]) -> float:
        """Cosine with the topic less cosine with everything everyday, of the window with most of it."""
        if not found:
            return 0.0
        rare = _rarity()
        gains, energy = [0.0], [0.0]
        gains += accumulate(self._sums(found, self._weights.get, 0.0))
        energy += accumulate(self._sums(found, rare.square, rare.most * rare.most))
        count = len(found)
        starts = [*range(0, max(count - WINDOW, 0), WINDOW // 2), max(count - WINDOW, 0)]
        ends = [min(start + WINDOW, count) for start in starts]
        worst: float = max(
            (gains[end] - gains[start]) / math.sqrt(energy[end] - energy[start])
            for start, end in zip(starts, ends, strict=True)
        )
        return worst

    @staticmethod
    def _sums(found: Sequence[bytes], value: Callable[[int, float], float], missing: float) -> Iterable[float]:
        """For each word what it, its beginning and its pair with the word before are worth."""
        whole, heads, pairs = hashes(found)
        for word, head, pair in zip(whole, heads, chain((-1,), pairs), strict=True):
            yield value(word, missing) + value(head, missing) + (value(pair, missing) if pair >= 0 else 0.0)


def tokens(text: str) -> list[bytes]:
    """A text's words, as scores take them."""
    return words(plain(text))


class _Rarity:
    """How much a feature says: the more everyday texts have it, the less."""

    __slots__ = ("_known", "_squares", "centre", "everyday", "most")

    def __init__(self) -> None:
        self.everyday: Final = [tokens(text) for text in EVERYDAY]
        total = len(self.everyday) + 1
        seen = Counter(bucket for each in self.everyday for bucket in set(_features(each)))
        self._known: Final = {bucket: math.log(total / (count + 1)) for bucket, count in seen.items()}
        self._squares: Final = {bucket: value * value for bucket, value in self._known.items()}
        self.most: Final = math.log(total)
        self.centre: Final = _mean([self.vector(each) for each in self.everyday])

    def of(self, bucket: int) -> float:
        return self._known.get(bucket, self.most)

    def square(self, bucket: int, missing: float) -> float:
        return self._squares.get(bucket, missing)

    def vector(self, found: Sequence[bytes]) -> _Vector:
        """A text as a vector of length one."""
        weighed = {bucket: count * self.of(bucket) for bucket, count in Counter(_features(found)).items()}
        norm = math.sqrt(sum(value * value for value in weighed.values())) or 1.0
        return {bucket: value / norm for bucket, value in weighed.items()}


@lru_cache(maxsize=1)
def _rarity() -> _Rarity:
    return _Rarity()


def _features(found: Sequence[bytes]) -> Iterable[int]:
    return chain(*hashes(found))


def _mean(vectors: Sequence[_Vector]) -> dict[int, float]:
    centre: dict[int, float] = {}
    for vector in vectors:
        for bucket, value in vector.items():
            centre[bucket] = centre.get(bucket, 0.0) + value / len(vectors)
    return centre


def _dot(vector: _Vector, other: _Vector) -> float:
    return sum(value * other.get(bucket, 0.0) for bucket, value in vector.items())


def _without(vector: _Vector, centre: _Vector, count: int, norm: float) -> float:
    """How near a vector is to the centre of the others."""
    return sum(value * (centre[bucket] * count - value) for bucket, value in vector.items()) / ((count - 1) * norm)
