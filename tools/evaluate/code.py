"""How often `content.code` fires: on texts that are code, on everyday requests of which some are, and on others.

Usage: `python -m tools.evaluate.code DATA_FOLDER`. Prints Markdown. Nothing of the class is fitted, so no source is
left out; but the requests of two sources were read, and some of its terms were chosen after that.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np  # of requirements/train.in
from sklearn.metrics import roc_auc_score

from extproc.detectors.content.assess import Content
from extproc.detectors.content.classes import CLASSES, CODE

#: All of it is code, as its source says.
ALL: Final = "humaneval"
#: Rows, from 0, that ask for code or hold some; nobody's label but ours.
READ: Final[Mapping[str, frozenset[int]]] = {
    "mt-bench": frozenset({79, 81, 82, 83, 84, 85, 86, 87, 89, 90, 91, 93, 95, 96, 97, 98, *range(216, 222)}),
    "self-instruct": frozenset(
        {
            28, 31, 37, 41, 50, 61, 69, 72, 138, 139, 140, 141, 158, 187, 188, 213, 214, 215, 264, 265, 268, 271, 353,
            365, 370, 380, 385, 401, 402, 406, 417, 418,
        }
    ),
}  # fmt: skip
#: Sums in words, roles to play, tasks about given texts, requests for harm, tweets: no code, but for a few by chance.
NONE: Final = ("gsm8k", "gpteacher-roleplay", "p3-prompts", "harmfulqa", "davidson-hate")
#: Share of NONE above the score at which recall is told.
FALSE_SHARE: Final = 0.01
_PLACE: Final = CLASSES.index(CODE)


def main() -> None:
    """Evaluate and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    print(page(rows(parser.parse_args().data)))


def rows(folder: Path) -> list[dict[str, Any]]:
    """One for each source and side."""
    model = Content.load()
    names = (ALL, *READ, *NONE)
    scores = {name: _scores(model, _texts(folder, name)) for name in names}
    others = np.concatenate([scores[name] for name in NONE])
    told = [_row(ALL, "code", scores[ALL], model, others)]
    for name, places in READ.items():
        about = np.isin(np.arange(len(scores[name])), sorted(places))
        told.append(_row(name, "code, read by us", scores[name][about], model, others))
        told.append(_row(name, "other", scores[name][~about], model, None))
    return [*told, *(_row(name, "other", scores[name], model, None) for name in NONE)]


def _texts(folder: Path, source: str) -> list[str]:
    (file,) = folder.glob(f"*/{source}.jsonl")
    with file.open(encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in lines]


def _scores(model: Content, texts: Sequence[str]) -> Any:
    return np.array([model.assess(text)[_PLACE] for text in texts])


def _row(source: str, side: str, scores: Any, model: Content, others: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "source": source,
        "side": side,
        "n": len(scores),
        "fired": round(float((scores >= model.thresholds[_PLACE]).mean()), 4),
    }
    if others is not None:
        target = np.concatenate([np.ones(len(scores)), np.zeros(len(others))])
        row["auc"] = round(float(roc_auc_score(target, np.concatenate([scores, others]))), 4)
        row["recall"] = round(float((scores > np.quantile(others, 1 - FALSE_SHARE)).mean()), 4)
    return row


def page(told: Sequence[Mapping[str, Any]]) -> str:
    """The rows as Markdown."""
    lines = ["| source | texts | | fired | AUC | recall at 1 % |", "|---|---|---|---|---|---|"]
    for row in told:
        auc, recall = (f"{row[name]:.3f}" if name in row else "" for name in ("auc", "recall"))
        lines.append(f"| {row['source']} | {row['side']} | {row['n']} | {row['fired']:.4f} | {auc} | {recall} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
