"""Anthropic's messages (API version 2023-06-01, fields of November 2026): requests, and the dialect as a whole.

The current package of the provider knows no temperature, top_p or top_k: its models refuse them. They are written only
for a backend that is known to take them (`Target.sampling`).
"""

import base64
import binascii
import re
import zlib
from typing import Any, Final

import orjson

from extproc.translate import anthropic_answer
from extproc.translate.anthropic_stream import MessageReader, MessageWriter
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
from extproc.translate.reasoning import budget_of, effort_of

_KNOWN: Final = frozenset(
    {"model", "messages", "system", "max_tokens", "tools", "tool_choice", "stop_sequences", "temperature", "top_p",
     "top_k", "thinking", "output_config", "metadata", "stream"},
)  # fmt: skip
_WHY: Final = {
    "cache_control": "caches are a provider's own",
    "service_tier": "tiers are a provider's own",
    "speed": "tiers are a provider's own",
    "inference_geo": "regions are chosen by the gateway's policy",
}
_ESSENTIAL: Final = frozenset({"container", "mcp_servers", "context_management"})
_EFFORTS: Final = frozenset({"low", "medium", "high", "xhigh", "max"})
_LEAST_BUDGET: Final = 1024  # API reference, "thinking"
_ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,128}")  # of a call
_NOT_ID: Final = re.compile(r"[^a-zA-Z0-9_-]")
_PICKS: Final = {"auto": Pick.AUTO, "any": Pick.REQUIRED, "tool": Pick.NAMED, "none": Pick.NONE}
_CHOICES: Final = {pick: word for word, pick in _PICKS.items()}
_PICTURES: Final = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
#: What is known of each kind of block; `cache_control` is lost wherever it stands.
_BLOCK_FIELDS: Final = {
    "text": frozenset({"type", "text", "citations"}),
    "image": frozenset({"type", "source"}),
    "document": frozenset({"type", "source", "title"}),
    "search_result": frozenset({"type", "content"}),
    "tool_result": frozenset({"type", "tool_use_id", "content", "is_error"}),
    "tool_use": frozenset({"type", "id", "name", "input", "caller"}),
    "thinking": frozenset({"type", "thinking", "signature"}),
    "redacted_thinking": frozenset({"type", "data"}),
}
_AT: Final = "messages[].content[]."


class Anthropic:
    """Messages."""

    name = "anthropic"
    family = "anthropic"
    stream_type = SSE
    denials = DENIALS

    # Done in modules of their own; `Front` and `Back` say what each means.
    read_answer = staticmethod(anthropic_answer.read_answer)
    write_answer = staticmethod(anthropic_answer.write_answer)
    reader = MessageReader
    writer = MessageWriter
    read_error = staticmethod(anthropic_answer.read_error)
    write_error = staticmethod(anthropic_answer.write_error)

    def path_of(self, target: Target, *, stream: bool) -> str:
        """See `Dialect.path_of`. Streams go by the same path."""
        del target, stream
        return "/v1/messages"

    def read_request(self, body: dict[str, Any]) -> Read:
        """See `Dialect.read_request`."""
        losses = Losses()
        for name in body.keys() - _KNOWN:
            if body[name] is not None:
                why = _WHY.get(name, "the gateway has no word for it in other dialects")
                losses.add(name, why, essential=name in _ESSENTIAL)
        cap = ASKED.count(body, "max_tokens")
        if cap == 0:
            losses.add("max_tokens", "0 only fills the provider's own cache", essential=True)
        choice, parallel = _read_choice(body)
        metadata = ASKED.object(body, "metadata") or {}
        losses.rest(metadata, frozenset({"user_id"}), "metadata.")
        schema, reasoning = _read_output(body, losses)
        request = Request(
            model=ASKED.needed(body, "model"),
            turns=_read_turns(body, losses),
            tools=_read_tools(body, losses),
            choice=choice,
            parallel_calls=parallel,
            max_tokens=cap,
            stop=ASKED.strings(body, "stop_sequences"),
            sampling=Sampling(
                temperature=ASKED.number(body, "temperature"),
                top_p=ASKED.number(body, "top_p"),
                top_k=ASKED.count(body, "top_k"),
            ),
            schema=schema,
            reasoning=reasoning,
            user=ASKED.string(metadata, "user_id", "metadata."),
            stream=ASKED.boolean(body, "stream") is True,
        )
        return Read(request, losses.told())

    def write_request(self, request: Request, target: Target) -> Written:
        """See `Dialect.write_request`."""
        losses = Losses()
        turns = list(request.turns)
        system: list[Part] = []
        while turns and turns[0].role in (Role.SYSTEM, Role.DEVELOPER):
            system += turns.pop(0).parts
        body: dict[str, Any] = {
            "model": target.model,
            "max_tokens": target.max_tokens if request.max_tokens is None else request.max_tokens,
            "messages": _write_turns(turns, losses),
        }
        if system:
            words = [_write_block(part, losses) for part in system]
            body["system"] = words[0]["text"] if len(words) == 1 else words
        _write_tools(request, body, losses)
        if request.stop:
            _write_stop(request.stop, body, losses)
        if request.user:
            body["metadata"] = {"user_id": request.user}
        if request.metadata:
            losses.add("metadata", "the API takes only a user's id")
        if request.schema is not None:
            _write_schema(request.schema, body, losses)
        if request.reasoning is not None:
            _write_thinking(request, request.reasoning, target, body, losses)
        _write_sampling(request.sampling, target, body, losses)
        if request.stream:
            body["stream"] = True
        return Written(self.path_of(target, stream=request.stream), body, losses.told())

    def read_usage(self, body: dict[str, Any]) -> Usage | None:
        """See `Dialect.read_usage`."""
        return anthropic_answer.usage_of(body.get("usage"))


