"""OpenAI's Responses (API reference, November 2026) as clients speak it, for backends that do not. No backend's side.

What the API lets clients leave at the provider has no word here, and the front door refuses it before (providers).
"""

from typing import Any, Final

from extproc.translate import openai_answer, responses_answer
from extproc.translate.canon import (
    Call,
    Choice,
    File,
    Image,
    Part,
    Pick,
    Reasoning,
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
    joined,
)
from extproc.translate.dialect import Read
from extproc.translate.fields import ASKED, Losses, read_metadata, words_only
from extproc.translate.media import document, picture
from extproc.translate.responses_stream import ResponseWriter

_KNOWN: Final = frozenset(
    {"model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "max_output_tokens",
     "temperature", "top_p", "text", "reasoning", "user", "safety_identifier", "metadata", "stream", "stream_options"},
)  # fmt: skip
_CACHES: Final = "caches are a provider's own"
_WHY: Final = {
    "prompt_cache_key": _CACHES,
    "prompt_cache_retention": _CACHES,
    "prompt_cache_options": _CACHES,
    "service_tier": "tiers are a provider's own",
    "truncation": "the whole input is sent, or refused by the model",
    "include": "what it asks for is a provider's own",
    "max_tool_calls": "it bounds tools of the provider's own",
}
_KEPT: Final = "nothing is kept to be asked for again"
_ESSENTIAL: Final = {
    "previous_response_id": _KEPT,
    "conversation": _KEPT,
    "prompt": _KEPT,
    "store": _KEPT,
    "background": _KEPT,
    "context_management": "the provider's own tools cannot be had elsewhere",
}
#: Values that ask for nothing.
_NOTHING: Final = {"truncation": "disabled", "include": [], "top_logprobs": 0}
_ROLES: Final = {
    "user": Role.USER,
    "assistant": Role.ASSISTANT,
    "system": Role.SYSTEM,
    "developer": Role.DEVELOPER,
}
_ITEM: Final = "input[]."
_PART: Final = "input[].content[]."
_OWN: Final = frozenset({"type", "id", "status"})  # an answer's item comes back with them; they say nothing to a model
_ITEMS: Final = {
    "message": _OWN | {"role", "content"},
    "reasoning": _OWN | {"summary", "content"},
    "function_call": _OWN | {"call_id", "name", "arguments"},
    "function_call_output": _OWN | {"call_id", "output", "name"},
}
_PARTS: Final = {
    "input_text": frozenset({"type", "text"}),
    "output_text": frozenset({"type", "text", "annotations", "logprobs"}),
    "refusal": frozenset({"type", "refusal"}),
    "input_image": frozenset({"type", "image_url", "detail", "file_id"}),
    "input_file": frozenset({"type", "file_data", "file_url", "file_id", "filename"}),
}
_TOOL: Final = frozenset({"type", "name", "description", "parameters", "strict"})
_FORMAT: Final = frozenset({"type", "name", "description", "schema", "strict"})


class Responses:
    """Responses. Stateless."""

    name = "responses"
    family = "responses"

    # Done in modules of their own; `Front` and `Back` say what each means.
    write_answer = staticmethod(responses_answer.write_answer)
    writer = ResponseWriter
    write_error = staticmethod(openai_answer.write_error)

    def read_request(self, body: dict[str, Any]) -> Read:
        """See `Front.read_request`."""
        losses = Losses()
        _leave(body, losses)
        tools, choice = _read_tools(body, losses)
        options = ASKED.object(body, "stream_options") or {}
        losses.rest(options, frozenset({"include_obfuscation"}), "stream_options.")
        request = Request(
            model=ASKED.needed(body, "model"),
            turns=_read_turns(body, losses),
            tools=tools,
            choice=choice,
            parallel_calls=ASKED.boolean(body, "parallel_tool_calls"),
            max_tokens=ASKED.count(body, "max_output_tokens"),
            sampling=Sampling(temperature=ASKED.number(body, "temperature"), top_p=ASKED.number(body, "top_p")),
            schema=_read_format(body, losses),
            reasoning=_read_reasoning(body, losses),
            user=ASKED.string(body, "safety_identifier") or ASKED.string(body, "user"),
            metadata=read_metadata(body),
            stream=ASKED.boolean(body, "stream") is True,
        )
        return Read(request, losses.told())


