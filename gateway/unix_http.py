"""An HTTP server on one Unix socket: bounded connections and heads, a graceful end. Answers nothing itself."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

#: Longer than those who ask keep idle connections (Envoy 30 s, workers less): being later avoids the race that resets
#: requests.
KEEPALIVE_S: Final = 75.0
_LINE_BYTES: Final = 4 * 1024  # paths and queries of ours have some hundred bytes


class UnixHttp:
    """One listening socket. Bodies are left as they came: whoever unpacks them bounds them."""

    def __init__(
        self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], connections: int, **options: Any
    ) -> None:
        """`connections`: beyond these, a new one is closed at once. `options`: more of `aiohttp.web.Server`'s."""
        self._handler = handler
        self._connections = connections
        self._options = options
        self._http: web.Server | None = None
        self._server: asyncio.Server | None = None

    async def start(self, listening: socket.socket) -> None:
        """Serve on a socket that is bound already."""
        settings: dict[str, Any] = {"max_line_size": _LINE_BYTES, "max_field_size": _LINE_BYTES, **self._options}
        http = web.Server(
            self._handler, keepalive_timeout=KEEPALIVE_S, access_log=None, auto_decompress=False, **settings
        )
        self._http = http
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(
            lambda: http() if len(http.connections) < self._connections else _Full(), sock=listening
        )

    async def close(self, within_s: float) -> None:
        """Take no new connection, let open requests finish, end."""
        if self._server is not None:
            self._server.close()
        if self._http is not None:
            self._http.pre_shutdown()
            await self._http.shutdown(within_s)


class _Full(asyncio.Protocol):
    """Closes a connection at once: whoever is beyond the bound learns nothing and costs nothing."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()
