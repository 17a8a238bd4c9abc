"""OpenAI's chat completions (API reference, November 2026), and servers that speak like it: requests and answers."""

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from extproc.translate import openai_answer
from extproc.translate.canon import (
    Call,
    Choice,
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
    Tool,
    Turn,
    Usage,
    joined,
)
from extproc.translate.dialect import DENIALS, SSE, Read, Target, Thinks, Written
from extproc.translate.fields import ASKED, Losses, read_metadata, words_only
from extproc.translate.media import base64_of, document, picture
from extproc.translate.openai_stream import ChunkReader, ChunkWriter
from extproc.translate.reasoning import effort_of

_KNOWN: Final = frozenset(
    {"model", "messages", "tools", "tool_choice", "parallel_tool_calls", "max_tokens", "max_completion_tokens", "stop",
     "temperature", "top_p", "seed", "presence_penalty", "frequency_penalty", "response_format", "reasoning_effort",
     "user", "safety_identifier", "metadata", "stream", "stream_options"},
)  # fmt: skip
#: Fields that ask for what no other dialect has, or for another answer.
_WHY: Final = {
    "logit_bias": "token numbers are of one model's vocabulary",
    "service_tier": "tiers are a provider's own",
    "prompt_cache_key": "caches are a provider's own",
    "prompt_cache_retention": "caches are a provider's own",
    "prompt_cache_options": "caches are a provider's own",
    "store": "other providers keep nothing to be asked for again",
}
_ESSENTIAL: Final = {
    "audio": "spoken answers have no word in other dialects",
    "functions": "use tools: answers of other models come as tool_calls",
    "function_call": "use tool_choice: answers of other models come as tool_calls",
    "web_search_options": "the provider's own search cannot be had elsewhere",
}
_USER_CHARS: Final = 64  # of a user's id; longer ones are refused with the whole request
_CALL_ID_CHARS: Final = 40  # of a call's
_STOPS: Final = 4  # most stop sequences that OpenAI takes
_EFFORTS: Final = frozenset({"none", "minimal", "low", "medium", "high", "xhigh", "max"})
_SOUND: Final = re.compile(r"[a-z0-9.+-]{1,32}")  # a format of sound, the end of a media type
_ROLES: Final = {"system": Role.SYSTEM, "developer": Role.DEVELOPER}


def _plain_path(target: Target) -> str:
    del target
    return "/v1/chat/completions"


def _azure_path(target: Target) -> str:
    """Azure's v1 path, or the older one that names deployment and version."""
    if not target.api_version:
        return "/openai/v1/chat/completions"
    deployment = quote(target.model, safe="")
    return f"/openai/deployments/{deployment}/chat/completions?api-version={quote(target.api_version, safe='')}"


