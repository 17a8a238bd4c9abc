"""The linter as a whole: silent on what we render, one clear problem for bad input, never an exception."""

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control.edge.lint.engine import Problem, format_json, format_text, has_errors, lint
from control.edge.lint.rule import Severity
from control.edge.render import render
from control.edge.spec import ClientCertificates
from weakened import AUTHZ, AUTHZ_FILTER, at, dump, policy, put, spec, tree

COMMITTED = Path(__file__).resolve().parents[5] / "envoy" / "envoy.yaml"


@pytest.mark.parametrize("asked", ClientCertificates)
def test_nothing_is_said_of_what_we_render(asked):
    assert lint(render(spec(client_certificates=asked), policy())) == []


def test_nothing_is_said_of_the_committed_reference():
    assert lint(COMMITTED.read_text(encoding="utf-8")) == []


def test_json_is_judged_like_yaml():
    changed = tree()
    put((*AUTHZ, "failure_mode_allow"), True)(changed)
    found = lint(json.dumps(changed, indent="\t"))
    assert [each.rule for each in found] == ["authz.failure-mode-allow"]
    assert "failure_mode_allow" in json.dumps(changed, indent="\t").splitlines()[found[0].line - 1]


def test_a_shared_anchor_is_judged_in_both_places_and_told_once():
    changed = tree()
    put((*AUTHZ, "failure_mode_allow"), True)(changed)
    second = dict(at(changed, ("static_resources", "listeners", 0)), name="second")
    changed["static_resources"]["listeners"].append(second)
    written = yaml.safe_dump(changed, sort_keys=False)
    assert "*id" in written
    assert [each.rule for each in lint(written)] == ["authz.failure-mode-allow"]


@pytest.mark.parametrize(
    ("bad", "rule"),
    [
        ("", "input.not-bootstrap"),
        ("just words", "input.not-bootstrap"),
        ("- a\n- b\n", "input.not-bootstrap"),
        ("services:\n  web: {image: nginx}\n", "input.not-bootstrap"),
        ("static_resources: {listeners: [{filter_chains: [{filters: []}]}]}", "input.not-bootstrap"),
        ("a: [1\n", "input.not-yaml"),
        ("\x00\x01", "input.not-yaml"),
        ("x" * 50_000_000, "input.too-large"),
        ("a: &a [*a]", "input.not-yaml"),
    ],
    ids=["empty", "words", "a list", "another file", "no HTTP", "unclosed", "binary", "50 MB", "endless"],
)
def test_bad_input_is_one_clear_problem(bad, rule):
    (problem,) = lint(bad, source="x.yaml")
    assert (problem.rule, problem.severity, problem.source) == (rule, Severity.ERROR, "x.yaml")
    assert problem.line >= 1


def test_stumbles_of_the_reader_are_told_beside_the_rules():
    written = dump(tree())
    repeated = written + "node: {id: again}\n"
    assert [(each.rule, each.line) for each in lint(repeated)] == [("input.duplicate-key", repeated.count("\n"))]
    assert [each.rule for each in lint(written + "---\nmore: 1\n")] == ["input.more-documents"]


def test_a_merge_key_is_resolved_judged_and_told():
    changed = tree()
    config = at(changed, AUTHZ)
    config["failure_mode_allow"] = True
    del at(changed, AUTHZ_FILTER)["typed_config"]
    at(changed, AUTHZ_FILTER)["typed_config"] = {"<<": config}
    # safe_dump quotes nothing here: the key is a plain <<, as a person would write it.
    written = dump(changed).replace("'<<'", "<<")
    assert {each.rule for each in lint(written)} == {"input.merge-key", "authz.failure-mode-allow"}


def problem(line, severity=Severity.ERROR):
    return Problem("area.rule", severity, line, 7, "What is wrong. Why.", "What to do.", "e.yaml")


def test_the_text_report_is_what_editors_jump_to():
    report = format_text([problem(3), problem(4, Severity.WARNING)], "e.yaml")
    assert report.splitlines() == [
        "e.yaml:3:7: error [area.rule] What is wrong. Why.",
        "    remedy: What to do.",
        "e.yaml:4:7: warning [area.rule] What is wrong. Why.",
        "    remedy: What to do.",
        "e.yaml: 1 error, 1 warning",
    ]
    assert format_text([], "e.yaml") == "e.yaml: no problems found\n"


def test_the_json_report_holds_every_field():
    assert json.loads(format_json([problem(3)])) == [
        {
            "rule": "area.rule", "severity": "error", "line": 3, "column": 7, "message": "What is wrong. Why.",
            "remedy": "What to do.", "source": "e.yaml",
        }
    ]  # fmt: skip


def test_only_errors_fail_the_command():
    assert has_errors([problem(1, Severity.WARNING), problem(2)])
    assert not has_errors([problem(1, Severity.WARNING)])
    assert not has_errors([])


def _paths(here, path=()):
    yield path
    pairs = here.items() if isinstance(here, dict) else enumerate(here) if isinstance(here, list) else ()
    for step, value in pairs:
        yield from _paths(value, (*path, step))


PATHS = [path for path in _paths(tree()) if path]
GARBAGE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=10)
    | st.sampled_from(["SEND", "0s", "-1s", "9" * 50]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6) | st.just("@type"), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.lists(st.tuples(st.sampled_from(PATHS), st.none() | st.tuples(GARBAGE)), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_damage_makes_the_linter_raise(damages):
    """Invariant: any subtree may be missing or be anything at all; the linter still gives problems with a position."""
    changed = tree()
    for path, replacement in damages:
        try:
            parent = at(changed, path[:-1])
            if replacement is None:
                del parent[path[-1]]
            else:
                parent[path[-1]] = replacement[0]
        except (KeyError, IndexError, TypeError):
            continue  # an earlier damage took this place away
    for found in lint(dump(changed)):
        assert found.line >= 1
        assert found.column >= 1


#: Keys of maps are data, not field names: they have one spelling.
MAPS = {"json_format", "filter_metadata", "typed_extension_protocol_options"}
FIELDS = [
    path
    for path in PATHS
    if isinstance(path[-1], str) and "_" in path[-1] and "." not in path[-1] and not MAPS & set(path)
]


@given(st.sampled_from(FIELDS))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_reference_respelled_in_camel_case_stays_without_a_problem(path):
    changed = tree()
    parent = at(changed, path[:-1])
    head, *rest = path[-1].split("_")
    parent[head + "".join(word.title() for word in rest)] = parent.pop(path[-1])
    assert lint(dump(changed)) == []
