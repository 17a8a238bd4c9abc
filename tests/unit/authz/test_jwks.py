"""The keyring: fetched ahead, kept through outages up to an age, and never a hammer for whoever invents kids."""

import asyncio
import json
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from authz import jwks as module
from authz.jwks import EAGER_S, Keyring
from clocks import ManualClock
from gateway.fetch import FetchError
from issuing import ISS, ISSUER, jwk, jwks

FIRST, SECOND = jwks(jwk("ES256", "one")), jwks(jwk("ES256", "two"))
DISCOVERED = replace(ISSUER, jwks_uri=None)


class Provider:
    """An identity provider: answers by URL, fails or waits when told to, and counts what it was asked."""

    def __init__(self, **answers):
        self.answers = {f"{ISS}/jwks": FIRST, **answers}
        self.asked = []
        self.open = asyncio.Event()
        self.open.set()

    async def get(self, url, ca_file, max_bytes):
        self.asked.append((url, ca_file))
        await self.open.wait()
        answer = self.answers[url]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Pauses:
    """Stands in for sleeping: each pause lasts until the test ends it."""

    def __init__(self):
        self.lengths = []
        self.gates = []

    async def __call__(self, seconds):
        self.lengths.append(seconds)
        self.gates.append(asyncio.Event())
        await self.gates[-1].wait()

    def end(self):
        self.gates[-1].set()


async def settle():
    """Let every task run until it waits for something of the test's."""
    for _ in range(30):
        await asyncio.sleep(0)


class Rig:
    def __init__(self, provider):
        self.provider = provider
        self.clock = ManualClock()
        self.pauses = Pauses()
        self.ring = Keyring(provider.get, self.clock, sleep=self.pauses)

    def kids(self, issuer=ISSUER):
        found = self.ring.usable(issuer)
        return found and [one.kid for one in found.keys]

    async def follow(self, *issuers):
        self.ring.follow(issuers or (ISSUER,), "/policy")
        await settle()

    async def next_fetch(self, after_s=0.0):
        self.clock.advance(after_s)
        self.pauses.end()
        await settle()


@pytest.fixture
async def rig():
    made = Rig(Provider())
    yield made
    await made.ring.close()


async def test_keys_are_fetched_before_anybody_asks(rig):
    assert rig.kids() is None
    await rig.follow()
    assert rig.kids() == ["one"]
    assert rig.provider.asked == [(f"{ISS}/jwks", None)]


async def test_keys_are_fetched_again_after_a_while_and_rotate(rig):
    await rig.follow()
    assert 270 <= rig.pauses.lengths[-1] <= 330
    rig.provider.answers[f"{ISS}/jwks"] = SECOND
    await rig.next_fetch(300)
    assert rig.kids() == ["two"]


async def test_the_same_document_gives_the_same_object_so_that_verified_tokens_stay(rig):
    await rig.follow()
    before = rig.ring.usable(ISSUER)
    await rig.next_fetch(300)
    assert rig.ring.usable(ISSUER) is before
    assert len(rig.provider.asked) == 2


@pytest.mark.parametrize(
    "answer",
    [
        FetchError("answered 500"),
        RuntimeError("secret detail"),
        b"",
        b"<html>not found</html>",
        b'{"keys":[]}',
        jwks(*[jwk("ES256")] * 100),
        jwks(jwk("ES256")) + b" " * 300_000,
    ],
    ids=range(7),
)
async def test_an_outage_or_garbage_keeps_the_last_keys_until_they_are_too_old(rig, answer):
    await rig.follow()
    rig.provider.answers[f"{ISS}/jwks"] = answer
    with capture_logs() as logs:
        await rig.next_fetch(3600)
    assert rig.kids() == ["one"]
    rig.clock.advance(0.001)
    assert rig.kids() is None
    (line,) = logs
    assert (line["event"], line["failures"], line["age_s"]) == ("issuer_keys_failed", 1, 3600)
    assert "secret" not in repr(logs)


