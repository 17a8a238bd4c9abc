"""Tells the policy's webhook of limits that fill, in the form that Alertmanager takes. Notices come from the board.

One process sends, not every worker: the hook's secret and the way out of the network stay with `control`, what is slow
out there delays no exchange, and what a worker noticed outlives it. Two `control`s never send the same: a notice that
was taken is away for a while. What came of each is put on record.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

import orjson
import structlog

from gateway import hook
from gateway.audit.record import Record
from gateway.budgets.board import Board, Notice
from gateway.budgets.model import MICRO, Resource
from gateway.clock import Clock
from gateway.fetch import FetchError, StatusError
from gateway.hook import HookError
from gateway.policy.model import AlertHook, Policy
from gateway.script import ScriptError
from gateway.secrets import reference
from gateway.secrets.reference import SecretError

_log: Final = structlog.get_logger(__name__)

_TICK_S: Final = 1.0
_AT_ONCE: Final = 8  # notices that are taken together; each is one message
_LEASE_MS: Final = 60_000  # longer than all of them take at their deadline
_DEADLINE_S: Final = 5.0  # of one message; Alertmanager answers in milliseconds
_ANSWER_BYTES: Final = 64 * 1024  # nobody reads it
#: For how long a message is tried: longer than a restart or a night's certificate, and still news when it comes.
GIVE_UP_S: Final = 3600.0
_WAIT_S: Final = (2.0, 300.0)  # between two tries: as long again as it has been tried, within these
_JITTER: Final = 0.25
_OK: Final = range(200, 300)
_FULL: Final = 100
_NAME: Final = "OstiaryBudget"


class Line(Protocol):
    """A kept connection: `gateway.fetch.Line`, or a test's own."""

    async def post(self, headers: Mapping[str, str], content: bytes, max_bytes: int, deadline_s: float) -> bytes:
        """The body of a 200 answer. Raises FetchError."""
        ...

    async def close(self) -> None:
        """Hang up."""
        ...


#: Makes the line to a URL with a CA file.
Dial = Callable[[str, str | None], Line]