RESPONSES: Final = Responses()


def _leave(body: dict[str, Any], losses: Losses) -> None:
    """Fields that have no word elsewhere, where they say anything."""
    for name in body.keys() - _KNOWN:
        value = body[name]
        if value is None or value is False or (name in _NOTHING and value == _NOTHING[name]):
            continue
        if name in _ESSENTIAL:
            losses.add(name, _ESSENTIAL[name], essential=True)
        else:
            losses.add(name, _WHY.get(name, "the gateway has no word for it in other dialects"))


def _read_format(body: dict[str, Any], losses: Losses) -> Schema | None:
    text = ASKED.object(body, "text") or {}
    losses.rest(text, frozenset({"format"}), "text.")
    told = ASKED.object(text, "format", "text.")
    if told is None or told.get("type") == "text":
        return None
    if told.get("type") == "json_object":
        return Schema(None)
    where = "text.format."
    schema = ASKED.object(told, "schema", where)
    if told.get("type") != "json_schema" or schema is None:
        losses.add("text.format", "the gateway knows no such format", essential=True)
        return None
    losses.rest(told, _FORMAT, where)
    return Schema(
        schema,
        ASKED.string(told, "name", where),
        ASKED.string(told, "description", where),
        ASKED.boolean(told, "strict", where),
    )


def _read_reasoning(body: dict[str, Any], losses: Losses) -> Reasoning | None:
    """Whoever asks for a summary gets one where the provider gives any; how long it is, nobody else lets be said."""
    told = ASKED.object(body, "reasoning")
    if told is None:
        return None
    losses.rest(told, frozenset({"effort", "summary", "generate_summary"}), "reasoning.")
    shown = [ASKED.string(told, name, "reasoning.") for name in ("summary", "generate_summary")]
    if any(each not in ("", "auto") for each in shown):
        losses.add("reasoning.summary", "reasoning is shown as its provider shows it")
    effort = ASKED.string(told, "effort", "reasoning.")
    return Reasoning(effort or None, shown=any(shown)) if effort or any(shown) else None


def _read_tools(body: dict[str, Any], losses: Losses) -> tuple[tuple[Tool, ...], Choice | None]:
    tools = []
    for told in ASKED.objects(body, "tools"):
        if told.get("type") != "function":
            losses.add("tools[].type", "only functions can be called elsewhere", essential=True)
            continue
        losses.rest(told, _TOOL, "tools[].")
        schema = ASKED.object(told, "parameters", "tools[].")
        tools.append(
            Tool(
                ASKED.needed(told, "name", "tools[]."),
                # A function without parameters is written without them; other dialects demand the empty object.
                {"type": "object", "properties": {}} if schema is None else schema,
                ASKED.string(told, "description", "tools[]."),
                ASKED.boolean(told, "strict", "tools[]."),
            )
        )
    told_choice = body.get("tool_choice")
    if told_choice is None:
        return tuple(tools), None
    if told_choice in ("auto", "none", "required"):
        return tuple(tools), Choice(Pick(told_choice))
    if type(told_choice) is dict:
        if told_choice.get("type") == "function":
            return tuple(tools), Choice(Pick.NAMED, ASKED.needed(told_choice, "name", "tool_choice."))
        if told_choice.get("type") == "allowed_tools":
            return _allowed(told_choice, tools)
    losses.add("tool_choice", "only functions can be called elsewhere", essential=True)
    return tuple(tools), None


def _allowed(told: dict[str, Any], tools: list[Tool]) -> tuple[tuple[Tool, ...], Choice]:
    """The tools that may be called are the tools that are told of: other dialects have no shorter list."""
    where = "tool_choice."
    names = {ASKED.needed(tool, "name", where + "tools[].") for tool in ASKED.objects(told, "tools", where)}
    mode = told.get("mode")
    if mode not in ("auto", "required"):
        raise ASKED.fail(where + "mode", "'auto' or 'required'")
    return tuple([tool for tool in tools if tool.name in names]), Choice(Pick(mode))


# --- the conversation --------------------------------------------------------------------------------------------


