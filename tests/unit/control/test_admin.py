"""The admin API without HTTP: who may ask, what is understood, what goes on record, and when nothing may change."""

import asyncio

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clocks import ManualClock
from control import problem
from control.admin import Action, Actor, Admin, Done, local
from control.request import Request, error


class Journal:
    """A trail in memory."""

    def __init__(self) -> None:
        self.healthy = self.takes = True
        self.records = []

    def offer(self, record):
        if self.takes:
            self.records.append(record)
        return self.takes


class Api:
    """An admin API with two things to do, and what was asked of them."""

    def __init__(self, admit=local) -> None:
        self.wishes = []
        self.raised: BaseException | None = None
        self.journal = Journal()
        self.clock = ManualClock()
        self.handler = Admin(
            (
                Action("thing.list", "GET", "/admin/v1/things", self.do),
                Action("thing.create", "POST", "/admin/v1/things", self.do),
                Action("thing.turn", "POST", "/admin/v1/things/{id}/turn", self.do),
            ),
            admit,
            self.journal,
            self.clock,
        )

    async def do(self, wish):
        self.wishes.append(wish)
        if self.raised is not None:
            raise self.raised
        return Done({"secret": "hunter2"}, 201, tenant="acme", subject="t1", key_id="k1")

    async def ask(self, method="POST", path="/admin/v1/things", body=None, **fields):
        fields.setdefault("headers", {"content-type": "application/json", "x-ostiary-actor": "ada"})
        fields.setdefault("peer_uid", 1000)
        raw = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        asked = Request(method=method, path=path, body=raw, request_id="r1", now=self.clock.now(), **fields)
        answered = await self.handler(asked)
        return answered.status, orjson.loads(answered.body)

    async def code(self, *args, **fields):
        status, told = await self.ask(*args, **fields)
        return status, told["error"]["code"]


@pytest.fixture
def api():
    return Api()


async def test_a_change_is_made_and_goes_on_record_with_its_actor_and_reason(api):
    status, told = await api.ask(body={"name": "x", "reason": "ticket 7"}, query="a=%20b")
    assert (status, told) == (201, {"secret": "hunter2"})
    (wish,) = api.wishes
    assert wish.by == "ada (uid:1000)"
    assert (wish.body["name"], wish.query) == ("x", {"a": " b"})
    (record,) = api.journal.records
    assert (record.writer, record.request_id, record.method) == ("control", "r1", "thing.create")
    assert (record.tenant, record.principal, record.key_id) == ("acme", "ada", "k1")
    assert (record.status, record.outcome, record.code, record.reason) == (201, "completed", "", "ticket 7")
    assert record.details == {"proof": "uid:1000", "subject": "t1", "asked": '{"name":"x"}'}
    assert b"hunter2" not in record.line()


async def test_reading_leaves_no_record_and_needs_no_trail(api):
    api.journal.healthy = False
    assert (await api.ask("GET"))[0] == 201
    assert not api.journal.records


async def test_what_cannot_be_put_on_record_is_not_done(api):
    api.journal.healthy = False
    assert await api.code(body={}) == (503, "audit_unavailable")
    assert not api.wishes


async def test_a_change_that_found_no_room_on_record_is_told_as_that_and_hands_out_no_secret(api):
    api.journal.takes = False
    status, told = await api.ask(body={})
    assert (status, told["error"]["code"]) == (500, "unrecorded")
    assert "hunter2" not in str(told)
    assert len(api.wishes) == 1


async def test_a_refused_change_is_told_and_recorded(api):
    api.raised = problem.invalid("rate.requests", "expected a whole number")
    status, told = await api.ask(body={})
    assert (status, told["error"]) == (
        422,
        {"code": "invalid", "message": "expected a whole number", "field": "rate.requests"},
    )
    assert [(record.outcome, record.code) for record in api.journal.records] == [("refused", "invalid")]


@pytest.mark.parametrize("crash", [RuntimeError("hunter2"), asyncio.CancelledError()])
async def test_a_change_that_broke_off_is_recorded_as_failed_for_it_may_have_been_made(api, crash):
    api.raised = crash
    with pytest.raises(type(crash)):
        await api.ask(body={"reason": "why"})
    (record,) = api.journal.records
    assert (record.outcome, record.code, record.reason) == ("failed", "internal_error", "why")
    assert b"hunter2" not in record.line()


