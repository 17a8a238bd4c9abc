"""Train the models of the content classes: data in, `weights.bin` and the generated parts of their model card out.

Usage: `python -m tools.train.content DATA_FOLDER [--evaluation FILE]` in an environment of requirements/train.in.
FILE is what `tools.evaluate.content --json` wrote; without it the card keeps its figures.
"""

import argparse
import hashlib
import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import numpy as np  # of requirements/train.in
import orjson
from sklearn.linear_model import LogisticRegression

from extproc.detectors.content.assess import Content
from extproc.detectors.content.classes import (
    CLASSES,
    CODE,
    CYBER_ABUSE,
    EXPERIMENTAL,
    FINANCIAL_ADVICE,
    HARASSMENT,
    HARMLESS,
    HATE,
    ILLICIT,
    MINORS,
    SELF_HARM,
    SEXUAL,
    TOXIC,
    VIOLENCE,
    WEAPONS,
)
from extproc.detectors.content.lexicon import Lexicon
from extproc.detectors.injection.linear import ZERO
from tools.train import corpus
from tools.train.fit import features
from tools.train.harms import harms

SEED: Final = 20261122
#: Inverse regularisation: scikit-learn's default. Others were not tried.
STRENGTH: Final = 1.0
#: Texts of one source that are fitted on: the largest has 24,000 and one voice.
MOST: Final = 6_000
#: Share of everyday texts of the calibration pool above the recommended threshold of each single class.
FALSE_SHARE: Final = 0.001
#: A recommended threshold is never below even odds. That of CODE is there: much of what is everyday is code.
LEAST_THRESHOLD: Final = 0.5
REQUESTS: Final = ("donotanswer", "catqa", "harmbench", "harmfulqa", "advbench", "generated/harms")
TOXICITY: Final = ("davidson-hate", "hatemoji-build", "jigsaw-sample")
#: Labelled harmful by their sources, but not what these classes are for: copyright, feelings for a chatbot, rumours.
_NOT_OURS: Final = frozenset({"copyright", "human_chatbox", "misinformation_harms"})
#: (source, beginning of its kind) -> class. What is not here is measured as harmful without a class.
_CLASS_OF: Final = (
    ("catqa", "Adult Content/", SEXUAL),
    ("catqa", "Child Abuse/", MINORS),
    ("catqa", "Hate/Harass/Violence/Cyberbullying", HARASSMENT),
    ("catqa", "Hate/Harass/Violence/Terrorism", VIOLENCE),
    ("catqa", "Hate/", HATE),
    ("catqa", "Privacy Violation Activity/Doxxing", HARASSMENT),
    ("catqa", "Physical Harm/Assault", VIOLENCE),
    ("catqa", "Physical Harm/Self-harm", SELF_HARM),
    ("catqa", "Physical Harm/Weapon", WEAPONS),
    ("catqa", "Illegal Activity/Weapon", WEAPONS),
    ("catqa", "Illegal Activity/Cybercrime", CYBER_ABUSE),
    ("catqa", "Illegal Activity/", ILLICIT),
    ("catqa", "Malware Viruses/", CYBER_ABUSE),
    ("catqa", "Privacy Violation Activity/Data theft", CYBER_ABUSE),
    ("catqa", "Fraud/Deception/Phishing", CYBER_ABUSE),
    ("catqa", "Fraud/", ILLICIT),
    ("catqa", "Economic Harm/", ILLICIT),
    ("catqa", "Tailored Financial Advice/", FINANCIAL_ADVICE),
    ("harmbench", "chemical_biological", WEAPONS),
    ("harmbench", "cybercrime_intrusion", CYBER_ABUSE),
    ("harmbench", "illegal", ILLICIT),
    ("harmbench", "harassment_bullying", HARASSMENT),
    ("hatemoji-build", "", HATE),
    ("davidson-hate", "hate", HATE),
    ("davidson-hate", "offensive", HARASSMENT),
    ("jigsaw-sample", "", HARASSMENT),
)