ANTHROPIC: Final = Anthropic()


# --- what a client asks ------------------------------------------------------------------------------------------


def _read_choice(body: dict[str, Any]) -> tuple[Choice | None, bool | None]:
    told = ASKED.object(body, "tool_choice")
    if told is None:
        return None, None
    word = told.get("type")
    if type(word) is not str or word not in _PICKS:
        raise ASKED.fail("tool_choice.type", "one of any, auto, none, tool")
    pick = _PICKS[word]
    name = ASKED.needed(told, "name", "tool_choice.") if pick is Pick.NAMED else ""
    alone = ASKED.boolean(told, "disable_parallel_tool_use", "tool_choice.")
    return Choice(pick, name), None if alone is None else not alone


def _read_output(body: dict[str, Any], losses: Losses) -> tuple[Schema | None, Reasoning | None]:
    config = ASKED.object(body, "output_config") or {}
    losses.rest(config, frozenset({"effort", "format"}), "output_config.")
    schema = None
    told = ASKED.object(config, "format", "output_config.")
    if told is not None:
        where = "output_config.format."
        if told.get("type") != "json_schema":
            losses.add(where + "type", "the gateway knows no such format", essential=True)
        losses.rest(told, frozenset({"type", "schema"}), where)
        schema = Schema(ASKED.object(told, "schema", where) or {})
    effort = ASKED.string(config, "effort", "output_config.") or None
    thinking = ASKED.object(body, "thinking")
    if thinking is None:
        return schema, Reasoning(effort) if effort else None
    losses.rest(thinking, frozenset({"type", "budget_tokens"}), "thinking.")
    kind = thinking.get("type")
    if kind == "disabled":
        return schema, Reasoning("none")
    if kind == "enabled":
        return schema, Reasoning(effort, ASKED.count(thinking, "budget_tokens", "thinking."))
    if kind != "adaptive":
        losses.add("thinking.type", "other models choose for themselves when they think")
    return schema, Reasoning(effort)


def _read_tools(body: dict[str, Any], losses: Losses) -> tuple[Tool, ...]:
    tools = []
    for told in ASKED.objects(body, "tools"):
        if told.get("type") not in (None, "custom"):
            losses.add("tools[].type", "the provider's own tools cannot be had elsewhere", essential=True)
            continue
        losses.rest(told, frozenset({"type", "name", "description", "input_schema", "strict"}), "tools[].")
        tools.append(
            Tool(
                ASKED.needed(told, "name", "tools[]."),
                ASKED.object(told, "input_schema", "tools[].") or {"type": "object"},
                ASKED.string(told, "description", "tools[]."),
                ASKED.boolean(told, "strict", "tools[]."),
            )
        )
    return tuple(tools)


