"""What an index of questions is to the engine that asks it: places of tenants, and what is near in one. Declares."""

import math
from typing import Protocol

from analysis.head import Floats
from analysis.neighbours import Kept, Neighbour


class Index(Protocol):
    """Called on one thread. Never raises: what cannot be had is not found, and what cannot be kept is lost.

    What ends is found no more. Times are monotonic; nobody waits for what is not there at `due_s`.
    """

    def put(self, tenant: str, partition: str, kept: Kept, vectors: Floats, most: int, due_s: float = math.inf) -> None:
        """Keep a question. Of the tenant's, those beyond `most` go."""
        ...

    def drop(self, tenant: str, partition: str, name: str, due_s: float = math.inf) -> None:
        """Forget a question."""
        ...

    def near(
        self, tenant: str, partition: str, vector: Floats, now_s: float, most: int, due_s: float = math.inf
    ) -> list[Neighbour]:
        """The nearest of that place, nearest first, at least `analysis.neighbours.NEAR`."""
        ...

    def holds(self, tenant: str, partition: str, due_s: float = math.inf) -> bool:
        """Whether there is anything to find: most places are new to whoever asks first."""
        ...
