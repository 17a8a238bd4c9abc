"""Where a JSON answer holds words of the model, in any dialect: the texts that a stream of it would tell in pieces.

Of everything else in an answer, such as ids, labels, citations and what the provider repeats of the request, it says
nothing. Signed thinking is not told: who alters it spoils the conversation.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

_SAID: Final = ("text", "content", "refusal", "reasoning_content", "reasoning")
#: Of Responses: what an item says in parts, and what it says to a tool.
_PARTED: Final = ("content", "summary")
_TOLD: Final = ("arguments", "input")
_JSON_SHAPES: Final = ("json_object", "json_schema")  # compared: a caller's may be a list


@dataclass(frozen=True, slots=True)
class Spoken:
    """`holder[key]`: a text, JSON source where the key is `arguments`, or a tree of texts where it is one."""

    holder: Any
    key: Any
    tool: str | None = None  # to whom it is said, if not to the reader
    joined: bool = False  # clients join it to the one before


def spoken(answer: dict[str, Any]) -> Iterator[Spoken]:
    """Every such text, in the order of the answer."""
    for choice in _objects(answer.get("choices")):
        message = choice.get("message")
        for holder in (choice, *_objects([message])):
            for key in _SAID:
                if key == "content" and type(holder.get(key)) is list:
                    yield from _parts(holder[key])
                elif type(holder.get(key)) is str:
                    yield Spoken(holder, key)
            calls = [call.get("function") for call in _objects(holder.get("tool_calls"))]
            for function in _objects([*calls, holder.get("function_call")]):
                yield from _call(function, "arguments", function.get("name"))
    for block in _objects(answer.get("content")):
        if block.get("type") == "text":
            yield from _parts([block])
        elif block.get("type") == "tool_use":
            yield from _call(block, "input", block.get("name"))
    for candidate in _objects(answer.get("candidates")):
        content = candidate.get("content")
        for part in _objects(content.get("parts") if type(content) is dict else None):
            if type(part.get("text")) is str:
                yield Spoken(part, "text", joined=part.get("thought") is not True)
            elif type(part.get("functionCall")) is dict:
                yield from _call(part["functionCall"], "args", part["functionCall"].get("name"))
    for item in _objects(answer.get("output")):
        for key in _PARTED:
            yield from _parts(item.get(key))
        for key in _TOLD:
            yield from _call(item, key, item.get("name"))


def says_json(request: dict[str, Any]) -> bool:
    """Whether a request, of any dialect, asks for an answer whose words are JSON."""
    text, config, google = request.get("text"), request.get("output_config"), request.get("generationConfig")
    if type(google) is dict and google.get("responseMimeType") not in (None, "", "text/plain"):
        return True
    shapes = [request.get("response_format"), request.get("output_format")]
    shapes += [holder.get("format") for holder in (text, config) if type(holder) is dict]
    return any(type(shape) is dict and shape.get("type") in _JSON_SHAPES for shape in shapes)


def _call(holder: dict[str, Any], key: str, name: Any) -> Iterator[Spoken]:
    if holder.get(key) is not None:
        yield Spoken(holder, key, name if type(name) is str else "")


def _parts(parts: Any) -> Iterator[Spoken]:
    for part in _objects(parts):
        for key in ("text", "refusal"):
            if type(part.get(key)) is str:
                yield Spoken(part, key, joined=part.get("type") in {"text", "output_text"})


def _objects(nodes: Any) -> list[dict[str, Any]]:
    return [node for node in nodes if type(node) is dict] if type(nodes) is list else []
