"""What translation costs: a chat request of 1 KB and of 10 KB, an answer, and a delta, for each pair of dialects.

The budget is 150 µs for each KB of JSON and 40 µs for each delta (issue 7). Timed is what `adapt` calls: bytes to bytes.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from extproc.translate import eventstream
from extproc.translate.attempt import Attempt
from extproc.translate.dialect import Origin, Target
from extproc.translate.dialects import DIALECTS, FRONTS
from gateway.sigv4 import Ask, aws_key, sign

RESULTS = Path(__file__).parent / "results" / "translate.json"
ORIGIN = Origin(model="m", request_id="r", now_s=1_790_000_000)
MAX_EVENT_BYTES = 1 << 20
DELTAS = 64  # of the usual length of an answer in the other benches
PAIRS = [("openai", "anthropic"), ("anthropic", "openai"), ("openai", "gemini"), ("anthropic", "gemini"),
         ("responses", "openai"), ("responses", "anthropic"), ("responses", "gemini"),
         ("openai", "bedrock"), ("anthropic", "bedrock")]  # fmt: skip


def conversation(size: int) -> dict[str, Any]:
    """A chat with a tool, a call and its result, filled up to about `size` bytes with turns of 200 characters."""
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}
    tool = {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
    body: dict[str, Any] = {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "How is the weather in Oslo?"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "snow, -3 degrees"},
            {"role": "assistant", "content": "It snows."},
        ],
        "tools": [{"type": "function", "function": tool}],
        "max_completion_tokens": 512,
        "stream": True,
    }
    words = "And what shall I wear on the way to the harbour? " * 4
    while len(orjson.dumps(body)) < size - len(words):
        role = "user" if len(body["messages"]) % 2 else "assistant"
        body["messages"].append({"role": role, "content": words[:200]})
    return body


def spoken(front: str, body: dict[str, Any]) -> bytes:
    """The conversation in the words of a front dialect."""
    if front == "openai":
        return orjson.dumps(body)
    if front == "responses":
        return orjson.dumps(as_response(body))
    return Attempt(FRONTS["openai"], DIALECTS[front], Target(model="m")).request(orjson.dumps(body)).body


def as_response(body: dict[str, Any]) -> dict[str, Any]:
    """The same conversation as the Responses API has it."""
    items: list[dict[str, Any]] = []
    for message in body["messages"]:
        items += [
            {"type": "function_call", "call_id": call["id"], **call["function"]}
            for call in message.get("tool_calls", ())
        ]
        if message["role"] == "tool":
            items.append(
                {"type": "function_call_output", "call_id": message["tool_call_id"], "output": message["content"]}
            )
        elif message["content"] is not None:
            kind = "output_text" if message["role"] == "assistant" else "input_text"
            part = {"type": kind, "text": message["content"]}
            items.append({"type": "message", "role": message["role"], "content": [part]})
    tools = [{"type": "function", **tool["function"]} for tool in body["tools"]]
    return {"model": "m", "input": items, "tools": tools, "max_output_tokens": 512, "stream": True}


def stream_of(back: str) -> list[bytes]:
    """A stream of `DELTAS` deltas as `back` sends it, one event a chunk."""
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    deltas = [{"content": f" word{at}"} for at in range(DELTAS)]
    events = [{**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    events.append({**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    raw = b"".join(b"data: " + orjson.dumps(event) + b"\n\n" for event in events) + b"data: [DONE]\n\n"
    if back == "bedrock":
        return [eventstream.event(kind, orjson.dumps({**tree, "p": "abcdefgh"})) for kind, tree in conversed()]
    if back != "openai":
        stream = Attempt(FRONTS[back], DIALECTS["openai"], Target(model="m")).stream(ORIGIN, MAX_EVENT_BYTES)
        raw = stream.feed(raw) + stream.close()
    return [event + b"\n\n" for event in raw.split(b"\n\n") if event]


def conversed() -> list[tuple[str, dict[str, Any]]]:
    """The events of such a stream of Bedrock's."""
    deltas = [{"contentBlockIndex": 0, "delta": {"text": f" word{at}"}} for at in range(DELTAS)]
    usage = {"inputTokens": 50, "outputTokens": 200, "totalTokens": 250}
    return [
        ("messageStart", {"role": "assistant"}),
        *[("contentBlockDelta", delta) for delta in deltas],
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("messageStop", {"stopReason": "end_turn"}),
        ("metadata", {"usage": usage, "metrics": {"latencyMs": 5}}),
    ]


