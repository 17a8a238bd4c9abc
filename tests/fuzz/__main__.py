"""Every fuzz target in turn: `python -m tests.fuzz [--seconds 60] [--seed N]` from the repository's root."""

import argparse
import importlib
import runpy
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="for each target")
    parser.add_argument("--seed", type=int, default=time.time_ns(), help="repeat a run that failed")
    chosen = parser.parse_args()
    sys.path.append(str(HERE.parent / "support"))
    fuzzing = importlib.import_module("fuzzing")
    for target in sorted(HERE.glob("*_fuzz.py")):
        print(f"{target.stem}: seed {chosen.seed}", flush=True)
        case = runpy.run_path(str(target))["case"]
        print(f"{target.stem}: {fuzzing.run(case, chosen.seed, seconds=chosen.seconds)} cases", flush=True)


if __name__ == "__main__":
    main()
