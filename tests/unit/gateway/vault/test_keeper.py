"""Secrets kept fresh: what counts when, what a rotation does, and what an outage leaves."""

import asyncio

import pytest
from structlog.testing import capture_logs

from clocks import ManualClock
from gateway.policy.model import VaultSecret
from gateway.vault.keeper import Keeper
from gateway.vault.session import Session
from gateway.vault.wire import VaultError
from vaulting import LEASED, PLACE, VAULT, FakeVault, middle, write_auth

AWAY = VaultError("was answered 503", 503)


class Rig:
    def __init__(self, directory, *places, stale_s=300.0, refresh_s=30.0):
        self.clock = ManualClock()
        self.vault = FakeVault(self.clock)
        self.vault.put(PLACE.path, 1, key="sk-1", other="x")
        write_auth(directory)
        session = Session(VAULT, directory, self.clock, middle, self.vault.dial)
        self.keeper = Keeper(session, self.clock, middle, stale_s=stale_s, refresh_s=refresh_s)
        self.keeper.follow(places or (PLACE,))

    def value(self, place=PLACE):
        found = self.keeper.secret(place)
        return None if found is None else found.reveal()

    async def after(self, seconds):
        """Time passes second by second, and what is due is done."""
        for _ in range(int(seconds)):
            self.clock.advance(1)
            await self.keeper.tend()


@pytest.fixture
def rig(tmp_path):
    return Rig(tmp_path)


async def test_there_is_nothing_before_the_first_reading_and_the_value_after_it(rig):
    assert rig.value() is None
    await rig.keeper.tend()
    assert rig.value() == "sk-1"
    assert rig.keeper.secret(VaultSecret(path=PLACE.path, field="other")) is None, "nobody asked for that field"
    assert rig.keeper.secret(VaultSecret(path="elsewhere/x", field="key")) is None


async def test_a_new_version_counts_after_the_refresh_and_the_old_one_until_then(rig):
    await rig.keeper.tend()
    rig.vault.put(PLACE.path, 2, key="sk-2")
    await rig.after(29)
    assert rig.value() == "sk-1"
    with capture_logs() as logs:
        await rig.after(2)
    assert rig.value() == "sk-2"
    assert [(line["event"], line["version"]) for line in logs] == [("vault_secret_taken", 2)]
    assert "sk-" not in repr(logs)


async def test_one_that_did_not_change_is_read_quietly(rig):
    await rig.keeper.tend()
    with capture_logs() as logs:
        await rig.after(100)
    assert logs == []
    assert rig.vault.paths().count(PLACE.path) == 4


async def test_a_stored_secret_counts_until_it_is_stale_while_the_vault_is_away_and_comes_back_by_itself(rig):
    await rig.keeper.tend()
    rig.vault.fault = AWAY
    with capture_logs() as logs:
        await rig.after(299)
        assert rig.value() == "sk-1"
        await rig.after(2)
        assert rig.value() is None
        rig.vault.fault = None
        await rig.after(15)
    assert rig.value() == "sk-1"
    assert [line["event"] for line in logs] == ["vault_away", "vault_secret_ended", "vault_back"]


async def test_a_secret_of_several_lines_is_a_text_alone_and_its_absence_is_told(rig):
    lines = VaultSecret(path="secret/data/llm/account", field="account")
    rig.vault.put(lines.path, 1, account="a\nb")
    rig.keeper.follow([PLACE], [lines])
    await rig.keeper.tend()
    assert rig.keeper.text(lines).reveal() == "a\nb"
    assert rig.keeper.secret(lines) is None
    assert rig.keeper.text(PLACE) is None, "nobody wanted it as one"
    rig.vault.put(lines.path, 2, account="a\x00b")
    rig.clock.advance(60)
    with capture_logs() as logs:
        await rig.keeper.tend()
    assert [each["event"] for each in logs] == ["vault_secret_unusable"]
    assert rig.keeper.text(lines).reveal() == "a\nb"