@dataclass(frozen=True, slots=True)
class OpenAI:
    """Chat completions under one path; `cap_field` names the bound of output tokens."""

    name: str = "openai"
    family: str = "openai"
    stream_type: str = SSE
    denials: frozenset[int] = DENIALS
    path: Callable[[Target], str] = _plain_path
    cap_field: str = "max_completion_tokens"

    # Done in modules of their own; `Front` and `Back` say what each means.
    read_answer = staticmethod(openai_answer.read_answer)
    write_answer = staticmethod(openai_answer.write_answer)
    reader = ChunkReader
    writer = ChunkWriter
    read_error = staticmethod(openai_answer.read_error)
    write_error = staticmethod(openai_answer.write_error)

    def path_of(self, target: Target, *, stream: bool) -> str:
        """See `Dialect.path_of`. Streams go by the same path."""
        del stream
        return self.path(target)

    def read_request(self, body: dict[str, Any]) -> Read:
        """See `Dialect.read_request`."""
        losses = Losses()
        _leave(body, losses)
        tools, choice = _read_tools(body, losses)
        options = ASKED.object(body, "stream_options") or {}
        losses.rest(options, frozenset({"include_usage", "include_obfuscation"}), "stream_options.")
        cap = ASKED.count(body, "max_completion_tokens")
        effort = ASKED.string(body, "reasoning_effort")
        stop = body.get("stop")
        request = Request(
            model=ASKED.needed(body, "model"),
            turns=_read_turns(body, losses),
            tools=tools,
            choice=choice,
            parallel_calls=ASKED.boolean(body, "parallel_tool_calls"),
            max_tokens=cap if cap is not None else ASKED.count(body, "max_tokens"),
            stop=(stop,) if type(stop) is str else ASKED.strings(body, "stop"),
            sampling=Sampling(
                temperature=ASKED.number(body, "temperature"),
                top_p=ASKED.number(body, "top_p"),
                top_k=ASKED.count(body, "top_k"),
                seed=ASKED.whole(body, "seed"),
                presence_penalty=ASKED.number(body, "presence_penalty"),
                frequency_penalty=ASKED.number(body, "frequency_penalty"),
            ),
            schema=_read_format(body, losses),
            reasoning=Reasoning(effort) if effort else None,
            user=ASKED.string(body, "safety_identifier") or ASKED.string(body, "user"),
            metadata=read_metadata(body),
            stream=ASKED.boolean(body, "stream") is True,
            stream_usage=ASKED.boolean(options, "include_usage", "stream_options.") is True,
        )
        return Read(request, losses.told())

    def write_request(self, request: Request, target: Target) -> Written:
        """See `Dialect.write_request`."""
        losses = Losses()
        sampling = request.sampling
        body: dict[str, Any] = {"model": target.model, "messages": _write_turns(request.turns, losses)}
        if request.tools:
            body["tools"] = [_write_tool(tool) for tool in request.tools]
            if request.parallel_calls is not None:
                body["parallel_tool_calls"] = request.parallel_calls
        if request.choice is not None:
            body["tool_choice"] = _write_choice(request.choice)
        if request.max_tokens is not None:
            body[self.cap_field] = request.max_tokens
        if request.stop:
            body["stop"] = list(request.stop[:_STOPS])
            if len(request.stop) > _STOPS:
                losses.add("stop", f"no more than {_STOPS} are taken")
        for name in ("temperature", "top_p", "seed", "presence_penalty", "frequency_penalty"):
            value = getattr(sampling, name)
            if value is not None:
                body[name] = value
        if sampling.top_k is not None:
            losses.add("top_k", "the API does not know it")
        if request.schema is not None:
            body["response_format"] = _write_format(request.schema)
        if request.reasoning is not None:
            if target.thinks is Thinks.NOT:
                losses.add("reasoning", "the model does not think")
            elif effort := effort_of(request.reasoning, _EFFORTS, losses):
                body["reasoning_effort"] = effort
            if request.reasoning.shown:
                losses.add("reasoning.summary", "the API has no word for it")
        if len(request.user) > _USER_CHARS:
            losses.add("user", f"no more than {_USER_CHARS} characters are taken")
        elif request.user:
            body["user"] = request.user
        if request.metadata:
            losses.add("metadata", "it is taken only with what the provider keeps")
        if request.stream:
            body["stream"] = True
            body["stream_options"] = {"include_usage": True}  # counted by the gateway, whoever asked
        return Written(self.path(target), body, losses.told())

    def read_usage(self, body: dict[str, Any]) -> Usage | None:
        """See `Dialect.read_usage`."""
        return openai_answer.usage_of(body.get("usage"))


OPENAI: Final = OpenAI()
AZURE: Final = OpenAI("azure", path=_azure_path)


# --- what a client asks ------------------------------------------------------------------------------------------


def _leave(body: dict[str, Any], losses: Losses) -> None:
    """Fields that have no word elsewhere, where they say anything."""
    for name in body.keys() - _KNOWN:
        value = body[name]
        if value is None or value is False or name == "top_k":  # vLLM takes top_k, and so do other dialects
            continue
        if name in _ESSENTIAL:
            losses.add(name, _ESSENTIAL[name], essential=True)
        elif name == "n" and value == 1:
            continue
        elif name == "n":
            losses.add("n", "other models answer once")
        elif name == "modalities" and value == ["text"]:
            continue
        else:
            losses.add(name, _WHY.get(name, "the gateway has no word for it in other dialects"))


