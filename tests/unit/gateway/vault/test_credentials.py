"""The vaults of policies: who is asked for what, and what becomes of the one before."""

import asyncio
from dataclasses import replace

import pytest

from clocks import ManualClock
from gateway.policy.model import Credential, Signing, VaultSecret
from gateway.vault.credentials import VaultCredentials, places_of
from vaulting import PLACE, VAULT, FakeVault, middle, write_auth
from worlds import policy

SECOND = VaultSecret(path="secret/data/llm/second", field="key")


def held(directory, place=PLACE, vault=VAULT):
    base = policy()
    backend = replace(base.backends["demo"], credential=Credential(vault=place))
    return replace(base, vault=vault, backends={"demo": backend}, credential_dir=str(directory))


@pytest.fixture
async def rig(tmp_path):
    write_auth(tmp_path)
    clock = ManualClock()
    fake = FakeVault(clock)
    fake.put(PLACE.path, 1, key="sk-1")
    fake.put(SECOND.path, 1, key="sk-2")
    credentials = VaultCredentials(clock, middle, fake.dial)
    yield credentials, fake, tmp_path
    await credentials.close()
    assert fake.tokens == {}, "every token was given back"


async def take(credentials, followed):
    credentials.follow(followed)
    await credentials.settled(5)


def value(credentials, followed, place=PLACE):
    found = credentials.secret(followed, place)
    return None if found is None else found.reveal()


async def test_a_backends_secret_is_there_after_settling(rig):
    credentials, _, directory = rig
    followed = held(directory)
    assert value(credentials, followed) is None
    await take(credentials, followed)
    assert value(credentials, followed) == "sk-1"


async def test_a_policy_without_a_vault_asks_nobody(rig):
    credentials, fake, _ = rig
    await take(credentials, policy())
    assert fake.asked == []
    assert value(credentials, policy()) is None
    credentials.refused(policy(), PLACE)


async def test_a_vault_that_no_backend_uses_is_not_asked(rig):
    credentials, fake, _ = rig
    await take(credentials, replace(policy(), vault=VAULT))
    assert fake.asked == []


async def test_another_secret_of_the_same_vault_needs_no_new_login(rig):
    credentials, fake, directory = rig
    await take(credentials, held(directory))
    new = held(directory, SECOND)
    await take(credentials, new)
    assert value(credentials, new, SECOND) == "sk-2"
    assert value(credentials, held(directory)) == "sk-1", "exchanges of the policy before go on"
    assert fake.logins == 1


async def test_the_vault_before_serves_its_policy_until_the_next_change(rig):
    credentials, fake, directory = rig
    before = held(directory)
    await take(credentials, before)
    after = held(directory, vault=replace(VAULT, namespace="other"))
    await take(credentials, after)
    assert (value(credentials, before), value(credentials, after)) == ("sk-1", "sk-1")
    await take(credentials, after)
    assert value(credentials, before) is None
    async with asyncio.timeout(5):
        while len(fake.tokens) > 1:
            await asyncio.sleep(0)


async def test_a_refusal_reaches_the_keeper(rig):
    credentials, fake, directory = rig
    followed = held(directory)
    await take(credentials, followed)
    fake.clock.advance(5)
    fake.put(PLACE.path, 2, key="sk-new")
    credentials.refused(followed, PLACE)
    async with asyncio.timeout(5):
        while value(credentials, followed) != "sk-new":
            await asyncio.sleep(0)


def test_places_are_those_of_backends_with_a_vault(tmp_path):
    assert places_of(held(tmp_path)) == [PLACE]
    assert places_of(policy()) == []


def test_keys_that_sign_lie_in_the_vault_too():
    places = (SECOND, replace(SECOND, field="secret"))
    backend = replace(policy().backends["demo"], credential=Credential(aws=Signing(region="eu-west-1", vault=places)))
    assert places_of(replace(policy(), backends={"demo": backend})) == [*places]
