"""Request JSON within bounds: parsed, or refused with the reason and the place. Never quotes the body, never recurses.

Every reader behind the gateway must see the same document as its guards did. So whatever JSON readers disagree on is
refused: duplicate keys, other encodings, numbers that do not survive (RFC 8259, sections 4, 6 and 8.1).
"""

import codecs
import re
from typing import Any, Final

import orjson

from gateway.errors import GatewayError, Kind
from gateway.policy.model import Limits

#: Longest first: the UTF-32 mark begins like the UTF-16 one.
_MARKS: Final = (
    (codecs.BOM_UTF8, "with a byte order mark"),
    (codecs.BOM_UTF32_LE, "in UTF-32"),
    (codecs.BOM_UTF32_BE, "in UTF-32"),
    (codecs.BOM_UTF16_LE, "in UTF-16"),
    (codecs.BOM_UTF16_BE, "in UTF-16"),
)
_INTEGER_MIN: Final = -(2**63)
_INTEGER_MAX: Final = 2**64 - 1
_EXACT_FLOAT: Final = 2.0**53  # every float from here on is a whole number and may have been written as one
_SPACES: Final = (b" ", b"\n", b"\t", b"\r")
#: Fields of all dialects in which a picture, a recording or a document travels, or the URL of one.
_FILES: Final = frozenset({"data", "file_data", "file_url", "image_url", "url"})
_NAME_CHARS: Final = 64  # of a caller's own field name in an error: enough to find it
_STRING: Final = re.compile(rb'"[^"]*"')
_INTEGER: Final = re.compile(rb"(?<![0-9.eE+-])-?[0-9]{19,}(?![0-9.eE])")  # 2**63 has 19 digits


def parse(body: bytes, limits: Limits) -> dict[str, Any]:
    """The JSON object in `body`; raises GatewayError when it is none or exceeds `limits`."""
    _check_size(body, limits)
    refusal = None
    document: Any = None
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        refusal = _invalid(body, error, limits)
    if refusal is not None:  # raised here, because the parser's error holds the whole body and would be its context
        raise refusal
    if type(document) is not dict:
        raise GatewayError(
            Kind.REQUEST_INVALID,
            f"The request body must be a JSON object, not {_NAMES.get(type(document), 'a number')}.",
        )
    keys, large = _walk(document, limits)
    if names_key_twice(body, keys):
        raise GatewayError(
            Kind.JSON_DUPLICATE_KEY,
            "An object in the request body has the same key twice. Send each key once.",
        )
    if large:
        _check_integers(body)
    if limits.string_chars is not None and len(body) > limits.string_chars:
        _check_strings(document, limits.string_chars)
    return document


def names_key_twice(source: bytes, keys: int) -> bool:
    """Whether JSON source whose parsed tree has `keys` keys in all named more, of which the parser kept the last."""
    # Each key of the source has one colon outside strings; the parsed tree has lost the duplicates.
    return _colons_at_most(source) != keys and _strip(source).count(b":") != keys


def _walk(document: dict[str, Any], limits: Limits) -> tuple[int, bool]:
    """Level by level: how many keys there are, and whether some number is large enough to have lost digits."""
    level: list[Any] = [document]
    depth = keys = nodes = 0
    large = False
    while level:
        depth += 1
        if depth > limits.json_depth:
            raise _too_deep(limits)
        below: list[Any] = []
        for container in level:
            size = len(container)
            nodes += size
            if type(container) is dict:
                keys += size
                values: Any = container.values()
            else:
                values = container
            for value in values:
                kind = type(value)
                if kind is str:
                    continue
                if kind is dict or kind is list:
                    below.append(value)
                elif kind is float and not -_EXACT_FLOAT < value < _EXACT_FLOAT:
                    large = True
        if nodes > limits.json_nodes:
            raise _too_complex(limits)
        level = below
    return keys, large


