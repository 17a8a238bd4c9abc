"""Whether a request body has the form that its endpoint knows, and counts within policy. Names fields, no values."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from extproc.providers.door import check_spelling, invalid
from gateway.errors import GatewayError, Kind
from gateway.policy.model import Limits

#: What the record says of a body with fields that the schema does not name, where policy lets it pass.
UNKNOWN_FIELD: Final = "schema.unknown_field"
_AT: Final = re.compile(r"(?P<what>.*?)(?: - at `(?:key in )?\$\.?(?P<path>[^`]*)`)?", re.DOTALL)
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(?P<name>.*)`", re.DOTALL)
_MISSING: Final = re.compile(r"Object missing required field `(?P<name>.*)`", re.DOTALL)
#: Fields inside messages, their parts and tools that guards and bounds rely on.
_NESTED: Final = frozenset(
    {"role", "content", "type", "text", "image_url", "input_audio", "file", "tool_calls", "function", "custom", "name"}
)
_DATA: Final = "data:"
_NAME_CHARS: Final = 64  # of a caller's own field name in an error: enough to find it


@dataclass(frozen=True, slots=True)
class Schema:
    """One endpoint's body, strict and tolerant of unknown fields."""

    closed: type
    opened: type

    def check(self, body: dict[str, Any], *, strict: bool) -> bool:
        """Whether every field is known. Raises REQUEST_INVALID with the path of whatever else is wrong."""
        try:
            msgspec.convert(body, self.closed)
        except msgspec.ValidationError as error:
            told = str(error)
            if strict or _UNKNOWN.match(told) is None:
                raise _refusal(told) from None
        else:
            return True
        try:
            msgspec.convert(body, self.opened)
        except msgspec.ValidationError as error:
            raise _refusal(str(error)) from None
        self._check_spellings(body)
        return False

    def _check_spellings(self, body: dict[str, Any]) -> None:
        """A server that does not mind case would read `Tools` where every check here reads `tools`."""
        check_spelling(body, frozenset(each.encode_name for each in msgspec.structs.fields(self.closed)))
        for holder in ("messages", "tools", "functions"):
            for item in _dicts(body.get(holder)):
                check_spelling(item, _NESTED)
                for inner in ("function", "custom", "content"):
                    value = item.get(inner)
                    for part in _dicts([value] if type(value) is dict else value):
                        check_spelling(part, _NESTED)


@dataclass(frozen=True, slots=True)
class Versions:
    """The schemas of one endpoint by version, oldest first, and how its clients say which one they speak."""

    known: Mapping[str, Schema]
    header: str = ""  # "": clients cannot say

    def choose(self, headers: Mapping[str, str], taken: tuple[str, ...]) -> Schema:
        """The schema that a request is judged by. `taken`: what the tenant takes, oldest first; empty: every version.

        Raises REQUEST_INVALID for a version that is not among them. Where clients cannot say, the newest counts. One
        that could and says nothing is older than the newer versions: the oldest counts.
        """
        names = taken or tuple(self.known)
        asked = headers.get(self.header, "") if self.header else ""
        if asked and asked not in names:
            raise GatewayError(
                Kind.REQUEST_INVALID,
                f"This version of the API is not taken here. Send the header {self.header}: {' or '.join(names)}.",
                param=self.header,
            )
        return self.known[asked or names[0 if self.header else -1]]


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if type(item) is dict] if type(value) is list else []


def _refusal(told: str) -> GatewayError:
    at = _AT.fullmatch(told)
    what, path = (at["what"], at["path"] or "") if at is not None else (told, "")
    path = path.replace("[...]", "[]")
    unknown = _UNKNOWN.fullmatch(what)
    if unknown is not None:
        name = _joined(path, unknown["name"])
        return GatewayError(
            Kind.REQUEST_INVALID,
            f"'{name}' is not a field of this request. Remove it, or ask your platform team to let it pass.",
            param=name,
        )
    missing = _MISSING.fullmatch(what)
    if missing is not None:
        name = _joined(path, missing["name"])
        return GatewayError(Kind.REQUEST_INVALID, f"'{name}' is missing.", param=name)
    if what.startswith("Expected "):
        return invalid(path or "body", what.removeprefix("Expected ").partition(", got ")[0].replace("`", ""))
    # "Invalid value 'x'": of a role or type. The value is the caller's own, and not repeated.
    return invalid(path or "body", "one of the values that the API reference names")


def _joined(path: str, name: str) -> str:
    shown = "".join(char if char.isprintable() else "?" for char in name[:_NAME_CHARS])
    return f"{path}.{shown}" if path else shown


def count(body: dict[str, Any], limits: Limits) -> None:
    """Refuse more messages, tools or pictures than policy lets one request have."""
    messages = body.get("messages")
    if type(messages) is not list:
        return
    _within("messages", len(messages), limits.messages)
    lists = [body.get(field) for field in ("tools", "functions")]  # the second is the older name of the first
    _within("tools", sum(len(tools) for tools in lists if type(tools) is list), limits.tools)
    images = image_chars = 0
    for message in messages:
        content = message.get("content") if type(message) is dict else None
        if type(content) is not list:
            continue
        for part in content:
            image = part.get("image_url") if type(part) is dict else None
            if type(image) is dict:
                images += 1
                url = image.get("url")
                if type(url) is str and url[: len(_DATA)].lower() == _DATA:  # RFC 3986 section 3.1: in any case
                    image_chars += len(url)
    if images:
        _within("images", images, limits.images)
        _within("bytes of images", image_chars * 3 // 4, limits.image_bytes)  # base64: four characters hold three


def _within(what: str, number: int, limit: int) -> None:
    if number > limit:
        raise GatewayError(
            Kind.REQUEST_INVALID, f"The request has {number} {what}; policy allows {limit}.", param="messages"
        )
