"""One child process: on a leash, in a session of its own, its output in a file, ended by pid. No policy."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_LEASH: Final = Path(__file__).with_name("leash.py")
_TAIL_BYTES: Final = 4096  # what of a log is worth showing on a terminal


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What to start. Secrets travel in files that `environ` names, never in `command`, which all may read."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str]
    log: Path | None = None  # None: the output is ours


@dataclass(slots=True)
class Child:
    """A started process."""

    launch: Launch
    process: asyncio.subprocess.Process

    @property
    def pid(self) -> int:
        """Its process id, which is also the id of its group."""
        return self.process.pid

    @property
    def ended(self) -> bool:
        """Whether it has ended and been waited for."""
        return self.process.returncode is not None

    def tell(self, number: int) -> None:
        """Send a signal to the process alone: it decides for what it started itself."""
        if not self.ended:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)

    async def end(self, within_s: float) -> bool:
        """Ask it to end, and insist after `within_s`. True when asking was enough."""
        self.tell(signal.SIGTERM)
        try:
            async with asyncio.timeout(within_s):
                await self.process.wait()
        except TimeoutError:
            self._kill_group()
            await self.process.wait()
            return False
        return True

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def tail(self) -> str:
        """The end of its log."""
        return tail(self.launch.log) if self.launch.log is not None else ""


async def start(launch: Launch, *, on_death: int = signal.SIGTERM) -> Child:
    """Start a child. `on_death` is what it gets should this process die without a word."""
    command = [sys.executable, "-I", "-S", str(_LEASH), str(os.getpid()), str(int(on_death)), *launch.command]
    log = os.open(launch.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if launch.log is not None else None
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=dict(launch.environ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # A session of its own: Ctrl-C reaches us alone, and we end the children in the right order.
            start_new_session=True,
        )
    finally:
        if log is not None:
            os.close(log)
    return Child(launch, process)


def tail(log: Path) -> str:
    """The last lines of a log file; nothing when there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            return file.read().decode("utf-8", "replace").strip()
    except FileNotFoundError:
        return ""
