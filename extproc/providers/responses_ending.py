"""How Responses answers end before their provider ends them: in the tenant's words, or where full. Judges nothing.

What clients were told to begin ends as it stands: its `done` events repeat what was released, and the last event
repeats them. Arguments of a tool get no `done` event, since clients call the tool on it; their item ends as incomplete.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeVar

from extproc.providers.responses_items import CALLS, ITEMS, KINDS, Announced, Item, Telling

_ID: Final = "msg_replaced"
_Event = dict[str, Any]
_T = TypeVar("_T", bound=Telling)


def incomplete(text: str, shell: Mapping[str, Any]) -> dict[str, Any]:
    """A whole response that says `text`."""
    return _response(shell, "incomplete", [_message([part("output_text", text)], "completed")])


def replaced(items: Mapping[int, Item], shell: Mapping[str, Any] | None, text: str) -> Iterator[_Event]:
    """The events that end a stream with `text`. `shell`: what named it, or None where clients saw no beginning."""
    if shell is None:
        shell = {}
        yield {"type": "response.created", "response": _response(shell, "in_progress", [])}
    output: list[dict[str, Any]] = []
    heard = {at: item for at, item in items.items() if item.begun is not None or item.over}
    yield from stopped(heard, output)
    at = max(heard, default=-1) + 1
    where = {"item_id": _ID, "output_index": at, "content_index": 0}
    yield {"type": "response.output_item.added", "output_index": at, "item": _message([], "in_progress")}
    yield {"type": "response.content_part.added", **where, "part": part("output_text", "")}
    yield {"type": "response.output_text.delta", **where, "delta": text, "logprobs": []}
    yield {"type": "response.output_text.done", **where, "text": text, "logprobs": []}
    yield {"type": "response.content_part.done", **where, "part": part("output_text", text)}
    output.append(_message([part("output_text", text)], "completed"))
    yield {"type": "response.output_item.done", "output_index": at, "item": output[-1]}
    yield {"type": "response.incomplete", "response": _response(shell, "incomplete", output)}


def stopped(heard: Mapping[int, Announced[_T]], output: list[_Event]) -> Iterator[_Event]:
    """The events that end what clients heard of, each item as it stands; it goes to `output`."""
    for at, item in sorted(heard.items()):
        told = item.final or _cut(item)
        if not item.over:
            yield from _texts(at, item)
            yield {"type": "response.output_item.done", "output_index": at, "item": told}
        output.append(told)


def full(begun: Mapping[str, Any], output: list[_Event]) -> _Event:
    """The response that `begun` said would come, where it is as long as it may be."""
    named = begun or _response({}, "in_progress", [])
    ended = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": output}
    return {**named, **ended}


def part(kind: str, text: str) -> dict[str, Any]:
    """A part that says `text`."""
    extra: dict[str, Any] = {"annotations": [], "logprobs": []} if kind == "output_text" else {}
    return {"type": kind, KINDS[kind].whole: text, **extra}


def _texts(at: int, item: Announced[_T]) -> Iterator[_Event]:
    """What ends the texts of an item."""
    for (name, index), text in item.texts.items():
        kind, whole = KINDS[name], "".join(text.released)
        where: _Event = {"item_id": item.id, "output_index": at} | ({kind.index: index} if kind.index else {})
        logprobs: _Event = {"logprobs": []} if name == "output_text" else {}
        holder = f"response.{'reasoning_summary_part' if kind.index == 'summary_index' else 'content_part'}"
        if not _is_told(text, whole):
            continue
        if kind.index and not text.opened:
            yield {"type": f"{holder}.added", **where, "part": part(name, "")}
        if whole[text.sent :]:
            yield {"type": f"{kind.events}.delta", **where, "delta": whole[text.sent :], **logprobs}
        if not kind.index:
            continue
        if not text.told:
            yield {"type": f"{kind.events}.done", **where, kind.whole: whole, **logprobs}
        if not text.parted:
            yield {"type": f"{holder}.done", **where, "part": part(name, whole)}


def _cut(item: Announced[_T]) -> dict[str, Any]:
    """An item as far as clients heard of it."""
    told: dict[str, Any] = dict(item.begun or {})
    if item.kind not in ITEMS:
        return told
    told["status"] = "incomplete"
    for holder in ITEMS[item.kind]:
        told[holder] = []
    for (name, _), text in sorted(item.texts.items(), key=lambda each: each[0][1]):
        whole = "".join(text.released)
        if not KINDS[name].index:
            told[name] = whole
        elif _is_told(text, whole):
            told["summary" if KINDS[name].index == "summary_index" else "content"].append(part(name, whole))
    if item.kind in CALLS:
        told.setdefault(CALLS[item.kind], "")
    return told


def _is_told(text: Telling, whole: str) -> bool:
    return text.opened or bool(whole)


def _message(parts: list[dict[str, Any]], status: str) -> dict[str, Any]:
    return {"id": _ID, "type": "message", "role": "assistant", "status": status, "content": parts}


def _response(shell: Mapping[str, Any], status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
    """Without usage, a response is complete to the SDKs."""
    return {
        "id": shell.get("id", "replaced"),
        "object": "response",
        "created_at": shell.get("created_at", 0),
        "status": status,
        "error": None,
        "incomplete_details": {"reason": "content_filter"} if status == "incomplete" else None,
        "instructions": None,
        "model": shell.get("model", ""),
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "metadata": {},
    }
