"""What an answer from the cache costs, beside a refusal and a call of the provider; CPU of Envoy, worker and Valkey.

The whole product as a user starts it (`ostiary up`), one worker. The three kinds of request are loaded in turn, round by
round, so that a drifting machine drifts for all. Usage: `python bench/cache_bench.py [--seconds S] [--rounds N]`.
"""

import argparse
import contextlib
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

import rig
import yaml
from gateway_bench import Target, measure, ostiary

_WORDS = "What is the capital of France? Explain in two sentences and mention the river. Keep the tone friendly. "
_CARD = "4111 1111 1111 1111"


def body(text: str, kib: int, **fields: object) -> str:
    """A chat request of about `kib` KiB."""
    words = _WORDS * max(1, (kib * 1024 - 200) // len(_WORDS)) + text
    messages = [{"role": "system", "content": "You are a helpful assistant."}, {"role": "user", "content": words}]
    return json.dumps(
        {"model": "gpt-4o-mini", "messages": messages, "max_tokens": 128, **fields}, separators=(",", ":")
    )


def scenarios(kib: int) -> dict[str, dict[str, object]]:
    """Name -> load settings. A refusal is one by a rule: what it needs is all that a hit needs before it is looked up."""
    return {
        "refused": {"body": body(_CARD, kib), "connections": 10},
        "hit": {"body": body("Please, and thank you.", kib), "connections": 10},
        "hit, streamed": {"body": body("Please, and thank you.", kib, stream=True), "connections": 10},
        "asked of the provider": {"body": body("Please, and thank you.", kib, user="u-1"), "connections": 10},
    }


def with_cache(state: Path, pid: int) -> None:
    """Give every tenant a cache, and have cards refused."""
    for path in (state / "policy").glob("**/tenants*.yaml"):
        tenants = yaml.safe_load(path.read_text())
        for tenant in tenants.values():
            tenant["cache"] = {"ttl_s": 3600}
            tenant.setdefault("guards", {}).setdefault("request", {})["pii.card"] = "block"
        path.write_text(json.dumps(tenants))
    for child, line in rig.children(pid).items():
        if "ostiary.cli serve" in line:
            os.kill(child, signal.SIGHUP)
    time.sleep(3)


def main() -> int:
    """Run everything and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ostb") as name, contextlib.ExitStack() as stack:
        work = Path(name)
        port = rig.free_port()
        stack.enter_context(
            rig.process([sys.executable, str(rig.HERE / "upstream.py"), str(port), "2"], work / "u.log")
        )
        rig.wait_port(port)
        told = stack.enter_context(ostiary(work / "s", port, 1))
        with_cache(work / "s", told["pid"])
        roles = {" worker ": "worker", "/envoy ": "envoy", "valkey-server": "valkey"}
        pids = {
            role: pid for pid, line in rig.children(told["pid"]).items() for mark, role in roles.items() if mark in line
        }
        target = Target("ostiary", told["port"], True, {"authorization": f"Bearer {told['key']}"}, pids)
        for kib in (1, 8):
            found: dict[str, list[dict[str, float]]] = {}
            for number in range(options.rounds + 1):  # the first one warms up
                for kind, scenario in scenarios(kib).items():
                    result = measure(target, scenario, told["ca"], options.seconds if number else 1)
                    if number:
                        found.setdefault(kind, []).append(result)
            print(f"\n{kib} KiB | " + " | ".join(pids) + " | all | of a refusal | p50 ms | statuses")
            base = 0.0
            for kind, rounds in found.items():
                parts = [statistics.median(r["cpu_us_per_request"][role] for r in rounds) for role in pids]  # type: ignore[index]
                total = statistics.median(sum(r["cpu_us_per_request"].values()) for r in rounds)  # type: ignore[attr-defined]
                base = base or total
                p50 = statistics.median(r["latency_p50_ms"] for r in rounds)
                cells = [*(f"{part:.0f}" for part in parts), f"{total:.0f}", f"{total / base:.2f}", f"{p50:.2f}"]
                print(f"{kind} | " + " | ".join(cells) + f" | {rounds[0].get('statuses')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
