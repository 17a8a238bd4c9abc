"""A receiver of the gateway's webhook: takes messages, or refuses the first of them; knows nothing of signatures."""

import contextlib
import http.server
import threading
import time
from collections.abc import Iterator


class _Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        receiver = self.server
        if not isinstance(receiver, Receiver):
            raise TypeError("made for a Receiver alone")
        body = self.rfile.read(int(self.headers["content-length"]))
        receiver.calls.append(({name.lower(): value for name, value in self.headers.items()}, body, time.time()))
        self.send_response(503 if len(receiver.calls) <= receiver.refuses else 202)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base's name
        pass


class Receiver(http.server.ThreadingHTTPServer):
    def __init__(self, *, refuses: int = 0) -> None:
        super().__init__(("127.0.0.1", 0), _Hook)
        self.refuses = refuses
        self.calls: list[tuple[dict[str, str], bytes, float]] = []  # headers, body, when


@contextlib.contextmanager
def receiving(*, refuses: int = 0) -> Iterator[Receiver]:
    """Listens until the end; the first `refuses` messages get 503."""
    with Receiver(refuses=refuses) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
