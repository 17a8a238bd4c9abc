"""From examples to an artefact: logistic regression over windows, one byte a weight, calibration. Reads no files."""

import hashlib
import math
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np  # of requirements/train.in
import orjson
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression

from extproc.detectors.injection.assess import WINDOW_FOREIGN, WINDOW_USER, Injection
from extproc.detectors.injection.linear import BUCKETS, FEATURES, ZERO, hashes, words
from extproc.detectors.injection.normalise import plain
from extproc.detectors.injection.provenance import Provenance
from tools.train.corpus import NEVER_FITTED, TRIGGERS, Example

#: Inverse regularisation. With sources weighed, 3 has fewer false positives than 10 at nearly the same recall.
STRENGTH: Final = 3.0
#: A source weighs by this power of its size less: with 0, the two largest collections decide what an attack is.
SOURCE_POWER: Final = 0.5
#: Passes of dual coordinate descent. It stops by itself before; the primal solver takes several times as long.
PASSES_MAX: Final = 30
#: Windows of one text that are fitted on: long role plays would otherwise be most of the data.
WINDOWS_MAX: Final = 8
#: Rounds of choosing the window of an attack that carries it: most of a long text around an attack is harmless.
ROUNDS: Final = 2
#: Share of the everyday calibration pool that may lie above the threshold: about what keeps all everyday prompts left
#: out together below 1 % (model card).
FALSE_SHARE: Final = 0.007
#: The same of benign texts with trigger words, of which 8 % may be realised.
FALSE_SHARE_ALIKE: Final = 0.06
#: The same two of tools and documents. More is allowed: what is found there is, unless policy says more, flagged,
#: and what is missed acts in the user's name.
FALSE_SHARE_FOREIGN: Final = 0.01
FALSE_SHARE_ALIKE_FOREIGN: Final = 0.2
#: Not in the pool that thresholds are taken from: composed of hard cases, nothing like a day's traffic. The first would
#: double the thresholds (recall 0.41 at 0.2 % realised false positives).
NOT_EVERYDAY: Final = ("generated/daily", "generated/alike")

Matrix = Any  # scipy and numpy have no usable types for sparse matrices


class Text(Protocol):
    """What features are made of."""

    @property
    def text(self) -> str:
        """As it was written."""

    @property
    def document(self) -> bool:
        """Said by a tool or document."""


@dataclass(frozen=True, slots=True)
class Features:
    """Windows of all examples as one matrix, computed once for many fits."""

    matrix: Matrix
    owner: Matrix  # example of each row


def features(examples: Sequence[Text]) -> Features:
    """Windows of each example in both sizes that run time uses."""
    index: list[int] = []
    starts = [0]
    owner = []
    for number, example in enumerate(examples):
        for window in _windows(words(plain(example.text)), document=example.document):
            whole, heads, pairs = hashes(window)
            index.extend((*whole, *heads, *pairs))
            starts.append(len(index))
            owner.append(number)
    counts = np.diff(starts)
    # As `Linear` scores: the length of the vector is that of FEATURES for each word, the missing first pair included.
    values = np.repeat(1 / np.sqrt(np.maximum(counts + 1, FEATURES)), counts)
    matrix = sp.csr_matrix((values, np.asarray(index, dtype=np.int32), starts), shape=(len(counts), BUCKETS))
    matrix.sum_duplicates()
    return Features(matrix, np.asarray(owner))


