"""The library as this process sees it: values, errors with their code, and none of its memory kept."""

import pytest

import rego
from authz.opa import library
from authz.opa.library import Engine, LibraryError

pytestmark = rego.needs_library


def decided(source, document=b"{}", **changes):
    return Engine(rego.opa(f"package ostiary.authz\n\n{source}\n", **changes)).evaluate(document)


def code(source, document=b"{}"):
    with pytest.raises(LibraryError) as caught:
        decided(source, document)
    return caught.value.code


def test_a_decision_is_a_value_and_an_undefined_one_none():
    assert decided('decision := {"x": input.a}', b'{"a":[1,"two",null]}') == {"x": [1, "two", None]}
    assert decided("decision := 1 if input.a == 2") is None
    assert decided('decision := data.who["acme"]', data='{"who":{"acme":true}}') is True


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("decision :=", "parse_error"),
        ("decision := y", "prepare_error"),
        ("decision := 1 if true\n\ndecision := 2 if true", "eval_error"),
        ("decision := 1 / input.zero", "eval_error"),
        ('decision := to_number("x")', "eval_error"),
        ("decision := numbers.range(1, 100000)", "too_large"),
        ("decision := 1e400", "unreadable"),
    ],
)
def test_whatever_is_no_value_is_an_error_with_a_code(source, said):
    assert code(source, b'{"zero":0}') == said


def test_an_engine_that_was_closed_evaluates_nothing():
    engine = Engine(rego.opa())
    engine.close()
    with pytest.raises(LibraryError) as caught:
        engine.evaluate(b"{}")
    assert caught.value.code == "invalid_handle"


def test_a_document_that_is_not_json_is_an_error():
    assert code("decision := 1", b"{") == "invalid_json"


def test_building_evaluates_no_decision():
    # A hundred million rounds would not end within any test: only compiling comes back.
    body = "decision := count([1 | some a in n; some b in n; a * b == -1])\n\nn := numbers.range(1, 10000)"
    Engine(rego.opa(f"package ostiary.authz\n\n{body}\n")).close()


def test_a_test_is_explained_by_its_trace_and_its_prints():
    test = (
        'package t\n\nimport data.ostiary.authz\n\ntest_no if {\n\tprint("seen")\n\tauthz.decision.allow == false\n}\n'
    )
    value, trace, printed = Engine(rego.opa(), {"rego/a_test.rego": test}).inspect("t.test_no")
    assert value is None
    assert printed == ["rego/a_test.rego:6: seen"]
    assert "rego/a_test.rego:7" in [event["location"] for event in trace if event["op"] == "Fail"]


def test_a_source_that_does_not_parse_has_no_tree():
    with pytest.raises(LibraryError, match="unexpected eof"):
        library.parse("rego/a.rego", "package p\n\nx := {")
