"""`ostiary inspect`: tells what the policy would make of one request, text by text; sends nothing anywhere."""
# ruff: noqa: PLC0415 -- detectors load late, so that `ostiary --help` is instant

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ostiary.problem import Problem

if TYPE_CHECKING:
    from extproc.explain import Explanation, Hit, Spot
    from gateway.budgets.model import Amounts
    from gateway.identity import Caller
    from gateway.policy.model import Policy

_ABOUT: Final = """\
Runs one request body through the very code that guards live traffic, and says what would become of it: each text
with its place and author, what every rule found in it, and the decision. Nothing is sent, nothing is recorded.

examples:
  ostiary inspect request.json --policy policies/demo --tenant acme
  echo '{"model":"demo","messages":[{"role":"user","content":"I am joe@example.com"}]}' | \\
      ostiary inspect - --policy policies/demo --tenant acme
  ostiary inspect request.json --policy policies/prod --tenant acme --json | jq .decision

exit code: 0 the request would pass (perhaps changed), 3 it would be refused, 1 it could not be judged.
"""
_REFUSED: Final = 3
_SHOWN_CHARS: Final = 160  # of one text: two lines of a terminal
_MAX_BYTES: Final = 64 * 1024 * 1024  # the largest body that any policy lets through
_BOLD, _RED, _YELLOW, _GREEN, _DIM, _PLAIN = "\x1b[1m", "\x1b[31m", "\x1b[33m", "\x1b[32m", "\x1b[2m", "\x1b[0m"


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Put the command into the parser of `ostiary`."""
    parser = commands.add_parser(
        "inspect",
        help="say what would become of a request, and why",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="FILE", help="the request's JSON body; - for standard input")
    parser.add_argument("--policy", type=Path, required=True, metavar="DIR", help="the policy directory")
    parser.add_argument("--tenant", required=True, help="on whose behalf")
    parser.add_argument("--path", default="/v1/chat/completions", help="which endpoint (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="the whole explanation as JSON")
    parser.add_argument("--all", action="store_true", help="show texts without findings too")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Explain, print, and say by the exit code whether the request would pass."""
    from extproc.explain import explain
    from gateway.clock import SystemClock

    raw, policy, caller = asked(arguments, principal="inspect")
    try:
        told = explain(raw, arguments.path, policy, caller, SystemClock())
    except ValueError as failure:
        raise Problem(str(failure), hint=f"It has: {', '.join(sorted(policy.tenants))}") from None
    print(_as_json(told) if arguments.json else _as_text(told, colour=sys.stdout.isatty(), every=arguments.all))
    return _REFUSED if told.decision == "refuse" else 0


def asked(arguments: argparse.Namespace, *, principal: str) -> "tuple[bytes, Policy, Caller]":
    """The request of FILE, the policy, and the tenant as its caller: what commands that explain begin with."""
    from gateway.identity import Caller
    from gateway.policy.problem import PolicyError
    from ostiary import bundle

    raw = _read(arguments.file)
    try:
        policy = bundle.load(arguments.policy)
    except PolicyError as failure:
        raise Problem(str(failure)) from None
    caller = Caller(
        tenant=arguments.tenant,
        principal=principal,
        key_id="",
        scopes=(),
        policy=policy.version,
        request_id="explained",
    )
    return raw, policy, caller


def _read(name: str) -> bytes:
    raw = sys.stdin.buffer.read(_MAX_BYTES + 1) if name == "-" else Path(name).read_bytes()
    if len(raw) > _MAX_BYTES:
        raise Problem("the request is larger than any policy lets through")
    return raw


def _as_json(told: "Explanation") -> str:
    fields = asdict(told)
    fields["body"] = None if told.body is None else told.body.decode("utf-8", "replace")
    return json.dumps(fields, ensure_ascii=False, indent=2)


def _as_text(told: "Explanation", *, colour: bool, every: bool) -> str:
    def paint(code: str, text: str) -> str:
        return f"{code}{text}{_PLAIN}" if colour else text

    lines = []
    for spot in told.spots:
        if spot.hits or every:
            lines += _spot_lines(spot, paint)
    if not lines:
        lines.append(paint(_DIM, f"{len(told.spots)} texts, no rule fired"))
    lines.append("")
    verdict, code = {
        "pass": ("PASS, byte for byte as it came", _GREEN),
        "change": ("PASS, changed", _YELLOW),
        "refuse": (f"REFUSE  {told.status} {told.code}", _RED),
    }[told.decision]
    lines.append(paint(_BOLD + code, verdict) + paint(_DIM, f"   policy {told.policy}, tenant {told.tenant}"))
    if told.message:
        lines.append(f"  the caller reads: {told.message}")
    if told.model:
        lines.append(f"  model {told.model} at backend {told.backend}")
    if told.reserved is not None:
        lines.append(f"  of the budget: {_amounts(told.reserved)}")
    for found in told.found:
        would = "" if found.action == found.would else f" (policy asks for {found.would}, in shadow)"
        lines.append(f"  record: {found.rule} x{found.count}: {found.action}{would}")
    return "\n".join(lines)


def _amounts(reserved: "Amounts") -> str:
    money = f", {reserved.micro_usd / 1_000_000:g} of money" if reserved.micro_usd else ""
    return f"at most {reserved.tokens_in} prompt tokens and {reserved.tokens_out} of the answer{money}"


def _spot_lines(spot: "Spot", paint: "_Paint") -> list[str]:
    text = _printable(spot.text)
    author = f" said by {spot.provenance}" if spot.provenance else ""
    lines = [paint(_BOLD, _printable(spot.path)) + paint(_DIM, f"{author}, {spot.chars} characters"), f"    {text}"]
    lines += [
        f"  {paint(_colour(hit), hit.action):<{8 + len(paint(_colour(hit), ''))}} {_place(hit, spot)}"
        for hit in spot.hits
    ]
    return lines


def _place(hit: "Hit", spot: "Spot") -> str:
    whole = hit.start == 0 and hit.end == spot.chars
    where = "the whole text" if whole else f"characters {hit.start} to {hit.end}"
    shadow = "  [shadow: nothing is done]" if hit.mode == "shadow" else ""
    return f"{hit.rule}  {where}{shadow}"


def _colour(hit: "Hit") -> str:
    return {"block": _RED, "allow": _DIM, "flag": _DIM}.get(hit.action, _YELLOW)


def _printable(text: str) -> str:
    """One line without control characters: a request must not move the operator's cursor."""
    shown = "".join(char if char.isprintable() else " " for char in text[: _SHOWN_CHARS + 1])
    return shown if len(text) <= _SHOWN_CHARS else f"{shown[:_SHOWN_CHARS]} ..."


if TYPE_CHECKING:
    from collections.abc import Callable

    _Paint = Callable[[str, str], str]
