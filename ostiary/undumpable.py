"""Keeps this process's memory to itself: no core dump, no debugger of the same user. Full effect on Linux alone."""

import ctypes
import resource
import sys
from typing import Final

_PR_SET_DUMPABLE: Final = 4  # <linux/prctl.h>


def apply() -> None:
    """For a process that holds others' keys. Undone by exec, so the process itself must call it.

    Not dumpable (prctl(2)), its /proc entries belong to root and another process of the same user cannot attach
    (ptrace(2)): py-spy, gdb and strace need root from then on.
    """
    # A dump that goes to a pipe (`|` in core_pattern) ignores the limit, and the flag covers that (core(5)).
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
