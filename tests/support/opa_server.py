"""An OPA server's Data API on loopback, to be broken at will: it answers what it is told to, or nothing at all."""

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


class OpaServer:
    """`status` and `body` are what it answers; with `silent` it takes the request and says nothing until the end."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.status = 200
        self.body = b'{"result":{"allow":true}}'
        self.silent = False
        self.hangs_up = False
        self.asked: list[tuple[str, bytes]] = []
        self._ended = threading.Event()
        outer = self

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """A handshake that failed is what some tests want."""

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                outer.asked.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
                if outer.silent:
                    outer._ended.wait(30)
                if outer.silent or outer.hangs_up or outer._ended.is_set():
                    self.close_connection = True
                    return
                try:
                    self.send_response(outer.status)
                    self.send_header("location", "/elsewhere")
                    self.send_header("content-type", "application/json")
                    self.send_header("content-length", str(len(outer.body)))
                    self.end_headers()
                    self.wfile.write(outer.body)
                except OSError:
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls is not None:
            # The handshake belongs to the connection's own thread, or one bad client would stop the server.
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
