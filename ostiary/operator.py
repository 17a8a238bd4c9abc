"""The operator's way to `control`: one request over its Unix socket, answered with JSON or explained as a Problem.

Blocking, for commands. Who may open the socket is an operator; no credential travels here.
"""

import argparse
import http.client
import json
import os
import pwd
import socket as sockets
from pathlib import Path
from typing import Any, Final

from gateway import settings
from gateway.contract import ACTOR_HEADER, ACTOR_NAME, OPERATOR_SOCKET
from ostiary.problem import Problem

_DEADLINE_S: Final = 15.0  # control's own deadline is 10 s (ostiary/control/door.py), and its answer should win
#: 100,000 keys of 300 bytes are 30 MB; a page is far below, and anything larger is not ours.
_ANSWER_BYTES: Final = 64 * 1024 * 1024
#: Where `ostiary up` and a packaged gateway put their sockets; the first that is there is meant.
_USUAL: Final = (Path(".ostiary") / "run", Path("/run/ostiary"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--socket` and `--actor`, which every command of an operator takes."""
    parser.add_argument("--socket", type=Path, metavar="FILE", help="of `ostiary control` (default: found by itself)")
    parser.add_argument("--actor", default="", metavar="NAME", help="who asks, for the record (default: your user)")


def ask(arguments: argparse.Namespace, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """`call` with what `add_arguments` has parsed."""
    return call(method, path, body, socket=arguments.socket or default_socket(), actor=arguments.actor)


def default_socket() -> Path:
    """The socket in OSTIARY_RUN_DIR, of `ostiary up` in this directory, or of the installed gateway."""
    run_dir = settings.run_dir_of_process()
    if run_dir is not None:
        return run_dir / OPERATOR_SOCKET
    usual = [run / OPERATOR_SOCKET for run in _USUAL]
    return next((path for path in usual if path.exists()), usual[0])


def call(method: str, path: str, body: dict[str, Any] | None, *, socket: Path, actor: str = "") -> dict[str, Any]:
    """Ask control and return its JSON object.

    Raises:
        Problem: control cannot be reached, or refused; the text is for the operator.
    """
    connection = _UnixConnection(socket)
    headers = {ACTOR_HEADER: _name(actor or _user()), "content-type": "application/json", "host": "control"}
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        status, raw = answer.status, answer.read(_ANSWER_BYTES + 1)
    except FileNotFoundError:
        raise Problem(f"control is not running: no socket at {socket}", hint=_HINT) from None
    except ConnectionRefusedError:
        raise Problem(f"control is not running: nobody answers at {socket}", hint=_HINT) from None
    except PermissionError:
        hint = "The socket is for the user that runs `ostiary control`. Run this command as that user."
        raise Problem(f"you may not open {socket}", hint=hint) from None
    except TimeoutError:
        raise Problem(f"control did not answer within {_DEADLINE_S:.0f} s", hint="Its log says why.") from None
    except (OSError, http.client.HTTPException) as failure:
        raise Problem(f"control broke the connection: {type(failure).__name__}", hint="Its log says why.") from None
    finally:
        connection.close()
    return _told(status, raw)


_HINT: Final = "Start it with `ostiary up` or `ostiary control`, or name its socket: --socket FILE or OSTIARY_RUN_DIR."


def _told(status: int, raw: bytes) -> dict[str, Any]:
    try:
        told = json.loads(raw) if raw and len(raw) <= _ANSWER_BYTES else {} if not raw else None
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise Problem(f"control answered {status} without a JSON object", hint="Is the socket really control's?")
    if status < http.HTTPStatus.BAD_REQUEST:
        return told
    error = told.get("error")
    if not isinstance(error, dict):
        raise Problem(f"control refused: {status}")
    text, where = str(error.get("message", "")), str(error.get("field", ""))
    raise Problem(f"{where}: {text}" if where else text or f"control refused: {status}", hint=_hint(error))


def _hint(error: dict[str, Any]) -> str:
    code = error.get("code")
    return f"Control's code for this: {code}" if isinstance(code, str) else ""


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user without a name
        return f"uid-{os.getuid()}"


def _name(text: str) -> str:
    """A name that fits a header; control records the caller's user id beside it in any case."""
    if ACTOR_NAME.fullmatch(text):
        return text
    raise Problem("an actor's name has up to 64 letters, digits, and . _ @ + -", hint="Choose one: --actor NAME")


class _UnixConnection(http.client.HTTPConnection):
    """HTTP/1.1 over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("control", timeout=_DEADLINE_S)
        self._path = path

    def connect(self) -> None:
        self.sock = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
