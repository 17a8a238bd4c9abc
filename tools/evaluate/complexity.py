"""How the points of `select: complexity` do: which share of easy and hard requests go to the big model.

Usage: `python -m tools.evaluate.complexity DATA_FOLDER`. Prints Markdown. No source of ours has labels of difficulty:
a source counts as hard or easy as a whole, by what it is made of. The points of the product were set by hand and looked
at by this; what fitting would give is told with each source left out in turn.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import numpy as np  # of requirements/train.in

from extproc.core.complexity import POINTS, features_of

#: Sums in words and programs to complete: what small models were long measured to fail at.
HARD: Final = ("gsm8k", "humaneval")
#: Tasks about a given text, everyday wishes, roles to play, short questions of laymen.
EASY: Final = ("p3-prompts", "self-instruct", "gpteacher-roleplay", "qqp-train")
#: Held out: fitted by nothing, and no points were set by it. The benchmark's own categories, by rows from 0; small
#: models trail far behind in the first three, and little in the last ones. Half are second questions, which stand here
#: without the first.
HELD: Final = "mt-bench"
CATEGORIES: Final = MappingProxyType(
    {
        "reasoning": range(39, 59), "math": range(59, 79), "coding": range(79, 99), "extraction": range(99, 119),
        "stem": range(119, 139), "humanities": range(139, 159), "writing": range(20), "roleplay": range(20, 39),
    }
)  # fmt: skip
#: Those that words alone show; the data are single prompts.
SEEN: Final = ("code", "code_task", "figures", "sums", "quantities", "reasoning")
THRESHOLDS: Final = (15, 20, 25, 30, 35, 40, 50)
#: The scenario in which saving is told: so many hard requests in a hundred, and the big model so many times dearer.
HARD_SHARE: Final = 0.2
DEARER: Final = 10.0

_RIDGE: Final = 1e-3
_STEPS: Final = 25  # it stands still after ten

Matrix: TypeAlias = Any  # of numpy, whose types this repository does without


def main() -> None:
    """Evaluate and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    print(page(read(parser.parse_args().data)))


def read(folder: Path) -> dict[str, Matrix]:
    """By source: a row for each prompt, a column for each of `SEEN`."""
    found = {name: matrix(_texts(folder, name)) for name in (*HARD, *EASY)}
    held = matrix(_texts(folder, HELD))
    return found | {f"{HELD}: {name}": held[rows.start : rows.stop] for name, rows in CATEGORIES.items()}


def matrix(texts: Sequence[str]) -> Matrix:
    """The features of texts."""
    rows = [features_of(text) for text in texts]
    return np.array([[name in row for name in SEEN] for row in rows], dtype=float)


def _texts(folder: Path, source: str) -> list[str]:
    (file,) = folder.glob(f"*/{source}.jsonl")
    with file.open(encoding="utf-8") as lines:  # texts hold separators that `splitlines` would take for ends
        rows = [json.loads(line) for line in lines]
    return [row.get("text") or row["text_a"] for row in rows]


def page(sources: Mapping[str, Matrix]) -> str:
    """Three tables."""
    points = np.array([POINTS[name] for name in SEEN], dtype=float)
    lines = [_row("source", "prompts", *(f"from {at}" for at in THRESHOLDS)), _row(*["---"] * (2 + len(THRESHOLDS)))]
    for name, rows in sources.items():
        shares = [f"{100 * float(np.mean(rows @ points >= at)):.1f} %" for at in THRESHOLDS]
        lines.append(_row(f"{name} ({_kind(name)})", str(len(rows)), *shares))
    lines += ["", _row("threshold", "hard to small", "easy to big", "saved"), _row(*["---"] * 4)]
    for at in THRESHOLDS:
        missed, wasted = _errors(sources, points, at)
        big = HARD_SHARE * (1 - missed) + (1 - HARD_SHARE) * wasted
        saved = (1 - big) * (1 - 1 / DEARER)
        lines.append(_row(str(at), *(f"{100 * each:.1f} %" for each in (missed, wasted, saved))))
    lines += ["", _row("left out", "wrong of it", "wrong of it by the product's points"), _row(*["---"] * 3)]
    for name in (*HARD, *EASY):
        fitted = _left_out(sources, name)
        own = _wrong(sources[name], points, PRODUCT, hard=name in HARD)
        lines.append(_row(name, f"{100 * fitted:.1f} %", f"{100 * own:.1f} %"))
    return "\n".join(lines)


#: From which score on the figures of a left-out source are told for the product.
PRODUCT: Final = 20


def _kind(name: str) -> str:
    return "hard" if name in HARD else "easy" if name in EASY else "held out"


def _wrong(rows: Matrix, points: Matrix, at: float, *, hard: bool) -> float:
    big = float(np.mean(rows @ points >= at))
    return 1 - big if hard else big


def _errors(sources: Mapping[str, Matrix], points: Matrix, at: float) -> tuple[float, float]:
    """Of the hard ones to the small model, and of the easy ones to the big one: sources count alike."""
    missed = np.mean([_wrong(sources[name], points, at, hard=True) for name in HARD])
    wasted = np.mean([_wrong(sources[name], points, at, hard=False) for name in EASY])
    return float(missed), float(wasted)


def _left_out(sources: Mapping[str, Matrix], name: str) -> float:
    """Fit on the others, each of which counts alike, and see how often the one is wrong."""
    others = [other for other in (*HARD, *EASY) if other != name]
    seen = np.concatenate([sources[other] for other in others])
    hard = np.concatenate([np.full(len(sources[other]), other in HARD) for other in others])
    sides = {True: sum(other in HARD for other in others), False: sum(other in EASY for other in others)}
    weights = [np.full(len(sources[other]), 1 / len(sources[other]) / sides[other in HARD]) for other in others]
    fitted = _fit(_with_one(seen), hard.astype(float), np.concatenate(weights))
    told = _with_one(sources[name]) @ fitted > 0
    return float(np.mean(told != (name in HARD)))


def _with_one(rows: Matrix) -> Matrix:
    return np.hstack([rows, np.ones((len(rows), 1))])


def _fit(rows: Matrix, hard: Matrix, weights: Matrix) -> Matrix:
    """Logistic regression by Newton's method, with a little ridge: a feature that no source shows has no weight."""
    found = np.zeros(rows.shape[1])
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-rows @ found))
        slope = rows.T @ (weights * (hard - chance)) - _RIDGE * found
        curve = (rows * (weights * chance * (1 - chance))[:, None]).T @ rows + _RIDGE * np.eye(len(found))
        found += np.linalg.solve(curve, slope)
    return found


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
