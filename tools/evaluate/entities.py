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
from tools.evaluate.spans import BOTH, SOURCES, UNCLAIMED, Labelled, characters, compared, labelled, rows, table, texts

#: Labels of the sources that are names, and what they are to us.
NAMES: Final[Mapping[str, str]] = {
    "PERSON": PERSON,
    "PERSON_NAME": PERSON,
    "ORGANIZATION": ORGANIZATION,
    "ORGANIZATION_NAME": ORGANIZATION,
    "LOCATION": LOCATION,
    "LOCATION_NAME": LOCATION,
}


def main() -> None:
    """Evaluate and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--every", type=int, default=1, help="only each Nth text")
    arguments = parser.parse_args()
    found = evaluate(arguments.data / "pii", arguments.every)
    print(table(found))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


def evaluate(folder: Path, every: int = 1) -> list[dict[str, Any]]:
    """One row for each source and what was looked for, and for all sources together."""
    names, scanner = Names.load(SystemClock()), Scanner(RULES)
    counts: dict[str, dict[str, Counter[str]]] = {}
    for source in SOURCES:
        asked = counts.setdefault(source, {})
        for text, spans in texts(folder / f"{source}.jsonl", every):
            named = [(rule, s + start, e + start) for start, piece in pieces(text) for rule, s, e in names.find(piece)]
            matched = [(found.start, found.end) for found in scanner.scan(text)]
            for what, want, got in _views(spans, named, matched):
                asked.setdefault(what, Counter()).update(compared(want, got))
    return rows(counts)


def _views(
    spans: Sequence[Labelled], named: Sequence[tuple[str, int, int]], matched: Sequence[tuple[int, int]]
) -> Iterator[tuple[str, set[int], set[int]]]:
    """What is asked, the characters that should be found, and those that are."""
    patterns = characters(matched)
    both = patterns | characters((start, end) for _, start, end in named)
    everything = characters((start, end) for _, start, end in spans)
    unclaimed = labelled(spans, UNCLAIMED)
    shared = labelled(spans, BOTH)
    yield "every label: patterns", everything, patterns
    yield "every label: patterns and names", everything, both
    yield "labels that we claim: patterns", everything - unclaimed, patterns - unclaimed
    yield "labels that we claim: patterns and names", everything - unclaimed, both - unclaimed
    yield "labels that Presidio claims too: patterns and names", shared, both - (everything - shared)
    for rule in (PERSON, ORGANIZATION, LOCATION):
        want = characters((start, end) for kind, start, end in spans if NAMES.get(kind) == rule)
        yield rule, want, characters((start, end) for found, start, end in named if found == rule)


if __name__ == "__main__":
    main()
