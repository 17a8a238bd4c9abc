"""From embeddings to the artefact of stage (c): a logistic regression over windows, joining, thresholds. No files.

The linear stage is taken as it is: whoever leaves a source out gives one that was fitted without it.
"""

import hashlib
import math
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import orjson
from sklearn.linear_model import LogisticRegression

from analysis.head import KEPT, WEIGHTS_SHA256, Head, normed
from analysis.window import JUDGED_MAX, chosen
from extproc.detectors.injection.assess import Injection
from extproc.detectors.injection.provenance import Provenance
from tools.train.corpus import NEVER_FITTED, TRIGGERS, Example
from tools.train.fit import NOT_EVERYDAY
from tools.train.vectors import Cache, key

#: Inverse regularisation of the window's judge, and steps of its solver: more fit the known sources and no others.
STRENGTH: Final = 0.01
STEPS: Final = 60
#: Windows of one text that are fitted on, evenly spread: long role plays would otherwise be most of the data. What is
#: judged, for calibration and in tests, is every window that run time judges.
FITTED_MAX: Final = 4
#: Digits of the bounds of the grey zone: few enough to stand in the gateway as they are (`assessor.DOUBT`).
_GREY_DIGITS: Final = 4
#: Share of the everyday calibration pool that is asked about: as much as may be of traffic, which proved tamer.
ASKED_SHARE: Final = 0.05
#: Share of the everyday pool, and of look-alikes, that stages (a) and (b) may call an attack without asking.
SURE_SHARE: Final = 0.001
SURE_SHARE_ALIKE: Final = 0.01
#: Shares that the whole cascade may call an attack: as many as leave at most 1 % realised on everyday prompts left out,
#: all sources together (model card).
FALSE_SHARE: Final = 0.01
FALSE_SHARE_ALIKE: Final = 0.07

Matrix = Any  # numpy has no types here


@dataclass(frozen=True, slots=True)
class Vectors:
    """Windows of all examples as one matrix, the example of each row, and the characters that it stands for."""

    matrix: Matrix
    owner: Matrix
    spans: Matrix


def vectors(examples: Sequence[Example], cache: Cache) -> Vectors:
    """What `tools.train.embed` computed."""
    found = [cache[key(example.text)] for example in examples]
    owner = np.repeat(np.arange(len(found)), [len(each.spans) for each in found])
    matrix = normed(np.concatenate([each.vectors for each in found]).astype(np.float32))
    return Vectors(matrix, owner, np.concatenate([each.spans for each in found]))


def fit(examples: Sequence[Example], known: Vectors, allowed: Matrix, linear: Injection, seed: int) -> bytes:
    """An artefact from those examples that are `allowed`; the rest is as if it did not exist."""
    attack = np.array([example.attack for example in examples])
    held = np.array([example.calibration for example in examples])
    doubtful = np.array([example.source in NEVER_FITTED for example in examples])
    coefficients, intercept = _judge(examples, known, attack, allowed & ~held & ~doubtful, seed)
    matrix, offset = coefficients.astype(np.float16), intercept.astype(np.float16)
    table = matrix.tobytes() + offset.tobytes()
    meta: dict[str, Any] = {
        "format": 1,
        "sha256": hashlib.sha256(table).hexdigest(),
        "version": "mlm-" + hashlib.sha256(table).hexdigest()[:12],
        "minilm": WEIGHTS_SHA256,
        "kept": KEPT,
        "linear": linear.version,
        "seed": seed,
        "shapes": [list(matrix.shape)],
    }
    pool = np.flatnonzero(allowed & held & ~doubtful)
    odds = worst(examples, known, linear, matrix.astype(np.float32), offset.astype(np.float32))
    for kind in ("user", "foreign"):
        meta[kind] = _settled(examples, pool, odds, linear, seed, foreign=kind == "foreign")
    artefact: bytes = orjson.dumps(meta, option=orjson.OPT_SORT_KEYS) + b"\n" + table
    Head.read(artefact)  # raises if it could not be read where it runs
    return artefact


def worst(examples: Sequence[Example], known: Vectors, linear: Injection, matrix: Matrix, offset: Matrix) -> Matrix:
    """Log-odds of each example's worst window, of those that run time would judge."""
    odds = (known.matrix @ matrix + offset)[:, 0]
    counts = np.bincount(known.owner, minlength=len(examples))
    ends = np.cumsum(counts)
    for number in np.flatnonzero(counts > JUDGED_MAX):
        example, first = examples[number], ends[number] - counts[number]
        spans = [(int(start), int(end)) for start, end in known.spans[first : ends[number]]]
        weigh = partial(_evidence, linear, foreign=example.document)
        left = np.ones(len(spans), dtype=bool)
        left[chosen(example.text, spans, weigh)] = False
        odds[first : ends[number]][left] = -np.inf
    found = np.full(len(examples), -np.inf, dtype=np.float32)
    np.maximum.at(found, known.owner, odds)
    return found


