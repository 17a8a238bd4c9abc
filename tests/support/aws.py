"""Amazon's own package as a judge: of requests by its service model, of signatures, of event streams. No sockets."""

import base64
import re
from functools import cache
from typing import Any
from urllib.parse import unquote

import botocore.session
import orjson
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.eventstream import EventStreamBuffer
from botocore.model import OperationModel, Shape
from botocore.parsers import EventStreamJSONParser
from botocore.validate import ParamValidator

from upstream import Seen

REGION = "eu-central-1"
KEY_ID = "AKIAIOSFODNN7EXAMPLE"  # of Amazon's own documentation
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, SignedHeaders=([a-z0-9;-]+), "
    r"Signature=([0-9a-f]{64})"
)
_PATH = re.compile(r"(?:/[a-z-]+)?/model/([^/]+)/(converse|converse-stream)")


def operation(path: str) -> tuple[OperationModel, str]:
    """What a path calls, and for which model."""
    found = _PATH.fullmatch(path)
    assert found, path
    name = "ConverseStream" if found[2] == "converse-stream" else "Converse"
    return _service().operation_model(name), unquote(found[1])


@cache
def _service() -> Any:
    return botocore.session.get_session().get_service_model("bedrock-runtime")


def _opened(shape: Shape | None, value: Any) -> Any:
    """A tree of JSON as the package takes it: bytes are bytes."""
    if shape is None or getattr(shape, "is_document_type", False):
        return value
    if shape.type_name == "structure":
        return {name: _opened(shape.members.get(name), each) for name, each in value.items()}
    if shape.type_name == "list":
        return [_opened(shape.member, each) for each in value]
    return base64.b64decode(value, validate=True) if shape.type_name == "blob" else value


def complaints(path: str, body: dict[str, Any]) -> list[str]:
    """What the service model says against a request."""
    called, model = operation(path)
    params = {"modelId": model, **_opened(called.input_shape, body)}
    report = ParamValidator().validate(params, called.input_shape)
    return [report.generate_report()] if report.has_errors() else []


class _SentError(Exception):
    """Instead of a socket."""

    def __init__(self, request: Any) -> None:
        super().__init__("sent")
        self.request = request


@cache
def _client() -> Any:
    def stop(request: Any, **_: Any) -> None:
        raise _SentError(request)

    client = botocore.session.Session().create_client(
        "bedrock-runtime",
        region_name=REGION,
        aws_access_key_id=KEY_ID,
        aws_secret_access_key=SECRET,
        config=Config(retries={"total_max_attempts": 1}),
    )
    client.meta.events.register("before-send.bedrock-runtime", stop)
    return client


def sends(path: str, body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Path and body that the official client sends for the same request."""
    called, model = operation(path)
    call = _client().converse_stream if called.name == "ConverseStream" else _client().converse
    try:
        call(modelId=model, **_opened(called.input_shape, body))
    except _SentError as sent:
        return sent.request.url.partition(".amazonaws.com")[2], orjson.loads(sent.request.body)
    raise AssertionError("nothing was sent")


def read_events(raw: bytes) -> list[dict[str, Any]]:
    """What the package reads out of a stream, in its own words. Raises what it raises of broken ones."""
    buffer = EventStreamBuffer()
    buffer.add_data(raw)
    shape = _service().operation_model("ConverseStream").output_shape.members["stream"]
    return [EventStreamJSONParser().parse(each.to_response_dict(), shape) for each in buffer]


def signature(ask: AWSRequest, stamp: str, key: Credentials, region: str, service: str = "bedrock") -> str:
    """The `authorization` that the package makes of a request at a moment."""
    signer = SigV4Auth(key, service, region)
    ask.context["timestamp"] = stamp
    if "X-Amz-Date" not in ask.headers:
        ask.headers["X-Amz-Date"] = stamp
    text = signer.string_to_sign(ask, signer.canonical_request(ask))
    names = signer.signed_headers(signer.headers_to_sign(ask))
    made = signer.signature(text, ask)
    return f"AWS4-HMAC-SHA256 Credential={signer.scope(ask)}, SignedHeaders={names}, Signature={made}"


def unsigned(
    seen: Seen, *, secret: str = SECRET, token: str | None = None, region: str = REGION, service: str = "bedrock"
) -> str:
    """Why a request, as it came off the wire, is not signed as Amazon wants it; "" where it is."""
    told = seen.header("authorization") or ""
    found = _AUTHORIZATION.fullmatch(told)
    if found is None:
        return "no signature"
    names = found[5].split(";")
    if not {"host", "x-amz-date"} <= set(names) or {each for each in seen.names if each.startswith("x-amz-")} - set(
        names
    ):
        return "headers that must be signed are not"
    if seen.header("x-amz-security-token") != token:
        return "another session"
    headers = {name: seen.header(name) for name in names}
    ask = AWSRequest(seen.method, f"http://{headers['host']}{seen.target}", headers, seen.body)
    right = signature(ask, str(headers["x-amz-date"]), Credentials(KEY_ID, secret, token), region, service)
    return "" if told == right else "another signature"
