"""How many prompt tokens a provider will report for a request: its texts, and what each dialect puts around them. Pure.

Meant to be never below what is reported, and little above. The overheads of messages are those that OpenAI publishes
(Cookbook, "How to count tokens with tiktoken"); tools are counted as the declarations that models are shown; the rest
was fitted to exchanges with the providers that are on public record (bench/README.md says how well).
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import orjson

from extproc.counting.declaration import shown
from extproc.counting.picture import anthropic_tokens, openai_tokens
from extproc.counting.tokenizer import Tokenizer
from extproc.counting.tools import Around, Calls, around, declared
from gateway import named_path

_PER_MESSAGE: Final = 3  # OpenAI: what stands before and behind each message
_PER_NAME: Final = 1
_PRIMING: Final = 3  # the beginning of the answer
_FORMAT: Final = 8  # heading of a JSON schema for the answer
_FORMAT_ALONE: Final = 8  # more in chat completions without functions, whose heading the two share
_FORMAT_CLAUDE: Final = 640  # Anthropic's models are made to answer by a tool when they are reached by OpenAI's dialect
_FORMAT_OTHER: Final = 80
#: Servers of other models have templates of their own, some with a system prompt that nobody asked for (gpt-oss 60,
#: Llama 23).
_TEMPLATE: Final = 64
_ANTHROPIC_BASE: Final = 3
_ANTHROPIC_SYSTEM: Final = 6
_ANTHROPIC_PER_MESSAGE: Final = 6
_ANTHROPIC_THINKING: Final = 32
_ANTHROPIC_ADAPTIVE: Final = 20  # the model decides whether it thinks
_ANTHROPIC_EFFORT: Final = 8
#: What Anthropic says about tools in its own system prompt, where they are offered, and where one must be used.
_ANTHROPIC_TOOLS: Final = 515
_ANTHROPIC_TOOLS_FORCED: Final = 610
_ANTHROPIC_TOOLS_OPUS_3: Final = 540  # Anthropic publishes 530 for it, and less for all others
_ANTHROPIC_PER_TOOL: Final = 8
_ANTHROPIC_PER_CALL: Final = 28  # a call and its result are two of them
_ANTHROPIC_FORMAT: Final = 128
_ANTHROPIC_DOCUMENT: Final = 62
#: Sound and files are not opened here. Sound: 10 tokens a second at 8 kbit/s, less than any codec that is sold for
#: speech. Files: a page of 3,000 tokens takes more than 24 KB of PDF, unless it is bare text, which is compressed.
_AUDIO_BYTES_PER_TOKEN: Final = 100
_FILE_BYTES_PER_TOKEN: Final = 4
_FILE_LEAST: Final = 3000
_GOOGLE_PER_PART: Final = 4
#: Gemini API, "Understand and count tokens": 258 for each tile of 768 pixels; models since 3 take up to 1120 for an
#: image, whatever its size, unless they are asked to look more closely.
_GOOGLE_IMAGE: Final = 1120
#: 300 tokens a second of film, which no usable codec brings below 100 kbit/s.
_VIDEO_BYTES_PER_TOKEN: Final = 40
_BASE64_BYTES: Final = 3 / 4


def prompt_tokens(path: str, body: dict[str, Any], tokens: Tokenizer) -> int:
    """The estimate for a request that its door has opened. `path` is the door's; an unknown one counts all its text."""
    return _BY_PATH.get(path, _anything)(body, tokens)


def has_audio(body: dict[str, Any]) -> bool:
    """Whether the request holds sound, which has prices of its own."""
    google = any(_media(blob).startswith("audio/") for blob in _google_blobs(body))
    return google or any(_kind(part) == "input_audio" for part in _parts_of(body))


def writes_cache(body: dict[str, Any]) -> bool:
    """Whether the request asks the provider to write its prompt cache (Anthropic's `cache_control`)."""
    holders = [body, *_list(body.get("tools")), *_list(body.get("system")), *_parts_of(body)]
    return any(type(holder) is dict and holder.get("cache_control") is not None for holder in holders)


# --- OpenAI --------------------------------------------------------------------------------------------------------


