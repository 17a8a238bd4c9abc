"""Audit trail v0: a bounded queue and one thread that appends JSON lines. Decides nothing, signs nothing yet.

This is the seam that the tamper-evident trail fills later. Callers rely on this and no more:

- `offer(record)` never waits and tells at once whether the record was taken; what was taken is never dropped
  while the process lives.
- `healthy` says whether a new exchange may begin. It turns False while the disk refuses, and already when the
  queue is three quarters full: the rest is kept for exchanges under way, whose records come at their end
  (records of the door, `writer` "authz", and of mirrors are not taken into that rest).
- lines are on disk, in the order of offers, at most `fsync_ms` plus one fsync later.
- after a disk error, writing goes on where it stopped; after a failed fsync the whole group is repeated:
  the kernel may have dropped it (so readers see a line at least once; `request_id` tells them apart).
- `close()` writes what is left and says how many records could not be written.
"""

import asyncio
import errno
import fcntl
import json
import os
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import structlog

from gateway.audit.record import MIRROR, SCHEMA, Record

#: One write of about 1 MiB at 1 KiB a line: bounds what is held twice, and what a failed fsync repeats.
GROUP_RECORDS: Final = 1024
#: How long a refusing disk is left alone. Recovery is noticed within this time.
RETRY_S: Final = 0.5
#: How long `close` fights for what is left: well inside the supervisor's drain time.
CLOSE_S: Final = 5.0
#: Then the thread has this long to let go of the file; one that hangs in a dead mount is left behind.
GIVE_UP_S: Final = 1.0

#: `Record.writer` of refusals at the door. They may not fill the room that is kept for exchanges under way: while the
#: disk refuses, a flood of refused requests would otherwise push out the records of answers already given.
DOOR: Final = "authz"
#: Nor may copies to mirrors.
_LESSER: Final = frozenset({DOOR, MIRROR})

_log: Final = structlog.get_logger(__name__)


class File(Protocol):
    """What the writer needs of a file. Every method may raise OSError; none is called from the event loop."""

    def write(self, data: bytes | memoryview) -> int:
        """Append a first part of `data` and say how many bytes that was."""
        ...

    def sync(self) -> None:
        """Return when everything written has reached the disk."""
        ...

    def close(self) -> None:
        """Give the file back."""
        ...


