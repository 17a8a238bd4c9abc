"""Stage (c) of the injection cascade: MiniLM and our head, for texts about which stages (a) and (b) are in doubt.

Answers with one finding a text, `injection.transformer`, whose score is a calibrated probability. Whether a text is
worth the question, and what a score means, is policy: this only judges.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from analysis.engine import Item, Verdict
from analysis.head import Head
from analysis.minilm import MiniLM
from analysis.window import Window, cut
from extproc.detectors.injection.assess import Injection
from extproc.detectors.injection.provenance import FOREIGN, TRUSTED
from gateway import advice
from gateway.advice import Advised, Text
from gateway.clock import Clock

RULE: Final = "injection.transformer"
#: Characters of one text that are looked at: their tokens are 30 MB and half a second. Beyond, an answer is partial.
CHARS_MAX: Final = 400_000
#: Windows of one text, the most suspicious ones by stage (b): some 13 ms each. More, and an answer is partial.
WINDOWS_MAX: Final = 16
#: Tokens of one run. Batches gain where windows are short; a run is also how late a deadline can be noticed (60 ms).
_RUN_TOKENS: Final = 512


@dataclass(slots=True)
class _Doubt:
    """One text under judgement."""

    item: int
    text: int
    evidence: float
    foreign: bool
    trusted: bool
    windows: list[Window]
    partial: bool
    worst: float = float("-inf")
    judged: int = 0


@dataclass(slots=True)
class _Open:
    """One item under judgement."""

    doubts: list[_Doubt] = field(default_factory=list)
    windows_left: int = 0


class Transformer:
    """The engine. For one thread: neither the session nor the patterns of stage (a) may be shared."""

    __slots__ = ("_clock", "_first", "_head", "_model")

    name: Final = advice.INJECTION

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
        """Windows of all items, short ones together in one run; an item is answered with its last window."""
        open_ = {number: self._opened(number, item) for number, item in enumerate(items)}
        for number in [number for number, each in open_.items() if not each.windows_left]:
            yield number, self._verdict(open_.pop(number))
        todo = [(doubt, window) for each in open_.values() for doubt in each.doubts for window in doubt.windows]
        todo.sort(key=lambda each: (open_[each[0].item].windows_left, len(each[1].ids)))
        for run in _runs(todo):
            now = self._clock.monotonic()
            timely = [(doubt, window) for doubt, window in run if now < items[doubt.item].due_s]
            if timely:
                odds = self._head.odds(self._model.embed([window.ids for _, window in timely]))
                for (doubt, _), each in zip(timely, odds, strict=True):
                    doubt.worst = max(doubt.worst, float(each))
                    doubt.judged += 1
            for doubt, _ in run:
                open_[doubt.item].windows_left -= 1
            for number in {doubt.item for doubt, _ in run}:
                if not open_[number].windows_left:
                    yield number, self._verdict(open_.pop(number))

    def _opened(self, number: int, item: Item) -> _Open:
        each = _Open()
        for place, text in enumerate(item.texts):
            if text.text.strip():
                doubt = self._doubt(number, place, text)
                each.doubts.append(doubt)
                each.windows_left += len(doubt.windows)
        return each

    def _doubt(self, number: int, place: int, text: Text) -> _Doubt:
        foreign = text.provenance in FOREIGN
        said = text.text[:CHARS_MAX]
        evidence, _, _ = self._first.signs(said, foreign=foreign)
        windows = cut(self._model.tokenizer, said)
        partial = len(text.text) > CHARS_MAX or len(windows) > WINDOWS_MAX
        if len(windows) > WINDOWS_MAX:
            windows.sort(key=lambda window: self._first.signs(said[window.start : window.end], foreign=foreign)[0])
            windows = windows[-WINDOWS_MAX:]
        return _Doubt(number, place, evidence, foreign, text.provenance in TRUSTED, windows, partial)

    def _verdict(self, each: _Open) -> Verdict:
        findings = []
        partial = []
        for doubt in each.doubts:
            if doubt.partial or doubt.judged < len(doubt.windows):
                partial.append(doubt.text)
            if doubt.judged:
                score = self._head.score(doubt.worst, doubt.evidence, foreign=doubt.foreign, trusted=doubt.trusted)
                findings.append(Advised(rule=RULE, text=doubt.text, score=round(score, 4)))
        return Verdict(tuple(findings), tuple(partial))


def _runs(todo: Sequence[tuple[_Doubt, Window]]) -> Iterator[list[tuple[_Doubt, Window]]]:
    """In order, as many as fit into one run; all of a run are padded to its longest."""
    run: list[tuple[_Doubt, Window]] = []
    longest = 0
    for each in todo:
        longest = max(longest, len(each[1].ids))
        if run and longest * (len(run) + 1) > _RUN_TOKENS:
            yield run
            run, longest = [], len(each[1].ids)
        run.append(each)
    if run:
        yield run
