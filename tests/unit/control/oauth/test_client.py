"""Client authentication: each way in alone, each bad proof refused, and nobody learns which clients exist."""

import base64
import hmac
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import issuing
import oauth_case
from control.oauth import client
from control.oauth.client import ASSERTION_TYPE, MAX_ASSERTION_S, SKEW_S, is_bound
from control.oauth.metadata import INTROSPECT_PATH, REVOKE_PATH, TOKEN_PATH
from gateway.certificate import read
from gateway.registry import accounts
from gateway.registry.accounts import Binding
from gateway.registry.model import Change, Sort
from gateway.revocation.mark import What
from leaves import DAY, leaf, shown
from oauth_case import HERE, NOW_S, Known, World, asserted, assertion, body, jwks

GRANT = ("grant_type", "client_credentials")
#: What every client is told that is not let in, whatever the reason.
TOLD = {"error": "invalid_client", "error_description": "Client authentication failed."}
SPIFFE = "spiffe://acme.example/batch"
LEAF = leaf(uris=[SPIFFE])


@pytest.fixture
async def world():
    return await World().started()


def refused(world, answer):
    """The cause in the log, after checking that the client learns nothing of it."""
    assert (answer.status, body(answer)) == (401, TOLD)
    assert dict(answer.headers)["www-authenticate"] == 'Basic realm="ostiary", charset="UTF-8"'
    assert dict(answer.headers)["cache-control"] == "no-store"
    return world.told[-1].cause


# --- client_secret_basic -------------------------------------------------------------------------------------


def basic(text):
    raw = text if isinstance(text, bytes) else text.encode()
    return {"authorization": "Basic " + base64.b64encode(raw).decode()}


SECRETS = {
    "a wrong secret": lambda known: known.basic("ocs_" + "A" * 43),
    "no secret": lambda known: basic(f"{known.client_id}:"),
    "an unknown client": lambda known: Known("svc-000000000000", known.secret).basic(),
    "no client": lambda known: basic(f":{known.secret}"),
    "a client that cannot be": lambda known: basic(f"../{known.client_id}:{known.secret}"),
    "the secret of another case": lambda known: basic(f"{known.client_id}:{known.secret.swapcase()}"),
    "the digest instead": lambda known: basic(f"{known.client_id}:{'ab' * 32}"),
    "no colon": lambda known: basic(known.client_id),
    "no base64": lambda known: {"authorization": f"Basic {known.client_id}:{known.secret}"},
    "broken base64": lambda known: {"authorization": known.basic()["authorization"][:-1] + "*"},
    "no UTF-8": lambda known: basic(b"\xff\xfe:x"),
    "a broken escape": lambda known: basic(f"{known.client_id}:%zz"),
    "a NUL": lambda known: basic(f"{known.client_id}%00:{known.secret}"),
    "Bearer": lambda known: {"authorization": f"Bearer {known.secret}"},
    "a scheme alone": lambda known: {"authorization": "Basic"},
    "far too long": lambda known: basic("x" * 5000 + ":y"),
    "nothing at all": lambda known: {},
}


@pytest.mark.parametrize("case", SECRETS)
@pytest.mark.parametrize("path", [TOKEN_PATH, INTROSPECT_PATH, REVOKE_PATH])
async def test_no_bad_secret_gets_in_anywhere(world, case, path):
    known = await world.account()
    cause = refused(world, await world.post(path, GRANT, ("token", "x"), headers=SECRETS[case](known)))
    assert known.secret not in cause


async def test_escapes_are_taken_out_before_the_comparison(world):
    known = await world.account()
    escaped = "".join(f"%{byte:02x}" for byte in known.secret.encode())
    answer = await world.post(TOKEN_PATH, GRANT, headers=basic(f"{known.client_id}:{escaped}"))
    assert answer.status == 200


@pytest.mark.parametrize("scheme", ["basic ", "BASIC ", "Basic  "])
async def test_the_scheme_has_no_case(world, scheme):
    text = (await world.account()).basic()["authorization"].removeprefix("Basic ")
    assert (await world.post(TOKEN_PATH, GRANT, headers={"authorization": scheme + text})).status == 200