def _read_format(body: dict[str, Any], losses: Losses) -> Schema | None:
    told = ASKED.object(body, "response_format")
    if told is None or told.get("type") == "text":
        return None
    if told.get("type") == "json_object":
        return Schema(None)
    schema = ASKED.object(told, "json_schema", "response_format.")
    if told.get("type") != "json_schema" or schema is None:
        losses.add("response_format", "the gateway knows no such format", essential=True)
        return None
    where = "response_format.json_schema."
    losses.rest(schema, frozenset({"name", "description", "schema", "strict"}), where)
    return Schema(
        ASKED.object(schema, "schema", where) or {},
        ASKED.string(schema, "name", where),
        ASKED.string(schema, "description", where),
        ASKED.boolean(schema, "strict", where),
    )


def _read_tools(body: dict[str, Any], losses: Losses) -> tuple[tuple[Tool, ...], Choice | None]:
    tools = []
    for told in ASKED.objects(body, "tools"):
        function = ASKED.object(told, "function", "tools[].")
        if told.get("type") != "function" or function is None:
            losses.add("tools[].type", "only functions can be called elsewhere", essential=True)
            continue
        losses.rest(told, frozenset({"type", "function"}), "tools[].")
        where = "tools[].function."
        losses.rest(function, frozenset({"name", "description", "parameters", "strict"}), where)
        schema = ASKED.object(function, "parameters", where)
        tools.append(
            Tool(
                ASKED.needed(function, "name", where),
                # A function without parameters is written without them; other dialects demand the empty object.
                {"type": "object", "properties": {}} if schema is None else schema,
                ASKED.string(function, "description", where),
                ASKED.boolean(function, "strict", where),
            )
        )
    told_choice = body.get("tool_choice")
    if told_choice is None:
        return tuple(tools), None
    if told_choice in ("auto", "none", "required"):
        return tuple(tools), Choice(Pick(told_choice))
    if type(told_choice) is dict:
        if told_choice.get("type") == "function":
            function = ASKED.object(told_choice, "function", "tool_choice.") or {}
            return tuple(tools), Choice(Pick.NAMED, ASKED.needed(function, "name", "tool_choice.function."))
        if told_choice.get("type") == "allowed_tools":
            return _allowed(told_choice, tools)
    losses.add("tool_choice", "only functions can be called elsewhere", essential=True)
    return tuple(tools), None


def _allowed(told: dict[str, Any], tools: list[Tool]) -> tuple[tuple[Tool, ...], Choice]:
    """The tools that may be called are the tools that are told of: other dialects have no shorter list."""
    allowed = ASKED.object(told, "allowed_tools", "tool_choice.") or {}
    where = "tool_choice.allowed_tools."
    names = {
        ASKED.needed(ASKED.object(tool, "function", where) or {}, "name", where + "tools[].function.")
        for tool in ASKED.objects(allowed, "tools", where)
    }
    mode = allowed.get("mode")
    if mode not in ("auto", "required"):
        raise ASKED.fail(where + "mode", "'auto' or 'required'")
    return tuple(tool for tool in tools if tool.name in names), Choice(Pick(mode))


def _read_turns(body: dict[str, Any], losses: Losses) -> tuple[Turn, ...]:
    turns = []
    for message in ASKED.objects(body, "messages"):
        role = message.get("role")
        if role == "assistant":
            turns.append(Turn(Role.ASSISTANT, _read_assistant(message, losses)))
        elif role == "tool":
            losses.rest(message, frozenset({"role", "content", "tool_call_id", "name"}), "messages[].")
            call_id = ASKED.needed(message, "tool_call_id", "messages[].")
            turns.append(Turn(Role.USER, (Result(call_id, _read_media(message, losses)),)))
        elif role == "user":
            losses.rest(message, frozenset({"role", "content"}), "messages[].")
            turns.append(Turn(Role.USER, _read_content(message, losses)))
        elif role in ("system", "developer"):
            losses.rest(message, frozenset({"role", "content"}), "messages[].")
            words = words_only(_read_content(message, losses), losses, "messages[].content[]")
            turns.append(Turn(_ROLES[role], words))
        else:
            losses.add("messages[].role", "the gateway knows no such role in other dialects", essential=True)
    turns_told = joined(turns)
    if not turns_told and not losses.essential:
        raise ASKED.fail("messages", "a list with something said")
    return turns_told