def _chat(body: dict[str, Any], tokens: Tokenizer) -> int:
    model, messages = str(body.get("model", "")), _list(body.get("messages"))
    about = around(model, tokens, chat=True)
    system = any(type(one) is dict and one.get("role") in {"system", "developer"} for one in messages)
    total = _start(model, tokens) + _format(body.get("response_format"), model, tokens)
    functions = declared(body, tokens, about, system=system)
    total += functions
    if tokens.exact and not functions and _kind(body.get("response_format")) == "json_schema":
        total += _FORMAT_ALONE
    history = Calls(tokens, about)
    for message in messages:
        if type(message) is not dict:
            continue
        total += _PER_MESSAGE + tokens.count(str(message.get("role", "")))
        total += _content(message.get("content"), model, tokens) + _answered(message, about)
        name = message.get("name")
        if type(name) is str:
            total += _PER_NAME + tokens.count(name)
        if message.get("role") == "tool":
            total += history.result(message.get("tool_call_id"))
        calls = [*_list(message.get("tool_calls")), {"function": message.get("function_call")}]
        for call in calls:
            called = (call.get("function") or call.get("custom")) if type(call) is dict else None
            if type(called) is dict:
                total += history.call(called.get("name"), call.get("id"), several=len(calls) > 2)
                total += sum(_said(called.get(name), tokens) for name in ("arguments", "input"))
        total += sum(_said(message.get(name), tokens) for name in ("refusal", "reasoning_content", "reasoning"))
    return total


def _responses(body: dict[str, Any], tokens: Tokenizer) -> int:
    model = str(body.get("model", ""))
    text, about = body.get("text"), around(model, tokens, chat=False)
    total = _start(model, tokens) + declared(body, tokens, about, system=True)
    total += _format(text.get("format") if type(text) is dict else None, model, tokens)
    history = Calls(tokens, about)
    instructions = body.get("instructions")
    if type(instructions) is str:
        total += _PER_MESSAGE + 1 + tokens.count(instructions)
    items = body.get("input")
    for item in [{"role": "user", "content": items}] if type(items) is str else _list(items):
        if type(item) is not dict:
            continue
        total += _PER_MESSAGE + 1
        if "role" in item:
            total += _content(item.get("content"), model, tokens) + _answered(item, about)
        elif item.get("type") == "reasoning":
            total += _said(item.get("summary"), tokens) + _said(item.get("content"), tokens)
            total += _sealed(item.get("encrypted_content"))
        elif "output" in item:
            total += history.result(item.get("call_id")) + _content(item.get("output"), model, tokens)
        else:
            total += history.call(item.get("name"), item.get("call_id"))
            total += sum(_said(item.get(name), tokens) for name in ("arguments", "input"))
    return total


def _completions(body: dict[str, Any], tokens: Tokenizer) -> int:
    return _texts(body.get("prompt"), tokens)


def _embeddings(body: dict[str, Any], tokens: Tokenizer) -> int:
    return _texts(body.get("input"), tokens)


def _texts(given: Any, tokens: Tokenizer) -> int:
    """Texts, or tokens in their place, which only tenants without strict schemas may send."""
    if type(given) is str:
        return tokens.count(given)
    return sum(
        tokens.count(each) if type(each) is str else len(each) if type(each) is list else 1 for each in _list(given)
    )


def _content(content: Any, model: str, tokens: Tokenizer) -> int:
    if type(content) is str:
        return tokens.count(content)
    total = 0
    for part in _list(content):
        kind = _kind(part)
        if kind in {"image_url", "input_image"}:
            image = part.get("image_url")
            holder = image if type(image) is dict else part
            url = image.get("url") if type(image) is dict else image
            total += openai_tokens(model, url if type(url) is str else "", str(holder.get("detail") or "auto"))
        elif kind == "input_audio":
            sound = part.get("input_audio")
            total += _bytes_of(sound.get("data") if type(sound) is dict else None) // _AUDIO_BYTES_PER_TOKEN + 1
        elif kind in {"file", "input_file"}:
            file = part.get("file") if kind == "file" else part
            total += _file(file.get("file_data") if type(file) is dict else None)
        elif type(part) is dict:
            total += _said(part.get("text"), tokens) + _said(part.get("refusal"), tokens)
    return total


