"""Where the strings of a JSON tree are, and how a guard is laid over all of them.

Every string is a position by default, keys included; only what cannot be text is skipped. So a field that nobody
here has heard of is guarded too. Knows no dialect.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from string import ascii_letters, digits
from types import MappingProxyType
from typing import Any, Final

import orjson

from extproc.core.body import names_key_twice
from extproc.core.escape import EscapedHoldBack, decoded
from extproc.core.holdback import Spans
from extproc.guardrails.guard import Guard, Tally
from extproc.guardrails.scanner import HITS_MAX, too_many_places
from gateway.errors import GatewayError, Kind
from gateway.policy.model import Action

#: Vectors, pictures and signatures: base64 that no model reads as text. A chance hit in them would corrupt them.
_BINARY_KEYS: Final = frozenset({"embedding", "b64_json", "thoughtSignature"})
_BINARY_URL: Final = re.compile(r"data:(?:image|audio|video)/[a-z0-9.+-]{1,20};base64,")
#: Names prove nothing: what is skipped must also be base64 (RFC 4648, sections 4 and 5) through and through.
_BASE64: Final = (ascii_letters + digits + "+/-_=").encode()
#: The same by (key, type of its object): Anthropic's blocks, where these keys mean something else elsewhere, and the
#: reasoning items of Responses.
_BINARY_IN: Final = frozenset(
    {("data", "base64"), ("data", "redacted_thinking"), ("signature", "thinking"), ("encrypted_content", "reasoning")}
)
#: Gemini's files: this key, where a media type stands beside it that is no text's. Whatever a tool takes or answers may
#: have such an object, and a text in it is opened as any other in base64 is.
_BINARY_BESIDE: Final = ("data", "mimeType")
_BINARY_MEDIA: Final = re.compile(r"(?:image|audio|video|font)/|application/(?:pdf|zip|gzip|msword|octet-stream|vnd\.)")
#: What a tool takes is its own: no dialect has media there, whatever names a tool gives its fields. `input` is of
#: Anthropic, `args` of Gemini, `response` too: what a function answered, where it is one of a `functionResponse`.
_OWN: Final = frozenset({"input", "args", "arguments", "response"})
_ANSWER: Final = "functionResponse"
_OWNERS: Final = _OWN | {_ANSWER}
#: Where chance hits begin to matter. A text in such a field, or a key that happens to be base64, is shorter.
_BINARY_CHARS: Final = 512
_NUMBERS: Final = frozenset({int, float})
#: JSON source inside a string (OpenAI: `function.arguments`): escapes are opened before scanning.
_SOURCE_KEYS: Final = frozenset({"arguments"})
#: Where an answer repeats the system prompt as a field of its own (OpenAI: `response.instructions`).
_ECHO: Final = "instructions"
#: Escapes of one tree that are decoded one by one, 2 microseconds each. 10 MiB of code have 300,000 line ends.
_ESCAPES_MAX: Final = 400_000


class _Inside:
    """The containers of a tree that are a tool's own: looked at when all others were."""

    __slots__ = ("_answers", "left")

    def __init__(self) -> None:
        self.left: list[Any] = []
        self._answers: set[int] = set()  # ids of what functions answered; the tree holds them

    def takes(self, key: str, value: Any, node: dict[str, Any]) -> bool:
        """Whether what is there under one of `_OWNERS` is a tool's own."""
        if key == _ANSWER:
            self._answers.add(id(value))
            return False
        return type(value) is dict and (key != "response" or id(node) in self._answers)


def strings(tree: Any, *, own: bool = False) -> tuple[list[str], int]:
    """Every text of `tree`, JSON source opened, in no order; and how many keys `tree` itself has.

    `own`: it is a tool's own, where no text is a picture.
    """
    texts: list[str] = []
    keys = escapes = 0
    stack: list[Any] = [tree]
    inside = _Inside()
    while stack or inside.left:
        if not stack:
            stack, inside.left, own = inside.left, [], True
        node = stack.pop()
        if type(node) is dict:
            texts.extend(node)
            keys += len(node)
            for key, value in node.items():
                kind = type(value)
                if kind is str:
                    if own or not is_binary(key, value, node):
                        texts.append(value)
                        if key in _SOURCE_KEYS and "\\" in value:
                            escapes += value.count("\\")
                            if escapes > _ESCAPES_MAX:
                                raise _too_many_escapes()
                            texts.extend(_opened(value))
                elif kind is dict or (kind is list and not _is_vector(key, value)):
                    (inside.left if key in _OWNERS and inside.takes(key, value, node) else stack).append(value)
        elif type(node) is list:
            for value in node:
                kind = type(value)
                if kind is str:
                    texts.append(value)
                elif kind is dict or kind is list:
                    stack.append(value)
        elif type(node) is str:
            texts.append(node)
    return texts, keys