async def test_a_vault_that_is_away_is_asked_ever_less(rig):
    await rig.keeper.tend()
    rig.vault.fault = AWAY
    before = len(rig.vault.asked)
    await rig.after(300)
    # Three before the circuit opens, then at the most one in ten seconds, after openings of 1, 2, 4 and 8.
    assert len(rig.vault.asked) - before <= 3 + 4 + 27


async def test_a_vault_that_is_away_at_the_start_gives_nothing_until_it_is_there(rig):
    rig.vault.fault = AWAY
    await rig.after(20)
    assert rig.value() is None
    rig.vault.fault = None
    await rig.after(12)
    assert rig.value() == "sk-1"


@pytest.mark.parametrize("status", [403, 404])
async def test_a_path_that_gives_nothing_any_more_keeps_its_value_and_bothers_no_other(tmp_path, status):
    second = VaultSecret(path="secret/data/llm/second", field="key")
    rig = Rig(tmp_path, PLACE, second)
    rig.vault.put(second.path, 1, key="sk-second-1")
    await rig.keeper.tend()
    rig.vault.faults[PLACE.path] = VaultError(f"was answered {status}", status)
    rig.vault.put(second.path, 2, key="sk-second-2")
    with capture_logs() as logs:
        await rig.after(40)
    assert (rig.value(), rig.value(second)) == ("sk-1", "sk-second-2")
    assert {line["event"] for line in logs} == {"vault_secret_unusable", "vault_secret_taken"}
    await rig.after(270)
    assert (rig.value(), rig.value(second)) == (None, "sk-second-2")


@pytest.mark.parametrize("fields", [{}, {"key": ""}, {"key": "a\nb"}, {"key": 5}])
async def test_a_version_without_a_usable_field_does_not_replace_one_that_has_it(rig, fields):
    await rig.keeper.tend()
    rig.vault.put(PLACE.path, 2, **fields)
    with capture_logs() as logs:
        await rig.after(40)
    assert rig.value() == "sk-1"
    assert logs[0]["cause"] == "has no usable field key"


async def test_a_lease_is_renewed_and_keeps_its_value(tmp_path):
    rig = Rig(tmp_path, LEASED)
    await rig.keeper.tend()
    first = rig.value(LEASED)
    await rig.after(250)
    assert rig.value(LEASED) == first
    assert rig.vault.paths().count(LEASED.path) == 1
    assert rig.vault.paths().count("sys/leases/renew") == 4


async def test_a_lease_that_can_hardly_be_renewed_is_issued_anew_before_it_ends(tmp_path):
    rig = Rig(tmp_path, LEASED)
    await rig.keeper.tend()
    first = rig.value(LEASED)
    rig.vault.lease_renewal_s = 20
    for _ in range(100):
        await rig.after(1)
        assert rig.value(LEASED) is not None
    assert rig.value(LEASED) != first


async def test_a_lease_ends_with_its_time_while_the_vault_is_away(tmp_path):
    rig = Rig(tmp_path, LEASED, stale_s=1000.0)
    await rig.keeper.tend()
    rig.vault.fault = AWAY
    await rig.after(99)
    assert rig.value(LEASED) is not None
    await rig.after(1)
    assert rig.value(LEASED) is None


async def test_leases_are_issued_anew_under_a_new_token(tmp_path):
    """The end of a token is the end of all that was leased under it."""
    rig = Rig(tmp_path, PLACE, LEASED)
    rig.vault.token_ttl_s, rig.vault.renewable, rig.vault.lease_ttl_s = 100, False, 1000
    await rig.keeper.tend()
    first = rig.value(LEASED)
    await rig.after(62)
    assert rig.vault.logins == 2
    assert rig.value(LEASED) not in {None, first}
    assert rig.vault.leases[max(rig.vault.leases)] == "token-2"


