"""The token service's endpoints: each path of RFC 6749, 7009, 7662, 8705, 8707 and 9068 that a client can take."""

import base64
import json
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

import issuing
import oauth_case
from authz.own import OwnTokens
from authz.tokens import Rejected, Tokens
from control.oauth.metadata import INTROSPECT_PATH, JWKS_PATH, REVOKE_PATH, TOKEN_PATH
from control.oauth.replay import ReplayError
from gateway.certificate import read
from gateway.contract import METADATA_PATH
from gateway.registry.model import RegistryError, Sort
from gateway.revocation.mark import What
from leaves import leaf, shown
from oauth_case import HERE, NOW_S, SERVICE, World, asserted, assertion, body, claims, jwks


@pytest.fixture
async def world():
    return await World().started()


def b64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


# --- what a good request gets --------------------------------------------------------------------------------


async def test_a_secret_gets_a_short_lived_token_and_its_answer_is_not_kept(world):
    answer = await world.token(await world.account())
    told = body(answer)
    assert answer.status == 200
    assert {name: told[name] for name in ("token_type", "expires_in", "scope")} == {
        "token_type": "Bearer",
        "expires_in": 300,
        "scope": "chat embed",
    }
    assert ("cache-control", "no-store") in answer.headers


async def test_the_token_says_what_rfc_9068_asks_for_and_no_tenant(world):
    known = await world.account()
    token = body(await world.token(known))["access_token"]
    head, told = json.loads(b64(token.split(".")[0])), claims(token)
    assert head == {"alg": "ES256", "typ": "at+jwt", "kid": world.signing.signer().kid}
    assert told == {
        "iss": HERE,
        "sub": known.client_id,
        "client_id": known.client_id,
        "aud": "llm",
        "iat": int(NOW_S),
        "exp": int(NOW_S) + 300,
        "jti": told["jti"],
        "scope": "chat embed",
    }
    assert len(told["jti"]) == 32


def _verify(jwk, signed, signature):
    """With `cryptography` alone: nothing of our own or of the JOSE library judges here."""
    number = {name: int.from_bytes(b64(jwk[name])) for name in ("x", "y", "n", "e") if name in jwk}
    if jwk["kty"] == "EC":
        key = ec.EllipticCurvePublicNumbers(number["x"], number["y"], ec.SECP256R1()).public_key()
        der = encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))
        key.verify(der, signed, ec.ECDSA(hashes.SHA256()))
    elif jwk["kty"] == "OKP":
        ed25519.Ed25519PublicKey.from_public_bytes(b64(jwk["x"])).verify(signature, signed)
    else:
        key = rsa.RSAPublicNumbers(number["e"], number["n"]).public_key()
        key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "RS256"])
async def test_the_signature_is_right_by_the_published_key_for_another_library(algorithm):
    world = World()
    await world.signing.tend(replace(SERVICE, algorithm=algorithm))
    token = body(await world.token(await world.account()))["access_token"]
    listed = json.loads((await world.ask(JWKS_PATH, method="GET")).body)["keys"]
    head, payload, signature = token.split(".")
    [jwk] = [one for one in listed if one["kid"] == json.loads(b64(head))["kid"]]
    assert (jwk["alg"], jwk["use"]) == (algorithm, "sig")
    _verify(jwk, f"{head}.{payload}".encode(), b64(signature))


async def test_authz_knows_the_token_and_takes_the_tenant_from_the_account(world):
    own = OwnTokens()
    replica = world.registry.replica()
    replica.follow(Sort.VERIFYING, own.key_changed)
    replica.follow(Sort.ACCOUNT, own.account_changed)
    tokens = Tokens(_NoIssuer(), own=own)
    known = await world.account(principal="svc/nightly")
    text = body(await world.token(known, ("scope", "chat")))["access_token"]
    bearer = tokens.check(text, world.policy, NOW_S)
    assert (bearer.tenant, bearer.principal, bearer.scopes, bearer.client) == (
        "acme",
        "svc/nightly",
        ("chat",),
        known.client_id,
    )
    assert bearer.key_id == world.told[-1].key_id  # the record of control names the token as authz does
    await world.accounts.disable(known.client_id)
    assert isinstance(tokens.check(text, world.policy, NOW_S), Rejected)


class _NoIssuer:
    def usable(self, issuer):
        return None


async def test_fewer_scopes_may_be_asked_for_and_are_told(world):
    told = body(await world.token(await world.account(), ("scope", "embed")))
    assert (told["scope"], claims(told["access_token"])["scope"]) == ("embed", "embed")


