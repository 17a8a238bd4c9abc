"""Content classes as a tenant has them: scores of whole texts, remembered, and which of its rules they fire.

Loads the detector when the first tenant asks for it, so that whoever names no class pays nothing. Decides nothing.
"""

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Final

from extproc.detectors.content.assess import Content, Scores
from extproc.detectors.content.classes import CLASSES
from gateway.policy.model import Mode, RuleSetting

#: Texts whose scores are remembered: as many as verdicts on injection (guardrails.assessor), 250 bytes each.
_REMEMBERED: Final = 8192
_DIGEST_BYTES: Final = 16  # collisions must be out of reach for whoever would smuggle a text under another's scores
#: About 6,000 words: all of a text of many megabytes at once would cost twenty times its size.
_SLICE_CHARS: Final = 32 * 1024
_OVERLAP_CHARS: Final = 1024  # longer than a window of the detector


class Classifier:
    """The detector with a memory of digests, never of texts. One a worker; loaded on first use."""

    def __init__(self, load: Callable[[], Content] = Content.load) -> None:
        self._load: Final = load
        self._content: Content | None = None
        self._scores: dict[bytes, Scores] = {}

    @property
    def content(self) -> Content:
        """The detector. The first use compiles its expressions, which takes seconds."""
        if self._content is None:
            self._content = self._load()
        return self._content

    def scores(self, text: str) -> Scores:
        """A score for each class, at the price of a digest when the text was seen before."""
        key = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES, person=b"content").digest()
        scores = self._scores.get(key)
        if scores is None:
            scores = self._slice_by_slice(text)
            if len(self._scores) >= _REMEMBERED:
                del self._scores[next(iter(self._scores))]  # the oldest
            self._scores[key] = scores
        return scores

    def _slice_by_slice(self, text: str) -> Scores:
        if len(text) <= _SLICE_CHARS:
            return self.content.assess(text)
        step = _SLICE_CHARS - _OVERLAP_CHARS
        worst = self.content.assess(text[:_SLICE_CHARS])
        for start in range(step, len(text), step):
            worst = tuple(map(max, worst, self.content.assess(text[start : start + _SLICE_CHARS])))
        return worst


class Classes:
    """The classes that one tenant's policy names, with their thresholds. Immutable, shared by all its exchanges."""

    __slots__ = ("_classifier", "_thresholds")

    def __init__(self, classifier: Classifier, settings: Mapping[str, RuleSetting]) -> None:
        self._classifier: Final = classifier
        thresholds: list[tuple[int, str, float]] = []
        for place, name in enumerate(CLASSES):
            setting = settings.get(name)
            if setting is None or setting.mode is Mode.OFF:
                continue
            usual = classifier.content.thresholds[place]  # loads here, while a policy is prepared, not in a request
            thresholds.append((place, name, usual if setting.threshold is None else setting.threshold))
        self._thresholds: Final = tuple(thresholds)

    def fired(self, text: str, *, remembered: bool = True) -> tuple[str, ...]:
        """The rules whose class the text reaches, in the order of CLASSES; `remembered`: it may come again."""
        if not self._thresholds:
            return ()
        scores = self._classifier.scores(text) if remembered else self._classifier.content.assess(text)
        return tuple([name for place, name, least in self._thresholds if scores[place] >= least])
