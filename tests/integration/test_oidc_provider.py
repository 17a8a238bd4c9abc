"""A certified OpenID provider (npm oidc-provider) issues the tokens: what it calls an access token opens the gateway."""

import contextlib
import json
import os
import secrets
import shutil
import subprocess

import httpx
import pytest

from asking import CHAT, chat
from ports import free_port
from stack import ROOT, Options, Stack, until

PACKAGE = "oidc-provider@9.13.3"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed"),
]
SECRET = secrets.token_hex(32)
GATEWAY_SECRET = "%" + secrets.token_hex(32)  # only form-encoded does it arrive (RFC 6749 section 2.3.1)
OPAQUE = "https://opaque.example"


@pytest.fixture(scope="module")
def modules(tmp_path_factory):
    """Where the provider is installed; the script must lie beside its node_modules."""
    directory = tmp_path_factory.mktemp("oidc")
    (directory / "package.json").write_text('{"private": true, "type": "module"}')
    install = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", PACKAGE]
    subprocess.run(install, cwd=directory, check=True, timeout=300)
    shutil.copy(ROOT / "tests" / "support" / "oidc_provider.mjs", directory)
    return directory


class Running:
    def __init__(self, port):
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=10)

    def answers(self):
        try:
            return self.http.get("/jwks").status_code == 200
        except httpx.TransportError:
            return False

    def token(self, scope="chat", resource=""):
        form = {"grant_type": "client_credentials", "scope": scope, **({"resource": resource} if resource else {})}
        answer = self.http.post("/token", data=form, auth=("batch", SECRET))
        assert answer.status_code == 200, answer.text
        return answer.json()["access_token"]

    def revoke(self, token):
        answer = self.http.post("/token/revocation", data={"token": token}, auth=("batch", SECRET))
        assert answer.status_code == 200, answer.text


@contextlib.contextmanager
def provider(modules, port, alg, *kids):
    environ = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "PORT": str(port),
        "ALG": alg,
        "KIDS": ",".join(kids),
        "CLIENT_SECRET": SECRET,
        "GATEWAY_SECRET": GATEWAY_SECRET,
    }
    with (modules / "provider.log").open("ab") as log:
        process = subprocess.Popen(["node", "oidc_provider.mjs"], cwd=modules, env=environ, stdout=log, stderr=log)
    try:
        running = Running(port)
        with running.http:
            until("the provider", running.answers)
            yield running
    finally:
        process.terminate()
        process.wait(10)


def ask(stack, token):
    return stack.client("").post(CHAT, chat("hello"), [("authorization", f"Bearer {token}")])


@pytest.mark.parametrize("alg", ["RS256", "ES256"])
def test_its_access_tokens_open_the_gateway_and_a_rotation_goes_unnoticed(short_dir, upstreams, modules, alg):
    port = free_port()
    stack = Stack(short_dir(), upstreams, Options(workers=1))
    entry = {
        "tenant": "acme",
        "issuer": f"http://127.0.0.1:{port}",
        "audiences": ["https://llm.example"],
        "algorithms": [alg],
        "clients": ["batch"],
        "required_claims": ["jti", "client_id"],
    }
    (stack.bundle.directory / "issuers.yaml").write_text(json.dumps({"oidc": entry}))
    with contextlib.ExitStack() as opened:
        with provider(modules, port, alg, "first") as running:
            opened.enter_context(stack)
            until("its keys", lambda: "issuer_keys_changed" in stack.logs())
            old = running.token("chat embed")
            answer = ask(stack, old)
            assert answer.status == 200
            record = stack.record(answer)
            # Its token says "globex"; the issuer's entry says acme.
            assert (record["tenant"], record["principal"]) == ("acme", "batch")
            assert ask(stack, old[:-4] + "AAAA").code == "credential_invalid"
        # Keys are new at each start: the old token is of a key that no longer exists, the new one of an unknown kid.
        with provider(modules, port, alg, "second", "third") as running:
            until("the new key", lambda: ask(stack, running.token()).status == 200, 30)
            assert ask(stack, old).code == "credential_invalid"


def test_its_opaque_tokens_open_the_gateway_until_they_are_revoked_there(short_dir, upstreams, modules):
    port = free_port()
    stack = Stack(short_dir(), upstreams, Options(workers=1))
    cache_s = 2
    entry = {
        "tenant": "acme",
        "endpoint": f"http://127.0.0.1:{port}/token/introspection",
        "client_id": "gateway",
        "secret_file": "gateway.secret",
        "issuer": f"http://127.0.0.1:{port}",
        "audiences": [OPAQUE],
        "clients": ["batch"],
        "claims": {"principal": "client_id"},  # client credentials have no sub there
        "cache_s": cache_s,
        "negative_cache_s": 1,
        "deadline_ms": 1500,  # of the two seconds that `authz` has here: a loaded machine is no outage
    }
    (stack.bundle.directory / "introspectors.yaml").write_text(json.dumps({"oidc": entry}))
    secret = stack.bundle.directory / "gateway.secret"
    secret.touch(0o600)
    secret.write_text(GATEWAY_SECRET)
    with contextlib.ExitStack() as opened:
        with provider(modules, port, "ES256", "first") as running:
            opened.enter_context(stack)
            token = running.token("chat embed", OPAQUE)
            assert "." not in token
            answer = ask(stack, token)
            assert answer.status == 200, stack.record(answer)["reason"]
            record = stack.record(answer)
            assert (record["tenant"], record["principal"]) == ("acme", "batch")
            assert record["key_id"].startswith("opaque:")
            # What is none of its tokens, and one of another resource server of the same provider.
            assert ask(stack, token[:-2] + "AA").code == "credential_invalid"
            refused = ask(stack, running.token())
            assert (refused.code, stack.record(refused)["reason"]) == ("credential_invalid", "token: unknown issuer")
            # Revoked there, it counts no longer than the answer is kept here.
            other = running.token("chat", OPAQUE)
            assert ask(stack, other).status == 200
            running.revoke(token)
            until("the end of the kept answer", lambda: ask(stack, token).code == "credential_invalid", cache_s + 20)
            assert stack.record(ask(stack, token))["reason"] == "token: not active (oidc)"
            assert ask(stack, other).status == 200
        # With the server gone nobody can tell, and an old answer does not count for ever.
        until("the refusal", lambda: ask(stack, other).status == 503, cache_s + 20)
        assert ask(stack, other).code == "issuer_unavailable"
        assert stack.client().post(CHAT, chat("hello")).status == 200
    written = stack.logs() + repr(stack.audit()) + repr(stack.access_log())
    assert token not in written
    assert GATEWAY_SECRET not in written
