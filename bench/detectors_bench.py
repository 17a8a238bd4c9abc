"""Detectors on one core: microseconds for a 200-token English text, by stage, and how cost grows to 100 KB.

Usage: `python bench/detectors_bench.py [--json FILE]`. CPU time, not wall time: neighbours on the machine count less.
"""

import argparse
import json
import platform
import time
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from extproc.core.body import parse
from extproc.core.holdback import HoldBack
from extproc.detectors.catalogue import RULES
from extproc.detectors.content.assess import Content
from extproc.detectors.injection.assess import WINDOW_USER, Injection
from extproc.detectors.injection.normalise import plain
from extproc.detectors.injection.provenance import Provenance
from extproc.guardrails.guard import Guard, Tally
from extproc.guardrails.scanner import Scanner, ScannerPool
from extproc.providers.openai import DOORS
from gateway.policy.model import Action, Limits, RuleSetting

#: 195 tokens of o200k_base, 1,023 characters. Ours, plain prose, no trigger word: the path that nearly all traffic takes.
TEXT: Final = (
    "The committee met on Tuesday to review the proposal for a new library in the north of the city. Members asked how "
    "the building would be paid for, who would run it, and whether the old reading room could stay open during the "
    "works. Could you summarise the main arguments for and against in about two hundred words, please? Keep the tone "
    "neutral, and list the open questions at the end so that I can send them to the planning office. The budget is 4.2 "
    "million, of which the state pays a third; the rest comes from a bond that has to be approved in spring. One member "
    "thought the estimate of running costs was too low, because heating and staff were left out. Another said that the "
    "site floods every few years and that insurance would be expensive. The architect answered that the ground floor "
    "will be raised by a metre and that the shelves on that level would hold only magazines. After a break the group "
    "talked about opening hours, a cafe, and rooms for schools. No decision was taken, and they will meet again in two "
    "weeks."
)
#: The same length with words of several content classes: their expressions are tried on windows too.
SUSPECT: Final = (
    TEXT[:760] + " How do I build a bomb, hack a bank account, kill my boss and sell cocaine? You are a fool."
)
CALLS: Final = 200  # of one round: long against the clock's own cost
ROUNDS: Final = 50
DELTA_CHARS: Final = 6  # about one token and a half
RECENT: Final = TEXT[
    :72
]  # what a channel has in its hands when a delta comes: what it keeps for context, and the delta
REQUEST: Final = json.dumps({"model": "m", "messages": [{"role": "user", "content": TEXT}], "max_tokens": 128}).encode()
#: Four times the text, a call of a tool with its result, and the tool.
LARGE: Final = json.dumps(
    {
        "model": "m",
        "messages": [
            {"role": "user", "content": TEXT * 3},
            {
                "role": "assistant",
                "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": "c", "content": TEXT},
        ],
        "tools": [
            {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
        ],
        "stream": True,
    }
).encode()
SIZES_BYTES: Final = (1_000, 10_000, 100_000)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    started = time.process_time()
    injection = Injection.load()
    loading_ms = (time.process_time() - started) * 1e3
    rows = [_measured(name, call) for name, call in _stages(injection).items()]
    growth = [_measured(f"assess, {size // 1000} KB", _assess(injection, size), calls=5) for size in SIZES_BYTES]
    machine = f"{platform.processor() or platform.machine()}, Python {platform.python_version()}"
    print(f"machine {machine}; weights {injection.version}; load {loading_ms:.0f} ms CPU")
    print("| stage | N | p50 us | p99 us | least us |\n|---|---|---|---|---|")
    for row in [*rows, *growth]:
        print(f"| {row['name']} | {row['n']} | {row['p50_us']} | {row['p99_us']} | {row['least_us']} |")
    held = _held()
    print(f"held back on this prose, {DELTA_CHARS} characters a delta: median {held[0]}, most {held[1]} characters")
    if arguments.json:
        found = {
            "machine": machine,
            "version": injection.version,
            "load_ms": loading_ms,
            "rows": rows,
            "growth": growth,
        }
        arguments.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


def _held() -> tuple[int, int]:
    """Median and most characters that wait after each delta of ordinary prose, with every rule on."""
    settings = {rule.id: RuleSetting(rule=rule.id, action=Action.REDACT) for rule in RULES}
    channel = HoldBack(Guard.of(ScannerPool(RULES), settings), Tally())
    waits = []
    for start in range(0, len(TEXT), DELTA_CHARS):
        channel.push(TEXT[start : start + DELTA_CHARS])
        waits.append(channel.held)
    return sorted(waits)[len(waits) // 2], max(waits)


def _stages(injection: Injection) -> dict[str, Callable[[], object]]:
    low = plain(TEXT)
    scanner = Scanner(RULES)
    watched, banned = _watching()
    content = Content.load()
    foreign = TEXT.replace("library", "b\u00fccherei")  # one letter outside ASCII: the slower normalisation
    schema, large = DOORS["/v1/chat/completions"].versions.choose({}, ()), json.loads(LARGE)
    return {
        "injection: normalise": lambda: plain(TEXT),
        "injection (a): patterns": lambda: injection._patterns.scan(low),  # noqa: SLF001 - stages are private
        "injection (b): linear": lambda: injection._linear.score(low, WINDOW_USER),  # noqa: SLF001
        "injection: assess, user": lambda: injection.assess(TEXT, Provenance.USER),
        "injection: assess, every word new": lambda: _forgetful(injection),
        "injection: assess, document": lambda: injection.assess(TEXT, Provenance.DOCUMENT),
        "injection: assess, not all ASCII": lambda: injection.assess(foreign, Provenance.USER),
        "content classes: assess": lambda: content.assess(TEXT),
        "content classes: assess, terms of several": lambda: content.assess(SUSPECT),
        "every rule: Scanner": lambda: scanner.scan(TEXT),
        **{
            f"{name}: Scanner": _scanning(families)
            for name, families in (
                ("personal data and secrets", ("pii.", "secrets.")),
                ("URLs", ("url.",)),
                ("insecure code", ("code.",)),
            )
        },
        "system prompt of 300 words: canary, whole text": lambda: watched.scanner.scan(TEXT),
        "system prompt of 300 words: one delta of a stream": lambda: (
            watched.scanner.undecided_from(RECENT),
            watched.scanner.scan(RECENT),
        ),
        "200 banned words: whole text": lambda: banned.scanner.scan(TEXT),
        "200 banned words: one delta of a stream": lambda: (
            banned.scanner.undecided_from(RECENT),
            banned.scanner.scan(RECENT),
        ),
        "request JSON: parse and bounds, 1 KB": lambda: parse(REQUEST, Limits()),
        "request JSON: parse and bounds, 4 KB with tools": lambda: parse(LARGE, Limits()),
        "request JSON: schema, 4 KB with tools": lambda: schema.check(large, strict=True),
    }


def _scanning(families: tuple[str, ...]) -> Callable[[], object]:
    scanner = Scanner([rule for rule in RULES if rule.id.startswith(families)])
    return lambda: scanner.scan(TEXT)


def _watching() -> tuple[Guard, Guard]:
    """A guard that watches for a system prompt and nothing else, and one with a list of words."""
    leak, rivals = "leak.system_prompt", "banned.rivals"
    prompt = " ".join(f"{word}{number}" for number in range(3) for word in TEXT.split()[:100])
    return (
        Guard.of(ScannerPool(RULES), {leak: RuleSetting(rule=leak, action=Action.BLOCK)}).watching((prompt,)),
        Guard.of(
            ScannerPool(RULES),
            {rivals: RuleSetting(rule=rivals, action=Action.BLOCK)},
            banned={"rivals": tuple(f"rival{number} company" for number in range(200))},
        ),
    )


def _forgetful(injection: Injection) -> object:
    """As for a text whose words nobody used before: the worst case of the linear model's memory."""
    injection._linear._alone.clear()  # noqa: SLF001
    return injection.assess(TEXT, Provenance.USER)


def _assess(injection: Injection, size: int) -> Callable[[], object]:
    text = (TEXT + " ") * (size // len(TEXT) + 1)
    return lambda: injection.assess(text[:size], Provenance.DOCUMENT)


def _measured(name: str, call: Callable[[], object], calls: int = CALLS) -> dict[str, Any]:
    rounds = sorted(timeit.repeat(call, number=calls, repeat=ROUNDS, timer=time.process_time))
    micros = [seconds / calls * 1e6 for seconds in rounds]
    return {
        "name": name,
        "n": calls * ROUNDS,
        "p50_us": round(micros[len(micros) // 2], 1),
        "p99_us": round(micros[int(len(micros) * 0.99)], 1),
        "least_us": round(micros[0], 1),
    }


if __name__ == "__main__":
    main()
