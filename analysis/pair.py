"""What two questions have in common and what they have not, as numbers. Pure; `analysis.verdict` judges.

Everything is the same whichever of the two comes first. How rare a token is, is told by its place in BERT's vocabulary,
which is ordered by how often its words are used.
"""

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, Final

import numpy as np

from analysis.head import Floats

_APOSTROPHE: Final = "\u2019"
_WORD: Final = re.compile(rf"[^\W_]+(?:['{_APOSTROPHE}][^\W_]+)?")
_NUMBER: Final = re.compile(r"\d+(?:[.,]\d+)*")
#: Behind another word, so that the first word of a sentence is no name. "I" is none either.
_NAME: Final = re.compile(r"(?<=[^.?!\s])\s+((?!I\b)[A-Z]\w*)")
_DENYING: Final = "no not never none nobody nothing neither nor without cannot"
_ASKING: Final = ("how", "what", "why", "which", "when", "who", "where")
_OPENING: Final = "is are do does did can could should will would if has have was were"
#: Words that say little of what is asked.
_LITTLE: Final = (
    "a an the of in on at to for and or is are was were be been do does did i you we they he she it my your our his "
    "her their me us them this that these those with from by as there so if then than s t can could should would will "
    "may might must have has had what which who whom how why when where about into any some get"
)
#: Words of one kind: a question with any of them and one with none ask for different things.
_KINDS: Final = (
    "best good top better great",
    "way ways how method methods",
    "difference differences differ different",
    "mean meaning means",
    "get become buy find",
    "much many long far often",
    "reverse opposite before after similar",
    "some any examples",
    "you",
    "i",
)
_NO: Final = frozenset(_DENYING.split())
_OPENS: Final = frozenset((*_ASKING, *_OPENING.split()))
_SMALL: Final = frozenset(_LITTLE.split())
_KIND: Final = tuple(frozenset(words.split()) for words in _KINDS)
_ENDINGS: Final = ("ingly", "edly", "ings", "ing", "ies", "ied", "es", "ed", "ly", "s")
_STEM: Final = 3  # letters that are left, at least
_MARKS: Final = 1000  # tokens before this one are marks and single letters
_SCALE: Final = 3.0  # some tokens of a rarity of ten become numbers as large as the others
#: A token of a lower rank is a small word or a mark.
_COMMON: Final = math.log(2000)


@dataclass(slots=True)
class Words:
    """Vectors and rarity of BERT's tokens."""

    vectors: Any  # (tokens, width), of unit length around their mean
    rarity: Floats

    @classmethod
    def of(cls, table: Floats) -> "Words":
        """From the model's table of word embeddings."""
        centred = table - table[_MARKS:].mean(axis=0)
        unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)
        return cls(unit.astype(np.float16), np.log1p(np.arange(len(table), dtype=np.float32)))


@dataclass(eq=False)
class Reading:
    """One question, read. `vectors`: means of MiniLM's last and third layer, each of unit length."""

    text: str = field(repr=False)
    ids: Any = field(repr=False)  # tokens, without the marks around them
    vectors: Floats = field(repr=False)

    @cached_property
    def words(self) -> list[str]:
        """In lower case."""
        return [word.lower() for word in _WORD.findall(self.text)]

    @cached_property
    def stems(self) -> list[str]:
        """Words without their endings."""
        return [_stem(word) for word in self.words]

    @cached_property
    def said(self) -> frozenset[str]:
        """Stems of words that say something."""
        return frozenset(stem for stem, word in zip(self.stems, self.words, strict=True) if word not in _SMALL)

    @cached_property
    def numbers(self) -> list[str]:
        """In any order."""
        return sorted(_NUMBER.findall(self.text))

    @cached_property
    def denies(self) -> bool:
        """Whether it has a word of denial."""
        return any(word in _NO or word.endswith(("n't", f"n{_APOSTROPHE}t")) for word in self.words)

    @cached_property
    def names(self) -> frozenset[str]:
        """Words with a capital inside a sentence."""
        return frozenset(name.lower() for name in _NAME.findall(self.text))

    @cached_property
    def grams(self) -> Counter[str]:
        """Three letters each."""
        text = f" {' '.join(self.words)} "
        return Counter(text[at : at + 3] for at in range(len(text) - 2))

    @cached_property
    def opening(self) -> str:
        """Its first word of those that open a question."""
        return next((word for word in self.words if word in _OPENS), "")


def vetoed(one: Reading, other: Reading) -> bool:
    """Whether the two differ in numbers or in denial: then no likeness makes them one."""
    return one.numbers != other.numbers or one.denies != other.denies


def features(one: Reading, other: Reading, words: Words) -> list[float]:
    """The numbers, always in the same order."""
    told = [float(a @ b) for a, b in zip(one.vectors, other.vectors, strict=True)]
    return [*told, *_of_tokens(one, other, words), *_of_words(one, other), *_of_form(one, other)]


def wide(one: Reading, other: Reading, words: Words) -> Floats:
    """How the two lie to each other, number by number: both vectors, and what each has that the other lacks."""
    a, b = one.vectors, other.vectors
    lacking = [_lacking(*each, words) for each in ((one, other), (other, one))]
    left = np.array([lacking[0] + lacking[1], lacking[0] * lacking[1]])
    return np.concatenate([np.abs(a - b), a * b, left]).ravel()