def _read_turns(body: dict[str, Any], losses: Losses) -> tuple[Turn, ...]:
    turns = [Turn(Role.SYSTEM, words_only(_read_content(body, "system", losses), losses, "system"))]
    for message in ASKED.objects(body, "messages"):
        losses.rest(message, frozenset({"role", "content"}), "messages[].")
        role = message.get("role")
        if role not in ("user", "assistant", "system"):
            raise ASKED.fail("messages[].role", "one of assistant, system, user")
        parts = _read_content(message, "content", losses)
        turns.append(Turn(Role(role), words_only(parts, losses, _AT) if role == "system" else parts))
    told = joined(turns)
    if not told and not losses.essential:
        raise ASKED.fail("messages", "a list with something said")
    return told


def _read_content(holder: dict[str, Any], name: str, losses: Losses) -> tuple[Part, ...]:
    content = holder.get(name)
    if type(content) is str:
        return (Text(content),) if content else ()
    parts: list[Part] = []
    for block in ASKED.objects(holder, name):
        parts += _read_block(block, losses)
    return tuple(parts)


def _read_block(block: dict[str, Any], losses: Losses) -> tuple[Part, ...]:
    kind = block.get("type")
    if type(kind) is not str or kind not in _BLOCK_FIELDS:
        losses.add(_AT + "type", "the gateway knows no such block in other dialects", essential=True)
        return ()
    losses.rest(block, _BLOCK_FIELDS[kind], _AT)
    if kind == "text":
        if block.get("citations"):
            losses.add(_AT + "citations", "citations are a provider's own")
        text = ASKED.string(block, "text", _AT)
        return (Text(text),) if text else ()
    if kind == "tool_use":
        tree = ASKED.object(block, "input", _AT) or {}
        return (Call(ASKED.needed(block, "id", _AT), ASKED.needed(block, "name", _AT), orjson.dumps(tree).decode()),)
    if kind == "tool_result":
        parts = tuple(part for part in _read_content(block, "content", losses) if isinstance(part, Text | Image | File))
        call_id = ASKED.needed(block, "tool_use_id", _AT)
        return (Result(call_id, parts, ASKED.boolean(block, "is_error", _AT) is True),)
    if kind == "thinking":
        return (Thinking(ASKED.string(block, "thinking", _AT), ASKED.string(block, "signature", _AT)),)
    if kind == "redacted_thinking":
        return (Redacted(ASKED.string(block, "data", _AT)),)
    if kind == "search_result":
        return _read_content(block, "content", losses)
    return _read_source(kind, block, losses)


def _read_source(kind: str, block: dict[str, Any], losses: Losses) -> tuple[Part, ...]:
    where = f"{_AT}source."
    source = ASKED.object(block, "source", _AT) or {}
    word = source.get("type")
    if kind == "image" and word == "url":
        return (Image(url=ASKED.needed(source, "url", where)),)
    if word == "base64":
        media_type, data = ASKED.needed(source, "media_type", where), ASKED.needed(source, "data", where)
        if kind == "image":
            return (Image(media_type, data),)
        return (File(media_type, data, ASKED.string(block, "title", _AT)),)
    if kind == "document" and word == "text":
        if block.get("title"):
            losses.add(_AT + "title", "the document is told as text")
        return (Text(ASKED.string(source, "data", where)),)
    if kind == "document" and word == "content":
        if block.get("title"):
            losses.add(_AT + "title", "the document is told as text")
        return _read_content(source, "content", losses)
    losses.add(where + "type", "only this provider can fetch it", essential=True)
    return ()


# --- what a backend is asked -------------------------------------------------------------------------------------


def call_id(told: str) -> str:
    """An id as the API takes it: the same for a call and its result, another one for another id."""
    if _ID.fullmatch(told):
        return told
    return f"{_NOT_ID.sub('_', told)[:64]}_{zlib.crc32(told.encode('utf-8', 'replace')):08x}"


