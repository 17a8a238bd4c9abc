"""Train the injection detector: data in, `weights.bin` and the generated part of its model card out.

Usage: `python -m tools.train.injection DATA_FOLDER [--evaluation FILE]` in an environment of requirements/train.in.
FILE is what `tools.evaluate.injection --json` wrote; without it the card keeps its figures.
"""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np  # of requirements/train.in
import orjson

from tools.evaluate.injection import SEED, summary, table
from tools.train.corpus import NEVER_FITTED, Example, licences, load
from tools.train.fit import (
    FALSE_SHARE,
    FALSE_SHARE_ALIKE,
    FALSE_SHARE_ALIKE_FOREIGN,
    FALSE_SHARE_FOREIGN,
    ROUNDS,
    SOURCE_POWER,
    STRENGTH,
    features,
    fit,
)

_ROOT: Final = Path(__file__).resolve().parents[2]
ARTEFACT: Final = _ROOT / "extproc/detectors/injection/weights.bin"
CARD: Final = _ROOT / "docs/models/injection.md"
_BEGIN: Final = "<!-- generated: {} -->"
_END: Final = "<!-- end: {} -->"


def main() -> None:
    """Train, write the artefact, fill in the card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--evaluation", type=Path)
    arguments = parser.parse_args()
    examples = load(arguments.data, SEED)
    artefact = fit(examples, features(examples), np.ones(len(examples), dtype=bool), SEED)
    ARTEFACT.write_bytes(artefact)
    meta = orjson.loads(artefact.partition(b"\n")[0])
    card = replaced(CARD.read_text(encoding="utf-8"), "artefact", _facts(meta, len(artefact)))
    card = replaced(card, "data", _data(arguments.data, examples))
    if arguments.evaluation:
        rows = json.loads(arguments.evaluation.read_text(encoding="utf-8"))
        card = replaced(card, "figures", f"{summary(rows)}\n\n{table(rows)}")
    CARD.write_text(card, encoding="utf-8")
    print(meta["version"], meta["thresholds"])


def replaced(page: str, name: str, section: str) -> str:
    """The page with the part of that name exchanged. Raises ValueError if the page has no such part."""
    head, begin, rest = page.partition(_BEGIN.format(name))
    _, end, tail = rest.partition(_END.format(name))
    if not begin or not end:
        raise ValueError(f"the card has no part {name!r}")
    return f"{head}{begin}\n\n{section}\n\n{end}{tail}"


def _facts(meta: dict[str, Any], size: int) -> str:
    rows = {
        "version": f"`{meta['version']}`",
        "SHA-256 of the table": f"`{meta['sha256']}`",
        "size": f"{size:,} bytes",
        "seed": meta["seed"],
        "inverse regularisation, rounds, power of a source's size": f"{STRENGTH:g}, {ROUNDS}, -{SOURCE_POWER:g}",
        "threshold, users' texts": f"{meta['thresholds']['user']:.4f}",
        "threshold, tools and documents": f"{meta['thresholds']['foreign']:.4f}",
        "calibration pool above it": f"{FALSE_SHARE:.1%} of everyday texts, {FALSE_SHARE_ALIKE:.0%} of look-alikes",
        "the same, tools and documents": f"{FALSE_SHARE_FOREIGN:.1%}, {FALSE_SHARE_ALIKE_FOREIGN:.0%}",
    }
    return "\n".join(["| what | value |", "|---|---|", *(f"| {what} | {value} |" for what, value in rows.items())])


def _data(folder: Path, examples: Sequence[Example]) -> str:
    licence = licences(folder)
    counts = Counter((example.source, example.attack) for example in examples)
    lines = ["| source | attacks | benign | use | licence |", "|---|---|---|---|---|"]
    for source in sorted({source for source, _ in counts}):
        use = "test only" if source in NEVER_FITTED else "fit and calibration"
        own = "ours" if source.startswith("generated/") else licence[source.removeprefix("pii/")]
        lines.append(f"| {source} | {counts[source, True]} | {counts[source, False]} | {use} | {own} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
