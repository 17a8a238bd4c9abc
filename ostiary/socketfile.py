"""Our Unix sockets on disk: taken over only from the dead, never from the living, never from another file."""

import contextlib
import os
import socket
import stat
from pathlib import Path

from ostiary.problem import Problem


def clear(path: Path) -> None:
    """Remove what a process that crashed left behind. Refuses when somebody listens there, or it is no socket."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise Problem(f"{path} is in the way and is not a socket", hint="Remove it, or set OSTIARY_RUN_DIR.")
    if _answered(path):
        raise Problem(f"another process listens on {path}", hint="Stop it, or set OSTIARY_RUN_DIR.")
    path.unlink(missing_ok=True)


def _answered(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:  # for example a full backlog: somebody is there
            return True
    return True


def publish(bound: Path, path: Path, mode: int) -> int:
    """Show a socket under its final name once it is listening and its mode is set. Returns its inode."""
    bound.chmod(mode)
    inode = bound.stat().st_ino
    bound.replace(path)
    return inode


def withdraw(path: Path, inode: int) -> None:
    """Remove our own socket; one that a successor has put in its place stays."""
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_ino == inode:
            path.unlink()
