"""The OpenAI Responses front door (OpenAI API reference, "Responses", November 2026): same dialect in and out.

One rule decides what is refused here: what the model reads and says must pass the gateway. So a request may not point
at what the provider keeps, nor have the provider run a tool, whatever the schema's strictness.
"""

from collections.abc import Iterator
from typing import Any, Final

from extproc.core.unknown import Unknown
from extproc.detectors.injection.provenance import Provenance
from extproc.guardrails.guard import Guard, Tally
from extproc.providers import files
from extproc.providers.door import Fixed, Opened, Seen, StreamGuard, check_spelling, invalid, require_bool, require_str
from extproc.providers.openai_stream import malformed
from extproc.providers.responses_ending import incomplete
from extproc.providers.responses_items import ITEMS
from extproc.providers.responses_schema import RESPONSES
from extproc.providers.responses_stream import ResponseStream, seam
from extproc.providers.schema import Versions
from extproc.translate.responses_answer import OWN_REASONING
from gateway.errors import Dialect

_MODEL_CHARS: Final = 256  # as for chat completions
#: Point at what the provider keeps under the gateway's own account: nobody here saw it, and another tenant may have
#: put it there.
_KEPT: Final = ("previous_response_id", "conversation", "prompt", "context_management")
_READ: Final = frozenset(
    {"model", "input", "instructions", "tools", "tool_choice", "stream", "store", "background", *_KEPT},
)
_ROLES: Final = frozenset({"user", "assistant", "system", "developer"})
_CALLS: Final = frozenset({"function_call", "custom_tool_call"})
_RESULTS: Final = frozenset({"function_call_output", "custom_tool_call_output"})
_INPUT_ITEMS: Final = frozenset({"message", "reasoning", *_CALLS, *_RESULTS})
_TOOLS: Final = frozenset({"function", "custom"})
_CHOICES: Final = frozenset({*_TOOLS, "allowed_tools"})
#: Kinds of parts, and what chat completions calls them.
_PARTS: Final = {
    "input_text": "text",
    "output_text": "text",
    "refusal": "refusal",
    "input_image": "image_url",
    "input_file": "file",
}


