"""Anthropic's messages as tests write them: a policy with a model of that dialect, requests, event streams."""

import json
import re
from dataclasses import replace

from extproc.core.events import RequestBody, ResponseChunk
from gateway.policy.model import Backend, Credential, Model
from playbook import Play, answer_head, head
from worlds import policy

SPLIT = re.compile(rb"(?s).+?(?:\n\n|\Z)")
MESSAGES = "/v1/messages"
CLAUDE = "claude-test"


def held(**options):
    """The usual policy with one more backend, which speaks Anthropic's dialect."""
    base = policy(**options)
    credential = Credential(file="anthropic.key", header="x-api-key", prefix="")
    backend = Backend(
        name="anthropic", host="127.0.0.1", port=8092, tls=False, dialect="anthropic", credential=credential
    )
    tenant = replace(base.tenants["acme"], models=frozenset({"*"}))
    return replace(
        base,
        tenants={"acme": tenant},
        models={**base.models, CLAUDE: Model(name=CLAUDE, backend="anthropic")},
        backends={**base.backends, "anthropic": backend},
    )


def messages(content="hello", **more):
    return {"model": CLAUDE, "max_tokens": 64, "messages": [{"role": "user", "content": content}], **more}


def asked(body, world=None):
    play = Play(world or held())
    told = play.give(head(MESSAGES), RequestBody(json.dumps(body).encode(), end_of_stream=True))
    return play, told


def event(**tree):
    return f"event: {tree['type']}\ndata: {json.dumps(tree)}\n\n".encode()


def start(**more):
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None,
               "stop_sequence": None, "usage": {"input_tokens": 9, "output_tokens": 1}, **more}  # fmt: skip
    return event(type="message_start", message=message)


def block(index=0, **content_block):
    content_block = content_block or {"type": "text", "text": ""}
    return event(type="content_block_start", index=index, content_block=content_block)


def delta(index=0, kind="text_delta", field="text", value=""):
    return event(type="content_block_delta", index=index, delta={"type": kind, field: value})


def text(value, index=0):
    return delta(index, "text_delta", "text", value)


def thinking(value, index=0):
    return delta(index, "thinking_delta", "thinking", value)


def signature(value, index=0):
    return delta(index, "signature_delta", "signature", value)


def source(value, index=0):
    return delta(index, "input_json_delta", "partial_json", value)


def stop(index=0):
    return event(type="content_block_stop", index=index)


def end(reason="end_turn", **usage):
    usage = {"output_tokens": 4, **usage}
    return event(type="message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage=usage) + event(
        type="message_stop"
    )


def streaming(world=None):
    """A play whose answer is about to stream."""
    play, _ = asked(messages(stream=True), world)
    play.give(answer_head(kind="text/event-stream; charset=utf-8"))
    return play


def sent(stream, world=None, *, size=0):
    """What the client gets of a whole stream, fed in pieces of `size` bytes, or event by event."""
    play = streaming(world)
    chunks = [stream[at : at + size] for at in range(0, len(stream), size)] if size else SPLIT.findall(stream)
    for chunk in chunks:
        play.give(ResponseChunk(chunk, end_of_stream=False))
    play.give(ResponseChunk(b"", end_of_stream=True))
    return play.sent(), play


def events(stream):
    """The events of a stream, each under the name that it tells itself."""
    told = []
    for one in stream.split(b"\n\n"):
        if not one or one.startswith(b":"):
            continue
        name, _, data = one.partition(b"\n")
        tree = json.loads(data.removeprefix(b"data: "))
        assert name == f"event: {tree['type']}".encode()
        told.append(tree)
    return told


def assembled(stream):
    """The content that a client makes of a stream, by Anthropic's rules; strict about order and indexes."""
    content, opened, sources = [], set(), {}
    for tree in events(stream):
        match tree["type"]:
            case "content_block_start":
                assert tree["index"] == len(content)
                content.append(tree["content_block"])
                opened.add(tree["index"])
            case "content_block_delta":
                assert tree["index"] in opened
                into, change = content[tree["index"]], tree["delta"]
                match change["type"]:
                    case "text_delta":
                        into["text"] += change["text"]
                    case "thinking_delta":
                        into["thinking"] += change["thinking"]
                    case "signature_delta":
                        into["signature"] = change["signature"]
                    case "citations_delta":
                        into["citations"] = [*(into.get("citations") or ()), change["citation"]]
                    case "input_json_delta":
                        sources[tree["index"]] = sources.get(tree["index"], "") + change["partial_json"]
            case "content_block_stop":
                opened.remove(tree["index"])
                if tree["index"] in sources:
                    content[tree["index"]]["input"] = json.loads(sources[tree["index"]])
            case "message_stop":
                assert not opened
    return content