def _lacking(one: Reading, other: Reading, words: Words) -> Floats:
    """The tokens that only the first has, together, rare ones more."""
    there = set(other.ids.tolist())
    alone = [int(each) for each in one.ids if int(each) not in there]
    return (words.vectors[alone].astype(np.float32) * words.rarity[alone][:, None]).sum(axis=0) / _SCALE


def _of_tokens(one: Reading, other: Reading, words: Words) -> list[float]:
    """Tokens that have no partner, by how rare they are and how near the nearest of the other question is."""
    a, b = (each.ids if len(each.ids) else np.array([_MARKS]) for each in (one, other))
    near = words.vectors[a].astype(np.float32) @ words.vectors[b].astype(np.float32).T
    rare_a, rare_b = words.rarity[a], words.rarity[b]
    best_a, best_b = near.max(axis=1), near.max(axis=0)
    left_a, left_b = ((1 - best) * rare for best, rare in ((best_a, rare_a), (best_b, rare_b)))
    means = [float((best_a * rare_a).sum() / rare_a.sum()), float((best_b * rare_b).sum() / rare_b.sum())]
    bags = [
        (words.vectors[ids].astype(np.float32) * rare[:, None]).sum(axis=0) for ids, rare in ((a, rare_a), (b, rare_b))
    ]
    told = [
        *_most_least(float(left_a.max()), float(left_b.max())),
        *_most_least(float(left_a.sum()), float(left_b.sum())),
        *_most_least(*means),
        _cosine(*bags),
    ]
    set_a, set_b = set(a.tolist()), set(b.tolist())
    only_a, only_b = ([float(words.rarity[each]) for each in only] for only in (set_a - set_b, set_b - set_a))
    both = [float(words.rarity[each]) for each in set_a & set_b]
    told += _most_least(max(only_a, default=0.0), max(only_b, default=0.0))
    told += _most_least(sum(only_a), sum(only_b))
    told += [sum(both), max(both, default=0.0), sum(both) / max(1e-6, sum(both) + sum(only_a) + sum(only_b))]
    rest_a = [int(each) for each in a if each not in set_b and words.rarity[each] > _COMMON]
    rest_b = [int(each) for each in b if each not in set_a and words.rarity[each] > _COMMON]
    told += _most_least(len(rest_a), len(rest_b))
    if rest_a and rest_b:
        told.append(_cosine(*(words.vectors[rest].astype(np.float32).sum(axis=0) for rest in (rest_a, rest_b))))
    else:
        told.append(1.0 if not rest_a and not rest_b else -0.5)
    return told


def _of_words(one: Reading, other: Reading) -> list[float]:
    """Words, stems and letters that the two share."""
    told = [_shared(set(one.words), set(other.words)), _shared(set(one.stems), set(other.stems))]
    only_a, only_b, both = one.said - other.said, other.said - one.said, one.said & other.said
    told += [_shared(set(one.said), set(other.said)), len(both), *_most_least(len(only_a), len(only_b))]
    told.append(len(both) / max(1, min(len(one.said), len(other.said))))
    a, b = one.grams, other.grams
    lengths = math.sqrt(sum(n * n for n in a.values()) * sum(n * n for n in b.values()))
    told.append(sum(n * b[gram] for gram, n in a.items() if gram in b) / (lengths or 1.0))
    told.append(_shared(set(pairwise(one.stems)), set(pairwise(other.stems))))
    in_a, in_b = set(one.stems), set(other.stems)
    told.append([stem for stem in one.stems if stem in in_b] == [stem for stem in other.stems if stem in in_a])
    told += [in_a == in_b, one.said == other.said, one.said <= other.said or other.said <= one.said]
    longest = max(len(one.stems), len(other.stems), 1)
    told.append(_agreed(one.stems, other.stems) / longest)
    told.append(_agreed(one.stems[::-1], other.stems[::-1]) / longest)
    return [float(each) for each in told]


def _of_form(one: Reading, other: Reading) -> list[float]:
    """Numbers, denial, names, kinds of questions, lengths."""
    in_a, in_b = set(one.words), set(other.words)
    told: list[float] = [one.numbers != other.numbers, bool(one.numbers or other.numbers), one.denies != other.denies]
    new_a, new_b = one.names - in_b, other.names - in_a
    told += [bool(new_a or new_b), bool(new_a and new_b), len(new_a | new_b)]
    told.append(len((one.names & in_b) | (other.names & in_a)))
    told += [bool(one.opening) and one.opening == other.opening, one.words[:1] == other.words[:1]]
    told.append(one.stems[-1:] == other.stems[-1:])
    told += [(word in in_a) != (word in in_b) for word in _ASKING]
    told += [bool(kind & in_a) != bool(kind & in_b) for kind in _KIND]
    a, b = len(one.words), len(other.words)
    told += [*_most_least(a, b), min(a, b) / max(1, a, b), abs(a - b)]
    told.append(abs(one.text.count("?") - other.text.count("?")))
    return [float(each) for each in told]


def _most_least(a: float, b: float) -> tuple[float, float]:
    return (a, b) if a >= b else (b, a)


def _shared(a: set[Any], b: set[Any]) -> float:
    return len(a & b) / max(1, len(a | b))


def _agreed(a: list[str], b: list[str]) -> int:
    """How many are the same from the start."""
    for at, (mine, yours) in enumerate(zip(a, b, strict=False)):
        if mine != yours:
            return at
    return min(len(a), len(b))


def _cosine(a: Floats, b: Floats) -> float:
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-9))


def _stem(word: str) -> str:
    word = word.replace(_APOSTROPHE, "'").removesuffix("'s")
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _STEM:
            return word[: -len(ending)]
    return word
