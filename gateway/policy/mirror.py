"""The `mirror` block of a pool: who is sent copies of its requests, and how many. Reads its fields, sends nothing."""

from collections.abc import Collection
from typing import Final

from gateway.policy.copies import Mirror
from gateway.policy.endpoint import BACKEND_NAME
from gateway.policy.field import Table
from gateway.policy.prices import Refer
from gateway.policy.problem import Problems, shown

_PERCENT: Final = (0, 100)
#: A copy costs a worker as much as a small request: beyond 100 a second a mirror is rather a second backend.
_PER_MINUTE: Final = (1, 6000)
_TOKENS: Final = (1000, 10_000_000_000)  # below, a single prompt may not fit
#: A copy that waits holds one of few places (extproc/mirror.py).
_TIMEOUT_S: Final = (1, 600)


def read_mirror(table: Table | None, pool: Collection[str], refer: Refer, problems: Problems) -> Mirror | None:
    """What the block says; None without it. `pool`: the names of the pool's own backends."""
    if table is None:
        return None
    usual = Mirror(backend="", percent=0)
    word = table.scalar("backend", BACKEND_NAME)
    path = (*table.path, "backend")
    backend = "" if word is None else refer(word, path, "backends")
    if word is not None and backend in pool:
        hint = "a canary among the pool's backends is a weight (docs/routing.md)"
        problems.add(word.mark, path, f"{shown(backend)} answers requests of this pool, so it needs no copies", hint)
    read = Mirror(
        backend=backend,
        percent=table.integer("percent", *_PERCENT),
        per_minute=table.integer("per_minute", *_PER_MINUTE, default=usual.per_minute),
        tokens_per_day=table.integer("tokens_per_day", *_TOKENS, default=0) or None,
        timeout_s=table.integer("timeout_s", *_TIMEOUT_S, default=usual.timeout_s),
    )
    table.close()
    return read
