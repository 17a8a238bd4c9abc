"""The answer to POST /v1/messages, whole or as events, as Anthropic's API writes it (version 2023-06-01). Pure."""

from typing import Any, Final

import orjson

from ostiary.demo import schema
from ostiary.demo.answer import RefusedError, Reply, cut, identity, listed, parse, say, text_of, words

#: `claude-demo-pii` says what `demo-pii` says, so that a policy can give each dialect names of its own.
_PREFIX: Final = "claude-"
_REASONS: Final = {"stop": "end_turn", "length": "max_tokens"}


def message(body: bytes, deltas: int) -> Reply:
    """One block: a call of a tool where the request has one and none was answered, else text."""
    request = parse(body)
    turns = request.get("messages")
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, dict) for turn in turns):
        raise RefusedError(400, "messages: Field required", param="messages")
    user = next((text_of(turn.get("content")) for turn in reversed(turns) if turn.get("role") == "user"), "")
    model = str(request.get("model", "demo"))
    text, finish = say({**request, "model": model.removeprefix(_PREFIX)}, user, body)
    tool = _tool(request, turns)
    block: dict[str, Any] = {"type": "text", "text": text}
    said = text
    if tool is not None:
        filled = schema.fill(tool.get("input_schema") or {"type": "object"}, text)
        said = orjson.dumps(filled).decode()
        block = {"type": "tool_use", "id": "toolu_demo_0", "name": str(tool.get("name", "tool")), "input": filled}
    prompt = sum(words(text_of(turn.get("content"))) for turn in turns) + words(text_of(request.get("system")))
    frame = {"id": identity("msg", body), "type": "message", "role": "assistant", "model": model}
    ending = {"stop_reason": "tool_use" if tool else _REASONS[finish], "stop_sequence": None}
    usage = {"input_tokens": prompt, "output_tokens": words(said)}
    if request.get("stream") is True:
        return Reply(200, _events(frame, block, cut(said, deltas), ending, usage), "text/event-stream")
    return Reply(200, (orjson.dumps({**frame, "content": [block], **ending, "usage": usage}),))


def _tool(request: dict[str, Any], turns: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The tool to call: the one that is demanded, else the first; none once a tool has answered."""
    chosen = request.get("tool_choice")
    kind = chosen.get("type") if isinstance(chosen, dict) else "auto"
    tools = [tool for tool in listed(request.get("tools"), "tools") if isinstance(tool, dict)]
    last = turns[-1].get("content")
    answered = isinstance(last, list) and any(
        isinstance(block, dict) and block.get("type") == "tool_result" for block in last
    )
    if not tools or answered or kind == "none":
        return None
    demanded = chosen.get("name") if isinstance(chosen, dict) else None
    return next((tool for tool in tools if tool.get("name") == demanded), tools[0])


def _events(
    frame: dict[str, Any], block: dict[str, Any], parts: list[str], ending: dict[str, Any], usage: dict[str, int]
) -> tuple[bytes, ...]:
    calls = block["type"] == "tool_use"
    started = {
        **frame,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**usage, "output_tokens": 1},
    }
    opening = {**block, "input": {}} if calls else {**block, "text": ""}
    kind, field = ("input_json_delta", "partial_json") if calls else ("text_delta", "text")
    trees: list[dict[str, Any]] = [
        {"type": "message_start", "message": started},
        {"type": "content_block_start", "index": 0, "content_block": opening},
        {"type": "ping"},
        *({"type": "content_block_delta", "index": 0, "delta": {"type": kind, field: part}} for part in parts),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": ending, "usage": {"output_tokens": usage["output_tokens"]}},
        {"type": "message_stop"},
    ]
    return tuple(b"event: %b\ndata: %b\n\n" % (tree["type"].encode(), orjson.dumps(tree)) for tree in trees)
