"""The smallest value that a JSON Schema accepts, for structured output and tool calls. Not a validator."""

from typing import Any, Final

DEPTH_LIMIT: Final = 16  # recursive schemas end here with null; schemas that people send stay below 8

_FORMATS: Final = {
    "date": "2024-01-01",
    "date-time": "2024-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "email": "demo@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def fill(schema: Any, text: str) -> Any:
    """A value for `schema`; plain strings carry `text`, so that guards find something in arguments."""
    definitions = schema.get("$defs", schema.get("definitions", {})) if isinstance(schema, dict) else {}
    return _fill(schema, text, definitions if isinstance(definitions, dict) else {}, 0)


def _fill(schema: Any, text: str, definitions: dict[str, Any], depth: int) -> Any:
    if not isinstance(schema, dict) or depth > DEPTH_LIMIT:
        return None
    if "const" in schema:
        return schema["const"]
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return schema["enum"][0]
    if isinstance(schema.get("$ref"), str):
        return _fill(definitions.get(schema["$ref"].rpartition("/")[2]), text, definitions, depth + 1)
    for union in ("anyOf", "oneOf", "allOf"):
        if isinstance(schema.get(union), list) and schema[union]:
            return _fill(schema[union][0], text, definitions, depth + 1)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = kind[0] if kind else "null"
    if kind == "object":
        properties = _of(schema, "properties", dict, {})
        named = [name for name in _of(schema, "required", list, list(properties)) if isinstance(name, str)]
        return {name: _fill(properties.get(name, {}), text, definitions, depth + 1) for name in named}
    if kind == "array":
        count = min(_of(schema, "minItems", int, 0), 8)  # a hostile minItems must not become a large answer
        return [_fill(schema.get("items", {}), text, definitions, depth + 1) for _ in range(count)]
    return _scalar(kind, schema, text)


def _of(schema: dict[str, Any], name: str, kind: type, default: Any) -> Any:
    """A keyword's value if it is of the kind that the standard wants, else as if it were not there."""
    value = schema.get(name)
    return value if isinstance(value, kind) else default


def _scalar(kind: Any, schema: dict[str, Any], text: str) -> Any:
    if kind == "string":
        value = _FORMATS.get(str(schema.get("format")), text)
        longest = schema.get("maxLength")
        return value[:longest] if isinstance(longest, int) and longest >= 0 else value
    if kind in ("integer", "number"):
        above = _of(schema, "exclusiveMinimum", int, None)
        return _of(schema, "minimum", int, 0) if above is None else above + 1
    return False if kind == "boolean" else None
