"""OpenAI event streams: every text of every choice passes its own hold-back. Serves chat and legacy completions.

Event shapes: OpenAI API reference, "chat.completion.chunk" and "text_completion". Fields that are not known here are
not passed on: text could travel in them past the guard, cut into pieces that no rule sees whole. An event always
leaves as its judged tree, written anew: its own bytes may hold duplicate keys, comments, names and ids of events.
"""

from typing import Any, Final

import orjson

from extproc.core import sse
from extproc.core.texts import lay
from extproc.core.unknown import Unknown
from extproc.core.windows import Channel, of_source, of_text
from extproc.guardrails.guard import Guard, Tally
from extproc.providers.door import TOLD_ERROR, Seen, break_off
from gateway.errors import Dialect, GatewayError, Kind, body_of

DONE: Final = b"data: [DONE]\n\n"
_KEEP_ALIVE: Final = b": keep-alive\n\n"

_EVENT_KEYS: Final = frozenset(
    {"id", "object", "created", "model", "system_fingerprint", "service_tier", "choices", "usage"},
)
_CHOICE_KEYS: Final = frozenset({"index", "delta", "text", "finish_reason", "logprobs"})
_DELTA_KEYS: Final = frozenset(
    {"role", "content", "refusal", "reasoning_content", "reasoning", "tool_calls", "function_call"},
)
_TEXT_KEYS: Final = ("content", "refusal", "reasoning_content", "reasoning")
_TOOL_KEYS: Final = frozenset({"index", "id", "type", "function"})
_FUNCTION_KEYS: Final = frozenset({"name", "arguments"})
#: Strings that come whole and not in pieces.
_EVENT_LABELS: Final = ("id", "object", "created", "model", "system_fingerprint", "service_tier")
#: Labels that were judged clean: a few in each event of a stream, the same ones every time.
_CLEAN_LABELS: Final = 256
#: `n` is at most 128 in the API; a stream that opens more channels than this is hostile.
_MAX_CHANNELS: Final = 1024

#: What an event needs where the provider named nothing before its answer was replaced.
_NAMELESS: Final = {"id": "replaced", "object": "chat.completion.chunk", "created": 0, "model": ""}

_ChannelKey = tuple[int, str, int]


def malformed(what: str) -> GatewayError:
    """The provider sent something that cannot be guarded."""
    return GatewayError(
        Kind.BACKEND_ANSWER_INVALID,
        "The model's answer could not be understood and was withheld.",
        cause=what,
    )


