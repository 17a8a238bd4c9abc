"""Fits the judge of like questions, and measures it on questions that it has not seen.

Usage: `python -m tools.train.pairs PAIRS.jsonl CACHE.npz [--out analysis/pairs.bin] [--json FILE]` where scikit-learn
is installed. CACHE is of `tools.train.questions`. Seeded: the same data give the same artefact.

Pairs that share a question, over any number of others, are one group. Of five folds of whole groups each is judged once
by what was fitted on the other four, so no question is on both sides. The threshold for a fold is taken from the
judgements of the other four folds.
"""

import argparse
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from analysis.head import WEIGHTS_SHA256
from analysis.pair import Reading, Words, features, vetoed, wide
from analysis.verdict import ARTEFACT, DEPTH, FORMAT, Verdict

SEED: Final = 20261122
FOLDS: Final = 5
_INNER: Final = 4
#: Share of hits that may be wrong, for each word of policy.
WRONG: Final[Mapping[str, float]] = {"strict": 0.05, "usual": 0.10, "loose": 0.15}
RATES: Final = (0.03, 0.05, 0.075, 0.10, 0.15, 0.20)
WANTED_RATE: Final = 0.15
_TREES: Final = 400
_LEAVES: Final = 15


@dataclass(frozen=True)
class Pairs:
    """What is fitted on, a row a pair."""

    features: Any
    wide: Any
    same: Any
    vetoed: Any
    groups: Any

    def rows(self, at: Any) -> "Pairs":
        """Some of them."""
        return Pairs(self.features[at], self.wide[at], self.same[at], self.vetoed[at], self.groups[at])


@dataclass
class Fitted:
    """A linear part, and trees that see what it says."""

    linear: Any
    trees: Any

    @classmethod
    def on(cls, pairs: Pairs) -> "Fitted":
        """Fit both. The trees are shown what linear parts say that have not seen the pair."""
        said = np.zeros(len(pairs.same))
        for rest, held in GroupKFold(_INNER).split(pairs.same, groups=pairs.groups):
            said[held] = _linear().fit(pairs.wide[rest], pairs.same[rest]).decision_function(pairs.wide[held])
        given = np.c_[pairs.features, said].astype(np.float32)
        return cls(_linear().fit(pairs.wide, pairs.same), _trees().fit(given, pairs.same))

    def judge(self, pairs: Pairs) -> Any:
        """Probabilities; 0 where vetoed."""
        said = self.linear.decision_function(pairs.wide)
        given = np.c_[pairs.features, said].astype(np.float32)
        return np.where(pairs.vetoed, 0.0, self.trees.predict_proba(given)[:, 1])


def _linear() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.002, max_iter=60))


def _trees() -> Any:
    return HistGradientBoostingClassifier(
        max_iter=_TREES,
        learning_rate=0.05,
        max_leaf_nodes=_LEAVES,
        max_depth=DEPTH,
        min_samples_leaf=50,
        l2_regularization=5,
        max_features=0.3,
        early_stopping=False,
        random_state=SEED,
    )


def load(pairs: Path, cache: Path) -> tuple[list[dict[str, Any]], list[tuple[Reading, Reading]], Words]:
    """The rows, both questions of each, and what is known of tokens."""
    with pairs.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    kept = np.load(cache)
    texts = json.loads(str(kept["texts"]))
    parts = np.split(kept["ids"], np.cumsum(kept["sizes"])[:-1])
    vectors = kept["vectors"].astype(np.float32)
    read = {text: Reading(text, ids, each) for text, ids, each in zip(texts, parts, vectors, strict=True)}
    return (
        rows,
        [(read[row["text_a"]], read[row["text_b"]]) for row in rows],
        Words.of(kept["table"].astype(np.float32)),
    )


def prepared(rows: Sequence[Mapping[str, Any]], read: Sequence[tuple[Reading, Reading]], words: Words) -> Pairs:
    """Everything as numbers."""
    return Pairs(
        features=np.array([features(*each, words) for each in read], dtype=np.float32),
        wide=np.array([wide(*each, words) for each in read], dtype=np.float32),
        same=np.array([row["label"] for row in rows]),
        vetoed=np.array([vetoed(*each) for each in read]),
        groups=groups([(row["text_a"], row["text_b"]) for row in rows]),
    )


def groups(pairs: Sequence[tuple[str, str]]) -> Any:
    """A number for each pair, the same for all that questions connect."""
    parents: dict[str, str] = {}

    def root(text: str) -> str:
        while parents.setdefault(text, text) != text:
            parents[text] = text = parents[parents[text]]
        return text

    for one, other in pairs:
        parents[root(one)] = root(other)
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(root(one), len(numbers)) for one, _ in pairs])


