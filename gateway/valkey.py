"""Connections to Valkey (or Redis) for whoever keeps something there. Knows no key and no command."""

import ssl
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from redis._parsers import _AsyncRESP2Parser
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import Connection, SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import InvalidResponse

from gateway.settings import Settings
from gateway.tls import Hop, HopFiles

_POOL: Final = 16  # leases of one worker at a time; each takes well under a millisecond


class _Secured(Connection):
    """TLS as `Hop` has it at the moment of connecting; the library would keep its first context for ever."""

    def __init__(self, *, context: Callable[[], ssl.SSLContext], **options: Any) -> None:
        super().__init__(**options)
        self._hop_context = context

    def _connection_arguments(self) -> dict[str, Any]:
        return {**super()._connection_arguments(), "ssl": self._hop_context()}


class _Bounded(_AsyncRESP2Parser):
    """Reads answers of so many bytes. RESP2: a server that may say less can also send less astray."""

    def __init__(self, most_bytes: int, socket_read_size: int) -> None:
        super().__init__(socket_read_size)
        self._most = most_bytes
        self._left = most_bytes

    async def read_response(self, disable_decoding: bool = False) -> Any:
        self._left = self._most
        try:
            return await super().read_response(disable_decoding)
        except (ValueError, RecursionError):  # lengths that are none, arrays in arrays; their text is the server's
            raise InvalidResponse("not an answer") from None

    async def _read(self, length: int) -> bytes:
        self._take(length)
        return await super()._read(length)

    async def _readline(self) -> bytes:
        line = await super()._readline()  # of at most 64 KiB: the stream's own bound
        self._take(len(line))
        return line

    def _take(self, count: int) -> None:
        self._left -= count
        if self._left < 0 or count < 0:
            raise InvalidResponse("too long an answer")


def connect(
    url: str,
    files: HopFiles | None = None,
    *,
    connections: int = _POOL,
    retries: int = 1,
    most_bytes: int | None = None,
) -> Redis:
    """A client; connects when first used. The caller closes it with `aclose`, and sets deadlines.

    Args:
        url: of the settings: `unix://`, `rediss://`, or `redis://` to loopback; with user and password for an ACL.
        files: certificates for `rediss://`; the host's authorities when None.
        connections: most that are open at once; more callers wait, within their deadlines.
        retries: how often a command that broke is sent again at once. One helps after a restart of the server, whose
            end a pooled connection has not noticed. None for commands that must not happen twice. The library's own
            tries with back-off would outlast every deadline.
        most_bytes: longest answer that is read, from a server that is not trusted.

    Raises:
        HopError: the files cannot be used.
    """
    options: dict[str, Any] = dict(parse_url(url))
    if options.get("connection_class") is SSLConnection:
        options |= {"connection_class": _Secured, "context": Hop(files or HopFiles()).context}
    if most_bytes is not None:
        options |= {"protocol": 2, "parser_class": partial(_Bounded, most_bytes)}
    pool = BlockingConnectionPool(
        max_connections=connections,
        timeout=None,  # the caller's deadline bounds the wait for a connection too
        # With one, the library sends under asyncio.wait_for, which before Python 3.12 loses a cancellation that comes
        # as the sending ends (CPython issue 86296): a deadline that passes unnoticed, a task that does not end.
        socket_timeout=None,
        retry=Retry(NoBackoff(), retries),
        **options,
    )
    return Redis.from_pool(pool)


def client(settings: Settings, *, connections: int = _POOL, retries: int = 1) -> Redis | None:
    """`connect` as the settings say; None where they name no Valkey."""
    if settings.valkey_url is None:
        return None
    return connect(settings.valkey_url, files_of(settings), connections=connections, retries=retries)


def files_of(settings: Settings) -> HopFiles:
    """The certificates that the settings name for Valkey."""
    return HopFiles(
        ca_file=settings.valkey_ca_file,
        cert_file=settings.valkey_cert_file,
        key_file=settings.valkey_key_file,
    )