async def test_an_account_may_have_shorter_tokens_and_none_outlives_it(world):
    short = await world.account(token_s=60)
    ending = await world.account(expires_in_s=100)
    assert body(await world.token(short))["expires_in"] == 60
    assert body(await world.token(ending))["expires_in"] == 100


async def test_a_resource_may_be_asked_for_where_the_account_has_several(world):
    known = await world.account(audiences=["llm", "https://tools.example.com"])
    plain = body(await world.token(known))["access_token"]
    asked = body(await world.token(known, ("resource", "https://tools.example.com")))["access_token"]
    same = await world.token(known, ("resource", "llm"), ("resource", "llm"), ("audience", "llm"))
    assert (claims(plain)["aud"], claims(asked)["aud"], same.status) == ("llm", "https://tools.example.com", 200)


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "EdDSA", "PS256", "RS256"])
async def test_a_signed_assertion_gets_a_token(world, algorithm):
    known = await world.account(method="private_key_jwt", jwks=jwks(algorithm), algorithms=[algorithm])
    text = assertion(known.client_id, issuing.key(algorithm), header={"alg": algorithm})
    answer = await world.post(TOKEN_PATH, ("grant_type", "client_credentials"), *asserted(text))
    assert answer.status == 200
    assert "cnf" not in claims(body(answer)["access_token"])


@pytest.mark.parametrize("audience", [HERE, HERE + TOKEN_PATH, [HERE]])
async def test_an_assertion_may_name_the_issuer_or_the_endpoint(world, audience):
    known = await world.account(method="private_key_jwt", jwks=jwks("ES256"))
    text = assertion(known.client_id, issuing.key("ES256"), aud=audience)
    answer = await world.post(TOKEN_PATH, ("grant_type", "client_credentials"), *asserted(text))
    assert answer.status == 200


SPIFFE = "spiffe://acme.example/batch"
LEAF = leaf(uris=[SPIFFE], dns=["batch.acme.example"], subject="CN=batch,O=Acme")


@pytest.mark.parametrize(
    "certificate", [{"uri": SPIFFE}, {"dns": "batch.acme.example"}, {"subject": "CN=batch,O=Acme"}, {"spki_sha256": []}]
)
async def test_a_certificate_gets_a_token_that_is_bound_to_it(world, certificate):
    pins = [read(shown(LEAF)).spki_sha256]
    wish = certificate if "spki_sha256" not in certificate else {"spki_sha256": pins}
    known = await world.account(method="tls_client_auth", certificate=wish)
    given = (("grant_type", "client_credentials"), ("client_id", known.client_id))
    answer = await world.post(TOKEN_PATH, *given, certificate=shown(LEAF))
    assert answer.status == 200
    assert claims(body(answer)["access_token"])["cnf"] == {"x5t#S256": read(shown(LEAF)).thumbprint}


async def test_during_a_rotation_both_secrets_count_and_afterwards_the_new_one_alone(world):
    known = await world.account()
    rotated = await world.accounts.rotate(known.client_id, {"overlap_s": 600})
    new = oauth_case.Known(known.client_id, rotated["client_secret"])
    assert [(await world.token(one)).status for one in (known, new)] == [200, 200]
    world.clock.advance(600)
    assert [(await world.token(one)).status for one in (known, new)] == [401, 200]


# --- what a bad request gets ---------------------------------------------------------------------------------

