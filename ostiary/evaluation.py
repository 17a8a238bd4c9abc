"""Labelled texts in, figures out: how well the detectors of this build do on somebody's data. Prints nothing.

Texts are read one by one and not kept; of each text for injection one score remains, eight bytes.
"""

import math
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import orjson

from extproc.detectors.catalogue import RULES
from extproc.detectors.injection.assess import Injection
from extproc.detectors.injection.provenance import FOREIGN, Provenance
from extproc.guardrails.assessor import Memory
from extproc.guardrails.finding import Finding
from extproc.guardrails.scanner import Scanner
from gateway.errors import GatewayError

#: Longest line that is read: a text as long as the longest body that policies usually let through.
LINE_MAX_BYTES: Final = 16 * 1024 * 1024
#: The share of benign texts that a threshold may exceed and be bearable: figures of detectors are compared there.
TARGET_FPR: Final = 0.01
#: Points of a curve that are kept: more than a plot has pixels for.
CURVE_POINTS: Final = 200
#: Rows between two calls of `progress`: a second or two.
PROGRESS_ROWS: Final = 5_000
_NUMBERS: Final = ("pii.us_ssn", "pii.us_itin", "pii.us_ssn_plain")
#: Names that data sets give to what our rules find. A type that is not here, and not in a map of the caller's, is
#: counted and not judged.
TYPES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "EMAIL_ADDRESS": ("pii.email",),
        "EMAIL": ("pii.email",),
        "PHONE_NUMBER": ("pii.phone",),
        "CREDIT_CARD_NUMBER": ("pii.card",),
        "CREDIT_CARD": ("pii.card",),
        "IBAN": ("pii.iban",),
        "IP_ADDRESS": ("pii.ipv4", "pii.ipv6"),
        "SOCIAL_SECURITY_NUMBER": _NUMBERS,
        "US_SSN": _NUMBERS,
        "MEDICAL_RECORD_NUMBER": ("pii.medical_record",),
        "HEALTH_INSURANCE_ID": ("pii.health_insurance",),
        "INSURANCE_POLICY_NUMBER": ("pii.health_insurance",),
        "NPI_NUMBER": ("pii.us_npi",),
        "DEA_NUMBER": ("pii.us_dea",),
        "NATIONAL_ID_NUMBER": ("pii.national_id",),
        "PASSPORT_NUMBER": ("pii.passport",),
        "DRIVER_LICENSE_NUMBER": ("pii.driver_licence", "pii.uk_driver_licence"),
        "BANK_ACCOUNT_NUMBER": ("pii.bank_account",),
        "BANK_ROUTING_NUMBER": ("pii.us_routing",),
        "SWIFT_BIC_CODE": ("pii.bic",),
        "TAX_ID": ("pii.tax_id",),
        "EMPLOYEE_ID": ("pii.employee_id",),
        "DEVICE_IDENTIFIER": ("pii.device_id", "pii.imei"),
        "MAC_ADDRESS": ("pii.mac",),
        "VEHICLE_IDENTIFICATION_NUMBER": ("pii.vin",),
        "CRYPTOCURRENCY_ADDRESS": ("pii.bitcoin", "pii.bitcoin_segwit", "pii.ethereum"),
        "STREET_ADDRESS": ("pii.street_address",),
        "LATITUDE_LONGITUDE": ("pii.coordinates",),
        "DATE_OF_BIRTH": ("pii.birth_date",),
        "API_KEY": tuple(rule.id for rule in RULES if rule.id.startswith("secrets.")),
        "AUTHENTICATION_TOKEN": ("secrets.jwt",),
    }
)

Span = tuple[int, int, str]


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled text: an attack or not, or spans of personal data, or both."""

    text: str
    source: str
    attack: bool | None
    provenance: Provenance
    spans: tuple[Span, ...] | None


@dataclass(frozen=True, slots=True)
class SourceFigures:
    """Injection, one source. None where the data cannot tell: no attacks, or no benign texts."""

    source: str
    attacks: int
    benign: int
    recall: float | None  # at the shipped thresholds
    false_positives: float | None
    precision: float | None
    recall_at_target: float | None  # at the threshold that TARGET_FPR of all benign texts exceed
    auc: float | None  # of this source's attacks against all benign texts


@dataclass(frozen=True, slots=True)
class TypeFigures:
    """Personal data, one type of one source."""

    source: str
    type: str
    rules: tuple[str, ...]  # empty: no rule claims this type
    labelled: int
    recall: float | None
    precision: float | None
    f2: float | None


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that was measured."""

    version: str  # of the injection weights
    sources: tuple[SourceFigures, ...]
    types: tuple[TypeFigures, ...]
    curve: tuple[tuple[float, float], ...]  # of all sources: share of benign texts, share of attacks
    shipped: tuple[float, float] | None  # the point of the shipped thresholds
    rows: int
    bad: int


