"""The life of API keys against a registry in memory: what is stored, what is told, and who wins a race."""

import itertools
import json
from dataclasses import replace

import pytest

import authz_case
from authz.apikey import check
from authz.keybook import KeyBook
from clocks import ManualClock
from control.keys import OVERLAP_S, Keys
from control.problem import Refusal
from gateway.policy.model import Key, Model, RateLimit
from gateway.registry import keys as records
from gateway.registry.last_used import MemoryLastUsed
from gateway.registry.memory import MemoryRegistry
from gateway.registry.model import Change, RegistryError, Sort

NOW = 1_800_000_000
DAY = 86_400
MODELS = {name: Model(name=name, backend="demo") for name in ("gpt", "llama")}
LIMITED = replace(authz_case.POLICY.tenants["narrow"], models=frozenset({"gpt"}))
POLICY = replace(authz_case.POLICY, models=MODELS, tenants={**authz_case.POLICY.tenants, "narrow": LIMITED}, keys={})
WISH = {"tenant": "acme", "principal": "ci"}


class Case:
    """Keys, and what is around them."""

    def __init__(self) -> None:
        self.clock = ManualClock(now=NOW)
        self.registry = MemoryRegistry()
        self.last_used = MemoryLastUsed()
        self.policy = POLICY
        self._drawn = 0
        self.keys = self.on(self.registry)
        self.book = KeyBook(lambda: 0.0)
        self.registry.replica().follow(Sort.KEY, self.book.apply)

    def on(self, registry) -> Keys:
        return Keys(
            registry=registry,
            peppers=authz_case.PEPPERS,
            policy=lambda: self.policy,
            clock=self.clock,
            random=self._random,
            last_used=self.last_used,
        )

    def _random(self, count: int) -> bytes:
        self._drawn += 1
        return self._drawn.to_bytes(count)

    async def create(self, **wish) -> dict:
        return await self.keys.create({**WISH, **wish}, "alice (uid:1000)")

    def found(self, text: str):
        """What a worker makes of the key."""
        return check(text, self.book.of(self.policy), authz_case.PEPPERS)


@pytest.fixture
def case():
    return Case()


async def refusal(awaitable) -> tuple[str, int, str]:
    with pytest.raises(Refusal) as caught:
        await awaitable
    assert caught.value.message
    return caught.value.code, caught.value.status, caught.value.field


class TestCreate:
    async def test_the_key_is_told_once_and_stored_nowhere(self, case):
        made = await case.create()
        entry = await case.registry.get(Sort.KEY, made["id"])
        assert made["key"].startswith(f"osk_{made['id']}_")
        assert made["key"][17:].encode() not in entry
        assert "key" not in await case.keys.show(made["id"])

    async def test_no_answer_holds_the_digest(self, case):
        made = await case.create()
        digest = case.found(made["key"]).digest
        told = [
            made,
            await case.keys.show(made["id"]),
            (await case.keys.list()).keys,
            await case.keys.disable(made["id"]),
        ]
        assert digest not in json.dumps(told)

    async def test_a_worker_knows_it_with_everything_that_was_wished(self, case):
        made = await case.create(
            scopes=["chat", "embed", "chat"],
            models=["llama", "gpt"],
            cidrs=["2001:db8::/32", "192.0.2.0/24"],
            rate={"requests": 5},
            expires_in_s=90 * DAY,
            name="nightly",
            note="ticket 17",
        )
        key = case.found(made["key"])
        assert isinstance(key, Key)
        assert (key.tenant, key.principal, key.scopes) == ("acme", "ci", ("chat", "embed"))
        assert (key.models, key.cidrs) == ({"gpt", "llama"}, ("192.0.2.0/24", "2001:db8::/32"))
        assert (key.rate, key.expires_at) == (RateLimit(requests=5), NOW + 90 * DAY)
        told = {name: made[name] for name in ("name", "note", "created_by", "created_at", "state", "source")}
        assert told == {
            "name": "nightly", "note": "ticket 17", "created_by": "alice (uid:1000)", "created_at": NOW,
            "state": "active", "source": "registry",
        }  # fmt: skip

    async def test_answers_are_json(self, case):
        made = await case.create(rate={"requests": 5, "window_s": 1})
        assert json.loads(json.dumps(made))["rate"] == {"requests": 5, "window_s": 1}

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"tenant": "nobody"}, "tenant"),
            ({"tenant": None}, "tenant"),
            ({"tenant": 7}, "tenant"),
            ({"principal": ""}, "principal"),
            ({"principal": "a b"}, "principal"),
            ({"scopes": "chat"}, "scopes"),
            ({"scopes": ["a b"]}, "scopes[0]"),
            ({"scopes": [f"s{n}" for n in range(65)]}, "scopes"),
            ({"models": ["gpt", "gtp"]}, "models[1]"),
            ({"models": ["*"]}, "models[0]"),
            ({"tenant": "narrow", "models": ["gpt", "llama"]}, "models[1]"),
            ({"cidrs": ["192.0.2.1/24"]}, "cidrs[0]"),
            ({"cidrs": ["everywhere"]}, "cidrs[0]"),
            ({"rate": 5}, "rate"),
            ({"rate": {}}, "rate.requests"),
            ({"rate": {"requests": 0}}, "rate.requests"),
            ({"rate": {"requests": True}}, "rate.requests"),
            ({"rate": {"requests": 1, "window_s": 90_000}}, "rate.window_s"),
            ({"rate": {"requests": 1, "burst": 2}}, "rate.burst"),
            ({"expires_at": NOW}, "expires_at"),
            ({"expires_at": "2030-01-31"}, "expires_at"),
            ({"expires_in_s": -1}, "expires_in_s"),
            ({"expires_in_s": 5, "expires_at": NOW + 5}, "expires_in_s"),
            ({"name": "a\nb"}, "name"),
            ({"note": "x" * 257}, "note"),
            ({"digest": "0" * 64}, "digest"),
            ({"id": "k7d2m0q9x4ab"}, "id"),
            ({"cidr": ["192.0.2.0/24"]}, "cidr"),
        ],
    )
    async def test_what_is_wrong_is_refused_by_its_field(self, case, changes, field):
        assert await refusal(case.create(**changes)) == ("invalid", 422, field)
        assert not await case.registry.list(Sort.KEY)

    async def test_an_id_that_exists_is_never_overwritten(self, case):
        made = await case.create()
        case._drawn = 0  # the same chance again
        assert (await refusal(case.create()))[:2] == ("conflict", 409)
        assert case.found(made["key"]).id == made["id"]


