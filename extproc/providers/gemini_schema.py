"""The request body of Gemini's generateContent as strict types (Gemini API reference, November 2026). Form only.

Twice, as in `openai_schema`: closed, and open for fields that are not named here. Google's servers read each field also
by its name in snake case, and its own SDK writes some of them so; every reader here knows the one in camel case alone.
"""

import re
from types import GenericAlias, MappingProxyType
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from extproc.providers.door import invalid
from extproc.providers.schema import Schema

_Text = Annotated[str, Meta(min_length=1)]
_Name = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[a-zA-Z0-9_.:-]+$")]
_Count = Annotated[int, Meta(ge=1)]
_Word = Annotated[str, Meta(max_length=64, pattern=r"^[A-Za-z0-9_]*$")]  # of an enumeration
_Media = Annotated[str, Meta(min_length=3, max_length=128, pattern=r"^[a-zA-Z0-9.+/_-]+$")]
_Json = dict[str, Any]

#: Fields by the object that holds them, as far as any check here relies on them, or refuses them.
FIELDS: Final = MappingProxyType(
    {
        "body": frozenset(
            {"contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "safetySettings", "labels",
             "cachedContent", "serviceTier", "store"}
        ),
        "content": frozenset({"role", "parts"}),
        "part": frozenset(
            {"text", "thought", "thoughtSignature", "inlineData", "fileData", "functionCall", "functionResponse",
             "mediaResolution", "videoMetadata", "partMetadata"}
        ),
        "blob": frozenset({"mimeType", "data", "displayName"}),
        "file": frozenset({"mimeType", "fileUri", "displayName"}),
        "call": frozenset({"id", "name", "args", "partialArgs", "willContinue"}),
        "response": frozenset({"id", "name", "response", "parts", "willContinue", "scheduling"}),
        "tool": frozenset({"functionDeclarations"}),
        "function": frozenset(
            {"name", "description", "parameters", "parametersJsonSchema", "response", "responseJsonSchema", "behavior"}
        ),
        "toolConfig": frozenset({"functionCallingConfig", "retrievalConfig", "includeServerSideToolInvocations"}),
        "calling": frozenset({"mode", "allowedFunctionNames", "streamFunctionCallArguments"}),
        "config": frozenset(
            {"candidateCount", "maxOutputTokens", "responseMimeType", "responseSchema", "responseJsonSchema",
             "responseModalities", "responseFormat", "temperature", "topP", "topK", "seed", "stopSequences",
             "presencePenalty", "frequencyPenalty", "responseLogprobs", "logprobs", "thinkingConfig", "speechConfig",
             "imageConfig", "mediaResolution", "enableEnhancedCivicAnswers"}
        ),
        "thinking": frozenset({"includeThoughts", "thinkingBudget", "thinkingLevel"}),
    }
)  # fmt: skip
_WORD_BEGINS: Final = re.compile(r"[A-Z]")
_FOLDED: Final = {
    kind: {name.casefold(): name for name in (*names, *(("model", "stream") if kind == "body" else ()))}
    for kind, names in FIELDS.items()
}


def _list(kind: Any) -> Any:
    """Of a type that is made while the program runs, which no checker of types can follow."""
    return GenericAlias(list, (kind,))


def spell(holder: dict[str, Any], kind: str, where: str = "") -> None:
    """Write fields in camel case that Google's servers, and its SDK, also write in snake case: in place.

    Raises REQUEST_INVALID for one that is there in both, and for what only readers would take for it that do not mind
    case.
    """
    known, folded = FIELDS[kind], _FOLDED[kind]
    if holder.keys() <= known:
        return
    for name in list(holder):
        meant = None if name in known else folded.get(name.replace("_", "").casefold())
        if meant is None:
            continue
        if meant not in known:  # both stand in the path, and a second word could differ
            raise invalid(meant, "left out: the path says it")
        if name != _WORD_BEGINS.sub(r"_\g<0>", meant).lower() or meant in holder:
            raise invalid(f"{where}{meant}", "written once, as here")
        holder[meant] = holder.pop(name)