@dataclass(slots=True)
class _Spans:
    labelled: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    reported: Counter[str] = field(default_factory=Counter)  # by rule
    right: Counter[str] = field(default_factory=Counter)


def read(path: Path, complain: Callable[[str], None]) -> Iterator[Row]:
    """Rows of a JSONL file. What is no row is told to `complain` with its place, never with its text."""
    with path.open("rb") as lines:
        number = 0
        while line := lines.readline(LINE_MAX_BYTES):
            number += 1
            if len(line) == LINE_MAX_BYTES and not line.endswith(b"\n"):
                complain(f"{path}:{number}: longer than {LINE_MAX_BYTES} bytes")
                while (rest := lines.readline(LINE_MAX_BYTES)) and not rest.endswith(b"\n"):
                    pass
            elif line.strip():
                try:
                    yield parse(line, path.stem)
                except ValueError as problem:
                    complain(f"{path}:{number}: {problem}")


def parse(line: bytes, source: str) -> Row:
    """One row. Raises ValueError that says what is wrong with it."""
    try:
        row: Any = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise ValueError("is no JSON") from None
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        raise ValueError('is no object with a string "text"')  # noqa: TRY004 - of the data, not of the caller
    label, spans = row.get("label"), row.get("spans")
    if label is None and spans is None:
        raise ValueError('has neither "label" nor "spans"')
    if label is not None and label not in (0, 1):
        raise ValueError('"label" must be 0 or 1')
    named = row.get("source")
    return Row(
        row["text"],
        named if isinstance(named, str) and named else source,
        None if label is None else bool(label),
        _provenance(row),
        None if spans is None else _spans(spans, len(row["text"])),
    )


def _provenance(row: Mapping[str, Any]) -> Provenance:
    named = row.get("provenance")
    if named is not None:
        try:
            return Provenance(named)
        except ValueError:
            raise ValueError(f'"provenance" must be one of {", ".join(Provenance)}') from None
    kind = str(row.get("kind", ""))
    return Provenance.DOCUMENT if "indirect" in kind or "doc" in kind else Provenance.USER


def _spans(spans: Any, size: int) -> tuple[Span, ...]:
    if not isinstance(spans, list):
        raise ValueError('"spans" is no list')  # noqa: TRY004 - of the data, not of the caller
    read = []
    for span in spans:
        match span:
            case {"start": int(start), "end": int(end), "type": str(kind)} if 0 <= start < end <= size:
                read.append((start, end, kind))
            case _:
                raise ValueError('a span needs "start" and "end" inside the text, and a "type"')
    return tuple(read)


class Evaluation:
    """Collects figures row by row."""

    def __init__(self, types: Mapping[str, tuple[str, ...]] = TYPES) -> None:
        self._types: Final = types
        injection = Injection.load()
        self._version: Final = injection.version
        self._memory: Final = Memory(injection)
        self._scanner: Final = Scanner(RULES)
        self._margins: dict[tuple[str, bool], array[float]] = defaultdict(lambda: array("d"))
        self._spans: dict[str, _Spans] = defaultdict(_Spans)
        self._sharing: Final = defaultdict[str, set[str]](set)
        for kind, rules in types.items():
            for rule in rules:
                self._sharing[rule].add(kind)
        self.rows = 0

    def add(self, row: Row) -> None:
        """Judge one row. Raises ValueError for a text that live traffic would refuse to look at."""
        self.rows += 1
        if row.attack is not None:
            score = self._memory.assess(row.text, row.provenance).score
            threshold = self._memory.thresholds[row.provenance in FOREIGN]
            self._margins[row.source, row.attack].append(_odds(score) - _odds(threshold))
        if row.spans is not None:
            try:
                findings = self._scanner.scan(row.text)
            except GatewayError:
                raise ValueError("has too many places that may be personal data") from None
            self._match(self._spans[row.source], row.spans, findings)

    def _match(self, seen: _Spans, spans: Iterable[Span], findings: Iterable[Finding]) -> None:
        spans, findings = tuple(spans), tuple(findings)
        for start, end, kind in spans:
            seen.labelled[kind] += 1
            rules = self._types.get(kind, ())
            covered = max((_common(f, start, end) for f in findings if f.rule in rules), default=0)
            seen.found[kind] += 2 * covered > end - start
        ends: dict[str, int] = {}
        for finding in findings:  # by start, longest first
            if finding.end <= ends.get(finding.rule, 0):
                continue  # a part of what the rule has reported already: traffic gets one placeholder for both
            ends[finding.rule] = finding.end
            kinds = self._sharing.get(finding.rule, set())
            seen.reported[finding.rule] += 1
            seen.right[finding.rule] += any(kind in kinds and _common(finding, s, e) for s, e, kind in spans)

    def report(self, bad: int = 0) -> Report:
        """What all rows so far say."""
        benign = sorted(m for (_, attack), margins in self._margins.items() if not attack for m in margins)
        attacks = sorted(m for (_, attack), margins in self._margins.items() if attack for m in margins)
        names = sorted({source for source, _ in self._margins})
        sources = [
            _figures(name, sorted(self._of(name, True)), sorted(self._of(name, False)), benign) for name in names
        ]
        if len(names) > 1:
            sources.append(_figures("all", attacks, benign, benign))
        shipped = (_above(benign, 0.0), _above(attacks, 0.0)) if benign and attacks else None
        types = tuple(self._type(name, kind) for name in sorted(self._spans) for kind in self._kinds(name))
        return Report(self._version, tuple(sources), types, curve(attacks, benign), shipped, self.rows, bad)

    def _of(self, source: str, attack: bool) -> Iterable[float]:
        return self._margins.get((source, attack), ())

    def _kinds(self, source: str) -> list[str]:
        seen = self._spans[source].labelled
        return sorted(seen, key=lambda kind: (kind not in self._types, -seen[kind], kind))

    def _type(self, source: str, kind: str) -> TypeFigures:
        seen, rules = self._spans[source], self._types.get(kind, ())
        if not rules:
            return TypeFigures(source, kind, (), seen.labelled[kind], None, None, None)
        reported = sum(seen.reported[rule] for rule in rules)
        recall = seen.found[kind] / seen.labelled[kind]
        precision = sum(seen.right[rule] for rule in rules) / reported if reported else None
        f2 = 0.0 if not precision or not recall else 5 * precision * recall / (4 * precision + recall)
        return TypeFigures(source, kind, rules, seen.labelled[kind], recall, precision, f2)


