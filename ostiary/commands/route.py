"""`ostiary route explain`: which backends one request may reach, in which order, and why not the others."""
# ruff: noqa: PLC0415 -- detectors load late, so that `ostiary --help` is instant

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ostiary.commands import table
from ostiary.commands.inspect import asked
from ostiary.problem import Problem

if TYPE_CHECKING:
    from extproc.explain_way import Ways

_ABOUT: Final = """\
Runs one request body through the code that guards and routes live traffic, and tells for each backend of its model
whether the request may go there: dialect, what the tenant may reach, what a backend lacks, what was found in the text.
Nothing is sent. Credentials and health are not looked at: they belong to a running gateway.

examples:
  ostiary route explain request.json --policy policies/demo --tenant acme
  echo '{"model":"demo-failover","messages":[{"role":"user","content":"hello"}]}' | \\
      ostiary route explain - --policy policies/demo --tenant acme --json

exit code: 0 the request would be sent, 3 it would be refused, 1 it could not be judged.
"""
_REFUSED: Final = 3


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Put the command into the parser of `ostiary`."""
    parser = commands.add_parser("route", help="say where a request would go, and why")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    explain = verbs.add_parser(
        "explain",
        help="which backends may get a request, in which order",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    explain.add_argument("file", metavar="FILE", help="the request's JSON body; - for standard input")
    explain.add_argument("--policy", type=Path, required=True, metavar="DIR", help="the policy directory")
    explain.add_argument("--tenant", required=True, help="on whose behalf")
    explain.add_argument("--principal", default="explain", help="who of the tenant (for select: sticky)")
    explain.add_argument("--path", default="/v1/chat/completions", help="which endpoint (default: %(default)s)")
    explain.add_argument("--json", action="store_true", help="as JSON")
    explain.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Explain, print, and say by the exit code whether the request would be sent."""
    from extproc.explain_way import ways
    from gateway.clock import SystemClock

    raw, policy, caller = asked(arguments, principal=arguments.principal)
    try:
        told = ways(raw, arguments.path, policy, caller, SystemClock())
    except ValueError as failure:
        raise Problem(str(failure), hint=f"Tenants: {', '.join(sorted(policy.tenants))}") from None
    print(_as_json(told) if arguments.json else _as_text(told, policy.prices.currency))
    return _REFUSED if told.verdict.decision == "refuse" else 0


def _as_json(told: "Ways") -> str:
    fields = {
        "policy": told.policy,
        "model": told.model,
        "select": told.select,
        "score": told.score,
        "features": dict(told.features),
        "decision": told.verdict.decision,
        "code": told.verdict.code,
        "candidates": [asdict(each) for each in told.candidates],
        "mirror": None if told.mirror is None else asdict(told.mirror),
    }
    return json.dumps(fields, ensure_ascii=False, indent=2)


def _as_text(told: "Ways", currency: str) -> str:
    rows = [
        [
            str(each.place) if each.place else "-",
            each.backend,
            each.dialect,
            each.upstream_model,
            "" if each.micros is None else f"{each.micros / 1_000_000:.6f}",
            each.why or (f"would drop {each.lost}" if each.lost else ""),
        ]
        for each in told.candidates
    ]
    heads = ["try", "backend", "dialect", "calls it", f"at most {currency}", ""]
    if weights := {each.backend: each.weight for each in told.candidates if each.weight is not None}:
        heads.insert(2, "weight")
        for row in rows:
            row.insert(2, str(weights.get(row[1], "")))
    lines = [table.columns(heads, rows, colour=sys.stdout.isatty())]
    how = f", select: {told.select}" if told.select else ""
    lines.append(f"model {told.model}{how}, policy {told.policy}")
    if told.score is not None:
        made = " + ".join(f"{points} {name}" for name, points in told.features)
        lines.append(f"score {told.score}{f' = {made}' if made else ''}")
    if told.select == "lowest_latency":
        lines.append("no worker was asked how fast backends are: as if none had answered yet")
    if (mirror := told.mirror) is not None:
        lost = f", without {mirror.lost}" if mirror.lost else ""
        goes = (
            f"{mirror.percent} % of such requests are copied to it as {mirror.upstream_model} ({mirror.dialect}){lost}"
        )
        lines.append(f"mirror {mirror.backend}: {'no copy, ' + mirror.why if mirror.why else goes}")
    if told.verdict.decision == "refuse":
        lines.append(f"REFUSED {told.verdict.status} {told.verdict.code}: {told.verdict.message}")
    return "\n".join(lines)