def threshold(scores: Any, same: Any, wrong: float) -> float:
    """The lowest score from which on at most so many are wrong."""
    order = np.argsort(-scores, kind="stable")
    missed = np.cumsum(1 - same[order]) / np.arange(1, len(order) + 1)
    fit = np.flatnonzero((missed <= wrong) & (scores[order] > 0))
    return float(scores[order[fit[-1]]]) if len(fit) else 1.0


def at_rate(scores: Any, same: Any, rate: float) -> float:
    """The score that so many of all reach, right or wrong."""
    del same
    return float(np.sort(scores)[::-1][int(rate * len(scores)) - 1])


def measured(scores: Any, pairs: Pairs, folds: Sequence[tuple[Any, Any]]) -> dict[str, Any]:
    """The curve over all folds, and what thresholds of other folds give on each."""
    order = np.argsort(-scores, kind="stable")
    curve = {str(rate): round(1 - float(pairs.same[order][: int(rate * len(order))].mean()), 4) for rate in RATES}
    frozen: dict[str, Any] = {}
    for name, choose in (
        *((name, partial(threshold, wrong=wrong)) for name, wrong in WRONG.items()),
        (f"rate {WANTED_RATE}", partial(at_rate, rate=WANTED_RATE)),
    ):
        hits = wrong_hits = 0
        each = []
        for rest, held in folds:
            hit = scores[held] >= choose(scores[rest], pairs.same[rest])
            hits += int(hit.sum())
            wrong_hits += int((1 - pairs.same[held])[hit].sum())
            each.append([round(float(hit.mean()), 4), round(1 - float(pairs.same[held][hit].mean()), 4)])
        frozen[name] = {
            "hit_rate": round(hits / len(scores), 4), "wrong": round(wrong_hits / max(1, hits), 4), "folds": each,
        }  # fmt: skip
    return {"pairs": len(scores), "curve": curve, "frozen": frozen}


def artefact(fitted: Fitted, thresholds: Mapping[str, float]) -> bytes:
    """As `analysis.verdict` reads it."""
    scaler, logistic = fitted.linear[0], fitted.linear[1]
    weights = logistic.coef_[0] / scaler.scale_
    offset = float(logistic.intercept_[0] - (weights * scaler.mean_).sum())
    grown = [each[0].nodes for each in fitted.trees._predictors]  # noqa: SLF001 -- no public way
    shape = (len(grown), 2 * _LEAVES - 1)
    feature, left, right = (np.zeros(shape, dtype=np.uint8) for _ in range(3))
    limit, value = np.zeros(shape, dtype="<f4"), np.zeros(shape, dtype="<f4")
    for number, nodes in enumerate(grown):
        for at, node in enumerate(nodes):
            leaf = bool(node["is_leaf"])
            feature[number, at] = 0 if leaf else node["feature_idx"]
            limit[number, at] = 0 if leaf else node["num_threshold"]
            left[number, at] = at if leaf else node["left"]
            right[number, at] = at if leaf else node["right"]
            value[number, at] = node["value"] if leaf else 0
    tables = (weights.astype("<f4"), feature, limit, left, right, value)
    raw = b"".join(table.tobytes() for table in tables)
    digest = hashlib.sha256(raw).hexdigest()
    meta = {
        "format": FORMAT,
        "version": f"sim-{digest[:12]}",
        "sha256": digest,
        "minilm": WEIGHTS_SHA256,
        "seed": SEED,
        "linear_offset": offset,
        "trees_offset": float(fitted.trees._baseline_prediction[0, 0]),  # noqa: SLF001 -- no public way
        "thresholds": dict(thresholds),
        "tables": [[table.dtype.str, list(table.shape)] for table in tables],
    }
    return json.dumps(meta).encode() + b"\n" + raw


def main() -> None:
    """Fit, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--out", type=Path, default=Path("analysis", ARTEFACT))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows, read, words = load(arguments.pairs, arguments.cache)
    pairs = prepared(rows, read, words)
    folds = list(GroupKFold(FOLDS).split(pairs.same, groups=pairs.groups))
    scores = np.zeros(len(pairs.same))
    for rest, held in folds:
        scores[held] = Fitted.on(pairs.rows(rest)).judge(pairs.rows(held))
    told = measured(scores, pairs, folds)
    thresholds = {name: round(threshold(scores, pairs.same, wrong), 4) for name, wrong in WRONG.items()}
    fitted = Fitted.on(pairs)
    written = artefact(fitted, thresholds)
    judge = Verdict.read(written)
    ours = [judge.likeness(*each, words) for each in read[:_CHECKED]]
    told["differs_by"] = float(np.abs(np.array(ours) - fitted.judge(pairs.rows(slice(_CHECKED)))).max())
    arguments.out.write_bytes(written)
    told |= {"version": judge.version, "bytes": len(written), "thresholds": thresholds}
    print(json.dumps(told, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(told, indent=1), encoding="utf-8")


_CHECKED: Final = 500  # pairs on which the artefact must say what was fitted

if __name__ == "__main__":
    main()