def _write_turns(turns: list[Turn], losses: Losses) -> list[dict[str, Any]]:
    messages = []
    for turn in joined(turns):
        # The API wants results in front: they answer the turn before.
        parts = sorted(turn.parts, key=lambda part: type(part) is not Result)
        blocks = [_write_block(part, losses) for part in parts if _carried(part, losses)]
        if not blocks:
            continue
        role = "system" if turn.role is Role.DEVELOPER else turn.role.value
        content = blocks[0]["text"] if len(blocks) == 1 and blocks[0]["type"] == "text" else blocks
        messages.append({"role": role, "content": content})
    return messages


def _carried(part: Part, losses: Losses) -> bool:
    if type(part) is Thinking and not part.signature:
        losses.add("messages[].thinking", "reasoning without its signature is not taken back")
        return False
    return True


def _write_block(part: Part, losses: Losses) -> dict[str, Any]:
    if type(part) is Text or type(part) is Refusal:
        return {"type": "text", "text": part.text}
    if type(part) is Image:
        return _write_image(part, losses)
    if type(part) is File:
        return _write_file(part, losses)
    if type(part) is Call:
        tree = arguments_of(part.arguments, ASKED.fail("messages[].tool_calls[].function.arguments", "a JSON object"))
        return {"type": "tool_use", "id": call_id(part.id), "name": part.name, "input": tree}
    if type(part) is Result:
        words = [_write_block(each, losses) for each in part.parts]
        block: dict[str, Any] = {"type": "tool_result", "tool_use_id": call_id(part.call_id)}
        if words:
            block["content"] = words[0]["text"] if len(words) == 1 and words[0]["type"] == "text" else words
        if part.is_error:
            block["is_error"] = True
        return block
    if type(part) is Thinking:
        return {"type": "thinking", "thinking": part.text, "signature": part.signature}
    if type(part) is Redacted:
        return {"type": "redacted_thinking", "data": part.data}
    raise ASKED.fail("messages[].content", "parts of a message")


def _write_image(image: Image, losses: Losses) -> dict[str, Any]:
    if image.detail and image.detail != "auto":
        losses.add("messages[].content[].image_url.detail", "the API has no word for it")
    if image.url:
        return {"type": "image", "source": {"type": "url", "url": image.url}}
    if image.media_type not in _PICTURES:
        losses.add("messages[].content[].image_url", "the API takes no pictures of this type", essential=True)
    return {"type": "image", "source": {"type": "base64", "media_type": image.media_type, "data": image.data}}


