"""Memory of a worker at rest and after a reload, with and without limits on tokens, alone and as one of four.

Claims: bench/README.md, "Memory". Proportional set sizes, means over the workers; started by `ostiary up` with the demo
policy. To compare two commits, run it in a clone of each, in turn.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import rig

_BUDGET: Final = "  budgets:\n    limits:\n      minute: {tokens: 1000000, per: minute}\n"
_SETTLES_S: Final = 3  # a reload of the demo policy takes less than one


@contextlib.contextmanager
def _up(state: Path, upstream_port: int, workers: int, *, counts_tokens: bool) -> Iterator[dict[str, Any]]:
    """The product, tenants' lines in its policy from its first moment."""
    if counts_tokens:
        demo = (rig.ROOT / "policies/demo/tenants.yaml").read_text().splitlines(keepends=True)
        (state / "policy").mkdir(parents=True, mode=0o700)
        lines = [line + _BUDGET if line.rstrip().endswith(":") and line[0].isalpha() else line for line in demo]
        (state / "policy/tenants.yaml").write_text("".join(lines))
    credential = state.parent / "provider-key"
    credential.write_text("bench-provider-key-0123456789")
    credential.chmod(0o600)
    command = [
        sys.executable, "-m", "ostiary.cli", "up", "--json", "--port", "0", "--workers", str(workers), "--state",
        str(state), "--backend", f"http://127.0.0.1:{upstream_port}", "--credential-file", str(credential),
    ]  # fmt: skip
    with rig.process(command, state.parent / "up.log", stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if line.startswith(b"{"):
                yield json.loads(line)
                return
        raise RuntimeError((state.parent / "up.log").read_text()[-2000:])


def _mean(pids: list[int]) -> float:
    return round(sum(map(rig.pss_mib, pids)) / len(pids), 1)


def measured(workers: int, *, counts_tokens: bool) -> dict[str, float]:
    """MiB a worker: as it begins to serve, and after its policy was read again."""
    with tempfile.TemporaryDirectory(prefix="ostw") as name:
        state = Path(name) / "s"
        state.mkdir(mode=0o700)
        with _up(state, rig.free_port(), workers, counts_tokens=counts_tokens) as told:
            running = rig.children(told["pid"])
            pids = [pid for pid, line in running.items() if "ostiary.cli worker" in line]
            time.sleep(_SETTLES_S)
            found = {"at rest": _mean(pids)}
            for pid in pids:
                os.kill(pid, signal.SIGHUP)
            time.sleep(_SETTLES_S)
            return found | {"after a reload": _mean(pids)}


def main() -> int:
    """Measure and print."""
    for workers in (1, 4):
        for counts_tokens in (False, True):
            found = measured(workers, counts_tokens=counts_tokens)
            print(f"workers {workers}, limits on tokens {counts_tokens!s:5}: {found} MiB PSS each", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