def _answered(message: dict[str, Any], about: Around) -> int:
    """What stands around an earlier answer of the model."""
    return about.answer if message.get("role") == "assistant" and message.get("content") else 0


def _start(model: str, tokens: Tokenizer) -> int:
    return _PRIMING + (_TEMPLATE if not tokens.exact or "gpt-oss" in model else 0)


def _format(wanted: Any, model: str, tokens: Tokenizer) -> int:
    """A JSON schema for the answer: models are shown it without what strict mode says of every object."""
    if type(wanted) is not dict or wanted.get("type") != "json_schema":
        return 0
    shape = wanted.get("json_schema", wanted)
    if not tokens.exact or "gpt-oss" in model:
        return (_FORMAT_CLAUDE if tokens.family == "claude" else _FORMAT_OTHER) + _json_tokens(shape, tokens)
    if type(shape) is not dict or type(shape.get("schema")) is not dict:
        return _FORMAT + _json_tokens(shape, tokens)
    named = sum(_said(shape.get(name), tokens) for name in ("name", "description"))
    return _FORMAT + named + tokens.count(_json(shown(shape["schema"])))


# --- Anthropic -----------------------------------------------------------------------------------------------------


def _messages(body: dict[str, Any], tokens: Tokenizer) -> int:
    model = str(body.get("model", ""))
    total = _ANTHROPIC_BASE + _blocks(body.get("system"), model, tokens)
    total += _ANTHROPIC_SYSTEM if body.get("system") else 0
    tools = [tool for tool in _list(body.get("tools")) if type(tool) is dict]
    if tools:
        free = _kind(body.get("tool_choice")) in {"", "auto", "none"}
        usual = _ANTHROPIC_TOOLS_OPUS_3 if "claude-3-opus" in model else _ANTHROPIC_TOOLS
        total += usual if free else _ANTHROPIC_TOOLS_FORCED
        total += sum(_ANTHROPIC_PER_TOOL + tokens.count(_json(tool)) for tool in tools)
    thinking = _kind(body.get("thinking"))
    if thinking not in {"", "disabled"}:
        total += _ANTHROPIC_ADAPTIVE if thinking == "adaptive" else _ANTHROPIC_THINKING
    for shape in (body.get("output_config"), body.get("output_format")):
        if type(shape) is dict:
            text = _json(shape)
            total += tokens.count(text) + (_ANTHROPIC_FORMAT if "schema" in text else _ANTHROPIC_EFFORT)
    for message in _list(body.get("messages")):
        if type(message) is dict:
            total += _ANTHROPIC_PER_MESSAGE + _blocks(message.get("content"), model, tokens)
    return total


def _blocks(content: Any, model: str, tokens: Tokenizer) -> int:
    """Text, and blocks within blocks down to where the schema of the door lets them."""
    if type(content) is str:
        return tokens.count(content)
    total = 0
    for block in _list(content):
        kind = _kind(block)
        if not kind:
            continue
        source = block.get("source")
        data = source.get("data") if type(source) is dict else None
        if kind == "image":
            total += anthropic_tokens(model, data if type(data) is str else "")
        elif kind == "document":
            total += _ANTHROPIC_DOCUMENT
            plain = type(source) is dict and source.get("type") in {"text", "content"}
            total += _document(source, model, tokens) if plain else _file(data)
            total += sum(_said(block.get(name), tokens) for name in ("title", "context"))
        elif kind in {"tool_use", "tool_result"}:
            total += _ANTHROPIC_PER_CALL + _said(block.get("name"), tokens) + _json_tokens(block.get("input"), tokens)
            total += _blocks(block.get("content"), model, tokens)
        elif kind == "redacted_thinking":
            total += _sealed(block.get("data"))
        else:
            total += sum(_said(block.get(name), tokens) for name in ("text", "thinking", "title"))
            total += _said(source, tokens) if type(source) is str else 0
            total += _blocks(block.get("content"), model, tokens)
    return total


def _document(source: dict[str, Any], model: str, tokens: Tokenizer) -> int:
    return _said(source.get("data"), tokens) + _blocks(source.get("content"), model, tokens)