async def test_a_provider_that_comes_back_is_trusted_again(rig):
    rig.provider.answers[f"{ISS}/jwks"] = FetchError("answered 500")
    await rig.follow()
    assert rig.kids() is None
    rig.provider.answers[f"{ISS}/jwks"] = FIRST
    await rig.next_fetch(2)
    assert rig.kids() == ["one"]


async def test_failures_are_repeated_more_and_more_slowly(rig):
    rig.provider.answers[f"{ISS}/jwks"] = FetchError("answered 500")
    await rig.follow()
    for _ in range(9):
        await rig.next_fetch()
    middle = [2, 4, 8, 16, 32, 60, 60, 60, 60, 60]
    assert all(0.9 * want <= got <= 1.1 * want for got, want in zip(rig.pauses.lengths, middle, strict=True))


async def test_age_counts_from_the_question_and_not_from_a_slow_answer(rig):
    rig.provider.open.clear()
    await rig.follow()
    rig.clock.advance(4)
    rig.provider.open.set()
    await settle()
    rig.clock.advance(3596.001)
    assert rig.kids() is None


# --- tokens that ask for newer keys --------------------
async def test_a_rotated_key_is_fetched_when_a_token_needs_it(rig):
    await rig.follow()
    rig.provider.answers[f"{ISS}/jwks"] = SECOND
    rig.clock.advance(EAGER_S)
    assert await rig.ring.renew(ISSUER)
    assert rig.kids() == ["two"]


async def test_a_storm_of_unknown_kids_makes_one_fetch_in_a_while(rig):
    await rig.follow()
    for _ in range(3):
        rig.clock.advance(EAGER_S)
        found = await asyncio.gather(*(rig.ring.renew(ISSUER) for _ in range(500)))
        assert not any(found)
        assert not any([await rig.ring.renew(ISSUER) for _ in range(500)])
    assert len(rig.provider.asked) == 1 + 3


async def test_right_after_a_fetch_nobody_waits(rig):
    await rig.follow()
    rig.clock.advance(EAGER_S - 0.001)
    assert not await rig.ring.renew(ISSUER)
    assert len(rig.provider.asked) == 1


async def test_the_storm_is_damped_while_the_provider_is_away_too(rig):
    rig.provider.answers[f"{ISS}/jwks"] = FetchError("answered 500")
    await rig.follow()
    for _ in range(100):
        assert not await rig.ring.renew(ISSUER)
    assert len(rig.provider.asked) == 1


async def test_requests_join_the_fetch_that_is_under_way(rig):
    rig.provider.open.clear()
    await rig.follow()
    waiting = [asyncio.ensure_future(rig.ring.renew(ISSUER)) for _ in range(10)]
    await settle()
    rig.provider.open.set()
    assert all(await asyncio.gather(*waiting))
    assert len(rig.provider.asked) == 1


async def test_a_request_that_gives_up_does_not_end_the_fetch(rig):
    rig.provider.open.clear()
    await rig.follow()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await rig.ring.renew(ISSUER)
    rig.provider.open.set()
    await settle()
    assert rig.kids() == ["one"]


async def test_only_so_many_requests_wait(rig):
    rig.provider.open.clear()
    await rig.follow()
    waiting = [asyncio.ensure_future(rig.ring.renew(ISSUER)) for _ in range(module.MAX_WAITING)]
    await settle()
    assert not await rig.ring.renew(ISSUER)
    rig.provider.open.set()
    assert all(await asyncio.gather(*waiting))
    rig.provider.open.clear()
    rig.clock.advance(EAGER_S)
    late = asyncio.ensure_future(rig.ring.renew(ISSUER))
    await settle()
    assert not late.done()
    rig.provider.open.set()
    await late


async def test_an_issuer_that_is_not_followed_has_no_keys_and_causes_no_fetch(rig):
    await rig.follow()
    other = replace(ISSUER, issuer="https://evil.example", jwks_uri="https://evil.example/jwks")
    assert rig.ring.usable(other) is None
    assert not await rig.ring.renew(other)
    assert len(rig.provider.asked) == 1