class AppendFile:
    """A file that only grows, held by one process, whose last line is whole."""

    def __init__(self, path: Path) -> None:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(path, flags, 0o600)
        try:
            os.fchmod(self._descriptor, 0o600)  # also of a file that was there before
            # Two gateways with one audit directory would interleave torn lines. The lock dies with us.
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._end_last_line()
            _sync_directory(path.parent)
        except BaseException:
            os.close(self._descriptor)
            raise

    def _end_last_line(self) -> None:
        """A process that died while writing left half a line: ended here, it is one bad line, not two."""
        size = os.fstat(self._descriptor).st_size
        if size and os.pread(self._descriptor, 1, size - 1) != b"\n":
            os.write(self._descriptor, b"\n")

    def write(self, data: bytes | memoryview) -> int:
        """Append; the kernel may take only a part, for example of the last free block."""
        return os.write(self._descriptor, data)

    def sync(self) -> None:
        """Data and size; times of the inode do not matter here."""
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Also gives the lock back."""
        os.close(self._descriptor)


class Trail:
    """One writer's records on their way to one file. The event loop offers, a thread owns the file."""

    def __init__(
        self,
        path: Path,
        *,
        queue_records: int,
        fsync_ms: int,
        open_file: Callable[[Path], File] = AppendFile,
        retry_s: float = RETRY_S,
    ) -> None:
        self._path = path
        self._limit = queue_records
        self._admit = queue_records - queue_records // 4
        self._gather_s = fsync_ms / 1000
        self._open_file = open_file
        self._retry_s = retry_s

        # Each number has one writing thread, so plain attributes are enough: reads are at worst a moment old.
        self._taken = 0  # event loop
        self._refused = 0  # event loop
        self._written = 0  # thread
        self._failed = 0  # thread
        self._failing = False  # thread
        self._running = False  # set by start, cleared by the thread

        self._queue: deque[Record] = deque()  # append and popleft are atomic
        self._some = threading.Event()  # a record waits
        self._hurry = threading.Event()  # do not gather any longer: half full, or closing
        self._closing = threading.Event()
        self._give_up = threading.Event()  # stop even though records are left
        self._file: File | None = None
        self._thread: threading.Thread | None = None
        self._on_end: Callable[[], object] = bool

    @property
    def healthy(self) -> bool:
        """Whether a new exchange may begin; without it authz answers AUDIT_UNAVAILABLE."""
        return self._running and not self._failing and not self._closing.is_set() and self.pending < self._admit

    @property
    def pending(self) -> int:
        """Records taken and not yet safe on disk."""
        return self._taken - self._written

    @property
    def written(self) -> int:
        """Records that reached the disk."""
        return self._written

    @property
    def failed(self) -> int:
        """Attempts to write that the disk refused."""
        return self._failed

    @property
    def refused(self) -> int:
        """Offers that found the queue full or the trail closed: the caller has to deny or to cut."""
        return self._refused

    def offer(self, record: Record) -> bool:
        """Take `record` for writing. False: not taken. Never waits; only for the event loop's thread."""
        limit = self._admit if record.writer in _LESSER else self._limit
        if self._closing.is_set() or self.pending >= limit:
            self._refused += 1
            return False
        self._queue.append(record)
        self._taken += 1
        if not self._some.is_set():
            self._some.set()
        if self.pending * 2 > self._limit and not self._hurry.is_set():
            self._hurry.set()
        return True

    def start(self) -> None:
        """Open the file and start the thread. Raises OSError: a gateway without a record does not start."""
        if self._thread is not None:
            raise RuntimeError("a trail starts once")
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = self._open_file(self._path)
        # daemon: a crash of the main thread must not hang the process; an orderly end goes through close().
        self._thread = threading.Thread(target=self._work, name="audit-trail", daemon=True)
        self._running = True
        self._thread.start()

    async def run(self) -> None:
        """Start unless started, and return when the thread has ended: by `close` or by a crash."""
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        self._on_end = partial(loop.call_soon_threadsafe, ended.set)
        if self._thread is None:
            self.start()
        if self._running:
            await ended.wait()

    async def close(self, within_s: float = CLOSE_S) -> int:
        """Take no more, write what is left, return how many records could not be written."""
        self._closing.set()
        self._hurry.set()
        self._some.set()
        thread = self._thread
        if thread is not None:
            await asyncio.to_thread(thread.join, within_s)
            self._give_up.set()
            await asyncio.to_thread(thread.join, GIVE_UP_S)
        lost = self.pending
        if lost:
            _log.error("audit_records_lost", records=lost, file=self._path.name)
        return lost

    # --- the writer's thread --------------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            while self._gather():
                group = self._drain()
                if not self._store(b"".join(map(_line, group))):
                    break
                self._written += len(group)
        except Exception:  # noqa: BLE001  # whatever it is, the gateway must refuse from now on, and say why
            _log.error("audit_trail_stopped", exc_info=True)
        finally:
            self._running = False
            if self._file is not None:
                with suppress(OSError):
                    self._file.close()
            with suppress(RuntimeError):  # the event loop is gone already
                self._on_end()

    def _gather(self) -> bool:
        """Wait for a record, then for its company: one write and one fsync serve the whole group."""
        if self._queue:
            return True  # more than one group was waiting
        if self._closing.is_set():
            return False
        self._hurry.clear()
        self._some.wait()
        if not self._closing.is_set():
            self._hurry.wait(self._gather_s)
        self._some.clear()
        return True

    def _drain(self) -> list[Record]:
        return [self._queue.popleft() for _ in range(min(len(self._queue), GROUP_RECORDS))]

    def _store(self, data: bytes) -> bool:
        """Bring `data` to the disk, however long that takes. False when told to give up."""
        rest = memoryview(data)
        while rest or self._file is None:
            try:
                if self._file is None:
                    self._file = self._open_file(self._path)
                while rest:
                    rest = rest[_written(self._file, rest) :]
            except OSError as error:
                self._report(error)
                if self._give_up.wait(self._retry_s):
                    return False
                continue
            try:
                self._file.sync()
            except OSError as error:
                # Linux reports a failed write-back once and may drop the pages, so another fsync proves
                # nothing: start over with a fresh descriptor and the whole group.
                with suppress(OSError):
                    self._file.close()
                self._file = None
                rest = memoryview(data)
                self._report(error)
                if self._give_up.wait(self._retry_s):
                    return False
        if self._failing:
            self._failing = False
            _log.warning("audit_disk_recovered", file=self._path.name, attempts_failed=self._failed)
        return True

    def _report(self, error: OSError) -> None:
        self._failed += 1
        if not self._failing:  # once for each outage: a log on the same disk would fail as well
            self._failing = True
            name = errno.errorcode.get(error.errno or 0, "unknown")
            _log.error("audit_disk_refuses", file=self._path.name, errno=name)


def _written(file: File, data: memoryview) -> int:
    count = file.write(data)
    if count <= 0:
        raise OSError(errno.EIO, "no progress")  # would spin
    return count


def _line(record: Record) -> bytes:
    try:
        return record.line()
    except TypeError:
        # A string that is no valid Unicode, or a value that is no JSON: neither may cost the evidence.
        text = json.dumps({"schema": SCHEMA, **_plain(record)}, default=_plain, ensure_ascii=False)
        return text.encode("utf-8", "replace") + b"\n"


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: getattr(value, item.name) for item in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): value[key] for key in value}
    return f"<{type(value).__name__}>"


def _sync_directory(path: Path) -> None:
    """Make the file's name survive a power cut, too (fsync(2), notes)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
