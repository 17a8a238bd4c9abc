"""Leave-one-source-out for the content classes: fit and calibrate without a source, then test on it.

Usage: `python -m tools.evaluate.content DATA_FOLDER [--json FILE]`. Prints Markdown. Harmless texts are questions that
people asked (never fitted on) and the left-out source's own; the score of "any" is the highest of all classes of harm.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np  # of requirements/train.in
from sklearn.metrics import roc_auc_score

from extproc.detectors.content.assess import Content
from extproc.detectors.content.classes import CLASSES, EXPERIMENTAL, HARMLESS
from extproc.detectors.content.lexicon import Lexicon
from tools.train.content import REQUESTS, TOXICITY, Example, fit, load

#: Never fitted on and asked by people: the harmless side of every figure.
EVERYDAY: Final = "qqp-train"
#: Share of EVERYDAY that lies above the threshold at which recall is told.
FALSE_SHARE: Final = 0.01
#: Fewer texts than this say nothing.
LEAST: Final = 5
_HARM: Final = [place for place, name in enumerate(CLASSES) if name not in HARMLESS]


def main() -> None:
    """Evaluate and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", nargs="*", default=[s for s in (*REQUESTS, *TOXICITY) if "/" not in s])
    arguments = parser.parse_args()
    rows = evaluate(load(arguments.data), arguments.only)
    print(page(rows))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def evaluate(examples: Sequence[Example], only: Sequence[str]) -> list[dict[str, Any]]:
    """Rows for each source left out: "any", and each class that its labels tell."""
    lexicon = Lexicon()
    everyday = [e for e in examples if e.source == EVERYDAY]
    rows = []
    for source in only:
        model = Content(fit(examples, {source}, lexicon), lexicon)
        usual = np.array([model.assess(e.text) for e in everyday])
        tested = [e for e in examples if e.source == source]
        scores = np.array([model.assess(e.text) for e in tested])
        rows += _rows(source, tested, scores, usual, np.array(model.thresholds))
        print(f"{source}: done", file=sys.stderr, flush=True)
    return rows


def _rows(source: str, tested: Sequence[Example], scores: Any, usual: Any, thresholds: Any) -> list[dict[str, Any]]:
    harmful = np.array([e.harmful for e in tested])
    parts = {"any": (harmful, _HARM)}
    for place, name in enumerate(CLASSES):
        parts[name] = (np.array([e.label == name for e in tested]), [place])
    rows = []
    for name, (positive, places) in parts.items():
        if positive.sum() < LEAST:
            continue
        found, own, against = (each[:, places].max(axis=1) for each in (scores[positive], scores[~harmful], usual))
        above = (scores[positive][:, places] >= thresholds[places]).any(axis=1)
        false = (usual[:, places] >= thresholds[places]).any(axis=1)
        rows.append(
            {
                "source": source,
                "class": name,
                "n": int(positive.sum()),
                "auc": round(_auc(found, against), 4),
                "auc_own": round(_auc(found, own), 4) if len(own) >= LEAST else None,
                "recall": round(float((found > np.quantile(against, 1 - FALSE_SHARE)).mean()), 4),
                "fired": round(float(above.mean()), 4),
                "false": round(float(false.mean()), 4),
            }
        )
    return rows


def _auc(harmful: Any, harmless: Any) -> float:
    target = np.concatenate([np.ones(len(harmful)), np.zeros(len(harmless))])
    return float(roc_auc_score(target, np.concatenate([harmful, harmless])))


def page(rows: Sequence[Mapping[str, Any]]) -> str:
    """The mean that the requirements name, then all rows as Markdown."""
    whole = [row for row in rows if row["class"] == "any"]
    mean = float(np.mean([row["auc"] for row in whole]))
    # A source that has harmless texts of its own tells more than everyday questions do: the same people wrote both.
    strict = float(np.mean([row["auc"] if row["auc_own"] is None else row["auc_own"] for row in whole]))
    recall = float(np.mean([row["recall"] for row in whole]))
    lines = [
        "| figure, mean over the sources left out | measured | wanted |",
        "|---|---|---|",
        f"| AUC of any class against everyday questions | {mean:.3f} | 0.80 |",
        f"| the same, against the source's own harmless texts where it has them | {strict:.3f} | |",
        f"| recall of any class at {FALSE_SHARE:.0%} false positives | {recall:.3f} | |",
        "",
        "| left out | class | texts | AUC, everyday | AUC, own harmless | recall at 1 % | fired | everyday fired |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        note = " (experimental)" if row["class"] in EXPERIMENTAL else ""
        own = "" if row["auc_own"] is None else f"{row['auc_own']:.3f}"
        lines.append(
            f"| {row['source']} | {row['class']}{note} | {row['n']} | {row['auc']:.3f} | {own} | {row['recall']:.3f} "
            f"| {row['fired']:.3f} | {row['false']:.3f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
