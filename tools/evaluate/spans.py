"""Labelled texts and the counting of characters that were found in them, the same for every finder. Finds nothing."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

SOURCES: Final = ("pii-anon-test_clinical", "pii-anon-test_technology", "wnut17", "broad-twitter")
#: Labels that no detector of ours claims to find: what somebody has, takes, does or believes, and when.
UNCLAIMED: Final = frozenset(
    {
        *("TIMESTAMP", "HEALTH_CONDITION", "MEDICATION_NAME", "PROCEDURE_NAME", "JOB_TITLE", "EDUCATION_LEVEL"),
        *("VEHICLE_MODEL", "RELIGIOUS_BELIEF", "SALARY", "POLITICAL_OPINION", "ETHNICITY", "NATIONALITY"),
        *("MARITAL_STATUS", "GENDER", "AGE", "HOUSEHOLD_SIZE"),
    }
)
#: Labels for which both we and Presidio, as it comes, have something that looks for them.
BOTH: Final = frozenset(
    {
        *("PERSON", "PERSON_NAME", "ORGANIZATION", "ORGANIZATION_NAME", "LOCATION", "LOCATION_NAME"),
        *("EMAIL_ADDRESS", "PHONE_NUMBER", "IP_ADDRESS", "MAC_ADDRESS", "URL", "DATE_OF_BIRTH", "IBAN"),
        *("CREDIT_CARD_NUMBER", "CRYPTOCURRENCY_ADDRESS", "BANK_ACCOUNT_NUMBER", "SOCIAL_SECURITY_NUMBER"),
        *("PASSPORT_NUMBER", "DRIVER_LICENSE_NUMBER", "DEA_NUMBER", "TAX_ID"),
    }
)
_BETA: Final = 2  # what is missed costs more than what is one too many

Labelled = tuple[str, int, int]  # a kind, and the characters from and to which it reaches


def texts(path: Path, every: int) -> Iterator[tuple[str, list[Labelled]]]:
    """Each text of a file with its labels; with `every`, only each Nth."""
    lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")  # not splitlines: texts hold U+2028
    for line in lines[::every]:
        row = json.loads(line)
        yield row["text"], [(span["type"], span["start"], span["end"]) for span in row["spans"]]


def characters(spans: Iterable[tuple[int, int]]) -> set[int]:
    """Every place that a span covers."""
    return {place for start, end in spans for place in range(start, end)}


def labelled(spans: Iterable[Labelled], kinds: frozenset[str]) -> set[int]:
    """Every place that a label of those kinds covers."""
    return characters((start, end) for kind, start, end in spans if kind in kinds)


def compared(want: set[int], got: set[int]) -> Counter[str]:
    """How many characters are right, missed, and wrong."""
    right = len(want & got)
    return Counter(right=right, missed=len(want) - right, wrong=len(got) - right)


def row(source: str, what: str, count: Counter[str]) -> dict[str, Any]:
    """Recall, precision and F2 of one source and question."""
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


def rows(counts: Mapping[str, Mapping[str, Counter[str]]]) -> list[dict[str, Any]]:
    """One row for each source and question, then one for each question over all sources."""
    whole: dict[str, Counter[str]] = {}
    for asked in counts.values():
        for what, count in asked.items():
            whole.setdefault(what, Counter()).update(count)
    each = [row(source, what, count) for source, asked in counts.items() for what, count in asked.items()]
    return each + [row("all", what, count) for what, count in whole.items()]


def table(found: Sequence[Mapping[str, Any]]) -> str:
    """Rows as Markdown."""
    lines = ["| source | looked for | recall | precision | F2 | characters |", "|---|---|---|---|---|---|"]
    for each in found:
        shares = " | ".join(f"{each[name]:.3f}" for name in ("recall", "precision", "f2"))
        lines.append(f"| {each['source']} | {each['what']} | {shares} | {each['characters']:,} |")
    return "\n".join(lines)
