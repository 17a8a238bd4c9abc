"""The request bodies of OpenAI's endpoints as strict types, one set for each version. Judges form only.

A version is a month of the OpenAI API reference, and is never changed again: tenants may stay with one. Each type
exists twice: one that knows every field there is, and one that lets unknown fields pass. A tenant whose policy says
`schema: warn` is judged by the second where the first only misses a field.
"""

import functools
import operator
import types
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from extproc.providers.schema import Schema

#: Until the month of GPT-5.1: custom tools, `verbosity`, `prompt_cache_key` and `prompt_cache_retention` are in.
_AUTUMN_2025: Final = "2025-11"
#: Provider-side `moderation` and explicit breakpoints of the prompt cache came (June and July 2026).
NEWEST: Final = "2026-11"

_Text = Annotated[str, Meta(min_length=1)]
_Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9_.:-]+$")]
_Count = Annotated[int, Meta(ge=1)]
_Unit = Annotated[float, Meta(ge=0, le=1)]
_Penalty = Annotated[float, Meta(ge=-2, le=2)]
_Json = dict[str, Any]
_Stop = str | Annotated[list[str], Meta(max_length=16)] | None  # OpenAI takes four; self-hosted servers take more


@dataclass(frozen=True, slots=True)
class Types:
    """The bodies of one strictness."""

    chat: type
    completions: type
    embeddings: type


def _either(*kinds: Any) -> Any:
    """A union of types that are made while the program runs, which no checker of types can follow."""
    return functools.reduce(operator.or_, kinds)


def _list(*kinds: Any) -> Any:
    return types.GenericAlias(list, (_either(*kinds),))


