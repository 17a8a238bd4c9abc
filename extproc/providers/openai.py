"""The OpenAI front doors: chat completions, legacy completions, embeddings (OpenAI API reference, 2026)."""

from collections.abc import Iterator
from typing import Any, Final

from extproc.core.unknown import Unknown
from extproc.detectors.injection.provenance import Provenance
from extproc.guardrails.guard import Guard, Tally
from extproc.providers import files
from extproc.providers.door import (
    Door,
    Fixed,
    Opened,
    Seen,
    StreamGuard,
    check_spelling,
    invalid,
    require_bool,
    require_str,
)
from extproc.providers.openai_schema import CHAT, COMPLETIONS, EMBEDDINGS
from extproc.providers.openai_stream import ChoiceStream
from extproc.providers.responses import Responses
from extproc.providers.schema import Versions
from gateway.errors import Dialect

#: Longer than any model name in use, short enough for a metadata value and a log line.
_MODEL_CHARS: Final = 256
_ROLES: Final = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_PARTS: Final = frozenset({"text", "image_url", "input_audio", "file", "refusal"})
_FILE_IDS: Final = frozenset({"file_id"})
#: Fields that routing or a check relies on.
_READ: Final = frozenset({"model", "messages", "prompt", "input", "modalities", "stream", "stream_options"})
_SPLICE: Final = b'"stream_options":{"include_usage":true},'


class _OpenAI(Fixed):
    """What all of them share."""

    dialect = Dialect.OPENAI

    def sealed(self, tree: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """None: nothing in this dialect is signed."""
        del tree
        return iter(())


class _Streaming(_OpenAI):
    """What chat and legacy completions share."""

    chats = True

    def as_chat(self, body: dict[str, Any]) -> dict[str, Any]:
        """As it is."""
        return body

    def splice_usage(self, raw: bytes, body: dict[str, Any]) -> bytes | None:
        """Behind the first brace, so that every other byte of the client's body stays as it was."""
        if "stream_options" in body:
            return raw if _wants_usage(body) else None
        start = raw.index(b"{") + 1
        return raw[:start] + _SPLICE + raw[start:]

    def force_usage(self, body: dict[str, Any]) -> None:
        """Set `stream_options.include_usage`."""
        body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}

    def stream(self, guard: Guard, tally: Tally, seen: Seen, *, show_usage: bool) -> StreamGuard:
        """One hold-back per choice and channel."""
        return ChoiceStream(guard, tally, seen, show_usage=show_usage)

    def instead(self, text: str, shell: dict[str, Any], seen: Seen) -> dict[str, Any] | None:
        """One choice that a content filter ended."""
        put = {"message": {"role": "assistant", "content": text, "refusal": None}} if self.chats else {"text": text}
        spent, made = seen.input_tokens or 0, seen.output_tokens or 0
        return {
            "id": shell.get("id", "replaced"),
            "object": "chat.completion" if self.chats else "text_completion",
            "created": shell.get("created", 0),
            "model": shell.get("model", ""),
            "choices": [{"index": 0, **put, "logprobs": None, "finish_reason": "content_filter"}],
            "usage": {"prompt_tokens": spent, "completion_tokens": made, "total_tokens": spent + made},
        }

    def answer(self, tree: dict[str, Any], seen: Seen, unknown: Unknown) -> bool:
        """Usage, text length, and no log probabilities."""
        del unknown  # its answers have no parts that say of what kind they are
        return _read_choices(tree, seen)


def _wants_usage(body: dict[str, Any]) -> bool:
    options = body.get("stream_options")
    if options is None:
        return False
    if type(options) is not dict:
        raise invalid("stream_options", "an object")
    return require_bool(options, "include_usage")


