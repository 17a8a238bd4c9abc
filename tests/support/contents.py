"""Gemini's generateContent as tests write it: a policy with a model of that dialect, requests, answers, event streams."""

import json
import re
from dataclasses import replace

from extproc.core.events import RequestBody, ResponseChunk
from gateway.policy.model import Backend, Credential, Model
from playbook import Play, answer_head, head
from worlds import policy

SPLIT = re.compile(rb"(?s).+?(?:\r?\n\r?\n|\Z)")
PUBLIC, THEIRS = "gemini-test", "gemini-theirs"
ONCE = f"/v1beta/models/{PUBLIC}:generateContent"
STREAM = f"/v1beta/models/{PUBLIC}:streamGenerateContent?alt=sse"
USAGE = {"promptTokenCount": 9, "candidatesTokenCount": 3, "thoughtsTokenCount": 1, "totalTokenCount": 13}


def held(**options):
    """The usual policy with one more backend, which speaks Gemini's dialect and calls the model by a name of its own."""
    base = policy(**options)
    credential = Credential(file="gemini.key", header="x-goog-api-key", prefix="")
    backend = Backend(name="gemini", host="127.0.0.1", port=8093, tls=False, dialect="gemini", credential=credential)
    tenant = replace(base.tenants["acme"], models=frozenset({"*"}))
    model = Model(name=PUBLIC, backend="gemini", upstream={"gemini": THEIRS})
    return replace(
        base,
        tenants={"acme": tenant},
        models={**base.models, PUBLIC: model},
        backends={**base.backends, "gemini": backend},
    )


def said(*parts, role="user"):
    """A content of a conversation."""
    return {"role": role, "parts": [{"text": part} if isinstance(part, str) else part for part in parts]}


def body(*parts, **more):
    return {"contents": [said(*(parts or ("hello",)))], **more}


def candidate(*parts, index=0, finish=None, **more):
    told = {"content": said(*parts, role="model"), "index": index, **more}
    return {**told, "finishReason": finish} if finish else told


def answer(*candidates, **more):
    return {"candidates": [*candidates], "usageMetadata": USAGE, "modelVersion": THEIRS, "responseId": "r-1", **more}


def event(*candidates, **more):
    tree = {"modelVersion": THEIRS, "responseId": "r-1", **more}
    return b"data: " + json.dumps({"candidates": [*candidates], **tree} if candidates else tree).encode() + b"\r\n\r\n"


def words(*pieces, finish="STOP"):
    """A whole stream that says `pieces`."""
    told = [event(candidate(piece)) for piece in pieces]
    return b"".join([*told, event(candidate("", finish=finish), usageMetadata=USAGE)])


def asked(tree, world=None, path=ONCE):
    raw = tree if isinstance(tree, bytes) else json.dumps(tree).encode()
    play = Play(world or held())
    return play, play.give(head(path), RequestBody(raw, end_of_stream=True))


def answered(tree, world=None, request=None, status="200"):
    """A play that has heard a JSON answer."""
    play, _ = asked(request or body(), world)
    play.give(answer_head(status), ResponseChunk(json.dumps(tree).encode(), end_of_stream=True))
    return play


def sent(stream, world=None, *, size=0, request=None):
    """What the client gets of a whole stream, fed in pieces of `size` bytes, or event by event."""
    play, _ = asked(request or body(), world, STREAM)
    play.give(answer_head(kind="text/event-stream; charset=utf-8"))
    chunks = [stream[at : at + size] for at in range(0, len(stream), size)] if size else SPLIT.findall(stream)
    for chunk in chunks:
        if not play.records:
            play.give(ResponseChunk(chunk, end_of_stream=False))
    if not play.records:
        play.give(ResponseChunk(b"", end_of_stream=True))
    return play.sent(), play


def events(stream):
    """The events of a stream, which are nothing but data: the official SDK takes any other line for an answer."""
    blocks = stream.split(b"\n\n")
    assert blocks.pop() == b""
    assert all(each.startswith(b"data: {") and b"\n" not in each for each in blocks)
    return [json.loads(each[6:]) for each in blocks]


def heard(stream, index=0, *, thought=False):
    """The text that a client puts together."""
    return "".join(
        part["text"]
        for tree in events(stream)
        for each in tree.get("candidates", ())
        if each.get("index", 0) == index
        for part in each.get("content", {}).get("parts", ())
        if "text" in part and part.get("thought", False) is thought
    )