class TestList:
    async def test_keys_come_by_id_and_tenant_and_state(self, case):
        made = [await case.create(principal=f"p{n}", tenant=("acme", "narrow")[n % 2]) for n in range(4)]
        await case.keys.disable(made[2]["id"])
        everything = (await case.keys.list()).keys
        assert [key["id"] for key in everything] == sorted(key["id"] for key in made)
        assert {key["principal"] for key in (await case.keys.list(tenant="acme")).keys} == {"p0", "p2"}
        assert {key["principal"] for key in (await case.keys.list(tenant="acme", state="active")).keys} == {"p0"}
        assert {key["principal"] for key in (await case.keys.list(state="disabled")).keys} == {"p2"}

    async def test_a_note_that_quotes_another_tenant_changes_no_list(self, case):
        await case.create(note='"tenant":"narrow"')
        assert not (await case.keys.list(tenant="narrow")).keys
        assert len((await case.keys.list(tenant="acme")).keys) == 1

    async def test_pages_join_to_the_whole_list(self, case):
        for _ in range(5):
            await case.create()
        case.policy = replace(POLICY, keys={"m00000000000": authz_case.POLICY.keys["alice0000001"]})
        whole, seen, after = (await case.keys.list()).keys, [], ""
        for _ in range(10):
            page = await case.keys.list(after=after, limit=2)
            seen += page.keys
            after = page.after
            if not after:
                break
        assert tuple(seen) == whole
        assert len(seen) == 6

    async def test_keys_of_the_policy_are_shown_with_their_source(self, case):
        case.policy = replace(POLICY, keys={"alice0000001": authz_case.POLICY.keys["alice0000001"]})
        [told] = (await case.keys.list(tenant="acme")).keys
        assert (told["id"], told["source"]) == ("alice0000001", "policy")
        assert await case.keys.show("alice0000001") == told

    async def test_last_use_is_told(self, case):
        used, unused = await case.create(), await case.create()
        case.last_used.times[used["id"]] = NOW - 60
        told = {key["id"]: key["last_used_at"] for key in (await case.keys.list()).keys}
        assert told == {used["id"]: NOW - 60, unused["id"]: None}

    async def test_the_list_is_told_without_use_when_that_cannot_be_read(self, case, monkeypatch):
        await case.create()

        async def away(_):
            raise RegistryError("away")

        monkeypatch.setattr(case.last_used, "read", away)
        [told] = (await case.keys.list()).keys
        assert "last_used_at" not in told

    async def test_a_record_that_cannot_be_read_does_not_hide_the_others(self, case):
        made = await case.create()
        await case.registry.apply([Change(Sort.KEY, "a00000000000", b"{}")])
        assert [key["id"] for key in (await case.keys.list()).keys] == [made["id"]]
        assert (await refusal(case.keys.show("a00000000000")))[:2] == ("key_unreadable", 500)

    @pytest.mark.parametrize(
        ("given", "field"), [({"state": "gone"}, "state"), ({"limit": 0}, "limit"), ({"limit": 10_001}, "limit")]
    )
    async def test_a_list_that_does_not_exist_is_refused(self, case, given, field):
        assert await refusal(case.keys.list(**given)) == ("invalid", 422, field)