async def test_an_unknown_client_costs_as_many_digests_as_a_wrong_secret(world, monkeypatch):
    known = await world.account()
    await world.accounts.rotate(known.client_id, {})
    made, compared = [], []
    real_digest, real_compare = client.digest, hmac.compare_digest
    monkeypatch.setattr(client, "digest", lambda *given: made.append(1) or real_digest(*given))
    monkeypatch.setattr(client.hmac, "compare_digest", lambda *given: compared.append(1) or real_compare(*given))
    counts = []
    other = await world.account(method="tls_client_auth", certificate={"uri": SPIFFE})
    for headers in (
        known.basic(),
        known.basic("ocs_wrong"),
        Known("svc-000000000000", "x").basic(),
        Known("no client", "x").basic(),
        Known(other.client_id, "x").basic(),
    ):
        made.clear(), compared.clear()
        await world.post(TOKEN_PATH, GRANT, headers=headers)
        counts.append((len(made), len(compared)))
    assert counts == [(2, 2)] * 5


async def test_a_secret_under_a_pepper_that_is_gone_does_not_count(world):
    known = await world.account()
    account = accounts.read(known.client_id, await world.registry.get(Sort.ACCOUNT, known.client_id))
    gone = replace(account, secrets=(replace(account.secrets[0], pepper="v0"),))
    await world.registry.apply([Change(Sort.ACCOUNT, known.client_id, accounts.write(gone))])
    refused(world, await world.token(known))


async def test_a_record_that_cannot_be_read_opens_nothing(world):
    known = await world.account()
    await world.registry.apply([Change(Sort.ACCOUNT, known.client_id, b"{}")])
    refused(world, await world.token(known))


# --- private_key_jwt -----------------------------------------------------------------------------------------

LATE, EARLY = int(NOW_S) + SKEW_S, int(NOW_S) - SKEW_S
CLAIMS = {
    "no exp": {"exp": None},
    "expired": {"exp": EARLY},
    "living too long": {"exp": LATE + MAX_ASSERTION_S + 1},
    "an exp in words": {"exp": "tomorrow"},
    "an exp that is a flag": {"exp": True},
    "not valid yet": {"nbf": LATE + 1},
    "issued in the future": {"iat": LATE + 1},
    "another audience": {"aud": "https://other.example"},
    "the audience of tokens": {"aud": "llm"},
    "a slash more": {"aud": HERE + "/"},
    "two audiences": {"aud": [HERE, "https://other.example"]},
    "no audience": {"aud": None},
    "an audience that is none": {"aud": {"a": HERE}},
    "an empty list of audiences": {"aud": []},
    "no jti": {"jti": None},
    "an empty jti": {"jti": ""},
    "a jti that is none": {"jti": 7},
    "an endless jti": {"jti": "x" * 257},
    "no sub": {"sub": None},
    "another sub": {"sub": "svc-other"},
    "no iss": {"iss": None},
    "an iss that is none": {"iss": ["svc"], "sub": ["svc"]},
    "an unknown client": {"iss": "svc-000000000000", "sub": "svc-000000000000"},
    "a client that cannot be": {"iss": "../x", "sub": "../x"},
}
HEADERS = {
    "no algorithm": {"alg": None},
    "none": {"alg": "none"},
    "None": {"alg": "None"},
    "a shared secret": {"alg": "HS256"},
    "an algorithm that is not pinned": {"alg": "ES384"},
    "an algorithm that is none": {"alg": ["ES256"]},
    "an access token": {"typ": "at+jwt"},
    "a type that is none": {"typ": ["JWT"]},
    "an unknown kid": {"kid": "k2"},
    "a kid that is a path": {"kid": "../../etc/passwd"},
    "a kid that is none": {"kid": 1},
    "an empty kid": {"kid": ""},
    "crit": {"crit": ["exp"]},
    "compressed": {"zip": "DEF"},
    "nested": {"cty": "JWT"},
    "unencoded": {"b64": False},
}


@pytest.fixture
async def signer(world):
    return await world.account(method="private_key_jwt", jwks=jwks("ES256"))


async def shown_assertion(world, text):
    return await world.post(TOKEN_PATH, GRANT, *asserted(text))


