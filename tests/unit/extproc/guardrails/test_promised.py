"""Schemas of callers: what is read of a request, and what of hostile ones is not run."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.guardrails.promised import Shelf, promised

TOOL = {"type": "function", "function": {"name": "plan", "parameters": {"type": "object"}}}


def breaks(schema, value):
    return Shelf().breaks(json.dumps(schema).encode(), value, len(json.dumps(value)))


def test_a_request_without_schemas_promises_nothing():
    assert not promised({"messages": [], "response_format": {"type": "text"}, "tools": "x", "text": None})
    assert not promised({"tools": [{"type": "function", "function": {"name": "now"}}]})


def test_two_tools_of_one_name_are_not_compared():
    assert promised({"tools": [TOOL]}).tools == {"plan": b'{"type":"object"}'}
    assert promised({"tools": [TOOL, TOOL]}).tools == {"plan": None}


def test_what_is_kept_of_a_request_is_bounded():
    big = {"enum": ["x" * 20_000]}
    tools = [{"name": f"t{at}", "input_schema": big} for at in range(40)]
    kept = promised({"tools": tools}).tools
    assert len(kept) == 40
    assert sum(len(source or b"") for source in kept.values()) <= 256 * 1024
    assert promised({"tools": [{"name": "t", "input_schema": {"enum": ["x" * 40_000]}}]}).tools == {"t": None}


def test_a_schema_is_compiled_once():
    shelf = Shelf()
    source = b'{"type":"integer"}'
    assert [shelf.breaks(source, value, 1) for value in (1, "x", 2)] == [False, True, False]


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"$ref": "#"}}},
        {"$ref": "https://example.com/schema.json"},
        {"pattern": "(?=a)b"},
        {"pattern": "a" * 201},
        {"pattern": r"\w{1000}"},
        {"anyOf": [{"pattern": f"a{at}"} for at in range(9)]},
        {"$defs": {f"d{at}": {"patternProperties": {f"x{at}": True}} for at in range(9)}},
        {"enum": list(range(6000))},
        {"$defs": {"e": {"enum": list(range(1000))}}, "allOf": [{"$ref": "#/$defs/e"}] * 20},
        {"unevaluatedProperties": False},
        {"format": "regex"},
        {"type": "no such type"},
        {"type": 7},
        {"$schema": "https://example.com/own"},
        {"$id": "https://example.com/x", "items": {"$id": "y"}},
        [],
        "text",
    ],
)
def test_a_schema_without_bounds_is_not_run(schema):
    assert breaks(schema, {"a": 1}) is None


def test_much_work_is_not_begun():
    wide = {"items": {"anyOf": [{"const": at} for at in range(400)]}}
    assert breaks(wide, [500]) is True
    assert breaks(wide, [500] * 5000) is None


def test_a_value_that_the_engine_cannot_read_is_not_compared():
    assert Shelf().breaks(b'{"type":"integer"}', "\ud800", 1) is None
    assert promised({"tools": [{"name": "t", "input_schema": {"const": "\ud800"}}]}).tools == {"t": None}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["type", "enum", "items", "properties", "$ref", "pattern", "required", "$defs", "a", "not"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(JSON, JSON)
def test_no_schema_of_a_caller_raises(schema, value):
    assert breaks(schema, value) in {True, False, None}


@given(JSON)
def test_no_request_raises(body):
    for field in ("response_format", "text", "output_config", "tools", "functions"):
        promised({field: body})
        promised({field: {"type": "json_schema", "format": body, "json_schema": body}})
