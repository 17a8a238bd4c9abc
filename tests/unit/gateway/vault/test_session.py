"""A token's life: login by each method, renewal in time, a new one when it ended, and no storm of logins."""

from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from clocks import ManualClock
from gateway.policy.model import VaultAuth
from gateway.vault.session import Session, dial, is_worn, renew_in_s
from gateway.vault.wire import VaultError, Wire
from vaulting import PLACE, VAULT, FakeVault, middle, write_auth


class Rig:
    def __init__(self, directory: Path, vault=VAULT):
        self.directory = directory
        self.clock = ManualClock()
        self.vault = FakeVault(self.clock)
        self.vault.put(PLACE.path, 1, key="sk-1")
        write_auth(directory)
        self.session = Session(vault, directory, self.clock, middle, self.vault.dial)

    async def read(self):
        return (await self.session.read(PLACE.path))["data"]["data"]["key"]


@pytest.fixture
def rig(tmp_path):
    return Rig(tmp_path)


def secret_file(directory: Path, name: str, text: str) -> None:
    file = directory / name
    file.touch(0o600)
    file.write_text(text)


async def test_an_approle_login_sends_both_ids_and_its_token_reads(rig):
    with capture_logs() as logs:
        assert await rig.read() == "sk-1"
    assert rig.vault.asked[0] == ("POST", "auth/approle/login")
    assert rig.vault.wishes[0] == {"role_id": "the-role-id", "secret_id": "the-secret-id"}
    assert not any(secret in repr(logs) for secret in ("token-1", "the-role-id", "the-secret-id"))


async def test_a_pod_logs_in_with_the_token_of_its_account(tmp_path):
    rig = Rig(tmp_path, replace(VAULT, auth=VaultAuth(method="kubernetes", mount="k8s", role="llm", jwt_file="jwt")))
    secret_file(tmp_path, "jwt", "a.b.c")
    await rig.read()
    assert (rig.vault.asked[0], rig.vault.wishes[0]) == (
        ("POST", "auth/k8s/login"),
        {"role": "llm", "jwt": "a.b.c"},
    )


@pytest.mark.parametrize(("role", "wish"), [("gw", {"name": "gw"}), ("", {})])
async def test_a_certificate_logs_in_by_the_connection(tmp_path, role, wish):
    auth = VaultAuth(method="cert", mount="cert", role=role, cert_file="c.pem", key_file="k.pem")
    rig = Rig(tmp_path, replace(VAULT, auth=auth))
    await rig.read()
    assert (rig.vault.asked[0], rig.vault.wishes[0]) == (("POST", "auth/cert/login"), wish)


async def test_a_token_is_renewed_after_its_middle_and_not_before(rig):
    await rig.session.tend()
    assert rig.session.due_s == pytest.approx(rig.clock.monotonic() + 360)
    rig.clock.advance(359)
    await rig.session.tend()
    assert "auth/token/renew-self" not in rig.vault.paths()
    rig.clock.advance(2)
    await rig.session.tend()
    assert rig.vault.paths()[-1] == "auth/token/renew-self"
    assert (rig.vault.logins, rig.session.epoch) == (1, 1)


async def test_a_token_near_its_longest_life_is_replaced_while_it_still_counts(rig):
    await rig.session.tend()
    rig.vault.longest_s = 200
    rig.clock.advance(361)
    await rig.session.tend()
    assert (rig.vault.logins, rig.session.epoch) == (2, 2)
    assert "token-1" in rig.vault.tokens


async def test_a_token_that_cannot_be_renewed_is_replaced(rig):
    rig.vault.renewable = False
    await rig.session.tend()
    rig.clock.advance(361)
    await rig.session.tend()
    assert rig.vault.logins == 2
    assert "auth/token/renew-self" not in rig.vault.paths()


async def test_a_revoked_token_is_replaced_within_the_same_reading(rig):
    await rig.read()
    rig.clock.advance(10)
    rig.vault.revoke_all()
    assert await rig.read() == "sk-1"
    assert (rig.vault.logins, rig.session.epoch) == (2, 2)


async def test_a_path_that_nobody_may_read_makes_no_login(rig):
    rig.vault.faults[PLACE.path] = VaultError("was answered 403", 403)
    for _ in range(5):
        rig.clock.advance(10)
        with pytest.raises(VaultError, match="403"):
            await rig.read()
    assert rig.vault.logins == 1


async def test_a_token_that_never_counts_makes_no_storm_of_logins(rig):
    rig.vault.token_ttl_s = 0  # made, and ended at once
    for _ in range(20):
        with pytest.raises(VaultError, match="403"):
            await rig.read()
        rig.clock.advance(1)
    assert rig.vault.logins <= 5


