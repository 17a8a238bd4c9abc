"""AWS Signature Version 4 of one request, and the keys that it is made with. Pure: reads no clock, no file, no network.

Method: AWS IAM User Guide, "Create a signed AWS API request". Why not botocore's: docs/adr, "signatures".
"""

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from gateway.secrets.reference import Secret

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_SCOPE_END: Final = "aws4_request"
#: IAM API reference, AccessKey: 16 to 128 word characters. The id stands in a header, so nothing else may.
_ID: Final = re.compile(r"[A-Za-z0-9_]{16,128}")
#: Visible ASCII. A session's token is a header of its own, whose spaces would be signed otherwise than they are sent.
_WORD: Final = re.compile(r"[!-~]+")
_SPACES: Final = re.compile(r"[ \t]+")


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
    """The headers that make the request a signed one: `authorization`, `x-amz-date`, `x-amz-security-token`."""
    stamp = datetime.fromtimestamp(now_s, UTC).strftime("%Y%m%dT%H%M%SZ")
    told = [("x-amz-date", stamp)]
    if key.token is not None:
        told.append(("x-amz-security-token", key.token.reveal()))
    signed = sorted([("host", ask.host), *ask.headers, *told])
    names = ";".join([name for name, _ in signed])
    canonical = "\n".join(
        [
            ask.method,
            quote(ask.path, safe="/"),  # encoded once more than it is sent: only S3 does without
            _query(ask.query),
            *[f"{name}:{_SPACES.sub(' ', value.strip())}" for name, value in signed],
            "",
            names,
            hashlib.sha256(ask.body).hexdigest(),
        ]
    )
    scope = (stamp[:8], region, service, _SCOPE_END)
    text = "\n".join([_ALGORITHM, stamp, "/".join(scope), hashlib.sha256(canonical.encode()).hexdigest()])
    made = hmac.digest(_key(key.secret, scope), text.encode(), "sha256").hex()
    credential = f"Credential={key.id}/{'/'.join(scope)}"
    return (("authorization", f"{_ALGORITHM} {credential}, SignedHeaders={names}, Signature={made}"), *told)


def _key(secret: Secret, scope: Iterable[str]) -> bytes:
    key = f"AWS4{secret.reveal()}".encode()
    for part in scope:
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _query(query: str) -> str:
    """Parameters in order of their names, a value behind each: they are encoded as they are sent."""
    if not query:
        return ""
    pairs = [each.partition("=") for each in query.split("&")]
    return "&".join([f"{name}={value}" for name, _, value in sorted(pairs, key=lambda pair: (pair[0], pair[2]))])
