"""Settings become a ledger; without Valkey, policy decides what happens, as for a ledger that is away."""

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.budgets.exact import ExactBudgets
from gateway.budgets.leased import LeasedBudgets
from gateway.budgets.model import (
    PER_MINUTE,
    Amounts,
    Ask,
    Dimension,
    Exceeded,
    Limit,
    Outage,
    Reserved,
    Resource,
    Subject,
)
from gateway.clock import SystemClock
from gateway.settings import Settings
from ostiary import budgeting

LIMIT = Limit("tokens", (Dimension.TENANT,), Resource.TOKENS, 100_000, PER_MINUTE)
SETTINGS = Settings(policy_dir=Path("/p"), peppers_file=Path("/k"))


def ask(outage):
    return Ask(Subject("acme"), (LIMIT,), Amounts(10, 10), outage=outage)


@pytest.mark.parametrize(("mode", "kind"), [("exact", ExactBudgets), ("leased", LeasedBudgets)])
async def test_the_mode_says_who_counts(mode, kind):
    made = budgeting.ledger(replace(SETTINGS, ledger_mode=mode, valkey_url="unix:///nowhere.sock"), SystemClock())
    assert isinstance(made.budgets, kind)
    await made.close()


@pytest.mark.parametrize("mode", ["exact", "leased"])
async def test_without_valkey_a_limit_denies_or_each_worker_lends_a_little(mode):
    made = budgeting.ledger(replace(SETTINGS, ledger_mode=mode), SystemClock())
    refused = await made.budgets.reserve(ask(Outage.DENY))
    assert isinstance(refused, Exceeded)
    assert refused.verdict.unavailable
    assert isinstance(await made.budgets.reserve(ask(Outage.LOCAL)), Reserved)
    assert await made.close() == 0


async def test_every_process_has_a_name_of_its_own():
    first, second = (budgeting.ledger(SETTINGS, SystemClock()) for _ in range(2))
    names = {(await each.exact.reserve(ask(Outage.LOCAL))).reservation.id for each in (first, second)}
    assert len(names) == 2
