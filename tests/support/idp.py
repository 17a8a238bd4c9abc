"""An identity provider's public side on loopback: discovery and keys over HTTP, each to be broken at will."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import issuing

WELL_KNOWN = "/.well-known/openid-configuration"


class Idp:
    """Serves keys on a free port. `status` and `body` replace what it would answer; `asked` counts by path."""

    def __init__(self, *algorithms: str) -> None:
        self.keys = [issuing.jwk(algorithm) for algorithm in algorithms]
        self.status = 200
        self.body: bytes | None = None
        self.asked: dict[str, int] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked[self.path] = outer.asked.get(self.path, 0) + 1
                body = outer.answer(self.path)
                self.send_response(outer.status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def answer(self, path: str) -> bytes:
        if self.body is not None:
            return self.body
        if path == WELL_KNOWN:
            return json.dumps({"issuer": self.url, "jwks_uri": f"{self.url}/jwks"}).encode()
        return issuing.jwks(*self.keys)

    def token(self, algorithm: str = "ES256", *, lasts_s: float = 300, **changes: Any) -> str:
        """A token that is good now."""
        now_s = int(time.time())
        times = {"iat": now_s, "nbf": now_s, "exp": now_s + lasts_s}
        return issuing.token(algorithm, **{"iss": self.url, **times, **changes})
