"""Connections to Valkey (or Redis) for whoever keeps something there. Knows no key and no command."""

import ssl
from collections.abc import Callable
from typing import Any, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import Connection, SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

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


def connect(url: str, files: HopFiles | None = None, *, connections: int = _POOL, retries: int = 1) -> Redis:
    """A client; connects when first used. The caller closes it with `aclose`, and sets deadlines.

    Args:
        url: of the settings: `unix://`, `rediss://`, or `redis://` to loopback; with user and password for an ACL.
        files: certificates for `rediss://`; the host's authorities when None.
        connections: most that are open at once; more callers wait, within their deadlines.
        retries: how often a command that broke is sent again at once. One helps after a restart of the server, whose
            end a pooled connection has not noticed. None for commands that must not happen twice. The library's own
            tries with back-off would outlast every deadline.

    Raises:
        HopError: the files cannot be used.
    """
    options: dict[str, Any] = dict(parse_url(url))
    if options.get("connection_class") is SSLConnection:
        options |= {"connection_class": _Secured, "context": Hop(files or HopFiles()).context}
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