class Alerts:
    """See the module. For one event loop."""

    def __init__(
        self,
        *,
        board: Board,
        policy: Callable[[], Policy],
        dial: Dial,
        offer: Callable[[Record], bool],
        clock: Clock,
        chance: Callable[[], float],
    ) -> None:
        """`offer` puts on record; `chance`: [0, 1)."""
        self._board = board
        self._policy = policy
        self._dial = dial
        self._offer = offer
        self._clock = clock
        self._chance = chance
        self._hook: AlertHook | None = None
        self._line: Line | None = None

    async def run(self) -> None:
        """Look once a second until cancelled."""
        try:
            while True:
                await asyncio.sleep(_TICK_S)
                try:
                    await self.send_due()
                except ScriptError as failure:
                    _log.debug("budget_alerts_unreachable", cause=str(failure))  # workers and probes tell of that
                except Exception as bug:  # noqa: BLE001 -- a loop that ended would tell nobody of anything
                    _log.error("budget_alerts_failed", cause=type(bug).__name__)
        finally:
            await self._hang_up()

    async def send_due(self) -> None:
        """Send what is due. A hook that does not answer is not asked for the others."""
        notices = await self._board.take(_LEASE_MS, _AT_ONCE)
        wanted = self._policy().alert_hook if notices else None
        silent = ""
        for notice in notices:
            if wanted is None:
                await self._over(notice, "recorded", "")
                continue
            cause = silent or await self._send(wanted, notice)
            if cause and not cause.startswith("answered"):
                silent = cause
            if not cause:
                await self._over(notice, "sent", "")
            elif self._age_s(notice) >= GIVE_UP_S:
                await self._over(notice, "given up", cause)
            else:
                await self._board.later(notice, round(1000 * self._wait_s(notice)))
                _log.warning("budget_alert_not_sent", id=notice.id, tenant=notice.tenant, cause=cause)

    def _age_s(self, notice: Notice) -> float:
        return max(self._clock.now() - notice.at_s, 0.0)

    def _wait_s(self, notice: Notice) -> float:
        shortest, longest = _WAIT_S
        return min(max(self._age_s(notice), shortest), longest) * (1 + _JITTER * self._chance())

    async def _send(self, wanted: AlertHook, notice: Notice) -> str:
        """Why it was not taken, or ""."""
        policy = self._policy()
        base = Path(policy.credential_dir)
        body = orjson.dumps([alert(notice, policy.prices.currency)])
        try:
            secret = await asyncio.to_thread(reference.read_secret, wanted.secret_file, base)
            key = hook.key_of(secret.reveal())
            signed = hook.sign(key, notice.id, int(self._clock.now()), body)
            line = await self._line_to(wanted, base)
            await line.post({"content-type": "application/json", **signed}, body, _ANSWER_BYTES, _DEADLINE_S)
        except StatusError as failure:
            return "" if failure.status in _OK else str(failure)
        except (FetchError, SecretError, HookError) as failure:
            return str(failure)
        return ""

    async def _line_to(self, wanted: AlertHook, base: Path) -> Line:
        if self._line is None or self._hook != wanted:
            await self._hang_up()
            self._hook = wanted
            self._line = self._dial(wanted.url, str(base / wanted.ca_file) if wanted.ca_file else None)
        return self._line

    async def _hang_up(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            await line.close()

    async def _over(self, notice: Notice, delivery: str, cause: str) -> None:
        """Put on record, and take it down only then: without a record it is sent again, which receivers notice."""
        details = {
            "id": notice.id,
            "limit": notice.limit,
            "percent": str(notice.percent),
            "used": str(notice.used),
            "amount": str(notice.amount),
            "resource": notice.resource,
            "delivery": delivery,
            **notice.subject,
        }
        record = Record(
            writer="control",
            request_id=notice.id,
            started_at=notice.at_s,
            duration_s=self._age_s(notice),
            tenant=notice.tenant,
            key_id=notice.subject.get("key", ""),
            principal=notice.subject.get("principal", ""),
            method="budget.alert",
            outcome="failed" if cause else "completed",
            reason=cause,
            details=details,
        )
        if cause:
            _log.error("budget_alert_given_up", id=notice.id, tenant=notice.tenant, cause=cause)
        if self._offer(record):
            await self._board.done(notice)


def alert(notice: Notice, currency: str) -> dict[str, Any]:
    """One alert of Alertmanager's API (v2, `postableAlert`). Its labels are what it is known by; it ends by itself."""
    unit = currency if notice.resource == Resource.MICRO_USD else notice.resource.replace("_", " ")
    used, amount = (_number(number, notice.resource) for number in (notice.used, notice.amount))
    of = "".join(f" of {name.replace('_', ' ')} {value}" for name, value in notice.subject.items())
    severity = "critical" if notice.hard and notice.percent >= _FULL else "warning"
    whose = notice.tenant or "all who share"
    return {
        "labels": {
            "alertname": _NAME,
            # Without a tenant what is shared goes to whoever hears of all: it is no tenant's to know.
            **({"tenant": notice.tenant} if notice.tenant else {"shared": "true"}),
            "limit": notice.limit,
            "threshold": str(notice.percent),
            "severity": severity,
            **notice.subject,
        },
        "annotations": {
            "summary": f"{whose}: limit '{notice.limit}'{of} is at {100 * notice.used // notice.amount} %",
            "description": f"{used} of {amount} {unit} are used.",
            "used": str(notice.used),
            "amount": str(notice.amount),
            "resource": notice.resource,
        },
        "startsAt": _moment(notice.at_s),
        "endsAt": _moment(notice.ends_s),
    }


def _number(number: int, resource: str) -> str:
    return f"{number / MICRO:,.2f}" if resource == Resource.MICRO_USD else f"{number:,}"


def _moment(at_s: float) -> str:
    return datetime.fromtimestamp(int(at_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
