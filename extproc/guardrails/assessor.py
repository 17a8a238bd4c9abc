"""One tenant's view of whole texts, prompt injection and content classes: what is judged, what becomes of the verdict.

Detectors say how likely (`extproc.detectors.injection`, `.content`); here thresholds and policy make findings of it. A
whole request is judged before any of it leaves, so there is nothing to stream. Cannot redact: a text that is an attack
as a whole has no span to replace, so REDACT is carried out as FLAG, and only BLOCK blocks.
"""

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Final

from extproc.detectors.injection.assess import Assessment, Injection
from extproc.detectors.injection.provenance import FOREIGN, Provenance
from extproc.guardrails.classifier import Classes, Classifier
from extproc.guardrails.guard import WHOLE_TEXT_IDS, Tally
from gateway.policy.model import Action, Mode, RuleSetting

#: The linear model and the patterns together, above the threshold that was frozen in training (model card).
MODEL_ID: Final = "injection.model"
#: Between these probabilities the linear model may be wrong either way (docs/models/transformer.md, "grey zone"): the
#: transformer of `ostiary analyse` decides, where policy has it. Not of what tools and documents say: there it finds
#: less, left out and measured, than the linear model does.
DOUBT: Final = (0.3191, 0.9407)
#: Verdicts that are remembered. A conversation is sent again with every turn; a verdict takes about 200 bytes.
_REMEMBERED: Final = 8192
_DIGEST_BYTES: Final = 16  # collisions must be out of reach for whoever would smuggle a text under another's verdict
#: About 6,000 words; the detector counts at most 64 windows of 48.
_SLICE_CHARS: Final = 32 * 1024
_OVERLAP_CHARS: Final = 1024  # longer than any expression of the detector reaches, and than a window

Position = tuple[Provenance, str]


class Memory:
    """The detector with a memory of digests, never of texts. One a worker."""

    def __init__(self, injection: Injection) -> None:
        self._injection: Final = injection
        self._verdicts: dict[bytes, Assessment] = {}
        self.thresholds: Final = injection.thresholds

    def assess(self, text: str, provenance: Provenance) -> Assessment:
        """The verdict on a text, at the price of a digest when it was given before."""
        digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES, person=provenance.encode())
        key = digest.digest()
        verdict = self._verdicts.get(key)
        if verdict is None:
            verdict = self._slice_by_slice(text, provenance)
            if len(self._verdicts) >= _REMEMBERED:
                del self._verdicts[next(iter(self._verdicts))]  # the oldest
            self._verdicts[key] = verdict
        return verdict

    def look(self, text: str, provenance: Provenance) -> Assessment:
        """The verdict on a short text that does not come again."""
        return self._injection.assess(text, provenance)

    def threshold(self, provenance: Provenance) -> float:
        """From which score on a text counts as an attack."""
        return self.thresholds[provenance in FOREIGN]

    def _slice_by_slice(self, text: str, provenance: Provenance) -> Assessment:
        """The worst verdict on overlapping slices: words of many megabytes at once would cost twenty times their size.

        A slice holds more windows than the detector's discount for many windows counts, so slicing changes no score.
        """
        if len(text) <= _SLICE_CHARS:
            return self._injection.assess(text, provenance)
        score, windows, fired = 0.0, 0, set[str]()
        for start in range(0, len(text), _SLICE_CHARS - _OVERLAP_CHARS):
            verdict = self._injection.assess(text[start : start + _SLICE_CHARS], provenance)
            score, windows = max(score, verdict.score), windows + verdict.windows
            fired.update(verdict.patterns)
        return Assessment(score, tuple(sorted(fired)), windows)


class Assessor:
    """A tenant's rules on whole texts. Immutable, shared by all its exchanges."""

    def __init__(self, memory: Memory, classifier: Classifier, settings: Mapping[str, RuleSetting]) -> None:
        self._memory: Final = memory
        self._classes: Final = Classes(classifier, settings)
        self._settings: Final = {
            rule: setting
            for rule, setting in settings.items()
            if rule in WHOLE_TEXT_IDS and setting.mode is not Mode.OFF
        }
        self._injection: Final = any(rule.startswith("injection.") for rule in self._settings)

    def judge(self, positions: Iterable[Position], tally: Tally, doubtful: list[Position] | None = None) -> str | None:
        """Tally every rule that fires once a text; return the first that policy blocks on, if any.

        With `doubtful`, texts between the bounds of doubt go there, and the linear model's word on them is not counted:
        somebody who knows better is asked (and `judge` again, without `doubtful`, if nobody answers).
        """
        if not self._settings:
            return None
        blocked: str | None = None
        for provenance, text in positions:
            fired = self._injected(provenance, text, doubtful) if self._injection else ()
            for rule in (*fired, *self._classes.fired(text)):
                setting = self._settings.get(rule)
                if setting is None:
                    continue
                tally.add(rule)
                if setting.mode is Mode.ENFORCE and setting.action is Action.BLOCK and blocked is None:
                    blocked = rule
        return blocked

    def model_only(self, positions: Iterable[Position], tally: Tally) -> str | None:
        """The linear model's word on texts that were doubtful, when nobody knew better."""
        setting = self._settings.get(MODEL_ID)
        fired = [text for provenance, text in positions if MODEL_ID in self._injected(provenance, text, None)]
        if setting is None or not fired:
            return None
        for _ in fired:
            tally.add(MODEL_ID)
        return MODEL_ID if setting.mode is Mode.ENFORCE and setting.action is Action.BLOCK else None

    def _injected(self, provenance: Provenance, text: str, doubtful: list[Position] | None) -> tuple[str, ...]:
        verdict = self._memory.assess(text, provenance)
        if doubtful is not None and provenance not in FOREIGN and DOUBT[0] <= verdict.score < DOUBT[1]:
            doubtful.append((provenance, text))
            return verdict.patterns
        above = verdict.score >= self._memory.thresholds[provenance in FOREIGN]
        return (*verdict.patterns, MODEL_ID) if above else verdict.patterns