# --- policies come and go --------------------
async def test_a_policy_without_the_issuer_ends_its_fetches_and_its_keys(rig):
    await rig.follow()
    await rig.follow(replace(ISSUER, jwks_uri=f"{ISS}/other"))
    assert rig.kids() is None
    assert rig.provider.asked[-1] == (f"{ISS}/other", None)


async def test_keys_stay_when_a_policy_changes_something_else(rig):
    await rig.follow()
    before = rig.ring.usable(ISSUER)
    changed = replace(ISSUER, audiences=frozenset({"x"}), clock_skew_s=5)
    await rig.follow(changed)
    assert rig.ring.usable(changed) is before
    assert len(rig.provider.asked) == 1


async def test_two_entries_of_one_provider_share_their_fetches_each_with_its_own_age(rig):
    sister = replace(ISSUER, name="sister", audiences=frozenset({"b"}), keys_refresh_s=60, keys_max_age_s=60)
    await rig.follow(ISSUER, sister)
    assert len(rig.provider.asked) == 1
    assert 54 <= rig.pauses.lengths[-1] <= 66
    rig.clock.advance(61)
    assert rig.kids(sister) is None
    assert rig.kids() == ["one"]


async def test_a_relative_ca_file_lies_in_the_policy_directory(rig):
    await rig.follow(replace(ISSUER, ca_file="ca.pem"))
    assert rig.provider.asked == [(f"{ISS}/jwks", "/policy/ca.pem")]


async def test_closing_ends_every_task(rig):
    await rig.follow()
    rig.provider.open.clear()
    rig.clock.advance(EAGER_S)
    waiting = asyncio.ensure_future(rig.ring.renew(ISSUER))
    await settle()
    await rig.ring.close()
    assert not await waiting
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("issuer-keys")]


# --- discovery --------------------
WELL_KNOWN = f"{ISS}/.well-known/openid-configuration"


def metadata(**changes):
    return json.dumps({"issuer": ISS, "jwks_uri": f"{ISS}/jwks", **changes}).encode()


async def test_without_a_jwks_uri_the_issuer_is_asked_for_it(rig):
    rig.provider.answers[WELL_KNOWN] = metadata()
    await rig.follow(DISCOVERED)
    assert rig.kids(DISCOVERED) == ["one"]
    assert [url for url, _ in rig.provider.asked] == [WELL_KNOWN, f"{ISS}/jwks"]


async def test_a_slash_at_the_end_of_an_issuer_is_not_doubled(rig):
    slashed = replace(DISCOVERED, issuer=ISS + "/")
    rig.provider.answers[WELL_KNOWN] = metadata(issuer=ISS + "/")
    await rig.follow(slashed)
    assert rig.kids(slashed) == ["one"]


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (metadata(issuer="https://evil.example"), "metadata: of another issuer"),
        (metadata(issuer=ISS + "/"), "metadata: of another issuer"),
        (metadata(jwks_uri="http://idp.example.com/jwks"), "metadata: no usable jwks_uri"),
        (metadata(jwks_uri="file:///etc/passwd"), "metadata: no usable jwks_uri"),
        (metadata(jwks_uri="https://169.254.169.254/latest"), "metadata: no usable jwks_uri"),
        (metadata(jwks_uri="http://127.0.0.1:9901/quitquitquit"), "metadata: jwks_uri points at this machine"),
        (metadata(jwks_uri="https://localhost/"), "metadata: jwks_uri points at this machine"),
        (metadata(jwks_uri=None), "metadata: no usable jwks_uri"),
        (metadata(jwks_uri=[f"{ISS}/jwks"]), "metadata: no usable jwks_uri"),
        (b"[]", "metadata: not a JSON object"),
        (b'{"issuer":"a","issuer":"b"}', "metadata: not a JSON object"),
    ],
)
async def test_metadata_that_would_lead_astray_is_refused(rig, answer, cause):
    rig.provider.answers[WELL_KNOWN] = answer
    with capture_logs() as logs:
        await rig.follow(DISCOVERED)
    assert rig.kids(DISCOVERED) is None
    assert [line["cause"] for line in logs] == [cause]
    assert len(rig.provider.asked) == 1
