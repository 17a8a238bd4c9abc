"""Gives back to the system what only starting needed: freed heap, pages of files read once. On Linux alone."""

import ctypes
import os
import re
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

import structlog

_log: Final = structlog.get_logger(__name__)
_MADV_DONTNEED: Final = 4  # <sys/mman.h>
_SMAPS: Final = Path("/proc/self/smaps")
#: A mapping's first line (proc(5)): from and to, `r--p` or the like, offset, device, inode, what is mapped.
_MAPPING: Final = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+ +(/.+)")


def give_back(read_once: Iterable[Path] = ()) -> None:
    """Hand free heap to the system, and the clean pages of files whose contents have been copied out of them.

    It is thrift alone: where the system does not tell what is mapped, memory stays and the caller goes on. Compiling
    expressions leaves the C library with free memory, between what is kept, that it would hold for good.
    """
    if sys.platform != "linux":
        return
    library = ctypes.CDLL(None, use_errno=True)
    if hasattr(library, "malloc_trim"):  # glibc; musl gives back by itself
        library.malloc_trim(0)
    files = {os.path.realpath(path) for path in read_once}
    for start, end in _clean(files):
        library.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_DONTNEED)


def _clean(files: set[str]) -> Iterator[tuple[int, int]]:
    """Where these files are mapped for reading alone and no page was ever changed.

    Only such pages come back as they were, from the file: of one that was written, as a library's relocated tables are
    by the loader before it protects them, there is no other copy (madvise(2), MADV_DONTNEED).
    """
    mapped: tuple[int, int] | None = None
    for line in _told() if files else ():
        if found := _MAPPING.fullmatch(line):
            start, end, permissions, path = found.groups()
            mapped = (int(start, 16), int(end, 16)) if permissions == "r--p" and path in files else None
        elif line[0] in "0123456789abcdef":  # a mapping of no file
            mapped = None
        elif (
            line.startswith(("Anonymous:", "Swap:")) and line.split()[1] != "0"
        ):  # changed, and perhaps put aside since
            mapped = None
        elif mapped and line.startswith("VmFlags:"):  # the last of its lines
            yield mapped


def _told() -> list[str]:
    """Lines about each mapping; none where /proc is not mounted, or kernel or sandbox leave the file out."""
    try:
        return _SMAPS.read_text().splitlines()
    except OSError as failure:
        _say_once(type(failure).__name__)
        return []


@cache
def _say_once(reason: str) -> None:
    """Not with every reload again."""
    _log.info("memory_not_given_back", reason=reason)
