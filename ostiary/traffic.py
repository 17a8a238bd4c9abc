"""What recorded requests would meet under a new policy, next to an old one: counts by code, field and rule.

Runs the exchange that workers run. Sends nothing, and shows no text of a request.
"""

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import orjson

from extproc.explain import Offline, judge
from gateway.clock import SystemClock
from gateway.errors import Kind
from gateway.identity import Caller
from gateway.policy.model import Policy
from gateway.policy.store import PolicyStore
from gateway.policy.version import named
from ostiary.problem import Problem

#: Longest line of a record: the largest body that any policy lets through, in base64, and its envelope.
_LINE_BYTES: Final = 96 * 1024 * 1024
_IDS: Final = 100  # request ids kept of one group: more of the same prove nothing
_ID_CHARS: Final = 64
_PARAM_CHARS: Final = 160
#: Names of fields are the caller's: any place in a list is one field.
_INDEX: Final = re.compile(r"\[[0-9]+\]")
#: What is told where the new policy has no such tenant: authz would know none of its credentials.
NO_TENANT: Final = "no_such_tenant"


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request as it once came in."""

    id: str
    path: str
    tenant: str
    body: bytes = field(repr=False)
    version: str = ""  # of the API, where its client said one (`anthropic-version`)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one policy makes of a request."""

    decision: str  # "pass" | "change" | "refuse"
    code: str = ""
    param: str = ""
    rule: str = ""


@dataclass(slots=True)
class Group:
    """Requests that fail in the same way."""

    tenant: str
    code: str
    param: str
    rule: str
    count: int = 0
    request_ids: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Report:
    """The comparison. Without an old policy, every recorded request is taken to have passed."""

    requests: int = 0
    refused: int = 0  # by the new policy
    refused_before: int = 0  # of these, also by the old one
    no_longer: int = 0  # refused by the old policy only
    newly_changed: int = 0  # pass, but no longer byte for byte
    newly_failing: list[Group] = field(default_factory=list)

    @property
    def failing(self) -> int:
        """How many requests fail that did not before."""
        return self.refused - self.refused_before


class Trial:
    """One policy, ready to judge recorded requests."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._book = Offline(PolicyStore(policy))
        self._clock = SystemClock()

    def judge(self, asked: Recorded) -> Outcome:
        """What becomes of the request, by the code of authz's route check and of admission."""
        tenant = self._policy.tenants.get(asked.tenant)
        if tenant is None:
            return Outcome("refuse", NO_TENANT)
        if not tenant.may_call(asked.path):
            return Outcome("refuse", Kind.ROUTE_FORBIDDEN.value)
        caller = Caller(
            tenant=asked.tenant,
            principal="traffic",
            key_id="",
            scopes=(),
            policy=self._policy.version,
            request_id=asked.id,
        )
        told = judge(asked.body, asked.path, self._book, caller, self._clock, version=asked.version)
        return Outcome(told.decision, told.code, _INDEX.sub("[]", told.param)[:_PARAM_CHARS], told.rule)


def staying_with(policy: Policy, path: str, version: str) -> Policy:
    """`policy` as it would be if each of its tenants took that version of one endpoint alone."""
    tenants = {
        name: replace(tenant, api_versions={**tenant.api_versions, path: (version,)})
        for name, tenant in policy.tenants.items()
    }
    return named(replace(policy, tenants=tenants))


def compare(recorded: Iterator[Recorded], new: Policy, old: Policy | None) -> Report:
    """Judge every request under both policies."""
    trial, before = Trial(new), None if old is None else Trial(old)
    report = Report()
    groups: dict[tuple[str, str, str, str], Group] = {}
    for asked in recorded:
        report.requests += 1
        now = trial.judge(asked)
        then = Outcome("pass") if before is None else before.judge(asked)
        if now.decision != "refuse":
            report.no_longer += then.decision == "refuse"
            report.newly_changed += before is not None and (then.decision, now.decision) == ("pass", "change")
            continue
        report.refused += 1
        if then.decision == "refuse":
            report.refused_before += 1
            continue
        key = (asked.tenant, now.code, now.param, now.rule)
        group = groups.setdefault(key, Group(*key))
        group.count += 1
        if len(group.request_ids) < _IDS:
            group.request_ids.append(asked.id)
    report.newly_failing = sorted(groups.values(), key=lambda each: (-each.count, each.tenant, each.code, each.param))
    return report


def read(source: Path, *, tenant: str, path: str) -> Iterator[Recorded]:
    """The requests of a file or directory: lines of `*.jsonl`, and `*.json` as one body each.

    `tenant` and `path` count where a line names none.

    Raises:
        Problem: what cannot be read, with file and line, or nothing to read at all.
    """
    files = sorted(source.iterdir()) if source.is_dir() else [source]
    found = False
    for file in files:
        if file.suffix == ".json":
            found = True
            yield Recorded(_id(file.stem), path, _needed(tenant, str(file)), file.read_bytes())
        elif file.suffix == ".jsonl" or not source.is_dir():
            with file.open("rb") as lines:
                for number, line in enumerate(iter(lambda: lines.readline(_LINE_BYTES + 1), b""), 1):
                    if line.strip():
                        found = True
                        yield _recorded(line, f"{file}:{number}", f"{file.stem}:{number}", tenant, path)
    if not found:
        raise Problem(f"{source} holds no requests", hint="Give a JSONL file, or a directory of *.jsonl and *.json.")


def _recorded(line: bytes, where: str, name: str, tenant: str, path: str) -> Recorded:
    if len(line) > _LINE_BYTES:
        raise Problem(f"{where}: longer than {_LINE_BYTES // 1024 // 1024} MiB")
    try:
        told: Any = orjson.loads(line)
    except orjson.JSONDecodeError:
        told = None  # raised below: the parser's error holds the line
    if type(told) is not dict:
        raise Problem(f"{where}: not a JSON object", hint=_FORM)
    words = {key: told.get(key, "") for key in ("tenant", "path", "request_id", "api_version")}
    if not all(type(word) is str for word in words.values()):
        raise Problem(f"{where}: tenant, path, request_id and api_version are texts", hint=_FORM)
    return Recorded(
        _id(words["request_id"] or name),
        (words["path"] or path).partition("?")[0],
        _needed(words["tenant"] or tenant, where),
        _body(told, where),
        words["api_version"],
    )


_FORM: Final = 'A line is {"request_id": "...", "tenant": "...", "path": "/v1/...", "body": {...}}.'


def _body(told: dict[str, Any], where: str) -> bytes:
    """`body` as JSON, or as text where every byte counts; `body_base64` for what is no text."""
    body = told.get("body")
    if type(body) is dict:
        return orjson.dumps(body)
    if type(body) is str:
        return body.encode()
    encoded = told.get("body_base64")
    if type(encoded) is str:
        try:
            return base64.b64decode(encoded, validate=True)
        except ValueError:
            pass  # told below, without the text
    raise Problem(f"{where}: no body", hint=_FORM)


def _needed(tenant: str, where: str) -> str:
    if not tenant:
        raise Problem(f"{where}: no tenant", hint="Name one in the line, or with --tenant for all that name none.")
    return tenant


def _id(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text[:_ID_CHARS])