async def test_names_in_the_path_are_decoded_once(api):
    await api.ask(path="/admin/v1/things/subject%3Aacme%2Fada%2525/turn")
    assert api.wishes[0].names == ("subject:acme/ada%25",)


@pytest.mark.parametrize("name", ["%ff", "%00", "%0a", "x" * 601])
async def test_a_name_that_is_none_is_not_found(api, name):
    assert await api.code(path=f"/admin/v1/things/{name}/turn") == (404, "not_found")
    assert not api.wishes


@pytest.mark.parametrize(
    "path",
    ["/admin/v1/", "/admin/v1/thing", "/admin/v1/things/", "/admin/v1/things//turn", "/admin/v1/things/a/b/turn"],
)
async def test_another_path_is_not_found(api, path):
    assert await api.code(path=path) == (404, "not_found")


async def test_another_method_is_told_which_are_allowed(api):
    handler = api.handler
    answered = await handler(Request(method="DELETE", path="/admin/v1/things", peer_uid=1))
    assert answered.status == 405
    assert ("allow", "GET, POST") in answered.headers


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"[1]", 400, "json_invalid"),
        (b"{", 400, "json_invalid"),
        (b'{"a":1,"a":2}', 400, "json_invalid"),
        (b'{"a":NaN}', 400, "json_invalid"),
        (b"[" * 60_000, 400, "json_invalid"),
        (b'{"n":' + b"9" * 60_000 + b"}", 400, "json_invalid"),
        (b'{"reason": 7}', 422, "invalid"),
        (b'{"reason": "a\\nb"}', 422, "invalid"),
        (b'{"reason": "' + b"x" * 501 + b'"}', 422, "invalid"),
    ],
)
async def test_a_body_that_is_no_wish_changes_nothing(api, body, status, code):
    assert await api.code(body=body) == (status, code)
    assert not api.wishes


@pytest.mark.parametrize("query", ["a=1&a=2", "a", "a=1;b=2&&", "&".join(f"p{n}=1" for n in range(40))])
async def test_a_query_with_two_readings_is_refused(api, query):
    assert (await api.ask("GET", query=query))[0] == 400


async def test_a_body_needs_its_type(api):
    assert await api.code(body={}, headers={"content-type": "text/plain"}) == (415, "content_type_unsupported")


@pytest.mark.parametrize("claimed", ["", "a b", "-x", "ä", "x" * 65])
async def test_a_claimed_name_that_is_none_leaves_the_user_id(api, claimed):
    headers = {"content-type": "application/json", "x-ostiary-actor": claimed}
    await api.ask(body={}, headers=headers)
    assert api.wishes[0].by == "uid-1000 (uid:1000)"


async def test_who_is_not_local_is_refused_on_the_local_socket_and_recorded(api):
    assert await api.code(body={}, peer_uid=None) == (403, "forbidden")
    assert not api.wishes
    (record,) = api.journal.records
    assert (record.method, record.outcome, record.principal) == ("admin.refused", "refused", "")


async def test_who_is_not_admitted_learns_nothing_about_paths():
    async def nobody(_request):
        return error(401, "credential_invalid", "no")

    api = Api(nobody)
    assert await api.code(path="/admin/v1/nothing") == (401, "credential_invalid")
    assert await api.code() == (401, "credential_invalid")
    assert not api.wishes


async def test_a_token_is_the_proof_where_envoy_is_the_way():
    async def somebody(_request):
        return Actor("ops-bot", "jwt:0123")

    api = Api(somebody)
    await api.ask(body={}, peer_uid=None, address="192.0.2.7")
    (record,) = api.journal.records
    assert (record.principal, record.details["proof"], record.details["address"]) == (
        "ops-bot",
        "jwt:0123",
        "192.0.2.7",
    )


@given(raw=st.binary(max_size=200), query=st.text(max_size=60), name=st.text(max_size=40))
async def test_nothing_that_is_sent_breaks_it(raw, query, name):
    api = Api()
    status, _ = await api.ask(body=raw, query=query, path=f"/admin/v1/things/{name}/turn")
    assert status in {201, 400, 404, 415, 422}


async def test_the_record_tells_what_was_asked_for_and_masks_what_looks_like_a_secret(api):
    await api.ask(body={"name": "x", "scopes": ["ostiary.admin"], "secret": "hunter2" * 4, "reason": "r"})
    (record,) = api.journal.records
    assert "ostiary.admin" in record.details["asked"]
    assert b"hunter2" not in record.line()
