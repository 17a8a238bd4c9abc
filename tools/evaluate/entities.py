"""How much personal data is found, with names and without: recall, precision and F2 over characters, per source.

Usage: `python -m tools.evaluate.entities DATA_FOLDER [--json FILE]` where `make analysis` was run. Prints Markdown.
Nothing is trained here: spaCy's model has seen none of these texts, and our patterns were not fitted to them.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from analysis.ner import LOCATION, ORGANIZATION, PERSON, Names, pieces
from extproc.detectors.catalogue import RULES
from extproc.guardrails.scanner import Scanner
from gateway.clock import SystemClock

#: Labels of the sources that are names, and what they are to us.
NAMES: Final[Mapping[str, str]] = {
    "PERSON": PERSON,
    "PERSON_NAME": PERSON,
    "ORGANIZATION": ORGANIZATION,
    "ORGANIZATION_NAME": ORGANIZATION,
    "LOCATION": LOCATION,
    "LOCATION_NAME": LOCATION,
}
#: Labels that no detector of ours claims to find: what somebody has, takes, does or believes, and when.
UNCLAIMED: Final = frozenset(
    {
        *("TIMESTAMP", "HEALTH_CONDITION", "MEDICATION_NAME", "PROCEDURE_NAME", "JOB_TITLE", "EDUCATION_LEVEL"),
        *("VEHICLE_MODEL", "RELIGIOUS_BELIEF", "SALARY", "POLITICAL_OPINION", "ETHNICITY", "NATIONALITY"),
        *("MARITAL_STATUS", "GENDER", "AGE", "HOUSEHOLD_SIZE"),
    }
)
_SOURCES: Final = ("pii-anon-test_clinical", "pii-anon-test_technology", "wnut17", "broad-twitter")
_BETA: Final = 2  # a name that is missed costs more than one too many


def main() -> None:
    """Evaluate and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--every", type=int, default=1, help="only each Nth text")
    arguments = parser.parse_args()
    rows = evaluate(arguments.data / "pii", arguments.every)
    print(table(rows))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def evaluate(folder: Path, every: int = 1) -> list[dict[str, Any]]:
    """One row for each source and what was looked for, and for all sources together."""
    names, scanner = Names.load(SystemClock()), Scanner(RULES)
    rows: list[dict[str, Any]] = []
    whole: dict[str, Counter[str]] = {}
    for source in _SOURCES:
        counts: dict[str, Counter[str]] = {}
        for text, spans in _texts(folder / f"{source}.jsonl", every):
            named = [(rule, s + start, e + start) for start, piece in pieces(text) for rule, s, e in names.find(piece)]
            matched = [(found.start, found.end) for found in scanner.scan(text)]
            for what, want, got in _views(spans, named, matched):
                count = counts.setdefault(what, Counter())
                right = len(want & got)
                count.update(right=right, missed=len(want) - right, wrong=len(got) - right)
        for what, count in counts.items():
            rows.append(_row(source, what, count))
            whole.setdefault(what, Counter()).update(count)
    return rows + [_row("all", what, count) for what, count in whole.items()]


def _views(
    spans: Sequence[tuple[str, int, int]], named: Sequence[tuple[str, int, int]], matched: Sequence[tuple[int, int]]
) -> Iterator[tuple[str, set[int], set[int]]]:
    """What is asked, the characters that should be found, and those that are."""
    patterns = _characters(matched)
    names = _characters((start, end) for _, start, end in named)
    everything = _characters((start, end) for _, start, end in spans)
    unclaimed = _characters((start, end) for kind, start, end in spans if kind in UNCLAIMED)
    yield "every label: patterns", everything, patterns
    yield "every label: patterns and names", everything, patterns | names
    yield "labels that we claim: patterns", everything - unclaimed, patterns - unclaimed
    yield "labels that we claim: patterns and names", everything - unclaimed, (patterns | names) - unclaimed
    for rule in (PERSON, ORGANIZATION, LOCATION):
        want = _characters((start, end) for kind, start, end in spans if NAMES.get(kind) == rule)
        yield rule, want, _characters((start, end) for found, start, end in named if found == rule)


def _characters(spans: Any) -> set[int]:
    return {place for start, end in spans for place in range(start, end)}


def _texts(path: Path, every: int) -> Iterator[tuple[str, list[tuple[str, int, int]]]]:
    lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")  # not splitlines: texts hold U+2028
    for line in lines[::every]:
        row = json.loads(line)
        yield row["text"], [(span["type"], span["start"], span["end"]) for span in row["spans"]]


def _row(source: str, what: str, count: Counter[str]) -> dict[str, Any]:
    right, missed, wrong = count["right"], count["missed"], count["wrong"]
    weight = _BETA**2
    return {
        "source": source,
        "what": what,
        "recall": round(right / max(1, right + missed), 3),
        "precision": round(right / max(1, right + wrong), 3),
        "f2": round((1 + weight) * right / max(1, (1 + weight) * right + weight * missed + wrong), 3),
        "characters": right + missed,
    }


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as Markdown."""
    lines = ["| source | looked for | recall | precision | F2 | characters |", "|---|---|---|---|---|---|"]
    for row in rows:
        shares = " | ".join(f"{row[name]:.3f}" for name in ("recall", "precision", "f2"))
        lines.append(f"| {row['source']} | {row['what']} | {shares} | {row['characters']:,} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
