"""Google Gemini's generateContent (fields of November 2026): requests, and the dialect as a whole.

Clients of this API name model and streaming in the path. Whoever reads their requests puts both into the body, as
`model` and `stream`, before it is read here.
"""

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit

import orjson

from extproc.translate import gemini_answer
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
from extproc.translate.fields import ASKED, Losses, arguments_of, words_only
from extproc.translate.gemini_stream import ContentReader, ContentWriter
from extproc.translate.reasoning import budget_of, effort_of

_KNOWN: Final = frozenset(
    {"model", "stream", "contents", "systemInstruction", "tools", "toolConfig", "generationConfig"}
)
_CONFIG: Final = frozenset(
    {"temperature", "topP", "topK", "seed", "presencePenalty", "frequencyPenalty", "maxOutputTokens", "stopSequences",
     "responseMimeType", "responseJsonSchema", "thinkingConfig", "candidateCount"},
)  # fmt: skip
_NUMBERS: Final = (
    ("temperature", "temperature"),
    ("top_p", "topP"),
    ("top_k", "topK"),
    ("seed", "seed"),
    ("presence_penalty", "presencePenalty"),
    ("frequency_penalty", "frequencyPenalty"),
)
_VERSION: Final = "v1"  # what the official package calls since 3.0; v1beta has models that v1 lacks
_STOPS: Final = 5  # most stop sequences that the API takes
_LEVELS: Final = frozenset({"minimal", "low", "medium", "high", "xhigh"})
_MODES: Final = {Pick.AUTO: "AUTO", Pick.NONE: "NONE", Pick.REQUIRED: "ANY", Pick.NAMED: "ANY"}
#: The API's own word for calls that another model made. Without a signature, models that think refuse them
#: (Gemini API, "Thought signatures").
UNSIGNED: Final = "skip_thought_signature_validator"
_PART: Final = "contents[].parts[]."
#: Hosts that the API does not fetch from as anybody would: stored files and buckets, films.
_GOOGLES: Final = (".googleapis.com", ".google.com", ".youtube.com", ".youtu.be", ".youtube-nocookie.com")
_ODD: Final = re.compile(r"[\\\s\x00-\x20\x7f-\U0010ffff]")
#: What the API wants to be told of pictures that it fetches.
_MEDIA: Final = {"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp"}


class Gemini:
    """generateContent."""

    name = "gemini"
    family = "gemini"
    stream_type = SSE
    denials = DENIALS

    # Done in modules of their own; `Front` and `Back` say what each means.
    read_answer = staticmethod(gemini_answer.read_answer)
    write_answer = staticmethod(gemini_answer.write_answer)
    reader = ContentReader
    writer = ContentWriter
    read_error = staticmethod(gemini_answer.read_error)
    write_error = staticmethod(gemini_answer.write_error)

    def path_of(self, target: Target, *, stream: bool) -> str:
        """See `Dialect.path_of`."""
        verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return f"/{quote(target.api_version or _VERSION, safe='')}/models/{quote(target.model, safe='')}:{verb}"

    def read_request(self, body: dict[str, Any]) -> Read:
        """See `Dialect.read_request`."""
        losses = Losses()
        losses.rest(body, _KNOWN)
        if body.get("cachedContent") is not None:
            losses.add("cachedContent", "what is cached lies with the provider", essential=True)
        config = ASKED.object(body, "generationConfig") or {}
        where = "generationConfig."
        losses.rest(config, _CONFIG, where)
        if ASKED.count(config, "candidateCount", where) not in (None, 1):
            losses.add(where + "candidateCount", "other models answer once")
        tools = _read_tools(body, losses)
        choice = _read_choice(body, losses)
        request = Request(
            model=ASKED.needed(body, "model").removeprefix("models/"),
            turns=_read_turns(body, losses),
            tools=tools,
            choice=choice,
            max_tokens=ASKED.count(config, "maxOutputTokens", where),
            stop=ASKED.strings(config, "stopSequences", where),
            sampling=Sampling(
                temperature=ASKED.number(config, "temperature", where),
                top_p=ASKED.number(config, "topP", where),
                top_k=ASKED.count(config, "topK", where),
                seed=ASKED.whole(config, "seed", where),
                presence_penalty=ASKED.number(config, "presencePenalty", where),
                frequency_penalty=ASKED.number(config, "frequencyPenalty", where),
            ),
            schema=_read_schema(config, losses),
            reasoning=_read_thinking(config, losses),
            stream=ASKED.boolean(body, "stream") is True,
        )
        return Read(request, losses.told())

    def write_request(self, request: Request, target: Target) -> Written:
        """See `Dialect.write_request`."""
        losses = Losses()
        body: dict[str, Any] = {}
        _write_turns(request.turns, target, body, losses)
        _write_tools(request, body, losses)
        config: dict[str, Any] = {}
        for name, field in _NUMBERS:
            value = getattr(request.sampling, name)
            if value is not None:
                config[field] = value
        if request.max_tokens is not None:
            config["maxOutputTokens"] = request.max_tokens
        if request.stop:
            config["stopSequences"] = list(request.stop[:_STOPS])
            if len(request.stop) > _STOPS:
                losses.add("stop", f"no more than {_STOPS} are taken")
        if request.schema is not None:
            _write_schema(request.schema, config, losses)
        if request.reasoning is not None:
            _write_thinking(request.reasoning, target, config, losses)
        if config:
            body["generationConfig"] = config
        if request.user:
            losses.add("user", "the API takes no user's id")
        if request.metadata:
            losses.add("metadata", "the API takes none")
        return Written(self.path_of(target, stream=request.stream), body, losses.told())

    def read_usage(self, body: dict[str, Any]) -> Usage | None:
        """See `Dialect.read_usage`."""
        return gemini_answer.usage_of(body.get("usageMetadata"))


