"""Operators from afar: only a token of ours, of an account that stands, with the scope of operators, counts."""

import orjson
import pytest

from control.admin import Actor
from control.bearer import SCOPE, Bearer
from control.oauth.store import Store
from control.request import Request
from gateway.certificate import read
from gateway.policy.model import CertificateIdentity
from gateway.registry.model import RegistryError
from gateway.revocation.mark import What
from leaves import leaf, shown
from oauth_case import SERVICE, World, body


class Door:
    """A bearer check over a token service in memory."""

    def __init__(self, world: World) -> None:
        self.world = world
        store = Store(world.registry, world.clock)
        self.admit = Bearer(policy=lambda: world.policy, store=store, signing=world.signing, clock=world.clock)

    async def token(self, *scopes, **wish):
        self.known = await self.world.account(scopes=[SCOPE, "chat"], **wish)
        asked = [("scope", " ".join(scopes))] if scopes else []
        return body(await self.world.token(self.known, *asked))["access_token"]

    async def ask(self, authorization, **fields):
        """The actor, or the code of the refusal."""
        headers = {"authorization": authorization} if authorization else {}
        found = await self.admit(Request(method="GET", path="/admin/v1/keys", headers=headers, **fields))
        if isinstance(found, Actor):
            return found
        assert found.status == {"scope_missing": 403, "unavailable": 503}.get(code(found), 401)
        return code(found)


def code(answer):
    return orjson.loads(answer.body)["error"]["code"]


@pytest.fixture
async def door():
    return Door(await World().started())


async def test_a_token_with_the_scope_is_its_account_and_its_record(door):
    token = await door.token()
    assert await door.ask(f"Bearer {token}") == Actor(door.known.client_id, door.world.told[-1].key_id)
    assert isinstance(await door.ask(f"bearer {token}"), Actor)


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer ", "Basic YTpi", "osk_key"])
async def test_nothing_is_missing(door, authorization):
    assert await door.ask(authorization) == "credential_missing"


@pytest.mark.parametrize("text", ["x", "a.b.c", "osk_abc", "e30.e30.", "x" * 20_000])
async def test_what_is_no_token_of_ours_does_not_count(door, text):
    assert await door.ask(f"Bearer {text}") == "credential_invalid"


async def test_an_altered_token_does_not_count(door):
    head, payload, signature = (await door.token()).split(".")
    assert await door.ask(f"Bearer {head}.{payload}.{signature[::-1]}") == "credential_invalid"


async def test_a_token_that_asked_for_less_is_told_what_it_lacks(door):
    assert await door.ask(f"Bearer {await door.token('chat')}") == "scope_missing"


async def test_an_account_that_lost_the_scope_has_lost_it_at_once(door):
    token = await door.token()
    await door.world.accounts.change(door.known.client_id, {"scopes": ["chat"]})
    assert await door.ask(f"Bearer {token}") == "scope_missing"


async def test_a_disabled_or_removed_account_is_nobody(door):
    token = await door.token()
    await door.world.accounts.disable(door.known.client_id)
    assert await door.ask(f"Bearer {token}") == "credential_invalid"
    await door.world.accounts.delete(door.known.client_id)
    assert await door.ask(f"Bearer {token}") == "credential_invalid"


async def test_an_expired_token_does_not_count_to_the_second(door):
    token = await door.token()
    door.world.clock.advance(299)
    assert isinstance(await door.ask(f"Bearer {token}"), Actor)
    door.world.clock.advance(1)
    assert await door.ask(f"Bearer {token}") == "credential_invalid"


@pytest.mark.parametrize("what", [What.KEY, What.CLIENT, What.SUBJECT, What.TENANT])
async def test_a_revocation_counts_whatever_it_names(door, what):
    token = await door.token()
    names = {
        What.KEY: door.world.told[-1].key_id,
        What.CLIENT: door.known.client_id,
        What.SUBJECT: "svc/batch",
        What.TENANT: "",
    }
    await door.world.revocations.revoke(what, "acme", names[what], reason="leaked", actor="ada")
    assert await door.ask(f"Bearer {token}") == "credential_invalid"