_ASSISTANT: Final = frozenset(
    {"role", "content", "refusal", "reasoning_content", "reasoning", "tool_calls", "annotations"}
)


def _read_assistant(message: dict[str, Any], losses: Losses) -> tuple[Part, ...]:
    losses.rest(message, _ASSISTANT, "messages[].")
    if message.get("function_call") is not None:
        losses.add("messages[].function_call", "use tool_calls", essential=True)
    if message.get("annotations"):
        losses.add("messages[].annotations", "citations are a provider's own")
    parts: list[Part] = []
    thought = ASKED.string(message, "reasoning_content", "messages[].") or ASKED.string(
        message, "reasoning", "messages[]."
    )
    if thought:
        parts.append(Thinking(thought))
    parts += _read_content(message, losses)
    if refusal := ASKED.string(message, "refusal", "messages[]."):
        parts.append(Refusal(refusal))
    where = "messages[].tool_calls[]."
    for call in ASKED.objects(message, "tool_calls", "messages[]."):
        function = ASKED.object(call, "function", where)
        if function is None or call.get("type", "function") != "function":
            losses.add(where + "type", "only functions can be called elsewhere", essential=True)
            continue
        parts.append(
            Call(
                ASKED.needed(call, "id", where),
                ASKED.needed(function, "name", where + "function."),
                ASKED.string(function, "arguments", where + "function."),
            )
        )
    return tuple(parts)


def _read_media(message: dict[str, Any], losses: Losses) -> tuple[Text | Image | File, ...]:
    return tuple(part for part in _read_content(message, losses) if isinstance(part, Text | Image | File))


def _read_content(message: dict[str, Any], losses: Losses) -> tuple[Part, ...]:
    content = message.get("content")
    if content is None or content == "":
        return ()
    if type(content) is str:
        return (Text(content),)
    parts = [_read_part(part, losses) for part in ASKED.objects(message, "content", "messages[].")]
    return tuple(part for part in parts if part is not None)


def _read_part(part: dict[str, Any], losses: Losses) -> Part | None:
    kind, where = part.get("type"), "messages[].content[]."
    if type(kind) is not str or kind not in _PART_FIELDS:
        losses.add(where + "type", "the gateway knows no such part in other dialects", essential=True)
        return None
    losses.rest(part, _PART_FIELDS[kind], where)
    if kind == "text":
        text = ASKED.string(part, "text", where)
        return Text(text) if text else None
    if kind == "refusal":
        return Refusal(ASKED.string(part, "refusal", where))
    inner = ASKED.object(part, kind, where) or {}
    where += f"{kind}."
    if kind == "image_url":
        losses.rest(inner, frozenset({"url", "detail"}), where)
        return picture(ASKED.needed(inner, "url", where), ASKED.string(inner, "detail", where), where + "url")
    if kind == "input_audio":
        form = ASKED.needed(inner, "format", where)
        if _SOUND.fullmatch(form) is None:
            raise ASKED.fail(where + "format", "the name of a format, such as wav")
        return File(f"audio/{form}", base64_of(ASKED.needed(inner, "data", where), where + "data"))
    if inner.get("file_id") is not None:
        losses.add(where + "file_id", "the file lies with another provider", essential=True)
        return None
    name = ASKED.string(inner, "filename", where)
    return document(ASKED.needed(inner, "file_data", where), name, where + "file_data")


_PART_FIELDS: Final = {
    "text": frozenset({"type", "text"}),
    "refusal": frozenset({"type", "refusal"}),
    "image_url": frozenset({"type", "image_url"}),
    "input_audio": frozenset({"type", "input_audio"}),
    "file": frozenset({"type", "file"}),
}


# --- what a backend is asked -------------------------------------------------------------------------------------


def call_id(told: str) -> str:
    """An id as the API takes it: the same for a call and its result, another one for another id."""
    if len(told) <= _CALL_ID_CHARS:
        return told
    return f"{told[: _CALL_ID_CHARS - 9]}_{zlib.crc32(told.encode('utf-8', 'replace')):08x}"


