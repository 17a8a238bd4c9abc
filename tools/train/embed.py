"""Embeddings of the texts that the transformer's head is fitted and tested on, kept in a file. Fits nothing.

Usage: `python -m tools.train.embed DATA_FOLDER CACHE.npz` where `make analysis` was run; a quarter of an hour on one
core. Texts that the cache has are not computed again.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from analysis.minilm import MiniLM
from analysis.window import Window, cut
from tools.train.corpus import load
from tools.train.vectors import key, read, write

SEED: Final = 20261121  # of the generated texts: that of tools.evaluate.injection
#: Windows of one text that are fitted on, evenly spread: long role plays would otherwise be most of the data.
WINDOWS_MAX: Final = 4
_BATCH_TOKENS: Final = 1024  # of windows of like length: more gains nothing on one core


def main() -> None:
    """Compute what the cache lacks, and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("cache", type=Path)
    arguments = parser.parse_args()
    texts = {key(example.text): example.text for example in load(arguments.data, SEED)}
    cache = read(arguments.cache)
    missing = {each: text for each, text in texts.items() if each not in cache}
    model = MiniLM.load()
    rows = [(each, row) for each, text in missing.items() for row in spread(cut(model.tokenizer, text))]
    found: dict[bytes, list[tuple[int, Any]]] = {each: [] for each in missing}
    order = sorted(range(len(rows)), key=lambda number: len(rows[number][1].ids))
    for done, batch in enumerate(_batches(order, [len(row.ids) for _, row in rows])):
        for number, vector in zip(batch, model.embed([rows[n][1].ids for n in batch]), strict=True):
            found[rows[number][0]].append((rows[number][1].start, vector.astype(np.float16)))
        if done % 500 == 0:
            print(f"{done} batches", file=sys.stderr, flush=True)
    for each, windows in found.items():
        windows.sort(key=lambda window: window[0])
        cache[each] = np.stack([vector for _, vector in windows])
    write(arguments.cache, cache)
    print(f"{len(missing)} texts embedded, {len(cache)} in the cache")


def spread(windows: Sequence[Window]) -> Sequence[Window]:
    """At most `WINDOWS_MAX` of them."""
    if len(windows) <= WINDOWS_MAX:
        return windows
    return [windows[int(at)] for at in np.linspace(0, len(windows) - 1, WINDOWS_MAX)]


def _batches(order: Sequence[int], sizes: Sequence[int]) -> Iterator[list[int]]:
    """Windows of like length together."""
    batch: list[int] = []
    for number in order:
        if batch and sizes[number] * (len(batch) + 1) > _BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


if __name__ == "__main__":
    main()
