"""Where the strings of a JSON tree are, and how a guard is laid over all of them.

Every string is a position by default, keys included; only what cannot be text is skipped. So a field that nobody
here has heard of is guarded too. Knows no dialect.
"""

from typing import Any, Final

import orjson

from extproc.core.escape import EscapedHoldBack
from extproc.guardrails.guard import Guard, Tally

#: Vectors and pictures: base64 that no model reads as text. A chance hit in them would corrupt them.
_BINARY_KEYS: Final = frozenset({"embedding", "b64_json"})
_BINARY_URLS: Final = ("data:image/", "data:audio/", "data:video/")
#: JSON source inside a string (OpenAI: `function.arguments`): escapes are opened before scanning.
_SOURCE_KEYS: Final = frozenset({"arguments"})


def strings(tree: Any) -> list[str]:
    """Every text of `tree`, JSON source opened. Order is not defined."""
    texts: list[str] = []
    stack: list[Any] = [tree]
    while stack:
        node = stack.pop()
        if type(node) is dict:
            texts.extend(node)
            for key, value in node.items():
                kind = type(value)
                if kind is str:
                    if not _is_binary(key, value):
                        texts.append(value)
                        if key in _SOURCE_KEYS and "\\" in value:
                            stack.append(_opened(value))
                elif kind is dict or (kind is list and key not in _BINARY_KEYS):
                    stack.append(value)
        elif type(node) is list:
            for value in node:
                kind = type(value)
                if kind is str:
                    texts.append(value)
                elif kind is dict or kind is list:
                    stack.append(value)
        elif type(node) is str:
            texts.append(node)
    return texts


def _is_binary(key: str, value: str) -> bool:
    return key in _BINARY_KEYS or (key in {"url", "image_url"} and value.startswith(_BINARY_URLS))


def _opened(source: str) -> Any:
    try:
        return orjson.loads(source)
    except orjson.JSONDecodeError:
        return None  # broken source stays a plain text; the slow path reads its escapes one by one


#: A scan costs about 2 microseconds beside its length; from here on a copy costs more.
_LONG_CHARS: Final = 64 * 1024


class Laid:
    """What laying a guard over a tree did."""

    __slots__ = ("blocked", "changed", "texts")

    def __init__(self, texts: list[str]) -> None:
        self.changed = False
        self.blocked: str | None = None
        self.texts = texts


def lay(tree: Any, guard: Guard, tally: Tally) -> Laid:
    """Guard every string of `tree` in place. One scan when nothing fires, which is nearly always."""
    laid = Laid(strings(tree))
    if _fires(laid.texts, guard):
        _lay_each(tree, guard, tally, laid)
    return laid


def _fires(texts: list[str], guard: Guard) -> bool:
    """Whether any rule finds anything. Short texts are scanned as one, long ones as they are: joining copies."""
    scan = guard.scanner.scan
    short = [text for text in texts if len(text) <= _LONG_CHARS]
    # U+001F is in no rule's alphabet: a hit over a seam only costs the slow path, it never hides one.
    if scan("\x1f".join(short)):
        return True
    return len(short) < len(texts) and any(scan(text) for text in texts if len(text) > _LONG_CHARS)


def _lay_each(tree: Any, guard: Guard, tally: Tally, laid: Laid) -> None:
    stack: list[Any] = [tree]
    while stack:
        node = stack.pop()
        if type(node) is dict:
            for key in list(node):
                value = node[key]
                kind = type(value)
                if kind is str and not _is_binary(key, value):
                    node[key] = _guarded(key, value, guard, tally, laid)
                elif kind is dict or (kind is list and key not in _BINARY_KEYS):
                    stack.append(value)
                renamed = _guarded("", key, guard, tally, laid)
                if renamed != key:
                    node[renamed] = node.pop(key)
        else:
            for index, value in enumerate(node):
                kind = type(value)
                if kind is str:
                    node[index] = _guarded("", value, guard, tally, laid)
                elif kind is dict or kind is list:
                    stack.append(value)


def _guarded(key: str, value: str, guard: Guard, tally: Tally, laid: Laid) -> str:
    if key in _SOURCE_KEYS:
        hold = EscapedHoldBack(guard, tally)
        text, blocked = hold.push(value) + hold.flush(), None
        blocked = hold.blocked
    else:
        applied = guard.apply(value, tally)
        text, blocked = applied.text, applied.blocked
    if blocked is not None:
        laid.blocked = laid.blocked or blocked
    if text != value:
        laid.changed = True
    return text