def _write_tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name, "parameters": tool.schema}
    if tool.description:
        function["description"] = tool.description
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _write_choice(choice: Choice) -> str | dict[str, Any]:
    if choice.pick is Pick.NAMED:
        return {"type": "function", "function": {"name": choice.name}}
    return choice.pick.value


def _write_format(schema: Schema) -> dict[str, Any]:
    if schema.schema is None:
        return {"type": "json_object"}
    told: dict[str, Any] = {"name": schema.name or "answer", "schema": schema.schema}
    if schema.description:
        told["description"] = schema.description
    # A dialect that gives a schema without asking for strictness always means it (Anthropic, Gemini).
    told["strict"] = schema.strict if schema.strict is not None or schema.name else True
    return {"type": "json_schema", "json_schema": told}


def _write_turns(turns: tuple[Turn, ...], losses: Losses) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    for turn in turns:
        if turn.role is Role.ASSISTANT:
            if message := _write_assistant(turn, losses):
                messages.append(message)
            continue
        moved: list[Part] = []
        for part in turn.parts:
            if type(part) is Result:
                words, media = _write_result(part, losses)
                messages.append({"role": "tool", "tool_call_id": call_id(part.call_id), "content": words})
                moved += media
        rest = [*moved, *(part for part in turn.parts if type(part) is not Result)]
        if rest:
            messages.append({"role": turn.role.value, "content": _write_content(rest)})
    return messages


def _write_result(result: Result, losses: Losses) -> tuple[str | list[dict[str, Any]], list[Part]]:
    """A tool's words, and its pictures, which only a user's message can show."""
    if result.is_error:
        losses.add("messages[].tool_result.is_error", "the API has no word for it; the tool's own words are told")
    media: list[Part] = [part for part in result.parts if type(part) is not Text]
    if media:
        losses.add("messages[].tool_result.content", "pictures and files of tools are told as the user's")
    words = [part for part in result.parts if type(part) is Text]
    if len(words) > 1:
        return [{"type": "text", "text": part.text} for part in words], media
    return (words[0].text if words else ""), media


def _write_assistant(turn: Turn, losses: Losses) -> dict[str, Any] | None:
    message: dict[str, Any] = {"role": "assistant"}
    words: list[Part] = []
    calls = []
    for part in turn.parts:
        if type(part) is Call:
            arguments = part.arguments if part.arguments.strip() else "{}"
            calls.append(
                {"id": call_id(part.id), "type": "function", "function": {"name": part.name, "arguments": arguments}}
            )
        elif type(part) is Thinking or type(part) is Redacted:
            losses.add("messages[].thinking", "the API takes no reasoning back")
        elif type(part) is Image or type(part) is File:
            losses.add("messages[].content", "an assistant's message holds no pictures or files here", essential=True)
        else:
            words.append(part)
    if not words and not calls:
        return None
    if words:
        message["content"] = _write_content(words)
    if calls:
        message["tool_calls"] = calls
    return message


def _write_content(parts: list[Part]) -> str | list[dict[str, Any]]:
    if len(parts) == 1 and type(parts[0]) is Text:
        return parts[0].text
    return [_write_part(part) for part in parts]


def _write_part(part: Part) -> dict[str, Any]:
    if type(part) is Text:
        return {"type": "text", "text": part.text}
    if type(part) is Refusal:
        return {"type": "refusal", "refusal": part.text}
    if type(part) is Image:
        image: dict[str, Any] = {"url": part.url or f"data:{part.media_type};base64,{part.data}"}
        if part.detail:
            image["detail"] = part.detail
        return {"type": "image_url", "image_url": image}
    if type(part) is File:
        if part.media_type.startswith("audio/"):
            return {
                "type": "input_audio",
                "input_audio": {"data": part.data, "format": part.media_type.removeprefix("audio/")},
            }
        file = {"file_data": f"data:{part.media_type};base64,{part.data}", "filename": part.name or "document"}
        return {"type": "file", "file": file}
    raise ASKED.fail("messages[].content", "text, pictures and files")
