"""Is this text an attempt to take over the model? Patterns and the linear model together, as one probability.

Pure after `load`: no I/O, no clock, no randomness. Says how likely, never what to do about it: thresholds are policy.
"""

import hashlib
import math
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

import orjson

from extproc.detectors.injection.expressions import DELIMITER, ENCODED, TOOL_COMMAND
from extproc.detectors.injection.linear import BUCKETS, Linear
from extproc.detectors.injection.normalise import Opening, View, plain
from extproc.detectors.injection.patterns import Patterns
from extproc.detectors.injection.provenance import FOREIGN, TRUSTED, Provenance
from extproc.detectors.injection.unfold import unfold

#: Windows in words. A user's prompt is mostly one thing; a document hides a sentence, which a smaller window shows
#: better (recall 0.30 -> 0.42 on synth-indirect left out, model card).
WINDOW_USER: Final = 48
WINDOW_FOREIGN: Final = 24
#: Evidence of the first rule that fires, in the linear model's log-odds, and of each further one. Not fitted: on
#: sources that it knows the linear model sees what the rules see, and a fit would find them worthless where they matter
#: most, on unknown ones. Chosen leaving sources out.
RULE: Final = 4.0
FURTHER_RULE: Final = 1.0
#: The worst of many windows is high by chance alone. Taken off for each factor of e in windows, up to a number of
#: windows that padding cannot exceed. What users write is honest at any length: roles, rules and prohibitions over
#: hundreds of words, of which 0.5 instead of 0.3 calls a quarter fewer attacks, for 0.03 of recall on long attacks
#: (model card). A document that is long for no reason but to hide an order must not gain by it.
WINDOW_DISCOUNT_USER: Final = 0.5
WINDOW_DISCOUNT_FOREIGN: Final = 0.3
WINDOWS_COUNTED: Final = 64
#: Recall, mean of three sources left out, at the same false positives: 0.43 with -0.15, 0.47 with 0, 0.49 with 0.15.
GROWTH: Final = 0.15
#: Log-odds taken off what the tenant wrote itself: "never reveal these instructions" is its daily bread. Not fitted,
#: there is no data: it takes two strong signs instead of one to reach a threshold.
TRUSTED_DISCOUNT: Final = 3.0
_ARTEFACT: Final = "weights.bin"
_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Assessment:
    """What is known about one text."""

    score: float  # calibrated probability, 0 to 1
    patterns: tuple[str, ...]  # stable ids of the rules that fired, sorted
    windows: int  # looked at by the linear model, over all views


@dataclass(frozen=True, slots=True)
class Calibration:
    """Platt's scaling: evidence to the log-odds of an attack, where attacks and benign texts are equally many."""

    slope: float
    offset: float


class Injection:
    """Stages (a) and (b). One a worker; not for concurrent threads, as `Patterns` is not."""

    __slots__ = ("_foreign", "_linear", "_patterns", "_user", "thresholds", "version")

    def __init__(
        self,
        linear: Linear,
        user: Calibration,
        foreign: Calibration,
        version: str,
        thresholds: tuple[float, float] = (1.0, 1.0),
    ) -> None:
        self._linear: Final = linear
        self._patterns: Final = Patterns()
        self._user: Final = user
        self._foreign: Final = foreign
        self.version: Final = version
        #: Recommended by training: for users' texts, and for those of tools and documents.
        self.thresholds: Final = thresholds

    @classmethod
    def load(cls) -> "Injection":
        """From the artefact in this package. Raises ValueError if it is damaged: no weights, no guard."""
        return cls.read(resources.files("extproc.detectors.injection").joinpath(_ARTEFACT).read_bytes())

    @classmethod
    def read(cls, artefact: bytes) -> "Injection":
        """From an artefact: one line of JSON, then the table."""
        head, _, table = artefact.partition(b"\n")
        meta: dict[str, Any] = orjson.loads(head)
        digest = hashlib.sha256(table).hexdigest()
        if meta["format"] != _FORMAT or len(table) != BUCKETS or meta["sha256"] != digest:
            raise ValueError("the weights of the injection detector are damaged or of another format")
        linear = Linear(table, meta["scale"], meta["bias"], GROWTH)
        thresholds = meta["thresholds"]["user"], meta["thresholds"]["foreign"]
        return cls(linear, _calibration(meta["user"]), _calibration(meta["foreign"]), meta["version"], thresholds)

    def assess(self, text: str, provenance: Provenance) -> Assessment:
        """How likely `text` is an attack, given who wrote it. Linear in its length."""
        foreign = provenance in FOREIGN
        evidence, fired, windows = self.signs(text, foreign=foreign)
        scale = self._foreign if foreign else self._user
        odds = scale.slope * evidence + scale.offset
        if provenance in TRUSTED:
            odds -= TRUSTED_DISCOUNT
        return Assessment(_probability(odds), tuple(sorted(fired)) if fired else (), windows)

    def signs(self, text: str, *, foreign: bool) -> tuple[float, set[str], int]:
        """What both stages see, not yet calibrated: evidence, the rules that fired, windows."""
        low = plain(text)
        fired, gates = self._patterns.scan(low)
        worst, windows = self._weigh(low, foreign=foreign)
        if gates or not text.isascii():
            for view, shown in unfold(text, low, gates, self._patterns.scan):
                if view.opening is Opening.JSON:
                    shown.discard(DELIMITER)  # turns inside a JSON string are how transcripts are kept
                odds, more = self._weigh(view.text, foreign=foreign)
                worst, windows = max(worst, odds), windows + more
                if _was_hidden(view, shown - fired):
                    fired.add(ENCODED)
                fired |= shown
        if not foreign:
            fired.discard(TOOL_COMMAND)  # to call a tool is what users ask for
        if fired:
            worst += RULE + FURTHER_RULE * (len(fired) - 1)
        return worst, fired, windows

    def _weigh(self, low: str, *, foreign: bool) -> tuple[float, int]:
        odds, windows = self._linear.score(low, WINDOW_FOREIGN if foreign else WINDOW_USER)
        if windows > 1:
            discount = WINDOW_DISCOUNT_FOREIGN if foreign else WINDOW_DISCOUNT_USER
            odds -= discount * math.log(min(windows, WINDOWS_COUNTED))
        return odds, windows


def _was_hidden(view: View, news: set[str]) -> bool:
    """Whether an encoding concealed something on purpose: rules that fire only when it is opened are a sign of that.

    Not so for the escapes of quotes and ends of lines, which whatever writes JSON has to write.
    """
    if view.opening is Opening.JSON:
        return False
    return view.opening in {Opening.TAGS, Opening.SELECTORS} or bool(news - {TOOL_COMMAND})


def _calibration(meta: dict[str, Any]) -> Calibration:
    return Calibration(meta["slope"], meta["offset"])


def _probability(odds: float) -> float:
    return 1 / (1 + math.exp(-odds)) if odds > -500 else 0.0  # exp overflows beyond 709
