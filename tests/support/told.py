"""A listener of a replica that remembers, and waits for what it is told instead of sleeping."""

import asyncio
from collections.abc import Callable

PATIENCE_S = 20.0  # for a loaded machine; a passing test waits for milliseconds


class Told:
    """One sort as a listener sees it: `view` now, `story` in order."""

    def __init__(self) -> None:
        self.view: dict[str, bytes] = {}
        self.story: list[tuple[str, bytes | None]] = []
        self._more = asyncio.Event()

    def apply(self, entry_id: str, value: bytes | None) -> None:
        self.story.append((entry_id, value))
        if value is None:
            self.view.pop(entry_id, None)
        else:
            self.view[entry_id] = value
        self._more.set()

    async def until(self, holds: Callable[[dict[str, bytes]], bool]) -> None:
        """Return when `holds(view)`; fail when it never does."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not holds(self.view):
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            raise AssertionError(f"the view stays {sorted(self.view)}") from None