def _too_many_escapes() -> GatewayError:
    return GatewayError(
        Kind.JSON_TOO_COMPLEX, f"Tool arguments have more than {_ESCAPES_MAX} escapes in all. Split the request."
    )


def is_binary(key: str, value: str, holder: dict[str, Any]) -> bool:
    """Whether a text is a picture, a vector or the like, which nobody reads as text."""
    if (
        key not in _BINARY_KEYS
        and not (type(holder.get("type")) is str and (key, holder["type"]) in _BINARY_IN)
        and not (key == _BINARY_BESIDE[0] and _is_file(holder.get(_BINARY_BESIDE[1])))
    ):
        head = _BINARY_URL.match(value) if key in {"url", "image_url"} else None
        if head is None:
            return False
        value = value[head.end() :]
    return len(value) >= _BINARY_CHARS and value.isascii() and not value.encode().translate(None, _BASE64)


def _is_file(media: Any) -> bool:
    return type(media) is str and _BINARY_MEDIA.match(media.lower()) is not None


def _is_vector(key: str, value: list[Any]) -> bool:
    return key in _BINARY_KEYS and _NUMBERS.issuperset(map(type, value))


def _opened(source: str) -> list[str]:
    """The texts of JSON source. Of broken source, and where a key is there twice, its every escape decoded."""
    try:
        tree = orjson.loads(source)
    except orjson.JSONDecodeError:
        return [decoded(source)]
    texts, keys = strings(
        tree, own=True
    )  # source in source in source: each level doubles the escapes, so there are few
    return [decoded(source)] if names_key_twice(source.encode(), keys) else texts


#: In place of a key's name, where `lay` is told of the key itself.
KEY: Final = object()
_NOTHING: Final[Mapping[tuple[int, Any], Spans]] = MappingProxyType({})
#: A scan costs about 2 microseconds beside its length; from here on a copy costs more.
_LONG_CHARS: Final = 64 * 1024


class Laid:
    """What laying a guard over a tree did."""

    __slots__ = ("blocked", "changed", "enough", "keys", "returned", "texts")

    def __init__(self, texts: list[str], keys: int, returned: Mapping[tuple[int, Any], Spans]) -> None:
        self.changed = False
        self.blocked: str | None = None
        self.texts = texts
        self.enough = 0  # where the scanner's count of places may not get to
        self.keys = keys  # of the tree as it was parsed
        self.returned = returned


def lay(tree: Any, guard: Guard, tally: Tally, returned: Mapping[tuple[int, Any], Spans] = _NOTHING) -> Laid:
    """Guard every string of `tree` in place. One scan when nothing fires, which is nearly always.

    `returned`: where values were put back (`core.returned`).
    """
    laid = Laid(*strings(tree), returned)
    if _fires(laid.texts, guard):
        echo = tree.pop(_ECHO, None) if guard.watched and type(tree) is dict else None
        _lay_each(tree, guard, tally, laid)
        if echo is not None:
            tree[_ECHO] = _echoed(echo, guard, tally, laid)
    return laid


def _echoed(echo: Any, guard: Guard, tally: Tally, laid: Laid) -> Any:
    """The provider says the system prompt back to who sent it: no leak, but nothing for whom an answer is shown to."""
    if not guard.flags_leaks:
        laid.changed = True
        return None
    holder = {_ECHO: echo}
    told = lay(holder, guard.unwatched(), tally)
    laid.changed |= told.changed
    laid.blocked = laid.blocked or told.blocked
    return holder[_ECHO]


