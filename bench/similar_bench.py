"""How long the index of questions takes to find one of 100,000, step by step: reading it, searching, judging.

Usage: `python -m bench.similar_bench [--entries N] [--redis8 URL] [--json FILE]` where `make analysis` was run. Questions
are put together from a list of words, seeded; all lie in one place, which is the worst case. With a URL the index lies in
the vector sets of a Redis 8 there, which is emptied.
"""

import argparse
import asyncio
import json
import random
import resource
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from analysis.index import Index
from analysis.minilm import MiniLM, archive, graph, unpacked
from analysis.neighbours import Kept, Neighbours
from analysis.pair import Reading, Words
from analysis.similar import JUDGED, LAYERS, reading, tokens
from analysis.vectorset import ANSWER_BYTES, VectorSet
from analysis.veil import Veil
from analysis.verdict import Verdict
from gateway.clock import SystemClock
from gateway.script import Pipe
from gateway.valkey import connect

SEED: Final = 20261122
_LOOKUPS: Final = 500
_WARM: Final = 50
_LIFE_S: Final = 86_400.0
_PLACE: Final = "p"
_READ: Final = 2000  # questions that the model reads; the others are these with noise, which costs the search the same
_NOISE: Final = 0.02
_ASKING: Final = (
    "How do I",
    "What is the best way to",
    "Why should I",
    "When can I",
    "Is it possible to",
    "Where do people",
)
_DOING: Final = ("learn", "sell", "repair", "cook", "grow", "paint", "translate", "insure", "return", "build", "clean")
_THINGS: Final = (
    *("a bicycle", "Python", "tomatoes", "an old house", "my laptop", "a contract", "Spanish verbs", "a piano"),
    *("running shoes", "a used car", "sourdough bread", "my passport", "solar panels", "a mobile app", "wooden floors"),
)
_MORE: Final = (
    "",
    " without a teacher",
    " in winter",
    " for the first time",
    " abroad",
    " with little money",
    " quickly",
)


def questions(count: int) -> list[str]:
    """So many, all different."""
    drawn = random.Random(SEED)
    every = [f"{a} {b} {c}{d}?" for a in _ASKING for b in _DOING for c in _THINGS for d in _MORE]
    return drawn.sample(every, count)


def shared(url: str) -> Index:
    """An index at a Redis 8, asked by a loop on another thread, as in the analysis process."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()

    async def made() -> Index:
        client = connect(url, connections=1, most_bytes=ANSWER_BYTES)
        await client.flushall()
        return VectorSet(Pipe(client), loop, Veil(b"p" * 32), SystemClock(), call_s=10)

    return asyncio.run_coroutine_threadsafe(made(), loop).result()


def measure(entries: int, url: str | None = None) -> dict[str, Any]:
    """Medians and 95th percentiles in milliseconds: of CPU, which a busy machine leaves alone, and of the clock."""
    weights, tokenizer = unpacked(archive())
    words = Words.of(weights["embeddings.word_embeddings.weight"])
    model, judge = MiniLM(graph(weights, LAYERS), tokenizer, 1), Verdict.load()
    index: Index = Neighbours() if url is None else shared(url)
    ends_s = SystemClock().monotonic() + _LIFE_S
    texts = questions(_READ)
    read = [reading(model, text) for text in texts]
    noise = np.random.default_rng(SEED)
    for number in range(entries):
        of = read[number % _READ]
        vectors = of.vectors + _NOISE * noise.standard_normal(of.vectors.shape, dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        index.put("t", _PLACE, Kept(f"{number:064x}", of.text, ends_s), vectors, entries)
    taken: dict[str, dict[str, list[float]]] = {"cpu": {}, "clock": {}}
    for number in range(_LOOKUPS + _WARM):
        marks = [_now()]
        mine = reading(model, texts[number % _READ])
        marks.append(_now())
        found = index.near("t", _PLACE, mine.vectors[0], 0.0, JUDGED)
        marks.append(_now())
        for each in found[:1]:  # nearly always the first is the one
            other = Reading(each.kept.text, tokens(model, each.kept.text), each.vectors)
            judge.likeness(mine, other, words)
        marks.append(_now())
        for kind, steps in zip(("cpu", "clock"), zip(*marks, strict=True), strict=True):
            told = dict(zip(("read", "search", "judge"), np.diff(steps), strict=True)) | {"all": steps[-1] - steps[0]}
            for name, took in told.items():
                taken[kind].setdefault(name, []).append(float(took))
    told = {kind: {name: _told(times[_WARM:]) for name, times in steps.items()} for kind, steps in taken.items()}
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"entries": entries, "ms": told, "peak_mib": round(peak_mib)}


def _now() -> tuple[float, float]:
    return time.thread_time(), time.perf_counter()


def _told(times: Sequence[float]) -> dict[str, float]:
    ranked: Callable[[float], float] = lambda share: sorted(times)[int(share * len(times))]  # noqa: E731 -- three words
    return {"p50": round(statistics.median(times) * 1000, 2), "p95": round(ranked(0.95) * 1000, 2)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--redis8", metavar="URL")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    told = measure(arguments.entries, arguments.redis8)
    print(json.dumps(told, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(told, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
