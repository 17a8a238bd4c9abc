"""Signing keys in the registry: published first, signed with by every replica, turned, rewrapped, and never in clear."""

import asyncio
import json
import secrets
from dataclasses import replace

import pytest

from clocks import ManualClock
from control import schedule
from control.kek import LocalKek
from control.signing import SCHEDULE, Signing, SigningError, jwks
from control.wrapper import WrapError
from gateway import keyset
from gateway.policy.model import TokenService
from gateway.registry import verifying
from gateway.registry.memory import MemoryRegistry
from gateway.registry.model import Change, RegistryError, Sort

SERVICE = TokenService(issuer="https://g.example", audience="g", token_s=300, rotate_s=3600)


class World:
    """A registry and as many replicas of `control` as a test wants."""

    def __init__(self, **keys):
        self.registry = MemoryRegistry()
        self.clock = ManualClock()
        self.kek = LocalKek(keys or {"v1": bytes(32)}, secrets.token_bytes)

    def replica(self, wrapper=None):
        return Signing(self.registry, wrapper or self.kek, self.clock)

    async def entries(self, sort):
        return {entry.id: entry.value for entry in await self.registry.list(sort)}


def signs(signing):
    """The kid that signs, after checking that the published keys verify what it signed."""
    signer = signing.signer()
    [found] = signing.key_set().find(signer.kid, signer.algorithm)
    assert keyset.VERIFIERS[signer.algorithm].verify(b"text", signer.sign(b"text"), found.key)
    return signer.kid


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "RS256"])
async def test_a_first_start_makes_a_key_that_signs_and_one_that_is_only_published(algorithm):
    world = World()
    signing = world.replica()
    await signing.tend(replace(SERVICE, algorithm=algorithm))
    kid = signs(signing)
    assert signing.signer().algorithm == algorithm
    assert len(signing.published()) == 2
    assert set(await world.entries(Sort.VERIFYING)) == {key.kid for key in signing.published()} > {kid}
    assert set(await world.entries(Sort.SIGNING)) == {SCHEDULE, *(key.kid for key in signing.published())}


async def test_before_anything_was_tended_there_is_nothing_to_sign_with():
    signing = World().replica()
    assert signing.key_set() is None
    with pytest.raises(SigningError):
        signing.signer()


async def test_nothing_private_is_published_or_stored_in_clear():
    world = World()
    signing = world.replica()
    await signing.tend(SERVICE)
    for kid, value in (await world.entries(Sort.VERIFYING)).items():
        assert set(verifying.read(kid, value).jwk) == {"kty", "crv", "x", "y"}
    for kid, value in (await world.entries(Sort.SIGNING)).items():
        assert kid == SCHEDULE or set(json.loads(value)) == {"wrapped"}
        assert b'"d"' not in value
    listed = json.loads(jwks(signing.published()))["keys"]
    assert [set(one) for one in listed] == [{"kty", "crv", "x", "y", "kid", "alg", "use"}] * 2


async def test_workers_are_told_a_key_a_turn_before_it_signs():
    world = World()
    signing = world.replica()
    await signing.tend(SERVICE)
    first, coming = (
        signing.signer().kid,
        next(key.kid for key in signing.published() if key.kid != signing.signer().kid),
    )
    world.clock.advance(3600)
    assert signs(signing) == coming  # by the clock alone: nobody needs to be asked
    await signing.tend(SERVICE)
    assert signs(signing) == coming != first


async def test_the_private_part_is_deleted_and_the_public_part_outlives_the_last_token():
    world = World()
    signing = world.replica()
    await signing.tend(SERVICE)
    first = signing.signer().kid
    world.clock.advance(3600 + schedule.SKEW_S)
    await signing.tend(SERVICE)
    assert first not in await world.entries(Sort.SIGNING)
    assert first in await world.entries(Sort.VERIFYING)
    world.clock.advance(SERVICE.token_s + schedule.SLACK_S)
    await signing.tend(SERVICE)
    assert first not in await world.entries(Sort.VERIFYING)