class ChoiceStream:
    """The guard of one stream of choices."""

    def __init__(self, guard: Guard, tally: Tally, seen: Seen, *, show_usage: bool) -> None:
        self.blocked: str | None = None
        self._guard = guard
        self._tally = tally
        self._seen = seen
        self._show_usage = show_usage
        self._channels: dict[int, dict[_ChannelKey, Channel]] = {}  # by choice: finishing one must not visit all
        self._open_channels = 0
        self._ended: set[int] = set()  # choices whose held text went out with their finish reason
        self._spoken: set[int] = set()  # choices of which an event left
        self._calls: dict[_ChannelKey, tuple[object, str]] = {}  # id and name of the call that a channel speaks of
        self._clean: set[str] = set()
        self._shell: dict[str, Any] = {}  # identity fields of the last event, for events of our own
        self.over = False
        self._done = False  # `[DONE]` came
        self._unknown = Unknown(guard, tally)

    def feed(self, frames: list[sse.Frame]) -> bytes:
        """Guard whole events; see `StreamGuard.feed`."""
        out: list[bytes] = []
        for frame in frames:
            if self._done or self.blocked is not None:
                break
            out.append(self._event(frame))
        return b"".join(out)

    def finish(self) -> bytes:
        """Release what is held. Idempotent."""
        held = self._release()
        # Some servers leave `[DONE]` out; a choice without a finish reason broke off.
        ends = self.over or (self._spoken and self._spoken <= self._ended)
        return held if ends else break_off(self, self._seen, held)

    def _release(self) -> bytes:
        self._unknown.finish()
        self.blocked = self.blocked or self._unknown.blocked
        if self.blocked is not None:
            return b""
        choices: list[dict[str, Any]] = []
        for index in sorted(self._channels):
            choice: dict[str, Any] = {"index": index, "finish_reason": None}
            self._flush(index, choice)
            if "delta" in choice or "text" in choice:
                choices.append(choice)
        if self.blocked is not None or not choices:
            return b""
        return sse.encode(orjson.dumps({**self._shell, "choices": choices}))

    def cut(self, error: GatewayError) -> bytes:
        """The error object that the official SDKs raise as APIError, then the terminator."""
        return sse.encode(orjson.dumps(body_of(error, Dialect.OPENAI))) + DONE

    def instead(self, text: str) -> bytes | None:
        """Every choice that has not ended says it, and ends as by a content filter."""
        out = []
        for index in sorted((set(self._channels) | self._spoken or {0}) - self._ended):
            if self._shell.get("object") == "text_completion":
                said: dict[str, Any] = {"text": text}
                end: dict[str, Any] = {"text": ""}
            else:
                role = {} if index in self._spoken else {"role": "assistant"}
                said, end = {"delta": {**role, "content": text}}, {"delta": {}}
            for choice in ({**said, "finish_reason": None}, {**end, "finish_reason": "content_filter"}):
                event = {**_NAMELESS, **self._shell, "choices": [{"index": index, **choice}]}
                out.append(sse.encode(orjson.dumps(event)))
        return b"".join(out) + DONE

    def _event(self, frame: sse.Frame) -> bytes:
        data = frame.data
        if data is None:
            # A comment's words would pass unseen; its purpose does not need them. A blank line has none.
            return _KEEP_ALIVE if frame.raw.strip() else b""
        if data.strip() == b"[DONE]":
            self._done = self.over = True
            tail = self.finish()
            return tail if self.blocked is not None else tail + DONE
        if self.over:
            return b""  # behind an error: clients have left, and nothing here would put its pieces together
        try:
            tree = orjson.loads(data)
        except orjson.JSONDecodeError:
            raise malformed("event is not JSON") from None
        if type(tree) is not dict:
            raise malformed("event is not an object")
        if tree.get("error") is not None:  # also beside choices (OpenRouter): the official SDKs look for it first
            self._seen.read(tree.get("usage"))
            return self._error_event({"error": tree["error"]})
        if "choices" not in tree:
            return self._unknown_event(tree)
        changed = self._identity(tree)
        usage = tree.get("usage")
        if usage is not None:
            self._seen.read(usage)
            changed |= self._usage(tree)
        if not self._show_usage and "usage" in tree:
            del tree["usage"]
            changed = True
            if not tree.get("choices"):
                return b""  # the extra event that only we asked for
        choices = tree.get("choices")
        if type(choices) is not list:
            raise malformed("choices is not a list")
        for choice in choices:
            if self.blocked is not None:
                break
            if type(choice) is not dict:
                raise malformed("a choice is not an object")
            changed |= self._choice(choice)
        if self.blocked is not None:
            return b""
        if changed and choices and not any(map(_speaks, choices)) and usage is None:
            return b""  # everything that it said is held back
        self._spoken.update([choice.get("index", 0) for choice in choices])
        if len(self._spoken) > _MAX_CHANNELS:
            raise malformed("too many choices")
        return sse.encode(orjson.dumps(tree))

    def _identity(self, tree: dict[str, Any]) -> bool:
        unknown = tree.keys() - _EVENT_KEYS
        for key in unknown:
            del tree[key]
        changed = self._labels(tree, *_EVENT_LABELS) or bool(unknown)
        if not self._shell:
            self._shell = {k: tree[k] for k in ("id", "object", "created", "model") if k in tree}
        return changed

    def _labels(self, holder: dict[str, Any], *keys: str) -> bool:
        """Guard the short strings that a provider tells whole: ids, names, reasons."""
        changed = False
        for key in keys:
            value = holder.get(key)
            if type(value) is not str:
                if type(value) is dict or type(value) is list:
                    raise malformed(f"{key} is not a string")
                continue
            if value in self._clean:
                continue
            applied = self._guard.apply(value, self._tally)
            if applied.blocked is not None:
                self.blocked = applied.blocked
            if applied.text == value:
                if len(self._clean) >= _CLEAN_LABELS:
                    self._clean.clear()
                self._clean.add(value)
                continue
            holder[key] = applied.text
            changed = True
        return changed

    def _usage(self, tree: dict[str, Any]) -> bool:
        """Guard the words of a usage object, of which there should be none."""
        if type(tree["usage"]) is not dict:
            raise malformed("usage is not an object")
        laid = lay(tree["usage"], self._guard, self._tally)
        if laid.blocked is not None:
            self.blocked = laid.blocked
        return laid.changed

    def _error_event(self, tree: dict[str, Any]) -> bytes:
        """The official SDKs raise, and leave: what is held comes before it, and nothing behind it."""
        self._seen.failed = self._seen.failed or TOLD_ERROR
        self.over = True
        held = self._release()
        laid = lay(tree, self._guard, self._tally)
        self.blocked = self.blocked or laid.blocked
        return b"" if self.blocked is not None else held + sse.encode(orjson.dumps(tree))

    def _unknown_event(self, tree: dict[str, Any]) -> bytes:
        """An event that is no chunk of choices."""
        self._seen.read(tree.get("usage"))
        kind = tree.get("type", tree.get("object"))
        if self._unknown.meet("an event", kind):
            self._unknown.event(str(kind), tree)
        self.blocked = self._unknown.blocked
        return b"" if self.blocked is not None else sse.encode(orjson.dumps(tree))

    def _choice(self, choice: dict[str, Any]) -> bool:
        index = choice.get("index", 0)
        if type(index) is not int:
            raise malformed("a choice's index is not an integer")
        changed = False
        for key in choice.keys() - _CHOICE_KEYS:
            del choice[key]
            changed = True
        if choice.get("logprobs") is not None:
            choice["logprobs"] = None  # tokens would spell out what the guard removes
            changed = True
        text = choice.get("text")
        if type(text) is str:
            choice["text"] = self._push((index, "text", 0), text)
            changed |= choice["text"] != text
        elif text is not None:
            raise malformed("text is not a string")
        delta = choice.get("delta")
        if delta is not None:
            if type(delta) is not dict:
                raise malformed("a delta is not an object")
            changed |= self._delta(index, delta)
        changed |= self._labels(choice, "finish_reason")
        # Some providers put "" into every event, which ends nothing: what is held would leave in pieces.
        if choice.get("finish_reason") and self.blocked is None:
            changed |= self._flush(index, choice)
            if len(self._ended) >= _MAX_CHANNELS:
                raise malformed("too many choices")
            self._ended.add(index)
        return changed

    def _delta(self, index: int, delta: dict[str, Any]) -> bool:
        changed = False
        for key in delta.keys() - _DELTA_KEYS:
            del delta[key]
            changed = True
        changed |= self._labels(delta, "role")
        for key in _TEXT_KEYS:
            text = delta.get(key)
            if type(text) is str:
                if text:
                    delta[key] = self._push((index, key, 0), text)
                    changed |= delta[key] != text
            elif text is not None:
                raise malformed(f"{key} is not a string")
        call = delta.get("function_call")
        if call is not None:
            changed |= self._function((index, "function_call", 0), call, None)
        tools = delta.get("tool_calls")
        if tools is not None:
            if type(tools) is not list:
                raise malformed("tool_calls is not a list")
            for tool in tools:
                if type(tool) is not dict or type(tool.get("index", 0)) is not int:
                    raise malformed("a tool call is not an indexed object")
                for key in tool.keys() - _TOOL_KEYS:
                    del tool[key]
                    changed = True
                changed |= self._labels(tool, "id", "type")
                if tool.get("function") is not None:
                    changed |= self._function((index, "tool", tool.get("index", 0)), tool["function"], tool.get("id"))
        return changed

    def _function(self, key: _ChannelKey, function: Any, call_id: object) -> bool:
        if type(function) is not dict:
            raise malformed("a function is not an object")
        changed = False
        for unknown in function.keys() - _FUNCTION_KEYS:
            del function[unknown]
            changed = True
        changed |= self._name(key, function, call_id)
        arguments = function.get("arguments")
        if arguments is None or arguments == "":
            return changed
        if type(arguments) is not str:
            raise malformed("arguments is not a string")
        function["arguments"] = self._push(key, arguments)
        return changed or bool(function["arguments"] != arguments)

    def _name(self, key: _ChannelKey, function: dict[str, Any], call_id: object) -> bool:
        """Guard a function's name, which the model wrote. Clients join its pieces, so it must come as one."""
        name = function.get("name")
        if name is None or name == "":
            return False
        if type(name) is not str:
            raise malformed("a function's name is not a string")
        known = self._calls.get(key)
        if known is None and len(self._calls) >= _MAX_CHANNELS:
            raise malformed("too many channels")
        # Some providers repeat the name, and some number every call 0 and tell calls apart by id alone.
        if known is not None and known[1] != name and (not call_id or call_id == known[0]):
            raise malformed("a function's name comes in pieces")
        self._calls[key] = (call_id or (known[0] if known is not None else None), name)
        channel = self._channels.get(key[0], {}).get(key)
        if channel is not None:
            channel.retool(name)
        return self._labels(function, "name")

    def _push(self, key: _ChannelKey, text: str) -> str:
        if text and key[0] in self._ended:  # it could complete what was released as the end
            raise malformed("text behind a finish reason")
        of_choice = self._channels.get(key[0])
        channel = of_choice.get(key) if of_choice is not None else None
        if channel is None:
            channel = self._open(key)
        self._seen.say(text)
        released = channel.push(text)
        if channel.blocked is not None:
            self.blocked = channel.blocked
        return released

    def _open(self, key: _ChannelKey) -> Channel:
        if self._open_channels >= _MAX_CHANNELS:
            raise malformed("too many channels")
        self._open_channels += 1
        if key[1] in {"tool", "function_call"}:
            tool = self._calls[key][1] if key in self._calls else ""
            channel = of_source(self._guard, self._tally, tool=tool)
        else:
            channel = of_text(self._guard, self._tally)
        self._channels.setdefault(key[0], {})[key] = channel
        return channel

    def _flush(self, index: int, choice: dict[str, Any]) -> bool:
        """Append what the channels of one choice still hold to `choice`; the channels start anew."""
        changed = False
        channels = self._channels.pop(index, {})
        self._open_channels -= len(channels)
        for key, channel in channels.items():
            tail = channel.flush()
            if channel.blocked is not None:
                self.blocked = channel.blocked
                return changed
            if tail:
                _append(choice, key, tail)
                changed = True
        return changed


