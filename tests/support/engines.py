"""An engine that tests hold and let go, in place of a model."""

import threading
from collections.abc import Iterator, Sequence

from analysis.engine import Item, Verdict
from gateway.advice import Advised


class HeldEngine:
    """Finds "bad" in texts. While held, it has begun and does not end; "boom" makes it fail."""

    def __init__(self, name: str = "fake") -> None:
        self.name = name
        self.batches: list[list[Item]] = []
        self.begun = threading.Event()
        self._go = threading.Event()
        self._go.set()

    def hold(self) -> None:
        self.begun.clear()
        self._go.clear()

    def let_go(self) -> None:
        self._go.set()

    def judge(self, items: Sequence[Item]) -> Iterator[tuple[int, Verdict]]:
        self.batches.append(list(items))
        self.begun.set()
        if not self._go.wait(10):
            raise RuntimeError("nobody let the engine go")
        for number, item in reversed(list(enumerate(items))):
            if any("boom" in text.text for text in item.texts):
                raise ValueError("boom")
            found = [
                Advised(rule="fake.bad", text=place, score=1.0, start=at, end=at + 3)
                for place, text in enumerate(item.texts)
                if (at := text.text.find("bad")) >= 0
            ]
            yield number, Verdict(tuple(found))

    @property
    def seen(self) -> list[str]:
        """Every text that reached it, in order."""
        return [text.text for batch in self.batches for item in batch for text in item.texts]