def _windows(tokens: list[bytes], *, document: bool) -> list[list[bytes]]:
    sizes = (WINDOW_FOREIGN,) if document else (WINDOW_USER, WINDOW_FOREIGN)
    out: list[list[bytes]] = []
    for size in sizes:
        if len(tokens) <= size:
            if tokens and tokens not in out:
                out.append(tokens)
            continue
        starts = [*range(0, len(tokens) - size, size // 2), len(tokens) - size]
        if len(starts) > WINDOWS_MAX:
            starts = [starts[int(at)] for at in np.linspace(0, len(starts) - 1, WINDOWS_MAX)]
        out += [tokens[start : start + size] for start in starts]
    return out


def fit(examples: Sequence[Example], known: Features, allowed: Matrix, seed: int) -> bytes:
    """An artefact from those examples that are `allowed`; the rest is as if it did not exist."""
    attack = np.array([example.attack for example in examples])
    held = np.array([example.calibration for example in examples])
    doubtful = np.array([example.source in NEVER_FITTED for example in examples])
    fitted = allowed & ~held & ~doubtful
    names = np.array([f"{example.source} {example.attack}" for example in examples])
    model = _select_and_fit(known, attack, names, fitted, seed)
    weights = model.coef_[0]
    # The largest few weights are cut off: a scale for them would leave too few steps for all others.
    scale = float(np.quantile(np.abs(weights[weights != 0]), 0.9995)) / (ZERO - 1)
    table = (np.clip(np.rint(weights / scale), 1 - ZERO, ZERO - 1) + ZERO).astype(np.uint8).tobytes()
    meta: dict[str, Any] = {
        "format": 1,
        "sha256": hashlib.sha256(table).hexdigest(),
        "version": "inj-" + hashlib.sha256(table).hexdigest()[:12],
        "scale": scale,
        "bias": float(model.intercept_[0]),
        "seed": seed,
        "thresholds": {"user": 1.0, "foreign": 1.0},  # until they are measured below
    }
    neutral = {"slope": 1.0, "offset": 0.0}
    raw = Injection.read(pack({**meta, "user": neutral, "foreign": neutral}, table))
    pool = [example for example, use in zip(examples, allowed & held & ~doubtful, strict=True) if use]
    meta["user"] = _calibrate(raw, pool, seed, foreign=False)
    meta["foreign"] = _calibrate(raw, pool, seed, foreign=True)
    artefact = pack(meta, table)
    finished = Injection.read(artefact)
    meta["thresholds"] = {kind: threshold(finished, pool, foreign=kind == "foreign") for kind in ("user", "foreign")}
    return pack(meta, table)


def pack(meta: dict[str, Any], table: bytes) -> bytes:
    """The artefact's form: one line of JSON, then the table."""
    return orjson.dumps(meta, option=orjson.OPT_SORT_KEYS) + b"\n" + table


def _select_and_fit(known: Features, attack: Matrix, names: Matrix, fitted: Matrix, seed: int) -> LogisticRegression:
    """Fit, keep of each attack the windows that look like one, fit again."""
    rows = fitted[known.owner]
    matrix, owner = known.matrix[rows], known.owner[rows]
    target = attack[owner]
    weights = _evened(names[owner], target)
    chosen = np.ones(len(target), dtype=bool)
    for turn in range(ROUNDS):
        model = LogisticRegression(
            C=STRENGTH,
            solver="liblinear",
            dual=True,
            class_weight="balanced",
            tol=0.1,
            max_iter=PASSES_MAX,
            random_state=seed,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(matrix[chosen], target[chosen], sample_weight=weights[chosen])
        if turn + 1 < ROUNDS:
            odds = model.decision_function(matrix)
            best = np.full(len(attack), -np.inf)
            np.maximum.at(best, owner, odds)
            chosen = ~target | (odds >= best[owner] - 1e-9) | (odds > 1.0)
    return model


def _evened(names: Matrix, target: Matrix) -> Matrix:
    """Weights that make large sources count less; the sum of either label stays what it was."""
    _, inverse, counts = np.unique(names, return_inverse=True, return_counts=True)
    weights = (counts**-SOURCE_POWER)[inverse]
    for label in (True, False):
        weights[target == label] /= weights[target == label].mean()
    return weights


def _calibrate(raw: Injection, pool: Sequence[Example], seed: int, *, foreign: bool) -> dict[str, float]:
    """Platt's scaling on the pool; attacks and benign texts weigh the same, and a source by the root of its size."""
    used = [example for example in pool if example.document == foreign]
    evidence = np.array([[raw.signs(example.text, foreign=foreign)[0]] for example in used])
    targets = np.array([example.attack for example in used])
    sizes = Counter((example.source, example.attack) for example in used)
    weights = np.array([1 / math.sqrt(sizes[example.source, example.attack]) for example in used])
    for label in (True, False):
        weights[targets == label] /= weights[targets == label].sum()
    model = LogisticRegression(C=1e3, random_state=seed)
    model.fit(evidence, targets, sample_weight=weights * len(used) / 2)
    return {"slope": float(model.coef_[0][0]), "offset": float(model.intercept_[0])}


def threshold(model: Injection, pool: Sequence[Example], *, foreign: bool) -> float:
    """The score above which too many benign texts of the calibration pool lie, everyday ones or look-alikes.

    Documents are few: what users wrote is judged as if a document said it, to have enough benign texts.
    """
    said = Provenance.DOCUMENT if foreign else Provenance.USER
    pool = [example for example in pool if not example.attack and not example.source.startswith(NOT_EVERYDAY)]
    used = [example for example in pool if example.document or not foreign]
    everyday = [example for example in used if not TRIGGERS.search(example.text)]
    alike = [example for example in used if TRIGGERS.search(example.text)]
    if foreign:
        everyday += [e for e in pool if not e.document and not TRIGGERS.search(e.text)]
    shares = (FALSE_SHARE_FOREIGN, FALSE_SHARE_ALIKE_FOREIGN) if foreign else (FALSE_SHARE, FALSE_SHARE_ALIKE)
    levels = list(zip((everyday, alike), shares, strict=True))
    return max(
        float(np.quantile([model.assess(example.text, said).score for example in texts], 1 - share))
        for texts, share in levels
        if texts
    )
