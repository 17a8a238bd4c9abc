"""What asking OPA costs a worker: a remembered decision, an evaluation on and off the loop, a neighbour that hangs, memory.

Claims: bench/README.md, "OPA". The policy is policies/examples/opa with 1,000 tenants in its data. CPU is that of the
whole process, so Go's garbage collector is in it.
"""

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import orjson
import uvloop

from authz.decide import Allowed, Ask
from authz.opa import input as document
from authz.opa import result
from authz.opa.consult import Consultation
from authz.opa.input import Question
from authz.opa.library import Engine
from gateway.clock import SystemClock
from gateway.identity import Caller
from gateway.policy.model import Action, Limits, Opa, Policy, RuleSetting, Tenant

ROOT = Path(__file__).resolve().parent.parent
_TENANTS = 1000
_GO = {"GOMAXPROCS": "1", "GOGC": "200"}  # as ostiary/serve.py sets them
_CACHE_ON = ("caller.tenant", "caller.groups", "caller.method", "caller.scopes", "request.path", "source.address")
#: Seconds of one core; what the neighbour's evaluation does.
_LOOP = """
decision := {"allow": true} if {
	input.caller.principal == "loop"
	loop := numbers.range(1, 150)
	count([1 | some a in loop; some b in loop; some c in loop; a * b * c == -1]) == 0
}
"""


def _policy(version: str, cache_on: tuple[str, ...] = (), *, loop: bool = False) -> Policy:
    rego = (ROOT / "policies/examples/opa/rego/authz.rego").read_text()
    if loop:
        rego = rego.replace("\n}\n", '\n} if input.caller.principal != "loop"\n', 1) + _LOOP
    each = {
        "networks": [f"10.{net}.0.0/16" for net in range(8)] + ["192.0.2.0/24"],
        "groups": {
            name: [f"model-{name}-{number}" for number in range(4)] for name in ("research", "support", "batch")
        },
        "max_tokens": 1024,
        "guards": ["pii.email"],
    }
    data = {"tenants": {f"tenant-{number}": each for number in range(_TENANTS)}}
    opa = Opa(
        package="ostiary.authz",
        sources={"rego/authz.rego": rego},
        data=orjson.dumps(data).decode(),
        cache_on=cache_on,
        deadline_ms=1000,
    )
    everything: frozenset[str] = frozenset({"*"})
    rules = {"pii.email": RuleSetting(rule="pii.email", action=Action.FLAG)}
    tenants = {
        name: Tenant(id=name, models=everything, routes=everything, request=rules, response=rules)
        for name in data["tenants"]
    }
    return Policy(
        version=version, name="bench", tenants=tenants, keys={}, models={}, backends={}, limits=Limits(), opa=opa
    )


def _request(number: int) -> tuple[Ask, Allowed]:
    caller = Caller(
        tenant=f"tenant-{number % _TENANTS}",
        principal=f"user-{number % 7}",
        key_id="jwt:0123456789abcdef",
        scopes=("llm:chat", "llm:embed"),
        policy="p",
        request_id="7e0f0c6e-3a52-4b7e-9d0c-2a8a6f1f3f11",
        groups=("research", "everybody", "berlin"),
        client="assistant",
    )
    asked = Ask("POST", "/v1/chat/completions", (("content-length", "2048"),), "192.0.2.77")
    return asked, Allowed(caller, (), (), method="jwt")


_REQUESTS = [_request(number) for number in range(_TENANTS)]


def _rss_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


async def _measure(name: str, rounds: int, step: Callable[[int], Awaitable[object]], at_once: int = 1) -> None:
    """p50 and p99 of the wall clock, and CPU, in microseconds each."""
    times: list[float] = []

    async def one(start: int) -> None:
        for number in range(start, rounds, at_once):
            began = time.perf_counter()
            await step(number)
            times.append(time.perf_counter() - began)

    for number in range(200):  # warm
        await step(number)
    cpu = time.process_time()
    await asyncio.gather(*(one(start) for start in range(at_once)))
    cpu = (time.process_time() - cpu) / rounds * 1e6
    times.sort()
    p99 = times[int(len(times) * 0.99)] * 1e6
    print(f"{name:58} p50 {median(times) * 1e6:7.1f}  p99 {p99:8.1f}  CPU {cpu:7.1f} us")


async def _run() -> None:
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {_GO}")
    clock = SystemClock()
    empty = _rss_mib()
    remembered, asked = Consultation(clock), Consultation(clock)
    cached, plain = _policy("p-cached", _CACHE_ON), _policy("p-plain")
    began = time.perf_counter()
    evaluator = asked.build(plain)
    print(
        f"build with {len(plain.opa.data) // 1024 if plain.opa else 0} KiB of data: {time.perf_counter() - began:.3f} s"
    )
    asked.take(plain, evaluator)
    built = _rss_mib()
    assert plain.opa is not None
    engine = Engine(plain.opa)

    async def miss(number: int) -> None:
        said = await asked(*_REQUESTS[number % _TENANTS], plain)
        assert isinstance(said, Allowed), said

    async def inline(number: int) -> None:
        question = Question(*_REQUESTS[number % _TENANTS])
        result.read(engine.evaluate(document.document(question, clock.now())))

    await _measure("miss: document, lane, library, reading", 10_000, miss)
    used = _rss_mib()
    await _measure("the same, 8 at once (wall includes waiting)", 10_000, miss, at_once=8)
    await _measure("evaluation on the event loop instead", 10_000, inline)

    engine.close()
    remembered.take(cached, remembered.build(cached))

    async def hit(number: int) -> None:
        await remembered(*_REQUESTS[number % 500], cached)

    for number in range(_TENANTS):
        await hit(number)
    await _measure("hit: remembered decision", 100_000, hit)
    print(
        f"RSS: {empty:.0f} MiB before, {built:.0f} with the library and the data, {used:.0f} after 10,000 evaluations"
    )
    await _beside_a_loop(clock)


async def _beside_a_loop(clock: SystemClock) -> None:
    """What others see while one evaluation does not come back."""
    policy = _policy("p-loop", loop=True)
    consultation = Consultation(clock)
    consultation.take(policy, consultation.build(policy))
    ask, allowed = _REQUESTS[0]
    looping = replace(allowed, caller=replace(allowed.caller, principal="loop"))
    answer = asyncio.ensure_future(consultation(ask, looping, policy))
    await asyncio.sleep(0.01)

    async def beside(number: int) -> None:
        await consultation(*_REQUESTS[number % _TENANTS], policy)

    await _measure("miss while one evaluation loops", 300, beside)
    said = await answer
    print(f"the loop itself: {getattr(getattr(said, 'error', None), 'cause', 'ended in time')}")


def main() -> None:
    """Start once more with the environment of a worker: Go reads it when the library is loaded."""
    if any(os.environ.get(name) != value for name, value in _GO.items()):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **_GO})  # noqa: S606
    uvloop.run(_run())


if __name__ == "__main__":
    main()