async def test_a_vault_that_is_away_while_a_token_is_renewed_keeps_the_token(rig):
    await rig.session.tend()
    rig.clock.advance(400)
    rig.vault.fault = VaultError("was answered 503", 503)
    with pytest.raises(VaultError):
        await rig.session.tend()
    rig.vault.fault = None
    await rig.session.tend()
    assert rig.vault.logins == 1


async def test_a_token_file_is_read_anew_and_a_new_token_counts_at_once(tmp_path):
    rig = Rig(tmp_path, replace(VAULT, auth=VaultAuth(method="token_file", token_file="token")))
    rig.vault.tokens |= {"old": rig.clock.monotonic() + 600, "new": rig.clock.monotonic() + 600}
    secret_file(tmp_path, "token", "old\n")
    assert await rig.read() == "sk-1"
    assert rig.session.epoch == 1
    rig.vault.tokens.pop("old")
    secret_file(tmp_path, "token", "new\n")
    assert await rig.read() == "sk-1"
    assert (rig.session.epoch, rig.vault.logins) == (2, 0)


async def test_a_token_file_is_renewed_too_but_never_revoked(tmp_path):
    rig = Rig(tmp_path, replace(VAULT, auth=VaultAuth(method="token_file", token_file="token")))
    rig.vault.tokens["t"] = rig.clock.monotonic() + 600
    secret_file(tmp_path, "token", "t")
    await rig.session.tend()
    rig.clock.advance(400)
    await rig.session.tend()
    assert rig.vault.paths()[-1] == "auth/token/renew-self"
    await rig.session.close()
    assert "t" in rig.vault.tokens


async def test_closing_gives_a_token_back(rig):
    await rig.read()
    await rig.session.close()
    assert rig.vault.tokens == {}
    await rig.session.close()
    assert rig.vault.paths().count("auth/token/revoke-self") == 1


async def test_a_vault_that_is_away_does_not_keep_a_worker_from_ending(rig):
    await rig.read()
    rig.vault.fault = VaultError("was answered 503", 503)
    await rig.session.close()


@pytest.mark.parametrize("broken", ["missing", "open"])
async def test_a_secret_id_that_cannot_be_used_is_an_error_and_is_not_sent(rig, broken):
    file = rig.directory / "secret-id"
    file.unlink() if broken == "missing" else file.chmod(0o644)
    with pytest.raises(VaultError, match="secret-id") as failed:
        await rig.read()
    assert rig.vault.asked == []
    assert failed.value.away


async def test_an_answer_without_a_token_is_an_error(rig):
    rig.vault.token_ttl_s = 60
    rig.vault._login = lambda: {"auth": {"client_token": ""}}
    with pytest.raises(VaultError, match="without a token"):
        await rig.read()


async def test_a_lease_is_renewed_for_its_first_life(rig):
    await rig.session.tend()
    rig.vault.leases["l/1"] = "token-1"
    assert await rig.session.renew("l/1", 100) == 100
    assert rig.vault.wishes[-1] == {"lease_id": "l/1", "increment": 100}


async def test_what_is_written_goes_under_the_token_and_gives_an_answer(rig):
    await rig.session.tend()
    assert await rig.session.write("auth/token/renew-self", {"increment": 5}) == {"auth": {"lease_duration": 600}}
    assert (rig.vault.asked[-1], rig.vault.wishes[-1]) == (("POST", "auth/token/renew-self"), {"increment": 5})


@pytest.mark.parametrize(("draw", "share"), [(0.0, 0.5), (0.999999, 0.7)])
def test_renewals_are_spread(draw, share):
    assert renew_in_s(100, lambda: draw) == pytest.approx(100 * share, rel=1e-4)


def test_a_renewal_of_less_than_half_is_worn():
    assert is_worn(49, 100)
    assert not is_worn(50, 100)


def test_plain_http_needs_no_files(tmp_path):
    assert isinstance(dial(VAULT, tmp_path), Wire)


async def test_a_ca_that_is_not_there_yet_is_an_error_of_each_attempt_and_keeps_nobody_from_starting(tmp_path):
    rig = Rig(tmp_path)
    secure = replace(VAULT, address="https://vault.example", ca_file="ca.pem")
    session = Session(secure, tmp_path, rig.clock, middle)
    with pytest.raises(VaultError, match=r"ca\.pem"):
        await session.tend()
    with pytest.raises(VaultError, match=r"ca\.pem"):
        await session.tend()
