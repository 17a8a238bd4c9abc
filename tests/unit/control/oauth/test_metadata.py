"""What clients find out by themselves: true for each endpoint, cacheable, and silent about logins."""

import json
from dataclasses import replace

import pytest

from control.oauth import metadata
from control.oauth.metadata import INTROSPECT_PATH, JWKS_PATH, REVOKE_PATH, TOKEN_PATH
from gateway import keyset
from gateway.contract import METADATA_PATH
from gateway.policy.load import load
from gateway.registry.accounts import Method
from oauth_case import FORM, HERE, SERVICE, World, body


@pytest.fixture
async def world():
    return await World().started()


async def test_the_metadata_has_what_rfc_8414_requires(world):
    answer = await world.ask(METADATA_PATH, method="GET")
    told = body(answer)
    assert dict(answer.headers)["cache-control"] == "public, max-age=300"
    assert told["issuer"] == HERE
    assert told["response_types_supported"] == []
    assert told["grant_types_supported"] == ["client_credentials"]
    assert told["tls_client_certificate_bound_access_tokens"] is True
    assert "authorization_endpoint" not in told


async def test_every_endpoint_that_it_names_is_served(world):
    told = metadata.document(SERVICE)
    named = {name: url.removeprefix(HERE) for name, url in told.items() if name.endswith(("_endpoint", "_uri"))}
    assert set(named.values()) == {TOKEN_PATH, INTROSPECT_PATH, REVOKE_PATH, JWKS_PATH}
    for name, path in named.items():
        method = "GET" if name == "jwks_uri" else "POST"
        assert (await world.ask(path, method=method, headers={"content-type": FORM})).status in {200, 401}


def test_the_methods_are_those_that_accounts_have():
    told = metadata.document(SERVICE)
    for endpoint in ("token", "introspection", "revocation"):
        assert told[f"{endpoint}_endpoint_auth_methods_supported"] == [method.value for method in Method]
        algorithms = told[f"{endpoint}_endpoint_auth_signing_alg_values_supported"]
        assert {"none", "HS256"}.isdisjoint(algorithms)


async def test_the_keys_are_public_usable_and_cacheable(world):
    answer = await world.ask(JWKS_PATH, method="GET")
    found = keyset.parse(answer.body)
    assert (len(found.keys), found.dropped) == (2, 0)
    assert dict(answer.headers) == {
        "content-type": "application/jwk-set+json",
        "cache-control": "public, max-age=300",
    }
    assert all("d" not in key for key in json.loads(answer.body)["keys"])


def test_a_cached_document_knows_each_key_before_it_signs(tmp_path):
    shortest = 900  # gateway/policy/token_service.py refuses less
    files = {
        "policy.yaml": f"name: t\ntoken_service: {{issuer: '{HERE}', audience: llm, rotate_s: {shortest}}}\n",
        "tenants.yaml": "acme: {models: '*', routes: '*'}\n",
        "backends.yaml": "demo: {url: 'http://127.0.0.1:8091'}\n",
        "models.yaml": "gpt: demo\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert load(tmp_path, rules=[]).token_service == replace(SERVICE, rotate_s=shortest)
    age_s = int(dict(metadata.tell(SERVICE).headers)["cache-control"].rpartition("=")[2])
    assert 2 * age_s < shortest
