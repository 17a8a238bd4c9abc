"""Events of the Responses API as a provider writes them, and an exchange that asks for them."""

import json
from typing import Any

from openai import omit
from openai._models import construct_type_unchecked
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import ResponseStreamEvent

from extproc.core.events import RequestBody, ResponseChunk
from playbook import Play, answer_head, head

PATH = "/v1/responses"
USAGE = {
    "input_tokens": 9,
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens": 4,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 13,
}


def body(words: Any = "hello", **more: Any) -> bytes:
    return json.dumps({"model": "gpt-4o-mini", "input": words, **more}).encode()


def response(*output: dict, status: str = "completed", **more: Any) -> dict:
    """A response object."""
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_700_000_000,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "model": "m",
        "output": list(output),
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "metadata": {},
        "usage": USAGE if status == "completed" else None,
        **more,
    }


def part(text: str, kind: str = "output_text", **more: Any) -> dict:
    whole = "refusal" if kind == "refusal" else "text"
    extra = {"annotations": [], "logprobs": []} if kind == "output_text" else {}
    return {"type": kind, whole: text, **extra, **more}


def message(*parts: dict, id_: str = "msg_1", status: str = "completed", **more: Any) -> dict:
    return {"id": id_, "type": "message", "role": "assistant", "status": status, "content": list(parts), **more}


def call(arguments: str, id_: str = "fc_1", **more: Any) -> dict:
    own = {"call_id": "call_1", "name": "pay", "status": "completed"}
    return {"id": id_, "type": "function_call", "arguments": arguments, **own, **more}


def custom(words: str, id_: str = "ctc_1", **more: Any) -> dict:
    return {"id": id_, "type": "custom_tool_call", "input": words, "call_id": "call_1", "name": "sql", **more}


def reasoning(summary=(), content=None, id_: str = "rs_1", **more: Any) -> dict:
    item = {"id": id_, "type": "reasoning", "summary": [part(t, "summary_text") for t in summary], **more}
    return item if content is None else {**item, "content": [part(t, "reasoning_text") for t in content]}


class Script:
    """Numbers events from 0 and joins them to a stream."""

    def __init__(self) -> None:
        self.events: list[bytes] = []
        self.items: list[dict] = []

    def say(self, kind: str, **fields: Any) -> "Script":
        event = {"type": kind, "sequence_number": len(self.events), **fields}
        self.events.append(f"event: {kind}\ndata: {json.dumps(event)}\n\n".encode())
        return self

    def begin(self) -> "Script":
        started = response(status="in_progress")
        return self.say("response.created", response=started).say("response.in_progress", response=started)

    def end(self, kind: str = "completed", **more: Any) -> "Script":
        return self.say(f"response.{kind}", response=response(*self.items, status=kind, **more))

    def open(self, item: dict, index: int | None = None) -> int:
        """Announce an item without its texts; the last event will tell it whole."""
        index = len(self.items) if index is None else index
        empty = {k: ([] if k in {"content", "summary"} else "" if k in {"arguments", "input"} else v)
                 for k, v in item.items()}  # fmt: skip
        self.say("response.output_item.added", output_index=index, item=empty)
        self.items.append(item)
        return index

    def close(self, index: int) -> "Script":
        return self.say("response.output_item.done", output_index=index, item=self.items[index])

    def text(self, index: int, *pieces: str, at: int = 0, kind: str = "output_text") -> "Script":
        """A text of an item, from its first event to its last."""
        names = {
            "output_text": ("response.output_text", "response.content_part", "content_index", "text"),
            "refusal": ("response.refusal", "response.content_part", "content_index", "refusal"),
            "reasoning_text": ("response.reasoning_text", "response.content_part", "content_index", "text"),
            "summary_text": (
                "response.reasoning_summary_text", "response.reasoning_summary_part", "summary_index", "text",
            ),
            "arguments": ("response.function_call_arguments", "", "", "arguments"),
            "input": ("response.custom_tool_call_input", "", "", "input"),
        }  # fmt: skip
        events, parts, field, whole = names[kind]
        where = {"item_id": self.items[index].get("id", ""), "output_index": index} | ({field: at} if field else {})
        logprobs = {"logprobs": [{"token": "t", "logprob": 0.0}]} if kind == "output_text" else {}
        if parts:
            self.say(f"{parts}.added", **where, part=part("", kind))
        for piece in pieces:
            self.say(f"{events}.delta", **where, delta=piece, obfuscation="xyz", **logprobs)
        joined = "".join(pieces)
        self.say(f"{events}.done", **where, **{whole: joined}, **logprobs)
        if parts:
            self.say(f"{parts}.done", **where, part=part(joined, kind))
        return self

    def item(self, item: dict, *texts: tuple) -> "Script":
        """A whole item; each text is (kind, index, pieces)."""
        index = self.open(item)
        for kind, at, pieces in texts:
            self.text(index, *pieces, at=at, kind=kind)
        return self.close(index)

    @property
    def raw(self) -> bytes:
        return b"".join(self.events)