def answer_of(back: str) -> bytes:
    """An answer of about 1 KB as `back` gives it."""
    said = {"role": "assistant", "content": "It snows, so wear boots. " * 32}
    body = {
        "id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": said, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 50, "completion_tokens": 200, "total_tokens": 250},
    }  # fmt: skip
    raw = orjson.dumps(body)
    if back == "openai":
        return raw
    if back == "bedrock":
        message = {"role": "assistant", "content": [{"text": said["content"]}]}
        usage = {"inputTokens": 50, "outputTokens": 200, "totalTokens": 250}
        told = {"output": {"message": message}, "stopReason": "end_turn", "usage": usage, "metrics": {"latencyMs": 5}}
        return orjson.dumps(told)
    return Attempt(FRONTS[back], DIALECTS["openai"], Target(model="m")).answer(200, raw, ORIGIN).body


def timed_us(call: Callable[[], object], rounds: int) -> float:
    """Median of `rounds`, in microseconds of this process's own CPU: the machine is shared."""
    taken = []
    for _ in range(rounds):
        start = time.process_time_ns()
        for _ in range(10):
            call()
        taken.append((time.process_time_ns() - start) / 10_000)
    return statistics.median(taken)


def streaming(attempt: Attempt, chunks: list[bytes]) -> None:
    """One whole stream, chunk by chunk."""
    stream = attempt.stream(ORIGIN, MAX_EVENT_BYTES)
    for chunk in chunks:
        stream.feed(chunk)
    stream.close()


def signature_us(size: int, rounds: int) -> float:
    """What signing a request to AWS of so many bytes costs, which comes on top of its translation."""
    key = aws_key("AKIAIOSFODNN7EXAMPLE", "a" * 40)
    if key is None:
        raise SystemExit("the key is none")
    ask = Ask(
        method="POST",
        host="bedrock-runtime.eu-central-1.amazonaws.com",
        path="/model/m%3A0/converse",
        headers=(("content-type", "application/json"),),
        body=b"x" * size,
    )
    us = timed_us(lambda: sign(ask, key, region="eu-central-1", service="bedrock", now_s=1.8e9), rounds)
    return round(us, 1)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    rounds = parser.parse_args().rounds
    rows = []
    for front, back in PAIRS:
        attempt = Attempt(FRONTS[front], DIALECTS[back], Target(model="m"))
        row: dict[str, Any] = {"front": front, "back": back}
        for size in (1_000, 10_000):
            raw = spoken(front, conversation(size))
            us = timed_us(lambda a=attempt, r=raw: a.request(r), rounds)  # type: ignore[misc]
            row[f"request_{size // 1000}kb_us"] = round(us, 1)
            row[f"request_{size // 1000}kb_us_per_kb"] = round(us * 1000 / len(raw), 1)
        raw = answer_of(back)
        us = timed_us(lambda a=attempt, r=raw: a.answer(200, r, ORIGIN), rounds)  # type: ignore[misc]
        row["answer_us_per_kb"] = round(us * 1000 / len(raw), 1)
        chunks = stream_of(back)
        us = timed_us(lambda a=attempt, c=chunks: streaming(a, c), max(rounds // 10, 5))  # type: ignore[misc]
        row["delta_us"] = round(us / DELTAS, 2)
        rows.append(row)
        print(row)
    told = {
        "machine": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "rounds": rounds,
    }
    signatures = {f"{size}_bytes_us": signature_us(size, rounds) for size in (1_000, 10_000, 1_000_000)}
    print(signatures)
    RESULTS.write_text(
        orjson.dumps({**told, "pairs": rows, "signatures": signatures}, option=orjson.OPT_INDENT_2).decode() + "\n"
    )


if __name__ == "__main__":
    main()
