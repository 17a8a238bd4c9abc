"""Stage (c) of the injection cascade: MiniLM and our head, for texts about which stages (a) and (b) are in doubt.

Answers with a finding, `injection.transformer`, for each text above the threshold that training recommends; its score
is a calibrated probability. Whether a text is worth the question, and what a finding means, is policy.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from analysis.engine import Item, Verdict
from analysis.head import Head
from analysis.minilm import MiniLM
from analysis.window import Window, chosen, cut
from extproc.detectors.injection.assess import Injection
from extproc.detectors.injection.provenance import FOREIGN, TRUSTED
from gateway import advice
from gateway.advice import Advised, Text
from gateway.clock import Clock

RULE: Final = "injection.transformer"
#: Characters of one text that are looked at: their tokens are 30 MB and half a second. Beyond, an answer is partial.
CHARS_MAX: Final = 400_000


@dataclass(frozen=True, slots=True)
class _Doubt:
    """One text to judge."""

    text: int
    evidence: float  # of stages (a) and (b)
    foreign: bool
    trusted: bool
    windows: list[Window]
    partial: bool


class Transformer:
    """The engine. For one thread: neither the session nor the patterns of stage (a) may be shared."""

    __slots__ = ("_clock", "_first", "_head", "_model")

    name: ClassVar[str] = advice.INJECTION

    def __init__(self, model: MiniLM, head: Head, first: Injection, clock: Clock) -> None:
        self._model: Final = model
        self._head: Final = head
        self._first: Final = first
        self._clock: Final = clock

    @classmethod
    def load(cls, threads: int, clock: Clock) -> "Transformer":
        """From the installed packages and the artefacts of this repository.

        Raises:
            WeightsError: the packages are not installed, or are others.
            HeadError: the artefact is damaged.
        """
        return cls(MiniLM.load(threads), Head.load(), Injection.load(), clock)

    def judge(self, items: Sequence[Item]) -> Iterator[tuple[int, Verdict]]:
        """Short items first: a long one must not keep them waiting.

        Each window is a run of its own. Eight-bit steps are chosen for a run as a whole: a text that ran with others
        would be judged a little differently by what those say, and on one core company saves next to nothing.
        """
        opened = [
            [self._doubt(place, text) for place, text in enumerate(item.texts) if text.text.strip()] for item in items
        ]
        for number in sorted(range(len(items)), key=lambda each: sum(len(doubt.windows) for doubt in opened[each])):
            yield number, self._verdict(opened[number], items[number].due_s)

    def _doubt(self, place: int, text: Text) -> _Doubt:
        foreign = text.provenance in FOREIGN
        said = text.text[:CHARS_MAX]
        evidence, _, _ = self._first.signs(said, foreign=foreign)
        windows = cut(self._model.tokenizer, said)
        spans = [(window.start, window.end) for window in windows]
        judged = [windows[at] for at in chosen(said, spans, lambda part: self._first.signs(part, foreign=foreign)[0])]
        partial = len(text.text) > CHARS_MAX or len(windows) > len(judged)
        return _Doubt(place, evidence, foreign, text.provenance in TRUSTED, judged, partial)

    def _verdict(self, doubts: Sequence[_Doubt], due_s: float) -> Verdict:
        findings = []
        partial = []
        for doubt in doubts:
            odds = []
            for window in doubt.windows:
                if self._clock.monotonic() >= due_s:
                    break
                odds.append(float(self._head.odds(self._model.embed([window.ids]))[0]))
            if doubt.partial or len(odds) < len(doubt.windows):
                partial.append(doubt.text)
            if odds:
                score = self._head.score(max(odds), doubt.evidence, foreign=doubt.foreign, trusted=doubt.trusted)
                if score >= self._head.thresholds[doubt.foreign]:
                    findings.append(Advised(rule=RULE, text=doubt.text, score=round(score, 4)))
        return Verdict(tuple(findings), tuple(partial))