def _type(*, closed: bool) -> type:
    """Build the body's type. `closed`: a field that is not named here is refused."""

    def struct(name: str, fields: list[Any]) -> Any:
        return msgspec.defstruct(
            f"{name}OfGemini{'' if closed else 'Open'}", fields, forbid_unknown_fields=closed, kw_only=True, gc=False
        )

    def maybe(name: str, kind: Any) -> tuple[str, Any, Any]:
        """A field that may be absent, or null."""
        return (name, kind | None | UnsetType, UNSET)

    blob = struct("Blob", [("mimeType", _Media), ("data", _Text), maybe("displayName", str)])
    file = struct("FileData", [("fileUri", _Text), maybe("mimeType", _Media), maybe("displayName", str)])
    media = [maybe("inlineData", blob), maybe("fileData", file)]
    call = struct("FunctionCall", [maybe("id", str), ("name", _Name), maybe("args", _Json)])
    result = struct(
        "FunctionResponse",
        [
            maybe("id", str),
            ("name", _Name),
            ("response", _Json),
            maybe("parts", _list(struct("ResponsePart", media))),
            maybe("willContinue", bool),
            maybe("scheduling", _Word),
        ],
    )
    part = struct(
        "Part",
        [
            maybe("text", str),
            maybe("thought", bool),
            maybe("thoughtSignature", str),
            *media,
            maybe("functionCall", call),
            maybe("functionResponse", result),
            maybe("mediaResolution", _Json),
            maybe("videoMetadata", _Json),
            maybe("partMetadata", _Json),
        ],
    )
    content = struct("Content", [maybe("role", _Word), ("parts", _list(part))])
    function = struct(
        "FunctionDeclaration",
        [
            ("name", _Name),
            maybe("description", str),
            *(maybe(name, _Json) for name in ("parameters", "parametersJsonSchema", "response", "responseJsonSchema")),
            maybe("behavior", _Word),
        ],
    )
    calling = struct("CallingConfig", [maybe("mode", _Word), maybe("allowedFunctionNames", list[str])])
    thinking = struct(
        "ThinkingConfig",
        [maybe("includeThoughts", bool), maybe("thinkingBudget", int), maybe("thinkingLevel", _Word)],
    )
    config = struct(
        "GenerationConfig",
        [
            maybe("candidateCount", Annotated[int, Meta(ge=1, le=8)]),
            maybe("maxOutputTokens", _Count),
            maybe("responseMimeType", str),
            *(maybe(name, _Json) for name in ("responseSchema", "responseJsonSchema")),
            maybe("responseModalities", list[_Word]),
            maybe("temperature", Annotated[float, Meta(ge=0, le=2)]),
            maybe("topP", Annotated[float, Meta(ge=0, le=1)]),
            maybe("topK", Annotated[float, Meta(ge=0)]),
            maybe("seed", int),
            maybe("stopSequences", list[str]),
            *(maybe(name, Annotated[float, Meta(ge=-2, le=2)]) for name in ("presencePenalty", "frequencyPenalty")),
            maybe("responseLogprobs", bool),
            maybe("logprobs", int),
            maybe("thinkingConfig", thinking),
            maybe("mediaResolution", _Word),
            maybe("enableEnhancedCivicAnswers", bool),
        ],
    )
    safety = struct("SafetySetting", [("category", _Word), ("threshold", _Word), maybe("method", _Word)])
    body: type = struct(
        "Body",
        [
            ("contents", Annotated[_list(content), Meta(min_length=1)]),
            maybe("systemInstruction", content),
            maybe("tools", _list(struct("Tool", [maybe("functionDeclarations", _list(function))]))),
            maybe("toolConfig", struct("ToolConfig", [maybe("functionCallingConfig", calling)])),
            maybe("generationConfig", config),
            maybe("safetySettings", _list(safety)),
            maybe("labels", dict[str, str]),
            maybe("serviceTier", _Word),
            maybe("store", bool),
        ],
    )
    return body


CONTENTS: Final = MappingProxyType({"2026-11": Schema(_type(closed=True), _type(closed=False))})