# --- Google --------------------------------------------------------------------------------------------------------


def _contents(body: dict[str, Any], tokens: Tokenizer) -> int:
    """Text as its tokens, and files by what they are; base64 is no text to the model."""
    total = _TEMPLATE
    for name in ("tools", "toolConfig"):
        total += _json_tokens(body.get(name), tokens)
    config = body.get("generationConfig")
    for name in ("responseSchema", "responseJsonSchema"):
        total += _json_tokens(config.get(name), tokens) if type(config) is dict else 0
    for part in _google_parts(body):
        words = {name: value for name, value in part.items() if name not in {"inlineData", "fileData", "text"}}
        answer = words.get("functionResponse")
        if type(answer) is dict:
            words["functionResponse"] = {name: value for name, value in answer.items() if name != "parts"}
        total += _sealed(words.pop("thoughtSignature", None)) + _json_tokens(words, tokens)
        total += _GOOGLE_PER_PART + _said(part.get("text") or "", tokens)
        total += _GOOGLE_IMAGE if part.get("fileData") is not None else 0
    for blob in _google_blobs(body):
        total += _google_file(_media(blob), blob.get("data"), tokens)
    return total


def _google_file(media: str, data: Any, tokens: Tokenizer) -> int:
    if media.startswith("image/"):
        return _GOOGLE_IMAGE
    if media.startswith("audio/"):
        return _bytes_of(data) // _AUDIO_BYTES_PER_TOKEN + 1
    if media.startswith("video/"):
        return _bytes_of(data) // _VIDEO_BYTES_PER_TOKEN + 1
    if media.startswith("text/") or media == "application/json":
        return _said(data if type(data) is str else "", tokens)  # in base64 it is longer than it is
    return _file(data)


def _google_parts(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for content in (*_list(body.get("contents")), body.get("systemInstruction")):
        parts = content.get("parts") if type(content) is dict else None
        yield from (part for part in _list(parts) if type(part) is dict)


def _google_blobs(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for part in _google_parts(body):
        answer = part.get("functionResponse")
        for holder in (part, *_list(answer.get("parts") if type(answer) is dict else None)):
            blob = holder.get("inlineData") if type(holder) is dict else None
            if type(blob) is dict:
                yield blob


def _media(blob: dict[str, Any]) -> str:
    media = blob.get("mimeType")
    return media.lower() if type(media) is str else ""


# --- what they share -------------------------------------------------------------------------------------------------


def _anything(body: dict[str, Any], tokens: Tokenizer) -> int:
    return tokens.count(_json(body))


_BY_PATH: Final[dict[str, Callable[[dict[str, Any], Tokenizer], int]]] = {
    "/v1/chat/completions": _chat,
    "/v1/responses": _responses,
    "/v1/completions": _completions,
    "/v1/embeddings": _embeddings,
    "/v1/messages": _messages,
    named_path.ROUTE: _contents,
}


def _said(value: Any, tokens: Tokenizer) -> int:
    """A text, or whatever stands in its place, as JSON."""
    if type(value) is str:
        return tokens.count(value)
    return _json_tokens(value, tokens)


def _json_tokens(value: Any, tokens: Tokenizer) -> int:
    return tokens.count(_json(value)) if value else 0


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _file(data: Any) -> int:
    return max(_bytes_of(data) // _FILE_BYTES_PER_TOKEN, _FILE_LEAST)


def _sealed(data: Any) -> int:
    """Reasoning that only the provider can read: encrypted text is no shorter than its own."""
    return _bytes_of(data) // 4


def _bytes_of(data: Any) -> int:
    return int(len(data) * _BASE64_BYTES) if type(data) is str else 0


def _parts_of(body: dict[str, Any]) -> Iterator[Any]:
    items = body.get("messages") or body.get("input")
    for message in _list(items):
        if type(message) is dict:
            yield message
            for part in _list(message.get("content")):
                yield part
                yield from _list(part.get("content")) if type(part) is dict else ()


def _kind(part: Any) -> str:
    kind = part.get("type") if type(part) is dict else None
    return kind if type(kind) is str else ""


def _list(value: Any) -> list[Any]:
    return value if type(value) is list else []
