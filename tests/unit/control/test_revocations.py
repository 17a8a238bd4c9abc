"""Taking credentials back, and giving them: what the registry holds afterwards, and which wishes are refused."""

import asyncio
import dataclasses

import pytest

from clocks import ManualClock
from control.problem import Refusal
from control.revocations import Revocations
from gateway.registry.memory import MemoryRegistry
from gateway.registry.model import Change, RegistryError, Sort
from gateway.revocation import record
from gateway.revocation.mark import What

NOW = 1_700_000_000
SHA = "ab" * 32


@pytest.fixture
def registry():
    return MemoryRegistry()


@pytest.fixture
def clock():
    return ManualClock(now=NOW)


@pytest.fixture
def revocations(registry, clock):
    return Revocations(registry, clock)


def revoke(revocations, what=What.KEY, tenant="", name="abcdefghijkl", **fields):
    return revocations.revoke(what, tenant, name, **{"reason": "leaked", "actor": "ada (uid:1000)"} | fields)


@pytest.mark.parametrize(
    ("what", "tenant", "name", "mark"),
    [
        (What.KEY, "", "abcdefghijkl", "key:abcdefghijkl"),
        (What.KEY, "", "jwt:0123456789abcdef", "key:jwt:0123456789abcdef"),
        (What.SUBJECT, "acme", "idp/svc:7", "subject:acme/idp/svc:7"),
        (What.CLIENT, "acme", "batch", "client:acme/batch"),
        (What.TENANT, "acme", "", "tenant:acme"),
        (What.CERTIFICATE, "", SHA, f"certificate:{SHA}"),
        (What.CERTIFICATE, "", ":".join(["AB"] * 32), f"certificate:{SHA}"),
    ],
)
async def test_each_kind_becomes_an_entry_of_the_registry(revocations, registry, what, tenant, name, mark):
    entry, replaced = await revoke(revocations, what, tenant, name)
    assert replaced is None
    assert entry.mark == mark
    (stored,) = await registry.list(Sort.REVOCATION)
    assert record.read(mark, stored.value) == entry
    assert (entry.reason, entry.actor, entry.at) == ("leaked", "ada (uid:1000)", NOW)


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "a b"}, "name"),
        ({"what": What.SUBJECT, "tenant": "acme", "name": ""}, "name"),
        ({"what": What.SUBJECT, "tenant": "", "name": "ci"}, "tenant"),
        ({"what": What.CLIENT, "tenant": "ac/me", "name": "ci"}, "tenant"),
        ({"what": What.TENANT, "tenant": "Acme"}, "tenant"),
        ({"what": What.CERTIFICATE, "name": "ab:cd"}, "name"),
        ({"reason": ""}, "reason"),
        ({"reason": " "}, "reason"),
        ({"reason": "a\nb"}, "reason"),
        ({"reason": "x" * 501}, "reason"),
        ({"actor": ""}, "actor"),
        ({"until": NOW}, "until"),
        ({"issued_before": NOW + 301}, "issued_before"),
    ],
)
async def test_a_wrong_wish_is_refused_with_its_field_and_changes_nothing(revocations, registry, wish, field):
    with pytest.raises(Refusal) as caught:
        await revoke(revocations, **wish)
    assert (caught.value.field, caught.value.status) == (field, 422)
    assert await registry.list(Sort.REVOCATION) == []


async def test_a_secret_pasted_where_its_id_belongs_is_not_repeated(revocations):
    secret = "not an id but a secret"
    with pytest.raises(Refusal) as caught:
        await revoke(revocations, name=secret)
    assert secret not in str(caught.value)


async def test_revoking_twice_replaces_and_says_what_stood_there(revocations, registry):
    first, _ = await revoke(revocations, until=NOW + 10)
    second, replaced = await revoke(revocations, reason="again")
    assert replaced == first
    assert [record.read(one.id, one.value) for one in await registry.list(Sort.REVOCATION)] == [second]