GEMINI: Final = Gemini()


# --- what a client asks ------------------------------------------------------------------------------------------


def _read_schema(config: dict[str, Any], losses: Losses) -> Schema | None:
    where = "generationConfig."
    schema = ASKED.object(config, "responseJsonSchema", where)
    kind = ASKED.string(config, "responseMimeType", where)
    if schema is not None:
        return Schema(schema)
    if kind == "application/json":
        return Schema(None)
    if kind not in ("", "text/plain"):
        losses.add(where + "responseMimeType", "the gateway knows no such format", essential=True)
    return None


def _read_thinking(config: dict[str, Any], losses: Losses) -> Reasoning | None:
    thinking = ASKED.object(config, "thinkingConfig", "generationConfig.")
    if thinking is None:
        return None
    where = "generationConfig.thinkingConfig."
    losses.rest(thinking, frozenset({"thinkingBudget", "thinkingLevel", "includeThoughts"}), where)
    level = ASKED.string(thinking, "thinkingLevel", where).lower() or None
    budget = ASKED.whole(thinking, "thinkingBudget", where)
    if budget == 0:
        return Reasoning("none")
    return Reasoning(level, None if budget is None or budget < 0 else budget)


def _read_tools(body: dict[str, Any], losses: Losses) -> tuple[Tool, ...]:
    tools = []
    where = "tools[].functionDeclarations[]."
    for told in ASKED.objects(body, "tools"):
        for name in sorted(told.keys() - {"functionDeclarations"}):
            losses.add(f"tools[].{name}", "the provider's own tools cannot be had elsewhere", essential=True)
        for function in ASKED.objects(told, "functionDeclarations", "tools[]."):
            losses.rest(function, frozenset({"name", "description", "parametersJsonSchema"}), where)
            if function.get("parameters") is not None:
                losses.add(where + "parameters", "write it as parametersJsonSchema", essential=True)
            tools.append(
                Tool(
                    ASKED.needed(function, "name", where),
                    ASKED.object(function, "parametersJsonSchema", where) or {"type": "object", "properties": {}},
                    ASKED.string(function, "description", where),
                )
            )
    return tuple(tools)


