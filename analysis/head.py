"""Our own part of stage (c): a few matrices over MiniLM's numbers, joined with the evidence of (a) and (b). Pure."""

import hashlib
import math
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

import numpy as np
import orjson

Floats = Any  # an array of 32-bit floats; numpy, and so its types, are there only with `make analysis`

#: What the head was fitted on. Other weights of MiniLM would make its verdicts noise.
WEIGHTS_SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
#: Layers of MiniLM whose means are judged: how something is said shows earlier than what it is about. The two layers
#: behind them would cost half as much again and gain nothing on left-out sources (model card).
KEPT: Final = (2, 3, 4)
_ARTEFACT: Final = "head.bin"
_FORMAT: Final = 1
#: Log-odds taken off what the tenant wrote itself: as stages (a) and (b) do (`assess.TRUSTED_DISCOUNT`).
TRUSTED_DISCOUNT: Final = 3.0


class HeadError(Exception):
    """The artefact is damaged, of another format, or made for other weights of MiniLM."""


@dataclass(frozen=True, slots=True)
class Join:
    """Log-odds of an attack from the worst window's and from the evidence of (a) and (b)."""

    window: float
    evidence: float
    offset: float


@dataclass(frozen=True, slots=True)
class Grey:
    """Scores of stages (a) and (b) between which stage (c) decides. Below: benign. From `high` on: an attack."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Head:
    """The artefact. Pairs are of users' texts, and of those of tools and documents."""

    version: str
    layers: tuple[tuple[Floats, Floats], ...]  # matrix and offset of each
    joins: tuple[Join, Join]
    thresholds: tuple[float, float]  # recommended by training
    grey: tuple[Grey, Grey]

    @classmethod
    def load(cls) -> "Head":
        """From the artefact in this package."""
        return cls.read(resources.files("analysis").joinpath(_ARTEFACT).read_bytes())

    @classmethod
    def read(cls, artefact: bytes) -> "Head":
        """From an artefact: one line of JSON, then the numbers, 16 bits each.

        Raises:
            HeadError: nothing is judged with half a head.
        """
        line, _, table = artefact.partition(b"\n")
        try:
            meta: dict[str, Any] = orjson.loads(line)
        except orjson.JSONDecodeError:
            raise HeadError("the head of stage (c) is damaged") from None
        if meta["format"] != _FORMAT or meta["sha256"] != hashlib.sha256(table).hexdigest():
            raise HeadError("the head of stage (c) is damaged or of another format")
        if meta["minilm"] != WEIGHTS_SHA256:
            raise HeadError("the head of stage (c) was made for other weights of MiniLM")
        numbers = np.frombuffer(table, dtype="<f2").astype(np.float32)
        layers, at = [], 0
        for wide, narrow in meta["shapes"]:
            matrix = numbers[at : at + wide * narrow].reshape(wide, narrow)
            at += wide * narrow
            layers.append((matrix, numbers[at : at + narrow]))
            at += narrow
        user, foreign = meta["user"], meta["foreign"]
        return cls(
            version=meta["version"],
            layers=tuple(layers),
            joins=(Join(**user["join"]), Join(**foreign["join"])),
            thresholds=(user["threshold"], foreign["threshold"]),
            grey=(Grey(**user["grey"]), Grey(**foreign["grey"])),
        )

    def odds(self, vectors: Floats) -> Floats:
        """Log-odds of each window, from its (layers, width) numbers."""
        return apply(self.layers, normed(vectors))

    def score(self, odds: float, evidence: float, *, foreign: bool, trusted: bool = False) -> float:
        """Probability that a text is an attack: its worst window's log-odds with the evidence of (a) and (b)."""
        join = self.joins[foreign]
        total = join.window * odds + join.evidence * evidence + join.offset - (TRUSTED_DISCOUNT if trusted else 0.0)
        return 1 / (1 + math.exp(-total)) if total > -500 else 0.0  # exp overflows beyond 709


def normed(vectors: Floats) -> Floats:
    """Each layer's mean at unit length, one after the other: (windows, layers * width)."""
    lengths = np.linalg.norm(vectors, axis=2, keepdims=True)
    return (vectors / np.maximum(lengths, 1e-6)).reshape(len(vectors), -1)


def apply(layers: tuple[tuple[Floats, Floats], ...], given: Floats) -> Floats:
    """Dense layers with rectifiers between them; the last one has a single output."""
    *hidden, (matrix, offset) = layers
    for inner, shift in hidden:
        given = np.maximum(given @ inner + shift, 0)
    return (given @ matrix + offset)[:, 0]
