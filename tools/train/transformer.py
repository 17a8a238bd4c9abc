"""Fit the head of stage (c): data and embeddings in, `head.bin` and the generated parts of its model card out.

Usage: `python -m tools.train.transformer DATA_FOLDER CACHE.npz [--evaluation FILE]` in an environment of
requirements/train.in. CACHE is what `tools.train.embed` wrote, FILE what `tools.evaluate.transformer --json` did.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from extproc.detectors.injection.assess import Injection
from tools.evaluate.injection import SEED
from tools.evaluate.transformer import table
from tools.train.corpus import load
from tools.train.head import (
    ASKED_SHARE,
    FALSE_SHARE,
    FALSE_SHARE_ALIKE,
    STEPS,
    STRENGTH,
    SURE_SHARE,
    SURE_SHARE_ALIKE,
    fit,
    vectors,
)
from tools.train.injection import replaced
from tools.train.vectors import read

_ROOT: Final = Path(__file__).resolve().parents[2]
ARTEFACT: Final = _ROOT / "analysis/head.bin"
CARD: Final = _ROOT / "docs/models/transformer.md"


def main() -> None:
    """Fit, write the artefact, fill in the card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--evaluation", type=Path)
    arguments = parser.parse_args()
    examples = load(arguments.data, SEED)
    known = vectors(examples, read(arguments.cache))
    artefact = fit(examples, known, np.ones(len(examples), dtype=bool), Injection.load(), SEED)
    ARTEFACT.write_bytes(artefact)
    meta = orjson.loads(artefact.partition(b"\n")[0])
    card = replaced(CARD.read_text(encoding="utf-8"), "artefact", facts(meta, len(artefact)))
    if arguments.evaluation:
        rows = json.loads(arguments.evaluation.read_text(encoding="utf-8"))
        card = replaced(card, "figures", table(rows))
    CARD.write_text(card, encoding="utf-8")
    print(meta["version"], meta["user"], meta["foreign"])


def facts(meta: Mapping[str, Any], size: int) -> str:
    """What the card says of the artefact."""
    user, foreign = meta["user"], meta["foreign"]
    rows = {
        "version": f"`{meta['version']}`",
        "SHA-256 of the numbers": f"`{meta['sha256']}`",
        "size": f"{size:,} bytes",
        "fitted for MiniLM weights": f"`{meta['minilm']}`",
        "fitted for stages (a) and (b)": f"`{meta['linear']}`",
        "seed": meta["seed"],
        "layers": ", ".join(map(str, meta["kept"])),
        "inverse regularisation, steps": f"{STRENGTH:g}, {STEPS}",
        "grey zone, users' texts": f"{user['grey']['low']:.4f} to {user['grey']['high']:.4f}",
        "grey zone, tools and documents": f"{foreign['grey']['low']:.4f} to {foreign['grey']['high']:.4f}",
        "threshold, users' texts": f"{user['threshold']:.4f}",
        "threshold, tools and documents": f"{foreign['threshold']:.4f}",
        "calibration pool asked about": f"{ASKED_SHARE:.1%} of everyday texts",
        "calibration pool above the zone": f"{SURE_SHARE:.1%} of everyday texts, {SURE_SHARE_ALIKE:.0%} of look-alikes",
        "calibration pool that the cascade calls attacks": (
            f"{FALSE_SHARE:.1%} of everyday texts, {FALSE_SHARE_ALIKE:.0%} of look-alikes"
        ),
    }
    return "\n".join(["| what | value |", "|---|---|", *(f"| {what} | {value} |" for what, value in rows.items())])


if __name__ == "__main__":
    main()
