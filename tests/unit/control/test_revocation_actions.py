"""Revocations through the admin API, on a registry in memory."""

import orjson
import pytest

from clocks import ManualClock
from control import revocation_actions
from control.admin import Admin, local
from control.request import Request
from control.revocations import Revocations
from gateway.registry.memory import MemoryRegistry

JSON = {"content-type": "application/json", "x-ostiary-actor": "ada"}
PATH = "/admin/v1/revocations"


class Journal:
    healthy = True

    def __init__(self) -> None:
        self.records = []

    def offer(self, record):
        self.records.append(record)
        return True


@pytest.fixture
def journal():
    return Journal()


@pytest.fixture
def ask(journal):
    clock = ManualClock()
    admin = Admin(revocation_actions.actions(Revocations(MemoryRegistry(), clock)), local, journal, clock)

    async def asked(method, path=PATH, body=None, query=""):
        raw = b"" if body is None else orjson.dumps(body)
        answered = await admin(
            Request(method=method, path=path, query=query, headers=JSON, body=raw, peer_uid=7, now=clock.now())
        )
        return answered.status, orjson.loads(answered.body)

    return asked


async def test_a_revocation_is_made_listed_and_lifted_and_each_change_is_on_record(ask, journal):
    wish = {"what": "subject", "tenant": "acme", "name": "ada", "reason": "laptop lost"}
    status, told = await ask("POST", body=wish)
    assert (status, told["replaced"]) == (201, None)
    assert told["revocation"]["actor"] == "ada (uid:7)"
    mark = told["revocation"]["mark"]
    assert mark == "subject:acme/ada"
    assert [one["mark"] for one in (await ask("GET"))[1]["revocations"]] == [mark]
    assert (await ask("POST", f"{PATH}/lift", {"mark": mark, "reason": "found it"}))[0] == 200
    assert (await ask("GET"))[1] == {"revocations": []}
    kept = [(one.method, one.tenant, one.details["subject"], one.reason) for one in journal.records]
    assert kept == [
        ("revocation.create", "acme", mark, "laptop lost"),
        ("revocation.lift", "acme", mark, "found it"),
    ]


async def test_a_revoked_key_is_named_as_a_key_in_the_record(ask, journal):
    await ask("POST", body={"what": "key", "name": "k7d2m0q9x4ab", "reason": "leaked"})
    assert journal.records[0].key_id == "k7d2m0q9x4ab"


async def test_revoking_again_tells_what_stood_before(ask):
    wish = {"what": "tenant", "tenant": "acme", "reason": "first"}
    await ask("POST", body=wish)
    told = (await ask("POST", body=wish | {"reason": "second"}))[1]
    assert (told["revocation"]["reason"], told["replaced"]["reason"]) == ("second", "first")


async def test_the_list_is_chosen_by_kind_and_tenant(ask):
    for name in ("ada", "bob"):
        await ask("POST", body={"what": "subject", "tenant": "acme", "name": name, "reason": "r"})
    await ask("POST", body={"what": "client", "tenant": "globex", "name": "ci", "reason": "r"})
    assert len((await ask("GET", query="what=subject&tenant=acme"))[1]["revocations"]) == 2
    assert len((await ask("GET", query="tenant=globex"))[1]["revocations"]) == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"what": "thing"}, "what"),
        ({"what": ["key"]}, "what"),
        ({}, "what"),
        ({"what": "key", "name": 7}, "name"),
        ({"what": "key", "name": "k", "until": True}, "until"),
        ({"what": "key", "name": "k", "until": -1}, "until"),
        ({"what": "key", "name": "k", "until": 1e9}, "until"),
        ({"what": "key", "name": "k", "issued_before": 10**15}, "issued_before"),
        ({"what": "key", "name": "k7d2m0q9x4ab"}, "reason"),
        ({"what": "key", "name": "k", "untill": 1}, "untill"),
        ({"what": "subject", "name": "ada", "reason": "r"}, "tenant"),
    ],
)
async def test_a_wish_that_is_wrong_is_told_with_its_field(ask, body, field):
    status, told = await ask("POST", body=body)
    assert (status, told["error"]["field"]) == (422, field)
    assert (await ask("GET"))[1] == {"revocations": []}


async def test_a_misspelt_parameter_does_not_list_everything(ask):
    status, told = await ask("GET", query="tenannt=acme")
    assert (status, told["error"]["field"]) == (422, "tenannt")


async def test_what_is_not_revoked_cannot_be_lifted(ask):
    status, told = await ask("POST", f"{PATH}/lift", {"mark": "key:nothing"})
    assert (status, told["error"]["code"]) == (404, "revocation_unknown")
