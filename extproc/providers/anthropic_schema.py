"""The request body of Anthropic's messages endpoint as strict types, for each API version. Judges form only.

Anthropic adds fields to a version; these are of its reference of November 2026. The version of October 2026 takes
some away (guide "Migrating to API version 2026-10-21"). Each type exists twice, as in openai_schema: one that knows
every field, and one that lets unknown fields pass. Kinds of blocks, sources and tools that are not named here are
refused by both: nobody here could say what is in them.
"""

import functools
import operator
import types
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from extproc.providers.schema import Schema

#: Clients say here which version they speak.
HEADER: Final = "anthropic-version"
FIRST: Final = "2023-06-01"
NEWEST: Final = "2026-10-21"
_Text = Annotated[str, Meta(min_length=1)]
_Name = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[a-zA-Z0-9_.:-]+$")]
_Picture = Annotated[str, Meta(max_length=64, pattern=r"^image/")]  # what is base64 is not read as text
_Unit = Annotated[float, Meta(ge=0, le=1)]
_Json = dict[str, Any]


def _either(*kinds: Any) -> Any:
    """A union of types that are made while the program runs, which no checker of types can follow."""
    return functools.reduce(operator.or_, kinds)


def _list(*kinds: Any) -> Any:
    return types.GenericAlias(list, (_either(*kinds),))


def _messages(version: str, *, closed: bool) -> type:
    """Build the body's type. `closed`: a field that is not named here is refused."""
    first = version == FIRST

    def struct(name: str, fields: list[Any], *, tag: str | None = None, tag_field: str | None = "type") -> Any:
        return msgspec.defstruct(
            f"{name}{'' if closed else 'Open'}{'' if first else version.replace('-', '')}",
            fields,
            tag=tag,
            tag_field=tag_field if tag else None,
            forbid_unknown_fields=closed,
            kw_only=True,
            gc=False,
        )

    def maybe(name: str, kind: Any) -> tuple[str, Any, Any]:
        """A field that may be absent, or null as many SDKs write it."""
        return (name, kind | None | UnsetType, UNSET)

    cache = maybe("cache_control", _Json)
    text = struct("TextBlock", [("text", str), maybe("citations", list[_Json]), cache], tag="text")
    quoted: Any = list[_Json] if first else Annotated[list[_Json], Meta(max_length=0)]
    said = struct("SaidText", [("text", str), maybe("citations", quoted), cache], tag="text")
    url = struct("UrlSource", [("url", _Text)], tag="url")
    picture = struct("ImageData", [("media_type", _Picture), ("data", _Text)], tag="base64")
    image = struct("ImageBlock", [("source", _either(picture, url)), cache], tag="image")
    pdf = struct("PdfData", [("media_type", Literal["application/pdf"]), ("data", _Text)], tag="base64")
    plain = struct("PlainText", [("media_type", Literal["text/plain"]), ("data", str)], tag="text")
    content = struct("ContentSource", [("content", _either(str, _list(said, image)))], tag="content")
    about = [maybe("citations", _Json), cache]
    document = struct(
        "DocumentBlock",
        [("source", _either(pdf, plain, content, url)), maybe("title", str), maybe("context", str), *about],
        tag="document",
    )
    result = struct(
        "SearchResult", [("source", str), ("title", str), ("content", _list(said)), *about], tag="search_result"
    )
    thinking = struct("Thinking", [("thinking", str), ("signature", str)], tag="thinking")
    redacted = struct("RedactedThinking", [("data", str)], tag="redacted_thinking")
    tool_use = struct(
        "ToolUse", [("id", _Text), ("name", _Text), ("input", _Json), maybe("caller", _Json), cache], tag="tool_use"
    )
    tool_result = struct(
        "ToolResultBlock",
        [
            ("tool_use_id", _Text),
            maybe("content", _either(str, _list(said, image, document, result))),
            maybe("is_error", bool),
            cache,
        ],
        tag="tool_result",
    )

    asked = _list(said, image, document, result, tool_result)
    told = _list(text, thinking, redacted, tool_use)
    roles = (
        struct("UserTurn", [("content", _either(str, asked))], tag="user", tag_field="role"),
        struct("AssistantTurn", [("content", _either(str, told))], tag="assistant", tag_field="role"),
        struct("SystemTurn", [("content", _either(str, _list(text)))], tag="system", tag_field="role"),
    )
    tool = struct(
        "CustomToolOfMessages",
        [
            ("name", _Name),
            ("input_schema", _Json),
            maybe("description", str),
            maybe("type", Literal["custom"]),
            maybe("strict", bool),
            maybe("input_examples", list[_Json]),
            maybe("eager_input_streaming", bool),
            cache,
        ],
    )
    parallel = maybe("disable_parallel_tool_use", bool)
    choice = _either(
        struct("ChoiceAuto", [parallel], tag="auto"),
        struct("ChoiceAny", [parallel], tag="any"),
        struct("ChoiceTool", [("name", _Text), parallel], tag="tool"),
        struct("ChoiceNone", [], tag="none"),
    )
    sampling = (maybe("temperature", _Unit), maybe("top_k", Annotated[int, Meta(ge=0)]), maybe("top_p", _Unit))
    body: type = struct(
        "Messages",
        [
            ("model", _Text),
            ("messages", Annotated[_list(*roles), Meta(min_length=1)]),
            ("max_tokens", Annotated[int, Meta(ge=0)]),  # 0 only fills the provider's cache
            cache,
            maybe("inference_geo", str),
            maybe("metadata", struct("Metadata", [maybe("user_id", str)])),
            maybe("output_config", _Json),
            maybe("service_tier", str),
            maybe("speed", str),
            maybe("stop_sequences", list[str]),
            maybe("stream", bool),
            maybe("system", _either(str, _list(text))),
            maybe("thinking", _Json),
            maybe("tool_choice", choice),
            maybe("tools", _list(tool)),
            *(sampling if first else ()),
        ],
    )
    return body


#: What each version reads. The version before them, 2023-01-01, streams in a form that no guard here reads.
MESSAGES: Final = MappingProxyType(
    {version: Schema(_messages(version, closed=True), _messages(version, closed=False)) for version in (FIRST, NEWEST)}
)
