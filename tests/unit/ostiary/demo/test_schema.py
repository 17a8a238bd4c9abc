"""Values for JSON Schemas."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.demo.schema import fill


@pytest.mark.parametrize(
    ("wanted", "value"),
    [
        ({"type": "string"}, "text"),
        ({"type": "string", "maxLength": 2}, "te"),
        ({"type": "string", "format": "email"}, "demo@example.com"),
        ({"type": ["null", "string"]}, None),
        ({"type": "integer", "minimum": 3}, 3),
        ({"type": "number", "exclusiveMinimum": 3}, 4),
        ({"type": "boolean"}, False),
        ({"enum": ["a", "b"]}, "a"),
        ({"const": 7}, 7),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, 0),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 2}, [False, False]),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 1_000_000}, [False] * 8),
        ({"type": "object", "properties": {"a": {}, "b": {}}, "required": ["b"]}, {"b": "text"}),
        ({"type": "object", "required": None, "properties": {"a": {}}}, {"a": "text"}),
        ({"$ref": "#/$defs/x", "$defs": {"x": {"type": "integer"}}}, 0),
        ({"$ref": "#/$defs/gone"}, None),
        (True, None),
    ],
)
def test_fill(wanted, value):
    assert fill(wanted, "text") == value


json = st.recursive(
    st.none() | st.booleans() | st.integers(0, 5) | st.sampled_from(["object", "array", "string", "integer", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "items",
                    "anyOf",
                    "enum",
                    "$ref",
                    "$defs",
                    "minItems",
                    "minimum",
                    "required",
                    "properties",
                    "x",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(wanted=json)
def test_no_schema_makes_it_fall(wanted):
    fill(wanted, "text")
