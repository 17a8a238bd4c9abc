"""How much does a text look like each content class? The lexicon and two linear models together, as scores from 0 to 1.

Pure after `load`: no I/O, no clock, no randomness. Says how likely, never what to do about it: thresholds are policy.
"""

import hashlib
import math
from importlib import resources
from typing import Any, Final

import orjson

from extproc.detectors.content.classes import CLASSES, HARMLESS, SEXUAL, TOXIC, VIOLENCE
from extproc.detectors.content.lexicon import Lexicon
from extproc.detectors.content.twin import Table, Twin
from extproc.detectors.injection.linear import BUCKETS
from extproc.detectors.injection.normalise import hidden, plain

#: Words of one window of the linear models: a prompt is mostly one thing (as `injection.assess.WINDOW_USER`).
WINDOW: Final = 48
#: The worst of many windows is high by chance alone (as in `injection.assess`).
WINDOW_DISCOUNT: Final = 0.3
WINDOWS_COUNTED: Final = 64
#: Log-odds that a linear model may add or take at most: one strong term, so that neither side decides alone.
LINEAR_MOST: Final = 4.5
#: Taken off a class of which no term was found: the models know harm from harmless, not one class from another. More
#: than they can add, so that no rule fires that could not be explained.
NO_TERM: Final = 5.0
#: Where training has no texts of a topic, three terms of fair weight are even odds.
_WORDS_SLOPE: Final = 1.0
_WORDS_OFFSET: Final = -4.0
_ARTEFACT: Final = "weights.bin"
_FORMAT: Final = 1

Scores = tuple[float, ...]
_REQUEST, _BOTH, _NONE = range(3)
#: Which models a class listens to: what people say to each other and ask a machine to say needs both.
_KIND: Final = tuple(
    _NONE if name in HARMLESS else _BOTH if name in TOXIC | {SEXUAL, VIOLENCE} else _REQUEST for name in CLASSES
)


class Content:
    """All classes. One a worker; not for concurrent threads, as `Lexicon` is not."""

    __slots__ = ("_calibration", "_lexicon", "_twin", "thresholds", "version")

    def __init__(self, artefact: bytes, lexicon: Lexicon | None = None) -> None:
        """From an artefact: one line of JSON, then the tables for requests and for toxic language.

        Raises:
            ValueError: it is damaged or of another format.
        """
        head, _, tables = artefact.partition(b"\n")
        meta: dict[str, Any] = orjson.loads(head)
        digest = hashlib.sha256(tables).hexdigest()
        if meta["format"] != _FORMAT or len(tables) != 2 * BUCKETS or meta["sha256"] != digest:
            raise ValueError("the weights of the content classes are damaged or of another format")
        request, toxic = meta["request"], meta["toxic"]
        self._twin: Final = Twin(
            Table(tables[:BUCKETS], request["scale"], request["bias"]),
            Table(tables[BUCKETS:], toxic["scale"], toxic["bias"]),
        )
        scales = {True: (toxic["slope"], toxic["offset"]), False: (request["slope"], request["offset"])}
        words = _WORDS_SLOPE, _WORDS_OFFSET
        self._calibration: Final = tuple(words if name in HARMLESS else scales[name in TOXIC] for name in CLASSES)
        self._lexicon: Final = lexicon or Lexicon()
        self.version: Final[str] = meta["version"]
        #: Recommended by training, in the order of CLASSES.
        self.thresholds: Final = tuple(meta["thresholds"][name] for name in CLASSES)

    @classmethod
    def load(cls) -> "Content":
        """From the artefact in this package. Compiling takes seconds: only where a policy names a class."""
        return cls(resources.files("extproc.detectors.content").joinpath(_ARTEFACT).read_bytes())

    def assess(self, text: str) -> Scores:
        """A score for each class, in the order of CLASSES. Linear in the text's length; never raises on a text."""
        return tuple(
            _probability(slope * each + offset)
            for each, (slope, offset) in zip(self.evidence(text), self._calibration, strict=True)
        )

    def evidence(self, text: str) -> tuple[float, ...]:
        """What lexicon and models see of each class, not yet calibrated."""
        low = plain(text)
        found = self._evidence(low)
        if not text.isascii():
            for view in hidden(text, low):
                found = tuple(map(max, found, self._evidence(view.text)))
        return found

    def _evidence(self, low: str) -> tuple[float, ...]:
        request, toxic, windows = self._twin.scores(low, WINDOW)
        discount = WINDOW_DISCOUNT * math.log(min(windows, WINDOWS_COUNTED))
        models = _bounded(request - discount), _bounded(max(request, toxic) - discount), 0.0
        terms = self._lexicon.scan(low)
        return tuple(
            [term + models[kind] if term else models[kind] - NO_TERM for term, kind in zip(terms, _KIND, strict=True)]
        )


def _bounded(odds: float) -> float:
    return max(-LINEAR_MOST, min(LINEAR_MOST, odds))


def _probability(odds: float) -> float:
    return 1 / (1 + math.exp(-odds)) if odds > -500 else 0.0  # exp overflows beyond 709
