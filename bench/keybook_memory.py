"""What API keys of the registry cost a worker: memory held, time to load, time to look one up. Opens nothing.

python -m bench.keybook_memory 100000
"""

import gc
import json
import platform
import random
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from authz.keybook import KeyBook
from gateway.policy.model import Key, Limits, Policy, RateLimit
from gateway.registry import keys

_PAGE_BYTES: Final = 4096
_MIB: Final = 1024 * 1024
_ALPHABET: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


def main(count: int) -> None:
    """Fill a book and print one JSON line."""
    chance = random.Random(7)
    made = ["".join(chance.choices(_ALPHABET, k=12)) for _ in range(count)]
    book = KeyBook(lambda: 0.0)
    gc.collect()
    before, spent_s = _resident_bytes(), 0.0
    for number, key_id in enumerate(made):
        value = _record(number, key_id, chance)
        own = key_id.encode().decode()  # as the replica brings it: a text that nobody else holds
        since_s = time.perf_counter()
        book.apply(own, value)
        spent_s += time.perf_counter() - since_s
    del value, own
    gc.collect()
    held = _resident_bytes() - before
    view = book.of(_policy())
    warm, cold = made[0], made[-4096:] + made[:4096]
    print(
        json.dumps(
            {
                "machine": platform.machine(),
                "python": platform.python_version(),
                "keys": count,
                "held_mib": round(held / _MIB, 1),
                "load_us_per_key": round(spent_s / count * 1e6, 1),
                "lookup_cold_us": round(_per_call_us(view, cold), 2),
                "lookup_warm_us": round(_per_call_us(view, [warm] * 8192), 2),
                "lookup_unknown_us": round(_per_call_us(view, ["zzzzzzzzzzzz"] * 8192), 2),
            }
        )
    )


def _policy() -> Policy:
    return Policy(version="p-x", name="x", tenants={}, keys={}, models={}, backends={}, limits=Limits())


def _record(number: int, key_id: str, chance: random.Random) -> bytes:
    """As keys are: a service's name, a scope, an expiry, a rate; every fourth with models and a network."""
    narrow = number % 4 == 0
    key = Key(
        id=key_id,
        tenant=f"tenant-{number % 1000}",
        principal=f"service-{number}@tenant.example",
        scopes=("chat",),
        digest=chance.randbytes(32).hex(),
        pepper="v1",
        expires_at=1_900_000_000 + number,
        rate=RateLimit(requests=60),
        models=frozenset({"gpt-4o-mini", "gpt-4o"}) if narrow else frozenset(),
        cidrs=("192.0.2.0/24",) if narrow else (),
    )
    return keys.write(keys.KeyRecord(key=key, created_at=1_700_000_000, created_by="alice", name="a service's key"))


def _per_call_us(view: Mapping[str, Key], ids: list[str]) -> float:
    since_s = time.perf_counter()
    for key_id in ids:
        view.get(key_id)
    return (time.perf_counter() - since_s) / len(ids) * 1e6


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
