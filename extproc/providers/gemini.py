"""The Gemini front door: generateContent and streamGenerateContent (Gemini API reference, November 2026).

Model and streaming stand in the path, so there is a door for each path. One rule decides what is refused here whatever
the strictness: what the model reads and says must pass the gateway. So a request may not point at what the provider
keeps, nor have the provider run a tool, nor ask for an answer that nobody here can read.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import orjson

from extproc.core.unknown import Unknown
from extproc.detectors.injection.provenance import Provenance
from extproc.guardrails.guard import Guard, Tally
from extproc.providers.door import Opened, Seen, StreamGuard, invalid
from extproc.providers.gemini_parts import (
    ABOUT,
    ASKED,
    TOLD,
    all_parts,
    as_chat,
    calls_in,
    file_texts,
    objects,
    parts_of,
    read_usage,
    said_in,
    seam,
)
from extproc.providers.gemini_schema import CONTENTS, FIELDS, spell
from extproc.providers.gemini_stream import ContentStream, kind_of, malformed
from extproc.providers.schema import Versions
from extproc.translate.gemini import is_public
from gateway import named_path
from gateway.errors import Dialect
from gateway.named_path import Named

_ROLES: Final = frozenset({"user", "model", "function"})
_CONFIG: Final = "generationConfig"
_PASSES_BY: Final = "left out: what the provider keeps or runs does not pass the gateway"
#: Of `generationConfig`: ask for sound or pictures, which no rule reads, or for a shape that none knows.
_UNREADABLE: Final = ("speechConfig", "imageConfig", "responseFormat")


@dataclass(frozen=True, slots=True)
class GenerateContent:
    """POST /v1beta/models/MODEL:generateContent, or :streamGenerateContent."""

    named: Named

    path = named_path.ROUTE
    dialect = Dialect.GEMINI
    versions = Versions(CONTENTS)
    cap_field = f"{_CONFIG}.maxOutputTokens"
    cap_spellings = frozenset({"max_output_tokens"})  # as `plain` has it

    @property
    def front(self) -> str:
        """See `Door`."""
        return self.named.path

    def at(self, name: str) -> str:
        """See `Door`."""
        return self.named.at(name)

    def prompts(self, body: dict[str, Any]) -> int:
        """One conversation."""
        del body
        return 1

    def open(self, body: dict[str, Any]) -> Opened:
        """Check contents, parts and tools; refuse what would pass the gateway by. The tree is spelled in one way."""
        spell(body, "body")
        if body.get("cachedContent") is not None:
            raise invalid("cachedContent", f"{_PASSES_BY}. Send the whole conversation")
        if body.get("store") not in (None, False):
            raise invalid("store", "false: nothing is kept at the provider")
        contents = body.get("contents")
        if type(contents) is not list or not contents:
            raise invalid("contents", "a non-empty list")
        for index, content in enumerate(contents):
            _check_content(f"contents[{index}]", content)
        if body.get("systemInstruction") is not None:
            _check_content("systemInstruction", body["systemInstruction"], words=True)
        _check_tools(body)
        _check_config(body.get(_CONFIG))
        return Opened(self.named.model, self.named.streams)

    def positions(self, body: dict[str, Any]) -> Iterator[tuple[Provenance, str]]:
        """Words of users, tools and files in the whole conversation. `systemInstruction` is the tenant's own."""
        for content in body["contents"]:
            for part in parts_of(content):
                for who, text in said_in(part):
                    if who is not Provenance.USER or content.get("role") != "model":
                        yield who, text
        for function in _functions(body):
            if type(function.get("description")) is str:
                yield Provenance.TOOL_DESCRIPTION, function["description"]

    def as_chat(self, body: dict[str, Any]) -> dict[str, Any]:
        """`systemInstruction` is a system message; what a function answered, the tool's."""
        messages: list[dict[str, Any]] = []
        if type(body.get("systemInstruction")) is dict:
            messages.append({"role": "system", "content": _as_parts(body["systemInstruction"])})
        for content in body["contents"]:
            role = "assistant" if content.get("role") == "model" else "user"
            answered = any("functionResponse" in part for part in parts_of(content))
            message: dict[str, Any] = {"role": "tool" if answered else role, "content": _as_parts(content)}
            if called := calls_in(content):
                message["tool_calls"] = called
            messages.append(message)
        return {"messages": messages, "tools": [{"type": "function", "function": each} for each in _functions(body)]}

    def plain(self, body: dict[str, Any]) -> dict[str, Any]:
        """The settings in chat's words; sizes are counted in those of responses."""
        # A field of another dialect, which a tolerant tenant's request may have, would pass for a setting.
        known = {name: value for name, value in body.items() if name in FIELDS["body"]}
        config = body.get(_CONFIG)
        if type(config) is not dict:
            return known
        told = {
            "n": config.get("candidateCount"),
            "max_output_tokens": config.get("maxOutputTokens"),
            "temperature": config.get("temperature"),
        }
        shape = config.get("responseJsonSchema") or config.get("responseSchema")
        if shape is not None:
            told["response_format"] = {"type": "json_schema", "json_schema": {"schema": lowered(shape)}}
        elif config.get("responseMimeType") not in {None, "", "text/plain"}:
            told["response_format"] = {"type": "json_object"}
        return {**known, **{name: value for name, value in told.items() if value is not None}}

    def sealed(self, tree: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Signatures of thoughts, in a request's history or in an answer, and files of text."""
        for part in all_parts(tree):
            if type(part.get("thoughtSignature")) is str:
                yield {"thoughtSignature": part["thoughtSignature"]}
            for text in file_texts(part):
                yield {"type": "file", "text": text}

    def splice_usage(self, raw: bytes, body: dict[str, Any]) -> bytes | None:
        """Nothing to put in: every event reports usage."""
        del body
        return raw

    def force_usage(self, body: dict[str, Any]) -> None:
        """Nothing to force."""

    def stream(self, guard: Guard, tally: Tally, seen: Seen, *, show_usage: bool) -> StreamGuard:
        """One hold-back per candidate and kind of text."""
        del show_usage  # there is no asking for it in this dialect, and no hiding
        return ContentStream(guard, tally, seen)

    def instead(self, text: str, shell: dict[str, Any], seen: Seen) -> dict[str, Any] | None:
        """One candidate that ends for safety's sake."""
        spent, made = seen.input_tokens or 0, seen.output_tokens or 0
        return {
            "candidates": [
                {"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": "SAFETY", "index": 0}
            ],
            "usageMetadata": {
                "promptTokenCount": spent,
                "candidatesTokenCount": made,
                "totalTokenCount": spent + made,
            },
            "modelVersion": shell.get("modelVersion", self.named.model),
            "responseId": shell.get("responseId", "replaced"),
        }

    def answer(self, tree: dict[str, Any], seen: Seen, unknown: Unknown) -> bool:
        """Usage, text length, no log probabilities; no part that a stream could not have either."""
        read_usage(seen, tree.get("usageMetadata"))
        candidates = tree.get("candidates")
        if candidates is None:
            return False
        if type(candidates) is not list or len(objects(candidates)) != len(candidates):
            raise malformed("candidates are not a list of objects")
        altered = False
        for candidate in candidates:
            if candidate.pop("logprobsResult", None) is not None:  # tokens would spell out what the guard removes
                altered = True
            altered |= _read_content(candidate.get("content"), seen, unknown)
        return altered


def _read_content(content: Any, seen: Seen, unknown: Unknown) -> bool:
    if content is None:
        return False
    if type(content) is not dict:  # what reads turns, lengths and windows of words would see none in it
        raise malformed("content is not an object")
    parts = content.get("parts")
    if parts is None:
        return False
    if type(parts) is not list:
        raise malformed("parts are not a list")
    altered = False
    before = {True: "", False: ""}
    for part in parts:
        if type(part) is not dict:
            raise malformed("a part is not an object")
        kind = kind_of(part)
        if kind not in TOLD:
            if kind and unknown.meet("a part", kind):
                unknown.look(part)
            continue
        for name in part.keys() - {kind, *ABOUT}:  # as in a stream, where what is not known does not leave
            del part[name]
            altered = True
        if kind == "functionCall":
            if type(part[kind]) is not dict:
                raise malformed("a call that is no object")
            seen.say(orjson.dumps(part[kind]).decode())
            continue
        text, thought = part[kind], part.get("thought") is True
        if type(text) is not str:
            raise malformed("text is not a string")
        seen.say(text)
        if text:
            part["text"] = before[thought] = seam(before[thought], text) + text
            altered |= part["text"] != text
    return altered


#: Keywords of Google's subset whose values are schemas, or lists or maps of them (Gemini API reference, "Schema").
_ONE, _LIST, _MAP = ("items", "additionalProperties"), ("anyOf", "prefixItems"), ("properties",)


def lowered(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema of Google's own subset as JSON Schema: types in capitals there, null apart. Never recurses."""
    whole = _one_lowered(schema)
    left = [whole]
    while left:
        node = left.pop()
        for key in _ONE:
            if type(node.get(key)) is dict:
                node[key] = _one_lowered(node[key])
                left.append(node[key])
        for key in _LIST:
            if type(node.get(key)) is list:
                node[key] = [_one_lowered(each) if type(each) is dict else each for each in node[key]]
                left += objects(node[key])
        for key in _MAP:
            if type(node.get(key)) is dict:
                node[key] = {
                    name: _one_lowered(each) if type(each) is dict else each for name, each in node[key].items()
                }
                left += objects(list(node[key].values()))
    return whole


def _one_lowered(node: dict[str, Any]) -> dict[str, Any]:
    """The keywords of one schema, which may come in snake case as the official SDK writes them."""
    told = {_camel(key): value for key, value in node.items()}
    told.pop("propertyOrdering", None)
    kind = told.get("type")
    if type(kind) is str:
        told["type"] = [kind.lower(), "null"] if told.pop("nullable", None) is True else kind.lower()
    return told


def _camel(key: str) -> str:
    first, *others = key.split("_")
    return first + "".join([word.capitalize() for word in others]) if first else key


def _functions(body: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for tool in objects(body.get("tools")) for each in objects(tool.get("functionDeclarations"))]


def _as_parts(content: dict[str, Any]) -> list[dict[str, Any]]:
    return [told for part in parts_of(content) for told in as_chat(part)]


# --- what a request may hold -------------------------------------------------------------------------------------


def _check_content(where: str, content: Any, *, words: bool = False) -> None:
    if type(content) is not dict:
        raise invalid(where, "an object")
    spell(content, "content", f"{where}.")
    role = content.get("role")
    if not words and role is not None and (type(role) is not str or role not in _ROLES):
        raise invalid(f"{where}.role", "user or model")
    parts = content.get("parts")
    if type(parts) is not list:
        raise invalid(f"{where}.parts", "a list")
    for index, part in enumerate(parts):
        _check_part(f"{where}.parts[{index}]", part, words=words)


def _check_part(where: str, part: Any, *, words: bool) -> None:
    if type(part) is not dict:
        raise invalid(where, "an object")
    spell(part, "part", f"{where}.")
    foreign = part.keys() - FIELDS["part"]
    if foreign:
        raise invalid(where, f"one of {', '.join(sorted(ASKED))}")
    kinds = [kind for kind in ASKED if part.get(kind) is not None]
    if len(kinds) > 1 or (not kinds and not any(part.get(name) for name in ABOUT)):
        raise invalid(where, f"one of {', '.join(sorted(ASKED))}")
    for kind in kinds:
        if words and kind != "text":
            raise invalid(where, "text")
        if kind != "text" and type(part[kind]) is not dict:
            raise invalid(f"{where}.{kind}", "an object")
        if kind == "text" and type(part[kind]) is not str:
            raise invalid(f"{where}.text", "a string")
    _check_media(where, part)
    if "functionCall" in kinds:
        spell(part["functionCall"], "call", f"{where}.functionCall.")
    if "functionResponse" in kinds:
        _check_response(f"{where}.functionResponse", part["functionResponse"])


def _check_response(where: str, answer: dict[str, Any]) -> None:
    spell(answer, "response", f"{where}.")
    parts = answer.get("parts")
    if parts is not None and (type(parts) is not list or len(objects(parts)) != len(parts)):
        raise invalid(f"{where}.parts", "a list of objects")
    for index, part in enumerate(parts or ()):
        spell(part, "part", f"{where}.parts[{index}].")
        if not part.keys() <= {"inlineData", "fileData"}:
            raise invalid(f"{where}.parts[{index}]", "inlineData or fileData")
        _check_media(f"{where}.parts[{index}]", part)


def _check_media(where: str, part: dict[str, Any]) -> None:
    for kind, names in (("inlineData", "blob"), ("fileData", "file")):
        holder = part.get(kind)
        if holder is None:
            continue
        if type(holder) is not dict:
            raise invalid(f"{where}.{kind}", "an object")
        spell(holder, names, f"{where}.{kind}.")
        uri = holder.get("fileUri")
        if kind == "fileData" and (type(uri) is not str or not is_public(uri)):
            raise invalid(f"{where}.fileData.fileUri", "a public https address: files that the provider keeps, or "
                          "reads as the gateway, are not seen here")  # fmt: skip


def _objects_at(tree: dict[str, Any], name: str, path: str) -> list[dict[str, Any]]:
    """The objects of a list that may be left out, and that holds nothing else."""
    found = tree.get(name)
    if found is None:
        return []
    told = objects(found)
    if type(found) is not list or len(told) != len(found):
        raise invalid(path, "a list of objects")
    return told


def _check_tools(body: dict[str, Any]) -> None:
    for index, tool in enumerate(_objects_at(body, "tools", "tools")):
        spell(tool, "tool", f"tools[{index}].")
        if any(value is not None for name, value in tool.items() if name not in FIELDS["tool"]):
            raise invalid(
                f"tools[{index}]",
                "functionDeclarations: what a tool of the provider's own reads and says does not pass the gateway",
            )
        for function in _objects_at(tool, "functionDeclarations", f"tools[{index}].functionDeclarations"):
            spell(function, "function", f"tools[{index}].functionDeclarations[].")
    config = body.get("toolConfig")
    if config is None:
        return
    if type(config) is not dict:
        raise invalid("toolConfig", "an object")
    spell(config, "toolConfig", "toolConfig.")
    for name in ("retrievalConfig", "includeServerSideToolInvocations"):
        if config.get(name) not in (None, False):
            raise invalid(f"toolConfig.{name}", _PASSES_BY)
    calling = config.get("functionCallingConfig")
    if type(calling) is dict:
        spell(calling, "calling", "toolConfig.functionCallingConfig.")
        if calling.get("streamFunctionCallArguments"):
            raise invalid("toolConfig.functionCallingConfig.streamFunctionCallArguments", "false: calls are told whole")


def _check_config(config: Any) -> None:
    if config is None:
        return
    if type(config) is not dict:
        raise invalid(_CONFIG, "an object")
    spell(config, "config", f"{_CONFIG}.")
    for name in _UNREADABLE:
        if config.get(name) is not None:
            raise invalid(f"{_CONFIG}.{name}", "left out: only text passes the gateway's rules")
    modalities = config.get("responseModalities")
    if modalities and (type(modalities) is not list or any(str(each).upper() != "TEXT" for each in modalities)):
        raise invalid(f"{_CONFIG}.responseModalities", "TEXT alone: no rule reads pictures or sound")
    if type(config.get("thinkingConfig")) is dict:
        spell(config["thinkingConfig"], "thinking", f"{_CONFIG}.thinkingConfig.")
