"""An authorization server's introspection endpoint on loopback (RFC 7662), to be broken at will."""

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, unquote_plus

CLIENT = "gate:way"  # needs the form-encoding of RFC 6749 section 2.3.1
SECRET = "s3cr3t %&+/: x"


class TokenServer:
    """Answers from `tokens`; `status` and `body` replace what it would answer, `delay_s` holds it back."""

    def __init__(self) -> None:
        self.tokens: dict[str, dict[str, Any]] = {}
        self.status = 200
        self.body: bytes | None = None
        self.delay_s = 0.0
        self.asked: list[str] = []
        self.refused = 0
        self.released = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
                status, body = outer.answer(self.path, dict(self.headers.items()), form)
                if outer.delay_s:
                    outer.released.wait(outer.delay_s)
                try:
                    self.send_response(status)
                    self.send_header("content-type", "application/json")
                    self.send_header("content-length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except ConnectionError:
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/introspect"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def issue(self, token: str, *, lasts_s: float = 300, **claims: Any) -> str:
        """A token that is good now."""
        now_s = int(time.time())
        about = {"active": True, "sub": "svc-1", "client_id": "batch", "scope": "chat embed", "token_type": "Bearer"}
        self.tokens[token] = {**about, "iat": now_s, "exp": now_s + lasts_s, **claims}
        return token

    def answer(self, path: str, headers: dict[str, str], form: dict[str, list[str]]) -> tuple[int, bytes]:
        (token,) = form["token"]
        self.asked.append(token)
        if self.body is not None or self.status != 200:
            return self.status, self.body or b"{}"
        scheme, _, pair = headers.get("authorization", "").partition(" ")
        named = base64.b64decode(pair).decode().split(":")
        if path != "/introspect" or scheme != "Basic" or [unquote_plus(part) for part in named] != [CLIENT, SECRET]:
            self.refused += 1
            return 401, b'{"error":"invalid_client"}'
        return 200, json.dumps(self.tokens.get(token, {"active": False})).encode()