@dataclass(frozen=True, slots=True)
class Example:
    """One text with what is known about it. Fits `tools.train.fit.features`."""

    text: str
    harmful: bool
    source: str
    label: str | None  # the class, where its source tells
    calibration: bool  # kept from fitting
    document: bool = False


def main() -> None:
    """Train, write the artefact, fill in the card."""
    from tools.evaluate.content import page  # noqa: PLC0415 - the evaluation imports this module
    from tools.train.injection import replaced  # noqa: PLC0415

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--evaluation", type=Path)
    arguments = parser.parse_args()
    root = Path(__file__).resolve().parents[2]
    examples = load(arguments.data)
    artefact = fit(examples, frozenset(), Lexicon())
    (root / "extproc/detectors/content/weights.bin").write_bytes(artefact)
    meta = orjson.loads(artefact.partition(b"\n")[0])
    card = root / "docs/models/content.md"
    text = replaced(card.read_text(encoding="utf-8"), "artefact", _facts(meta, len(artefact)))
    text = replaced(text, "data", _data(arguments.data, examples))
    if arguments.evaluation:
        text = replaced(text, "figures", page(json.loads(arguments.evaluation.read_text(encoding="utf-8"))))
    card.write_text(text, encoding="utf-8")
    print(meta["version"], meta["thresholds"])


