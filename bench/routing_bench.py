"""What choosing a pool's first backend costs: microseconds of a decision, by selector and size of the request.

Timed is `route.choose` as `inspect` calls it, for a pool of three; with `lowest_latency` also what an exchange notes.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson

from extproc.core import admission, route
from extproc.core.admission import Judged
from extproc.core.journal import NOBODY
from gateway.budgets.price import PriceBook
from gateway.clock import SystemClock
from gateway.latency.estimates import Latencies
from gateway.policy.model import Model, Pool, Select, Tenant

RESULTS = Path(__file__).parent / "results" / "routing.json"
NAMES = ("a", "b", "c")
SIZES = (1_000, 100_000)
WORDS = "How would you compare the two plans that we spoke of on Monday, and why? "


def body(size: int) -> dict[str, Any]:
    """A chat request of about `size` bytes, the last turn of which has the half of it."""
    half = (WORDS * (size // len(WORDS) + 1))[: size // 2]
    turns = [{"role": "user", "content": half}, {"role": "assistant", "content": "Gladly."}]
    return {"model": "m", "messages": [*turns, {"role": "user", "content": half}]}


def asking(select: Select, latencies: Latencies) -> route.Asking:
    """One decision's circumstances."""
    more: dict[str, Any] = {}
    if select is Select.WEIGHTED:
        more["weights"] = MappingProxyType(dict.fromkeys(NAMES, 1))
    if select is Select.COMPLEXITY:
        more["scores"] = MappingProxyType({"c": 20})
    model = Model(name="m", backend="a", pool=Pool(backends=NAMES, select=select, **more))
    tenant = Tenant(id="t", models=frozenset({"m"}), routes=frozenset("*"), request={}, response={})
    return route.Asking(model, NAMES, tenant, NOBODY, PriceBook(), 0.0, latencies)


def best_us(work: Callable[[], object], seconds: float) -> float:
    """The median of ten runs that take `seconds` together: microseconds of CPU for one call."""
    began, calls = time.process_time(), 0
    while time.process_time() - began < seconds / 10:
        work()
        calls += 1
    runs = []
    for _ in range(10):
        began = time.process_time()
        for _ in range(max(1, calls // 10)):
            work()
        runs.append((time.process_time() - began) / max(1, calls // 10))
    return statistics.median(runs) * 1e6


def measure(seconds: float) -> dict[str, float]:
    """Microseconds by selector and size."""
    found = {}
    door = admission.DOORS["/v1/chat/completions"]
    for size in SIZES:
        tree = body(size)
        judged = Judged([each["content"] for each in tree["messages"]], changed=False, capped=None)
        for select in Select:
            latencies = Latencies(SystemClock())
            for name in NAMES:
                latencies.start("m", name, streamed=False).answered(1.0)
            one = asking(select, latencies)
            found[f"{select.value}, {size // 1000} KB"] = best_us(
                lambda one=one, tree=tree, judged=judged: route.choose(one, tree, door, judged, ()),  # type: ignore[misc]
                seconds,
            )
    latencies = Latencies(SystemClock())

    def noted() -> None:
        run = latencies.start("m", "a", streamed=True)
        run.heard()
        run.answered(1.0)
        run.leave()

    return found | {"noting one answer's time": best_us(noted, seconds)}


def main() -> None:
    """Measure, print, and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each figure")
    arguments = parser.parse_args()
    found = {name: round(value, 1) for name, value in measure(arguments.seconds).items()}
    for name, value in found.items():
        print(f"{name:32} {value:9.1f} µs")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_bytes(orjson.dumps({"python": platform.python_version(), "us": found}, option=orjson.OPT_INDENT_2))


if __name__ == "__main__":
    main()