class TestRotate:
    async def test_both_keys_count_until_the_overlap_ends(self, case):
        old = await case.create(scopes=["chat"], rate={"requests": 5}, name="nightly")
        case.clock.advance(DAY)
        new = await case.keys.rotate(old["id"], {}, "bob")
        before, after = case.found(old["key"]), case.found(new["key"])
        assert before.expires_at == NOW + DAY + OVERLAP_S == new["previous_expires_at"]
        assert after == replace(before, id=after.id, digest=after.digest, expires_at=None)
        assert (new["rotated_from"], new["name"], new["created_by"]) == (old["id"], "nightly", "bob")
        assert (await case.keys.show(old["id"]))["rotated_to"] == new["id"]

    async def test_the_new_key_lives_as_long_as_the_old_one_was_made_for(self, case):
        old = await case.create(expires_in_s=90 * DAY)
        case.clock.advance(80 * DAY)
        new = await case.keys.rotate(old["id"], {}, "bob")
        assert new["expires_at"] == NOW + 170 * DAY

    async def test_the_wish_decides_the_ends(self, case):
        old = await case.create(expires_in_s=90 * DAY)
        new = await case.keys.rotate(old["id"], {"overlap_s": 60, "expires_in_s": DAY, "reason": "plan"}, "bob")
        assert (new["previous_expires_at"], new["expires_at"]) == (NOW + 60, NOW + DAY)
        endless = await case.keys.rotate(new["id"], {"expires_at": None}, "bob")
        assert endless["expires_at"] is None

    async def test_an_overlap_never_lengthens_the_old_keys_life(self, case):
        old = await case.create(expires_in_s=60)
        new = await case.keys.rotate(old["id"], {"overlap_s": DAY}, "bob")
        assert new["previous_expires_at"] == NOW + 60

    async def test_without_overlap_the_old_key_ends_now(self, case):
        old = await case.create()
        await case.keys.rotate(old["id"], {"overlap_s": 0}, "bob")
        assert (await case.keys.show(old["id"]))["state"] == "expired"

    @pytest.mark.parametrize(
        ("wish", "field"),
        [
            ({"overlap_s": -1}, "overlap_s"),
            ({"overlap_s": "1d"}, "overlap_s"),
            ({"overlap_s": 31 * DAY}, "overlap_s"),
            ({"scopes": []}, "scopes"),
        ],
    )
    async def test_what_is_wrong_is_refused_by_its_field(self, case, wish, field):
        old = await case.create()
        assert await refusal(case.keys.rotate(old["id"], wish, "bob")) == ("invalid", 422, field)

    async def test_a_key_is_rotated_once(self, case):
        old = await case.create()
        await case.keys.rotate(old["id"], {}, "bob")
        assert (await refusal(case.keys.rotate(old["id"], {}, "bob")))[:2] == ("key_rotated", 409)

    async def test_what_was_taken_away_does_not_come_back_by_rotation(self, case):
        disabled, expired = await case.create(), await case.create(expires_in_s=60)
        await case.keys.disable(disabled["id"])
        case.clock.advance(60)
        assert (await refusal(case.keys.rotate(disabled["id"], {}, "bob")))[0] == "key_disabled"
        assert (await refusal(case.keys.rotate(expired["id"], {}, "bob")))[0] == "key_expired"
        assert len(await case.registry.list(Sort.KEY)) == 2

    async def test_of_two_rotations_at_once_one_is_made(self, case):
        old = await case.create()
        racing = Overtaken(case.registry, lambda: case.keys.rotate(old["id"], {}, "bob"))
        assert (await refusal(case.on(racing).rotate(old["id"], {}, "eve")))[:2] == ("conflict", 409)
        assert len(await case.registry.list(Sort.KEY)) == 2


