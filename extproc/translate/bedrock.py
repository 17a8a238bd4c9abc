"""AWS Bedrock's Converse (service model of November 2026): requests, and the dialect as a whole. For backends alone.

Which parts of it a model takes is the model's own affair: what it refuses, the provider says with 400.
"""

import base64
import binascii
import re
import zlib
from typing import Any, Final
from urllib.parse import quote

import orjson

from extproc.translate import bedrock_answer
from extproc.translate.anthropic import thinking_budget
from extproc.translate.bedrock_stream import ConverseReader
from extproc.translate.canon import (
    Call,
    File,
    Image,
    Part,
    Pick,
    Reasoning,
    Redacted,
    Refusal,
    Request,
    Result,
    Role,
    Sampling,
    Schema,
    Text,
    Thinking,
    Turn,
    Usage,
    joined,
)
from extproc.translate.dialect import Target, Thinks, Written
from extproc.translate.eventstream import MEDIA_TYPE
from extproc.translate.fields import ASKED, Losses, arguments_of
from extproc.translate.reasoning import budget_of, effort_of

_EFFORTS: Final = frozenset({"low", "medium", "high", "xhigh", "max"})  # OutputConfig.effort
_ID: Final = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")  # ToolUseId
_NOT_ID: Final = re.compile(r"[^a-zA-Z0-9_.:-]")
_PICTURES: Final = {"image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
_DOCUMENTS: Final = {
    "application/pdf": "pdf",
    "text/plain": "txt",
    "text/csv": "csv",
    "text/html": "html",
    "text/markdown": "md",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
}
_FILE: Final = "messages[].content[].file"
_IMAGE: Final = "messages[].content[].image_url"


class Bedrock:
    """Converse and ConverseStream."""

    name = "bedrock"
    family = "bedrock"
    stream_type = MEDIA_TYPE
    #: Signatures that are wrong or too old, keys that ended, models that the keys may not call: all of them 403. Their
    #: words name the account.
    denials = frozenset({401, 403})

    # Done in modules of their own; `Front` and `Back` say what each means.
    read_answer = staticmethod(bedrock_answer.read_answer)
    reader = ConverseReader
    read_error = staticmethod(bedrock_answer.read_error)

    def path_of(self, target: Target, *, stream: bool) -> str:
        """See `Back.path_of`. The colons and slashes of a model's id are encoded, as the signature wants them."""
        return f"/model/{quote(target.model, safe='')}/{'converse-stream' if stream else 'converse'}"

    def write_request(self, request: Request, target: Target) -> Written:
        """See `Back.write_request`."""
        losses = Losses()
        body = _write_turns(request.turns, losses)
        _write_tools(request, body, losses)
        config: dict[str, Any] = {}
        if request.max_tokens is not None:
            config["maxTokens"] = request.max_tokens
        if request.stop:
            config["stopSequences"] = list(request.stop)
        if request.schema is not None:
            _write_schema(request.schema, body, losses)
        if request.reasoning is not None:
            _write_thinking(request, request.reasoning, target, body, losses)
        _write_sampling(request.sampling, target, config, losses, thinks="additionalModelRequestFields" in body)
        if config:
            body["inferenceConfig"] = config
        if request.user:
            losses.add("user", "the API takes no user's id")
        if request.metadata:
            losses.add("metadata", "it would be filed in the logs of the gateway's own account")
        return Written(self.path_of(target, stream=request.stream), body, losses.told())

    def read_usage(self, body: dict[str, Any]) -> Usage | None:
        """See `Back.read_usage`."""
        return bedrock_answer.usage_of(body.get("usage"))


BEDROCK: Final = Bedrock()


def _write_turns(turns: tuple[Turn, ...], losses: Losses) -> dict[str, Any]:
    """`messages` and `system`."""
    system: list[dict[str, Any]] = []
    spoken: list[Turn] = []
    for turn in turns:
        if turn.role in (Role.SYSTEM, Role.DEVELOPER):
            if spoken:
                losses.add("messages[].system", "told in front of the conversation")
            system += [{"text": part.text} for part in turn.parts if type(part) is Text]
        else:
            spoken.append(turn)
    writer = _Blocks(losses)
    messages = []
    for turn in joined(spoken):
        # The API wants results in front: they answer the turn before.
        parts = sorted(turn.parts, key=lambda part: type(part) is not Result)
        blocks = [block for part in parts if (block := writer.block(part)) is not None]
        if blocks:
            messages.append({"role": turn.role.value, "content": blocks})
    body: dict[str, Any] = {"messages": messages}
    if system:
        body["system"] = system
    return body


class _Blocks:
    """Writes parts of one request. Counts its documents, which need names that differ."""

    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self._documents = 0

    def block(self, part: Part) -> dict[str, Any] | None:
        """A content block; None for what is not taken."""
        if type(part) is Text or type(part) is Refusal:
            return {"text": part.text}
        if type(part) is Image:
            return self._image(part)
        if type(part) is File:
            return self._file(part)
        if type(part) is Call:
            failure = ASKED.fail("messages[].tool_calls[].function.arguments", "a JSON object")
            tree = arguments_of(part.arguments, failure)
            return {"toolUse": {"toolUseId": _call_id(part.id), "name": part.name, "input": tree}}
        if type(part) is Result:
            content = [block for each in part.parts if (block := self.block(each)) is not None]
            result: dict[str, Any] = {"toolUseId": _call_id(part.call_id), "content": content}
            if part.is_error:
                result["status"] = "error"
            return {"toolResult": result}
        return self._thought(part)

    def _thought(self, part: Part) -> dict[str, Any] | None:
        if type(part) is Thinking and part.signature:
            return {"reasoningContent": {"reasoningText": {"text": part.text, "signature": part.signature}}}
        if type(part) is Redacted and _is_base64(part.data):
            return {"reasoningContent": {"redactedContent": part.data}}
        self._losses.add("messages[].thinking", "reasoning without its signature is not taken back")
        return None

    def _image(self, image: Image) -> dict[str, Any] | None:
        if image.detail and image.detail != "auto":
            self._losses.add(f"{_IMAGE}.detail", "the API has no word for it")
        if image.url:
            self._losses.add(f"{_IMAGE}.url", "the API takes no addresses of pictures", essential=True)
            return None
        if image.media_type not in _PICTURES:
            self._losses.add(_IMAGE, "the API takes no pictures of this type", essential=True)
            return None
        return {"image": {"format": _PICTURES[image.media_type], "source": {"bytes": image.data}}}

    def _file(self, file: File) -> dict[str, Any] | None:
        if file.media_type not in _DOCUMENTS:
            self._losses.add(_FILE, "the API takes no files of this type", essential=True)
            return None
        if file.name:  # models read it as words, and nobody has judged them as such (API reference, DocumentBlock)
            self._losses.add(f"{_FILE}.filename", "documents are numbered")
        self._documents += 1
        told = {"name": f"document-{self._documents}", "format": _DOCUMENTS[file.media_type]}
        return {"document": {**told, "source": {"bytes": file.data}}}


def _is_base64(data: str) -> bool:
    try:
        return bool(base64.b64decode(data, validate=True))
    except (binascii.Error, ValueError):
        return False


def _call_id(told: str) -> str:
    """An id as the API takes it: the same for a call and its result, another one for another id."""
    if _ID.fullmatch(told):
        return told
    return f"{_NOT_ID.sub('_', told)[:48]}_{zlib.crc32(told.encode('utf-8', 'replace')):08x}"


def _write_tools(request: Request, body: dict[str, Any], losses: Losses) -> None:
    choice = request.choice
    if not request.tools:
        if choice is not None and choice.pick is not Pick.NONE:
            losses.add("tool_choice", "there are no tools")
        return
    if choice is not None and choice.pick is Pick.NONE:
        if not any(type(part) is Call for turn in request.turns for part in turn.parts):
            return  # what is not there is not called
        losses.add("tool_choice", "tools that were called must be told, and may be called again")
    tools = []
    for tool in request.tools:
        told: dict[str, Any] = {"name": tool.name, "inputSchema": {"json": tool.schema}}
        if tool.description:
            told["description"] = tool.description
        if tool.strict is not None:
            told["strict"] = tool.strict
        tools.append({"toolSpec": told})
    config: dict[str, Any] = {"tools": tools}
    body["toolConfig"] = config
    if request.parallel_calls is False:
        losses.add("parallel_tool_calls", "the model may call several at once")
    match None if choice is None else choice.pick:
        case Pick.AUTO:
            config["toolChoice"] = {"auto": {}}
        case Pick.REQUIRED:
            config["toolChoice"] = {"any": {}}
        case Pick.NAMED if choice is not None:
            config["toolChoice"] = {"tool": {"name": choice.name}}


def _write_schema(schema: Schema, body: dict[str, Any], losses: Losses) -> None:
    if schema.schema is None:
        losses.add("response_format", "the API has no JSON without a schema")
        return
    if schema.strict is False:
        losses.add("response_format.json_schema.strict", "the schema always binds")
    told = {"schema": orjson.dumps(schema.schema).decode()}
    if schema.name:
        told["name"] = schema.name
    if schema.description:
        told["description"] = schema.description
    form = {"type": "json_schema", "structure": {"jsonSchema": told}}
    body["outputConfig"] = {"textFormat": form}


def _write_thinking(
    request: Request, reasoning: Reasoning, target: Target, body: dict[str, Any], losses: Losses
) -> None:
    if reasoning.effort == "none":
        return  # models think where they are asked to
    if reasoning.shown:
        losses.add("reasoning.summary", "the API has no word for it")
    if target.thinks is Thinks.NOT:
        losses.add("reasoning", "the model does not think")
    elif target.thinks is Thinks.EFFORT:
        if effort := effort_of(reasoning, _EFFORTS, losses):
            body["outputConfig"] = {**body.get("outputConfig", {}), "effort": effort}
    elif budget := budget_of(reasoning, losses):
        budget = thinking_budget(request, budget, request.max_tokens, losses)
        if budget is not None:  # in the words of Anthropic's models, which alone are told so
            body["additionalModelRequestFields"] = {"thinking": {"type": "enabled", "budget_tokens": budget}}


def _write_sampling(
    sampling: Sampling, target: Target, config: dict[str, Any], losses: Losses, *, thinks: bool
) -> None:
    for name in ("top_k", "seed", "presence_penalty", "frequency_penalty"):
        if getattr(sampling, name) is not None:
            losses.add(name, "the API does not know it")
    for name, field in (("temperature", "temperature"), ("top_p", "topP")):
        value = getattr(sampling, name)
        if value is None:
            continue
        if target.sampling is False:
            losses.add(name, "the model does not take it")
        elif thinks:
            losses.add(name, "models that think do not take it")
        elif value > 1:
            losses.add(name, "told as 1, the most")
            config[field] = 1
        else:
            config[field] = value