def load(folder: Path) -> list[Example]:
    """Every example: the data folder's content part, its everyday texts, and those of the generators."""
    examples = []
    for source in (*REQUESTS, *TOXICITY):
        path = folder / f"content/{source}.jsonl"
        lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n") if path.exists() else []
        for line in lines[:: max(1, len(lines) // MOST)]:
            row = json.loads(line)
            if row["kind"] not in _NOT_OURS:
                examples.append(_example(row["text"], source, row["kind"], harmful=bool(row["label"])))
    examples += [_example(text, "generated/harms", "", harmful=harmful) for text, harmful in harms(SEED)]
    for each in corpus.load(folder, SEED):
        # Look-alikes of attacks came after the shipped weights were fitted; they say nothing of what a text is about.
        if not each.attack and not each.document and not each.source.startswith("generated/alike"):
            examples.append(Example(each.text, False, each.source, None, each.calibration))
    return examples


def _example(text: str, source: str, kind: str, *, harmful: bool) -> Example:
    label = next((name for where, start, name in _CLASS_OF if where == source and kind.startswith(start)), None)
    kept = crc32(text.encode("utf-8", "replace")) % corpus.CALIBRATION_SHARE == 0
    return Example(text, harmful, source, label if harmful else None, kept)


def fit(examples: Sequence[Example], left_out: Collection[str], lexicon: Lexicon) -> bytes:
    """An artefact from the examples whose source is not left out."""
    allowed = [e for e in examples if e.source not in left_out and e.source not in corpus.NEVER_FITTED]
    toxic_of = [e for e in allowed if e.source not in REQUESTS or not e.harmful]
    request_of = [e for e in allowed if e.source not in TOXICITY]
    meta: dict[str, Any] = {"format": 1, "seed": SEED, "thresholds": dict.fromkeys(CLASSES, 1.0)}
    tables = b""
    for name, used in (("request", request_of), ("toxic", toxic_of)):
        table, scale, bias = _model([e for e in used if not e.calibration])
        tables += table
        meta[name] = {"scale": scale, "bias": bias, "slope": 1.0, "offset": 0.0}
    meta["sha256"] = hashlib.sha256(tables).hexdigest()
    meta["version"] = "con-" + meta["sha256"][:12]
    raw = Content(_packed(meta, tables), lexicon)
    pool = [e for e in allowed if e.calibration]
    requests = [place for place, name in enumerate(CLASSES) if name not in HARMLESS | TOXIC]
    toxics = [place for place, name in enumerate(CLASSES) if name in TOXIC]
    seen = [raw.evidence(e.text) for e in pool]
    for name, places, others in (("request", requests, TOXICITY), ("toxic", toxics, REQUESTS)):
        rows = [(max(found[place] for place in places), e) for found, e in zip(seen, pool, strict=True)]
        meta[name] |= _calibrated([(odds, e) for odds, e in rows if e.source not in others])
    finished = Content(_packed(meta, tables), lexicon)
    everyday = np.array([finished.assess(e.text) for e in pool if not e.harmful and e.source not in TOXICITY])
    levels = np.quantile(everyday, 1 - FALSE_SHARE, axis=0)
    meta["thresholds"] = {
        name: round(LEAST_THRESHOLD if name == CODE else max(LEAST_THRESHOLD, float(level)), 4)
        for name, level in zip(CLASSES, levels, strict=True)
    }
    return _packed(meta, tables)


def _packed(meta: dict[str, Any], tables: bytes) -> bytes:
    return orjson.dumps(meta, option=orjson.OPT_SORT_KEYS) + b"\n" + tables


def _model(used: Sequence[Example]) -> tuple[bytes, float, float]:
    """Weights as bytes, their scale, and the bias. A source weighs by the root of its size."""
    known = features(used)
    target = np.array([e.harmful for e in used])[known.owner]
    sizes = Counter((e.source, e.harmful) for e in used)
    weight = np.array([sizes[e.source, e.harmful] ** -0.5 for e in used])[known.owner]
    for side in (True, False):
        weight[target == side] *= len(target) / 2 / weight[target == side].sum()
    model = LogisticRegression(C=STRENGTH, solver="liblinear", tol=1e-3, random_state=SEED)
    model.fit(known.matrix, target, sample_weight=weight)
    weights = model.coef_[0]
    # The largest few weights are cut off: a scale for them would leave too few steps for all others.
    scale = float(np.quantile(np.abs(weights[weights != 0]), 0.9995)) / (ZERO - 1)
    table = (np.clip(np.rint(weights / scale), 1 - ZERO, ZERO - 1) + ZERO).astype(np.uint8).tobytes()
    return table, scale, float(model.intercept_[0])


def _calibrated(rows: Sequence[tuple[float, Example]]) -> dict[str, float]:
    """Platt's scaling; harmful and harmless weigh the same."""
    target = np.array([e.harmful for _, e in rows])
    model = LogisticRegression(C=1e3, class_weight="balanced", random_state=SEED)
    model.fit(np.array([[odds] for odds, _ in rows]), target)
    return {"slope": float(model.coef_[0][0]), "offset": float(model.intercept_[0])}


def _facts(meta: dict[str, Any], size: int) -> str:
    lines = [
        "| what | value |",
        "|---|---|",
        f"| version | `{meta['version']}` |",
        f"| SHA-256 of the tables | `{meta['sha256']}` |",
        f"| size | {size:,} bytes |",
        f"| seed | {meta['seed']} |",
        f"| inverse regularisation | {STRENGTH:g} |",
        f"| everyday texts of the calibration pool above a threshold | {FALSE_SHARE:.1%} of each class |",
    ]
    for name in CLASSES:
        note = " (experimental)" if name in EXPERIMENTAL else ""
        lines.append(f"| threshold of `{name}`{note} | {meta['thresholds'][name]:.4f} |")
    return "\n".join(lines)


def _data(folder: Path, examples: Sequence[Example]) -> str:
    licence = corpus.licences(folder)
    counts = Counter((e.source, e.harmful) for e in examples)
    lines = ["| source | harmful | harmless | use | licence |", "|---|---|---|---|---|"]
    for source in sorted({source for source, _ in counts}):
        use = "test only" if source in corpus.NEVER_FITTED else "fit and calibration"
        own = "ours" if source.startswith("generated/") else licence[source.removeprefix("pii/")]
        lines.append(f"| {source} | {counts[source, True]} | {counts[source, False]} | {use} | {own} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