class TestChange:
    async def test_a_disabled_key_counts_no_more_until_it_is_enabled(self, case):
        made = await case.create()
        assert (await case.keys.disable(made["id"]))["state"] == "disabled"
        assert case.found(made["key"]).fault.value == "disabled key"
        assert (await case.keys.enable(made["id"]))["state"] == "active"
        assert case.found(made["key"]).id == made["id"]

    async def test_disabling_twice_is_no_mistake(self, case):
        made = await case.create()
        await case.keys.disable(made["id"])
        assert (await case.keys.disable(made["id"]))["state"] == "disabled"

    async def test_an_end_is_set_and_taken_away(self, case):
        made = await case.create()
        assert (await case.keys.set_expiry(made["id"], {"expires_in_s": 0}))["state"] == "expired"
        assert (await case.keys.set_expiry(made["id"], {"expires_at": NOW + 5}))["expires_at"] == NOW + 5
        assert (await case.keys.set_expiry(made["id"], {"expires_at": None, "reason": "kept"}))["expires_at"] is None

    @pytest.mark.parametrize("wish", [{}, {"reason": "x"}, {"expires_at": NOW - 1}, {"expires_at": "soon"}])
    async def test_an_end_that_is_none_is_refused(self, case, wish):
        made = await case.create()
        assert await refusal(case.keys.set_expiry(made["id"], wish)) == ("invalid", 422, "expires_at")

    async def test_a_deleted_key_is_gone_with_its_time(self, case):
        made = await case.create()
        case.last_used.times[made["id"]] = NOW
        assert (await case.keys.delete(made["id"]))["id"] == made["id"]
        assert not await case.registry.list(Sort.KEY)
        assert not case.last_used.times
        assert await refusal(case.keys.delete(made["id"])) == ("key_unknown", 404, "")

    async def test_disabling_wins_over_a_change_at_the_same_moment(self, case):
        made = await case.create()
        racing = Overtaken(case.registry, lambda: case.keys.set_expiry(made["id"], {"expires_at": NOW + 5}))
        told = await case.on(racing).disable(made["id"])
        assert (told["state"], told["expires_at"]) == ("disabled", NOW + 5)

    async def test_deleting_wins_over_a_change_at_the_same_moment(self, case):
        made = await case.create()
        await case.on(Overtaken(case.registry, lambda: case.keys.disable(made["id"]))).delete(made["id"])
        assert not await case.registry.list(Sort.KEY)

    async def test_whoever_is_always_overtaken_is_told_so(self, case):
        made, ends = await case.create(), itertools.count(NOW + 1)
        flip = Overtaken(
            case.registry,
            lambda: case.keys.set_expiry(made["id"], {"expires_at": next(ends)}),
            for_ever=True,
        )
        assert (await refusal(case.on(flip).disable(made["id"])))[:2] == ("conflict", 409)

    @pytest.mark.parametrize("name", ["show", "disable", "enable", "delete"])
    @pytest.mark.parametrize("key_id", ["k7d2m0q9x4ab", "", "../keys", "K7D2M0Q9X4AB"])
    async def test_a_key_that_does_not_exist_is_told_as_that(self, case, name, key_id):
        assert await refusal(getattr(case.keys, name)(key_id)) == ("key_unknown", 404, "")

    @pytest.mark.parametrize("name", ["disable", "enable"])
    async def test_keys_of_the_policy_are_changed_in_the_policy(self, case, name):
        case.policy = replace(POLICY, keys={"alice0000001": authz_case.POLICY.keys["alice0000001"]})
        assert (await refusal(getattr(case.keys, name)("alice0000001")))[:2] == ("key_in_policy", 409)

    async def test_a_key_that_moved_into_the_policy_can_be_deleted_from_the_registry(self, case):
        made = await case.create()
        case.policy = replace(POLICY, keys={made["id"]: case.found(made["key"])})
        assert (await refusal(case.keys.disable(made["id"])))[0] == "key_in_policy"
        await case.keys.delete(made["id"])
        assert not await case.registry.list(Sort.KEY)


@pytest.mark.parametrize("call", [
    lambda keys: keys.create(WISH, "alice"),
    lambda keys: keys.list(),
    lambda keys: keys.show("k7d2m0q9x4ab"),
    lambda keys: keys.disable("k7d2m0q9x4ab"),
])  # fmt: skip
async def test_a_registry_that_is_away_is_told_as_that(case, call):
    assert await refusal(call(case.on(Away()))) == ("unavailable", 503, "")


async def test_records_are_written_in_their_one_spelling(case):
    made = await case.create()
    await case.keys.rotate(made["id"], {}, "bob")
    for entry in await case.registry.list(Sort.KEY):
        assert records.write(records.read(entry.id, entry.value)) == entry.value


class Overtaken:
    """A registry in which somebody else is faster: their change is made right before ours."""

    def __init__(self, registry, other, *, for_ever: bool = False) -> None:
        self._registry, self._other, self._for_ever = registry, other, for_ever
        self.get, self.list = registry.get, registry.list

    async def apply(self, changes) -> int:
        other, self._other = self._other, self._other if self._for_ever else None
        if other is not None:
            await other()
        return await self._registry.apply(changes)


class Away:
    """A registry that cannot be reached."""

    async def apply(self, changes):
        raise RegistryError("away")

    async def get(self, sort, entry_id):
        raise RegistryError("away")

    async def list(self, sort):
        raise RegistryError("away")
