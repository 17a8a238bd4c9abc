"""Secrets of AWS Secrets Manager: what is asked and how it is signed, what is taken, what each refusal means."""

import asyncio
import json
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

import aws
from clocks import ManualClock
from gateway import fetch
from gateway.policy.model import Credential, ManagedSecret, SecretsManager
from gateway.vault.credentials import VaultCredentials, managed_of
from gateway.vault.keeper import Keeper
from gateway.vault.managed import ManagedSource
from gateway.vault.wire import VaultError
from managing import NAME, SecretsManagerEndpoint, write_key
from vaulting import PLACE, FakeVault, middle
from worlds import policy

WHOLE = ManagedSecret(path=NAME)
FIELD = ManagedSecret(path=NAME, field="key")


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def endpoint(clock):
    with SecretsManagerEndpoint(clock.now) as running:
        running.put("sk-1")
        yield running


@pytest.fixture
def manager(endpoint, tmp_path):
    write_key(tmp_path)
    return SecretsManager(region=aws.REGION, file="aws.key", url=endpoint.url)


@pytest.fixture
async def source(manager, clock, tmp_path):
    made = ManagedSource(manager, tmp_path, fetch.Line(manager.url, None, clock), clock)
    yield made
    await made.close()


async def lines(source, path=NAME):
    return {name: value.reveal() for name, value in (await source.reading(path)).fields.items()}


async def test_a_signed_question_as_amazons_package_wants_it_is_answered_with_the_text(source, endpoint):
    version = endpoint.put("sk-2\n")
    read = await source.reading(NAME)
    assert (read.fields[""].reveal(), read.version, read.lease_id) == ("sk-2", version, "")
    assert endpoint.refusals == []
    assert "sk-2" not in repr(read)


async def test_fields_of_a_json_object_are_read_and_those_that_no_header_can_carry_are_not(source, endpoint):
    endpoint.put(json.dumps({"key": "sk-3", "other": "x", "two": "a\nb", "number": 5}))
    read = await lines(source)
    assert {name: value for name, value in read.items() if name} == {"key": "sk-3", "other": "x"}


async def test_a_key_that_stands_twice_is_no_field(source, endpoint):
    endpoint.put('{"key": "sk-1", "key": "sk-2"}')
    assert "key" not in await lines(source)


async def test_an_arn_names_a_secret_too(source, endpoint):
    assert await lines(source, endpoint.stored[NAME]["ARN"]) == {"": "sk-1"}


async def test_a_temporary_key_sends_its_sessions_token_and_a_new_key_counts_by_itself(source, endpoint, tmp_path):
    assert await lines(source) == {"": "sk-1"}
    endpoint.secret, endpoint.token = "another/secret+key", "the-token"
    with pytest.raises(VaultError, match="InvalidSignatureException") as refused:
        await source.reading(NAME)
    assert refused.value.away, "no other secret could be read either"
    write_key(tmp_path, endpoint.secret, endpoint.token)
    assert await lines(source) == {"": "sk-1"}


@pytest.mark.parametrize(
    ("status", "word", "away"),
    [
        (400, "ResourceNotFoundException", False),
        (400, "AccessDeniedException", False),
        (400, "InvalidRequestException", False),
        (400, "DecryptionFailure", False),
        (400, "com.amazonaws.secretsmanager#ResourceNotFoundException:http://x/", False),
        (400, "ThrottlingException", True),
        (400, "UnrecognizedClientException", True),
        (403, "ExpiredTokenException", True),
        (500, "InternalServiceError", True),
        (503, "ServiceUnavailable", True),
        (400, "AKIA-something-secret", False),
    ],
)
async def test_a_refusal_is_about_one_secret_or_about_all(source, endpoint, status, word, away):
    endpoint.faults[""] = (status, word)
    with pytest.raises(VaultError) as refused:
        await source.reading(NAME)
    assert refused.value.away is away
    known = word.rpartition("#")[2].partition(":")[0]
    told = str(status) if word in {"AKIA-something-secret", "InternalServiceError", "ServiceUnavailable"} else known
    assert str(refused.value) == f"was answered {told}"


@pytest.mark.parametrize("garbage", [b"", b"[]", b"{", b"\xff", b'{"ARN": 1, "ARN": 2}', b"x" * 600_000])
async def test_garbage_is_an_absence(source, endpoint, garbage):
    endpoint.garbage = garbage
    with pytest.raises(VaultError) as refused:
        await source.reading(NAME)
    assert refused.value.away


async def test_a_binary_secret_is_none_and_is_that_secrets_matter_alone(source, endpoint):
    endpoint.put(b"binary")
    with pytest.raises(VaultError, match="without a SecretString") as refused:
        await source.reading(NAME)
    assert not refused.value.away


@pytest.mark.parametrize("text", [None, "no key", f"{aws.KEY_ID}:"])
async def test_without_a_usable_key_nothing_is_asked_and_nothing_of_it_is_told(source, endpoint, tmp_path, text):
    (tmp_path / "aws.key").unlink()
    if text is not None:
        (tmp_path / "aws.key").touch(0o600)
        (tmp_path / "aws.key").write_text(text)
    with pytest.raises(VaultError, match="cannot be made") as refused:
        await source.reading(NAME)
    assert endpoint.asked == []
    assert refused.value.away
    assert aws.KEY_ID not in str(refused.value)


