"""Whether two questions are one: a linear part over their vectors, then trees over that and what they share. Pure.

The artefact is in this repository; how it was fitted and what it gets wrong is in docs/models/similar.md.
"""

import hashlib
import math
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

import numpy as np
import orjson

from analysis.head import WEIGHTS_SHA256, Floats
from analysis.pair import Reading, Words, features, vetoed, wide
from gateway.policy.kept import Likeness

ARTEFACT: Final = "pairs.bin"
FORMAT: Final = 1
_LEAST_ODDS: Final = -500.0  # exp overflows beyond 709
#: Steps from root to leaf that are taken for all trees at once. Training keeps them below.
DEPTH: Final = 8


class VerdictError(Exception):
    """The artefact is damaged, of another format, or made for other weights of MiniLM."""


@dataclass(frozen=True, slots=True)
class Trees:
    """Regression trees, side by side: (trees, nodes). A node's children are told; a leaf is its own child."""

    feature: Any
    threshold: Floats
    left: Any
    right: Any
    value: Floats
    offset: float

    def sum(self, given: Floats) -> float:
        """What all trees say together."""
        rows = np.arange(len(self.feature))
        at = np.zeros(len(self.feature), dtype=np.int64)
        for _ in range(DEPTH):
            low = given[self.feature[rows, at]] <= self.threshold[rows, at]
            at = np.where(low, self.left[rows, at], self.right[rows, at])
        return self.offset + float(self.value[rows, at].sum())


@dataclass(frozen=True, slots=True)
class Verdict:
    """The artefact."""

    version: str
    linear: tuple[Floats, float]
    trees: Trees
    thresholds: dict[Likeness, float]

    @classmethod
    def load(cls) -> "Verdict":
        """From the artefact in this package."""
        return cls.read(resources.files("analysis").joinpath(ARTEFACT).read_bytes())

    @classmethod
    def read(cls, artefact: bytes) -> "Verdict":
        """From an artefact: one line of JSON, then the tables.

        Raises:
            VerdictError: nothing is called the same by half a judge.
        """
        line, _, table = artefact.partition(b"\n")
        try:
            meta: dict[str, Any] = orjson.loads(line)
        except orjson.JSONDecodeError:
            raise VerdictError("the judge of like questions is damaged") from None
        if meta["format"] != FORMAT or meta["sha256"] != hashlib.sha256(table).hexdigest():
            raise VerdictError("the judge of like questions is damaged or of another format")
        if meta["minilm"] != WEIGHTS_SHA256:
            raise VerdictError("the judge of like questions was made for other weights of MiniLM")
        tables, at = [], 0
        for kind, shape in meta["tables"]:
            size = int(np.prod(shape)) * np.dtype(kind).itemsize
            tables.append(np.frombuffer(table[at : at + size], dtype=kind).reshape(shape))
            at += size
        weights, feature, threshold, left, right, value = tables
        return cls(
            version=meta["version"],
            linear=(weights.astype(np.float32), meta["linear_offset"]),
            trees=Trees(
                feature=feature.astype(np.int64),
                threshold=threshold.astype(np.float32),
                left=left.astype(np.int64),
                right=right.astype(np.int64),
                value=value.astype(np.float32),
                offset=meta["trees_offset"],
            ),
            thresholds={Likeness(name): value for name, value in meta["thresholds"].items()},
        )

    def likeness(self, one: Reading, other: Reading, words: Words) -> float:
        """The probability that the two are one question; 0 where a number or a denial tells them apart."""
        if vetoed(one, other):
            return 0.0
        weights, offset = self.linear
        lying = float(wide(one, other, words) @ weights) + offset
        told = self.trees.sum(np.array([*features(one, other, words), lying], dtype=np.float32))
        return 1 / (1 + math.exp(-told)) if told > _LEAST_ODDS else 0.0
