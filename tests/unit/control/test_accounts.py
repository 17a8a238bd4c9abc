"""The life of service accounts: what is wished is checked, a secret is shown once, others' changes are never lost."""

import json

import pytest

import issuing
from control import accounts
from control.problem import Refusal
from gateway.registry.model import Change, ConflictError, RegistryError, Sort
from gateway.telemetry import redact
from oauth_case import World, jwks

SPIFFE = "spiffe://acme.example/batch"
LEAST = {"tenant": "acme", "principal": "svc/batch"}


@pytest.fixture
def world():
    return World()


async def create(world, **wish):
    return await world.accounts.create({**LEAST, **wish}, "alice (uid:7)")


async def stored(world):
    return b"".join(entry.value for entry in await world.registry.list(Sort.ACCOUNT))


async def test_a_new_account_is_told_with_its_secret_and_stored_without(world):
    told = await create(world, scopes=["chat"], token_s=60, expires_in_s=3600)
    secret = told.pop("client_secret")
    assert secret.startswith("ocs_")
    assert len(secret) == 47
    assert secret.encode() not in await stored(world)
    now = int(world.clock.now())
    assert told == {
        "client_id": told["client_id"],
        "tenant": "acme",
        "principal": "svc/batch",
        "state": "active",
        "method": "client_secret_basic",
        "scopes": ["chat"],
        "audiences": [],
        "token_s": 60,
        "expires_at": now + 3600,
        "created_at": now,
        "created_by": "alice (uid:7)",
        "secrets": [{"created_at": now, "expires_at": None, "pepper": "v2"}],
    }
    assert await world.accounts.show(told["client_id"]) == told


async def test_client_ids_and_secrets_never_repeat(world):
    made = [await create(world) for _ in range(20)]
    assert len({one["client_id"] for one in made}) == len({one["client_secret"] for one in made}) == 20


async def test_a_secret_is_masked_in_logs(world):
    secret = (await create(world))["client_secret"]
    assert secret not in redact.text(f"somebody pasted {secret} here")


async def test_a_signing_client_keeps_public_keys_and_the_algorithms_that_fit(world):
    told = await create(world, method="private_key_jwt", jwks=jwks("ES256"))
    assert "client_secret" not in told
    assert told["algorithms"] == ["ES256"]
    assert told["jwks"] == jwks("ES256")
    both = await create(world, method="private_key_jwt", jwks=jwks("ES256", "RS256"), algorithms=["RS256", "ES256"])
    assert both["algorithms"] == ["ES256", "RS256"]


async def test_a_certificate_client_keeps_names_in_their_one_spelling(world):
    told = await create(world, method="tls_client_auth", certificate={"subject": "OU=b+CN=a,O=Acme"})
    assert told["certificate"] == {"subject": "CN=a+OU=b,O=Acme"}
    pinned = await create(world, method="tls_client_auth", certificate={"uri": SPIFFE, "spki_sha256": ["ab" * 32]})
    assert pinned["certificate"] == {"uri": SPIFFE, "spki_sha256": ["ab" * 32]}


