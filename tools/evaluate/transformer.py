"""Leave-one-source-out for the whole cascade: (a) and (b) outside the grey zone, (c) inside it.

Usage: `python -m tools.evaluate.transformer DATA_FOLDER CACHE.npz [--json FILE]`; CACHE is of `tools.train.embed`.
Both stages are fitted without the source, thresholds and grey zone frozen on the calibration pool of what is left.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from analysis.head import Head
from extproc.detectors.injection.assess import Injection
from extproc.detectors.injection.provenance import Provenance
from tools.evaluate.injection import EVERYDAY, GROUPS, SEED, summary
from tools.train import fit as first_stage
from tools.train.corpus import TRIGGERS, Example, load
from tools.train.head import Vectors, fit, vectors, worst
from tools.train.vectors import read

_COMPOSED: Final = "synth-indirect"  # of attacks of the other sources: goes whenever any of those is tested
_STRICT: Final = "synth-indirect, parts unknown too"


def main() -> None:
    """Evaluate and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", nargs="*", default=list(GROUPS))
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for more in evaluate(arguments.data, arguments.cache, arguments.only):
        rows += more
        if arguments.json:  # after every group: the next one takes minutes
            arguments.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    print(table(rows))


def evaluate(data: Path, cache: Path, only: Sequence[str] = tuple(GROUPS)) -> Iterator[list[dict[str, Any]]]:
    """Of each group one row for each (source, label, part), with the shares of (a) and (b) alone beside it."""
    examples = load(data, SEED)
    windows = first_stage.features(examples)
    known = vectors(examples, read(cache))
    for group in only:
        out = GROUPS[group]
        left = np.array([e.source in out for e in examples])
        allowed = ~left & np.array([e.source != _COMPOSED or group == "tasks" for e in examples])
        linear = Injection.read(first_stage.fit(examples, windows, allowed, SEED))
        yield _tested(group, linear, Head.read(fit(examples, known, allowed, linear, SEED)), examples, known, left)
        print(f"{group}: done", file=sys.stderr, flush=True)


def _tested(
    group: str, linear: Injection, head: Head, examples: Sequence[Example], known: Vectors, left: Any
) -> list[dict[str, Any]]:
    odds = worst(examples, known, linear, *head.layers[0])
    seen: dict[tuple[str, bool, str], list[tuple[bool, bool, bool]]] = defaultdict(list)
    for number in np.flatnonzero(left):
        example = examples[number]
        if group == _STRICT:
            if example.source != _COMPOSED:
                continue
            example = replace(example, source=_STRICT)
        outcome = judged(linear, head, example, float(odds[number]))
        parts = ["all"]
        if not example.attack and TRIGGERS.search(example.text):
            parts.append("look-alike")
        if not example.text.isascii():
            parts.append("not ASCII")
        for part in parts:
            seen[example.source, example.attack, part].append(outcome)
    rows = []
    for (source, attack, part), outcomes in sorted(seen.items()):
        before, share, asked = (round(float(each), 4) for each in np.mean(outcomes, axis=0))
        row = {"group": group, "source": source, "attack": attack, "part": part, "n": len(outcomes)}
        rows.append({**row, "share": share, "before": before, "asked": asked})
    return rows


def judged(linear: Injection, head: Head, example: Example, odds: float) -> tuple[bool, bool, bool]:
    """Whether (a) and (b) alone call it an attack, whether the cascade does, and whether (c) was asked."""
    foreign = example.document
    first = linear.assess(example.text, Provenance.DOCUMENT if foreign else Provenance.USER).score
    grey = head.grey[foreign]
    before = first >= linear.thresholds[foreign]
    if not grey.low <= first < grey.high:
        return before, first >= grey.high, False
    evidence, _, _ = linear.signs(example.text, foreign=foreign)
    return before, head.score(odds, evidence, foreign=foreign) >= head.thresholds[foreign], True


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The figures that the requirements name without and with (c), then every row. Of groups that were run."""
    before = summary([{**row, "share": row["before"]} for row in rows]).splitlines()
    after = summary(rows).splitlines()
    lines = ["| figure, left out and measured | (a) and (b) | with (c) | wanted |", "|---|---|---|---|"]
    for old, new in zip(before[2:], after[2:], strict=True):
        what, was = (cell.strip() for cell in old.strip("|").split("|")[:2])
        now, wanted = (cell.strip() for cell in new.strip("|").split("|")[1:3])
        lines.append(f"| {what} | {was} | {now} | {wanted} |")
    everyday = [r for r in rows if not r["attack"] and r["part"] == "all" and r["source"] in EVERYDAY]
    asked = sum(row["asked"] * row["n"] for row in everyday) / sum(row["n"] for row in everyday)
    lines.append(f"| share of everyday prompts that is asked about | | {asked:.1%} | 5 % |")
    lines += [
        "",
        "| left out | what | part | n | (a) and (b) | with (c) | asked about |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in sorted(rows, key=lambda each: (not each["attack"], each["source"], each["part"])):
        what = "attacks (recall)" if row["attack"] else "benign (false positives)"
        shares = f"{row['before']:.3f} | {row['share']:.3f} | {row['asked']:.3f}"
        lines.append(f"| {row['source']} | {what} | {row['part']} | {row['n']} | {shares} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
