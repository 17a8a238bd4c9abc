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
#: Processes of one test run have ids side by side: a prime apart, no two of them walk over the same ports.
_APART: Final = 499

_walk: Final = itertools.count(os.getpid() * _APART)


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
