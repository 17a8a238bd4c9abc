"""Starts and ends the processes of a bench, and reads what they cost from /proc. Measures nothing itself."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
ENVOY = Path(sys.executable).parent / "envoy"
_TICKS = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cpu_s(pid: int) -> float:
    """CPU seconds of one process so far (proc(5): utime, stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def pss_mib(pid: int) -> float:
    """Proportional set size: shared pages counted once over all who share them."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE)[1]) / 1024  # type: ignore[index]


def wait_port(port: int, within_s: float = 60) -> None:
    """Until somebody listens."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise TimeoutError(f"nobody listens on port {port}")


@contextlib.contextmanager
def process(
    args: list[str], log: Path, env: Mapping[str, str] | None = None, **kw: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """One child in its own session, its output in `log`; ended by pid."""
    with log.open("ab") as out:
        child = subprocess.Popen(
            args, stdout=kw.pop("stdout", out), stderr=out, start_new_session=True, cwd=ROOT,
            env={**os.environ, **(env or {})}, **kw,
        )  # fmt: skip
        try:
            yield child
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGTERM)
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait(5)


def children(pid: int) -> dict[int, str]:
    """Every descendant of a process with its command line."""
    found: dict[int, str] = {}
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
                parents.setdefault(int(stat[1]), []).append(int(entry.name))
    todo = [pid]
    while todo:
        for child in parents.get(todo.pop(), []):
            todo.append(child)
            with contextlib.suppress(OSError):
                found[child] = (Path(f"/proc/{child}/cmdline").read_bytes()).replace(b"\0", b" ").decode()
    return found


def load(job: dict[str, Any]) -> dict[str, Any]:
    """Run one load job in a process of its own."""
    done = subprocess.run(
        [sys.executable, str(HERE / "load.py")],
        input=json.dumps(job).encode(),
        stdout=subprocess.PIPE,
        check=True,
    )
    out: dict[str, Any] = json.loads(done.stdout)
    return out