async def test_an_endpoint_that_is_not_there_is_away(manager, clock, tmp_path):
    gone = replace(manager, url="http://127.0.0.1:9")
    source = ManagedSource(gone, tmp_path, fetch.Line(gone.url, None, clock), clock)
    with pytest.raises(VaultError, match="came to nothing") as refused:
        await source.reading(NAME)
    assert refused.value.away
    await source.close()


# --- Kept by the vault's keeper ----
@pytest.fixture
def kept(source, clock):
    keeper = Keeper(source, clock, middle, stale_s=3600, refresh_s=300)
    keeper.follow([WHOLE])
    return keeper


async def after(keeper, clock, seconds):
    for _ in range(int(seconds)):
        clock.advance(1)
        await keeper.tend()


async def test_a_new_version_is_taken_after_the_refresh_and_the_log_names_version_and_source_alone(
    kept, clock, endpoint
):
    await kept.tend()
    assert kept.secret(WHOLE).reveal() == "sk-1"
    version = endpoint.put("sk-2")
    await after(kept, clock, 299)
    assert kept.secret(WHOLE).reveal() == "sk-1"
    with capture_logs() as logs:
        await after(kept, clock, 2)
    assert kept.secret(WHOLE).reveal() == "sk-2"
    told = {"event": "vault_secret_taken", "source": "secrets_manager", "path": NAME, "version": version}
    assert logs == [{**told, "leased": False, "log_level": "info"}]
    assert len(endpoint.asked) == 2


async def test_while_aws_is_away_the_value_serves_until_it_is_stale_and_aws_is_asked_ever_less(kept, clock, endpoint):
    await kept.tend()
    endpoint.faults[""] = (400, "ThrottlingException")
    with capture_logs() as logs:
        await after(kept, clock, 600)
        assert kept.secret(WHOLE).reveal() == "sk-1"
        assert 3 < len(endpoint.asked) < 50
        clock.advance(3000)
        await kept.tend()
        assert kept.secret(WHOLE) is None
        endpoint.faults.clear()
        endpoint.put("sk-2")
        await after(kept, clock, 15)
    assert kept.secret(WHOLE).reveal() == "sk-2"
    events = [line["event"] for line in logs]
    assert events == ["vault_away", "vault_secret_ended", "vault_secret_taken", "vault_back"]


async def test_a_secret_that_may_not_be_read_bothers_no_other_and_counts_soon_after_it_may(kept, clock, endpoint):
    second = ManagedSecret(path="llm/second", field="key")
    kept.follow([WHOLE, second])
    endpoint.put('{"key": "sk-second"}', "llm/second")
    endpoint.faults["llm/second"] = (400, "AccessDeniedException")
    with capture_logs() as logs:
        await kept.tend()
    assert [(line["event"], line.get("cause")) for line in logs] == [
        ("vault_secret_taken", None),
        ("vault_secret_unusable", "was answered AccessDeniedException"),
    ]
    assert (kept.secret(WHOLE).reveal(), kept.secret(second)) == ("sk-1", None)
    endpoint.faults.clear()
    await after(kept, clock, 31)
    assert kept.secret(second).reveal() == "sk-second"


async def test_a_text_that_is_no_line_keeps_the_value_before(kept, clock, endpoint):
    await kept.tend()
    endpoint.put("two\nlines")
    with capture_logs() as logs:
        await after(kept, clock, 301)
    assert kept.secret(WHOLE).reveal() == "sk-1"
    assert [line["cause"] for line in logs] == ["is not one line of visible ASCII"]


# --- By policy ----
def held(directory, manager, place=WHOLE):
    base = policy()
    backend = replace(base.backends["demo"], credential=Credential(secrets_manager=place))
    return replace(base, secrets_manager=manager, backends={"demo": backend}, credential_dir=str(directory))


@pytest.fixture
async def credentials(clock):
    made = VaultCredentials(clock, middle, FakeVault(clock).dial)
    yield made
    await made.close()


async def until(probe):
    async with asyncio.timeout(20):
        while not probe():
            await asyncio.sleep(0.01)


async def test_a_backends_secret_is_there_after_settling_and_anew_after_the_providers_refusal(
    credentials, manager, clock, endpoint, tmp_path
):
    followed = held(tmp_path, manager)
    credentials.follow(followed)
    await credentials.settled(20)
    assert credentials.secret(followed, WHOLE).reveal() == "sk-1"
    endpoint.put("sk-2")
    clock.advance(5)
    credentials.refused(followed, WHOLE)
    await until(lambda: credentials.secret(followed, WHOLE).reveal() == "sk-2")
    credentials.refused(followed, WHOLE)  # at once again: not asked
    assert credentials.secret(followed, PLACE) is None, "there is no vault"
    assert len(endpoint.asked) == 2


async def test_the_manager_before_serves_its_policy_until_the_next_change(credentials, manager, tmp_path):
    before, after_ = held(tmp_path, manager), held(tmp_path, replace(manager, refresh_s=60))
    for each in (before, after_):
        credentials.follow(each)
        await credentials.settled(20)
    assert credentials.secret(before, WHOLE).reveal() == credentials.secret(after_, WHOLE).reveal() == "sk-1"
    credentials.follow(policy())
    assert credentials.secret(before, WHOLE) is None


def test_places_are_those_of_backends_that_name_one(tmp_path, manager):
    assert managed_of(held(tmp_path, manager, FIELD)) == [FIELD]
    assert managed_of(policy()) == []