def _append(choice: dict[str, Any], key: _ChannelKey, tail: str) -> None:
    _, kind, position = key
    if kind == "text":
        choice["text"] = choice.get("text", "") + tail
        return
    delta = choice.setdefault("delta", {})
    if kind == "tool":
        tools = delta.get("tool_calls") or []
        delta["tool_calls"] = tools
        tool: dict[str, Any] | None = next((each for each in tools if each.get("index", 0) == position), None)
        if tool is None:
            tool = {"index": position}
            tools.append(tool)
        function = tool.setdefault("function", {})
        function["arguments"] = (function.get("arguments") or "") + tail
    elif kind == "function_call":
        function = delta.get("function_call") or {}
        delta["function_call"] = function
        function["arguments"] = (function.get("arguments") or "") + tail
    else:
        delta[kind] = (delta.get(kind) or "") + tail


def _speaks(choice: dict[str, Any]) -> bool:
    """Whether an event would tell the client anything about this choice."""
    if choice.get("finish_reason") or choice.get("text"):
        return True
    delta = choice.get("delta")
    if not delta:
        return False
    return any(value not in ("", None) for key, value in delta.items() if key != "tool_calls") or any(
        tool.get("id") or (tool.get("function") or {}).get("name") or (tool.get("function") or {}).get("arguments")
        for tool in delta.get("tool_calls") or ()
    )
