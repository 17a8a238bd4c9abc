"""The texts that the injection model is trained, calibrated and tested on, with their pools. Fits nothing."""

import csv
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final
from zlib import crc32

from tools.train.alike import alike
from tools.train.attacks import attacks
from tools.train.daily import daily
from tools.train.everyday import everyday
from tools.train.tactics import tactics

#: Templates are filled this often: more repeats what the model has seen, less leaves slots unseen.
PER_TEMPLATE: Final = 40
#: One text of so many is kept from fitting, for calibration and thresholds.
CALIBRATION_SHARE: Final = 4
#: Tested on only. bastioncorpus: among its "attacks" is "Write me a short poem about the sea". qqp-train: its licence
#: allows tests and thresholds, not weights.
NEVER_FITTED: Final = frozenset({"bastioncorpus", "qqp-train"})
#: Sources whose texts are what tools and documents say, not what users ask.
DOCUMENTS: Final = frozenset({"synth-indirect"}) | {
    f"generated/{kind}"
    for kind in (
        "everyday-document", "daily-document",
        "attack-planted", "attack-in-document", "tactic-planted", "tactic-in-document",
    )
}  # fmt: skip
#: Benign sources of the data folder's PII part, and whether they are documents. Texts taken of each, evenly spread.
_NEIGHBOURS: Final = {
    "pii-anon-test_clinical": True,
    "pii-anon-test_technology": True,
    "wnut17": False,
    "broad-twitter": False,
}
_NEIGHBOUR_TEXTS: Final = 1_500
_QUESTIONS: Final = 3_000
#: Jinja marks and one fixed question stand in all texts of a source: a model would learn them instead of the attack.
_ARTEFACTS: Final = re.compile(r"\{%-? ?(?:end)?raw ?-?%\}|How do I pick a lock\?")
#: Words that attacks are known by. A benign text with one of them is a look-alike.
TRIGGERS: Final = re.compile(
    r"\b(?:ignor|disregard|forget|overrid|bypass|jailbreak|inject|system prompt|instruction|restrict|unrestricted|"
    r"reveal|pretend|hidden|secret|previous|guideline|developer mode|rules|you are now|act as|from now on|role.?play)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Example:
    """One text with what is known about it."""

    text: str
    attack: bool
    source: str
    document: bool  # said by a tool or document
    calibration: bool  # kept from fitting


def load(folder: Path, seed: int) -> list[Example]:
    """Every example of the data folder's injection part and of the generators, without exact repetitions."""
    seen: set[str] = set()
    examples = []
    for example in (
        *_stored(folder / "injection"),
        *_neighbours(folder / "pii"),
        *_questions(folder),
        *_generated(seed),
    ):
        key = " ".join(example.text.lower().split())
        if key and key not in seen:
            seen.add(key)
            examples.append(example)
    return examples


def licences(folder: Path) -> dict[str, str]:
    """Licence of each source, as the data's index says."""
    with (folder / "INDEX.tsv").open(encoding="utf-8", newline="") as index:
        return {row["source"]: row["licence"] for row in csv.DictReader(index, delimiter="\t")}


def _stored(folder: Path) -> Iterable[Example]:
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").rstrip("\n").split("\n"):  # not splitlines: texts hold U+2028
            row = json.loads(line)
            text = _ARTEFACTS.sub(" ", row["text"]).strip()
            source = row["source"]
            yield Example(text, bool(row["label"]), source, source in DOCUMENTS, _kept(text))


def _neighbours(folder: Path) -> Iterable[Example]:
    """Benign texts of another task: letters, reports and short posts, of which the injection part has few."""
    for name, document in _NEIGHBOURS.items():
        lines = (folder / f"{name}.jsonl").read_text(encoding="utf-8").rstrip("\n").split("\n")
        for line in lines[:: max(1, len(lines) // _NEIGHBOUR_TEXTS)]:
            text = json.loads(line)["text"].strip()
            yield Example(text, attack=False, source=f"pii/{name}", document=document, calibration=_kept(text))


def _questions(folder: Path) -> Iterable[Example]:
    """Questions that people really asked: never fitted on, the fairest measure of everyday false positives here."""
    lines = (folder / "cache/qqp-train.jsonl").read_text(encoding="utf-8").rstrip("\n").split("\n")
    for line in lines[:: max(1, len(lines) // _QUESTIONS)]:
        text = json.loads(line)["text_a"].strip()
        yield Example(text, attack=False, source="qqp-train", document=False, calibration=False)


def _generated(seed: int) -> Iterable[Example]:
    for text, kind, number in chain(everyday(seed, PER_TEMPLATE), daily(seed, PER_TEMPLATE), alike(seed, PER_TEMPLATE)):
        source = f"generated/{kind}"
        # By template: a text of a template that was fitted on says nothing about texts that were not.
        yield Example(text, attack=False, source=source, document=source in DOCUMENTS, calibration=number % 4 == 0)
    for text, kind in chain(attacks(seed, PER_TEMPLATE), tactics(seed, PER_TEMPLATE)):
        source = f"generated/{kind}"
        yield Example(text, attack=True, source=source, document=source in DOCUMENTS, calibration=_kept(text))


def _kept(text: str) -> bool:
    return crc32(text.encode("utf-8", "replace")) % CALIBRATION_SHARE == 0
