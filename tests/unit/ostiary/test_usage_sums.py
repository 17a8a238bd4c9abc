"""Usage for the admin API: the right exchanges, within a deadline, one reading at a time."""

import asyncio
import os

import orjson
import pytest

from clocks import ManualClock
from control.budget_actions import Period
from control.problem import Refusal
from ostiary.usage_sums import GROUPS, UsageSums


def record(number, at_s, tenant="acme", **more):
    return {
        "request_id": str(number),
        "started_at": at_s,
        "duration_s": 0.0,
        "tenant": tenant,
        "key_id": "k1",
        "principal": "ann",
        "model": "gpt",
        "backend": "openai",
        "usage": {"input_tokens": 3, "output_tokens": 4, "source": "provider"},
        **more,
    }


def write(path, *records):
    path.write_bytes(b"".join(orjson.dumps(one) + b"\n" for one in records))


async def test_only_what_was_asked_for_is_added_up(tmp_path):
    write(tmp_path / "worker-0.jsonl", record(1, 50), record(2, 100), record(3, 199.5), record(4, 200))
    write(tmp_path / "worker-1.jsonl", record(5, 150), record(6, 150, "umbrella"), record(7, 150, usage=None))
    sums = UsageSums(tmp_path, ManualClock())
    (one,) = await sums(Period(100, 200, ("tenant",), {"tenant": "acme"}))
    assert (one["tenant"], one["exchanges"], one["tokens_in"], one["tokens_out"]) == ("acme", 3, 9, 12)
    assert [one["tenant"] for one in await sums(Period(100, 200, ("tenant", "day"), {}))] == ["acme", "umbrella"]


async def test_files_from_before_the_period_are_not_read(tmp_path):
    (tmp_path / "old.jsonl").mkdir()  # reading it would fail
    os.utime(tmp_path / "old.jsonl", (50, 50))
    assert await UsageSums(tmp_path, ManualClock())(Period(100, 200, ("tenant",), {})) == []


async def test_a_reading_that_takes_too_long_is_given_up(tmp_path):
    write(tmp_path / "worker-0.jsonl", record(1, 150))
    with pytest.raises(Refusal) as refusal:
        await UsageSums(tmp_path, ManualClock(), deadline_s=0)(Period(100, 200, ("tenant",), {}))
    assert (refusal.value.status, refusal.value.code) == (503, "unavailable")


async def test_a_second_reading_at_the_same_time_is_refused(tmp_path):
    write(tmp_path / "worker-0.jsonl", record(1, 150))
    sums = UsageSums(tmp_path, ManualClock())
    period = Period(100, 200, ("tenant",), {})
    first, second = await asyncio.gather(sums(period), sums(period), return_exceptions=True)
    assert len(first) == 1
    assert isinstance(second, Refusal)
    assert len(await sums(period)) == 1


async def test_too_many_groups_are_refused(tmp_path):
    write(tmp_path / "worker-0.jsonl", *(record(number, 150, principal=f"p{number}") for number in range(GROUPS + 1)))
    with pytest.raises(Refusal) as refusal:
        await UsageSums(tmp_path, ManualClock())(Period(100, 200, ("principal",), {}))
    assert refusal.value.field == "by"
