"""A function's JSON Schema as the declaration that OpenAI's models are shown in its place. Pure; counts nothing.

The form is TypeScript's, with descriptions as comments above what they describe. What the form has no place for
(patterns, bounds, defaults) is written as a comment too: models are shown some, and an estimate must not be below.
"""

from typing import Any, Final

import orjson

_DEPTH: Final = 16  # deeper schemas are written as JSON; bodies are bounded in depth anyway
_SCALARS: Final = {"string": "string", "number": "number", "integer": "number", "boolean": "boolean", "null": "null"}
#: Said by the form itself.
_FORM: Final = frozenset(
    {"type", "properties", "required", "items", "enum", "description", "anyOf", "oneOf", "allOf", "$defs",
     "definitions", "$schema", "additionalProperties", "title", "const", "$ref"}
)  # fmt: skip


def declaration(tool: dict[str, Any]) -> str:
    """The text for one function; what is not a function is written as JSON."""
    name = tool.get("name")
    if type(name) is not str:
        return _json(tool)
    schema = tool.get("parameters")
    lines = _comment(tool.get("description"), "")
    if type(schema) is dict and schema.get("properties"):
        lines += [f"type {name} = (_: {_object(schema, 0)}) => any;", ""]
        definitions = schema.get("$defs") or schema.get("definitions")
        if definitions:
            lines.append(_json(definitions))
    else:
        lines += [f"type {name} = () => any;", ""]
    if tool.get("format"):
        lines.append(_json(tool["format"]))
    return "\n".join(lines)


def _object(schema: dict[str, Any], depth: int) -> str:
    properties = schema.get("properties")
    if type(properties) is not dict or depth >= _DEPTH:
        return _json(schema) if properties else "object"
    wanted = schema.get("required")
    required = frozenset(name for name in wanted if type(name) is str) if type(wanted) is list else frozenset()
    lines = ["{"]
    for name, each in properties.items():
        if type(each) is not dict:
            lines.append(f"{name}: any,")
            continue
        lines += _comment(each.get("description"))
        lines += [f"// {key}: {_json(value)}" for key, value in each.items() if key not in _FORM]
        lines.append(f"{name}{'' if name in required else '?'}: {_type(each, depth + 1)},")
    lines.append("}")
    return "\n".join(lines)


def _type(schema: Any, depth: int) -> str:
    if type(schema) is not dict or depth >= _DEPTH:
        return _json(schema)
    for choice in ("enum", "const"):
        if choice in schema:
            values = schema[choice] if type(schema[choice]) is list else [schema[choice]]
            return " | ".join(_json(value) for value in values)
    for union in ("anyOf", "oneOf", "allOf"):
        if type(schema.get(union)) is list:
            return " | ".join(_type(each, depth + 1) for each in schema[union])
    if "$ref" in schema:
        return _json(schema["$ref"])
    kind = schema.get("type")
    if type(kind) is list:
        return " | ".join(_type({**schema, "type": each}, depth + 1) for each in kind[:8])
    if kind == "object" or "properties" in schema:
        return _object(schema, depth)
    if kind == "array":
        return f"{_type(schema.get('items', {}), depth + 1)}[]"
    return _SCALARS.get(kind, "any") if type(kind) is str else "any"


def _comment(*texts: Any) -> list[str]:
    return [f"// {line}" for text in texts if type(text) is str and text for line in text.splitlines()]


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