def _read_choice(body: dict[str, Any], losses: Losses) -> Choice | None:
    config = ASKED.object(body, "toolConfig") or {}
    losses.rest(config, frozenset({"functionCallingConfig"}), "toolConfig.")
    where = "toolConfig.functionCallingConfig."
    calling = ASKED.object(config, "functionCallingConfig", "toolConfig.")
    if calling is None:
        return None
    losses.rest(calling, frozenset({"mode", "allowedFunctionNames"}), where)
    mode = ASKED.string(calling, "mode", where)
    names = ASKED.strings(calling, "allowedFunctionNames", where)
    if mode == "NONE":
        return Choice(Pick.NONE)
    if mode == "ANY":
        if len(names) > 1:
            losses.add(where + "allowedFunctionNames", "every function may be called")
        return Choice(Pick.NAMED, names[0]) if len(names) == 1 else Choice(Pick.REQUIRED)
    if mode not in ("", "AUTO", "MODE_UNSPECIFIED"):
        losses.add(where + "mode", "functions are called as the model sees fit")
    return Choice(Pick.AUTO)


class _Calls:
    """Ids for calls that have none: clients of this API may tell answers to calls apart by name and order alone.

    A body has room for thousands of calls, answered in any order: each waits in two queues, and none is searched.
    """

    def __init__(self) -> None:
        self._by_id: dict[str, deque[_Waiting]] = {}
        self._by_name: dict[str, deque[_Waiting]] = {}
        self._made = 0

    def called(self, told_id: str, name: str) -> str:
        """The id of a call."""
        self._made += 1
        waiting = _Waiting(told_id or f"call_{self._made}")
        self._by_id.setdefault(waiting.id, deque()).append(waiting)
        self._by_name.setdefault(name, deque()).append(waiting)
        return waiting.id

    def answered(self, told_id: str, name: str) -> str:
        """The id of the call that this answers."""
        queue = self._by_id.get(told_id) if told_id else self._by_name.get(name)
        while queue:
            waiting = queue.popleft()
            if not waiting.answered:
                waiting.answered = True
                return waiting.id
        raise ASKED.fail(_PART + "functionResponse", "the answer to a call before it")


@dataclass(slots=True)
class _Waiting:
    """A call, which waits for its answer in both queues until it comes in one."""

    id: str
    answered: bool = False


def _read_turns(body: dict[str, Any], losses: Losses) -> tuple[Turn, ...]:
    turns = []
    calls = _Calls()
    system = ASKED.object(body, "systemInstruction")
    if system is not None:
        parts = _read_parts(system, calls, losses)
        turns.append(Turn(Role.SYSTEM, words_only(parts, losses, "systemInstruction.parts[]")))
    for content in ASKED.objects(body, "contents"):
        losses.rest(content, frozenset({"role", "parts"}), "contents[].")
        role = content.get("role")
        if role not in (None, "user", "model", "function"):
            raise ASKED.fail("contents[].role", "'user' or 'model'")
        turns.append(Turn(Role.ASSISTANT if role == "model" else Role.USER, _read_parts(content, calls, losses)))
    told = joined(turns)
    if not told and not losses.essential:
        raise ASKED.fail("contents", "a list with something said")
    return told


_PART_FIELDS: Final = frozenset(
    {"text", "thought", "thoughtSignature", "inlineData", "fileData", "functionCall", "functionResponse"}
)


def _read_parts(content: dict[str, Any], calls: _Calls, losses: Losses) -> tuple[Part, ...]:
    parts = []
    for told in ASKED.objects(content, "parts", "contents[]."):
        for name in sorted(told.keys() - _PART_FIELDS):
            losses.add(_PART + name, "the gateway has no word for it in other dialects", essential=True)
        part = _read_part(told, calls, losses)
        if part is not None:
            parts.append(part)
    return tuple(parts)


