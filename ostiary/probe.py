"""How `ostiary up` finds out that a part is ready: by using it as its clients do. Starts nothing."""

import asyncio
import http.client
import json
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_ANSWER_S: Final = 15.0  # a first request may compile tables; longer is a failure


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back over HTTPS."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def ask(port: int, ca: Path, key: str, path: str, body: dict[str, Any] | None = None) -> Answer:
    """One request through the gateway, with its certificate checked. Blocking."""
    context = ssl.create_default_context(cafile=str(ca))
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=_ANSWER_S)
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    try:
        connection.request("GET" if body is None else "POST", path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()


async def valkey_version(socket: Path) -> str:
    """The version of the Valkey behind `socket`, by its own word."""
    reader, writer = await asyncio.open_unix_connection(str(socket))
    try:
        writer.write(b"INFO server\r\n")  # an inline command: no client library needed for one question
        size = await reader.readline()
        if not size.startswith(b"$"):
            raise ConnectionError("not ready")  # for example -LOADING
        info = (await reader.readexactly(int(size[1:]))).decode()
    finally:
        writer.close()
    version = ""
    for line in info.splitlines():
        name, _, value = line.partition(":")
        if name == "valkey_version" or (name == "redis_version" and not version):
            version = value
    return version


async def http_status(host: str, port: int, path: str) -> tuple[int, str]:
    """Status and body of a plain HTTP page on loopback."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode())
        head, _, body = (await reader.read(1 << 16)).partition(b"\r\n\r\n")
    finally:
        writer.close()
    words = head.split(b" ", 2)
    return (int(words[1]), body.decode("utf-8", "replace")) if len(words) > 1 else (0, "")
