"""An HTTP server on loopback that answers what a test wants, and remembers what it was asked."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer

#: Longer than any deadline under test: a request that is held ends with `close`.
_HELD_S = 10


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]  # by lower-case name
    body: bytes


class StubHttp:
    """Answers `status` and `body`, or what `body` makes of the request; while `held` is cleared, not at all."""

    def __init__(self, body: bytes | Callable[[Asked], bytes], status: int = 200) -> None:
        self.status = status
        self.body = body
        self.asked: list[Asked] = []
        self.held = threading.Event()
        self.held.set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                asked = Asked(self.command, self.path, headers, self.rfile.read(int(headers.get("content-length", 0))))
                outer.asked.append(asked)
                outer.held.wait(_HELD_S)
                body = b"" if outer.status == 204 else outer.body if type(outer.body) is bytes else outer.body(asked)
                self.send_response(outer.status)
                self.send_header("location", "/elsewhere")
                if outer.status != 204:  # RFC 9110 section 8.6: no content has no length
                    self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET  # noqa: N815  # the base class calls it so

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let go of what is held, and of the port."""
        self.held.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
