"""The one question of a request, and the rest of the request without it. Pure; compares nothing.

Only requests of a single turn have one: a history means something together, and no part of it is "the question".
"""

from typing import Any, Final

#: What stands where the question stood. No text: a request that holds one there has another shape.
_HOLE: Final[dict[str, Any]] = {}
_BEFORE: Final = frozenset({"system", "developer"})
_TEXT_PARTS: Final = frozenset({"text", "input_text"})


def parted(path: str, tree: dict[str, Any], most_chars: int) -> tuple[dict[str, Any], str] | None:
    """The request without its question, and the question; None where it has not exactly one, short enough."""
    where = _PLACES.get(path)
    if where is None:
        return None
    held = tree.get(where)
    found = (_HOLE, held) if type(held) is str and where == "input" else _last(held)
    if found is None or not 0 < len(found[1].strip()) <= most_chars:
        return None
    return {**tree, where: found[0]}, found[1]


def _last(messages: Any) -> tuple[Any, str] | None:
    """Messages of which the last is the user's and all others are the application's."""
    if type(messages) is not list or not messages or not all(type(each) is dict for each in messages):
        return None
    *before, last = messages
    if last.get("role") != "user" or any(each.get("role") not in _BEFORE for each in before):
        return None
    content = last.get("content")
    if type(content) is str:
        return [*before, {**last, "content": _HOLE}], content
    if type(content) is not list or len(content) != 1 or type(content[0]) is not dict:
        return None
    part = content[0]
    text = part.get("text")
    if part.get("type") not in _TEXT_PARTS or type(text) is not str:
        return None
    return [*before, {**last, "content": [{**part, "text": _HOLE}]}], text


_PLACES: Final = {"/v1/chat/completions": "messages", "/v1/messages": "messages", "/v1/responses": "input"}