PRIVATE = {"keys": [{**issuing.key("ES256").as_dict(private=True), "kid": "k1"}]}
WRONG = {
    "no tenant": ({"tenant": None}, "tenant"),
    "an unknown tenant": ({"tenant": "globex"}, "tenant"),
    "no principal": ({"principal": None}, "principal"),
    "a principal with a space": ({"principal": "a b"}, "principal"),
    "an unknown method": ({"method": "client_secret_post"}, "method"),
    "a method that is none": ({"method": 1}, "method"),
    "a scope with a space": ({"scopes": ["chat embed"]}, "scopes[0]"),
    "scopes that are one text": ({"scopes": "chat"}, "scopes"),
    "an audience with a space": ({"audiences": ["a b"]}, "audiences[0]"),
    "a life of an hour and a second": ({"token_s": 3601}, "token_s"),
    "a life that is none": ({"token_s": True}, "token_s"),
    "an end in the past": ({"expires_at": 1}, "expires_at"),
    "two ends": ({"expires_at": 1_900_000_000, "expires_in_s": 5}, "expires_in_s"),
    "a misspelt field": ({"scops": ["chat"]}, "scops"),
    "a client id of one's own": ({"client_id": "batch"}, "client_id"),
    "keys beside a secret": ({"jwks": jwks("ES256")}, "jwks"),
    "a certificate beside a secret": ({"certificate": {"uri": SPIFFE}}, "certificate"),
    "no keys": ({"method": "private_key_jwt"}, "jwks"),
    "keys that are none": ({"method": "private_key_jwt", "jwks": "x"}, "jwks"),
    "an empty set of keys": ({"method": "private_key_jwt", "jwks": {"keys": []}}, "jwks"),
    "a private key": ({"method": "private_key_jwt", "jwks": PRIVATE}, "jwks"),
    "a private key among others": (
        {"method": "private_key_jwt", "jwks": {"keys": [*jwks("ES256")["keys"], *PRIVATE["keys"]]}},
        "jwks",
    ),
    "a shared secret": ({"method": "private_key_jwt", "jwks": {"keys": [{"kty": "oct", "k": "AAAA"}]}}, "jwks"),
    "two keys of one kid": ({"method": "private_key_jwt", "jwks": {"keys": jwks("ES256")["keys"] * 2}}, "jwks"),
    "an RSA key without a word": ({"method": "private_key_jwt", "jwks": jwks("RS256")}, "algorithms"),
    "an algorithm that fits no key": (
        {"method": "private_key_jwt", "jwks": jwks("ES256"), "algorithms": ["RS256"]},
        "algorithms",
    ),
    "none": ({"method": "private_key_jwt", "jwks": jwks("ES256"), "algorithms": ["none"]}, "algorithms[0]"),
    "endless keys": ({"method": "private_key_jwt", "jwks": {"keys": [], "x": "y" * 17_000}}, "jwks"),
    "no certificate": ({"method": "tls_client_auth"}, "certificate"),
    "any certificate": ({"method": "tls_client_auth", "certificate": {}}, "certificate"),
    "a certificate field too much": ({"method": "tls_client_auth", "certificate": {"cn": "x"}}, "certificate.cn"),
    "a wildcard": ({"method": "tls_client_auth", "certificate": {"dns": "*.acme.example"}}, "certificate.dns"),
    "a subject that is none": (
        {"method": "tls_client_auth", "certificate": {"subject": "batch"}},
        "certificate.subject",
    ),
    "a pin that is none": (
        {"method": "tls_client_auth", "certificate": {"spki_sha256": ["x"]}},
        "certificate.spki_sha256[0]",
    ),
}


@pytest.mark.parametrize("case", WRONG)
async def test_what_is_wrong_is_refused_by_its_field_and_nothing_is_stored(world, case):
    wish, where = WRONG[case]
    with pytest.raises(Refusal) as refused:
        await create(world, **wish)
    assert (refused.value.status, refused.value.field) == (422, where)
    assert issuing.key("ES256").as_dict(private=True)["d"] not in str(refused.value)
    assert await world.registry.list(Sort.ACCOUNT) == []


async def test_accounts_are_listed_by_tenant_without_secrets(world):
    mine, other = await create(world), await create(world, tenant="narrow")
    assert {one["client_id"] for one in await world.accounts.list()} == {mine["client_id"], other["client_id"]}
    [told] = await world.accounts.list("narrow")
    assert told == {name: value for name, value in other.items() if name != "client_secret"}
    assert "digest" not in json.dumps(told)


async def test_only_what_is_named_changes(world):
    made = await create(world, scopes=["chat"], token_s=60, expires_in_s=60)
    changed = await world.accounts.change(made["client_id"], {"scopes": ["embed"], "reason": "less is enough"})
    assert changed == {**{k: v for k, v in made.items() if k != "client_secret"}, "scopes": ["embed"]}
    free = await world.accounts.change(made["client_id"], {"token_s": None, "expires_at": None, "audiences": ["b"]})
    assert (free["token_s"], free["expires_at"], free["audiences"]) == (None, None, ["b"])


async def test_keys_and_certificate_change_where_the_client_has_them(world):
    signer = await create(world, method="private_key_jwt", jwks=jwks("ES256"))
    told = await world.accounts.change(signer["client_id"], {"jwks": jwks("EdDSA", "ES256")})
    assert told["algorithms"] == ["ES256", "Ed25519", "EdDSA"]
    assert (await world.accounts.change(signer["client_id"], {"algorithms": ["ES256"]}))["algorithms"] == ["ES256"]
    bound = await create(world, method="tls_client_auth", certificate={"uri": SPIFFE})
    told = await world.accounts.change(bound["client_id"], {"certificate": {"dns": "b.example"}})
    assert told["certificate"] == {"dns": "b.example"}


