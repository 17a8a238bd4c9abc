"""The budgets of one worker: settings become a ledger, exact or leased. Decides nothing."""

import asyncio
import random
import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.aio import cancel_and_wait, spawn
from gateway.budgets.board import ValkeyBoard
from gateway.budgets.exact import ExactBudgets
from gateway.budgets.leased import LeasedBudgets
from gateway.budgets.model import Budgets
from gateway.budgets.share import LocalShare
from gateway.budgets.store import Store, ValkeyStore
from gateway.budgets.watch import Alerts, Gauge, Watch, no_alerts, no_gauge
from gateway.clock import Clock
from gateway.script import Runner, Script, ScriptError
from gateway.settings import Settings
from gateway.tls import HopError
from gateway.topology import reach
from gateway.valkey import files_of
from ostiary.problem import Problem

_MS: Final = 1000
_CLOSE_S: Final = 2.0  # for settlements under way when the worker ends; the ledger answers in a millisecond


class _Nowhere:
    """There is no Valkey: every limit is judged as policy says for a ledger that is away."""

    def start(self, script: Script, keys: Sequence[str], arguments: Sequence[bytes]) -> "asyncio.Future[object]":
        del script, keys, arguments
        answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        answer.set_exception(ScriptError("no Valkey is configured"))
        return answer


async def _nothing() -> None:
    """Nobody to hang up on."""


@dataclass(slots=True)
class Ledger:
    """What counts for one worker, and how to begin and end it."""

    budgets: Budgets
    exact: ExactBudgets
    leased: LeasedBudgets | None
    watch: Watch
    hang_up: Callable[[], Awaitable[None]]

    async def run(self) -> None:
        """Keep slices in step, and tell how full limits are, until cancelled."""
        watching = spawn(self.watch.keep(), "budget-watch")  # a task of its own: without it, limits hold all the same
        try:
            await (watching if self.leased is None else self.leased.keep())
        finally:
            await cancel_and_wait(watching)

    async def close(self) -> int:
        """Wait for settlements; returns how many the ledger never got. Their exchanges are on record all the same."""
        try:
            return await (self.leased or self.exact).close(_CLOSE_S)
        finally:
            await self.hang_up()


def ledger(
    settings: Settings, clock: Clock, alerts: Alerts = no_alerts, gauge: Gauge = no_gauge, shared: Gauge = no_gauge
) -> Ledger:
    """The ledger that the settings ask for. Connects when first used."""
    share = LocalShare(lambda: int(clock.now() * _MS), workers=settings.workers)
    # Names of reservations and slices must differ from those of every process that ever ran.
    worker = f"{socket.gethostname()}-{settings.worker_index}-{secrets.token_hex(6)}"
    url = settings.ledger_url or settings.valkey_url
    runner: Runner = _Nowhere()
    hang_up: Callable[[], Awaitable[None]] = _nothing
    if url is not None:
        try:
            reached = reach(url, files_of(settings))
        except (HopError, ValueError) as failure:
            raise Problem(f"ledger: {failure}") from None
        runner, hang_up = reached.runner, reached.close
    store: Store = ValkeyStore(runner)
    watch = Watch(ValkeyBoard(runner), alerts, gauge, clock, shared)
    exact = ExactBudgets(store, share, clock, worker, random.SystemRandom().random, saw=watch.saw)
    if settings.ledger_mode != "leased":
        return Ledger(exact, exact, None, watch, hang_up)
    leased = LeasedBudgets(store, exact, clock, worker, workers=settings.workers, saw=watch.saw)
    return Ledger(leased, exact, leased, watch, hang_up)
