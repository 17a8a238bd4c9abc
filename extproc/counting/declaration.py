"""A function's JSON Schema as the declaration that OpenAI's models are shown in its place. Pure; counts nothing.

The form is TypeScript's, with descriptions as comments above what they describe. What the form has no place for
(patterns, bounds, defaults) is written as a comment too: models are shown some, and an estimate must not be below.
"""

from typing import Any, Final

import orjson

_DEPTH: Final = 16  # deeper schemas are written as JSON; bodies are bounded in depth anyway
#: What holds schemas by names of the client's, which may be those of keywords.
_NAMED: Final = frozenset({"properties", "$defs", "definitions"})
#: Times that one definition is written, and characters of all that are written more than once: definitions that refer
#: to each other would otherwise fill the memory, and large ones that are repeated cost a multiple of the request.
_COPIES: Final = 8
_COPIED_CHARS: Final = 64 * 1024
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
    lines = _comment(tool.get("description"))
    if type(schema) is dict and schema.get("properties"):
        lines += [
            *_comment(schema.get("title"), schema.get("description")),
            f"type {name} = (_: {_Writer(schema).object(schema, 0)}) => any;",
            "",
        ]
    else:
        lines += [f"type {name} = () => any;", ""]
    if tool.get("format"):
        lines.append(_json(tool["format"]))
    return "\n".join(lines)


class _Writer:
    """Writes one schema. A definition that is referred to is written where that happens, as often as it may be."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._definitions: dict[str, Any] = {}
        for place in ("$defs", "definitions"):
            known = schema.get(place)
            if type(known) is dict:
                self._definitions |= {f"#/{place}/{name}": each for name, each in known.items()}
        self._left = dict.fromkeys(self._definitions, _COPIES)
        self._chars = _COPIED_CHARS

    def object(self, schema: dict[str, Any], depth: int) -> str:
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
            lines += _comment(each.get("title"), each.get("description"))
            lines += [f"// {key}: {_json(value)}" for key, value in each.items() if key not in _FORM]
            lines.append(f"{name}{'' if name in required else '?'}: {self._type(each, depth + 1)},")
        lines.append("}")
        return "\n".join(lines)

    def _type(self, schema: Any, depth: int) -> str:
        if type(schema) is not dict or depth >= _DEPTH:
            return _json(schema)
        for choice in ("enum", "const"):
            if choice in schema:
                values = schema[choice] if type(schema[choice]) is list else [schema[choice]]
                return " | ".join(_json(value) for value in values)
        for union in ("anyOf", "oneOf", "allOf"):
            if type(schema.get(union)) is list:
                return " | ".join(self._type(each, depth + 1) for each in schema[union])
        if "$ref" in schema:
            return self._referred(schema["$ref"], depth)
        kind = schema.get("type")
        if type(kind) is list:
            return " | ".join(self._type({**schema, "type": each}, depth + 1) for each in kind[:8])
        if kind == "object" or "properties" in schema:
            return self.object(schema, depth)
        if kind == "array":
            return f"{self._type(schema.get('items', {}), depth + 1)}[]"
        return _SCALARS.get(kind, "any") if type(kind) is str else "any"

    def _referred(self, name: Any, depth: int) -> str:
        left = self._left.get(name, 0) if type(name) is str else 0
        if not left or (self._chars <= 0 and left < _COPIES):
            return _json(name)
        self._left[name] = left - 1
        each = self._definitions[name]
        comment = _comment(each.get("title"), each.get("description")) if type(each) is dict else []
        text = "\n".join([*comment, self._type(each, depth + 1)])
        self._chars -= len(text)
        return text


def shown(schema: Any) -> Any:
    """A schema for an answer as models are shown it: what strict mode demands of every object is left out."""
    if type(schema) is list:
        return [shown(each) for each in schema]
    if type(schema) is not dict:
        return schema
    found = {}
    for key, value in schema.items():
        if key in _NAMED and type(value) is dict:
            found[key] = {name: shown(each) for name, each in value.items()}
        elif not (key == "additionalProperties" and value is False) and not (key == "required" and _all(value, schema)):
            found[key] = shown(value)
    return found


def _all(required: Any, schema: dict[str, Any]) -> bool:
    properties = schema.get("properties")
    return type(required) is list and type(properties) is dict and len(required) >= len(properties)


def _comment(*texts: Any) -> list[str]:
    return [f"// {text}" for text in texts if type(text) is str and text]


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
