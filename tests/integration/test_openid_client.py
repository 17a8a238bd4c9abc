"""A certified OAuth client (npm openid-client) finds, uses and believes the gateway's own token service through Envoy."""

import json
import os
import shutil
import subprocess

import pytest
from joserfc.jwk import ECKey

from asking import CHAT, chat
from bundle import AUDIENCE
from rawhttp import RawClient
from stack import ROOT, Options, Stack, until

PACKAGES = ("openid-client@6.8.9", "jose@6.2.17", "oauth4webapi@3.8.8")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed"),
]


@pytest.fixture(scope="module")
def modules(tmp_path_factory):
    """Where the client is installed; the script must lie beside its node_modules."""
    directory = tmp_path_factory.mktemp("client")
    (directory / "package.json").write_text('{"private": true, "type": "module"}')
    install = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", *PACKAGES]
    subprocess.run(install, cwd=directory, check=True, timeout=300)
    shutil.copy(ROOT / "tests" / "support" / "openid_client.mjs", directory)
    return directory


@pytest.fixture(scope="module")
def house(short_dir, upstreams):
    with Stack(short_dir(), upstreams, Options(workers=1, control=True)) as stack:
        yield stack
        assert "Traceback" not in stack.logs()


def test_it_gets_tokens_in_two_ways_and_a_resource_server_believes_them(house, modules, upstream):
    def account(**wish):
        told = {"tenant": "acme", "principal": "svc/client", "scopes": ["chat", "embed"], **wish}
        return house.operate("POST", "/admin/v1/accounts", told)

    key = ECKey.generate_key("P-256")
    public = {**key.as_dict(private=False), "kid": "k1"}
    secret, signed = account(), account(method="private_key_jwt", jwks={"keys": [public]})
    wish = {
        "issuer": house.issuer,
        "audience": AUDIENCE,
        "secret": secret,
        "signed": {"client_id": signed["client_id"], "key": {**key.as_dict(private=True), "kid": "k1"}},
    }
    environ = {**os.environ, "NODE_EXTRA_CA_CERTS": str(house.authority.pem)}
    ran = subprocess.run(
        ["node", "openid_client.mjs"],
        cwd=modules, env=environ, input=json.dumps(wish), capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["basic"] == {"expires_in": 300, "scope": "chat", "token_type": "bearer"}
    assert (told["claims"]["sub"], told["resource_server"]) == (secret["client_id"], secret["client_id"])
    assert (told["before"]["active"], told["after"]) == (True, {"active": False})
    assert told["signed"] == signed["client_id"]
    assert told["refused"] == {"status": 400, "error": "invalid_scope"}
    assert (told["wrong"]["status"], told["wrong"]["challenge"]) == (401, "basic")

    stranger, marker = RawClient(house.port, house.authority.pem, []), upstream.script()
    given = [("authorization", f"Bearer {told['token']}")]
    until("the account", lambda: stranger.post(CHAT, chat(marker), given).status == 200)
