"""A strict AWS Secrets Manager on loopback: every request is judged by Amazon's own package, and refused as AWS does."""

import json
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import botocore.session
from botocore.model import OperationModel
from botocore.parsers import create_parser
from botocore.validate import ParamValidator

import aws
from upstream import Seen

NAME = "llm/main"
TARGET = "secretsmanager.GetSecretValue"
CONTENT_TYPE = "application/x-amz-json-1.1"
_SKEW_S = 300  # what AWS allows


@cache
def _operation() -> OperationModel:
    return botocore.session.get_session().get_service_model("secretsmanager").operation_model("GetSecretValue")


class SecretsManagerEndpoint:
    """Use as a context manager. `refusals` says why requests were not good enough; `asked` counts all of them."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self.now = now
        self.secret = aws.SECRET  # of the key that counts
        self.token: str | None = None  # of its session
        self.stored: dict[str, dict[str, Any]] = {}
        self.faults: dict[str, tuple[int, str]] = {}  # by name: status and AWS's word for it; "": whatever is asked
        self.garbage: bytes | None = None  # with 200, in place of an answer
        self.asked: list[str] = []
        self.refusals: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = [(name.lower(), value) for name, value in self.headers.items()]
                status, told = outer.answer(Seen("POST", self.path, headers, body, outer.port, 0.0))
                self.send_response(status)
                self.send_header("content-type", CONTENT_TYPE)
                self.send_header("content-length", str(len(told)))
                self.end_headers()
                self.wfile.write(told)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # whoever hangs up in the middle of garbage is right
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def put(self, text: str | bytes, name: str = NAME) -> str:
        """A new version that counts from now on. Returns its id."""
        version = str(uuid.uuid4())
        kind = "SecretString" if isinstance(text, str) else "SecretBinary"
        self.stored[name] = {
            "ARN": f"arn:aws:secretsmanager:{aws.REGION}:123456789012:secret:{name}-AbCdEf",
            "Name": name,
            "VersionId": version,
            kind: text if isinstance(text, str) else "AAEC",
            "VersionStages": ["AWSCURRENT"],
            "CreatedDate": round(self.now(), 3),
        }
        return version

    def answer(self, seen: Seen) -> tuple[int, bytes]:
        complaint, fault = self._complaint(seen)
        name = "" if complaint else seen.json["SecretId"]
        self.asked.append(name)
        if complaint:
            self.refusals.append(complaint)
            return refusal(400, fault, f"{complaint}: {seen.header('authorization')}")  # real ones quote, too
        if self.garbage is not None:
            return 200, self.garbage
        for each in ("", name):
            if each in self.faults:
                return refusal(*self.faults[each], "as the test wants it")
        found = next((one for one in self.stored.values() if name in (one["Name"], one["ARN"])), None)
        if found is None:
            return refusal(400, "ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
        body = json.dumps(found).encode()
        read_as_amazon_does(200, body)
        return 200, body

    def _complaint(self, seen: Seen) -> tuple[str, str]:
        if seen.target != "/" or seen.header("content-type") != CONTENT_TYPE or seen.header("x-amz-target") != TARGET:
            return "not that operation", "UnknownOperationException"
        report = ParamValidator().validate(seen.json, _operation().input_shape)
        if report.has_errors():
            return report.generate_report(), "ValidationException"
        wrong = aws.unsigned(seen, secret=self.secret, token=self.token, service="secretsmanager")
        if wrong:
            return wrong, "InvalidSignatureException"
        made = datetime.strptime(str(seen.header("x-amz-date")), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        return ("too old", "InvalidSignatureException") if abs(self.now() - made.timestamp()) > _SKEW_S else ("", "")


def refusal(status: int, word: str, message: str) -> tuple[int, bytes]:
    body = json.dumps({"__type": word, "Message": message}).encode()
    read_as_amazon_does(status, body)
    return status, body


def read_as_amazon_does(status: int, body: bytes) -> dict[str, Any]:
    """What the package makes of an answer: what it does not understand is no answer of AWS."""
    told = {"status_code": status, "headers": {"content-type": CONTENT_TYPE}, "body": body}
    parsed = create_parser("json").parse(told, _operation().output_shape)
    assert status != 200 or {"ARN", "Name", "VersionId"} <= parsed.keys()
    assert status == 200 or parsed["Error"]["Code"]
    return parsed


def section(url: str, **more: Any) -> dict[str, Any]:
    """`secrets_manager:` of a policy."""
    return {"region": aws.REGION, "key": {"file": "aws.key"}, "url": url, **more}


def write_key(directory: Any, secret: str = aws.SECRET, token: str = "") -> None:
    """The file that `section` names."""
    file = directory / "aws.key"
    file.touch(0o600)
    file.write_text(f"{aws.KEY_ID}:{secret}{':' if token else ''}{token}\n")
