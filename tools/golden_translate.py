"""Writes what tests/golden/translate becomes in each dialect, or with `--check` names the cases that changed.

A case is what one side said; what the other side is told stands beside it. The official packages judge both in
tests/unit/extproc/translate/test_golden.py; a person reads what changed.
"""

import argparse
import sys
from pathlib import Path
from typing import Any, Final

import orjson

from extproc.translate import eventstream
from extproc.translate.attempt import Attempt
from extproc.translate.dialect import Origin, Target, Thinks
from extproc.translate.dialects import DIALECTS, FRONTS
from gateway.errors import GatewayError

ROOT: Final = Path(__file__).resolve().parent.parent
CORPUS: Final = ROOT / "tests" / "golden" / "translate"
ORIGIN: Final = Origin(model="public-name", request_id="0af7", now_s=1_790_000_000)
MAX_EVENT_BYTES: Final = 1 << 20  # the product's default


def cases(kind: str) -> dict[str, dict[str, Any]]:
    """Every case of `requests`, `answers`, `streams` or `errors`, by "<dialect>/<name>"."""
    found = sorted((CORPUS / kind).glob("*/*.json"))
    return {f"{path.parent.name}/{path.stem}": orjson.loads(path.read_bytes()) for path in found}


def asked(dialect: str, case: dict[str, Any]) -> dict[str, Any]:
    """What each backend of another dialect is asked for a client's request."""
    out: dict[str, Any] = {}
    for name, back in DIALECTS.items():
        if back.family == FRONTS[dialect].family:
            continue
        target = _target(case.get("target", {}))
        try:
            sent = Attempt(FRONTS[dialect], back, target).request(orjson.dumps(case["request"]))
        except GatewayError as error:
            out[name] = {"refused": error.public, "param": error.param}
            continue
        lost = {each.field: each.why for each in sent.lost}
        out[name] = {"path": sent.path, "body": orjson.loads(sent.body), "lost": lost}
    return out


def _target(told: dict[str, Any]) -> Target:
    return Target(
        model="backend-model",
        thinks=Thinks(told.get("thinks", "effort")),
        sampling=told.get("sampling"),
        api_version=told.get("api_version", ""),
    )


def answered(dialect: str, case: dict[str, Any]) -> dict[str, Any]:
    """What each client of another dialect is answered."""
    out: dict[str, Any] = {}
    for name in FRONTS:
        if name == dialect:
            continue
        attempt = Attempt(FRONTS[name], DIALECTS[dialect], Target(model="backend-model"))
        try:
            received = attempt.answer(case.get("status", 200), orjson.dumps(case["answer"]), ORIGIN)
        except GatewayError as error:
            out[name] = {"refused": error.cause}
            continue
        lost = {each.field: each.why for each in received.lost}
        out[name] = {"status": received.status, "body": orjson.loads(received.body), "lost": lost}
    return out


def streamed(dialect: str, case: dict[str, Any]) -> dict[str, Any]:
    """What each client of another dialect is streamed."""
    raw = wire(case)
    out: dict[str, Any] = {}
    for name in FRONTS:
        if name == dialect:
            continue
        attempt = Attempt(FRONTS[name], DIALECTS[dialect], Target(model="backend-model"))
        stream = attempt.stream(ORIGIN, MAX_EVENT_BYTES)
        try:
            out[name] = (stream.feed(raw) + stream.close()).decode().split("\n\n")[:-1]
        except GatewayError as error:
            out[name] = {"refused": error.cause}
    return out


def wire(case: dict[str, Any]) -> bytes:
    """A stream's bytes, from its events: objects are named by their type where they have one, or are messages."""
    out = []
    for event in case["stream"]:
        if type(event) is dict and ":message-type" in event:
            headers = {name: str(value) for name, value in event.items() if name.startswith(":")}
            out.append(eventstream.encode(headers, orjson.dumps(event.get("payload"))))
        elif type(event) is str:
            out.append(event.encode() + b"\n\n")
        else:
            head = b"event: " + event["type"].encode() + b"\n" if "type" in event else b""
            out.append(head + b"data: " + orjson.dumps(event) + b"\n\n")
    return b"".join(out)


KINDS: Final = {"requests": (asked, "asked"), "answers": (answered, "answered"), "streams": (streamed, "streamed")}


def renewed(kind: str, name: str, case: dict[str, Any]) -> dict[str, Any]:
    """The case with what the code says today."""
    compute, field = KINDS[kind]
    return {**case, field: compute(name.partition("/")[0], case)}


def _sides(pairs: set[tuple[str, str]]) -> str:
    """Who loses it: clients, then backends."""
    clients, backends = ({pair[at] for pair in pairs} - {"azure"} for at in (0, 1))
    return f"{', '.join(sorted(clients))} | {', '.join(sorted(backends))}"


def section() -> str:
    """What has no word on the other side, from the cases: the tables of docs/translation.md."""
    dropped: dict[tuple[str, str], set[tuple[str, str]]] = {}
    refused: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for name, case in cases("requests").items():
        front = name.partition("/")[0]
        for back, told in case["asked"].items():
            for lost in told.get("lost", {}).items():
                dropped.setdefault(lost, set()).add((front, back))
            if "cannot be carried" in told.get("refused", ""):
                why = told["refused"].rpartition(": ")[2].removesuffix(".")
                refused.setdefault((told["param"], why), set()).add((front, back))
    out = []
    for title, told in (("Dropped, or refused by `on_loss: refuse`", dropped), ("Always refused", refused)):
        out += [f"**{title}**", "", "| what | why | clients of | backends of |", "|---|---|---|---|"]
        out += [f"| `{field}` | {why} | {_sides(pairs)} |" for (field, why), pairs in sorted(told.items())]
        out.append("")
    return "\n".join(out).rstrip()


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a case changed")
    check = parser.parse_args().check
    changed = False
    for kind in KINDS:
        for name, case in cases(kind).items():
            new = renewed(kind, name, case)
            if new == case:
                continue
            changed = True
            print(f"{kind}/{name}: changed")
            if not check:
                (CORPUS / kind / f"{name}.json").write_bytes(orjson.dumps(new, option=orjson.OPT_INDENT_2) + b"\n")
    return 1 if changed and check else 0


if __name__ == "__main__":
    sys.exit(main())