def streaming(held=None, **more: Any) -> Play:
    """An exchange whose answer's headers were just seen."""
    play = Play(held)
    play.give(head(PATH), RequestBody(body(stream=True, **more), end_of_stream=True))
    play.give(answer_head(kind="text/event-stream; charset=utf-8"))
    return play


def streamed(raw: bytes, held=None, cuts=()) -> Play:
    """An exchange whose answer was `raw`, cut at `cuts`."""
    play = streaming(held)
    for begin, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        play.give(ResponseChunk(raw[begin:end], end_of_stream=False))
    play.give(ResponseChunk(b"", end_of_stream=True))
    return play


def events(stream: bytes) -> list[dict]:
    """The events that a client reads, each named by its type."""
    told = []
    for block in stream.split(b"\n\n"):
        if block.startswith(b"event: "):
            name, data = block.split(b"\ndata: ")
            told.append(json.loads(data))
            if name.removeprefix(b"event: ").decode() != told[-1]["type"]:
                raise AssertionError(block)
    return told


def assembled(told: list[dict]) -> dict[tuple[int, str, int], str]:
    """Every text as a client puts it together from deltas: by item, kind and index."""
    texts: dict[tuple[int, str, int], str] = {}
    for event in told:
        if event["type"].endswith(".delta"):
            kind = event["type"].removeprefix("response.").removesuffix(".delta")
            place = (event["output_index"], kind, event.get("content_index", event.get("summary_index", 0)))
            texts[place] = texts.get(place, "") + event["delta"]
    return texts


def sequence(seen: list[dict]) -> dict[int, dict]:
    """Checks that events come in an order in which the API tells them, as strictly as its reference says."""
    assert [event["sequence_number"] for event in seen] == list(range(len(seen)))
    assert seen[0]["type"] == "response.created"
    items, parts, texts = {}, {}, {}
    for event in seen:
        kind, at = event["type"], event.get("output_index")
        place = (at, event.get("content_index"), event.get("summary_index"))
        if kind == "response.output_item.added":
            assert at not in items
            items[at] = "open"
        elif kind == "response.output_item.done":
            assert items[at] == "open"
            items[at] = event["item"]
        elif kind.endswith("part.added"):
            assert items[at] == "open"
            assert place not in parts
            parts[place] = "open"
        elif kind.endswith("part.done"):
            assert parts[place] == "open"
            whole = event["part"].get("text", event["part"].get("refusal"))
            assert whole == texts.get(place, "")
            parts[place] = event["part"]
        elif kind.endswith(".delta"):
            assert items[at] == "open"
            texts[place] = texts.get(place, "") + event["delta"]
        elif kind.endswith(".done"):
            assert texts.get(place, "") == event.get(
                "text", event.get("refusal", event.get("arguments", event.get("input")))
            )
    assert "open" not in [*items.values(), *parts.values()]
    return items


def of_the_sdk(seen: list[dict]) -> list[Any]:
    """The events as the official SDK's own assembly takes them, and what it makes of them."""
    state = ResponseStreamState(input_tools=omit, text_format=omit)
    fired = []
    for event in seen:
        fired += state.handle_event(construct_type_unchecked(value=event, type_=ResponseStreamEvent))
    return fired
