"""How often two questions that look alike have the same answer: what a cache of similar questions would get wrong.

Usage: `python -m tools.evaluate.likeness PAIRS.jsonl [--every N] [--json FILE]` where `make analysis` was run. Prints
Markdown. Each line of the file has `text_a`, `text_b` and `label` (1: the same question). Thresholds are read off here;
nothing is trained.
"""

import argparse
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from analysis.head import Floats
from analysis.minilm import MiniLM
from analysis.window import cut

#: The layer whose mean is the sentence's vector (model card of all-MiniLM-L6-v2).
LAST: Final = 6
#: Share of the pairs that the cache would answer: from "hardly ever" to more than is wanted of one.
RATES: Final = (0.03, 0.05, 0.075, 0.10, 0.15, 0.20)
_WORD: Final = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")
_NUMBER: Final = re.compile(
    r"\d+(?:[.,]\d+)*\s?%?(?:\s?(?:[ap]m|[kmg]b|[kcm]?m|kg|g|lbs?|ft|mph|years?|days?|hours?)\b)?", re.IGNORECASE
)
#: Behind another word, so that the first word of a sentence is no name. "I" is none either.
_NAME: Final = re.compile(r"(?<=[^.?!\s])\s+((?!I\b)[A-Z]\w*)")
_NO: Final = frozenset(
    {
        *("no", "not", "never", "none", "nobody", "nothing", "neither", "nor", "without", "cannot"),
        *("can't", "don't", "doesn't", "didn't", "won't", "isn't", "aren't", "wasn't", "weren't", "shouldn't"),
        *("wouldn't", "couldn't", "hasn't", "haven't", "hadn't", "ain't"),
    }
)
_LOOKUPS: Final = 200


@dataclass(frozen=True, slots=True)
class Pair:
    """Two questions."""

    one: str
    other: str
    same: bool  # as people said


def vetoes(pair: Pair) -> frozenset[str]:
    """In what the two differ that changes an answer: numbers with their units, negation, names."""
    words = [set(_WORD.findall(text.lower())) for text in (pair.one, pair.other)]
    names = [{name.lower() for name in _NAME.findall(text)} for text in (pair.one, pair.other)]
    numbers = [
        sorted(found.replace(" ", "").lower() for found in _NUMBER.findall(text)) for text in (pair.one, pair.other)
    ]
    found = set()
    if numbers[0] != numbers[1]:
        found.add("number")
    if bool(words[0] & _NO) != bool(words[1] & _NO):
        found.add("negation")
    if names[0] - words[1] or names[1] - words[0]:
        found.add("name")
    return frozenset(found)


def alike(pair: Pair) -> bool:
    """Whether the two are word for word the same: an exact tier of another spelling."""
    return _WORD.findall(pair.one.lower()) == _WORD.findall(pair.other.lower())


def curve(scores: Floats, same: Sequence[bool], vetoed: Sequence[bool]) -> list[dict[str, float]]:
    """For each rate of hits, the threshold that gives it, and how many of the hits are wrong."""
    judged = np.where(np.array(vetoed), -1.0, scores)
    order = np.argsort(-judged, kind="stable")
    truth = np.array(same)[order]
    told = []
    for rate in RATES:
        hits = int(rate * len(order))
        if hits and judged[order[hits - 1]] > 0:
            wrong = 1 - float(truth[:hits].mean())
            told.append({"rate": rate, "threshold": round(float(judged[order[hits - 1]]), 3), "wrong": round(wrong, 3)})
    return told


def evaluate(pairs: Sequence[Pair], model: MiniLM) -> dict[str, Any]:
    """Curves with and without vetoes."""
    scores = np.array([_cosine(model, pair) for pair in pairs], dtype=np.float32)
    same = [pair.same for pair in pairs]
    found = [vetoes(pair) for pair in pairs]
    ways: Mapping[str, list[bool]] = {
        "cosine alone": [False] * len(pairs),
        "numbers, negation": [bool(each & {"number", "negation"}) for each in found],
        "numbers, negation, names": [bool(each) for each in found],
    }
    spelt = [pair.same for pair in pairs if alike(pair)]
    return {
        "pairs": len(pairs),
        "same": sum(same),
        "spelt_alike": len(spelt),
        "spelt_alike_same": sum(spelt),
        "curves": {name: curve(scores, same, vetoed) for name, vetoed in ways.items()},
    }


def _cosine(model: MiniLM, pair: Pair) -> float:
    one, other = (vector(model, text) for text in (pair.one, pair.other))
    return float(one @ other)


def vector(model: MiniLM, text: str) -> Floats:
    """A text's vector, of length 1."""
    mean = model.embed([cut(model.tokenizer, text)[0].ids])[0, 0]
    return np.asarray(mean / np.linalg.norm(mean), dtype=np.float32)


def lookup_ms(entries: int) -> float:
    """The median time of finding the nearest of so many vectors, in memory, by one thread or as many as numpy takes."""
    drawn = np.random.default_rng(7)
    shelf = drawn.standard_normal((entries, 384), dtype=np.float32)
    times = []
    for _ in range(_LOOKUPS):
        asked = drawn.standard_normal(384, dtype=np.float32)
        began = time.perf_counter()
        int((shelf @ asked).argmax())
        times.append(time.perf_counter() - began)
    return round(float(np.median(times)) * 1000, 2)


def page(told: Mapping[str, Any]) -> str:
    """A table for people."""
    spelt = f"{told['spelt_alike']} are word for word the same, {told['spelt_alike_same']} of these by the labels too"
    lines = [
        f"{told['pairs']} pairs, {told['same']} of them the same question; {spelt}.",
        "",
        "| wrong hits at a hit rate of | " + " | ".join(f"{rate:.1%}" for rate in RATES) + " |",
        "|---|" + "---|" * len(RATES),
    ]
    for name, points in told["curves"].items():
        at = {point["rate"]: point for point in points}
        cells = [f"{at[rate]['wrong']:.1%} ({at[rate]['threshold']})" if rate in at else "" for rate in RATES]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Evaluate and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--every", type=int, default=1, help="only each Nth pair")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with arguments.pairs.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for number, line in enumerate(lines) if number % arguments.every == 0]
    pairs = [Pair(row["text_a"], row["text_b"], bool(row["label"])) for row in rows]
    told = evaluate(pairs, MiniLM.load(kept=(LAST,)))
    told["lookup_ms_100000"] = lookup_ms(100_000)
    print(page(told))
    print(f"\nThe nearest of 100,000 vectors takes {told['lookup_ms_100000']} ms (median).")
    if arguments.json:
        arguments.json.write_text(json.dumps(told, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
