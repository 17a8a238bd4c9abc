"""A fuzz target led by coverage: `python tests/fuzz/guided.py TARGET [libFuzzer's options]`, where atheris is installed.

The bytes that libFuzzer mutates take the place of the target's dice. A failure prints them into a file; the same command
with that file's name repeats it. Not part of the test suite: atheris is no dependency of the repository.
"""

import random
import runpy
import sys
from pathlib import Path

import atheris  # type: ignore[import-not-found, unused-ignore]

HERE = Path(__file__).resolve().parent


class Fed(random.Random):
    """Dice whose throws are read from bytes; where those end, every throw is the lowest."""

    def __init__(self, data: bytes) -> None:
        super().__init__(0)
        self._left = data

    def getrandbits(self, k: int, /) -> int:
        """The next bits."""
        size = (k + 7) // 8
        taken, self._left = self._left[:size], self._left[size:]
        return int.from_bytes(taken.ljust(size, b"\0")) >> (size * 8 - k)

    def random(self) -> float:
        """The next number below one."""
        return self.getrandbits(32) / 2**32


def main() -> None:
    """Instrument our packages, load the target, hand over."""
    name = sys.argv.pop(1)
    sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent / "support")]
    with atheris.instrument_imports(include=["extproc", "gateway"]):
        case = runpy.run_path(str(HERE / f"{name}_fuzz.py"), run_name=f"{name}_fuzz")["case"]
    atheris.Setup(sys.argv, lambda data: case(Fed(data)))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
