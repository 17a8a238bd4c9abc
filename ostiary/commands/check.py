"""`ostiary policy check`: is a policy sound, and what would recorded traffic newly fail under it; sends nothing."""
# ruff: noqa: PLC0415 -- detectors load late, so that `ostiary --help` is instant

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ostiary.commands.table import columns
from ostiary.problem import Problem

if TYPE_CHECKING:
    from gateway.policy.model import Policy
    from ostiary.traffic import Report

ABOUT: Final = """\
Prints the policy's version, or every problem with its line.

With --traffic, recorded requests are run through the very code that admits live ones, and what would newly fail is
counted by code, field and rule. No text of a request is shown. Each line of a recording is one request:
  {"request_id": "...", "tenant": "acme", "path": "/v1/chat/completions", "body": {...}}
The gateway's own audit keeps no bodies: docs/schemas.md says how to record some.

examples:
  ostiary policy check policies/prod
  ostiary policy check policies/next --traffic recorded.jsonl --against policies/prod
  ostiary policy check policies/prod --traffic recorded.jsonl --api-version /v1/chat/completions=2025-11

exit code: 0 the policy is sound and nothing newly fails, 1 otherwise.
"""
_SHOWN_IDS: Final = 3  # of one line of the table; JSON has more


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("directory", type=Path, metavar="DIR")
    parser.add_argument("--traffic", type=Path, metavar="FILE|DIR", help="recorded requests: *.jsonl, *.json")
    parser.add_argument("--against", type=Path, metavar="OLD", help="the policy that is in force")
    parser.add_argument(
        "--api-version",
        metavar="PATH=VERSION",
        help="as if every tenant took this version of the endpoint alone; without --against, compared with DIR itself",
    )
    parser.add_argument("--tenant", default="", help="of recorded requests that name none")
    parser.add_argument("--path", default="/v1/chat/completions", help="of those that name none (%(default)s)")
    parser.add_argument("--json", action="store_true", help="the comparison as JSON")


def run(asked: argparse.Namespace) -> int:
    """Check, compare where there is something to compare, print."""
    policy = _load(asked.directory)
    if asked.traffic is None:
        for name in ("against", "api_version", "json"):
            if getattr(asked, name):
                raise Problem(f"--{name.replace('_', '-')} means nothing without --traffic")
        print("\n".join([_summary(policy), *_notes(policy)]))
        return 0
    from ostiary import traffic

    old = None if asked.against is None else _load(asked.against)
    if asked.api_version is not None:
        old, policy = old or policy, traffic.staying_with(policy, *_version(asked.api_version))
    report = traffic.compare(traffic.read(asked.traffic, tenant=asked.tenant, path=asked.path), policy, old)
    print(_as_json(report, policy, old) if asked.json else _as_text(report, policy, old))
    return 1 if report.failing else 0


def _version(told: str) -> tuple[str, str]:
    from gateway.policy.api_versions import VERSIONS

    path, _, version = told.partition("=")
    if version not in VERSIONS.get(path, ()):
        known = ", ".join(f"{path}={each}" for path, versions in VERSIONS.items() for each in versions)
        raise Problem("--api-version names no version of an endpoint", hint=f"There are: {known}.")
    return path, version


def _load(directory: Path) -> "Policy":
    from gateway.policy.problem import PolicyError
    from ostiary import bundle

    try:
        return bundle.load(directory)
    except PolicyError as failure:
        raise Problem(str(failure)) from None


def _summary(policy: "Policy") -> str:
    counts = (
        f"{len(policy.tenants)} tenants, {len(policy.keys)} keys, {len(policy.issuers)} issuers, "
        f"{len(policy.models)} models, {len(policy.backends)} backends"
    )
    return f"{policy.version} {policy.name}: {counts}"


def _notes(policy: "Policy") -> list[str]:
    from gateway.clock import SystemClock
    from gateway.policy.prices import without_price

    fate = "are refused" if policy.prices.unknown is None else "cost the ceiling"
    return [
        f"note: {tenant} has a limit on money; these of its models have no price and {fate}: {', '.join(models)}"
        for tenant, models in without_price(policy, SystemClock().now()).items()
    ]


def _as_json(report: "Report", policy: "Policy", old: "Policy | None") -> str:
    told = {
        "policy": policy.version,
        "against": None if old is None else old.version,
        **asdict(report),
        "failing": report.failing,
    }
    return json.dumps(told, ensure_ascii=False, indent=2)


def _as_text(report: "Report", policy: "Policy", old: "Policy | None") -> str:
    lines = [_summary(policy), ""]
    if report.newly_failing:
        rows = []
        for group in report.newly_failing:
            more = len(group.request_ids) > _SHOWN_IDS
            ids = " ".join(group.request_ids[:_SHOWN_IDS]) + (" ..." if more else "")
            rows.append([str(group.count), group.tenant, group.code, group.param or "-", group.rule or "-", ids])
        heads = ("COUNT", "TENANT", "CODE", "FIELD", "RULE", "REQUESTS")
        lines += [columns(heads, rows, colour=sys.stdout.isatty()), ""]
    if old is None:
        lines.append(f"{report.failing} of {report.requests} recorded requests would fail.")
    else:
        lines.append(
            f"{report.failing} of {report.requests} recorded requests would newly fail against {old.version}; "
            f"{report.refused_before} fail before and after, {report.no_longer} no longer fail, "
            f"{report.newly_changed} pass and would newly be changed."
        )
    return "\n".join(lines)
