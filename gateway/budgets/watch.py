"""Sees how full limits are, as the ledger tells it anyway: metrics, notices at the policy's percentages. Sends nothing.

What is counted is use, not what is held: most of that comes back. Of limits on what runs, it is what runs. A hard limit
is seldom met to the token, so one that refuses with less than a tenth left counts as full. Of limits that tenants share
the whole is told; of each one's part, which it may pass while others leave it idle, there is a metric alone.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol
from urllib.parse import unquote

import structlog

from gateway.budgets.board import Board, Notice, notice_id
from gateway.budgets.model import Dimension, Kind, Limit, Resource, Shape, member_of
from gateway.budgets.window import CODES, Figures, period_ends
from gateway.clock import Clock
from gateway.script import ScriptError

_log: Final = structlog.get_logger(__name__)

#: A limit over a minute that is full most of the time is told once in an hour, not sixty times.
LEAST_QUIET_S: Final = 3600.0
_TICK_S: Final = 1.0  # how late a notice is put up
_NEARLY: Final = 90  # per cent
_FULL: Final = 100
_SUBJECTS: Final = 32_768  # limits of which a worker remembers what it told, some 15 MB; the board knows better
_WAITING: Final = 1000  # notices, while the board is away: as many as it takes
_STALE_S: Final = 60.0  # how long the metric believes the last figures of a limit on what runs
_AGAIN_S: Final = 3600.0  # how often a subject is put into the index
_TOGETHER: Final = 256  # subjects in one call, or looked at in one turn

#: Tenant, name of the limit, part that is used. Of what is shared: of the whole for no tenant, else of what is assured.
Gauge = Callable[[str, str, float], None]
#: The percentages of a tenant.
Alerts = Callable[[str], tuple[int, ...]]


@dataclass(slots=True)
class _Subject:
    tenant: str  # "": all who share
    told: int = 0  # highest percentage
    quiet_until_s: float = 0.0  # unix
    listed_s: float = float("-inf")


@dataclass(slots=True)
class _Fullest:
    key: str
    part: float
    until_s: float  # monotonic


class Watch:
    """See the module. For one event loop; `keep` must run."""

    def __init__(self, board: Board, alerts: Alerts, gauge: Gauge, clock: Clock, shared: Gauge | None = None) -> None:
        """`shared` measures limits that tenants share."""
        self._board = board
        self._alerts = alerts
        self._gauges = (gauge, shared or no_gauge)
        self._clock = clock
        self._fresh: dict[str, tuple[Limit, Figures]] = {}  # the last word of each limit since the last tick
        self._refused: dict[str, tuple[Limit, Figures]] = {}
        self._subjects: dict[str, _Subject] = {}
        self._fullest: dict[tuple[bool, str, str], _Fullest] = {}  # shared, tenant, limit
        self._notices: dict[str, Notice] = {}
        self._unlisted: dict[str, set[str]] = {}  # by tenant

    def saw(self, limit: Limit, key: str, figures: Figures, *, refused: bool = False) -> None:
        """How a limit stands; `refused`: an exchange did not fit into it.

        Twice on the way of every request for every limit: what it says is looked at in `tick`.
        """
        if len(self._fresh) < _SUBJECTS or key in self._fresh:
            self._fresh[key] = (limit, figures)
            if refused:
                self._refused[key] = (limit, figures)

    def _look(self, limit: Limit, key: str, figures: Figures, *, refused: bool) -> None:
        subject = self._subjects.get(key)
        if subject is None:
            if len(self._subjects) >= _SUBJECTS:
                self._subjects.clear()
            subject = self._subjects[key] = _Subject(tenant_of(key) if limit.shared is None else member_of(key))
        runs = limit.resource is Resource.STREAMS
        used = figures.held if runs else figures.used
        now_s = self._clock.monotonic()
        amount = limit.amount
        alerts: tuple[int, ...] = ()
        if limit.shared is None:
            alerts = self._alerts(subject.tenant)
        elif not subject.tenant:
            alerts = limit.shared.alerts
        else:
            amount = limit.shared.assured(amount, subject.tenant)
        self._rank(subject.tenant, limit, key, used / amount, now_s + _life_s(figures, runs=runs), now_s)
        if limit.scope != (Dimension.TENANT,) and now_s - subject.listed_s >= _AGAIN_S:
            subject.listed_s = now_s
            self._unlisted.setdefault(subject.tenant, set()).add(key)
        percent = 100 * used // limit.amount
        if refused and _NEARLY <= percent < _FULL:
            percent = _FULL
        crossed = max((one for one in alerts if one <= percent), default=0)
        if crossed:
            self._cross(subject, limit, key, crossed, used)

    async def keep(self) -> None:
        """Put up notices and metrics once a second, until cancelled."""
        while True:
            await asyncio.sleep(_TICK_S)
            await self.tick()

    async def tick(self) -> None:
        """What `keep` does each time."""
        fresh, refused = self._fresh, self._refused
        self._fresh, self._refused = {}, {}
        for number, (key, (limit, figures)) in enumerate((*refused.items(), *fresh.items())):
            self._look(limit, key, figures, refused=number < len(refused))
            if number % _TOGETHER == 0:
                await asyncio.sleep(0)  # a millisecond of the loop; requests come first
        now_s = self._clock.monotonic()
        for (shared, tenant, name), fullest in list(self._fullest.items()):
            over = now_s >= fullest.until_s
            self._gauges[shared](tenant, name, 0.0 if over else fullest.part)
            if over:
                del self._fullest[shared, tenant, name]
        try:
            for notice in list(self._notices.values()):
                life_ms = round(1000 * (notice.ends_s - self._clock.now()))
                if life_ms > 0 and await self._board.tell(notice, life_ms):
                    _log.warning(
                        "budget_alert", tenant=notice.tenant, limit=notice.limit, percent=notice.percent, id=notice.id
                    )
                del self._notices[notice.id]
            await self._list()
        except ScriptError as failure:
            _log.info("budget_alerts_wait", waiting=len(self._notices), cause=str(failure))

    async def _list(self) -> None:
        while self._unlisted:
            tenant, keys = next(iter(self._unlisted.items()))
            some = sorted(keys)[:_TOGETHER]
            await self._board.seen(tenant, some)
            keys.difference_update(some)
            if not keys:
                del self._unlisted[tenant]

    def _rank(self, tenant: str, limit: Limit, key: str, part: float, until_s: float, now_s: float) -> None:
        place = (limit.shared is not None, tenant, limit.name)
        fullest = self._fullest.get(place)
        if fullest is None:
            self._fullest[place] = _Fullest(key, part, until_s)
        elif fullest.key == key or part >= fullest.part or now_s >= fullest.until_s:
            fullest.key, fullest.part, fullest.until_s = key, part, until_s

    def _cross(self, subject: _Subject, limit: Limit, key: str, percent: int, used: int) -> None:
        now_s = self._clock.now()
        if now_s >= subject.quiet_until_s:
            subject.told = 0
        if percent <= subject.told or len(self._notices) >= _WAITING:
            return
        if not subject.told:
            subject.quiet_until_s = quiet_until(limit, now_s)
        subject.told = percent
        name = notice_id(key, percent, subject.quiet_until_s)
        self._notices[name] = Notice(
            id=name,
            key=key,
            tenant=subject.tenant,
            limit=limit.name,
            resource=limit.resource.value,
            subject=dict(subject_of(limit, key)),
            percent=percent,
            used=used,
            amount=limit.amount,
            hard=limit.kind is Kind.HARD,
            at_s=now_s,
            ends_s=subject.quiet_until_s,
        )


class Saw(Protocol):
    """What hears how limits stand: `Watch.saw`."""

    def __call__(self, limit: Limit, key: str, figures: Figures, *, refused: bool = False) -> None:
        """See `Watch.saw`."""
        ...


def nobody(limit: Limit, key: str, figures: Figures, *, refused: bool = False) -> None:
    """Watches nothing."""


def no_alerts(tenant: str) -> tuple[int, ...]:  # noqa: ARG001
    """Nobody is told of anything."""
    return ()


def no_gauge(tenant: str, limit: str, part: float) -> None:
    """Measures nothing."""


def _life_s(figures: Figures, *, runs: bool) -> float:
    return _STALE_S if runs else figures.reset_ms / 1000


def quiet_until(limit: Limit, now_s: float) -> float:
    """Until when a percentage is told only once: the end of the window, if it has one."""
    shape = limit.window.shape
    if shape in {Shape.DAY, Shape.MONTH}:
        return period_ends(CODES[shape], int(now_s * 1000)) / 1000
    return now_s + max(limit.window.span_s, LEAST_QUIET_S)


def tenant_of(key: str) -> str:
    """Whose limit a key of the ledger is."""
    return key.partition("{")[2].partition("}")[0]


def subject_of(limit: Limit, key: str) -> Mapping[str, str]:
    """What the limit is for each of, out of its key (`model.key_of`); long ones are known by a hash alone."""
    scope = [one for one in limit.scope if one is not Dimension.TENANT]
    values = key.rpartition(":")[2]
    if values.startswith("#") and scope:
        return MappingProxyType({"hash": values[1:]})
    named = dict(zip(limit.scope, values.split("|"), strict=False))
    return MappingProxyType({one.value: unquote(named.get(one, "")) for one in scope})