def evenly(owner: Matrix) -> Matrix:
    """Which rows are fitted on: of each example at most `FITTED_MAX`, the first and the last among them."""
    counts = np.bincount(owner)
    starts = np.cumsum(counts) - counts
    use = np.ones(len(owner), dtype=bool)
    for number in np.flatnonzero(counts > FITTED_MAX):
        rows = use[starts[number] : starts[number] + counts[number]]
        rows[:] = False
        rows[np.linspace(0, counts[number] - 1, FITTED_MAX).astype(int)] = True
    return use


def _evidence(linear: Injection, text: str, *, foreign: bool) -> float:
    return linear.signs(text, foreign=foreign)[0]


def _judge(
    examples: Sequence[Example], known: Vectors, attack: Matrix, fitted: Matrix, seed: int
) -> tuple[Matrix, Matrix]:
    """Logistic regression over windows, each number scaled to one spread: a matrix of one column, and its offset."""
    rows = fitted[known.owner] & evenly(known.owner)
    matrix, owner = known.matrix[rows], known.owner[rows]
    mean, spread = matrix.mean(axis=0), matrix.std(axis=0) + 1e-6
    matrix = (matrix - mean) / spread
    weights = _weights([(examples[number].source, bool(attack[number])) for number in owner])
    model = LogisticRegression(C=STRENGTH, tol=1e-4, max_iter=STEPS, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # stopping early is meant
        model.fit(matrix, attack[owner], sample_weight=weights)
    scaled = model.coef_[0] / spread
    return scaled.reshape(-1, 1), model.intercept_ - mean @ scaled


def _weights(members: Sequence[tuple[str, bool]]) -> Matrix:
    """Attacks and benign texts weigh the same, and a source by the root of its size. Mean 1."""
    sizes = Counter(members)
    weights = np.array([1 / math.sqrt(sizes[member]) for member in members])
    label = np.array([attack for _, attack in members])
    for side in (True, False):
        weights[label == side] *= len(members) / 2 / weights[label == side].sum()
    return weights


def _settled(
    examples: Sequence[Example], pool: Matrix, odds: Matrix, linear: Injection, seed: int, *, foreign: bool
) -> dict[str, Any]:
    """Grey zone, joining and threshold for one kind of text, all on the calibration pool."""
    said = Provenance.DOCUMENT if foreign else Provenance.USER
    used = [number for number in pool if examples[number].document == foreign]
    evidence = {number: _evidence(linear, examples[number].text, foreign=foreign) for number in pool}
    model = LogisticRegression(C=1e3, random_state=seed)
    model.fit(
        np.array([[odds[number], evidence[number]] for number in used]),
        np.array([examples[number].attack for number in used]),
        sample_weight=_weights([(examples[number].source, examples[number].attack) for number in used]),
    )
    (window, known), offset = model.coef_[0].tolist(), float(model.intercept_[0])
    # Documents are few: what users wrote is judged as if a document said it, to have enough benign texts.
    benign = [n for n in pool if not examples[n].attack and (foreign or not examples[n].document)]
    benign = [n for n in benign if not examples[n].source.startswith(NOT_EVERYDAY)]
    everyday = [number for number in benign if not TRIGGERS.search(examples[number].text)]
    alike = [n for n in benign if TRIGGERS.search(examples[n].text) and examples[n].document == foreign]
    first = {number: linear.assess(examples[number].text, said).score for number in benign}
    low = round(_quantile([first[number] for number in everyday], ASKED_SHARE), _GREY_DIGITS)
    high = max(
        _quantile([first[number] for number in everyday], SURE_SHARE),
        _quantile([first[number] for number in alike], SURE_SHARE_ALIKE),
    )
    high = round(high, _GREY_DIGITS)

    def score(number: int) -> float:
        if not low <= first[number] < high:
            return float(first[number] >= high) * 2
        return 1 / (1 + math.exp(-(window * odds[number] + known * evidence[number] + offset)))

    threshold = max(
        _quantile([score(number) for number in everyday], FALSE_SHARE),
        _quantile([score(number) for number in alike], FALSE_SHARE_ALIKE),
    )
    return {
        "join": {"window": window, "evidence": known, "offset": offset},
        "grey": {"low": low, "high": high},
        "threshold": min(threshold, 1.0),
    }


def _quantile(scores: Sequence[float], above: float) -> float:
    """The score that at most this share exceeds."""
    return float(np.quantile(scores, 1 - above, method="higher")) if scores else 0.0