@pytest.mark.parametrize(
    ("wish", "where"),
    [
        ({}, ""),
        ({"reason": "none"}, ""),
        ({"tenant": "narrow"}, "tenant"),
        ({"method": "tls_client_auth"}, "method"),
        ({"jwks": jwks("ES256")}, "jwks"),
        ({"algorithms": ["ES256"]}, "jwks"),
        ({"certificate": {"uri": SPIFFE}}, "certificate"),
        ({"scopes": ["a b"]}, "scopes[0]"),
    ],
)
async def test_a_change_that_cannot_be_is_refused_and_changes_nothing(world, wish, where):
    made = await create(world)
    before = await stored(world)
    with pytest.raises(Refusal) as refused:
        await world.accounts.change(made["client_id"], wish)
    assert refused.value.field == where
    assert await stored(world) == before


async def test_a_rotation_keeps_the_old_secret_for_a_while_and_never_more_than_two(world):
    made = await create(world)
    now = int(world.clock.now())
    first = await world.accounts.rotate(made["client_id"], {"overlap_s": 100})
    assert first["client_secret"] != made["client_secret"]
    assert [one["expires_at"] for one in first["secrets"]] == [now + 100, None]
    second = await world.accounts.rotate(made["client_id"], {})
    assert [one["expires_at"] for one in second["secrets"]] == [now + accounts.OVERLAP_S, None]
    assert second["previous_expires_at"] == now + accounts.OVERLAP_S
    world.clock.advance(accounts.OVERLAP_S)
    assert len((await world.accounts.show(made["client_id"]))["secrets"]) == 1


async def test_a_client_without_a_secret_has_none_to_rotate(world):
    signer = await create(world, method="private_key_jwt", jwks=jwks("ES256"))
    with pytest.raises(Refusal) as refused:
        await world.accounts.rotate(signer["client_id"], {})
    assert refused.value.code == "account_without_secret"


async def test_an_account_is_disabled_enabled_and_deleted(world):
    client_id = (await create(world))["client_id"]
    assert (await world.accounts.disable(client_id))["state"] == "disabled"
    assert (await world.accounts.enable(client_id))["state"] == "active"
    assert (await world.accounts.delete(client_id))["client_id"] == client_id
    with pytest.raises(Refusal) as refused:
        await world.accounts.show(client_id)
    assert (refused.value.code, refused.value.status) == ("account_unknown", 404)


@pytest.mark.parametrize("client_id", ["svc-000000000000", "../x", "", "x" * 5000, "a b"])
async def test_what_does_not_exist_is_unknown(world, client_id):
    for ask in (world.accounts.show, world.accounts.disable, world.accounts.delete):
        with pytest.raises(Refusal) as refused:
            await ask(client_id)
        assert refused.value.status == 404


async def test_the_change_of_another_operator_is_not_lost(world):
    client_id = (await create(world, scopes=["chat"]))["client_id"]
    real, raced = world.registry.apply, []

    async def overtaken(changes):
        if not raced:
            raced.append(1)
            await world.accounts.change(client_id, {"token_s": 60})
        return await real(changes)

    world.registry.apply = overtaken
    told = await world.accounts.change(client_id, {"scopes": ["embed"]})
    assert (told["scopes"], told["token_s"]) == (["embed"], 60)


@pytest.mark.parametrize(("failure", "status"), [(ConflictError("x"), 409), (RegistryError("x"), 503)])
async def test_what_was_not_stored_is_not_told_as_done(world, failure, status):
    client_id = (await create(world))["client_id"]

    async def broken(_):
        raise failure

    world.registry.apply = broken
    for ask in (world.accounts.disable, world.accounts.delete):
        with pytest.raises(Refusal) as refused:
            await ask(client_id)
        assert refused.value.status == status
    with pytest.raises(Refusal):
        await create(world)


async def test_an_account_that_cannot_be_read_is_left_out_and_told(world):
    made = await create(world)
    await world.registry.apply([_garbage(made["client_id"])])
    assert await world.accounts.list() == []
    with pytest.raises(Refusal, match="cannot be read"):
        await world.accounts.show(made["client_id"])


def _garbage(client_id):
    return Change(Sort.ACCOUNT, client_id, b"{}")
