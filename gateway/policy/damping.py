"""`damping` of policy.yaml: how many failed authentications one client address may cause. Counts nothing."""

from typing import Final

from gateway.policy.field import Table
from gateway.policy.model import Damping

_MAX_FAILURES: Final = 100_000  # more than that from one address is no damping; 0 says so openly
_MAX_WINDOW_S: Final = 86_400


def read_damping(table: Table | None) -> Damping:
    """The table, or the default where there is none."""
    if table is None:
        return Damping()
    damping = Damping(
        failures=table.integer("failures", 0, _MAX_FAILURES, default=30),
        window_s=table.integer("window_s", 1, _MAX_WINDOW_S, default=60),
    )
    table.close()
    return damping