def _check_size(body: bytes, limits: Limits) -> None:
    """Refuse what would cost much memory to parse at all. Commas in text count too, hence the second look."""
    if len(body) <= limits.json_nodes or body.count(b",") + body.count(b"[") + body.count(b"{") <= limits.json_nodes:
        return
    bare = _strip(body)
    if (
        bare.count(b",") + bare.count(b"[") + bare.count(b"{") > 2 * limits.json_nodes + 1
    ):  # empty containers count twice
        raise _too_complex(limits)


def _colons_at_most(body: bytes) -> int:
    """How many colons can be structure: those behind a quote or white space. Those in strings seldom are."""
    return body.count(b'":') + sum([body.count(space + b":") for space in _SPACES if space in body])


def _strip(body: bytes) -> bytes:
    """`body` without the contents of its strings, so that only structure is left to count."""
    return _STRING.sub(b"", body.replace(b"\\\\", b"").replace(b'\\"', b""))


def _check_integers(body: bytes) -> None:
    """The parser turns integers beyond 64 bits into floats; a guard must not change a number in passing."""
    for found in _INTEGER.finditer(_strip(body)):
        digits = found.group()
        if len(digits) > 20 or not _INTEGER_MIN <= int(digits) <= _INTEGER_MAX:  # 2**64 has 20 digits
            raise GatewayError(
                Kind.REQUEST_INVALID,
                "The request body has an integer beyond 64 bits. Send it as a string.",
            )


def _check_strings(document: dict[str, Any], most: int) -> None:
    """Refuse texts of more than `most` characters by their place. Files have bounds of their own."""
    left: list[tuple[str, Any]] = [("", document)]
    while left:
        path, node = left.pop()
        inside: Any
        if type(node) is dict:
            inside = [(_joined(path, key), value) for key, value in node.items() if key not in _FILES]
            inside += [(_joined(path, key[:most]), key) for key in node if len(key) > most]
        else:
            inside = [(f"{path}[{at}]", value) for at, value in enumerate(node)]
        for place, value in inside:
            if type(value) is str:
                if len(value) > most:
                    raise GatewayError(
                        Kind.REQUEST_INVALID,
                        f"'{place}' has {len(value)} characters; policy allows {most} in one text. Split it.",
                        param=place,
                    )
            elif type(value) is dict or type(value) is list:
                left.append((place, value))


def _joined(path: str, key: str) -> str:
    shown = "".join(char if char.isprintable() else "?" for char in key[:_NAME_CHARS])
    return f"{path}.{shown}" if path else shown


_NAMES: Final = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}


def _invalid(body: bytes, error: orjson.JSONDecodeError, limits: Limits) -> GatewayError:
    if not body.strip(b" \t\r\n"):
        return GatewayError(Kind.BODY_EMPTY, "The request body is empty. Send a JSON object.")
    if "depth limit" in error.msg:
        return _too_deep(limits)
    for mark, spelled in _MARKS:
        if body.startswith(mark):
            return GatewayError(Kind.JSON_INVALID, f"The request body is {spelled}. Send plain UTF-8.")
    if b"\0" in body[:4]:  # RFC 4627 section 3 told the UTF encodings by their zero bytes
        return GatewayError(Kind.JSON_INVALID, "The request body is in UTF-16 or UTF-32. Send plain UTF-8.")
    if "UTF-8" in error.msg:
        return GatewayError(Kind.JSON_INVALID, "The request body is not valid UTF-8.")
    return GatewayError(
        Kind.JSON_INVALID,
        f"The request body is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}.",
    )


def _too_deep(limits: Limits) -> GatewayError:
    return GatewayError(
        Kind.JSON_TOO_DEEP, f"The request body is nested more than {limits.json_depth} levels deep. Flatten it."
    )


def _too_complex(limits: Limits) -> GatewayError:
    return GatewayError(
        Kind.JSON_TOO_COMPLEX,
        f"The request body has more than {limits.json_nodes} keys and items. Split the request.",
    )
