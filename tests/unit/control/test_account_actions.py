"""The account and signing-key lines of the admin API: where they lie, and what goes on record."""

import pytest

from control.account_actions import actions, signing_actions
from control.admin import Actor, Wish
from control.problem import Refusal
from gateway.registry.model import RegistryError
from oauth_case import World


@pytest.fixture
async def world():
    return await World().started()


def by_name(world):
    found = (*actions(world.accounts), *signing_actions(world.signing, lambda: world.policy))
    return {action.name: action for action in found}


async def run(world, name, *names, query=None, **body):
    return await by_name(world)[name].run(Wish(Actor("alice", "uid:7"), names, query or {}, body, "", 0.0))


async def test_each_line_has_its_place(world):
    assert {(action.name, action.method, action.path) for action in by_name(world).values()} == {
        ("account.list", "GET", "/admin/v1/accounts"),
        ("account.create", "POST", "/admin/v1/accounts"),
        ("account.show", "GET", "/admin/v1/accounts/{id}"),
        ("account.change", "PATCH", "/admin/v1/accounts/{id}"),
        ("account.delete", "DELETE", "/admin/v1/accounts/{id}"),
        ("account.rotate", "POST", "/admin/v1/accounts/{id}/rotate"),
        ("account.disable", "POST", "/admin/v1/accounts/{id}/disable"),
        ("account.enable", "POST", "/admin/v1/accounts/{id}/enable"),
        ("signing_key.list", "GET", "/admin/v1/signing-keys"),
        ("signing_key.rotate", "POST", "/admin/v1/signing-keys/rotate"),
    }


async def test_a_new_account_is_told_and_only_named_on_record(world):
    done = await run(world, "account.create", tenant="acme", principal="ci")
    assert (done.status, done.tenant, done.subject) == (201, "acme", done.body["client_id"])
    assert done.body["created_by"] == "alice (uid:7)"
    assert done.body["client_secret"] not in repr(done)


@pytest.mark.parametrize("operator", [None, False, 1, "true"])
async def test_the_scope_of_operators_is_never_given_by_accident(world, operator):
    known = (await run(world, "account.create", tenant="acme", principal="ci", scopes=["chat"])).subject
    told = {"scopes": ["chat", "ostiary.admin"], **({} if operator is None else {"operator": operator})}
    for name, given in (("account.create", {"tenant": "acme", "principal": "ops"}), ("account.change", {})):
        with pytest.raises(Refusal, match="admin API"):
            await run(world, name, *([known] if not given else []), **given, **told)


async def test_it_is_given_on_purpose(world):
    told = {"scopes": ["ostiary.admin"], "operator": True}
    done = await run(world, "account.create", tenant="acme", principal="ops", **told)
    assert done.body["scopes"] == ["ostiary.admin"]
    with pytest.raises(Refusal, match="operator"):
        await run(world, "account.create", tenant="acme", principal="ci", scopes=["chat"], operator=True)


async def test_an_account_goes_through_its_life(world):
    client_id = (await run(world, "account.create", tenant="acme", principal="ci")).subject
    assert (await run(world, "account.rotate", client_id, overlap_s=5)).status == 201
    assert (await run(world, "account.change", client_id, scopes=["chat"])).body["scopes"] == ["chat"]
    assert (await run(world, "account.disable", client_id)).body["state"] == "disabled"
    assert (await run(world, "account.enable", client_id)).body["state"] == "active"
    assert (await run(world, "account.show", client_id)).subject == client_id
    listed = await run(world, "account.list", query={"tenant": "acme"})
    assert [one["client_id"] for one in listed.body["accounts"]] == [client_id]
    assert (await run(world, "account.delete", client_id)).subject == client_id
    assert (await run(world, "account.list")).body == {"accounts": []}


async def test_an_unknown_parameter_of_a_list_is_refused(world):
    with pytest.raises(Refusal) as refused:
        await run(world, "account.list", query={"tennant": "acme"})
    assert refused.value.field == "tennant"


async def test_signing_keys_are_listed_without_their_private_part_and_turned(world):
    first = world.signing.signer().kid
    listed = (await run(world, "signing_key.list")).body["signing_keys"]
    assert listed[0]["kid"] == first
    assert set(listed[0]) == {"kid", "algorithm", "made_at", "signs_from", "signs_until", "ends_at", "private"}
    turned = await run(world, "signing_key.rotate", reason="a drill")
    assert turned.body == {"kid": world.signing.signer().kid}
    assert turned.subject != first
    assert world.signing.key_set().knows(first)
    await run(world, "signing_key.rotate", distrust=True)
    assert not world.signing.key_set().knows(first)


@pytest.mark.parametrize("body", [{"distrust": 1}, {"distrust": "yes"}, {"destrust": True}])
async def test_a_turn_that_is_not_clear_is_refused(world, body):
    first = world.signing.signer().kid
    with pytest.raises(Refusal):
        await run(world, "signing_key.rotate", **body)
    assert world.signing.signer().kid == first


async def test_without_a_token_service_or_a_registry_nothing_turns(world):
    async def broken(_):
        raise RegistryError("away")

    world.registry.list = broken
    with pytest.raises(Refusal) as away:
        await run(world, "signing_key.rotate")
    world = World(token_service=None)
    with pytest.raises(Refusal) as none:
        await run(world, "signing_key.rotate")
    assert (away.value.status, none.value.code) == (503, "no_token_service")
