"""Where a request holds tool calls and declarations of tools, in every dialect at once. Judges none of them.

A tolerant tenant's server may read the form of another dialect from beside its own, so no door is asked.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

#: Objects inside a call or a declaration that may hold its name and the rest (OpenAI API reference, "tools").
_KINDS: Final = ("function", "custom")
#: Fields of a call that hold its arguments: JSON source in OpenAI's dialects, JSON in Anthropic's and Google's.
_ARGUMENTS: Final = ("arguments", "input", "args")
#: Items of Responses and blocks of Anthropic that are calls (both APIs' references).
_CALL_TYPES: Final = ("function_call", "custom_tool_call", "tool_use")  # compared: a caller's may be a list
#: Of a declaration, what says nothing about the tool.
_NOT_DECLARED: Final = frozenset({"type", "cache_control"})


@dataclass(frozen=True, slots=True)
class Named:
    """A tool's name, where in the body it is used, and the value that belongs to it."""

    path: str  # "messages[3].tool_calls[0].function.arguments"
    tool: str
    value: Any


def calls(body: dict[str, Any]) -> Iterator[Named]:
    """Every tool call of the conversation so far, with its arguments as they stand."""
    for field in ("messages", "input", "contents"):
        for at, message in _objects(body.get(field)):
            yield from of_message(message, f"{field}[{at}]")


def of_message(message: dict[str, Any], path: str) -> Iterator[Named]:
    """The calls that one message, item or answer makes."""
    if message.get("type") in _CALL_TYPES:
        yield from _call(message, path)
    for at, call in _objects(message.get("tool_calls")):
        for kind in _KINDS:
            yield from _call(call.get(kind), f"{path}.tool_calls[{at}].{kind}")
    yield from _call(message.get("function_call"), f"{path}.function_call")
    for at, block in _objects(message.get("content")):
        if block.get("type") in _CALL_TYPES:
            yield from _call(block, f"{path}.content[{at}]")
    for at, part in _objects(message.get("parts")):
        yield from _call(part.get("functionCall"), f"{path}.parts[{at}].functionCall")


def _call(holder: Any, path: str) -> Iterator[Named]:
    if type(holder) is not dict or type(holder.get("name")) is not str:
        return
    for field in _ARGUMENTS:
        if field in holder:
            yield Named(f"{path}.{field}", holder["name"], holder[field])


def declarations(body: dict[str, Any]) -> Iterator[Named]:
    """What the request says of each tool that it offers, in one form: name, description, parameters."""
    for field in ("tools", "functions"):
        for at, tool in _objects(body.get(field)):
            inner = [(tool[kind], f".{kind}") for kind in _KINDS if type(tool.get(kind)) is dict]
            listed = _objects(tool.get("functionDeclarations"))
            inner += [(each, f".functionDeclarations[{place}]") for place, each in listed]
            for described, step in inner or [(tool, "")]:
                if type(described.get("name")) is str:
                    yield Named(f"{field}[{at}]{step}", described["name"], _declared(described))


def _declared(described: dict[str, Any]) -> dict[str, Any]:
    told = {key: value for key, value in described.items() if key not in _NOT_DECLARED}
    if "input_schema" in told and "parameters" not in told:
        told["parameters"] = told.pop("input_schema")
    if "parametersJsonSchema" in told and "parameters" not in told:
        told["parameters"] = told.pop("parametersJsonSchema")
    return told


def _objects(value: Any) -> list[tuple[int, dict[str, Any]]]:
    return [(at, each) for at, each in enumerate(value) if type(each) is dict] if type(value) is list else []
