"""Evaluation by an OPA server: one POST, no retry, a bounded answer, and a circuit breaker before it all.

opa-python-client speaks to the server; its session is made here, for a TLS context whose files may change, and its
answers are read here, because it reads them without a bound.
"""

import asyncio
import ssl
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import orjson
from opa_client.opa_async import AsyncOpaClient

from authz.opa.evaluator import AwayError, BrokenError
from authz.opa.library import MAX_ANSWER_BYTES
from gateway.breaker import Breaker
from gateway.clock import Clock
from gateway.policy.model import Opa
from gateway.tls import Hop, HopFiles

#: A failing server is asked again after half a second, then ever more seldom: a restart takes about one.
_FAILURES_TO_OPEN: Final = 5
_FIRST_OPEN_S: Final = 0.5
_LONGEST_OPEN_S: Final = 5.0
#: One worker's share of a server; more requests than that wait, and their deadline passes.
_CONNECTIONS: Final = 32
#: The part of the deadline after which a server that has said nothing is slow, whoever hung up.
_SLOW: Final = 0.5
_IDLE_S: Final = 15.0  # below the idle timeouts of what may stand between (Envoy's is an hour, cloud balancers' 60 s)


class _Client(AsyncOpaClient):  # type: ignore[misc]  # the library has no types
    """The library's client without retries, with one bounded question."""

    _session: aiohttp.ClientSession | None

    async def _init_session(self) -> None:
        self._connector = aiohttp.TCPConnector(limit=_CONNECTIONS, keepalive_timeout=_IDLE_S)
        self._session = aiohttp.ClientSession(
            connector=self._connector,
            timeout=aiohttp.ClientTimeout(total=self.timeout),
            headers={"accept-encoding": "identity"},  # a compressed answer could unpack beyond every bound
            auto_decompress=False,
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def ask(self, path: str, body: bytes, context: "ssl.SSLContext | bool") -> tuple[int, bytes]:
        """Status and at most one byte more of the answer than is ever read."""
        if self._session is None:
            await self._init_session()
        # Builtins that fail are an error, as they are in the library: undefined could turn a deny into nothing.
        url = f"{self.root_url}/data/{path}?strict-builtin-errors=true"
        headers = {"content-type": "application/json"}
        request = self._request("POST", url, data=body, headers=headers, ssl=context, allow_redirects=False)
        async with request as answer:
            return answer.status, await _read(answer)


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    found = bytearray()
    async for chunk in answer.content.iter_any():
        found += chunk
        if len(found) > MAX_ANSWER_BYTES:
            answer.close()  # not worth reading to its end for the sake of the connection
            break
    return bytes(found)


class Remote:
    """`Evaluator` by a server. For one event loop."""

    def __init__(self, opa: Opa, directory: str, clock: Clock) -> None:
        """Reads the certificates. Raises gateway.tls.HopError."""
        if opa.url is None:
            raise ValueError("no server")
        parts = urlsplit(opa.url)
        tls = parts.scheme == "https"
        base = Path(directory)
        files = (base / name if name else None for name in (opa.ca_file, opa.cert_file, opa.key_file))
        ca_file, cert_file, key_file = files
        self._hop = Hop(HopFiles(ca_file=ca_file, cert_file=cert_file, key_file=key_file)) if tls else None
        self._clock = clock
        self._patience_s = opa.deadline_ms / 1000 * _SLOW
        self._path = f"{opa.package.replace('.', '/')}/decision"
        self._breaker = Breaker(
            failures_to_open=_FAILURES_TO_OPEN, first_open_s=_FIRST_OPEN_S, longest_open_s=_LONGEST_OPEN_S
        )
        host = parts.hostname or ""
        self._client = _Client(
            host=f"[{host}]" if ":" in host else host,
            port=parts.port or (443 if tls else 80),
            ssl=tls,
            retries=0,  # a second try would pay the deadline twice, and double the load of a server in need
            timeout=opa.deadline_ms / 1000,
        )

    async def evaluate(self, document: bytes, who: tuple[str, str]) -> object:
        """See `Evaluator`."""
        del who
        began_s = self._clock.monotonic()
        if not self._breaker.start(began_s):
            raise AwayError("the OPA server failed too often and is left alone for a while")
        answered = left = False
        try:
            status, body = await self._ask(document)
            answered = _answers(status, body)
        except asyncio.CancelledError:
            # A deadline that passed tells of the server. A client that hung up early does not: counted, a burst of
            # requests that one client resets at once would shut the server to everybody.
            left = self._clock.monotonic() - began_s < self._patience_s
            raise
        finally:
            if answered:
                self._breaker.succeeded()
            elif left:
                self._breaker.abandoned()
            else:
                self._breaker.failed(self._clock.monotonic())
        return _value(status, body)

    async def _ask(self, document: bytes) -> tuple[int, bytes]:
        context = self._hop.context() if self._hop is not None else True
        try:
            return await self._client.ask(self._path, b'{"input":' + document + b"}", context)
        except (aiohttp.ClientError, OSError, TimeoutError) as failure:
            # OPA's server is named by the policy, but what a library says may quote the answer.
            raise AwayError(f"the OPA server did not answer ({type(failure).__name__})") from None

    async def close(self) -> None:
        """See `Evaluator`."""
        await self._client.close_connection()


def _answers(status: int, body: bytes) -> bool:
    """Whether there is an OPA: one that says why it could not evaluate is well."""
    return status == 200 or (status in {400, 500} and "code" in (_object(body) or {}))


def _value(status: int, body: bytes) -> object:
    """`result` of the server's answer (OPA, "REST API", "Get a Document with Input")."""
    if status != 200:
        if _answers(status, body):  # what it says may quote input and data
            raise BrokenError(f"evaluation failed (the OPA server answered {status})")
        raise AwayError(f"the OPA server answered {status}")
    if len(body) > MAX_ANSWER_BYTES:
        raise BrokenError(f"the answer has more than {MAX_ANSWER_BYTES} bytes")
    answer = _object(body)
    if answer is None:
        raise BrokenError("the OPA server did not answer JSON")
    return answer.get("result")  # absent where the decision is undefined


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None