def broken(sealed: Iterable[dict[str, Any]], guard: Guard, tally: Tally) -> str | None:
    """The first rule that would change one of `sealed`, objects that pass whole or not at all; it is counted."""
    for holder in sealed:
        for key, value in holder.items():
            if type(value) is not str or is_binary(key, value, holder):
                continue
            for finding in guard.scanner.scan(value):
                rule = finding.rule
                if guard.runs(rule) and (guard.done(rule) >= Action.REPLACE or guard.replace(rule) is not None):
                    tally.add(rule)
                    return rule
    return None


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
    inside, own = _Inside(), False
    laid.enough = guard.scanner.looked_at + HITS_MAX
    while stack or inside.left:
        if not stack:
            stack, inside.left, own = inside.left, [], True
        node = stack.pop()
        if type(node) is dict:
            for key in list(node):
                value = node[key]
                kind = type(value)
                if kind is str and (own or not is_binary(key, value, node)):
                    node[key] = _guarded(key, value, guard, tally, laid, laid.returned.get((id(node), key), ()))
                elif kind is dict or (kind is list and not _is_vector(key, value)):
                    (inside.left if key in _OWNERS and inside.takes(key, value, node) else stack).append(value)
                renamed = _guarded("", key, guard, tally, laid, laid.returned.get((id(node), (KEY, key)), ()))
                if renamed != key:
                    node[renamed] = node.pop(key)
        else:
            for index, value in enumerate(node):
                kind = type(value)
                if kind is str:
                    node[index] = _guarded("", value, guard, tally, laid, laid.returned.get((id(node), index), ()))
                elif kind is dict or kind is list:
                    stack.append(value)


def leaves(tree: Any) -> Iterator[str]:
    """Every string value that `rewrite` would replace: JSON source opened, binary left out, names of fields too."""
    stack: list[Any] = [tree]
    inside, own = _Inside(), False
    while stack or inside.left:
        if not stack:
            stack, inside.left, own = inside.left, [], True
        node = stack.pop()
        for key, value in list(node.items()) if type(node) is dict else enumerate(node):
            kind = type(value)
            if kind is dict or kind is list:
                (inside.left if key in _OWNERS and inside.takes(key, value, node) else stack).append(value)
            elif kind is str and key in _SOURCE_KEYS:
                opened = _container(value)
                if opened is None:
                    yield value
                else:
                    inside.left.append(opened)
            elif kind is str and (own or not (type(node) is dict and is_binary(str(key), value, node))):
                yield value


def rewrite(tree: Any, changed: Mapping[str, str]) -> None:
    """Replace every string value of `tree` that is a key of `changed`; JSON source is opened and written anew."""
    stack: list[Any] = [tree]
    while stack:
        node = stack.pop()
        for key, value in list(node.items()) if type(node) is dict else enumerate(node):
            kind = type(value)
            if kind is str:
                node[key] = _rewritten(value, changed) if key in _SOURCE_KEYS else changed.get(value, value)
            elif kind is dict or kind is list:
                stack.append(value)


def _container(source: str) -> Any:
    """The object or list that JSON source holds; None when it holds neither."""
    try:
        tree = orjson.loads(source)
    except orjson.JSONDecodeError:
        return None
    return tree if type(tree) is dict or type(tree) is list else None


def _rewritten(source: str, changed: Mapping[str, str]) -> str:
    tree = _container(source)
    if tree is None:
        return changed.get(source, source)
    before = orjson.dumps(tree)
    rewrite(tree, changed)
    after = orjson.dumps(tree)
    return source if after == before else after.decode()


def _guarded(key: str, value: str, guard: Guard, tally: Tally, laid: Laid, exempt: Spans) -> str:
    if key in _SOURCE_KEYS:
        hold = EscapedHoldBack(guard, tally, exempt=exempt)
        text, blocked = hold.all_of(value), None
        blocked = hold.blocked
    else:
        applied = guard.apply(value, tally, exempt)
        text, blocked = applied.text, applied.blocked
    if guard.scanner.looked_at > laid.enough:  # each text was within bounds, all of them are not
        raise too_many_places()
    if blocked is not None:
        laid.blocked = laid.blocked or blocked
    if text != value:
        laid.changed = True
    return text
