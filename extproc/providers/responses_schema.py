"""The request body of OpenAI's Responses endpoint as strict types (OpenAI API reference, November 2026). Form only.

Twice, as in `openai_schema`: closed, and open for fields that are not named here. What would let the provider read or
do something that never passes the gateway is refused by the front door itself, whatever the strictness.
"""

import functools
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from types import GenericAlias, MappingProxyType
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from extproc.providers.door import check_spelling
from extproc.providers.schema import Schema

_Text = Annotated[str, Meta(min_length=1)]
_Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9_.:-]+$")]
_Count = Annotated[int, Meta(ge=1)]
_Json = dict[str, Any]
#: Fields of items and their parts that guards and bounds rely on.
_NESTED: Final = frozenset({"type", "role", "content", "output", "text", "image_url", "file_id", "name", "arguments"})


@dataclass(frozen=True, slots=True)
class ResponsesSchema(Schema):
    """A message may come without its type, as the shortest form of the API has it."""

    def check(self, body: dict[str, Any], *, strict: bool) -> bool:
        """See `Schema.check`."""
        items = body.get("input")
        if type(items) is list:
            typed = [{"type": "message", **item} if type(item) is dict else item for item in items]
            body = {**body, "input": typed}
        known = Schema.check(self, body, strict=strict)
        if not known and type(items) is list:
            _check_spellings(items)
        return known


def _check_spellings(items: list[_Json]) -> None:
    """A server that does not mind case would read `Content` where every check here reads `content`."""
    for item in items:
        check_spelling(item, _NESTED)
        for parts in (item.get("content"), item.get("output")):
            for part in parts if type(parts) is list else ():
                check_spelling(part, _NESTED)


def _list(*kinds: Any) -> Any:
    return GenericAlias(list, (functools.reduce(operator.or_, kinds),))


def _type(*, closed: bool) -> type:
    """Build the body's type. `closed`: a field that is not named here is refused."""

    def struct(name: str, fields: list[Any], *, tag: str | None = None) -> Any:
        return msgspec.defstruct(
            f"{name}{'' if closed else 'Open'}",
            fields,
            tag=tag,
            tag_field="type" if tag else None,
            forbid_unknown_fields=closed,
            kw_only=True,
            gc=False,
        )

    def maybe(name: str, kind: Any) -> tuple[str, Any, Any]:
        """A field that may be absent, or null as many SDKs write it."""
        return (name, kind | None | UnsetType, UNSET)

    breakpoint_ = maybe("prompt_cache_breakpoint", _Json)
    input_text = struct("InputText", [("text", str), breakpoint_], tag="input_text")
    image = struct(
        "InputImage",
        [maybe("image_url", str), maybe("detail", str), maybe("file_id", str), breakpoint_],
        tag="input_image",
    )
    file = struct(
        "InputFile",
        [*(maybe(name, str) for name in ("file_data", "file_url", "filename", "file_id", "detail")), breakpoint_],
        tag="input_file",
    )
    output_text = struct(
        "OutputText",
        [("text", str), maybe("annotations", list[_Json]), maybe("logprobs", list[_Json])],
        tag="output_text",
    )
    refusal = struct("Refusal", [("refusal", str)], tag="refusal")
    summary = struct("Summary", [("text", str)], tag="summary_text")
    reasoned = struct("Reasoned", [("text", str)], tag="reasoning_text")

    own = [maybe("id", str), maybe("status", str)]  # clients send an answer's items back as they came
    called = [("call_id", str), ("name", str), maybe("namespace", str), *own]
    result = [("call_id", str), ("output", str | _list(input_text, image, file)), *own]
    message = struct(
        "Message",
        [
            ("role", Literal["user", "assistant", "system", "developer"]),
            ("content", str | _list(input_text, image, file, output_text, refusal)),
            maybe("phase", str),
            *own,
        ],
        tag="message",
    )
    reasoning = struct(
        "Reasoning",
        [("summary", _list(summary)), maybe("content", _list(reasoned)), maybe("encrypted_content", str), *own],
        tag="reasoning",
    )
    items = _list(
        message,
        reasoning,
        struct("FunctionCall", [("arguments", str), *called], tag="function_call"),
        struct("CustomCall", [("input", str), *called], tag="custom_tool_call"),
        struct("FunctionOutput", [*result, maybe("name", str)], tag="function_call_output"),
        struct("CustomOutput", result, tag="custom_tool_call_output"),
    )
    described = [("name", _Name), maybe("description", str)]
    tools = _list(
        struct(
            "Function",
            [*described, maybe("parameters", _Json), maybe("strict", bool), maybe("output_schema", _Json)],
            tag="function",
        ),
        struct("Custom", [*described, maybe("format", _Json)], tag="custom"),
    )
    body: type = struct(
        "Responses",
        [
            ("model", _Text),
            ("input", _Text | Annotated[items, Meta(min_length=1)]),
            maybe("background", bool),
            maybe("conversation", str | _Json),
            maybe("include", list[str]),
            maybe("instructions", str),
            maybe("max_output_tokens", _Count),
            maybe("max_tool_calls", _Count),
            maybe("metadata", dict[str, str]),
            maybe("parallel_tool_calls", bool),
            maybe("previous_response_id", str),
            maybe("prompt", _Json),
            maybe("prompt_cache_key", str),
            maybe("prompt_cache_retention", str),
            maybe("reasoning", _Json),
            maybe("safety_identifier", str),
            maybe("service_tier", str),
            maybe("store", bool),
            maybe("stream", bool),
            maybe("stream_options", struct("Options", [maybe("include_obfuscation", bool)])),
            maybe("temperature", Annotated[float, Meta(ge=0, le=2)]),
            maybe("text", struct("TextConfig", [maybe("format", _Json), maybe("verbosity", str)])),
            maybe("tool_choice", str | _Json),
            maybe("tools", tools),
            maybe("top_logprobs", Annotated[int, Meta(ge=0, le=20)]),
            maybe("top_p", Annotated[float, Meta(ge=0, le=1)]),
            maybe("truncation", Literal["auto", "disabled"]),
            maybe("user", str),
        ],
    )
    return body


#: As in `openai_schema`, a month of the reference; there is one so far.
RESPONSES: Final[Mapping[str, Schema]] = MappingProxyType(
    {"2026-11": ResponsesSchema(_type(closed=True), _type(closed=False))}
)
