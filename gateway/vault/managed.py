"""AWS Secrets Manager as a source of secrets: one signed GetSecretValue for each reading. Keeps nothing it has read.

Method: AWS Secrets Manager API reference, GetSecretValue; AWS JSON protocol 1.1.
"""

import asyncio
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import httpx
import orjson

from gateway import strict
from gateway.clock import Clock
from gateway.fetch import FetchError, StatusError
from gateway.policy.model import SecretsManager
from gateway.secrets.reference import SecretError, read_secret
from gateway.sigv4 import Ask, AwsKey, key_of_line, sign
from gateway.vault import reading
from gateway.vault.reading import Reading
from gateway.vault.wire import VaultError

_SERVICE: Final = "secretsmanager"
_HEADERS: Final = (
    ("content-type", "application/x-amz-json-1.1"),
    ("x-amz-target", f"{_SERVICE}.GetSecretValue"),
)
_DEADLINE_S: Final = 5.0  # a handshake and a reading over the internet
_ANSWER_BYTES: Final = 512 * 1024  # a secret has up to 64 KiB, each character of which JSON may write as six
_BUSY: Final = frozenset({"ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded"})
#: Of 400 and 403, those that are about the key, the clock or this request's form: no other secret would fare better.
_KEYS: Final = frozenset(
    {
        *("AccessDenied", "ExpiredToken", "ExpiredTokenException", "IncompleteSignature", "InvalidClientTokenId"),
        *("IncompleteSignatureException", "InvalidSignatureException", "MissingAuthenticationToken"),
        *("MissingAuthenticationTokenException", "NotAuthorized", "OptInRequired", "RequestExpired"),
        *("SignatureDoesNotMatch", "UnrecognizedClientException", "UnknownOperationException"),
    }
)
#: About one secret: it is not there, may not be read, cannot be decrypted, or is to be deleted.
_SECRETS: Final = frozenset(
    {
        *("AccessDeniedException", "DecryptionFailure", "InvalidParameterException", "InvalidRequestException"),
        *("ResourceNotFoundException", "ValidationException"),
    }
)
_SERVER: Final = 500  # from here on AWS speaks of itself
_TOO_MANY: Final = 429
_VERSION: Final = re.compile(r"[A-Za-z0-9-]{32,64}")  # UUIDs, or what a rotation called it


class Line(Protocol):
    """A kept connection: `gateway.fetch.Line`, or a test's own."""

    async def post(
        self,
        headers: Mapping[str, str],
        content: bytes,
        max_bytes: int,
        deadline_s: float,
        *,
        refusals: bool = False,
    ) -> bytes:
        """The body of a 200 answer. Raises FetchError."""
        ...

    async def close(self) -> None:
        """Hang up."""
        ...


class ManagedSource:
    """Satisfies `gateway.vault.keeper.Source`. Nothing to log in to, nothing leased."""

    name: str = "secrets_manager"
    epoch: int = 0
    due_s: float = math.inf

    def __init__(self, manager: SecretsManager, directory: Path, line: Line, clock: Clock) -> None:
        self._manager = manager
        self._directory = directory
        self._line = line
        self._clock = clock
        self._host = httpx.URL(manager.url).netloc.decode()  # as `gateway.fetch` writes it, which is signed

    async def tend(self) -> None:
        """Nothing: the key is read for each reading, so that a new one in its file counts by itself."""

    async def reading(self, path: str) -> Reading:
        """The current version of the secret. Raises VaultError."""
        key = await self._key()
        body = orjson.dumps({"SecretId": path})
        ask = Ask(method="POST", host=self._host, path="/", headers=_HEADERS, body=body)
        signed = sign(ask, key, region=self._manager.region, service=_SERVICE, now_s=self._clock.now())
        try:
            raw = await self._line.post(dict((*_HEADERS, *signed)), body, _ANSWER_BYTES, _DEADLINE_S, refusals=True)
        except StatusError as refusal:
            raise _refused(refusal) from None
        except FetchError as failure:
            raise VaultError(f"came to nothing: {failure}") from None
        return _read(raw)

    async def renew(self, lease_id: str, ttl_s: int) -> int:
        """No lease, no renewal."""
        raise NotImplementedError

    async def close(self) -> None:
        """Hang up."""
        await self._line.close()

    async def _key(self) -> AwsKey:
        try:
            # The first one loads botocore: not on the loop that serves requests.
            key = await asyncio.to_thread(self._read_key)
        except SecretError as failure:
            raise VaultError(f"cannot be made: {failure}") from None
        if key is None:
            raise VaultError("cannot be made: the key's file is not <access key id>:<secret access key>[:<token>]")
        return key

    def _read_key(self) -> AwsKey | None:
        return key_of_line(read_secret(self._manager.file, self._directory).reveal())


def _refused(refusal: StatusError) -> VaultError:
    """Whether it is about this secret, or about everything that would be asked. Only names that we know are told."""
    try:
        told = strict.json_object(refusal.body).get("__type")
    except ValueError:
        told = None
    # AWS JSON 1.1 lets servers put a namespace before "#", and a URI behind ":".
    name = told.rpartition("#")[2].partition(":")[0] if isinstance(told, str) else ""
    if name in _BUSY:
        return VaultError(f"was answered {name}", _TOO_MANY)
    if name in _SECRETS and refusal.status < _SERVER:
        return VaultError(f"was answered {name}", refusal.status)
    if name in _KEYS:
        return VaultError(f"was answered {name}")  # nothing else can be read either: as away as it gets
    return VaultError(f"was answered {refusal.status}", refusal.status if refusal.status >= 400 else 0)


def _read(raw: bytes) -> Reading:
    try:
        answer = strict.json_object(raw)
    except ValueError:
        raise VaultError("was answered without a JSON object") from None
    text, version = answer.get("SecretString"), answer.get("VersionId")
    if not isinstance(text, str):
        raise VaultError("was answered without a SecretString", 200)  # a binary one: no other secret's matter
    known = isinstance(version, str) and _VERSION.fullmatch(version) is not None
    return reading.of({**_fields(text), "": text}, str(version) if known else 0)


def _fields(text: str) -> dict[str, Any]:
    try:
        return strict.json_object(text.encode())
    except ValueError:  # one value, or keys that stand twice, of which nobody knows which is meant
        return {}
