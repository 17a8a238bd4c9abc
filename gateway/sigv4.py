"""AWS Signature Version 4 of one request by botocore, and the keys that it is made with. Reads no clock, no network.

Method: AWS IAM User Guide, "Create a signed AWS API request".
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final, NamedTuple

from gateway.secrets.reference import Secret

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
#: IAM API reference, AccessKey: 16 to 128 word characters. The id stands in a header, so nothing else may.
_ID: Final = re.compile(r"[A-Za-z0-9_]{16,128}")
#: Visible ASCII. A session's token is a header of its own, whose spaces would be signed otherwise than they are sent.
_WORD: Final = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class AwsKey:
    """One pair of keys, with a session's token where it is temporary. None of it is shown."""

    id: str = field(repr=False)
    secret: Secret
    token: Secret | None = None


def aws_key(key_id: str, secret: str, token: str = "") -> AwsKey | None:
    """A key of its parts; None where they are none."""
    parts = (secret, token) if token else (secret,)
    if not _ID.fullmatch(key_id) or not all(map(_WORD.fullmatch, parts)):
        return None
    _botocore()  # when keys are read, not while the first request waits
    return AwsKey(key_id, Secret(secret), Secret(token) if token else None)


def key_of_line(line: str) -> AwsKey | None:
    """A key in one line, `<access key id>:<secret access key>[:<session token>]`. None of the parts has a colon."""
    parts = line.split(":")
    return aws_key(*parts) if len(parts) in (2, 3) and all(parts) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A request as it will be on the wire."""

    method: str
    host: str  # the value of `host`, with the port where it is written
    path: str  # as it is sent: percent-encoded once
    query: str = ""  # as it is sent
    headers: tuple[tuple[str, str], ...] = ()  # beside `host` that are signed, names in lower case
    body: bytes = field(repr=False)


def sign(ask: Ask, key: AwsKey, *, region: str, service: str, now_s: float) -> tuple[tuple[str, str], ...]:
    """The headers that make the request a signed one: `authorization`, `x-amz-date`, `x-amz-security-token`.

    botocore's `add_auth` would read the wall clock by itself; its steps are public, so they are taken one by one.
    """
    stamp = datetime.fromtimestamp(now_s, UTC).strftime("%Y%m%dT%H%M%SZ")
    told = [("x-amz-date", stamp)]
    if key.token is not None:
        told.append(("x-amz-security-token", key.token.reveal()))
    made = _botocore()
    request = made.request(
        method=ask.method,
        url=f"http://{ask.host}{ask.path}{'?' if ask.query else ''}{ask.query}",
        headers=dict([("host", ask.host), *ask.headers, *told]),
        data=ask.body,
    )
    request.context["timestamp"] = stamp
    signer = made.signer(made.credentials(key.id, key.secret.reveal()), service, region)
    signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    names = signer.signed_headers(signer.headers_to_sign(request))
    credential = f"Credential={signer.scope(request)}"
    return (("authorization", f"{_ALGORITHM} {credential}, SignedHeaders={names}, Signature={signature}"), *told)


class _Botocore(NamedTuple):
    request: Any
    signer: Any
    credentials: Any


@cache
def _botocore() -> _Botocore:
    """Only where a policy has a key of AWS: it costs a worker 4 MiB and an eighth of a second."""
    from botocore.auth import SigV4Auth  # noqa: PLC0415
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415
    from botocore.credentials import Credentials  # noqa: PLC0415

    return _Botocore(AWSRequest, SigV4Auth, Credentials)
