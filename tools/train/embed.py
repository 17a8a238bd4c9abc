"""Embeddings of the texts that the transformer's head is fitted and tested on, kept in a file. Fits nothing.

Usage: `python -m tools.train.embed DATA_FOLDER CACHE.npz` where `make analysis` was run; a quarter of an hour on one
core. Texts that the cache has are not computed again.

Every window of a text, each a run of its own, as at run time: what is computed for a text depends on nothing else, so a
cache that grew in several runs holds what one run would have written.
"""

import argparse
import sys
from pathlib import Path
from typing import Final

import numpy as np

from analysis.minilm import MiniLM
from analysis.window import cut
from tools.train.corpus import load
from tools.train.vectors import Embedded, key, read, write

SEED: Final = 20261121  # of the generated texts: that of tools.evaluate.injection
_KEPT_EVERY: Final = 10_000  # texts: on a busy machine the rest may have to wait


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
    for done, (each, text) in enumerate(missing.items()):
        cache[each] = embedded(model, text)
        if done % _KEPT_EVERY == _KEPT_EVERY - 1:
            write(arguments.cache, cache)
            print(f"{done + 1} of {len(missing)}", file=sys.stderr, flush=True)
    write(arguments.cache, cache)
    print(f"{len(missing)} texts embedded, {len(cache)} in the cache")


def embedded(model: MiniLM, text: str) -> Embedded:
    """A text as the analysis process sees it."""
    windows = cut(model.tokenizer, text)
    spans = np.array([(window.start, window.end) for window in windows], dtype=np.int32)
    return Embedded(spans, np.concatenate([model.embed([window.ids]) for window in windows]).astype(np.float16))


if __name__ == "__main__":
    main()
