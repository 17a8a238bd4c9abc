"""Vectors and tokens of the questions that the judge of like questions is fitted on, kept in a file. Fits nothing.

Usage: `python -m tools.train.questions PAIRS.jsonl CACHE.npz` where `make analysis` was run; three minutes on one core.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from analysis.minilm import MiniLM, archive, unpacked
from analysis.similar import LAYERS, reading


def main() -> None:
    """Read every question as the analysis process does, and write what it sees."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("cache", type=Path)
    arguments = parser.parse_args()
    with arguments.pairs.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    texts = sorted({row[name] for row in rows for name in ("text_a", "text_b")})
    model = MiniLM.load(kept=LAYERS)
    read = [reading(model, text) for text in texts]
    table = unpacked(archive())[0]["embeddings.word_embeddings.weight"]
    np.savez(
        arguments.cache,
        texts=np.array(json.dumps(texts)),
        sizes=np.array([len(each.ids) for each in read]),
        ids=np.concatenate([each.ids for each in read]),
        vectors=np.array([each.vectors for each in read], dtype=np.float16),
        table=table.astype(np.float16),
    )
    print(f"{len(texts)} questions of {len(rows)} pairs")


if __name__ == "__main__":
    main()
