"""What there is to hand to Envoy at the moment, by name, and who waits for more. Knows no vault and no gRPC."""

import asyncio

from control.sds.wire import Handout


class Handed:
    """In memory alone. For one event loop."""

    def __init__(self) -> None:
        self._held: dict[str, Handout] = {}
        self._waiting: set[asyncio.Event] = set()

    def put(self, name: str, handout: Handout) -> None:
        """Hand this out from now on."""
        self._held[name] = handout
        for wake in self._waiting:
            wake.set()

    def get(self, name: str) -> Handout | None:
        """What is handed out under the name."""
        return self._held.get(name)

    def watch(self, wake: asyncio.Event) -> None:
        """Set the event whenever something changes."""
        self._waiting.add(wake)

    def leave(self, wake: asyncio.Event) -> None:
        """The end of `watch`."""
        self._waiting.discard(wake)