async def test_replicas_that_start_at_once_agree_on_one_schedule():
    world = World()
    replicas = [world.replica() for _ in range(4)]
    await asyncio.gather(*(one.tend(SERVICE) for one in replicas))
    await asyncio.gather(*(one.tend(SERVICE) for one in replicas))
    assert len({signs(one) for one in replicas}) == 1
    assert len(await world.entries(Sort.VERIFYING)) == 2


async def test_a_replica_that_was_overtaken_while_it_made_a_key_takes_the_other_ones():
    world = World()
    fast, slow = world.replica(), None

    class Late:
        """Wraps only after another replica was done."""

        async def wrap(self, name, plain):
            await fast.tend(SERVICE)
            return await world.kek.wrap(name, plain)

        unwrap = world.kek.unwrap
        is_current = world.kek.is_current

    slow = world.replica(Late())
    await slow.tend(SERVICE)
    assert signs(slow) == signs(fast)
    assert len(await world.entries(Sort.SIGNING)) == 3


async def test_a_restart_signs_with_the_same_key():
    world = World()
    first = world.replica()
    await first.tend(SERVICE)
    second = world.replica()
    await second.tend(SERVICE)
    assert signs(second) == signs(first)


async def test_a_turn_ahead_of_time_signs_with_the_next_key_and_old_tokens_still_count():
    world = World()
    signing = world.replica()
    await signing.tend(SERVICE)
    old = signing.signer()
    world.clock.advance(60)
    kid = await signing.turn(SERVICE)
    assert kid == signs(signing) != old.kid
    assert signing.key_set().knows(old.kid)
    assert len(signing.published()) == 3


async def test_a_turn_in_distrust_leaves_no_older_key_anywhere():
    world = World()
    signing = world.replica()
    await signing.tend(SERVICE)
    before = set(await world.entries(Sort.VERIFYING))
    kid = await signing.turn(SERVICE, distrust=True)
    assert kid == signs(signing)
    assert before.isdisjoint(await world.entries(Sort.VERIFYING))
    assert before.isdisjoint(await world.entries(Sort.SIGNING))
    assert not any(signing.key_set().knows(old) for old in before)


async def test_after_a_change_of_the_key_encryption_key_everything_is_wrapped_anew_and_signs_as_before():
    world = World(v1=bytes(32))
    first = world.replica()
    await first.tend(SERVICE)
    kid = signs(first)
    world.kek = LocalKek({"v1": bytes(32), "v2": bytes(range(32))}, secrets.token_bytes)
    await world.replica().tend(SERVICE)
    stored = {name: value for name, value in (await world.entries(Sort.SIGNING)).items() if name != SCHEDULE}
    assert all(b"kek1.v2." in value for value in stored.values())
    world.kek = LocalKek({"v2": bytes(range(32))}, secrets.token_bytes)  # the old line may go now
    last = world.replica()
    await last.tend(SERVICE)
    assert signs(last) == kid


async def test_without_the_key_encryption_key_nothing_is_signed_until_a_turn_in_distrust():
    world = World(v1=bytes(32))
    await world.replica().tend(SERVICE)
    world.kek = LocalKek({"v1": bytes(range(32))}, secrets.token_bytes)
    lost = world.replica()
    await lost.tend(SERVICE)
    with pytest.raises(SigningError):
        lost.signer()
    assert len(lost.published()) == 2  # what was signed before still verifies
    await lost.turn(SERVICE, distrust=True)
    signs(lost)


async def test_a_wrapped_key_under_another_ones_name_is_not_used():
    world = World()
    await world.replica().tend(SERVICE)
    stored = await world.entries(Sort.SIGNING)
    one, other = (kid for kid in stored if kid != SCHEDULE)
    await world.registry.apply([Change(Sort.SIGNING, one, stored[other]), Change(Sort.SIGNING, other, stored[one])])
    signing = world.replica()
    await signing.tend(SERVICE)
    with pytest.raises(SigningError):
        signing.signer()


