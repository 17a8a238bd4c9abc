"""The tokens that policies need: by file or vault, shared, kept for the policy before, then forgotten."""

import asyncio
import json
from dataclasses import replace

import pytest

from clocks import ManualClock
from gateway.grants.credentials import CloudCredentials
from gateway.policy.model import Credential, Grant, VaultSecret
from gateway.vault.credentials import VaultCredentials
from vaulting import PLACE, VAULT, FakeVault, middle, write_auth
from worlds import policy

CERTIFICATE = VaultSecret(path="secret/data/llm/azure", field="certificate")
GRANT = Grant(
    kind="azure", token_url="https://login.example/token", scope="s/.default", client="c", proof="secret", file="secret"
)


class Endpoint:
    def __init__(self, made):
        self.asked = 0
        self.closed = False
        made.append(self)

    async def post(self, headers, content, max_bytes, deadline_s):
        self.asked += 1
        return json.dumps({"access_token": "t", "token_type": "Bearer", "expires_in": 1000}).encode()

    async def close(self):
        self.closed = True


def granted(directory, grant=GRANT, second=None):
    base = policy()
    demo = base.backends["demo"]
    backends = {"demo": replace(demo, credential=None if grant is None else Credential(grant=grant))}
    if second is not None:
        backends["second"] = replace(demo, name="second", credential=Credential(grant=second))
    return replace(base, vault=VAULT, backends=backends, credential_dir=str(directory))


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
async def rig(tmp_path, clock):
    write_auth(tmp_path)
    (tmp_path / "secret").touch(0o600)
    (tmp_path / "secret").write_text("s3cret\n")
    made = []
    fake = FakeVault(clock)
    fake.put(PLACE.path, 1, key="sk-1")
    vault = VaultCredentials(clock, middle, fake.dial)
    credentials = CloudCredentials(vault, lambda url, ca_file: Endpoint(made), clock, middle, lambda: "u")
    yield credentials, fake, made, tmp_path
    await credentials.close()
    assert fake.tokens == {}


async def test_a_token_is_there_after_settling_and_backends_of_one_grant_share_it(rig):
    credentials, _, made, directory = rig
    followed = granted(directory, second=GRANT)
    assert credentials.token(followed, GRANT) is None
    credentials.follow(followed)
    await credentials.settled(20)
    assert credentials.token(followed, GRANT).reveal() == "t"
    assert [each.asked for each in made] == [1]


async def test_the_policy_before_still_has_its_token_and_the_one_before_that_has_not(rig):
    credentials, _, made, directory = rig
    first, other = granted(directory), replace(GRANT, client="d")
    credentials.follow(first)
    await credentials.settled(20)
    credentials.follow(granted(directory, other))
    assert credentials.token(first, GRANT) is not None
    credentials.follow(granted(directory, None))
    assert credentials.token(first, GRANT) is None
    async with asyncio.timeout(20):
        while not made[0].closed:
            await asyncio.sleep(0)


async def test_a_grant_that_is_removed_is_asked_for_no_more_and_again_once_it_is_back(rig, clock):
    credentials, _, made, directory = rig
    first = granted(directory)
    credentials.follow(first)
    await credentials.settled(20)
    credentials.follow(granted(directory, None))
    (directory / "secret").write_text("turned\n")  # what would be noticed at once
    clock.advance(999)
    former = credentials._former.values()
    async with asyncio.timeout(20):
        while not all(keeper._task.done() for keeper in former):
            await asyncio.sleep(0)
    assert made[0].asked == 1
    credentials.follow(first)
    async with asyncio.timeout(20):
        while credentials.token(first, GRANT) is None:
            await asyncio.sleep(0)
    assert [each.asked for each in made] == [2]


async def test_a_secret_of_several_lines_comes_from_the_vault_and_no_header_gets_it(rig):
    credentials, fake, made, directory = rig
    fake.put(CERTIFICATE.path, 1, certificate="-----BEGIN\nnone", other="x\ny")
    grant = replace(GRANT, proof="certificate", file="", vault=CERTIFICATE)
    followed = granted(directory, grant)
    credentials.follow(followed)
    await credentials.settled(20)
    assert credentials.secret(followed, CERTIFICATE) is None
    assert credentials._vault.text(followed, CERTIFICATE).reveal() == "-----BEGIN\nnone"
    assert credentials._vault.text(followed, replace(CERTIFICATE, field="other")) is None
    assert made[0].asked == 0, "it is no certificate"
    credentials.token_refused(followed, grant)
    credentials.token_refused(followed, GRANT)


async def test_secrets_of_the_vault_are_had_as_before(rig):
    credentials, _, _, directory = rig
    followed = granted(directory, None)
    demo = replace(followed.backends["demo"], credential=Credential(vault=PLACE))
    followed = replace(followed, backends={"demo": demo})
    credentials.follow(followed)
    await credentials.settled(20)
    assert credentials.secret(followed, PLACE).reveal() == "sk-1"
    credentials.refused(followed, PLACE)