@pytest.mark.parametrize("case", CLAIMS)
async def test_no_bad_claim_counts(world, signer, case):
    text = assertion(signer.client_id, issuing.key("ES256"), **CLAIMS[case])
    assert refused(world, await shown_assertion(world, text)).startswith("assertion: ")


@pytest.mark.parametrize("case", HEADERS)
async def test_no_bad_header_counts(world, signer, case):
    key = issuing.key("ES384" if HEADERS[case].get("alg") == "ES384" else "ES256")
    try:
        text = assertion(signer.client_id, key, header=HEADERS[case])
    except TypeError:  # an alg that names no signer: any signature will do
        good = assertion(signer.client_id, key)
        head = base64.urlsafe_b64encode(json.dumps({"kid": "k1", **HEADERS[case]}).encode()).decode().rstrip("=")
        text = ".".join([head, *good.split(".")[1:]])
    refused(world, await shown_assertion(world, text))


@pytest.mark.parametrize("exp", [LATE + MAX_ASSERTION_S, EARLY + 1])
async def test_clocks_may_differ_a_little(world, signer, exp):
    text = assertion(signer.client_id, issuing.key("ES256"), exp=exp, iat=LATE, nbf=LATE)
    assert (await shown_assertion(world, text)).status == 200


@pytest.mark.parametrize("typ", [None, "JWT", "jwt", "client-authentication+jwt"])
async def test_the_types_of_assertions_are_taken(world, signer, typ):
    text = assertion(signer.client_id, issuing.key("ES256"), header={"typ": typ})
    assert (await shown_assertion(world, text)).status == 200


async def test_a_signature_by_another_key_does_not_count(world, signer):
    other = type(issuing.key("ES256")).generate_key("P-256")
    assert refused(world, await shown_assertion(world, assertion(signer.client_id, other))) == (
        "assertion: signature differs"
    )


async def test_an_assertion_counts_once_however_long_it_lives(world, signer):
    text = assertion(signer.client_id, issuing.key("ES256"), exp=int(NOW_S) + 300)
    assert (await shown_assertion(world, text)).status == 200
    assert refused(world, await shown_assertion(world, text)) == "assertion: seen before"
    world.clock.advance(300 + SKEW_S - 1)
    assert refused(world, await shown_assertion(world, text)) == "assertion: seen before"
    world.clock.advance(1)
    assert refused(world, await shown_assertion(world, text)) == "assertion: expired, or without exp"


async def test_the_same_jti_of_two_clients_is_no_replay(world, signer):
    other = await world.account(method="private_key_jwt", jwks=jwks("ES256"))
    texts = [assertion(one.client_id, issuing.key("ES256"), jti="same") for one in (signer, other)]
    assert [(await shown_assertion(world, text)).status for text in texts] == [200, 200]


async def test_an_assertion_that_did_not_count_is_not_remembered(world, signer):
    other = type(issuing.key("ES256")).generate_key("P-256")
    refused(world, await shown_assertion(world, assertion(signer.client_id, other, jti="mine")))
    mine = assertion(signer.client_id, issuing.key("ES256"), jti="mine")
    assert (await shown_assertion(world, mine)).status == 200


@pytest.mark.parametrize(
    "parameters",
    [
        (("client_assertion", "a.b.c"),),
        (("client_assertion_type", ASSERTION_TYPE),),
        (
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"),
            ("client_assertion", "x"),
        ),
    ],
)
async def test_half_an_assertion_or_another_kind_is_told_as_such(world, parameters):
    answer = await world.post(TOKEN_PATH, GRANT, *parameters)
    assert (answer.status, body(answer)["error"]) == (400, "invalid_request")


@given(st.text(max_size=200) | st.from_regex(r"[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,40}"))
async def test_no_text_as_assertion_gets_in_or_breaks_anything(text):
    world = World()
    answer = await world.post(TOKEN_PATH, GRANT, *asserted(text))
    assert answer.status in {400, 401}


async def test_another_client_id_beside_an_assertion_is_refused(world, signer):
    text = assertion(signer.client_id, issuing.key("ES256"))
    answer = await world.post(TOKEN_PATH, GRANT, *asserted(text), ("client_id", "svc-other"))
    assert (answer.status, body(answer)["error"]) == (400, "invalid_request")


