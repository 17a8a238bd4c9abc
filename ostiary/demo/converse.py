"""Answers to /model/NAME/converse and /converse-stream as AWS Bedrock writes them, and its check of signatures."""

import hmac
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import unquote

import orjson

from extproc.translate import eventstream
from gateway.secrets.reference import Secret
from gateway.sigv4 import Ask, AwsKey, sign
from ostiary.demo import schema
from ostiary.demo.answer import RefusedError, Reply, cut, listed, parse, say, text_of, words
from ostiary.demo.http1 import Request

_PATH: Final = re.compile(r"/model/([^/]{1,300})/converse(-stream)?")
#: `nova-demo-pii` says what `demo-pii` says, so that a policy can give each dialect names of its own.
_PREFIX: Final = "nova-"
_REASONS: Final = {"stop": "end_turn", "length": "max_tokens"}
_SIGNED: Final = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<id>[^/,]+)/[0-9]{8}/(?P<region>[^/,]+)/(?P<service>[^/,]+)/aws4_request, "
    r"SignedHeaders=(?P<names>[a-z0-9;-]+), Signature=[0-9a-f]{64}"
)
_MADE: Final = frozenset({"host", "x-amz-date", "x-amz-security-token"})  # by whoever signs
_CODES: Final = {400: "ValidationException", 403: "UnrecognizedClientException", 404: "ResourceNotFoundException"}


def model_of(path: str) -> str:
    """The model that a path asks; "" where it is none of these."""
    found = _PATH.fullmatch(path)
    return unquote(found[1]) if found else ""


def error(status: int, message: str) -> Reply:
    """An error body: its kind stands in a header."""
    kind = _CODES.get(status, "InternalServerException")
    return Reply(status, (orjson.dumps({"message": message}),), headers=(("x-amzn-errortype", kind),))


def signed_with(request: Request, secret: str) -> bool:
    """Whether the request was signed with the secret key. How old a signature is does not matter here."""
    told = request.header("authorization")
    found = _SIGNED.fullmatch(told)
    try:
        at = datetime.strptime(request.header("x-amz-date"), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return False
    if found is None:
        return False
    path, _, query = request.target.partition("?")
    ask = Ask(
        method=request.method,
        host=request.header("host"),
        path=path,
        query=query,
        headers=tuple((name, request.header(name)) for name in found["names"].split(";") if name not in _MADE),
        body=request.body,
    )
    token = request.header("x-amz-security-token")
    key = AwsKey(found["id"], Secret(secret), Secret(token) if token else None)
    right = dict(sign(ask, key, region=found["region"], service=found["service"], now_s=at.timestamp()))
    return hmac.compare_digest(right["authorization"].encode(), told.encode())


def converse(path: str, body: bytes, deltas: int) -> Reply:
    """One block: a call of a tool where the request has one and none was answered, else text."""
    request = parse(body)
    turns = request.get("messages")
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, dict) for turn in turns):
        raise RefusedError(400, "messages: required", param="messages")
    user = next((text_of(turn.get("content")) for turn in reversed(turns) if turn.get("role") == "user"), "")
    config = request.get("inferenceConfig")
    most = config.get("maxTokens") if isinstance(config, dict) else None
    text, finish = say({"model": model_of(path).removeprefix(_PREFIX), "max_tokens": most}, user, body)
    tool = _tool(request, turns)
    said = text if tool is None else orjson.dumps(schema.fill(_schema(tool), text)).decode()
    stop = _REASONS[finish] if tool is None else "tool_use"
    prompt = sum(words(text_of(turn.get("content"))) for turn in turns) + words(text_of(request.get("system")))
    usage = {"inputTokens": prompt, "outputTokens": words(said), "totalTokens": prompt + words(said)}
    ending = {"usage": usage, "metrics": {"latencyMs": 1}}
    name = None if tool is None else str(tool.get("name", "tool"))
    if path.endswith("-stream"):
        pieces = tuple(
            eventstream.event(kind, orjson.dumps(tree)) for kind, tree in _events(name, cut(said, deltas), stop)
        )
        return Reply(200, (*pieces, eventstream.event("metadata", orjson.dumps(ending))), eventstream.MEDIA_TYPE)
    block = {"text": said} if name is None else {"toolUse": {**_call(name), "input": orjson.loads(said)}}
    output = {"message": {"role": "assistant", "content": [block]}}
    return Reply(200, (orjson.dumps({"output": output, "stopReason": stop, **ending}),))


def _call(name: str) -> dict[str, Any]:
    return {"toolUseId": "tooluse_demo_0", "name": name}


def _schema(tool: dict[str, Any]) -> Any:
    told = tool.get("inputSchema")
    return (told.get("json") if isinstance(told, dict) else None) or {"type": "object"}


def _tool(request: dict[str, Any], turns: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The tool to call: the one that is demanded, else the first; none once a tool has answered."""
    config = request.get("toolConfig")
    told = listed(config.get("tools"), "toolConfig.tools") if isinstance(config, dict) else []
    tools: list[dict[str, Any]] = [
        each["toolSpec"] for each in told if isinstance(each, dict) and isinstance(each.get("toolSpec"), dict)
    ]
    last = turns[-1].get("content")
    answered = isinstance(last, list) and any(isinstance(block, dict) and "toolResult" in block for block in last)
    if not tools or answered:
        return None
    chosen = config.get("toolChoice") if isinstance(config, dict) else None
    demanded = chosen.get("tool") if isinstance(chosen, dict) else None
    name = demanded.get("name") if isinstance(demanded, dict) else None
    return next((tool for tool in tools if tool.get("name") == name), tools[0])


def _events(name: str | None, parts: list[str], stop: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "messageStart", {"role": "assistant"}
    if name is not None:
        yield "contentBlockStart", {"contentBlockIndex": 0, "start": {"toolUse": _call(name)}}
    for part in parts:
        said = {"text": part} if name is None else {"toolUse": {"input": part}}
        yield "contentBlockDelta", {"contentBlockIndex": 0, "delta": said}
    yield "contentBlockStop", {"contentBlockIndex": 0}
    yield "messageStop", {"stopReason": stop}
