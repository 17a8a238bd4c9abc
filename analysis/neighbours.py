"""Questions by what they mean, in memory: put, dropped, and the nearest of one place found. Judges no pair.

Each place (`gateway.similar`, `partition`) has arrays of its own, so that nothing of another place is ever looked at.
A vector is kept twice: as the signs of its numbers, which find the few that may be near, and as bytes, which rank them.
"""

import math
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from analysis.head import Floats
from gateway.similar import ENTRIES

#: Numbers of a vector.
WIDTH: Final = 384
_WORDS: Final = WIDTH // 64
#: Of a place: whoever writes another prompt before each question makes a place of each.
_LEAST_ROWS: Final = 1
#: Vectors of a smaller cosine are no candidates: no pair of so little is ever called the same (docs/models/similar.md).
NEAR: Final = 0.7
#: Signs in which two vectors of that cosine differ: 97 of 384 on average, 9 more or less. Four deviations are added.
SIGNS: Final = math.ceil(WIDTH * math.acos(NEAR) / math.pi + 4 * math.sqrt(WIDTH * 0.25 * 0.75))
#: Of these the bytes are compared.
_RANKED: Final = 64
_STEPS: Final = 127
_LEAST: Final = 1e-9  # of a vector's largest number: one of zeros has no scale
#: Vectors of a question: the first finds it, the others are for the judge of pairs.
LAYERS: Final = 2


@dataclass(frozen=True, slots=True)
class Kept:
    """A question whose answer lies under `name`."""

    name: str
    text: str = field(repr=False)
    ends_s: float  # monotonic


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A question that was found, and how near it is."""

    kept: Kept
    cosine: float
    vectors: Floats  # as they were put, as far as bytes tell


@dataclass(slots=True, eq=False)
class _Place:
    """The questions of one place, in rows without gaps."""

    signs: Any = field(default_factory=lambda: np.zeros((_WORDS, _LEAST_ROWS), dtype=np.uint64))
    steps: Any = field(default_factory=lambda: np.zeros((_LEAST_ROWS, LAYERS, WIDTH), dtype=np.int8))
    scales: Any = field(default_factory=lambda: np.zeros((_LEAST_ROWS, LAYERS), dtype=np.float32))
    kept: list[Kept] = field(default_factory=list)
    rows: OrderedDict[str, int] = field(default_factory=OrderedDict)  # by name, the oldest first

    def put(self, kept: Kept, vectors: Floats) -> None:
        row = len(self.kept)
        if row == len(self.scales):
            self._resize(2 * row)
        self.signs[:, row] = _signs(vectors[0])
        self.steps[row], self.scales[row] = stepped(vectors)
        self.kept.append(kept)
        self.rows[kept.name] = row

    def drop(self, name: str) -> bool:
        row = self.rows.pop(name, None)
        if row is None:
            return False
        last = self.kept.pop()
        if last.name != name:
            end = len(self.kept)
            self.signs[:, row], self.steps[row], self.scales[row] = (
                self.signs[:, end],
                self.steps[end],
                self.scales[end],
            )
            self.kept[row] = last
            self.rows[last.name] = row
        if _LEAST_ROWS <= len(self.kept) < len(self.scales) // 4:
            self._resize(len(self.scales) // 2)
        return True

    def near(self, vector: Floats, most: int) -> Iterator[Neighbour]:
        rows = len(self.kept)
        asked = _signs(vector)
        differ = np.bitwise_count(self.signs[0, :rows] ^ asked[0]).astype(np.uint16)
        for word in range(1, _WORDS):
            differ += np.bitwise_count(self.signs[word, :rows] ^ asked[word])
        found = np.flatnonzero(differ <= SIGNS)
        if len(found) > _RANKED:
            found = found[np.argpartition(differ[found], _RANKED)[:_RANKED]]
        cosines = (self.steps[found, 0].astype(np.float32) @ vector) * self.scales[found, 0]
        for at in np.argsort(-cosines)[:most]:
            if cosines[at] < NEAR:
                return
            row = found[at]
            vectors = self.steps[row].astype(np.float32) * self.scales[row][:, None]
            yield Neighbour(self.kept[row], float(cosines[at]), vectors)

    def _resize(self, rows: int) -> None:
        used = len(self.kept)
        signs = np.zeros((_WORDS, rows), dtype=np.uint64)
        steps, scales = np.zeros((rows, LAYERS, WIDTH), dtype=np.int8), np.zeros((rows, LAYERS), dtype=np.float32)
        signs[:, :used], steps[:used], scales[:used] = self.signs[:, :used], self.steps[:used], self.scales[:used]
        self.signs, self.steps, self.scales = signs, steps, scales


@dataclass(slots=True)
class Neighbours:
    """All questions of a host. For one thread."""

    most: int = ENTRIES[1]
    _tenants: dict[str, OrderedDict[str, _Place]] = field(default_factory=dict)  # places: longest unused first
    _counts: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(self._counts.values())

    def put(self, tenant: str, partition: str, kept: Kept, vectors: Floats, most: int, due_s: float = math.inf) -> None:
        """Keep a question. What is over the tenant's own bound goes first, then what is over that of all."""
        del due_s  # takes microseconds, as everything here
        self.drop(tenant, partition, kept.name)
        while self._counts.get(tenant, 0) >= most:
            self._make_room(tenant)
        while len(self) >= self.most:  # a tenant that asks much shall not push out those that ask little
            self._make_room(max(self._counts, key=self._counts.__getitem__))
        place = self._tenants.setdefault(tenant, OrderedDict()).setdefault(partition, _Place())
        place.put(kept, vectors)
        self._counts[tenant] = self._counts.get(tenant, 0) + 1

    def drop(self, tenant: str, partition: str, name: str, due_s: float = math.inf) -> None:
        """Forget a question."""
        del due_s
        places = self._tenants.get(tenant)
        place = None if places is None else places.get(partition)
        if places is None or place is None or not place.drop(name):
            return
        self._counts[tenant] -= 1
        if not place.kept:
            del places[partition]
        if not places:
            del self._tenants[tenant], self._counts[tenant]

    def near(
        self, tenant: str, partition: str, vector: Floats, now_s: float, most: int, due_s: float = math.inf
    ) -> list[Neighbour]:
        """The nearest of that place, nearest first. What has ended is forgotten on the way."""
        del due_s
        places = self._tenants.get(tenant)
        place = None if places is None else places.get(partition)
        if places is None or place is None:
            return []
        places.move_to_end(partition)
        found = list(place.near(vector, most))
        for each in found:
            if each.kept.ends_s <= now_s:
                self.drop(tenant, partition, each.kept.name)
        return [each for each in found if each.kept.ends_s > now_s]

    def holds(self, tenant: str, partition: str, due_s: float = math.inf) -> bool:
        """Whether there is anything to find: most places are new to whoever asks first."""
        del due_s
        return partition in self._tenants.get(tenant, ())

    def _make_room(self, tenant: str) -> None:
        """The oldest question of the tenant's place that was asked last the longest time ago."""
        partition, place = next(iter(self._tenants[tenant].items()))
        self.drop(tenant, partition, next(iter(place.rows)))


def stepped(vectors: Floats) -> tuple[Any, Floats]:
    """Vectors as bytes, and what one step of each is worth."""
    scales = np.maximum(np.abs(vectors).max(axis=1), _LEAST).astype(np.float32) / _STEPS
    return np.rint(vectors / scales[:, None]).astype(np.int8), scales


def _signs(vector: Floats) -> Any:
    return np.packbits(vector > 0).view(np.uint64)
