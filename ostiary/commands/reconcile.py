"""`ostiary reconcile`: what records say of each limit beside what the ledger says; a client of control's admin API."""
# ruff: noqa: PLC0415 -- what it reads with loads late, so that `ostiary --help` is instant

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from ostiary import operator
from ostiary.commands import table
from ostiary.problem import Problem

if TYPE_CHECKING:
    from ostiary.reconcile import Claim

_ABOUT: Final = """\
Compares the ledger of budgets with the audit records, for limits over a day, a month, or a sliding window of an hour or
more. LACKING is what records say and the ledger lost: Valkey was wiped or restored from a copy, or a worker died
between its record and its charge. With --apply the ledger is brought to what the records say, and never beyond it, so
it may be repeated. What only the ledger has (of a worker that crashed before its record) stays.

Read the files of all hosts that share the ledger, or what others used stays lost. --apply waits 15 s, in which
workers charge what they have on record; what they use meanwhile counts as restored, and a second run finds it.

examples:
  ostiary reconcile --audit /var/lib/ostiary/audit
  ostiary reconcile --audit host-a/ --audit host-b/ --policy policies/prod --tenant acme --json
  ostiary reconcile --apply --reason "Valkey restored from the copy of 04:00, INC-17"
  ostiary reconcile --limit day --since 2026-11-22T09:00Z      a limit that holds since nine

exit code: 0 the ledger lacks nothing, or all of it was restored; 1 it lacks something, or lines could not be read.
"""
_TOLD_MAX: Final = 20  # bad lines that are named: more of them have one cause
_MICRO: Final = 1_000_000
#: Of a request's body; control takes 64 KiB. A claim has up to 62 slots, some 2 KB.
_BODY_CHARS: Final = 48 * 1024


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Put the command into the parser of `ostiary`."""
    parser = commands.add_parser(
        "reconcile",
        help="compare the ledger of budgets with the audit records, and restore what it lost",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--audit", type=Path, metavar="DIR", action="append", help="directory of *.jsonl; default: OSTIARY_AUDIT_DIR"
    )
    parser.add_argument("--policy", type=Path, metavar="DIR", help="policy bundle; default: OSTIARY_POLICY_DIR")
    parser.add_argument("--tenant", default="", help="only this tenant")
    parser.add_argument("--limit", default="", metavar="NAME", help="only this limit")
    parser.add_argument("--since", metavar="WHEN", help="count no exchange that began before (a span or a date)")
    parser.add_argument("--apply", action="store_true", help="restore what the ledger lacks")
    parser.add_argument("--reason", default="", metavar="TEXT", help="for the record of --apply")
    parser.add_argument("--json", action="store_true", help="every comparison as JSON; money in millionths")
    operator.add_arguments(parser)
    parser.set_defaults(run=run)


def run(asked: argparse.Namespace) -> int:
    """Read, compare, print."""
    from gateway.clock import SystemClock
    from ostiary import reconcile, usage
    from ostiary.commands.usage import files_of, load, since_of

    now_s = SystemClock().now()
    since_s = 0.0 if asked.since is None else since_of(asked.since, now_s)
    bad = 0

    def complain(problem: str) -> None:
        nonlocal bad
        bad += 1
        if bad <= _TOLD_MAX:
            print(f"ostiary: {table.printable(problem)}", file=sys.stderr)

    policy = load(asked.policy or _policy_dir())
    files = [file for directory in asked.audit or [None] for file in files_of(directory)]
    # What ended within the last seconds may be on record and on its way to the ledger.
    found = reconcile.claims(policy, usage.read(files, complain), now_s, now_s - reconcile.SETTLING_S, since_s)
    wanted = [one for one in found if asked.tenant in {"", one.tenant} and asked.limit in {"", one.limit.name}]
    if asked.tenant and asked.tenant not in policy.tenants:
        raise Problem(f"the policy has no tenant {asked.tenant!r}")
    told = _compare(asked, wanted, apply=False)
    if asked.apply and any(map(_lacking, told)):
        print(f"ostiary: waiting {reconcile.SETTLING_S:.0f} s for what workers still charge", file=sys.stderr)
        # The ledger answers now: until then every worker that was cut off from it has found it again.
        time.sleep(reconcile.SETTLING_S)
        told = _compare(asked, wanted, apply=True)
    if asked.json:
        print(json.dumps({"through": int(now_s - reconcile.SETTLING_S), "limits": told}, ensure_ascii=False, indent=2))
    elif told:
        print(_as_text(told, policy.prices.currency, colour=sys.stdout.isatty()))
    else:
        print("No limit over an hour or more holds for anyone who is asked for.")
    left = any(_lacking(one) > one["restored"] for one in told)
    return 1 if bad or (left and not asked.apply) else 0


def _policy_dir() -> Path:
    from gateway.settings import read_process

    return read_process().policy_dir


def _compare(asked: argparse.Namespace, claims: "Iterable[Claim]", *, apply: bool) -> list[dict[str, Any]]:
    by_tenant: dict[str, list[dict[str, Any]]] = {}
    for one in claims:
        window = one.limit.window
        by_tenant.setdefault(one.tenant, []).append(
            {
                "limit": one.limit.name,
                "subject": one.values,
                "window": window.shape.value,
                "window_s": window.span_s,
                "uses": one.uses,
            }
        )
    told = []
    for tenant, every in sorted(by_tenant.items()):
        for some in _bodies(every):
            body: dict[str, Any] = {"apply": apply, "claims": some, "reason": asked.reason}
            path = f"/admin/v1/budgets/{quote(tenant, safe='')}/reconcile"
            told += [{"tenant": tenant, **one} for one in operator.ask(asked, "POST", path, body)["limits"]]
    return sorted(told, key=lambda one: (-_lacking(one) / one["amount"], one["tenant"], one["limit"]))


def _bodies(claims: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    some: list[dict[str, Any]] = []
    chars = 0
    for one in claims:
        more = len(json.dumps(one))
        if some and chars + more > _BODY_CHARS:
            yield some
            some, chars = [], 0
        some.append(one)
        chars += more
    if some:
        yield some


def _lacking(one: dict[str, Any]) -> int:
    return max(int(one["recorded"]) - int(one["used"]), 0)


def _as_text(told: list[dict[str, Any]], currency: str, *, colour: bool) -> str:
    rows = []
    for one in told:
        money = one["counts"] == "money"
        numbers = (one["recorded"], one["used"], _lacking(one), one["restored"])
        of = " ".join(f"{name}={value}" for name, value in one["subject"].items())
        rows.append(
            [
                table.printable(one["tenant"]),
                table.printable(one["limit"]),
                table.printable(of) or "-",
                one["counts"],
                *(f"{number / _MICRO:,.2f} {currency}" if money else f"{number:,}" for number in numbers),
            ]
        )
    heads = ("TENANT", "LIMIT", "OF", "COUNTS", "RECORDED", "LEDGER", "LACKING", "RESTORED")
    return table.columns(heads, rows, colour=colour)
