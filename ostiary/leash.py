"""Run a program that ends when the process that started it ends, also by SIGKILL. Executed, never imported.

`python -I -S leash.py PARENT_PID SIGNAL PROGRAM ARGUMENT...` asks the kernel for SIGNAL on the parent's death
and then becomes PROGRAM; the wish survives exec (prctl(2), PR_SET_PDEATHSIG). A preexec_fn would do the same
between fork and exec, where Python code of a process with threads may deadlock.
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def main(arguments: list[str]) -> None:
    """Bind to the parent, then exec. Elsewhere than on Linux the program runs unbound."""
    parent, number, *command = arguments
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != int(parent):
            sys.exit(1)  # it died before the kernel knew of our wish
    os.umask(0o077)  # sockets, logs and state of every part are for their owner alone
    try:
        os.execvp(command[0], command)  # noqa: S606 -- no shell is wanted: the arguments are the program's
    except OSError as failure:
        sys.exit(f"cannot start {command[0]}: {failure.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
