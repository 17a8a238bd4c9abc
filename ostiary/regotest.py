"""`ostiary policy test`: the `test_*` rules of rego/*_test.rego, evaluated by OPA's library. Changes nothing.

What passes here passes in `opa test`; the source lines of a failure come from the library's trace.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from authz.opa import build, library
from authz.opa.library import LibraryError
from gateway.policy.files import list_names, read_text
from gateway.policy.model import Opa
from gateway.policy.opa import DIRECTORY, TESTS
from gateway.policy.problem import PolicyError, Problems
from ostiary import bundle
from ostiary.problem import Problem

_PREFIX: Final = "test_"
_PLACE: Final = re.compile(r"(rego/[\w.-]{1,255}):([0-9]{1,9})")
_SHOWN_STEPS: Final = 5  # of what failed last; before that the evaluation was where its author wanted it
_SHOWN_CHARS: Final = 400  # of a variable: an input document has some hundred


@dataclass(frozen=True, slots=True)
class Case:
    """One test rule."""

    file: str
    line: int
    package: str
    rule: str


def run(directory: Path) -> int:
    """Print one line for each test, and for each failure where and why. The exit code: 0 when all passed."""
    opa, tests = _read(directory)
    cases = list(_cases(opa, tests))
    if not cases:
        raise Problem(f"no {_PREFIX}* rules", hint=f"Write them into {directory / DIRECTORY}/*{TESTS}")
    try:
        engine = library.Engine(opa, dict(tests))
    except LibraryError as error:
        faults = build.complaint(error)
        raise Problem("\n".join(f"{one.mark.file}:{one.mark.line}: {one.message}" for one in faults)) from None
    sources = {**opa.sources, **tests}
    failed = sum(not _passes(engine, case, sources) for case in cases)
    engine.close()
    print(f"{len(cases) - failed} of {len(cases)} passed")
    return 1 if failed else 0


def _read(directory: Path) -> tuple[Opa, Mapping[str, str]]:
    """The policy's Rego, checked like that of any policy, and its tests."""
    try:
        opa = bundle.load(directory).opa
    except PolicyError as failure:
        raise Problem(str(failure)) from None
    if opa is None or opa.url is not None:
        raise Problem("the policy has no Rego of its own", hint="`opa:` in policy.yaml, without `url`")
    problems = Problems()
    names = [f"{DIRECTORY}/{name}" for name in list_names(directory / DIRECTORY) if name.endswith(TESTS)]
    texts = {name: read_text(directory / name, name, problems) for name in names}
    tests = {name: text for name, text in texts.items() if text is not None}
    for fault in build.check_tests(opa.sources, tests):
        problems.add(fault.mark, (), fault.message, fault.hint)
    try:
        problems.stop_if_any()
    except PolicyError as failure:
        raise Problem(str(failure)) from None
    return opa, tests


def _cases(opa: Opa, tests: Mapping[str, str]) -> Iterator[Case]:
    trees, _ = build.parse({**opa.sources, **tests})
    for file, text in tests.items():
        package = ".".join(str(term["value"]) for term in trees[file]["package"]["path"][1:])
        seen: set[str] = set()
        for rule in trees[file].get("rules") or ():
            name = str((rule.get("head") or {}).get("name", ""))
            if name.startswith(_PREFIX) and name not in seen:
                seen.add(name)
                found = re.search(rf"^{re.escape(name)}\b", text, re.MULTILINE)
                yield Case(file, text.count("\n", 0, found.start()) + 1 if found else 1, package, name)


def _passes(engine: library.Engine, case: Case, sources: Mapping[str, str]) -> bool:
    value: object = None
    trace: list[dict[str, Any]] = []
    notes: list[str] = []
    try:
        value, trace, notes = engine.inspect(f"{case.package}.{case.rule}")
    except LibraryError as error:
        notes = [f"{one.mark.file}:{one.mark.line}: {one.message}" for one in build.complaint(error)]
    passed = value is True
    print(f"{'PASS' if passed else 'FAIL'} {case.file}:{case.line} {case.rule}")
    if not passed:
        for line in (*notes, *_why(trace, sources)):
            print(f"     {line}")
    return passed


def _why(trace: list[dict[str, Any]], sources: Mapping[str, str]) -> Iterator[str]:
    """The last expressions that did not hold, as their author wrote them, with the variables of that moment."""
    steps: dict[str, dict[str, Any]] = {}
    for event in trace:
        if event.get("op") == "Fail" and _PLACE.fullmatch(str(event.get("location"))):
            steps.pop(event["location"], None)
            steps[event["location"]] = event.get("locals") or {}
    for place, variables in list(steps.items())[-_SHOWN_STEPS:]:
        file, _, line = place.rpartition(":")
        lines = sources.get(file, "").splitlines()
        at = int(line) - 1
        yield f"{place}: {lines[at].strip() if at < len(lines) else ''}"
        for name, value in sorted(variables.items()):
            if not name.startswith("__"):
                yield f"    {name} = {str(value)[:_SHOWN_CHARS]}"
