"""Makes `ostiary` runnable from the checkout: a .pth file and a launcher in the virtual environment, nothing built.

`pip install -e` would fetch a build backend that no lock file covers.
"""

import shlex
import sys
import sysconfig
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
_LAUNCHER: Final = """\
#!{python}
import sys

from ostiary.cli import main

sys.exit(main())
"""


def main() -> int:
    """Write both files; refuses outside of a virtual environment."""
    if sys.prefix == sys.base_prefix:
        print("tools.link changes a virtual environment; none is active", file=sys.stderr)
        return 1
    (Path(sysconfig.get_path("purelib")) / "ostiary.pth").write_text(f"{ROOT}\n", encoding="utf-8")
    launcher = Path(sysconfig.get_path("scripts")) / "ostiary"
    launcher.write_text(_launcher(sys.executable), encoding="utf-8")
    launcher.chmod(0o755)
    return 0


def _launcher(python: str) -> str:
    if " " in python or len(python) > 120:  # the kernel splits a first line at spaces and cuts it (execve(2))
        return f'#!/bin/sh\nexec {shlex.quote(python)} -m ostiary.cli "$@"\n'
    return _LAUNCHER.format(python=python)


if __name__ == "__main__":
    sys.exit(main())