def _read_part(told: dict[str, Any], calls: _Calls, losses: Losses) -> Part | None:
    text = ASKED.string(told, "text", _PART)
    if text:
        return Thinking(text) if told.get("thought") is True else Text(text)
    call = ASKED.object(told, "functionCall", _PART)
    if call is not None:
        where = _PART + "functionCall."
        losses.rest(call, frozenset({"id", "name", "args"}), where)
        name = ASKED.needed(call, "name", where)
        arguments = orjson.dumps(ASKED.object(call, "args", where) or {}).decode()
        signature = ASKED.string(told, "thoughtSignature", _PART)
        return Call(
            calls.called(ASKED.string(call, "id", where), name),
            name,
            arguments,
            "" if signature == UNSIGNED else signature,
        )
    answer = ASKED.object(told, "functionResponse", _PART)
    if answer is not None:
        return _read_response(answer, calls, losses)
    return _read_media(told, losses)


def _read_media(told: dict[str, Any], losses: Losses) -> Image | File | None:
    blob = ASKED.object(told, "inlineData", _PART)
    if blob is not None:
        where = _PART + "inlineData."
        losses.rest(blob, frozenset({"mimeType", "data", "displayName"}), where)
        media_type, data = ASKED.needed(blob, "mimeType", where), ASKED.needed(blob, "data", where)
        if media_type.startswith("image/"):
            return Image(media_type, data)
        return File(media_type, data, ASKED.string(blob, "displayName", where))
    file = ASKED.object(told, "fileData", _PART)
    if file is None:
        return None
    where = _PART + "fileData."
    url = ASKED.needed(file, "fileUri", where)
    if not url.startswith("https://") or not ASKED.string(file, "mimeType", where).startswith("image/"):
        losses.add(where + "fileUri", "only this provider can fetch it", essential=True)
        return None
    return Image(url=url)


def _read_response(answer: dict[str, Any], calls: _Calls, losses: Losses) -> Result:
    where = _PART + "functionResponse."
    losses.rest(answer, frozenset({"id", "name", "response", "parts"}), where)
    call_id = calls.answered(ASKED.string(answer, "id", where), ASKED.needed(answer, "name", where))
    response = ASKED.object(answer, "response", where) or {}
    parts: list[Text | Image | File] = []
    failed = response.keys() == {"error"}
    if (failed or response.keys() == {"output"}) and type(next(iter(response.values()))) is str:
        words = next(iter(response.values()))
    else:
        words = orjson.dumps(response).decode() if response else ""
    if words:
        parts.append(Text(words))
    for told in ASKED.objects(answer, "parts", where):
        part = _read_media(told, losses)
        if part is not None:
            parts.append(part)
    return Result(call_id, tuple(parts), failed)


# --- what a backend is asked -------------------------------------------------------------------------------------


def _write_turns(turns: tuple[Turn, ...], target: Target, body: dict[str, Any], losses: Losses) -> None:
    system: list[dict[str, Any]] = []
    spoken: list[Turn] = []
    for turn in turns:
        if turn.role in (Role.SYSTEM, Role.DEVELOPER):
            if spoken:
                losses.add("messages[].system", "told in front of the conversation")
            system += [{"text": part.text} for part in turn.parts if type(part) is Text]
        else:
            spoken.append(turn)
    names = {part.id: part.name for turn in spoken for part in turn.parts if type(part) is Call}
    contents = []
    for turn in joined(spoken):
        # Results stand in front: they answer the turn before.
        parts = sorted(turn.parts, key=lambda part: type(part) is not Result)
        told = list(_write_parts(parts, names, target, losses))
        if told:
            contents.append({"role": "model" if turn.role is Role.ASSISTANT else "user", "parts": told})
    if system:
        body["systemInstruction"] = {"parts": system}
    body["contents"] = contents


def _write_parts(
    parts: Iterable[Part], names: dict[str, str], target: Target, losses: Losses
) -> Iterable[dict[str, Any]]:
    for part in parts:
        if type(part) is Text or type(part) is Refusal:
            yield {"text": part.text}
        elif type(part) is Image or type(part) is File:
            yield _write_media(part, losses)
        elif type(part) is Call:
            failure = ASKED.fail("messages[].tool_calls[].function.arguments", "a JSON object")
            call = {"id": part.id, "name": part.name, "args": arguments_of(part.arguments, failure)}
            signature = part.signature or (UNSIGNED if target.thinks is Thinks.EFFORT else "")
            yield {"functionCall": call, **({"thoughtSignature": signature} if signature else {})}
        elif type(part) is Result:
            yield {"functionResponse": _write_response(part, names, losses)}
        elif type(part) is Thinking or type(part) is Redacted:
            losses.add("messages[].thinking", "the API takes no reasoning back")


