"""The loop around a fuzz target: seeded dice, bounded by cases or by time. Knows nothing about what is fuzzed."""

import random
import sys
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

Case = Callable[[random.Random], None]
Cut = TypeVar("Cut", str, bytes)


def run(case: Case, seed: int, *, cases: int = sys.maxsize, seconds: float = 60.0) -> int:
    """Run `case` until one of the bounds is reached; tell how often."""
    dice = random.Random(seed)  # noqa: S311 - a failure must be repeatable
    end = time.monotonic() + seconds
    done = 0
    while done < cases and time.monotonic() < end:
        case(dice)
        done += 1
    return done


def main(case: Case) -> None:
    """The command line of a target: [seconds] [seed]."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns()
    print(f"seed {seed}", flush=True)
    print(f"{run(case, seed, seconds=seconds)} cases")


def pieces(dice: random.Random, whole: Cut) -> Sequence[Cut]:
    """`whole` in pieces; how long they are at most is diced first, and one is common."""
    longest = dice.choice((1, 1, 4, 12, 80))
    at = [0]
    while at[-1] < len(whole):
        at.append(at[-1] + dice.randint(1, longest))
    return [whole[start:stop] for start, stop in pairwise(at)]
