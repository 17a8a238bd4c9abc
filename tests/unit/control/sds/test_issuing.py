"""A certificate's life: the first, the next long before the end, none lost when the vault is away or says no."""

import asyncio

import pytest
from cryptography import x509
from structlog.testing import capture_logs

from clocks import ManualClock
from control.sds.handed import Handed
from control.sds.issuing import Issuing
from gateway import contract
from gateway.aio import cancel_and_wait, spawn
from gateway.vault.session import Session
from gateway.vault.wire import VaultError
from pki_vault import ISSUERS, SIGN, Ca, PkiVault, issued
from protos import tls_pb2
from vaulting import VAULT, middle, write_auth


class Rig:
    def __init__(self, directory, **more):
        self.clock = ManualClock()
        self.vault = PkiVault(self.clock)
        write_auth(directory)
        self.handed = Handed()
        session = Session(VAULT, directory, self.clock, middle, self.vault.dial)
        self.issuing = Issuing(issued(**more), session, self.handed, self.clock, middle)

    def chain(self):
        handout = self.handed.get(contract.LISTENER_CERTIFICATE)
        if handout is None:
            return None
        secret = tls_pb2.Secret.FromString(handout.body)
        assert secret.tls_certificate.private_key.inline_bytes.startswith(b"-----BEGIN PRIVATE KEY")
        return secret.tls_certificate.certificate_chain.inline_bytes

    def clients(self):
        handout = self.handed.get(contract.CLIENT_AUTHORITIES)
        if handout is None:
            return []
        bundle = tls_pb2.Secret.FromString(handout.body).validation_context.trusted_ca.inline_bytes
        return sorted(each.subject.rfc4514_string() for each in x509.load_pem_x509_certificates(bundle))

    async def after(self, seconds):
        self.clock.advance(seconds)
        return await self.issuing.tend()


@pytest.fixture
def rig(tmp_path):
    return Rig(tmp_path)


async def test_the_first_certificate_is_asked_for_with_every_name_and_a_life(tmp_path):
    rig = Rig(tmp_path, addresses=("10.0.0.7",), lasts_s=3600)
    assert rig.issuing.standing.ends_s == 0
    await rig.issuing.tend()
    wish = rig.vault.wishes[rig.vault.paths().index(SIGN)]
    assert (wish["alt_names"], wish["ip_sans"], wish["ttl"]) == ("a.example,b.example", "10.0.0.7", "3600s")
    assert "PRIVATE" not in wish["csr"]
    assert rig.chain().decode().startswith(rig.vault.signed[0])
    assert rig.issuing.standing.ends_s == rig.clock.now() + rig.vault.lasts_s


async def test_the_next_one_comes_at_half_to_seven_tenths_of_the_life_and_not_before(rig):
    await rig.issuing.tend()
    await rig.after(599)
    assert len(rig.vault.signed) == 1
    await rig.after(1)
    assert len(rig.vault.signed) == 2
    assert rig.chain().decode().startswith(rig.vault.signed[1])


async def test_it_sleeps_no_longer_than_until_there_is_something_to_do(rig):
    rig.vault.token_ttl_s = 100_000
    assert await rig.issuing.tend() == 60
    assert await rig.after(590) == pytest.approx(10)


async def test_while_the_vault_is_away_the_old_one_stays_and_the_word_of_it_is_said_once(rig):
    await rig.issuing.tend()
    chain = rig.chain()
    rig.vault.fault = VaultError("got no answer within 3 s")
    with capture_logs() as logs:
        pauses = [await rig.after(600)]
        for _ in range(8):
            pauses.append(await rig.after(pauses[-1]))
    assert rig.chain() == chain
    assert pauses == sorted(pauses)
    assert pauses[0] < 1
    assert 20 < pauses[-1] <= 30
    assert [each["event"] for each in logs] == ["listener_certificate_not_renewed"]
    rig.vault.fault = None
    with capture_logs() as logs:
        await rig.after(30)
    assert {each["event"] for each in logs} >= {"listener_certificate_issued", "listener_certificate_well"}
    assert rig.chain() != chain


async def test_before_the_first_one_it_tries_more_often_and_says_that_no_port_is_open(rig):
    rig.vault.fault = VaultError("got no answer within 3 s")
    with capture_logs() as logs:
        pause_s = await rig.issuing.tend()
        for _ in range(9):
            pause_s = await rig.after(pause_s)
    assert pause_s <= 5
    assert [each["event"] for each in logs] == ["listener_certificate_missing"]
    assert rig.chain() is None
    assert rig.issuing.standing.failures == 10


async def test_somebody_is_woken_before_the_end_and_at_the_end_once_each(rig):
    await rig.issuing.tend()
    rig.vault.faults[SIGN] = VaultError("was answered 403", 403)
    with capture_logs() as logs:
        for _ in range(11):
            await rig.after(100)
    late = [(each["event"], each["left_s"]) for each in logs if "end" in each["event"]]
    assert late == [("listener_certificate_ends_soon", 200), ("listener_certificate_ended", 0)]


