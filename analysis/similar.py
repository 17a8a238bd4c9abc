"""The index of answered questions: puts, drops, and finds the one that asks the same in other words. Sees no answer."""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Final

import numpy as np

from analysis.engine import Asked, Item, Told, Verdict
from analysis.index import Index
from analysis.minilm import MiniLM, archive, graph, unpacked
from analysis.neighbours import Kept, Neighbours
from analysis.pair import Reading, Words
from analysis.verdict import Verdict as Judge
from analysis.window import cut
from gateway import similar
from gateway.clock import Clock

#: Of MiniLM: the last one says what a text is about, the third how that is said (docs/models/similar.md).
LAYERS: Final = (6, 3)
#: Nearest questions that are judged, a quarter of a millisecond each, until one is the same.
JUDGED: Final = 3


class Similar:
    """The engine. For one thread, which alone has the index."""

    __slots__ = ("_clock", "_index", "_judge", "_model", "_words")

    name: ClassVar[str] = similar.ENGINE

    def __init__(self, model: MiniLM, words: Words, judge: Judge, clock: Clock, index: Index | None = None) -> None:
        self._model: Final = model
        self._words: Final = words
        self._judge: Final = judge
        self._clock: Final = clock
        self._index: Final[Index] = Neighbours() if index is None else index

    @classmethod
    def load(cls, threads: int, clock: Clock, index: Index | None = None) -> "Similar":
        """From the installed packages and the artefact of this repository. Without `index`: in memory.

        Raises:
            WeightsError: the packages are not installed, or are others.
            VerdictError: the artefact is damaged.
        """
        weights, tokenizer = unpacked(archive())
        words = Words.of(weights["embeddings.word_embeddings.weight"])
        return cls(MiniLM(graph(weights, LAYERS), tokenizer, threads), words, Judge.load(), clock, index)

    def judge(self, items: Sequence[Item]) -> Iterator[tuple[int, Verdict]]:
        """In their order: what was put first is found by what was asked later."""
        for number, item in enumerate(items):
            if isinstance(item, Asked):
                yield number, Told(near=self._told(item.question, item.due_s))

    def _told(self, asked: similar.Question, due_s: float) -> similar.Near:
        match asked:
            case similar.Find():
                return self._find(asked, due_s)
            case similar.Put():
                self._put(asked, due_s)
            case similar.Drop():
                self._index.drop(asked.tenant, asked.partition, asked.name, due_s)
        return similar.Near(schema=similar.SCHEMA)

    def _find(self, asked: similar.Find, due_s: float) -> similar.Near:
        nothing = similar.Near(schema=similar.SCHEMA)
        if not self._index.holds(asked.tenant, asked.partition, due_s):
            return nothing
        mine = reading(self._model, asked.text)
        now_s = self._clock.monotonic()
        for each in self._index.near(asked.tenant, asked.partition, mine.vectors[0], now_s, JUDGED, due_s):
            ids = tokens(self._model, each.kept.text)
            likeness = self._judge.likeness(mine, Reading(each.kept.text, ids, each.vectors), self._words)
            if likeness >= self._judge.thresholds[asked.likeness]:
                return similar.Near(schema=similar.SCHEMA, name=each.kept.name, likeness=min(round(likeness, 4), 1.0))
        return nothing

    def _put(self, asked: similar.Put, due_s: float) -> None:
        kept = Kept(asked.name, asked.text, self._clock.monotonic() + asked.life_s)
        vectors = reading(self._model, asked.text).vectors
        self._index.put(asked.tenant, asked.partition, kept, vectors, asked.entries, due_s)


def reading(model: MiniLM, text: str) -> Reading:
    """A question as the judge of pairs sees it: of one that is too long for the model, the beginning."""
    ids = cut(model.tokenizer, text)[0].ids
    means = model.embed([ids])[0]
    unit = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9)
    return Reading(text, np.array(ids[1:-1], dtype=np.int64), unit)


def tokens(model: MiniLM, text: str) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """The same tokens as `reading`'s."""
    return np.array(cut(model.tokenizer, text)[0].ids[1:-1], dtype=np.int64)
