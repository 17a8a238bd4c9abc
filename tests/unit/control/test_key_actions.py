"""The key lines of the admin API: where they lie, and what goes on record. The work is in test_keys.py."""

import pytest

import authz_case
from clocks import ManualClock
from control.admin import Actor, Wish
from control.key_actions import actions
from control.keys import Keys
from control.problem import Refusal
from gateway.registry.memory import MemoryRegistry


@pytest.fixture
def run():
    drawn = iter(range(1, 1000))
    keys = Keys(
        registry=MemoryRegistry(),
        peppers=authz_case.PEPPERS,
        policy=lambda: authz_case.POLICY,
        clock=ManualClock(),
        random=lambda count: next(drawn).to_bytes(count),
    )
    by_name = {action.name: action for action in actions(keys)}

    async def ask(name: str, *names: str, query: dict | None = None, **body: object):
        return await by_name[name].run(Wish(Actor("alice", "uid:7"), names, query or {}, body, "", 0.0))

    return ask


def test_each_line_has_its_place():
    keys = Keys(
        registry=MemoryRegistry(),
        peppers=authz_case.PEPPERS,
        policy=lambda: authz_case.POLICY,
        clock=ManualClock(),
        random=authz_case.ones,
    )
    assert {(action.name, action.method, action.path) for action in actions(keys)} == {
        ("key.list", "GET", "/admin/v1/keys"),
        ("key.create", "POST", "/admin/v1/keys"),
        ("key.show", "GET", "/admin/v1/keys/{id}"),
        ("key.delete", "DELETE", "/admin/v1/keys/{id}"),
        ("key.rotate", "POST", "/admin/v1/keys/{id}/rotate"),
        ("key.expire", "POST", "/admin/v1/keys/{id}/expire"),
        ("key.disable", "POST", "/admin/v1/keys/{id}/disable"),
        ("key.enable", "POST", "/admin/v1/keys/{id}/enable"),
    }


async def test_a_new_key_is_told_and_only_named_on_record(run):
    done = await run("key.create", tenant="acme", principal="ci")
    assert done.status == 201
    assert done.body["key"].startswith(f"osk_{done.key_id}_")
    assert (done.tenant, done.subject, done.key_id) == ("acme", done.body["id"], done.body["id"])
    assert done.body["created_by"] == "alice (uid:7)"
    assert done.body["key"] not in repr(done)


async def test_a_rotation_names_both_keys_on_record(run):
    old = (await run("key.create", tenant="acme", principal="ci")).key_id
    done = await run("key.rotate", old, overlap_s=60)
    assert (done.status, done.subject, done.key_id) == (201, old, done.body["id"])
    assert done.key_id != old


async def test_changes_tell_the_key_as_it_is_now(run):
    key_id = (await run("key.create", tenant="acme", principal="ci")).key_id
    states = [(await run(name, key_id)).body["state"] for name in ("key.disable", "key.enable", "key.show")]
    assert states == ["disabled", "active", "active"]
    assert (await run("key.expire", key_id, expires_in_s=0)).body["state"] == "expired"
    assert (await run("key.delete", key_id)).key_id == key_id


async def test_the_list_is_paged_by_the_query(run):
    made = sorted([(await run("key.create", tenant="acme", principal="ci")).key_id for _ in range(3)])
    first = (await run("key.list", query={"limit": "7", "state": "active"})).body
    keys = [key["id"] for key in first["keys"] if key["source"] == "registry"]
    assert keys == made[: len(keys)]
    after = "zzzzzzzzzzzz"
    assert (await run("key.list", query={"after": after})).body == {"keys": [], "after": None}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": "x"}, "limit"),
        ({"limit": ""}, "limit"),
        ({"limit": "-1"}, "limit"),
        ({"limit": "1" * 5000}, "limit"),
        ({"limit": "0"}, "limit"),
        ({"tenent": "acme"}, "tenent"),
    ],
)
async def test_a_query_that_means_nothing_is_refused(run, query, field):
    with pytest.raises(Refusal) as caught:
        await run("key.list", query=query)
    assert (caught.value.status, caught.value.field) == (422, field)
