"""What failover adds: milliseconds of a request whose first backend fails, beside one that the second alone answers.

Claims: bench/README.md, "Failover". A real stack of the test suite (Envoy, two workers, guards on), one client with one
connection, requests of each kind in turn. A failed attempt's own time is within that of the failing backend asked alone.
"""

import argparse
import importlib
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import orjson

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))
#: Parts of the test suite, which mypy does not read.
speaking: Any = importlib.import_module("speaking")
stack: Any = importlib.import_module("stack")

_WARM = 20
MODELS = {
    "fails": {"backend": "main"},
    "same": {"backend": "other"},
    "translated": {"backend": "claude"},
    "in-a-pool": {"backends": ["other", "main"]},
    "same-second": {"backends": ["main", "other"]},
    "translated-second": {"backends": ["main", "claude"]},
}


async def _fails(call: Any) -> None:
    await call.json({"error": {"message": "no"}}, 500)


def _policy(directory: Path) -> None:
    file = directory / "backends.yaml"
    backends = orjson.loads(file.read_bytes())
    header, prefix = speaking.CREDENTIALS["anthropic"]
    credential = {"file": "other.key", "header": header, "prefix": prefix}
    url = backends["other"]["url"].replace("base-other", "claude")
    backends["claude"] = {"url": url, "dialect": "anthropic", "credential": credential}
    file.write_bytes(orjson.dumps(backends))
    file = directory / "models.yaml"
    file.write_bytes(orjson.dumps(orjson.loads(file.read_bytes()) | MODELS))


def _measured(running: Any, upstreams: dict[str, Any], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each kind of request."""
    bodies = {}
    for model in MODELS:
        dialect = "anthropic" if model.startswith("translated") else "openai"
        marker = upstreams["main"].script(_fails)
        upstreams["other"].script(speaking.answering(dialect, "yes"), marker)
        message = {"role": "user", "content": marker + " word" * 200}
        bodies[model] = orjson.dumps({"model": model, "max_tokens": 9, "messages": [message]})
    client = running.client()
    times: dict[str, list[float]] = {model: [] for model in MODELS}
    with client.open() as conn:
        for number in range(rounds + _WARM):
            for model, body in bodies.items():
                began = time.perf_counter()
                conn.send(_request(client, body))
                status = conn.answer().status
                took_s = time.perf_counter() - began
                if status != (500 if model == "fails" else 200):
                    raise SystemExit(f"{model}: {status}")
                if number >= _WARM:
                    times[model].append(took_s * 1000)
    return times


def _request(client: Any, body: bytes) -> bytes:
    """The request as bytes."""
    rawhttp: Any = importlib.import_module("rawhttp")
    headers = [*client.headers, ("content-type", "application/json")]
    return bytes(rawhttp.request_bytes("POST", "/v1/chat/completions", headers, body))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=300)
    rounds = parser.parse_args().rounds
    root = Path(tempfile.mkdtemp(prefix="ost-"))
    upstreams = {name: stack.Upstream(speaking.answering("openai", "hello")).start() for name in ("main", "other")}
    try:
        with stack.Stack(root, upstreams, stack.Options(workers=2, policy=_policy)) as running:
            times = _measured(running, upstreams, rounds)
    finally:
        for each in upstreams.values():
            each.stop()
        shutil.rmtree(root)
    print(f"load {os.getloadavg()[0]:.1f}; {rounds} rounds; milliseconds, p50 and p90")
    for model, taken in times.items():
        print(f"{model:20} {statistics.median(taken):7.2f} {statistics.quantiles(taken, n=10)[-1]:7.2f}")
    for alone in ("same", "translated"):
        adds = [failed - one for failed, one in zip(times[f"{alone}-second"], times[alone], strict=True)]
        print(f"{alone}: failing over adds {statistics.median(adds):.2f} ms (median of pairs)")


if __name__ == "__main__":
    main()
