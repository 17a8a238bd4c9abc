"""What `tokenise` adds on one core: microseconds of a request and of a chunk, and what is held in prose.

Usage: `python bench/tokenise_bench.py [--json FILE]`. CPU time of whole exchanges, without gRPC and Envoy.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from extproc.core.aliases import Aliases
from extproc.core.escape import EscapedHoldBack
from extproc.core.holdback import HoldBack
from extproc.core.restore import Restoring
from extproc.core.sse import Framer
from extproc.core.texts import lay
from extproc.detectors.catalogue import RULES
from extproc.guardrails.guard import Guard, Tally
from extproc.guardrails.scanner import ScannerPool
from extproc.providers.door import Seen
from extproc.providers.openai import DOORS
from gateway.policy.model import Action, RuleSetting

#: 195 tokens of prose, in which a value is named three times; `{}` are the values.
PROSE: Final = (
    "The committee met on Tuesday to review the proposal for a new library in the north of the city. Members asked how "
    "the building would be paid for, who would run it, and whether {} could stay open during the works. Please keep the "
    "tone neutral, and send the open questions to {} so that the planning office has them by Friday. The budget is 4.2 "
    "million, of which the state pays a third; the rest comes from a bond that has to be approved in spring. One member "
    "thought the estimate of running costs was too low, because heating and staff were left out; {} will look at it."
)
VALUES: Final = ("jane.roe@example.com", "4111 1111 1111 1111", "jane.roe@example.com")
DELTA_CHARS: Final = 6  # about one token and a half
ROUNDS: Final = 200


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    pool = ScannerPool(RULES)
    redact, tokenise = (_guard(pool, action) for action in (Action.REDACT, Action.TOKENISE))
    aliases = Aliases()
    places = [aliases.put("pii", "[EMAIL]" if "@" in value else "[CARD]", value) for value in VALUES]
    back = redact.giving_back(Restoring(aliases, frozenset({"mail"})))
    plain = PROSE.replace("{}", "the old reading room")
    told = PROSE.format(*places)
    chunks = {"prose": _chunks(plain), "three placeholders": _chunks(told)}
    arguments_ = json.dumps({"to": places[0], "body": told})
    report: dict[str, tuple[float, float]] = {
        "request, 3 values: redact": _measure(lambda: lay(_request(), redact, Tally()), 1),
        "request, 3 values: tokenise": _measure(lambda: lay(_request(), tokenise.tokenising(Aliases()), Tally()), 1),
        "request, nothing found: redact": _measure(lambda: lay(_request(plain), redact, Tally()), 1),
        "request, nothing found: tokenise": _measure(
            lambda: lay(_request(plain), tokenise.tokenising(Aliases()), Tally()), 1
        ),
    }
    for name, events in chunks.items():
        for label, guard in (("nothing to restore", redact), ("restoring", back)):
            report[f"chunk of {name}: {label}"] = _measure(partial(_stream, guard, events), len(events))
    pieces = [arguments_[at : at + DELTA_CHARS] for at in range(0, len(arguments_), DELTA_CHARS)]
    report["piece of arguments: nothing to restore"] = _measure(lambda: _push(redact, pieces), len(pieces))
    report["piece of arguments: restoring"] = _measure(lambda: _push(back, pieces), len(pieces))
    for name, (median, p99) in report.items():
        print(f"{name:50} p50 {median:8.1f} us   p99 {p99:8.1f} us")
    held = {label: _held(guard, plain) for label, guard in (("without", redact), ("with", back))}
    print("held on prose (median, most), characters:", held)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": platform.machine(), "us": report, "held": held}, indent=1))


def _guard(pool: ScannerPool, action: Action) -> Guard:
    return Guard.of(pool, {rule.id: RuleSetting(rule=rule.id, action=action) for rule in RULES})


def _request(text: str = "") -> dict[str, object]:
    return {"model": "m", "messages": [{"role": "user", "content": text or PROSE.format(*VALUES)}]}


def _chunks(text: str) -> list[bytes]:
    shell = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    deltas = [text[at : at + DELTA_CHARS] for at in range(0, len(text), DELTA_CHARS)]
    choices = [[{"index": 0, "delta": {"content": delta}, "finish_reason": None}] for delta in deltas]
    return [b"data: " + json.dumps({**shell, "choices": each}).encode() + b"\n\n" for each in choices]


def _stream(guard: Guard, events: list[bytes]) -> None:
    framer = Framer(1 << 20)
    stream = DOORS["/v1/chat/completions"].stream(guard, Tally(), Seen(), show_usage=True)
    for event in events:
        stream.feed(framer.feed(event))
    stream.finish()


def _push(guard: Guard, pieces: list[str]) -> None:
    channel = EscapedHoldBack(guard, Tally(), tool="mail")
    for piece in pieces:
        channel.push(piece)
    channel.flush()


def _held(guard: Guard, text: str) -> tuple[float, int]:
    channel = HoldBack(guard, Tally())
    held = []
    for at in range(0, len(text), DELTA_CHARS):
        channel.push(text[at : at + DELTA_CHARS])
        held.append(channel.held)
    return statistics.median(held), max(held)


def _measure(work: Callable[[], object], per: int) -> tuple[float, float]:
    taken = []
    for _ in range(ROUNDS):
        began = time.process_time_ns()
        work()
        taken.append((time.process_time_ns() - began) / 1000 / per)
    taken.sort()
    return statistics.median(taken), taken[int(len(taken) * 0.99)]


if __name__ == "__main__":
    main()