def _read_turns(body: dict[str, Any], losses: Losses) -> tuple[Turn, ...]:
    turns = []
    if instructions := ASKED.string(body, "instructions"):
        turns.append(Turn(Role.SYSTEM, (Text(instructions),)))
    said = body.get("input")
    if type(said) is str:
        turns.append(Turn(Role.USER, (Text(said),) if said else ()))
    else:
        turns += [_read_item(item, losses) for item in ASKED.objects(body, "input")]
    told = joined(turns)
    if not any(turn.role is not Role.SYSTEM for turn in told) and not losses.essential:
        raise ASKED.fail("input", "a text or a list with something said")
    return told


def _read_item(item: dict[str, Any], losses: Losses) -> Turn:
    kind = item.get("type", "message")
    if type(kind) is not str or kind not in _ITEMS:
        losses.add(_ITEM + "type", "the gateway knows no such item in other dialects", essential=True)
        return Turn(Role.USER, ())
    losses.rest(item, _ITEMS[kind], _ITEM)
    if kind == "message":
        return _read_message(item, losses)
    if kind == "reasoning":
        return Turn(Role.ASSISTANT, _read_thought(item))
    call_id = ASKED.needed(item, "call_id", _ITEM)
    if kind == "function_call":
        name, arguments = ASKED.needed(item, "name", _ITEM), ASKED.string(item, "arguments", _ITEM)
        return Turn(Role.ASSISTANT, (Call(call_id, name, arguments),))
    parts = _read_content(item, "output", losses)
    return Turn(Role.USER, (Result(call_id, tuple([p for p in parts if isinstance(p, Text | Image | File)])),))


def _read_message(item: dict[str, Any], losses: Losses) -> Turn:
    told = item.get("role")
    if type(told) is not str or told not in _ROLES:
        raise ASKED.fail(_ITEM + "role", f"one of {', '.join(sorted(_ROLES))}")
    role, parts = _ROLES[told], _read_content(item, "content", losses)
    if role in (Role.SYSTEM, Role.DEVELOPER):
        parts = words_only(parts, losses, "input[].content[]")
    return Turn(role, parts)


def _read_thought(item: dict[str, Any]) -> tuple[Part, ...]:
    """The model's own words where they are told, else their summary. What is encrypted, only its provider can read."""
    own = ASKED.objects(item, "content", _ITEM) or ASKED.objects(item, "summary", _ITEM)
    text = "\n\n".join([ASKED.string(part, "text", _ITEM + "summary[].") for part in own])
    return (Thinking(text),) if text else ()


def _read_content(holder: dict[str, Any], name: str, losses: Losses) -> tuple[Part, ...]:
    content = holder.get(name)
    if content is None or content == "":
        return ()
    if type(content) is str:
        return (Text(content),)
    parts = [_read_part(part, losses) for part in ASKED.objects(holder, name, _ITEM)]
    return tuple([part for part in parts if part is not None])


def _read_part(part: dict[str, Any], losses: Losses) -> Part | None:
    kind = part.get("type")
    if type(kind) is not str or kind not in _PARTS:
        losses.add(_PART + "type", "the gateway knows no such part in other dialects", essential=True)
        return None
    for name in part.keys() - _PARTS[kind]:
        if part[name] is not None:
            known = name == "prompt_cache_breakpoint"
            losses.add(_PART + name, _CACHES if known else "the gateway has no word for it in other dialects")
    if part.get("file_id") is not None:
        losses.add(_PART + "file_id", "the file lies with another provider", essential=True)
        return None
    if kind == "refusal":
        return Refusal(ASKED.string(part, "refusal", _PART))
    if kind == "input_image":
        url = ASKED.needed(part, "image_url", _PART)
        return picture(url, ASKED.string(part, "detail", _PART), _PART + "image_url")
    if kind == "input_file":
        return _read_file(part, losses)
    if part.get("annotations"):
        losses.add(_PART + "annotations", "citations are a provider's own")
    text = ASKED.string(part, "text", _PART)
    return Text(text) if text else None


def _read_file(part: dict[str, Any], losses: Losses) -> File | None:
    if part.get("file_url") is not None:
        losses.add(_PART + "file_url", "only this provider fetches documents", essential=True)
        return None
    name = ASKED.string(part, "filename", _PART)
    return document(ASKED.needed(part, "file_data", _PART), name, _PART + "file_data")