# --- tls_client_auth -----------------------------------------------------------------------------------------


@pytest.fixture
async def bound(world):
    return await world.account(method="tls_client_auth", certificate={"uri": SPIFFE})


async def with_certificate(world, client_id, pem):
    return await world.post(TOKEN_PATH, GRANT, ("client_id", client_id), certificate=pem)


CERTIFICATES = {
    "none": "",
    "of another workload": shown(leaf(uris=["spiffe://acme.example/other"])),
    "with a prefix of the name": shown(leaf(uris=[SPIFFE + "/x"])),
    "with two SPIFFE ids": shown(leaf(uris=[SPIFFE, "spiffe://acme.example/other"])),
    "with the name as DNS name": shown(leaf(dns=["acme.example"])),
    "without names": shown(leaf()),
    "that ran out": shown(leaf(uris=[SPIFFE], lasts=DAY * 0)),
    "that is none": "-----BEGIN CERTIFICATE-----",
    "two of them": shown(LEAF) * 2,
}


@pytest.mark.parametrize("case", CERTIFICATES)
async def test_no_other_certificate_counts(world, bound, case):
    refused(world, await with_certificate(world, bound.client_id, CERTIFICATES[case]))


async def test_the_right_certificate_counts_for_its_client_alone(world, bound):
    other = await world.account(method="tls_client_auth", certificate={"uri": "spiffe://acme.example/other"})
    assert (await with_certificate(world, bound.client_id, shown(LEAF))).status == 200
    refused(world, await with_certificate(world, other.client_id, shown(LEAF)))
    refused(world, await with_certificate(world, "svc-000000000000", shown(LEAF)))
    refused(world, await with_certificate(world, "", shown(LEAF)))


async def test_a_revoked_certificate_gets_nothing(world, bound):
    await world.revocations.revoke(What.CERTIFICATE, "", read(shown(LEAF)).sha256, reason="stolen", actor="alice")
    assert refused(world, await with_certificate(world, bound.client_id, shown(LEAF))) == "account: revoked"


def test_everything_that_an_account_names_must_fit():
    certificate = read(shown(leaf(uris=[SPIFFE], dns=["b.example"], subject="CN=b,O=Acme")))
    pin = certificate.spki_sha256
    fitting = {"uri": SPIFFE, "dns": "b.example", "subject": "CN=b,O=Acme", "spki_sha256": frozenset({"00" * 32, pin})}
    other = {"uri": "urn:x", "dns": "c.example", "subject": "CN=c,O=Acme", "spki_sha256": frozenset({"00" * 32})}
    assert is_bound(Binding(**fitting), certificate)
    for name, value in other.items():
        assert not is_bound(Binding(**{**fitting, name: value}), certificate)


# --- one way each --------------------------------------------------------------------------------------------


async def test_a_client_may_use_no_other_way_than_its_own(world, signer, bound):
    secret = await world.account()
    ways = {
        "secret": lambda one: world.post(TOKEN_PATH, GRANT, headers=Known(one.client_id, secret.secret).basic()),
        "assertion": lambda one: shown_assertion(world, assertion(one.client_id, issuing.key("ES256"))),
        "certificate": lambda one: with_certificate(world, one.client_id, shown(LEAF)),
    }
    owners = {"secret": secret, "assertion": signer, "certificate": bound}
    for way, ask in ways.items():
        for owner, one in owners.items():
            answer = await ask(one)
            if way == owner:
                assert answer.status == 200
            else:
                refused(world, answer)


async def test_a_certificate_on_the_connection_does_not_disturb_another_way(world):
    answer = await world.token(await world.account(), certificate=shown(LEAF))
    assert answer.status == 200
    assert "cnf" not in oauth_case.claims(body(answer)["access_token"])


@pytest.mark.parametrize("ending", ["disable", "delete", "expire"])
async def test_an_account_that_is_shut_gets_nothing_whatever_it_proves(world, ending):
    known = await world.account(expires_in_s=60)
    if ending == "expire":
        world.clock.advance(60)
    else:
        await getattr(world.accounts, ending)(known.client_id)
    refused(world, await world.token(known))