def evaluate(
    files: Iterable[Path],
    types: Mapping[str, tuple[str, ...]],
    complain: Callable[[str], None],
    progress: Callable[[int, Path], None],
) -> Report:
    """Every row of `files`."""
    evaluation = Evaluation(types)
    bad = 0

    def spoilt(problem: str) -> None:
        nonlocal bad
        bad += 1
        complain(problem)

    for path in files:
        for row in read(path, spoilt):
            try:
                evaluation.add(row)
            except ValueError as problem:
                spoilt(f"{path}: a text {problem}")
            if evaluation.rows % PROGRESS_ROWS == 0:
                progress(evaluation.rows, path)
    return evaluation.report(bad)


def auc(attacks: list[float], benign: list[float]) -> float | None:
    """Chance that an attack scores above a benign text, ties half. Both sorted."""
    if not attacks or not benign:
        return None
    won = sum(bisect_left(benign, each) + bisect_right(benign, each) for each in attacks)
    return won / (2 * len(attacks) * len(benign))


def curve(attacks: list[float], benign: list[float]) -> tuple[tuple[float, float], ...]:
    """Share of benign texts and of attacks at or above thresholds, from none to all. Both sorted."""
    if not attacks or not benign:
        return ()
    thresholds = sorted({*attacks, *benign}, reverse=True)
    step = max(1, len(thresholds) // CURVE_POINTS)
    points = [(_above(benign, each), _above(attacks, each)) for each in thresholds[::step]]
    return ((0.0, 0.0), *points, (1.0, 1.0))


def _figures(name: str, attacks: list[float], own: list[float], benign: list[float]) -> SourceFigures:
    hits, wrong = sum(each >= 0 for each in attacks), sum(each >= 0 for each in own)
    return SourceFigures(
        name,
        len(attacks),
        len(own),
        hits / len(attacks) if attacks else None,
        wrong / len(own) if own else None,
        hits / (hits + wrong) if attacks and own and hits + wrong else None,
        _above(attacks, math.nextafter(target(benign), math.inf)) if attacks and benign else None,
        auc(attacks, benign),
    )


def target(benign: list[float]) -> float:
    """The margin that no more than TARGET_FPR of the benign texts exceed. Sorted."""
    return benign[len(benign) - 1 - int(TARGET_FPR * len(benign))]


def _above(margins: list[float], threshold: float) -> float:
    return (len(margins) - bisect_left(margins, threshold)) / len(margins)


def _common(finding: Finding, start: int, end: int) -> int:
    return max(0, min(finding.end, end) - max(finding.start, start))


def _odds(score: float) -> float:
    """Log-odds, so that two thresholds can be laid on each other. Finite for the scores 0 and 1."""
    return math.log(max(score, 1e-300)) - math.log(max(1 - score, 1e-17))
