"""`ostiary budgets`: how full a tenant's limits are now, as table and bars. A client of control's admin API."""

import argparse
import csv
import io
import json
import sys
from typing import Any, Final
from urllib.parse import quote

from ostiary import operator
from ostiary.commands import table

_ABOUT: Final = """\
Shows how much of each limit of a tenant is used and held now, as the ledger counts it. Nothing is spent by looking.
Limits for each key, principal or model are shown for those that were used lately, the fullest first. Of a limit that
the tenant shares, its own part is shown below the whole, against what is assured to it; with --limit, that of each
member.

examples:
  ostiary budgets acme
  ostiary budgets acme --limit day
  ostiary budgets acme --csv

What was used in the past, by key, model or day: `ostiary usage`.
"""
_MICRO: Final = 1_000_000
_BAR_CHARS: Final = 20
_MINUTE_S: Final = 60
_HOUR_S: Final = 3600
_FIELDS: Final = ("limit", "subject", "counts", "currency", "kind", "amount", "used", "held", "remaining", "reset_s")


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Put the command into the parser of `ostiary`."""
    parser = commands.add_parser(
        "budgets",
        help="how full a tenant's limits are now",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("tenant", help="whose limits")
    parser.add_argument("--limit", default="", metavar="NAME", help="only this one")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="as CSV; money in millionths")
    form.add_argument("--json", action="store_true", help="control's answer as JSON; money in millionths")
    operator.add_arguments(parser)
    parser.set_defaults(run=run)


def run(asked: argparse.Namespace) -> int:
    """Ask, print."""
    query = f"?limit={quote(asked.limit, safe='')}" if asked.limit else ""
    told = operator.ask(asked, "GET", f"/admin/v1/budgets/{quote(asked.tenant, safe='')}{query}")
    if asked.json:
        print(json.dumps(told, ensure_ascii=False, indent=2))
    elif asked.csv:
        print(_as_csv(told["limits"]), end="")
    elif told["limits"]:
        limits = with_members(told["limits"], told["tenant"], every=bool(asked.limit))
        print(_as_text(limits, colour=sys.stdout.isatty()))
    else:
        print(
            "No limit holds for this tenant, or only some for each key, principal or model, and none was used lately."
        )
    return 0


def with_members(limits: list[dict[str, Any]], tenant: str, *, every: bool) -> list[dict[str, Any]]:
    """The lines of the table: below each shared limit the tenant's part of it, or that of `every` member."""
    lines = []
    for one in limits:
        members = one.get("members", [])
        lines.append(one | {"subject": {"shared by": f"{len(members)} tenants"}} if members else one)
        lines += [
            one | part | {"amount": part["assured"], "subject": {"assured to": part["tenant"]}}
            for part in members
            if every or part["tenant"] == tenant
        ]
    return lines


def _as_text(limits: list[dict[str, Any]], *, colour: bool) -> str:
    rows = [
        [
            table.printable(str(one["limit"])),
            table.printable(_subject(one) or "-"),
            str(one["counts"]) if one["kind"] == "hard" else f"{one['counts']} (soft)",
            *(_amount(one, name) for name in ("used", "held", "amount")),
            bar(one["used"], one["held"], one["amount"]),
            f"{100 * one['used'] // one['amount']} %",
            _span(one["reset_s"]),
        ]
        for one in limits
    ]
    return table.columns(
        ("LIMIT", "OF", "COUNTS", "USED", "HELD", "AMOUNT", "", "SHARE", "RESETS IN"), rows, colour=colour
    )


def bar(used: int, held: int, amount: int) -> str:
    """What is used is full, what running exchanges hold is shaded; a limit that is passed is a full bar."""
    full = min(used * _BAR_CHARS // amount, _BAR_CHARS)
    shaded = min((used + held) * _BAR_CHARS // amount, _BAR_CHARS) - full
    return "█" * full + "▒" * shaded + "·" * (_BAR_CHARS - full - shaded)


def _subject(one: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in one["subject"].items())


def _amount(one: dict[str, Any], name: str) -> str:
    number = int(one[name])
    return f"{number / _MICRO:,.2f} {one['currency']}" if one["counts"] == "money" else f"{number:,}"


def _span(seconds: float) -> str:
    whole = int(seconds)
    if whole < _MINUTE_S:
        return f"{whole} s" if whole else "-"
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S} min"
    hours = whole // _HOUR_S
    return f"{hours} h" if hours < 48 else f"{hours // 24} d"


def _as_csv(limits: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_FIELDS)
    for one in limits:
        writer.writerow([_cell(_subject(one)) if name == "subject" else one[name] for name in _FIELDS])
    return out.getvalue()


def _cell(text: str) -> str:
    """A spreadsheet would run what begins like a formula; names of principals are others' words."""
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text
