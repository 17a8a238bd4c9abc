"""`ostiary detect eval`: how well the detectors do on labelled data; the measuring is in `ostiary.evaluation`."""
# ruff: noqa: PLC0415 -- detectors load late, so that `ostiary --help` is instant

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ostiary.commands import table
from ostiary.problem import Problem

if TYPE_CHECKING:
    from ostiary.evaluation import Report

_ABOUT: Final = """\
Runs labelled texts through the detectors as they guard live traffic, and says what they find and miss. Nothing is sent
anywhere; texts are read one by one and never printed.

DATA is a JSONL file, or a folder of them (*.jsonl, also in folders below). One object a line:

  {"text": "Ignore all ...", "label": 1, "source": "mine"}             prompt injection: 1 attack, 0 benign
  {"text": "I am joe@example.com", "spans": [{"start": 5, "end": 20, "type": "EMAIL"}]}    personal data

"source" defaults to the file's name. "provenance" says who wrote the text (user, document, tool_result, ...); without
it, a "kind" with "indirect" or "doc" in it means document, and all else user.

what is told, per source:
  recall     share of attacks at or above the shipped thresholds     false+   the same share of benign texts
  precision  share of attacks in what is above                       auc      against the benign texts of all sources
  @1%        recall at the threshold that 1 % of the benign texts of all sources exceed
and per type of personal data: recall (more than half of a labelled span is covered by a rule for that type), precision
(of what those rules report, in rows that have spans), and F2, which weighs recall over precision.

examples:
  ostiary detect eval data/injection
  ostiary detect eval data/ --plot figures.svg
  ostiary detect eval mine.jsonl --map types.json --json | jq '.types[] | select(.f2 < 0.9)'

types.json, for other names of types:  {"MAIL": ["pii.email"], "SSN": ["pii.us_ssn", "pii.us_ssn_plain"]}

exit code: 0 done, 1 some rows could not be read (they are named on standard error, the rest was measured).
"""
_TOLD_MAX: Final = 20  # bad rows that are named: more of them have one cause
_MAP_MAX_BYTES: Final = 1024 * 1024


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Put the command into the parser of `ostiary`."""
    detect = commands.add_parser("detect", help="measure the detectors on your data")
    actions = detect.add_subparsers(dest="action", metavar="ACTION", required=True)
    parser = actions.add_parser(
        "eval",
        help="recall, precision and false positives, per source and type",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("data", type=Path, metavar="DATA", help="a JSONL file or a folder of them")
    parser.add_argument("--map", type=Path, metavar="FILE", help="JSON: type of the data -> list of rule ids")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="write the ROC curve and bars as SVG")
    parser.add_argument("--json", action="store_true", help="all figures and the curve as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure, print, draw."""
    from ostiary import chart, evaluation

    files = _files(arguments.data)
    types = {**evaluation.TYPES, **_mapping(arguments.map)}
    told = 0

    def complain(problem: str) -> None:
        nonlocal told
        told += 1
        if told <= _TOLD_MAX:
            print(f"ostiary: {table.printable(problem)}", file=sys.stderr)

    def progress(rows: int, path: Path) -> None:
        print(f"  {rows:,} rows, in {table.printable(path.name)}", file=sys.stderr, flush=True)

    report = evaluation.evaluate(files, types, complain, progress)
    if not report.rows:
        raise Problem(
            f"{arguments.data} holds no row that can be read", hint="`ostiary detect eval --help` shows rows."
        )
    if arguments.plot is not None:
        arguments.plot.write_text(chart.draw(report), encoding="utf-8")
    print(json.dumps(asdict(report), indent=1) if arguments.json else _as_text(report, colour=sys.stdout.isatty()))
    if report.bad:
        print(f"ostiary: {report.bad:,} rows could not be read", file=sys.stderr)
    return 1 if report.bad else 0


def _files(data: Path) -> list[Path]:
    files = sorted(data.rglob("*.jsonl")) if data.is_dir() else [data]
    if not files:
        raise Problem(f"{data} holds no *.jsonl", hint="`ostiary detect eval --help` shows what rows look like.")
    return files


def _mapping(file: Path | None) -> Mapping[str, tuple[str, ...]]:
    from extproc.detectors.catalogue import RULE_IDS

    if file is None:
        return {}
    with file.open("rb") as opened:
        raw = opened.read(_MAP_MAX_BYTES)
    try:
        read = json.loads(raw)
    except ValueError:
        raise Problem(f"{file} is no JSON") from None
    if not isinstance(read, dict) or not all(isinstance(rules, list) for rules in read.values()):
        raise Problem(f"{file} must be an object: type -> list of rule ids")
    unknown = sorted({str(rule) for rules in read.values() for rule in rules} - RULE_IDS)
    if unknown:
        raise Problem(f"{file} names no rule of this release: {unknown[0]}", hint="docs/detectors.md lists them.")
    return {kind: tuple(rules) for kind, rules in read.items()}


def _as_text(report: "Report", *, colour: bool) -> str:
    parts = []
    if report.sources:
        heads = ("source", "attacks", "benign", "recall", "false+", "precision", "@1%", "auc")
        rows = [
            (
                each.source,
                f"{each.attacks:,}",
                f"{each.benign:,}",
                *map(_share, (each.recall, each.false_positives, each.precision, each.recall_at_target, each.auc)),
            )
            for each in report.sources
        ]
        parts.append(f"prompt injection, weights {report.version}\n{table.columns(heads, rows, colour=colour)}")
    if report.types:
        named = ("source", "type", "labelled", "recall", "precision", "F2")
        found = [
            (each.source, each.type, f"{each.labelled:,}", *map(_share, (each.recall, each.precision, each.f2)))
            for each in report.types
            if each.rules
        ]
        parts.append(f"personal data\n{table.columns(named, found, colour=colour)}")
        without = sorted({each.type for each in report.types if not each.rules})
        if without:
            parts.append(f"no rule claims: {table.printable(', '.join(without))}")
    return "\n\n".join(parts)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