GRANT = ("grant_type", "client_credentials")
REFUSED = {
    "no grant type": ([], 400, "invalid_request"),
    "a password": ([("grant_type", "password")], 400, "unsupported_grant_type"),
    "a code": ([("grant_type", "authorization_code")], 400, "unsupported_grant_type"),
    "a scope that was not granted": ([GRANT, ("scope", "chat admin")], 400, "invalid_scope"),
    "a scope in another case": ([GRANT, ("scope", "Chat")], 400, "invalid_scope"),
    "two spaces": ([GRANT, ("scope", "chat  embed")], 400, "invalid_scope"),
    "a space alone": ([GRANT, ("scope", " ")], 400, "invalid_scope"),
    "another resource": ([GRANT, ("resource", "https://other.example")], 400, "invalid_target"),
    "another audience": ([GRANT, ("audience", "llm2")], 400, "invalid_target"),
    "two resources": ([GRANT, ("resource", "llm"), ("resource", "b")], 400, "invalid_target"),
    "a parameter twice": ([GRANT, GRANT], 400, "invalid_request"),
    "a parameter twice, once empty": ([GRANT, ("scope", ""), ("scope", "chat")], 400, "invalid_request"),
    "an unknown parameter twice": ([GRANT, ("x", "1"), ("x", "2")], 400, "invalid_request"),
    "the secret in the form as well": ([GRANT, ("client_secret", "x")], 400, "invalid_request"),
    "an assertion as well": ([GRANT, *asserted("a.b.c")], 400, "invalid_request"),
    "half an assertion as well": ([GRANT, ("client_assertion", "a.b.c")], 400, "invalid_request"),
    "another client_id": ([GRANT, ("client_id", "svc-other")], 400, "invalid_request"),
    "a control character": ([GRANT, ("scope", "chat\n")], 400, "invalid_request"),
    "no name": ([GRANT, ("", "x")], 400, "invalid_request"),
    "a thousand parameters": ([(f"p{n}", "x") for n in range(1000)], 400, "invalid_request"),
    "a large form": ([GRANT, ("x", "y" * 17_000)], 413, "invalid_request"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_every_bad_form_has_its_error(world, case):
    parameters, status, code = REFUSED[case]
    answer = await world.post(TOKEN_PATH, *parameters, headers=(await world.account()).basic())
    assert (answer.status, body(answer)["error"]) == (status, code)
    assert ("cache-control", "no-store") in answer.headers
    assert "www-authenticate" not in dict(answer.headers)
    assert (world.told[-1].status, world.told[-1].code) == (status, code)


RAW = {
    "JSON": {"headers": {"content-type": "application/json"}, "body": b'{"grant_type":"client_credentials"}'},
    "no content type": {"headers": {}, "body": b"grant_type=client_credentials"},
    "in the URL": {"query": "grant_type=client_credentials", "body": b""},
    "also in the URL": {"query": "client_secret=x", "body": b"grant_type=client_credentials"},
    "no UTF-8": {"body": b"grant_type=%ff"},
    "raw bytes": {"body": b"grant_type=\xc3\xa9"},
    "a broken escape": {"body": b"grant_type=client%2"},
    "a broken escape as name": {"body": b"%zz=client_credentials"},
    "an empty pair": {"body": b"grant_type=client_credentials&&scope=chat"},
    "a NUL": {"body": b"grant_type=client_credentials%00"},
}


@pytest.mark.parametrize("case", RAW)
async def test_every_bad_body_is_an_invalid_request(world, case):
    known = await world.account()
    given = {"headers": {"content-type": oauth_case.FORM}, **RAW[case]}
    answer = await world.ask(TOKEN_PATH, **{**given, "headers": {**given["headers"], **known.basic()}})
    assert (answer.status, body(answer)["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("path", [TOKEN_PATH, INTROSPECT_PATH, REVOKE_PATH])
async def test_only_post_is_answered_where_secrets_travel(world, path):
    answer = await world.ask(path, method="GET")
    assert (answer.status, dict(answer.headers)["allow"]) == (405, "POST")


@pytest.mark.parametrize("path", [METADATA_PATH, JWKS_PATH])
async def test_only_get_is_answered_where_anybody_may_look(world, path):
    answer = await world.ask(path, method="POST")
    assert (answer.status, dict(answer.headers)["allow"]) == (405, "GET")


@pytest.mark.parametrize(
    "path", ["/oauth2/", "/oauth2/authorize", "/oauth2/Token", "/oauth2/token/", "/.well-known/openid-configuration"]
)
async def test_nothing_else_is_served(world, path):
    assert [(await world.ask(path, method=method)).status for method in ("GET", "POST")] == [404, 404]


async def test_without_a_token_service_in_the_policy_nothing_is_served():
    world = await World(token_service=None).started()
    paths = (TOKEN_PATH, INTROSPECT_PATH, REVOKE_PATH, JWKS_PATH, METADATA_PATH)
    assert {(await world.ask(path, method=method)).status for path in paths for method in ("GET", "POST")} == {404}


async def test_a_token_that_cannot_be_put_on_record_is_not_handed_out(world):
    known = await world.account()
    world.recording = False
    answer = await world.token(known)
    assert (answer.status, body(answer)["error"]) == (503, "temporarily_unavailable")
    assert b"access_token" not in answer.body


async def test_without_a_signing_key_the_client_is_told_to_come_back():
    world = World()
    answer = await world.token(await world.account())
    assert (answer.status, "retry-after" in dict(answer.headers)) == (503, True)
    assert (await world.ask(JWKS_PATH, method="GET")).status == 503


async def test_while_the_registry_is_away_nobody_is_taken_for_a_wrong_client(world):
    known = await world.account()

    async def broken(*_):
        raise RegistryError("away")

    world.registry.get = broken
    answer = await world.token(known)
    assert (answer.status, body(answer)["error"]) == (503, "temporarily_unavailable")


async def test_while_nobody_knows_whether_an_assertion_is_new_it_does_not_count(world):
    known = await world.account(method="private_key_jwt", jwks=jwks("ES256"))

    async def broken(*_):
        raise ReplayError("away")

    world.seen.first = broken
    text = assertion(known.client_id, issuing.key("ES256"))
    answer = await world.post(TOKEN_PATH, GRANT, *asserted(text))
    assert (answer.status, body(answer)["error"]) == (503, "temporarily_unavailable")


# --- who may come no more ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "name"),
    [(What.CLIENT, "{client}"), (What.SUBJECT, "svc/batch"), (What.TENANT, "")],
)
async def test_a_revoked_client_gets_no_token(world, what, name):
    known = await world.account()
    named = name.format(client=known.client_id)
    await world.revocations.revoke(what, "acme", named, reason="stolen", actor="alice")
    assert (await world.token(known)).status == 401
    assert world.told[-1].cause == "account: revoked"


async def test_a_revocation_of_what_was_issued_before_does_not_stop_new_tokens(world):
    known = await world.account()
    moment = int(NOW_S)
    await world.revocations.revoke(
        What.CLIENT, "acme", known.client_id, reason="logs leaked", actor="alice", issued_before=moment
    )
    assert (await world.token(known)).status == 200


async def test_an_account_of_a_tenant_that_the_policy_lost_gets_no_token(world):
    known = await world.account()
    world.policy = replace(world.policy, tenants={})
    assert (await world.token(known)).status == 401


async def test_a_secret_beside_a_revoked_or_expired_certificate_gets_no_token(world):
    known = await world.account()
    assert (await world.token(known, certificate=shown(LEAF))).status == 200
    await world.revocations.revoke(What.CERTIFICATE, "", read(shown(LEAF)).sha256, reason="stolen", actor="alice")
    assert (await world.token(known, certificate=shown(LEAF))).status == 401
    other = leaf()
    assert (await world.token(known, certificate=shown(other))).status == 200
    world.clock.advance(read(shown(other)).ends_s - NOW_S)
    assert (await world.token(known, certificate=shown(other))).status == 401


# --- introspection (RFC 7662) --------------------------------------------------------------------------------


async def introspect(world, known, token):
    return body(await world.post(INTROSPECT_PATH, ("token", token), headers=known.basic()))


async def test_a_token_of_the_own_tenant_is_described(world):
    known, other = await world.account(), await world.account(principal="svc/other", scopes=["x"])
    token = body(await world.token(known))["access_token"]
    told = await introspect(world, other, token)
    assert told == {**claims(token), "active": True, "token_type": "Bearer"}


async def test_of_a_token_of_another_tenant_nothing_is_said(world):
    token = body(await world.token(await world.account()))["access_token"]
    other = await world.account(tenant="narrow")
    assert await introspect(world, other, token) == {"active": False}


async def test_a_bound_token_tells_its_certificate(world):
    known = await world.account(method="tls_client_auth", certificate={"uri": SPIFFE})
    asking = await world.account()
    given = (GRANT, ("client_id", known.client_id))
    token = body(await world.post(TOKEN_PATH, *given, certificate=shown(LEAF)))["access_token"]
    assert (await introspect(world, asking, token))["cnf"] == claims(token)["cnf"]


async def test_narrowed_scopes_are_told_as_they_count_now(world):
    known = await world.account()
    token = body(await world.token(known))["access_token"]
    await world.accounts.change(known.client_id, {"scopes": ["embed"]})
    assert (await introspect(world, known, token))["scope"] == "embed"


async def _disable(world, known, token):
    await world.accounts.disable(known.client_id)


async def _delete(world, known, token):
    await world.accounts.delete(known.client_id)


async def _expire(world, known, token):
    world.clock.advance(300)


async def _revoke(world, known, token):
    await world.revocations.revoke(What.KEY, "", world.told[-1].key_id, reason="leaked", actor="alice")


async def _distrust(world, known, token):
    await world.signing.turn(SERVICE, distrust=True)


@pytest.mark.parametrize("ending", [_disable, _delete, _expire, _revoke, _distrust])
async def test_a_token_that_counts_no_more_is_inactive(world, ending):
    known, asking = await world.account(), await world.account(principal="svc/other")
    token = body(await world.token(known))["access_token"]
    assert (await introspect(world, asking, token))["active"] is True
    world.told.pop()
    await ending(world, known, token)
    assert await introspect(world, asking, token) == {"active": False}


async def test_a_token_bound_to_a_revoked_certificate_is_inactive(world):
    known = await world.account(method="tls_client_auth", certificate={"uri": SPIFFE})
    asking = await world.account()
    given = (GRANT, ("client_id", known.client_id))
    token = body(await world.post(TOKEN_PATH, *given, certificate=shown(LEAF)))["access_token"]
    assert (await introspect(world, asking, token))["active"] is True
    await world.revocations.revoke(What.CERTIFICATE, "", read(shown(LEAF)).sha256, reason="stolen", actor="alice")
    assert await introspect(world, asking, token) == {"active": False}


@pytest.mark.parametrize("token", ["x", "a.b.c", "e30.e30.AA", "ey" * 5000, "é"])
async def test_what_is_no_token_is_inactive(world, token):
    assert await introspect(world, await world.account(), token) == {"active": False}


async def test_a_token_of_another_issuer_and_an_assertion_are_inactive(world):
    known = await world.account(method="private_key_jwt", jwks=jwks("ES256"))
    asking = await world.account()
    assert await introspect(world, asking, assertion(known.client_id, issuing.key("ES256"))) == {"active": False}
    assert await introspect(world, asking, issuing.token("ES256")) == {"active": False}


@pytest.mark.parametrize("path", [INTROSPECT_PATH, REVOKE_PATH])
async def test_without_a_token_or_a_client_there_is_nothing_to_look_at(world, path):
    known = await world.account()
    missing = await world.post(path, ("token", ""), headers=known.basic())
    stranger = await world.post(path, ("token", "x"))
    assert (missing.status, body(missing)["error"]) == (400, "invalid_request")
    assert (stranger.status, body(stranger)["error"]) == (401, "invalid_client")


# --- revocation (RFC 7009) -----------------------------------------------------------------------------------


async def test_a_client_takes_its_token_back_until_after_its_end(world):
    known = await world.account()
    token = body(await world.token(known))["access_token"]
    key_id = world.told[-1].key_id
    answer = await world.post(
        REVOKE_PATH, ("token", token), ("token_type_hint", "refresh_token"), headers=known.basic()
    )
    assert (answer.status, answer.body) == (200, b"{}")
    [entry] = await world.revocations.list()
    assert (entry.mark, entry.actor) == (f"key:{key_id}", known.client_id)
    assert entry.until > claims(token)["exp"] + 30
    assert world.told[-1].key_id == key_id
    assert await introspect(world, known, token) == {"active": False}


async def test_what_is_no_token_needs_no_revocation(world):
    known = await world.account()
    token = body(await world.token(known))["access_token"]
    world.clock.advance(400)
    answers = [await world.post(REVOKE_PATH, ("token", one), headers=known.basic()) for one in ("x", "a.b.c", token)]
    assert [answer.status for answer in answers] == [200, 200, 200]
    assert await world.revocations.list() == []


async def test_nobody_takes_back_the_token_of_another_client(world):
    token = body(await world.token(await world.account()))["access_token"]
    other = await world.account(principal="svc/other")
    answer = await world.post(REVOKE_PATH, ("token", token), headers=other.basic())
    assert (answer.status, body(answer)["error"]) == (400, "invalid_grant")
    assert await world.revocations.list() == []


async def test_a_revocation_that_was_not_stored_is_not_confirmed(world):
    known = await world.account()
    token = body(await world.token(known))["access_token"]

    async def broken(*_):
        raise RegistryError("away")

    world.registry.apply = broken
    answer = await world.post(REVOKE_PATH, ("token", token), headers=known.basic())
    assert (answer.status, body(answer)["error"]) == (503, "temporarily_unavailable")


# --- records -------------------------------------------------------------------------------------------------


async def test_no_secret_and_no_token_goes_on_record(world):
    known = await world.account()
    token = body(await world.token(known))["access_token"]
    await world.token(oauth_case.Known(known.client_id, "ocs_wrong-secret"))
    told = repr(world.told)
    assert token not in told
    assert known.secret not in told
    assert "wrong-secret" not in told
    assert [(one.action, one.status, one.tenant) for one in world.told] == [
        ("token.issue", 200, "acme"),
        ("token.issue", 401, ""),
    ]