def _types(version: str, *, closed: bool) -> Types:
    """Build every type. `closed`: a field that is not named here is refused."""
    newest = version == NEWEST

    def struct(name: str, fields: list[Any], *, tag: str | None = None, tag_field: str | None = None) -> Any:
        suffix = "" if closed else "Open"
        return msgspec.defstruct(
            f"{name}{suffix}",
            fields,
            tag=tag,
            tag_field=tag_field,
            forbid_unknown_fields=closed,
            kw_only=True,
            gc=False,
        )

    def maybe(name: str, kind: Any) -> tuple[str, Any, Any]:
        """A field that may be absent, or null as many SDKs write it."""
        return (name, kind | None | UnsetType, UNSET)

    cache = maybe("cache_control", _Json)  # Anthropic models behind compatible servers
    kept = [maybe("mode", str), maybe("ttl", str)]
    cached = [cache, *([maybe("prompt_cache_breakpoint", struct("Breakpoint", kept))] if newest else [])]
    text = struct("TextPart", [("text", str), *cached], tag="text", tag_field="type")
    image = struct("Image", [("url", _Text), maybe("detail", str)])
    audio = struct("Audio", [("data", _Text), ("format", str)])
    file = struct("File", [maybe("file_data", str), maybe("file_id", str), maybe("filename", str)])
    image_part = struct("ImagePart", [("image_url", image), *cached], tag="image_url", tag_field="type")
    audio_part = struct("AudioPart", [("input_audio", audio), *cached], tag="input_audio", tag_field="type")
    file_part = struct("FilePart", [("file", file), *cached], tag="file", tag_field="type")
    refusal_part = struct("RefusalPart", [("refusal", str)], tag="refusal", tag_field="type")

    words = _either(str, _list(text))
    name = maybe("name", str)
    call = struct("Called", [("name", str), ("arguments", str)])
    custom = struct("CustomCalled", [("name", str), ("input", str)])
    function_call = struct(
        "FunctionCall", [("id", str), ("function", call), maybe("index", int)], tag="function", tag_field="type"
    )
    custom_call = struct(
        "CustomCall", [("id", str), ("custom", custom), maybe("index", int)], tag="custom", tag_field="type"
    )
    system = struct("System", [("content", words), name], tag="system", tag_field="role")
    developer = struct("Developer", [("content", words), name], tag="developer", tag_field="role")
    user_parts = _list(text, image_part, audio_part, file_part)
    user = struct("User", [("content", _either(str, user_parts)), name], tag="user", tag_field="role")
    assistant = struct(
        "Assistant",
        [
            maybe("content", _either(str, _list(text, refusal_part))),
            *(maybe(field, str) for field in ("refusal", "reasoning", "reasoning_content", "name")),
            maybe("tool_calls", _list(function_call, custom_call)),
            maybe("function_call", call),
            maybe("audio", _Json),
            maybe("annotations", list[_Json]),  # clients send an answer's message back as it came
        ],
        tag="assistant",
        tag_field="role",
    )
    tool = struct("ToolResult", [("content", words), ("tool_call_id", str), name], tag="tool", tag_field="role")
    function = struct("FunctionResult", [("content", str | None), ("name", str)], tag="function", tag_field="role")

    described = struct(
        "Described", [("name", _Name), maybe("description", str), maybe("parameters", _Json), maybe("strict", bool)]
    )
    function_tool = struct("FunctionTool", [("function", described), cache], tag="function", tag_field="type")
    custom_described = struct("CustomDescribed", [("name", _Name), maybe("description", str), maybe("format", _Json)])
    custom_tool = struct("CustomTool", [("custom", custom_described)], tag="custom", tag_field="type")
    options = struct("StreamOptions", [maybe("include_usage", bool), maybe("include_obfuscation", bool)])

    came_2026 = [
        maybe("moderation", struct("Moderation", [("model", str), maybe("policy", _Json)])),
        maybe("prompt_cache_options", struct("CacheOptions", kept)),
    ]
    sampling = [
        maybe("frequency_penalty", _Penalty),
        maybe("presence_penalty", _Penalty),
        maybe("logit_bias", dict[str, float]),
        maybe("n", Annotated[int, Meta(ge=1, le=128)]),
        maybe("seed", int),
        ("stop", _Stop | UnsetType, UNSET),
        maybe("stream", bool),
        maybe("stream_options", options),
        maybe("temperature", Annotated[float, Meta(ge=0, le=2)]),
        maybe("top_p", _Unit),
        maybe("max_tokens", _Count),
        maybe("user", str),
    ]
    chat = struct(
        "Chat",
        [
            ("model", _Text),
            ("messages", Annotated[_list(system, developer, user, assistant, tool, function), Meta(min_length=1)]),
            *sampling,
            maybe("audio", _Json),
            maybe("function_call", str | _Json),
            maybe("functions", _list(described)),
            maybe("logprobs", bool),
            maybe("max_completion_tokens", _Count),
            maybe("metadata", dict[str, str]),
            maybe("modalities", list[str]),
            maybe("parallel_tool_calls", bool),
            maybe("prediction", _Json),
            maybe("prompt_cache_key", str),
            maybe("prompt_cache_retention", str),
            maybe("reasoning_effort", str),
            maybe("response_format", _Json),
            maybe("safety_identifier", str),
            maybe("service_tier", str),
            maybe("store", bool),
            maybe("tool_choice", str | _Json),
            maybe("tools", _list(function_tool, custom_tool)),
            maybe("top_logprobs", Annotated[int, Meta(ge=0, le=20)]),
            maybe("verbosity", str),
            maybe("web_search_options", _Json),
            *(came_2026 if newest else ()),
        ],
    )
    completions = struct(
        "Completions",
        [
            ("model", _Text),
            ("prompt", str | list[str]),
            *sampling,
            maybe("best_of", Annotated[int, Meta(ge=1, le=20)]),
            maybe("echo", bool),
            maybe("logprobs", int),
            maybe("suffix", str),
        ],
    )
    embeddings = struct(
        "Embeddings",
        [
            ("model", _Text),
            ("input", str | list[str]),
            maybe("dimensions", _Count),
            maybe("encoding_format", Literal["float", "base64"]),
            maybe("user", str),
        ],
    )
    return Types(chat, completions, embeddings)


_SETS: Final = {
    version: (_types(version, closed=True), _types(version, closed=False)) for version in (_AUTUMN_2025, NEWEST)
}
#: By version, oldest first. The two others have not changed since there are versions.
CHAT: Final = MappingProxyType({name: Schema(closed.chat, opened.chat) for name, (closed, opened) in _SETS.items()})
_CLOSED, _OPEN = _SETS[NEWEST]
COMPLETIONS: Final = MappingProxyType({NEWEST: Schema(_CLOSED.completions, _OPEN.completions)})
EMBEDDINGS: Final = MappingProxyType({NEWEST: Schema(_CLOSED.embeddings, _OPEN.embeddings)})
