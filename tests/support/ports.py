"""Ports for servers that a test starts. Those that a test listens on itself come from the kernel, as ever."""

import itertools
import os
import socket
from typing import Final

#: Below what Linux gives to clients and to whoever binds port 0 (ip_local_port_range, 32768 and up). A port from there
#: may be somebody else's by the time the server that was told of it has started, seconds later on a busy machine; and
#: one that shall stay closed may be opened. As many ports again, 10,000 above, are for buses of Valkey clusters.
_FIRST: Final = 10_000
_COUNT: Final = 10_000
#: Processes of one test run have ids near each other. 0.618 of all ports apart (the golden ratio, whose multiples come
#: back late to where they were), each begins 154 ports or more from those with the next 40 ids.
_APART: Final = 6181


def begin(pid: int) -> int:
    """How far from the first port a process begins to walk."""
    return pid * _APART % _COUNT


_walk: Final = itertools.count(begin(os.getpid()))


def free_port() -> int:
    """A port that nobody has now, and that this process names only once."""
    for step in itertools.islice(_walk, _COUNT):
        port = _FIRST + step % _COUNT
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise RuntimeError("no port is free")
