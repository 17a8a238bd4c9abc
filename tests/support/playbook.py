"""Plays events to an exchange and sorts its commands, so that a test reads as the story of one exchange."""

import json

from extproc.core.commands import Answer, Put, SendBody
from extproc.core.events import RequestBody, RequestHead, ResponseHead
from extproc.core.exchange import Exchange
from gateway import contract
from gateway.errors import GatewayError, Kind
from worlds import CALLER, FakeClock, FakeWorld

CHAT = "/v1/chat/completions"
VIA = {contract.ATTR_CODE_DETAILS: contract.VIA_UPSTREAM}
MAIL = "bob@example.com"
REVOKED = GatewayError(Kind.CREDENTIAL_REVOKED, "This credential was revoked.", cause="key:k1: leaked")


def head(path=CHAT, *, caller=CALLER, end=False, method="POST", **headers):
    pairs = {":method": method, ":path": path, "content-type": "application/json"} | {
        k.replace("_", "-"): v for k, v in headers.items()
    }
    return RequestHead(tuple(pairs.items()), caller, end)


def chat(text="hello", **more):
    return json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}], **more}).encode()


def answer_head(status="200", kind="application/json", details=VIA, end=False, **more):
    pairs = {":status": status, "content-type": kind} | {k.replace("_", "-"): v for k, v in more.items()}
    return ResponseHead(tuple(pairs.items()), end, details)


def completion(text, **more):
    return json.dumps(
        {
            "id": "c1",
            "object": "chat.completion",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 2},
            **more,
        }
    ).encode()


def delta(text, index=0, **choice):
    event = {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [{"index": index, "delta": {"content": text}, "finish_reason": None, **choice}],
    }
    return b"data: " + json.dumps(event).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


class Play:
    """An exchange with its commands sorted as they come."""

    def __init__(self, held=None, secret="Bearer provider-secret"):
        self.clock = FakeClock()
        self.world = FakeWorld(held, secret)
        self.exchange = Exchange(self.world, self.clock)
        self.commands, self.records = [], []

    def give(self, *events):
        new = []
        for event in events:
            for command in self.exchange.receive(event):
                (self.records if isinstance(command, Put) else new).append(command)
        self.commands += new
        return new

    def asked(self, body=None, **kw):
        return self.give(head(), RequestBody(chat(**kw) if body is None else body, end_of_stream=True))

    @property
    def record(self):
        assert len(self.records) == 1
        return self.records[0].record

    def sent(self):
        return b"".join(c.body for c in self.commands if isinstance(c, SendBody))

    def refused(self):
        (answer,) = [c for c in self.commands if isinstance(c, Answer)]
        return answer.rendered.status, json.loads(answer.rendered.body)["error"]["code"]


def texts(stream: bytes, index=0, key="content"):
    out = ""
    for block in stream.split(b"\n\n"):
        if block.startswith(b"data: {"):
            for choice in json.loads(block[6:]).get("choices", []):
                if choice["index"] == index:
                    out += choice.get("delta", {}).get(key) or ""
    return out
