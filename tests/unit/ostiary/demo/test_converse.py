"""The demo's Converse answers: as the official package reads them, the same words streamed or not, and signed for."""

import orjson
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

import aws
from ostiary.demo import converse, sample
from ostiary.demo.answer import RefusedError
from ostiary.demo.http1 import Request

TOOL = {
    "toolSpec": {"name": "find", "inputSchema": {"json": {"type": "object", "properties": {"q": {"type": "string"}}}}}
}
PATH = "/model/nova-demo/converse"


def ask(content="two words", deltas=8, path=PATH, **fields):
    said = [{"text": content}] if isinstance(content, str) else content
    body = {"messages": [{"role": "user", "content": said}], **fields}
    assert aws.complaints(path, body) == []
    return converse.converse(path, orjson.dumps(body), deltas)


def whole(*asked, **fields):
    (piece,) = ask(*asked, **fields).pieces
    return orjson.loads(piece)


def test_words_and_usage():
    said = whole()
    assert said["output"]["message"]["content"] == [{"text": sample.FRIENDLY}]
    assert said["stopReason"] == "end_turn"
    assert (said["usage"]["inputTokens"], said["usage"]["outputTokens"]) == (2, len(sample.FRIENDLY.split()))
    assert whole("p", path="/model/nova-demo-echo/converse")["output"]["message"]["content"] == [{"text": "p"}]
    assert whole(inferenceConfig={"maxTokens": 2})["stopReason"] == "max_tokens"


@pytest.mark.parametrize("deltas", [1, 8, 500])
@pytest.mark.parametrize("tools", [{}, {"toolConfig": {"tools": [TOOL]}}], ids=["text", "call"])
def test_a_stream_is_read_by_the_package_and_says_the_same(deltas, tools):
    reply = ask(deltas=deltas, path=f"{PATH}-stream", **tools)
    assert reply.streamed
    events = aws.read_events(b"".join(reply.pieces))
    said = "".join(
        event["contentBlockDelta"]["delta"].get("text") or event["contentBlockDelta"]["delta"]["toolUse"]["input"]
        for event in events
        if "contentBlockDelta" in event
    )
    answer = whole(**tools)
    (block,) = answer["output"]["message"]["content"]
    assert said == block["text"] if not tools else orjson.loads(said) == block["toolUse"]["input"]
    assert events[-2]["messageStop"]["stopReason"] == answer["stopReason"]
    assert events[-1]["metadata"]["usage"] == answer["usage"]


def test_a_tool_is_called_once():
    result = [{"toolResult": {"toolUseId": "tooluse_demo_0", "content": [{"text": "x"}]}}]
    config = {"tools": [{"toolSpec": {**TOOL["toolSpec"], "name": "other"}}, TOOL]}
    assert whole(toolConfig=config)["output"]["message"]["content"][0]["toolUse"]["name"] == "other"
    demanded = {**config, "toolChoice": {"tool": {"name": "find"}}}
    assert whole(toolConfig=demanded)["output"]["message"]["content"][0]["toolUse"]["name"] == "find"
    assert whole(result, toolConfig=config)["stopReason"] == "end_turn"


@pytest.mark.parametrize("turns", [None, [], "x", ["x"]])
def test_a_request_without_messages_is_refused(turns):
    with pytest.raises(RefusedError):
        converse.converse(PATH, orjson.dumps({"messages": turns}), 8)


@pytest.mark.parametrize("odd", [5, True, "x", {"a": 1}])
def test_tools_that_are_no_list_are_refused(odd):
    with pytest.raises(RefusedError) as caught:
        converse.converse(PATH, orjson.dumps({"messages": [{"role": "user"}], "toolConfig": {"tools": odd}}), 8)
    assert (caught.value.status, caught.value.param) == (400, "toolConfig.tools")


def test_a_model_is_named_in_the_path():
    assert converse.model_of("/model/a.b-v1%3A0/converse-stream") == "a.b-v1:0"
    assert converse.model_of("/model/a/invoke") == ""
    assert converse.model_of("/v1/chat/completions") == ""


def signed(secret=aws.SECRET, token=None, **other):
    path = "/model/nova-demo%3A0/converse"
    headers = {"Host": "127.0.0.1:80", "Content-Type": "application/json"}
    if token:
        headers["X-Amz-Security-Token"] = token
    theirs = AWSRequest("POST", f"http://127.0.0.1:80{path}", headers, b"{}")
    told = aws.signature(theirs, "20261122T130000Z", Credentials(aws.KEY_ID, secret, token), aws.REGION)
    found = {name.lower(): value for name, value in theirs.headers.items()} | {"authorization": told}
    found |= {name.replace("_", "-"): value for name, value in other.items() if name not in ("path", "body")}
    return Request("POST", other.get("path", path), tuple(found.items()), other.get("body", b"{}"), keep_alive=True)


def test_what_botocore_signed_is_taken():
    assert converse.signed_with(signed(), aws.SECRET)
    assert converse.signed_with(signed(token="session"), aws.SECRET)


@pytest.mark.parametrize(
    "other",
    [
        {"secret": "another"}, {"body": b"{} "}, {"path": "/model/nova-demo:0/converse"}, {"host": "elsewhere"},
        {"x_amz_date": "20261122T130001Z"}, {"x_amz_date": "never"}, {"content_type": "text/plain"},
        {"authorization": "AWS4-HMAC-SHA256 none"}, {"x_amz_security_token": "t"},
    ],
)  # fmt: skip
def test_anything_else_is_not(other):
    assert not converse.signed_with(signed(**other), aws.SECRET)


def test_an_error_has_its_kind_in_a_header():
    refused = converse.error(403, "No.")
    assert (refused.status, dict(refused.headers)["x-amzn-errortype"]) == (403, "UnrecognizedClientException")