@pytest.mark.parametrize("sort", [Sort.SIGNING, Sort.VERIFYING])
async def test_a_key_of_which_half_is_gone_is_replaced(sort):
    world = World()
    signing = world.replica()
    await signing.tend(SERVICE)
    old = signing.signer().kid
    await world.registry.apply([Change(sort, old, None)])
    await signing.tend(SERVICE)
    assert signs(signing) != old
    assert len({slot.kid for slot in signing.slots() if slot.private}) == 2


async def test_an_unreadable_schedule_or_key_is_replaced_and_leaves_nothing_behind():
    world = World()
    signing = world.replica()
    await signing.tend(SERVICE)
    old = signing.signer().kid
    await world.registry.apply([Change(Sort.SIGNING, SCHEDULE, b"{}"), Change(Sort.VERIFYING, old, b"{}")])
    await signing.tend(SERVICE)
    assert signs(signing) != old
    assert len(await world.entries(Sort.VERIFYING)) == 2
    assert len(await world.entries(Sort.SIGNING)) == 3


async def test_while_the_registry_is_away_the_known_key_signs_until_its_end():
    world = World()
    signing = world.replica()
    await signing.tend(SERVICE)
    kid = signs(signing)

    async def broken(_):
        raise RegistryError("away")

    world.registry.list = broken
    with pytest.raises(RegistryError):
        await signing.tend(SERVICE)
    assert signs(signing) == kid
    world.clock.advance(7200)
    with pytest.raises(SigningError):
        signing.signer()


async def test_when_a_key_cannot_be_wrapped_nothing_is_changed():
    world = World()

    class Broken:
        async def wrap(self, name, plain):
            raise WrapError("vault: away")

    with pytest.raises(WrapError):
        await world.replica(Broken()).tend(SERVICE)
    assert await world.entries(Sort.SIGNING) == await world.entries(Sort.VERIFYING) == {}


async def test_a_restart_while_a_key_is_due_that_cannot_be_wrapped_goes_on_with_those_that_are_there():
    world = World()
    first = world.replica()
    await first.tend(SERVICE)
    world.clock.advance(3600)

    class Half:
        """Unwraps, as a vault does whose key may not encrypt any more."""

        unwrap = world.kek.unwrap
        is_current = world.kek.is_current

        async def wrap(self, name, plain):
            raise WrapError("vault: encrypt answered 403")

    second = world.replica(Half())
    with pytest.raises(WrapError):
        await second.tend(SERVICE)
    assert signs(second) == signs(first)


async def test_another_algorithm_counts_from_the_next_key_on():
    world = World()
    signing = world.replica()
    await signing.tend(SERVICE)
    other = replace(SERVICE, algorithm="EdDSA")
    world.clock.advance(700)
    await signing.tend(other)
    assert signing.signer().algorithm == "ES256"
    assert len(await world.entries(Sort.VERIFYING)) == 2
    world.clock.advance(3000)
    assert signing.signer().algorithm == "EdDSA"
    signs(signing)


async def test_a_published_key_counts_before_clocks_that_are_behind_get_there():
    world = World()
    signing = world.replica()
    await signing.tend(SERVICE)
    assert all(key.not_before <= world.clock.now() - 300 for key in signing.published())


async def test_a_key_shows_nothing_of_itself():
    signing = World().replica()
    await signing.tend(SERVICE)
    assert "ECKey" not in repr(signing.signer())


async def test_no_number_of_turns_ends_the_tokens_that_are_out():
    world = World()
    signing = world.replica()
    await signing.tend(SERVICE)
    first, refused = signs(signing), 0
    for _ in range(schedule.MAX_SLOTS + 1):
        try:
            await signing.turn(SERVICE)
        except SigningError:
            refused += 1
    assert 0 < refused < 10
    await signing.tend(SERVICE)
    await world.replica().tend(replace(SERVICE, algorithm="EdDSA"))
    assert first in await world.entries(Sort.VERIFYING)
    assert signing.key_set().knows(first)
    await signing.turn(SERVICE, distrust=True)
    assert first not in await world.entries(Sort.VERIFYING)
    signs(signing)
