"""What rules on answers cost: CPU of a stream with and without classifiers, what is held back, memory for a long one.

Claims: bench/README.md, "Rules on answers". No gRPC: the guard of a stream alone, on prose in deltas of 6 characters, settings in
turn in each round.
"""

import json
import resource
import sys
from pathlib import Path
from statistics import median
from time import process_time

from extproc.core.reply import StreamReply
from extproc.core.windows import of_text
from extproc.detectors.catalogue import RULES
from extproc.detectors.content.classes import RULE_IDS as CONTENT_IDS
from extproc.detectors.injection.assess import Injection
from extproc.detectors.injection.expressions import RULE_IDS as PATTERN_IDS
from extproc.guardrails.assessor import Memory
from extproc.guardrails.classifier import Classifier
from extproc.guardrails.guard import Guard, Tally
from extproc.guardrails.lookout import Lookout
from extproc.guardrails.scanner import ScannerPool
from extproc.providers.door import Seen
from extproc.providers.openai import DOORS
from gateway.policy.model import Action, Limits, Mode, RuleSetting, Urls

_PROSE = (
    "The Seine divides Paris in two, and most of what a visitor wants to see lies within a short walk of its banks. Begin at "
    "the island, where the city was founded, and follow the quays to the west until the lamps are lit. With forty euros and "
    "an afternoon you can have lunch, a coffee and a ticket for one of the smaller museums. The larger ones open late on "
    "Thursdays; Mr. Lefort of the tourist office says that June 12 is the best day. "
)
_SYSTEM = (
    "You are the guide of a small hotel. Tell nobody which rooms are empty, and never promise a late breakfast. " * 12
)
_CHARS = 12_000
_DELTA = 6
_ROUNDS = 9
_LONG_BYTES = 50 * 1024 * 1024


_POOL = ScannerPool(RULES)
_MEMORY, _CLASSIFIER = Memory(Injection.load()), Classifier()
_INJECTION = frozenset(PATTERN_IDS | {"injection.model"})


def guard_of(action: Action, judged: frozenset[str] = frozenset()) -> Guard:
    """Every rule that finds spans redacts, a system prompt is watched; `action` is taken on what is `judged` in windows."""
    asked = {**{rule.id: Action.REDACT for rule in RULES}, **dict.fromkeys(judged, action)}
    settings = {rule: RuleSetting(rule=rule, action=each, mode=Mode.ENFORCE) for rule, each in asked.items()}
    guard = Guard.of(_POOL, settings, urls=Urls(), lookout=Lookout(_MEMORY, _CLASSIFIER, settings, {}))
    return guard.watching([_SYSTEM])


def event_of(text: str) -> bytes:
    """One event of a stream of chat."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    shell = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return b"data: " + json.dumps({**shell, "choices": [choice]}).encode() + b"\n\n"


def reply_of(guard: Guard) -> StreamReply:
    """The guard of one stream."""
    stream = DOORS["/v1/chat/completions"].stream(guard, Tally(), Seen(), show_usage=False)
    return StreamReply(stream, Limits().event_bytes)


def stream(guard: Guard, events: list[bytes]) -> float:
    """CPU seconds of one answer."""
    reply, start = reply_of(guard), process_time()
    for event in events:
        reply.feed(event, last=False)
    reply.feed(b"", last=True)
    return process_time() - start


def held_back(guard: Guard) -> list[int]:
    """Characters that wait after each delta, in order of size."""
    channel = of_text(guard, Tally())
    seen = []
    text = _PROSE * 10
    for at in range(0, len(text), _DELTA):
        channel.push(text[at : at + _DELTA])
        seen.append(channel.held)
    return sorted(seen)


def resident_mib() -> float:
    """Resident memory of this process (proc(5): statm)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1024 / 1024


def long_answer(guard: Guard, size: int) -> tuple[float, float]:
    """MiB of an answer of `size` bytes that came out, and the most MiB that resident memory grew by meanwhile."""
    reply = reply_of(guard)
    event, passed, most, before = event_of(_PROSE * 36), 0, 0.0, resident_mib()
    for _ in range(size // len(event)):
        passed += len(reply.feed(event, last=False))
        most = max(most, resident_mib() - before)
    return passed / 1024 / 1024, most


def main() -> int:
    """Print the figures."""
    cases = {
        "no classifier": guard_of(Action.FLAG),
        "injection, flag": guard_of(Action.FLAG, _INJECTION),
        "injection, block": guard_of(Action.BLOCK, _INJECTION),
        "injection and 12 classes, flag": guard_of(Action.FLAG, _INJECTION | CONTENT_IDS),
        "injection and 12 classes, block": guard_of(Action.BLOCK, _INJECTION | CONTENT_IDS),
    }
    text = (_PROSE * (_CHARS // len(_PROSE) + 1))[:_CHARS]
    events = [event_of(text[at : at + _DELTA]) for at in range(0, len(text), _DELTA)]
    spent: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(_ROUNDS):
        for name, guard in cases.items():
            spent[name].append(stream(guard, events) / _CHARS * 1e9)
    for name, each in spent.items():
        held = held_back(cases[name])
        print(f"{name}: {median(each):.0f} µs per 1,000 characters ({min(each):.0f} at least), "
              f"held {held[len(held) // 2]} at the median, {held[-1]} at most")  # fmt: skip
    for name, size in (("no classifier", _LONG_BYTES), ("injection, block", _LONG_BYTES // 10)):
        long_answer(cases[name], 1024 * 1024)  # what Python keeps for good
        passed, most = long_answer(cases[name], size)
        print(f"{name}: {passed:.0f} MiB passed, the worker grew by {most:.1f} MiB at most")
    return 0


if __name__ == "__main__":
    sys.exit(main())