def _write_media(part: Image | File, losses: Losses) -> dict[str, Any]:
    if isinstance(part, File):
        blob = {"mimeType": part.media_type, "data": part.data}
        if part.name:
            losses.add("messages[].content[].file.filename", "the API takes no names of files")
        return {"inlineData": blob}
    if part.detail and part.detail != "auto":
        losses.add("messages[].content[].image_url.detail", "the API has no word for it")
    if not part.url:
        return {"inlineData": {"mimeType": part.media_type, "data": part.data}}
    if not is_public(part.url):
        losses.add("messages[].content[].image_url.url", "the API takes https addresses of pictures", essential=True)
    ending = part.url.partition("?")[0].rpartition(".")[2].lower()
    file = {"fileUri": part.url}
    if ending in _MEDIA:
        file["mimeType"] = _MEDIA[ending]
    return {"fileData": file}


def is_public(url: str) -> bool:
    """Whether anybody could fetch it. Addresses of Google's own are read with the gateway's credential, or as films."""
    if _ODD.search(url) is not None:  # parsers disagree on what the host is
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    host = f".{(parts.hostname or '').rstrip('.')}"
    return parts.scheme == "https" and host != "." and not host.endswith(_GOOGLES)


def _write_response(result: Result, names: dict[str, str], losses: Losses) -> dict[str, Any]:
    name = names.get(result.call_id)
    if name is None:
        raise ASKED.fail("messages[].tool_call_id", "the id of a call before it")
    words = "".join(part.text for part in result.parts if type(part) is Text)
    response: dict[str, Any] = {"id": result.call_id, "name": name}
    response["response"] = {"error" if result.is_error else "output": words}
    media = [_write_media(part, losses) for part in result.parts if not isinstance(part, Text)]
    if media:
        response["parts"] = media
    return response


def _write_tools(request: Request, body: dict[str, Any], losses: Losses) -> None:
    if not request.tools:
        if request.choice is not None and request.choice.pick is not Pick.NONE:
            losses.add("tool_choice", "there are no tools")
        return
    functions = []
    for tool in request.tools:
        function: dict[str, Any] = {"name": tool.name, "parametersJsonSchema": tool.schema}
        if tool.description:
            function["description"] = tool.description
        if tool.strict:
            losses.add("tools[].strict", "the API has no word for it")
        functions.append(function)
    body["tools"] = [{"functionDeclarations": functions}]
    if request.parallel_calls is False:
        losses.add("parallel_tool_calls", "the model may call several at once")
    if request.choice is not None:
        calling: dict[str, Any] = {"mode": _MODES[request.choice.pick]}
        if request.choice.pick is Pick.NAMED:
            calling["allowedFunctionNames"] = [request.choice.name]
        body["toolConfig"] = {"functionCallingConfig": calling}


def _write_schema(schema: Schema, config: dict[str, Any], losses: Losses) -> None:
    config["responseMimeType"] = "application/json"
    if schema.schema is None:
        return
    config["responseJsonSchema"] = schema.schema
    if schema.strict is False:
        losses.add("response_format.json_schema.strict", "the schema always binds")
    if schema.description:
        losses.add("response_format.json_schema.description", "the API has no word for it")


def _write_thinking(reasoning: Reasoning, target: Target, config: dict[str, Any], losses: Losses) -> None:
    if target.thinks is Thinks.NOT:
        if reasoning.effort != "none":
            losses.add("reasoning", "the model does not think")
        return
    thinking: dict[str, Any] = {"includeThoughts": reasoning.effort != "none"}
    if target.thinks is Thinks.EFFORT:
        level = effort_of(reasoning, _LEVELS, losses)
        if level is not None:
            thinking["thinkingLevel"] = level.upper()
    else:
        budget = budget_of(reasoning, losses)
        if budget is not None:
            thinking["thinkingBudget"] = budget
    config["thinkingConfig"] = thinking
