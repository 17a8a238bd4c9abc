"""Counting tokens on one core: megabytes a second, hostile texts among them, a chunk of a stream, a request, memory.

Usage: `python bench/tokens_bench.py [--json FILE]`. CPU time, not wall time: neighbours on the machine count less.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from detectors_bench import TEXT

from extproc.counting.prompt import prompt_tokens
from extproc.counting.running import Running
from extproc.counting.tokenizer import Tokenizer, tokenizer

ROOT: Final = Path(__file__).resolve().parents[1]
_MB: Final = 1_000_000


def memory_mb() -> dict[str, float]:
    """What this process has to itself, and its share of all its pages (PSS)."""
    told = dict(line.split(":", 1) for line in Path("/proc/self/smaps_rollup").read_text().splitlines() if ":" in line)
    private = sum(int(told[name].split()[0]) for name in ("Private_Dirty", "Private_Clean"))
    return {"private": round(private / 1024, 1), "pss": round(int(told["Pss"].split()[0]) / 1024, 1)}


def cpu_s(work: Callable[[], Any], rounds: int = 5) -> float:
    """The best of some rounds: noise only ever adds."""
    best = float("inf")
    for _ in range(rounds):
        began = time.process_time()
        work()
        best = min(best, time.process_time() - began)
    return best


def texts() -> dict[str, str]:
    """A megabyte of each."""
    docs = "".join(path.read_text() for path in sorted((ROOT / "docs").glob("*.md")))
    code = "".join(path.read_text() for path in sorted((ROOT / "extproc").rglob("*.py")))
    kinds = {
        "prose": TEXT + "\n", "pages": docs, "code": code, "one letter": "a", "two letters": "ab", "spaces": " ",
        "tabs and spaces": " \t", "digits": "1", "signs": "!", "Chinese": "汉字编码测试", "emoji": "😀", "accents": "e\u0301",
    }  # fmt: skip
    return {name: (text * (_MB // len(text.encode()) + 1))[:_MB] for name, text in kinds.items()}


def main() -> None:
    """Measure, print, and write JSON where it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    result: dict[str, Any] = {"python": platform.python_version(), "memory_mb": {"before": memory_mb()}}
    for family in ("cl100k", "o200k"):
        began = time.process_time()
        Tokenizer(family).count("a")
        result[f"load_{family}_ms"] = round((time.process_time() - began) * 1000, 1)
        result["memory_mb"][f"with {family}"] = memory_mb()
    speeds = {}
    for name, text in texts().items():
        size = len(text.encode()) / _MB
        speeds[name] = {
            family: round(size / cpu_s(partial(Tokenizer(family).count, text)), 1) for family in ("cl100k", "o200k")
        }
    result["mb_per_s"] = speeds
    pages = texts()["pages"][:200_000]
    chunks = [pages[at : at + 4] for at in range(0, len(pages), 4)]
    exact = Tokenizer("o200k")

    def stream(*, limit: int) -> None:
        running = Running(exact)
        for chunk in chunks:
            running.push(chunk)
            running.beyond(limit)

    result["stream_us_per_chunk"] = {
        "limit far away": round(cpu_s(lambda: stream(limit=10**9)) / len(chunks) * 1e6, 2),
        "at the limit": round(cpu_s(lambda: stream(limit=0)) / len(chunks) * 1e6, 2),
    }
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": TEXT}]}
    tokens = tokenizer("gpt-4o")
    path = "/v1/chat/completions"
    result["prompt_us"] = round(cpu_s(lambda: [prompt_tokens(path, body, tokens) for _ in range(1000)]) * 1000, 1)
    result["memory_mb"]["after"] = memory_mb()
    print(json.dumps(result, indent=2, ensure_ascii=False))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