async def test_a_providers_refusal_is_followed_by_a_reading_at_once_but_not_by_a_storm(rig):
    await rig.keeper.tend()
    await rig.after(3)
    rig.vault.put(PLACE.path, 2, key="sk-2")
    rig.keeper.refused(PLACE)
    await rig.keeper.tend()
    assert rig.value() == "sk-2"
    before = len(rig.vault.asked)
    for _ in range(100):
        rig.keeper.refused(PLACE)
        await rig.keeper.tend()
    assert len(rig.vault.asked) == before
    for _ in range(10):
        await rig.after(1)
        rig.keeper.refused(PLACE)
    assert len(rig.vault.asked) - before <= 5


async def test_a_refused_lease_is_issued_anew_and_seldom(tmp_path):
    rig = Rig(tmp_path, LEASED)
    rig.vault.lease_ttl_s = rig.vault.lease_renewal_s = 1000
    await rig.keeper.tend()
    first = rig.value(LEASED)
    for _ in range(29):
        rig.keeper.refused(LEASED)
        await rig.after(1)
    assert rig.value(LEASED) == first
    await rig.after(2)
    rig.keeper.refused(LEASED)
    await rig.keeper.tend()
    assert rig.value(LEASED) != first
    assert "sys/leases/renew" not in rig.vault.paths()


async def test_a_secret_of_the_policy_before_still_counts_and_one_of_two_before_does_not(rig):
    await rig.keeper.tend()
    second = VaultSecret(path="secret/data/llm/second", field="key")
    rig.vault.put(second.path, 1, key="sk-second")
    rig.keeper.follow([second])
    await rig.keeper.tend()
    assert (rig.value(), rig.value(second)) == ("sk-1", "sk-second")
    rig.keeper.follow([second])
    assert rig.value() is None


async def test_a_new_field_of_a_known_path_is_read_at_once(rig):
    await rig.keeper.tend()
    other = VaultSecret(path=PLACE.path, field="other")
    rig.keeper.follow([PLACE, other])
    await rig.keeper.tend()
    assert (rig.value(), rig.value(other)) == ("sk-1", "x")


async def test_a_secret_that_a_reload_brings_during_a_round_is_waited_for(rig):
    second = VaultSecret(path="secret/data/llm/second", field="key")
    rig.vault.put(second.path, 1, key="sk-second")

    def reload(path):
        if path == PLACE.path:
            rig.vault.before = lambda _: None
            rig.keeper.follow([PLACE, second])

    rig.vault.before = reload
    await rig.keeper.tend()
    assert not await rig.keeper.settled(0.01)
    await rig.keeper.tend()
    assert await rig.keeper.settled(0.01)
    assert (rig.value(), rig.value(second)) == ("sk-1", "sk-second")


async def test_a_login_that_is_refused_is_told_as_one(rig):
    rig.vault.faults["auth/approle/login"] = VaultError("was answered 400", 400)
    with capture_logs() as logs:
        await rig.after(20)
    assert [line["cause"] for line in logs] == ["the request for a login was answered 400"]
    assert rig.vault.paths().count("auth/approle/login") <= 8


async def test_an_unknown_failure_tells_its_type_alone(rig):
    def crash(path):
        raise RuntimeError("sk-canary")

    rig.vault.before = crash
    with capture_logs() as logs:
        await rig.keeper.tend()
    assert logs[0]["cause"] == "the request RuntimeError"
    assert "canary" not in repr(logs)


async def test_the_running_task_settles_refreshes_on_refusal_and_ends_with_a_revoked_token(rig):
    rig.keeper.start()
    assert await rig.keeper.settled(5)
    assert rig.value() == "sk-1"
    rig.clock.advance(3)
    rig.vault.put(PLACE.path, 2, key="sk-2")
    rig.keeper.refused(PLACE)
    async with asyncio.timeout(5):
        while rig.value() != "sk-2":
            await asyncio.sleep(0)
    await rig.keeper.close()
    assert rig.vault.tokens == {}
    assert rig.value() is None


async def test_settling_is_given_up_in_time_and_a_failure_settles_too(rig):
    assert not await rig.keeper.settled(0.01)
    rig.vault.fault = AWAY
    rig.keeper.start()
    assert await rig.keeper.settled(5)
    await rig.keeper.close()