async def test_a_token_for_another_audience_does_not_count(door):
    known = await door.world.account(scopes=[SCOPE], audiences=["https://other.example"])
    asked = ("resource", "https://other.example")
    token = body(await door.world.token(known, asked))["access_token"]
    assert await door.ask(f"Bearer {token}") == "credential_invalid"


async def test_a_bound_token_needs_its_certificate(door):
    mine, other = leaf(uris=["spiffe://x/ops"]), leaf(uris=["spiffe://x/ops"], key_name="second")
    wish = {"method": "tls_client_auth", "certificate": {"uri": "spiffe://x/ops"}}
    made = await door.world.accounts.create(
        {"tenant": "acme", "principal": "ops", "scopes": [SCOPE], **wish}, "alice (uid:7)"
    )
    form = (("grant_type", "client_credentials"), ("client_id", made["client_id"]))
    token = body(await door.world.post("/oauth2/token", *form, certificate=shown(mine)))["access_token"]
    assert isinstance(await door.ask(f"Bearer {token}", certificate=shown(mine)), Actor)
    assert await door.ask(f"Bearer {token}", certificate=shown(other)) == "credential_invalid"
    assert await door.ask(f"Bearer {token}", certificate="rubbish") == "credential_invalid"
    assert await door.ask(f"Bearer {token}") == "credential_invalid"


async def test_a_certificate_that_ran_out_on_an_open_connection_carries_nobody(door):
    mine = leaf(uris=["spiffe://x/ops"])
    wish = {"method": "tls_client_auth", "certificate": {"uri": "spiffe://x/ops"}}
    made = await door.world.accounts.create(
        {"tenant": "acme", "principal": "ops", "scopes": [SCOPE], **wish}, "alice (uid:7)"
    )
    ends_s = read(shown(mine)).ends_s
    door.world.clock.advance(ends_s - 60 - door.world.clock.now())
    await door.world.signing.tend(SERVICE)
    form = (("grant_type", "client_credentials"), ("client_id", made["client_id"]))
    token = body(await door.world.post("/oauth2/token", *form, certificate=shown(mine)))["access_token"]
    assert isinstance(await door.ask(f"Bearer {token}", certificate=shown(mine)), Actor)
    door.world.clock.advance(60)
    assert await door.ask(f"Bearer {token}", certificate=shown(mine)) == "credential_invalid"


@pytest.mark.parametrize("named", ["uri", "dns", "subject"])
async def test_a_principal_that_policy_ties_to_a_certificate_is_nobody_without_it(named):
    mine = leaf(subject="CN=ops", uris=["spiffe://x/ops"], dns=["ops.example"])
    wanted = {"uri": "spiffe://x/ops", "dns": "ops.example", "subject": "CN=ops"}[named]
    pins = frozenset({read(shown(mine)).spki_sha256})
    entry = CertificateIdentity(
        name="ops",
        tenant="acme",
        principal="svc/batch",
        required_for_principal=True,
        spki_sha256=pins,
        **{named: wanted},
    )
    door = Door(await World(certificates={"ops": entry}).started())
    token = await door.token()
    assert isinstance(await door.ask(f"Bearer {token}", certificate=shown(mine)), Actor)
    assert await door.ask(f"Bearer {token}") == "credential_invalid"
    same_name = leaf(subject="CN=ops", uris=["spiffe://x/ops"], dns=["ops.example"], key_name="second")
    for other in (leaf(), same_name):
        assert await door.ask(f"Bearer {token}", certificate=shown(other)) == "credential_invalid"


async def test_a_revoked_certificate_carries_nobody(door):
    token, certificate = await door.token(), shown(leaf())
    assert isinstance(await door.ask(f"Bearer {token}", certificate=certificate), Actor)
    await door.world.revocations.revoke(What.CERTIFICATE, "", read(certificate).sha256, reason="stolen", actor="ada")
    assert await door.ask(f"Bearer {token}", certificate=certificate) == "credential_invalid"


async def test_without_the_registry_nobody_is_let_in(door):
    token = await door.token()

    async def away(*_):
        raise RegistryError("away")

    door.world.registry.get = away
    assert await door.ask(f"Bearer {token}") == "unavailable"


async def test_without_a_token_service_there_are_no_remote_operators():
    door = Door(await World(token_service=None).started())
    assert await door.ask("Bearer x.y.z") == "credential_missing"