class Responses(Fixed):
    """POST /v1/responses."""

    path = "/v1/responses"
    dialect = Dialect.OPENAI
    versions = Versions(RESPONSES)
    cap_field = "max_output_tokens"
    cap_spellings: frozenset[str] = frozenset()

    def prompts(self, body: dict[str, Any]) -> int:
        """One conversation."""
        del body
        return 1

    def open(self, body: dict[str, Any]) -> Opened:
        """Check items, parts and tools; refuse what would pass the gateway by. Nothing is left at the provider."""
        check_spelling(body, _READ)
        model = require_str(body, "model", _MODEL_CHARS)
        for name in _KEPT:
            if body.get(name) is not None:
                raise invalid(name, "left out: what the provider keeps does not pass the gateway. Send the whole input")
        if require_bool(body, "background"):
            raise invalid("background", "false: an answer must come on the connection that asks for it")
        # OpenAI keeps a response for thirty days unless told not to, and tenants share the gateway's account.
        if require_bool(body, "store"):
            raise invalid("store", "false: nothing is kept at the provider")
        left_out = _leave_own(body)
        _check_input(body.get("input"))
        _check_tools(body)
        puts = (("store", False),) if body.get("store") is None else ()
        return Opened(model, require_bool(body, "stream"), puts=puts, left_out=left_out)

    def positions(self, body: dict[str, Any]) -> Iterator[tuple[Provenance, str]]:
        """Words of users, tools and files in the whole input. `instructions` are the tenant's own."""
        for text in files.texts(body):
            yield Provenance.DOCUMENT, text
        items = body["input"]
        if type(items) is str:
            yield Provenance.USER, items
            items = ()
        for item in items:
            if item.get("role") == "user":
                for text in _texts_of(item.get("content")):
                    yield Provenance.USER, text
            elif item.get("type") in _RESULTS:
                for text in _texts_of(item.get("output")):
                    yield Provenance.TOOL_RESULT, text
        for tool in body.get("tools") or ():
            if type(tool.get("description")) is str:
                yield Provenance.TOOL_DESCRIPTION, tool["description"]

    def as_chat(self, body: dict[str, Any]) -> dict[str, Any]:
        """`instructions` are a system message; calls are the assistant's, results the tool's."""
        messages: list[dict[str, Any]] = []
        if type(body.get("instructions")) is str:
            messages.append({"role": "system", "content": body["instructions"]})
        items = body["input"]
        for item in [{"role": "user", "content": items}] if type(items) is str else items:
            if "role" in item:
                messages.append({"role": item["role"], "content": _as_parts(item.get("content"))})
            elif item["type"] in _RESULTS:
                messages.append({"role": "tool", "content": _as_parts(item.get("output"))})
            else:
                messages.append({"role": "assistant", "content": None})
        tools = [
            {"type": "function", "function": described}
            for tool in body.get("tools") or ()
            # A tolerant tenant's server may read the form of chat completions from beside it.
            for described in (tool, *(tool[kind] for kind in sorted(_TOOLS) if kind in tool))
        ]
        return {"messages": messages, "tools": tools}

    def sealed(self, tree: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Files of text. Not reasoning: encrypted, it says nothing to anybody but the provider, beside its text."""
        return ({"type": "file", "text": text} for text in files.texts(tree))

    def splice_usage(self, raw: bytes, body: dict[str, Any]) -> bytes | None:
        """Nothing to put in: the last event always reports usage."""
        del body
        return raw

    def force_usage(self, body: dict[str, Any]) -> None:
        """Nothing to force."""

    def stream(self, guard: Guard, tally: Tally, seen: Seen, *, show_usage: bool) -> StreamGuard:
        """One hold-back per text of each item."""
        del show_usage
        return ResponseStream(guard, tally, seen)

    def instead(self, text: str, shell: dict[str, Any], seen: Seen) -> dict[str, Any] | None:
        """A response that a content filter left incomplete."""
        del seen
        return incomplete(text, shell)

    def answer(self, tree: dict[str, Any], seen: Seen, unknown: Unknown) -> bool:
        """Usage, text length, no log probabilities; no item that a stream could not have either."""
        seen.read(tree.get("usage"))
        output = tree.get("output")
        if output is None:
            return False
        if type(output) is not list:
            raise malformed("output is not a list")
        altered = False
        before = ""
        for item in output:
            kind = item.get("type") if type(item) is dict else None
            if type(kind) is not str or kind not in ITEMS:
                if unknown.meet("an item", kind):
                    unknown.look(item)
                continue
            for field in ("arguments", "input"):
                if type(item.get(field)) is str:
                    seen.say(item[field])
            for field in ("content", "summary"):
                altered |= _read_parts(item.get(field), ITEMS[kind].get(field, frozenset()), seen, unknown)
            for part in item.get("content") or ():
                text = part.get("text")
                if part["type"] == "output_text" and type(text) is str and text:
                    part["text"] = seam(before, text) + text
                    altered |= part["text"] != text
                    before = text
        return altered


def _read_parts(parts: Any, known: frozenset[str], seen: Seen, unknown: Unknown) -> bool:
    if parts is None:
        return False
    if type(parts) is not list:
        raise malformed("parts are not a list")
    altered = False
    for part in parts:
        kind = part.get("type") if type(part) is dict else None
        if type(kind) is not str or kind not in known:
            if unknown.meet("a part", kind):
                unknown.look(part)
            continue
        if part.get("logprobs"):
            part["logprobs"] = []  # tokens would spell out what the guard removes
            altered = True
        for field in ("text", "refusal"):
            if type(part.get(field)) is str:
                seen.say(part[field])
    return altered


def _texts_of(content: Any) -> Iterator[str]:
    if type(content) is str:
        yield content
    elif type(content) is list:
        for part in content:
            if type(part.get("text")) is str:
                yield part["text"]


def _as_parts(content: Any) -> Any:
    if type(content) is not list:
        return content
    return [
        {"type": _PARTS[part["type"]], "text": part.get("text"), "image_url": {"url": part.get("image_url")}}
        if part["type"] == "input_image"
        else {"type": _PARTS[part["type"]], "text": part.get("text")}
        for part in content
    ]


def _leave_own(body: dict[str, Any]) -> tuple[str, ...]:
    """Take out reasoning that a translation made: nobody takes it back, and OpenAI refuses ids that it never gave."""
    items = body.get("input")
    if type(items) is not list:
        return ()
    rest = [item for item in items if not _is_own(item)]
    if len(rest) == len(items):
        return ()
    body["input"] = rest
    return ("input[].reasoning",)


def _is_own(item: Any) -> bool:
    if type(item) is not dict or item.get("type") != "reasoning":
        return False
    name = item.get("id")
    return type(name) is str and name.startswith(OWN_REASONING)


def _check_input(items: Any) -> None:
    if type(items) is str and items:
        return
    if type(items) is not list or not items:
        raise invalid("input", "a non-empty string or list of items")
    for index, item in enumerate(items):
        where = f"input[{index}]"
        if type(item) is not dict:
            raise invalid(where, "an object")
        kind = item.get("type", "message" if "role" in item else "item_reference")
        if type(kind) is not str or kind not in _INPUT_ITEMS:
            raise invalid(f"{where}.type", f"one of {', '.join(sorted(_INPUT_ITEMS))}")
        if (kind == "message") != ("role" in item):
            raise invalid(where, "a message with a role, or an item without one")
        if kind == "message" and (type(item["role"]) is not str or item["role"] not in _ROLES):
            raise invalid(f"{where}.role", f"one of {', '.join(sorted(_ROLES))}")
        if kind == "message":
            _check_parts(f"{where}.content", item.get("content"))
        elif kind in _RESULTS:
            _check_parts(f"{where}.output", item.get("output"))


def _check_parts(where: str, content: Any) -> None:
    if type(content) is str:
        return
    if type(content) is not list:
        raise invalid(where, "a string or a list of parts")
    for index, part in enumerate(content):
        if type(part) is not dict or type(part.get("type")) is not str or part["type"] not in _PARTS:
            raise invalid(f"{where}[{index}].type", f"one of {', '.join(sorted(_PARTS))}")
        if part.get("file_id") is not None:
            raise invalid(f"{where}[{index}].file_id", "left out: files that the provider keeps are not seen here")


def _check_tools(body: dict[str, Any]) -> None:
    tools = body.get("tools")
    if tools is not None and type(tools) is not list:
        raise invalid("tools", "a list")
    for index, tool in enumerate(tools or ()):
        if type(tool) is not dict or type(tool.get("type")) is not str or tool["type"] not in _TOOLS:
            raise invalid(
                f"tools[{index}].type",
                "function or custom: what a tool of the provider's own reads and says does not pass the gateway",
            )
    choice = body.get("tool_choice")
    if type(choice) is dict and (type(choice.get("type")) is not str or choice["type"] not in _CHOICES):
        raise invalid("tool_choice.type", f"one of {', '.join(sorted(_CHOICES))}")