async def test_a_certificate_that_lies_is_not_handed_out(rig):
    await rig.issuing.tend()
    chain = rig.chain()
    other = Ca(rig.clock).key.public_key()
    sign = rig.vault.ca.sign
    rig.vault.ca.sign = lambda csr, lasts_s: sign(csr, lasts_s, key=other)
    with capture_logs() as logs:
        await rig.after(600)
    assert rig.chain() == chain
    assert "another key's" in logs[-1]["cause"]


async def test_a_bug_ends_nothing_and_its_text_is_not_logged(rig):
    rig.vault.before = lambda path: 1 / 0
    with capture_logs() as logs:
        await rig.issuing.tend()
    assert logs[0]["cause"] == "ZeroDivisionError"
    rig.vault.before = lambda path: None
    await rig.after(1)
    assert rig.chain() is not None


async def test_a_ca_about_to_end_is_no_storm_of_certificates(rig):
    rig.vault.lasts_s = 1.0
    await rig.issuing.tend()
    await rig.after(0.9)
    assert len(rig.vault.signed) == 1
    await rig.after(0.1)
    assert len(rig.vault.signed) == 2


async def test_a_new_one_can_be_had_at_once_also_after_failures(rig):
    running = spawn(rig.issuing.run(), "issuing")
    woken = asyncio.Event()
    rig.handed.watch(woken)
    async with asyncio.timeout(20):
        await woken.wait()
        for count in (2, 3):
            woken.clear()
            rig.issuing.renew()
            await woken.wait()
            assert len(rig.vault.signed) == count
    await cancel_and_wait(running)


async def test_every_issuer_of_clients_counts_and_one_that_is_removed_does_not(tmp_path):
    rig = Rig(tmp_path, clients_mount="clients")
    await rig.issuing.tend()
    assert rig.clients() == ["CN=clients"]
    rig.vault.clients["id-2"] = Ca(rig.clock, "more")
    await rig.after(29)
    assert rig.clients() == ["CN=clients"]
    await rig.after(1)
    assert rig.clients() == ["CN=clients", "CN=more"]
    del rig.vault.clients["id-1"]
    await rig.after(30)
    assert rig.clients() == ["CN=more"]
    assert len(rig.vault.signed) == 1


@pytest.mark.parametrize("said", [True, "true", 1, None])
async def test_an_issuer_that_was_revoked_counts_no_more_and_comes_back_if_it_was_not(tmp_path, said):
    rig = Rig(tmp_path, clients_mount="clients")
    rig.vault.clients["id-2"] = Ca(rig.clock, "more")
    rig.vault.revoked["id-2"] = False
    await rig.issuing.tend()
    assert rig.clients() == ["CN=clients", "CN=more"]
    rig.vault.revoked["id-2"] = said
    await rig.after(30)
    assert rig.clients() == ["CN=clients"]
    rig.vault.revoked["id-2"] = False
    await rig.after(30)
    assert rig.clients() == ["CN=clients", "CN=more"]


async def test_where_every_issuer_was_revoked_a_ca_of_nobody_counts_and_envoy_is_told_once(tmp_path):
    rig = Rig(tmp_path, clients_mount="clients")
    rig.vault.revoked["id-1"] = True
    await rig.issuing.tend()
    assert rig.clients() == ["CN=nobody"]
    handed = rig.handed.get(contract.CLIENT_AUTHORITIES)
    await rig.after(30)
    assert rig.handed.get(contract.CLIENT_AUTHORITIES) is handed
    rig.vault.clients["id-2"] = Ca(rig.clock, "more")
    await rig.after(30)
    assert rig.clients() == ["CN=more"]


async def test_no_issuer_too_many_and_odd_ones_keep_what_was_there(tmp_path):
    rig = Rig(tmp_path, clients_mount="clients")
    await rig.issuing.tend()
    odd = [{}, {"../../sys": rig.vault.root}, {f"id-{number}": rig.vault.root for number in range(17)}]
    for clients in odd:
        rig.vault.clients = clients
        await rig.after(60)
        assert rig.clients() == ["CN=clients"]
    assert not any(".." in path for path in rig.vault.paths())


async def test_a_role_that_may_not_sign_keeps_no_authority_away_and_the_other_way_round(tmp_path):
    rig = Rig(tmp_path, clients_mount="clients")
    rig.vault.faults[SIGN] = VaultError("was answered 403", 403)
    await rig.issuing.tend()
    assert (rig.chain(), rig.clients()) == (None, ["CN=clients"])
    del rig.vault.faults[SIGN]
    rig.vault.faults[ISSUERS] = VaultError("was answered 403", 403)
    await rig.after(30)
    assert rig.chain() is not None


async def test_the_token_is_given_back(rig):
    await rig.issuing.tend()
    assert rig.vault.tokens
    await rig.issuing.close()
    assert not rig.vault.tokens
