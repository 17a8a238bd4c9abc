"""The way in: `lint` reads a bootstrap and gives its problems; two printers. Opens no file itself."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

from control.edge.lint.fetched import Assembly, Opened
from control.edge.lint.node import Kind, Repeated, Unreadable, read
from control.edge.lint.rule import Rule, Severity
from control.edge.lint.survey import Survey
from control.edge.lint.table import INPUT, RULES


@dataclass(frozen=True, slots=True)
class Problem:
    """One way in which the file weakens the gateway."""

    rule: str  # stable id, for example authz.failure-mode-allow
    severity: Severity
    line: int
    column: int
    message: str
    remedy: str
    source: str


def lint(text: str, *, source: str = "envoy.yaml", opened: Opened | None = None) -> list[Problem]:
    """Every problem of the bootstrap in `text`, by line. Never raises for what the text holds.

    Args:
        text: YAML or JSON.
        source: how to name the file in reports.
        opened: gives the text of a file from which Envoy would take clusters or routes, or raises OSError. What is in
            it is judged as if it stood in the bootstrap.
    """
    files = Assembly(opened or _nothing)
    try:
        tree = read(text)
        root = files.whole(tree)
    except Unreadable as verdict:
        return [_of_input(verdict.rule, verdict.message, verdict.line, verdict.column, verdict.source or source)]
    survey = Survey(root)
    if tree.root.kind is not Kind.MAPPING or not survey.managers:
        what = "This is no Envoy bootstrap with an HTTP connection manager."
        return [_of_input("input.not-bootstrap", what, tree.root.line, tree.root.column, source)]
    found = [
        *_stumbles(source, tree.repeated, tree.more_documents_line),
        *(problem for path, each in files.repeated for problem in _stumbles(path, (each,))),
        *(problem for path, line in files.more_documents for problem in _stumbles(path, (), line)),
        *(problem for rule in RULES for problem in _judge(rule, survey, source)),
    ]
    # Aliases show one line twice; the reader needs to be told once.
    return sorted(
        set(found),
        key=lambda each: (each.source != source, each.source, each.line, each.column, each.rule, each.message),
    )


def has_errors(problems: Iterable[Problem]) -> bool:
    """Whether the command should end with status 1."""
    return any(each.severity is Severity.ERROR for each in problems)


def format_text(problems: Iterable[Problem], source: str) -> str:
    """One paragraph a problem, in the `file:line:column` form that editors jump to, and a closing count."""
    listed = list(problems)
    errors = sum(each.severity is Severity.ERROR for each in listed)
    body = "".join(
        f"{each.source}:{each.line}:{each.column}: {each.severity.value} [{each.rule}] {each.message}\n"
        f"    remedy: {each.remedy}\n"
        for each in listed
    )
    if not listed:
        return f"{source}: no problems found\n"
    return f"{body}{source}: {_count(errors, 'error')}, {_count(len(listed) - errors, 'warning')}\n"


def format_json(problems: Iterable[Problem]) -> str:
    """A JSON array for CI systems; keys as in `Problem`."""
    return json.dumps([asdict(each) for each in problems], indent=2) + "\n"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _sentence(what: str) -> str:
    """With a capital, unless it begins with the name of a field."""
    return what[:1].upper() + what[1:] if what.split(" ", 1)[0].isalpha() else what


def _judge(rule: Rule, survey: Survey, source: str) -> Iterator[Problem]:
    for node, what in rule.check(survey):
        message = f"{_sentence(what)}. {rule.why}"
        yield Problem(rule.id, rule.severity, node.line, node.column, message, rule.remedy, node.source or source)


def _nothing(path: str) -> str:
    raise FileNotFoundError(path)


def _stumbles(source: str, repeated: Iterable[Repeated], more_documents_line: int = 0) -> Iterator[Problem]:
    for each in repeated:
        if each.merge:
            yield _of_input("input.merge-key", "A merge key is used.", each.line, each.column, source)
        else:
            yield _of_input("input.duplicate-key", "A key stands twice in one mapping.", each.line, each.column, source)
    if more_documents_line:
        yield _of_input("input.more-documents", "A second document begins.", more_documents_line, 1, source)


def _of_input(rule: str, what: str, line: int, column: int, source: str) -> Problem:
    severity, why, remedy = INPUT[rule]
    return Problem(rule, severity, line, column, f"{what} {why}", remedy, source)
