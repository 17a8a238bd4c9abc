"""The way out for requests that a worker makes itself: through Envoy, by a Unix socket. Knows no provider, no copy.

Workers need no network: names, TLS and connections to providers are Envoy's. One request is one POST, whose answer is
read piece by piece by whoever asked, and which ends when that one has had enough.
"""

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import httpx

#: Where the request is really sent is the route's matter; HTTP wants a host all the same.
_HOST: Final = "http://localhost"
#: Less than Envoy keeps them (control/edge/mirror.py): the side that closes first loses no request.
_KEEP_S: Final = 20.0


class EgressError(Exception):
    """No answer, or no end of one. The text names a kind of failure, no content and no address."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer whose head has come."""

    status: int
    content_type: str
    pieces: AsyncIterator[bytes]


class Egress:
    """For one event loop. Connects when first used."""

    def __init__(self, socket_path: str, connections: int | None = None) -> None:
        """`connections`: most of them; None: whoever asks has bounds, and must not wait for another's answer."""
        limits = httpx.Limits(max_connections=connections, keepalive_expiry=_KEEP_S)
        unused = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # else httpx reads every root: 25 ms of the worker's loop
        transport = httpx.AsyncHTTPTransport(uds=socket_path, verify=unused, limits=limits)
        self._client = httpx.AsyncClient(transport=transport, trust_env=False, timeout=None)  # noqa: S113 - the caller's

    @asynccontextmanager
    async def post(self, path: str, headers: Mapping[str, str], content: bytes) -> AsyncIterator[Answer]:
        """Send, and let the answer be read; leaving the block early hangs up. The caller sets the time.

        Raises:
            EgressError: nobody answered, or what was read broke off.
        """
        self._client.cookies.clear()  # no state but connections
        asked = self._client.build_request("POST", _HOST + path, headers=headers, content=content)
        try:
            answer = await self._client.send(asked, stream=True)
            try:
                yield Answer(answer.status_code, answer.headers.get("content-type", ""), answer.aiter_raw())
            finally:
                await answer.aclose()
        except httpx.HTTPError as failure:
            raise EgressError(type(failure).__name__) from None

    async def close(self) -> None:
        """Hang up."""
        await self._client.aclose()
