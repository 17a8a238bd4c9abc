"""`ostiary usage`: tokens and cost out of audit files as table, plot, CSV or JSON; the sums are in `ostiary.usage`."""
# ruff: noqa: PLC0415 -- what it reads with loads late, so that `ostiary --help` is instant

import argparse
import csv
import io
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ostiary.commands import table
from ostiary.commands.moment import ending, told
from ostiary.problem import Problem

if TYPE_CHECKING:
    from gateway.policy.model import Policy
    from ostiary.usage import Exchange, Forecast, Sum

_ABOUT: Final = """\
Adds up what the audit files say that exchanges used and cost. Reads files and asks nobody; what a provider did not
report counts as estimated there. Times are UTC.

examples:
  ostiary usage --audit /var/lib/ostiary/audit --since 7d
  ostiary usage --audit audit/ --by day --tenant acme --plot
  ostiary usage --audit audit/ --by tenant,key,model --since 2026-11-01 --csv > november.csv
  ostiary usage --audit audit/ --policy policies/prod     also says when budgets will be used up, at the last day's pace

exit code: 0 done, 1 some lines could not be read (they are named on standard error, the rest was added up).
"""
_TOLD_MAX: Final = 20  # bad lines that are named: more of them have one cause
_BAR_CHARS: Final = 40
_MICRO: Final = 1_000_000
_EIGHTHS: Final = " ▏▎▍▌▋▊▉"
_HEADS: Final = ("EXCHANGES", "INPUT", "CACHED", "OUTPUT", "REASONING", "COST", "ESTIMATED", "UNPRICED")


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Put the command into the parser of `ostiary`."""
    parser = commands.add_parser(
        "usage",
        help="tokens and cost by tenant, key, model or day, from audit files",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--audit", type=Path, metavar="DIR", help="directory of *.jsonl; default: OSTIARY_AUDIT_DIR")
    parser.add_argument("--since", metavar="WHEN", default="30d", help="a span such as 7d, or a date (%(default)s)")
    parser.add_argument("--until", metavar="WHEN", help="a date or time; default: now")
    parser.add_argument(
        "--by", default="tenant,model", help="of tenant, key, principal, model, backend, day, hour (%(default)s)"
    )
    for name in ("tenant", "key", "principal", "model"):
        parser.add_argument(f"--{name}", default="", help=f"only this {name}")
    parser.add_argument("--policy", type=Path, metavar="DIR", help="also forecast the budgets of this policy")
    parser.add_argument("--plot", action="store_true", help="bars of cost, or of tokens where nothing has a price")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="every sum as CSV; money in millionths")
    form.add_argument("--json", action="store_true", help="every sum, and the forecast, as JSON")
    parser.set_defaults(run=run)


def run(asked: argparse.Namespace) -> int:
    """Read, add up, print."""
    from gateway.clock import SystemClock
    from ostiary import usage

    by = tuple(asked.by.split(","))
    for name in by:
        if name not in usage.DIMENSIONS:
            raise Problem(f"usage cannot be told by {name!r}", hint=f"By: {', '.join(usage.DIMENSIONS)}")
    now_s = SystemClock().now()
    since_s, until_s = since_of(asked.since, now_s), now_s if asked.until is None else _moment(asked.until)
    bad = 0

    def complain(problem: str) -> None:
        nonlocal bad
        bad += 1
        if bad <= _TOLD_MAX:
            print(f"ostiary: {table.printable(problem)}", file=sys.stderr)

    files = files_of(asked.audit)
    wanted = (one for one in usage.read(files, complain) if since_s <= one.at_s <= until_s and _is_wanted(one, asked))
    sums = usage.sums(wanted, by)
    policy = None if asked.policy is None else load(asked.policy)
    # A month's window may have begun before the period that is asked for, so its use is read anew.
    ahead = [] if policy is None else usage.forecasts(policy, usage.read(files, lambda _: None), now_s)
    if asked.csv:
        print(_as_csv(by, sums), end="")
    elif asked.json:
        print(_as_json(by, sums, ahead, since_s, until_s))
    else:
        print(_as_text(by, sums, ahead, plot=asked.plot, colour=sys.stdout.isatty()))
    return 1 if bad else 0


def files_of(directory: Path | None) -> list[Path]:
    """The audit files of a directory, or of the one that the settings name."""
    if directory is None:
        from gateway.settings import read_process

        directory = read_process().audit_dir
    files = sorted(directory.glob("*.jsonl"))
    if not files:
        raise Problem(f"{directory} holds no *.jsonl", hint="Name the gateway's audit directory: --audit DIR")
    return files


def load(directory: Path) -> "Policy":
    """The policy of a directory, or a Problem that says what is wrong with it."""
    from gateway.policy.problem import PolicyError
    from ostiary import bundle

    try:
        return bundle.load(directory)
    except PolicyError as failure:
        raise Problem(str(failure)) from None


def since_of(text: str, now_s: float) -> float:
    """A span such as 7d before now, or a date, in unix seconds."""
    from ostiary.commands.moment import span_s

    try:
        return now_s - span_s(text)
    except argparse.ArgumentTypeError:
        return _moment(text)


def _moment(text: str) -> float:
    try:
        at_s = ending(text).get("expires_at")
    except argparse.ArgumentTypeError:
        at_s = None
    if at_s is None:
        raise Problem(f"{text[:32]!r} is no time", hint="Expected 7d, 12h, 2026-11-01 or 2026-11-01T12:00Z")
    return float(at_s)


def _is_wanted(one: "Exchange", asked: argparse.Namespace) -> bool:
    return all(getattr(asked, name) in {"", getattr(one, name)} for name in ("tenant", "key", "principal", "model"))


# --- forms -----------------------------------------------------------------------------------------------------------


def _as_text(
    by: tuple[str, ...], sums: "dict[tuple[str, ...], Sum]", ahead: "list[Forecast]", *, plot: bool, colour: bool
) -> str:
    from ostiary.usage import Sum

    total = Sum()
    for one in sums.values():
        _merge(total, one)
    rows = [[*(name or "-" for name in names), *_cells(one)] for names, one in sums.items()]
    if len(rows) > 1:
        rows.append(["all", *[""] * (len(by) - 1), *_cells(total)])
    parts = [table.columns([name.upper() for name in by] + list(_HEADS), rows, colour=colour)]
    if plot:
        parts.append(bars(sums))
    if ahead:
        parts.append(_forecast(ahead, colour=colour))
    return "\n\n".join(parts)


def _cells(one: "Sum") -> list[str]:
    money = ", ".join(f"{_money(micros)} {currency}" for currency, micros in sorted(one.micros.items()))
    numbers = (one.exchanges, one.tokens_in, one.cached, one.tokens_out, one.reasoning)
    return [*(f"{number:,}" for number in numbers), money or "-", f"{one.estimated:,}", f"{one.unpriced:,}"]


def _merge(into: "Sum", one: "Sum") -> None:
    for name in ("exchanges", "tokens_in", "tokens_out", "cached", "reasoning", "estimated", "unpriced"):
        setattr(into, name, getattr(into, name) + getattr(one, name))
    for currency, micros in one.micros.items():
        into.micros[currency] = into.micros.get(currency, 0) + micros


def bars(sums: "dict[tuple[str, ...], Sum]") -> str:
    """One bar for each group: its cost where all of it is in one currency, else its tokens."""
    currencies = {currency for one in sums.values() for currency in one.micros}
    unit = next(iter(currencies)) if len(currencies) == 1 else "tokens"
    heights = [
        one.micros.get(unit, 0) if unit in currencies else one.tokens_in + one.tokens_out for one in sums.values()
    ]
    most = max(heights, default=0) or 1
    names = [table.printable(" ".join(name or "-" for name in names)) for names in sums]
    width = max(map(len, names), default=0)
    lines = []
    for name, height in zip(names, heights, strict=True):
        whole, eighths = divmod(height * _BAR_CHARS * 8 // most, 8)
        bar = "█" * whole + (_EIGHTHS[eighths] if eighths else "")
        told_as = _money(height) if unit in currencies else f"{height:,}"
        lines.append(f"{name:<{width}}  {bar:<{_BAR_CHARS}}  {told_as} {unit}")
    return "\n".join(lines)


def _forecast(ahead: "list[Forecast]", *, colour: bool) -> str:
    from gateway.budgets.model import Resource

    rows = []
    for one in ahead:
        numbers = (one.used, one.amount, int(one.per_day))
        money = one.resource is Resource.MICRO_USD
        shown = [_money(number) if money else f"{number:,}" for number in numbers]
        ends = told(None if one.exhausted_s is None else int(one.exhausted_s), absent="not in this window")
        rows.append(
            [one.tenant, one.limit, one.subject or "-", one.resource.value if not money else "money", *shown,
             f"{100 * one.used // one.amount} %", ends]
        )  # fmt: skip
    heads = ("TENANT", "LIMIT", "OF", "COUNTS", "USED", "LIMIT", "A DAY", "SHARE", "EXHAUSTED")
    return table.columns(heads, rows, colour=colour)


def _as_csv(by: tuple[str, ...], sums: "dict[tuple[str, ...], Sum]") -> str:
    """One line for each group and currency: money of two currencies has no sum."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = ("exchanges", "tokens_in", "cached", "tokens_out", "reasoning", "estimated", "unpriced")
    writer.writerow([*by, *names, "cost_micros", "currency"])
    for group, one in sums.items():
        numbers = [getattr(one, name) for name in names]
        for at, (currency, micros) in enumerate(sorted(one.micros.items()) or [("", "")]):
            # Counts stand in the first line of a group alone, so that columns can be added up.
            writer.writerow([*map(_cell, group), *(numbers if at == 0 else [0] * len(numbers)), micros, currency])
    return out.getvalue()


def _cell(text: str) -> str:
    """A spreadsheet would run what begins like a formula; names of keys and principals are others' words."""
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text


def _as_json(
    by: tuple[str, ...], sums: "dict[tuple[str, ...], Sum]", ahead: "list[Forecast]", since_s: float, until_s: float
) -> str:
    groups = [{**dict(zip(by, group, strict=True)), **asdict(one)} for group, one in sums.items()]
    whole = {"since": int(since_s), "until": int(until_s), "groups": groups, "forecast": [asdict(one) for one in ahead]}
    return json.dumps(whole, ensure_ascii=False, indent=2)


def _money(micros: int) -> str:
    """Units with two digits behind the point; less than a hundredth with as many as it needs."""
    if 0 < micros < _MICRO // 100:
        return f"{micros / _MICRO:.6f}".rstrip("0")
    return f"{micros / _MICRO:,.2f}"