def _read_choices(tree: dict[str, Any], seen: Seen) -> bool:
    seen.read(tree.get("usage"))
    choices = tree.get("choices")
    if type(choices) is not list:
        return False
    altered = False
    for choice in choices:
        if type(choice) is not dict:
            continue
        if choice.get("logprobs") is not None:
            choice["logprobs"] = None  # tokens would spell out what the guard removes
            altered = True
        message = choice.get("message")
        for holder in (choice, message if type(message) is dict else {}):
            for key in ("text", "content", "refusal", "reasoning_content", "reasoning"):
                if type(holder.get(key)) is str:
                    seen.say(holder[key])
        _read_calls(message, seen)
    return altered


def _read_calls(message: Any, seen: Seen) -> None:
    """What a model says to tools is output like any other."""
    if type(message) is not dict:
        return
    calls = message.get("tool_calls")
    for call in (*(calls if type(calls) is list else ()), {"function": message.get("function_call")}):
        if type(call) is dict:
            for called in (call.get("function"), call.get("custom")):
                told = called if type(called) is dict else {}
                for key in ("name", "arguments", "input"):
                    if type(told.get(key)) is str:
                        seen.say(told[key])


_SAID_BY: Final = {
    "user": Provenance.USER,
    "tool": Provenance.TOOL_RESULT,
    "function": Provenance.TOOL_RESULT,
}


def _texts_of(content: Any) -> Iterator[str]:
    """The words of a message's content (OpenAI API reference, "messages")."""
    if type(content) is str:
        yield content
    elif type(content) is list:
        for part in content:
            if type(part) is dict and type(part.get("text")) is str:
                yield part["text"]


