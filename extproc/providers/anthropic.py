"""The Anthropic front door: POST /v1/messages, with the same dialect behind it (API version 2023-06-01)."""

from collections.abc import Iterator
from typing import Any, Final

from extproc.core.unknown import Unknown
from extproc.detectors.injection.provenance import Provenance
from extproc.guardrails.guard import Guard, Tally
from extproc.providers.anthropic_blocks import ASKED, SEALED, TOLD, blocks
from extproc.providers.anthropic_schema import HEADER, MESSAGES
from extproc.providers.anthropic_stream import MessageStream, Meter, malformed, output_of, seam
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
from extproc.providers.schema import Versions
from gateway.errors import Dialect

#: Longer than any model name in use, short enough for a metadata value and a log line.
_MODEL_CHARS: Final = 256
_ROLES: Final = frozenset({"user", "assistant", "system"})
#: Fields that routing or a check relies on.
_READ: Final = frozenset({"model", "messages", "system", "tools", "stream"})


class Messages(Fixed):
    """POST /v1/messages."""

    path = "/v1/messages"
    dialect = Dialect.ANTHROPIC
    versions = Versions(MESSAGES, HEADER)
    cap_field = "max_tokens"
    cap_spellings: frozenset[str] = frozenset()

    def prompts(self, body: dict[str, Any]) -> int:
        """One conversation."""
        del body
        return 1

    def open(self, body: dict[str, Any]) -> Opened:
        """Check roles and blocks as far as the guards need to know them."""
        check_spelling(body, _READ)
        model = require_str(body, "model", _MODEL_CHARS)
        messages = body.get("messages")
        if type(messages) is not list or not messages:
            raise invalid("messages", "a non-empty list")
        for index, message in enumerate(messages):
            _check_message(f"messages[{index}]", message)
        tools = body.get("tools")
        if tools is not None and type(tools) is not list:
            raise invalid("tools", "a list")
        return Opened(model, require_bool(body, "stream"))

    def positions(self, body: dict[str, Any]) -> Iterator[tuple[Provenance, str]]:
        """Users' words, tools' words and documents of the whole conversation. `system` is the tenant's own."""
        for message in body["messages"]:
            if message["role"] == "user":
                yield from _said(message["content"])
        for tool in body.get("tools") or ():
            if type(tool) is dict and type(tool.get("description")) is str:
                yield Provenance.TOOL_DESCRIPTION, tool["description"]

    def as_chat(self, body: dict[str, Any]) -> dict[str, Any]:
        """Blocks inside others, such as pictures in tool results, stand beside them."""
        system = body.get("system")
        messages = [] if system is None else [{"role": "system", "content": system}]
        for message in body["messages"]:
            content = message["content"]
            parts = content if type(content) is str else [_part(block) for _, block in blocks(content)]
            messages.append({"role": message["role"], "content": parts})
        tools = [{"type": "function", "function": {"name": tool.get("name")}} for tool in body.get("tools") or ()]
        return {"messages": messages, "tools": tools}

    def sealed(self, tree: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Blocks of thinking, in a request's history or in an answer."""
        messages = tree.get("messages")
        for message in (tree, *(messages if type(messages) is list else ())):
            content = message.get("content") if type(message) is dict else None
            for _, block in blocks(content):
                if block.get("type") in SEALED:
                    yield block

    def instead(self, text: str, shell: dict[str, Any], seen: Seen) -> dict[str, Any] | None:
        """A message that ends as a refusal."""
        return {
            "id": shell.get("id", "replaced"),
            "type": "message",
            "role": "assistant",
            "model": shell.get("model", ""),
            "content": [{"type": "text", "text": text}],
            "stop_reason": "refusal",
            "stop_sequence": None,
            "usage": {"input_tokens": seen.input_tokens or 0, "output_tokens": seen.output_tokens or 0},
        }

    def splice_usage(self, raw: bytes, body: dict[str, Any]) -> bytes | None:
        """Nothing to put in: messages always report usage."""
        del body
        return raw

    def force_usage(self, body: dict[str, Any]) -> None:
        """Nothing to force."""

    def stream(self, guard: Guard, tally: Tally, seen: Seen, *, show_usage: bool) -> StreamGuard:
        """One hold-back per content block."""
        del show_usage  # there is no asking for it in this dialect, and no hiding
        return MessageStream(guard, tally, seen)

    def answer(self, tree: dict[str, Any], seen: Seen, unknown: Unknown) -> bool:
        """Usage and text length."""
        usage = tree.get("usage")
        Meter(seen).read(usage)
        seen.read(output_of(usage))
        content = tree.get("content")
        if content is None:  # an error's body
            return False
        if type(content) is not list:
            raise malformed("content is not a list")
        before, altered = "", False
        for block in content:
            kind = block.get("type") if type(block) is dict else None
            if type(kind) is not str or kind not in TOLD:
                if unknown.meet("a block", kind):
                    unknown.look(block)
                continue
            text = block.get("thinking" if kind == "thinking" else "text")
            if type(text) is not str:
                continue
            seen.say(text)
            if kind == "text" and text:
                between = seam(before, text)
                block["text"] = before = between + text
                altered = altered or bool(between)
        return altered


def _check_message(where: str, message: Any) -> None:
    if type(message) is not dict:
        raise invalid(where, "an object")
    role = message.get("role")
    if type(role) is not str or role not in _ROLES:
        raise invalid(f"{where}.role", f"one of {', '.join(sorted(_ROLES))}")
    content = message.get("content")
    if type(content) is str:
        return
    if type(content) is not list:
        raise invalid(f"{where}.content", "a string or a list of blocks")
    for index, block in enumerate(content):
        kind = block.get("type") if type(block) is dict else None
        if type(kind) is not str or kind not in ASKED:
            raise invalid(f"{where}.content[{index}].type", f"one of {', '.join(sorted(ASKED))}")


def _part(block: dict[str, Any]) -> dict[str, Any]:
    kind = block.get("type")
    if kind == "image":
        source = block.get("source")
        data, url = (source.get("data"), source.get("url")) if type(source) is dict else (None, None)
        there = f"data:;base64,{data}" if type(data) is str else url  # a URL may itself hold the picture
        return {"type": "image_url", "image_url": {"url": there}}
    if kind == "document":
        return {"type": "file"}
    return {"type": "text", "text": block.get("text", "")}


_DOCUMENTS: Final = frozenset({"document", "search_result"})


def _said(content: Any) -> Iterator[tuple[Provenance, str]]:
    """The words of a user's message with who said them: the user, a tool, or a document."""
    if type(content) is str:
        yield Provenance.USER, content
        return
    for outer, block in blocks(content):
        kind = outer.get("type")
        said_by = Provenance.USER
        if kind == "tool_result":
            said_by = Provenance.TOOL_RESULT
            if type(block.get("content")) is str:
                yield said_by, block["content"]
        elif kind in _DOCUMENTS:
            said_by = Provenance.DOCUMENT
        for name in ("text", "title", "context", "source"):
            if type(block.get(name)) is str:
                yield said_by, block[name]
        source = block.get("source")
        if type(source) is dict:
            told = source.get("data") if source.get("type") == "text" else source.get("content")
            if type(told) is str:
                yield said_by, told


DOORS: Final[dict[str, Door]] = {door.path: door for door in (Messages(),)}