def _write_file(file: File, losses: Losses) -> dict[str, Any]:
    block: dict[str, Any] = {"type": "document"}
    if file.media_type == "text/plain":
        try:
            words = base64.b64decode(file.data, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise ASKED.fail("messages[].content[].file.file_data", "text in base64") from None
        block["source"] = {"type": "text", "media_type": "text/plain", "data": words}
    else:
        if file.media_type != "application/pdf":
            losses.add("messages[].content[].file", "the API takes no files of this type", essential=True)
        block["source"] = {"type": "base64", "media_type": file.media_type, "data": file.data}
    if file.name:
        block["title"] = file.name
    return block


def _write_tools(request: Request, body: dict[str, Any], losses: Losses) -> None:
    if not request.tools:
        if request.choice is not None and request.choice.pick is not Pick.NONE:
            losses.add("tool_choice", "there are no tools")
        return
    tools = []
    for tool in request.tools:
        told: dict[str, Any] = {"name": tool.name, "input_schema": tool.schema}
        if tool.description:
            told["description"] = tool.description
        if tool.strict is not None:
            told["strict"] = tool.strict
        tools.append(told)
    body["tools"] = tools
    if request.choice is None and request.parallel_calls is None:
        return
    choice = request.choice or Choice(Pick.AUTO)
    told_choice: dict[str, Any] = {"type": _CHOICES[choice.pick]}
    if choice.pick is Pick.NAMED:
        told_choice["name"] = choice.name
    if request.parallel_calls is not None and choice.pick is not Pick.NONE:
        told_choice["disable_parallel_tool_use"] = not request.parallel_calls
    body["tool_choice"] = told_choice


def _write_stop(stop: tuple[str, ...], body: dict[str, Any], losses: Losses) -> None:
    words = [word for word in stop if word.strip()]
    if len(words) < len(stop):
        losses.add("stop", "sequences of white space are not taken")
    if words:
        body["stop_sequences"] = words


def _write_schema(schema: Schema, body: dict[str, Any], losses: Losses) -> None:
    if schema.schema is None:
        losses.add("response_format", "the API has no JSON without a schema")
        return
    if schema.strict is False:
        losses.add("response_format.json_schema.strict", "the schema always binds")
    if schema.description:
        losses.add("response_format.json_schema.description", "the API has no word for it")
    body["output_config"] = {"format": {"type": "json_schema", "schema": schema.schema}}


def _write_thinking(
    request: Request, reasoning: Reasoning, target: Target, body: dict[str, Any], losses: Losses
) -> None:
    if target.thinks is Thinks.NOT:
        if reasoning.effort != "none":
            losses.add("reasoning", "the model does not think")
        return
    if target.thinks is Thinks.EFFORT:
        if reasoning.effort == "none":
            body["thinking"] = {"type": "disabled"}
            return
        body["thinking"] = {"type": "adaptive", **_display(reasoning)}
        if effort := effort_of(reasoning, _EFFORTS, losses):
            body["output_config"] = {**body.get("output_config", {}), "effort": effort}
        return
    budget = budget_of(reasoning, losses)
    if budget == 0:
        body["thinking"] = {"type": "disabled"}
    elif budget is not None:
        budget = thinking_budget(request, budget, body["max_tokens"], losses)
        if budget is not None:
            body["thinking"] = {"type": "enabled", "budget_tokens": budget, **_display(reasoning)}
    elif reasoning.shown:
        losses.add("reasoning.summary", "nothing is thought without an effort or a budget")


def _display(reasoning: Reasoning) -> dict[str, str]:
    """Newer models leave thoughts out of their answers unless they are asked for them."""
    return {"display": "summarized"} if reasoning.shown else {}


def thinking_budget(request: Request, budget: int, most: int | None, losses: Losses) -> int | None:
    """How much shall be thought of `most` tokens. None: thinking by budget has conditions, and they fail here.

    API reference, "Extended thinking". Where they fail, the model answers.
    """
    forced = request.choice is not None and request.choice.pick in (Pick.REQUIRED, Pick.NAMED)
    spoken = [turn for turn in request.turns if turn.role is Role.ASSISTANT]
    unsigned = bool(spoken) and _calls_without_thought(spoken[-1])
    if forced or unsigned or (most is not None and most <= _LEAST_BUDGET):
        why = "a tool is forced" if forced else "calls without their thoughts" if unsigned else "max_tokens"
        losses.add("reasoning", f"the model cannot think here: {why}")
        return None
    budget = max(budget, _LEAST_BUDGET)
    if most is not None and budget >= most:
        budget = most - 1
        losses.add("reasoning.budget_tokens", "it must lie below max_tokens")
    return budget


def _calls_without_thought(turn: Turn) -> bool:
    calls = any(type(part) is Call for part in turn.parts)
    return calls and not any(
        (type(part) is Thinking and part.signature) or type(part) is Redacted for part in turn.parts
    )


def _write_sampling(sampling: Sampling, target: Target, body: dict[str, Any], losses: Losses) -> None:
    for name in ("seed", "presence_penalty", "frequency_penalty"):
        if getattr(sampling, name) is not None:
            losses.add(name, "the API does not know it")
    thinks = body.get("thinking", {}).get("type") in ("enabled", "adaptive")
    for name in ("temperature", "top_p", "top_k"):
        value = getattr(sampling, name)
        if value is None:
            continue
        if not target.sampling:
            losses.add(name, "current models do not take it")
        elif thinks:
            losses.add(name, "models that think do not take it")
        elif name == "temperature" and value > 1:
            losses.add(name, "told as 1, the most")
            body[name] = 1
        else:
            body[name] = value
