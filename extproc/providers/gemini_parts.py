"""Contents and parts of Gemini's API, in requests and answers: reads their shapes, judges no text."""

from collections.abc import Iterator
from typing import Any, Final

import orjson

from extproc.core.texts import strings
from extproc.detectors.injection.provenance import Provenance
from extproc.providers import files
from extproc.providers.door import Seen, counts

#: What a part says; it has one of them. What Google's own servers put in (`executableCode`, `toolCall`, ...) is not
#: among them: that ran where no guard saw what went in and out.
ASKED: Final = frozenset({"text", "inlineData", "fileData", "functionCall", "functionResponse"})
#: Of an answer. Pictures and sound are not: nobody here could say what they tell.
TOLD: Final = frozenset({"text", "functionCall"})
#: What stands beside it.
ABOUT: Final = frozenset({"thought", "thoughtSignature", "mediaResolution", "videoMetadata", "partMetadata"})


def objects(nodes: Any) -> list[dict[str, Any]]:
    """The objects of a list; none where it is none."""
    return [node for node in nodes if type(node) is dict] if type(nodes) is list else []


def parts_of(content: Any) -> list[dict[str, Any]]:
    """The parts of a content."""
    return objects(content.get("parts")) if type(content) is dict else []


def all_parts(tree: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every part of a request's conversation, or of an answer's candidates."""
    contents = [*objects(tree.get("contents")), tree.get("systemInstruction")]
    contents += [candidate.get("content") for candidate in objects(tree.get("candidates"))]
    for content in contents:
        yield from parts_of(content)


def blobs(part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What a part brings in base64, also as a part of what a function answered."""
    answer = part.get("functionResponse")
    for holder in (part, *(objects(answer.get("parts")) if type(answer) is dict else ())):
        if type(holder.get("inlineData")) is dict:
            yield holder["inlineData"]


def said_in(part: dict[str, Any]) -> Iterator[tuple[Provenance, str]]:
    """The words of a user's part with who said them: the user, a tool, or a document."""
    if type(part.get("text")) is str:
        yield Provenance.USER, part["text"]
    answer = part.get("functionResponse")
    if type(answer) is dict:
        for text in strings(answer.get("response"), own=True)[0]:
            yield Provenance.TOOL_RESULT, text
    for text in file_texts(part):
        yield Provenance.DOCUMENT, text


def file_texts(part: dict[str, Any]) -> Iterator[str]:
    """What each file of text in a part says."""
    for blob in blobs(part):
        media, data = blob.get("mimeType"), blob.get("data")
        if type(data) is str and (text := files.opened(data, media.lower() if type(media) is str else "")):
            yield text


def as_chat(part: dict[str, Any]) -> list[dict[str, Any]]:
    """A part as parts of chat completions."""
    told: list[dict[str, Any]] = [{"type": "text", "text": part["text"]}] if type(part.get("text")) is str else []
    told += [_as_media(blob.get("mimeType"), f"data:;base64,{blob.get('data')}") for blob in blobs(part)]
    file = part.get("fileData")
    if type(file) is dict:
        told.append(_as_media(file.get("mimeType") or "image/unknown", file.get("fileUri")))
    return told


def _as_media(media: Any, url: Any) -> dict[str, Any]:
    kind = media.partition("/")[0].lower() if type(media) is str else ""
    if kind == "image":
        return {"type": "image_url", "image_url": {"url": url}}
    return {"type": {"audio": "input_audio", "video": "video"}.get(kind, "file")}


def calls_in(content: Any) -> list[dict[str, Any]]:
    """The calls of functions that a content makes, as chat completions writes them."""
    return [
        {
            "type": "function",
            "function": {
                "name": call.get("name"),
                "arguments": orjson.dumps(call.get("args") or {}).decode(),
            },
        }
        for call in (part.get("functionCall") for part in parts_of(content))
        if type(call) is dict
    ]


def read_usage(seen: Seen, usage: Any) -> None:
    """Take token counts from `usageMetadata`; anything that is not one is ignored. Thoughts are told beside output."""
    if type(usage) is not dict:
        return
    told = {name: usage[name] for name in usage if counts(usage[name])}
    if "promptTokenCount" in told:
        seen.input_tokens = told["promptTokenCount"] + told.get("toolUsePromptTokenCount", 0)
        seen.cached_tokens = told.get("cachedContentTokenCount", 0)
        seen.audio_input_tokens = _sound(usage.get("promptTokensDetails"))
    if "candidatesTokenCount" in told or "thoughtsTokenCount" in told:
        seen.reasoning_tokens = told.get("thoughtsTokenCount", 0)
        seen.output_tokens = told.get("candidatesTokenCount", 0) + seen.reasoning_tokens
        seen.audio_output_tokens = _sound(usage.get("candidatesTokensDetails"))


def _sound(details: Any) -> int:
    told = [each["tokenCount"] for each in objects(details) if each.get("modality") == "AUDIO" and "tokenCount" in each]
    return sum([each for each in told if counts(each)])


def seam(before: str, after: str) -> str:
    """A line break where two texts would become one word: clients join them, and no rule sees that."""
    return "" if not before or not after or before[-1].isspace() or after[0].isspace() else "\n"