class Chat(_Streaming):
    """POST /v1/chat/completions."""

    path = "/v1/chat/completions"
    versions = Versions(CHAT)
    cap_field = "max_completion_tokens"
    cap_spellings = frozenset({"max_tokens"})  # deprecated, and the only one that older servers know

    def prompts(self, body: dict[str, Any]) -> int:
        """One conversation."""
        del body
        return 1

    def open(self, body: dict[str, Any]) -> Opened:
        """Check roles, contents and tools as far as the guards need to know them."""
        check_spelling(body, _READ)
        model = require_str(body, "model", _MODEL_CHARS)
        messages = body.get("messages")
        if type(messages) is not list or not messages:
            raise invalid("messages", "a non-empty list")
        for index, message in enumerate(messages):
            _check_message(f"messages[{index}]", message)
        modalities = body.get("modalities")
        if modalities is not None and modalities != ["text"]:
            raise invalid("modalities", '["text"]: spoken answers cannot be guarded yet')
        stream = require_bool(body, "stream")
        return Opened(model, stream, _wants_usage(body) if stream else True)

    def sealed(self, tree: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Files of text: what stands in base64 cannot be changed without spoiling the file."""
        return ({"type": "file", "text": text} for text in files.texts(tree))

    def positions(self, body: dict[str, Any]) -> Iterator[tuple[Provenance, str]]:
        """Words of users, tools and files in the whole conversation: a history that a client sends may be made up."""
        for text in files.texts(body):
            yield Provenance.DOCUMENT, text
        for message in body["messages"]:
            said_by = _SAID_BY.get(message["role"])
            if said_by is not None:
                for text in _texts_of(message.get("content")):
                    yield said_by, text
        for tool in body.get("tools") or ():
            function = tool.get("function") if type(tool) is dict else None
            if type(function) is dict and type(function.get("description")) is str:
                yield Provenance.TOOL_DESCRIPTION, function["description"]


def _check_message(where: str, message: Any) -> None:
    if type(message) is not dict:
        raise invalid(where, "an object")
    role = message.get("role")
    if type(role) is not str or role not in _ROLES:
        raise invalid(f"{where}.role", f"one of {', '.join(sorted(_ROLES))}")
    if message.get("audio") is not None:
        raise invalid(f"{where}.audio", "left out: sound that the provider keeps is not heard here")
    content = message.get("content")
    if content is None or type(content) is str:
        return
    if type(content) is not list:
        raise invalid(f"{where}.content", "a string or a list of parts")
    for index, part in enumerate(content):
        kind = part.get("type") if type(part) is dict else None
        if type(kind) is not str or kind not in _PARTS:
            raise invalid(f"{where}.content[{index}].type", f"one of {', '.join(sorted(_PARTS))}")
        for inside, holder in (("", part), ("file.", part.get("file")), ("image_url.", part.get("image_url"))):
            if type(holder) is not dict:
                continue
            check_spelling(holder, _FILE_IDS)
            if holder.get("file_id") is not None:
                place = f"{where}.content[{index}].{inside}file_id"
                raise invalid(place, "left out: files that the provider keeps are not seen here")


class Completions(_Streaming):
    """POST /v1/completions (legacy)."""

    path = "/v1/completions"
    chats = False
    versions = Versions(COMPLETIONS)
    cap_field = "max_tokens"
    cap_spellings: frozenset[str] = frozenset()

    def prompts(self, body: dict[str, Any]) -> int:
        """Each prompt of a list is continued."""
        prompt = body["prompt"]
        return 1 if type(prompt) is str else len(prompt)

    def open(self, body: dict[str, Any]) -> Opened:
        """Prompts must be text: token arrays cannot be read by any guard."""
        check_spelling(body, _READ)
        model = require_str(body, "model", _MODEL_CHARS)
        _check_texts(body, "prompt")
        stream = require_bool(body, "stream")
        return Opened(model, stream, _wants_usage(body) if stream else True)

    def positions(self, body: dict[str, Any]) -> Iterator[tuple[Provenance, str]]:
        """Every prompt."""
        prompt = body["prompt"]
        for text in [prompt] if type(prompt) is str else prompt:
            yield Provenance.USER, text


class Embeddings(_OpenAI):
    """POST /v1/embeddings."""

    path = "/v1/embeddings"
    versions = Versions(EMBEDDINGS)
    cap_field = ""
    cap_spellings: frozenset[str] = frozenset()

    def prompts(self, body: dict[str, Any]) -> int:
        """None: nothing is continued."""
        del body
        return 0

    def open(self, body: dict[str, Any]) -> Opened:
        """Inputs must be text: token arrays cannot be read by any guard."""
        check_spelling(body, _READ)
        model = require_str(body, "model", _MODEL_CHARS)
        _check_texts(body, "input")
        if require_bool(body, "stream"):
            raise invalid("stream", "false: embeddings are not streamed")
        return Opened(model)

    def positions(self, body: dict[str, Any]) -> Iterator[tuple[Provenance, str]]:
        """None: what is embedded is read by no model that could obey it."""
        del body
        return iter(())

    def as_chat(self, body: dict[str, Any]) -> dict[str, Any]:
        """As it is: neither messages nor tools."""
        return body

    def splice_usage(self, raw: bytes, body: dict[str, Any]) -> bytes | None:
        """Nothing to put in: embeddings always report usage."""
        del body
        return raw

    def force_usage(self, body: dict[str, Any]) -> None:
        """Nothing to force."""

    def stream(self, guard: Guard, tally: Tally, seen: Seen, *, show_usage: bool) -> StreamGuard:
        """Embeddings are not streamed; an event stream is guarded like any other."""
        return ChoiceStream(guard, tally, seen, show_usage=show_usage)

    def instead(self, text: str, shell: dict[str, Any], seen: Seen) -> dict[str, Any] | None:
        """Vectors say nothing."""
        del text, shell, seen
        return None

    def answer(self, tree: dict[str, Any], seen: Seen, unknown: Unknown) -> bool:
        """Usage only."""
        del unknown
        seen.read(tree.get("usage"))
        return False


def _check_texts(body: dict[str, Any], name: str) -> None:
    value = body.get(name)
    if type(value) is str:
        return
    if type(value) is not list or not value or not all(type(item) is str for item in value):
        raise invalid(name, "a string or a non-empty list of strings; token numbers cannot be inspected")


DOORS: Final[dict[str, Door]] = {door.path: door for door in (Chat(), Completions(), Embeddings(), Responses())}