async def test_a_lifted_one_is_gone_and_was_told(revocations, registry):
    entry, _ = await revoke(revocations)
    assert await revocations.lift(entry.mark) == entry
    assert await registry.list(Sort.REVOCATION) == []


@pytest.mark.parametrize("mark", ["key:abcdefghijkl", "nonsense", "planet:earth"])
async def test_what_is_not_revoked_cannot_be_lifted(revocations, mark):
    with pytest.raises(Refusal) as caught:
        await revocations.lift(mark)
    assert (caught.value.code, caught.value.status) == ("revocation_unknown", 404)


async def test_the_list_shows_what_counts_now(revocations, clock):
    await revoke(revocations, until=NOW + 10)
    await revoke(revocations, What.SUBJECT, "acme", "ci")
    await revoke(revocations, What.SUBJECT, "acme-two", "ci")
    await revoke(revocations, What.TENANT, "acme")

    async def marks(*chosen):
        return [entry.mark for entry in await revocations.list(*chosen)]

    assert len(await marks()) == 4
    assert await marks(What.SUBJECT) == ["subject:acme-two/ci", "subject:acme/ci"]
    assert await marks(None, "acme") == ["subject:acme/ci", "tenant:acme"]
    assert await marks(What.TENANT, "acme") == ["tenant:acme"]
    clock.advance(10)
    assert "key:abcdefghijkl" not in await marks()


async def test_expired_entries_are_pruned_and_no_others(revocations, registry, clock):
    for number in range(300):  # more than one apply takes
        await revoke(revocations, name=f"{number:012d}", until=NOW + 10)
    kept, _ = await revoke(revocations, What.TENANT, "acme")
    assert await revocations.prune() == 0
    clock.advance(10)
    assert await revocations.prune() == 300
    assert [one.id for one in await registry.list(Sort.REVOCATION)] == [kept.mark]


async def test_an_entry_that_cannot_be_read_is_shown_and_can_be_lifted(revocations, registry):
    await registry.apply([Change(Sort.REVOCATION, "key:abcdefghijkl", b"{}")])
    await registry.apply([Change(Sort.REVOCATION, "planet:earth", b"{}")])
    (entry,) = await revocations.list()
    assert entry.reason == "its record cannot be read"
    assert dataclasses.replace(await revocations.lift(entry.mark)) == entry


class Lame(MemoryRegistry):
    """Answers nothing at first, then nonsense, then as it should."""

    def __init__(self):
        super().__init__()
        self.asked = 0
        self.well = asyncio.Event()

    async def list(self, sort):
        self.asked += 1
        if self.asked == 1:
            await asyncio.Event().wait()
        if self.asked == 2:
            raise RuntimeError("a defect")
        self.well.set()
        return await super().list(sort)


async def test_pruning_outlives_a_registry_that_is_silent_or_mad(clock, monkeypatch):
    monkeypatch.setattr("control.revocations._ROUND_S", 0.01)
    monkeypatch.setattr("control.revocations._PRUNE_S", 0.0)
    registry = Lame()
    task = asyncio.ensure_future(Revocations(registry, clock).keep_small())
    async with asyncio.timeout(20):
        await registry.well.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


class Away(MemoryRegistry):
    """A registry that cannot be reached."""

    async def apply(self, *_):
        raise RegistryError("ConnectionError")

    get = list = apply


@pytest.mark.parametrize("wish", ["revoke", "lift", "list", "prune"])
async def test_a_registry_that_is_away_is_told_as_unavailable(clock, wish):
    revocations = Revocations(Away(), clock)
    asked = {
        "revoke": lambda: revoke(revocations),
        "lift": lambda: revocations.lift("key:abcdefghijkl"),
        "list": revocations.list,
        "prune": revocations.prune,
    }
    with pytest.raises(Refusal) as caught:
        await asked[wish]()
    assert caught.value.status == 503
