"""One request to a vault: what is sent, what every bad answer becomes, and that an error holds no secret."""

import json

import pytest

from gateway.secrets.reference import Secret
from gateway.vault.wire import VaultError, Wire
from stub_http import StubHttp

TOKEN = "s.a-token-that-nobody-may-see"


@pytest.fixture
def server():
    running = StubHttp(b'{"data": {"key": "sk-canary"}}')
    yield running
    running.close()


async def test_a_read_carries_token_and_namespace_and_gives_the_answer(server):
    wire = Wire(server.url + "/", None, namespace="team/a")
    assert await wire.ask("GET", "secret/data/x", token=Secret(TOKEN)) == {"data": {"key": "sk-canary"}}
    (asked,) = server.asked
    assert (asked.method, asked.path, asked.body) == ("GET", "/v1/secret/data/x", b"")
    assert asked.headers["x-vault-token"] == TOKEN
    assert asked.headers["x-vault-namespace"] == "team/a"
    assert asked.headers["x-vault-request"] == "true"


async def test_a_login_carries_no_token_and_its_wish(server):
    await Wire(server.url, None).ask("POST", "auth/approle/login", wish={"role_id": "r"})
    (asked,) = server.asked
    assert (asked.method, json.loads(asked.body)) == ("POST", {"role_id": "r"})
    assert not {"x-vault-token", "x-vault-namespace"} & asked.headers.keys()


async def test_no_content_is_an_empty_answer(server):
    server.status = 204
    assert await Wire(server.url, None).ask("POST", "auth/token/revoke-self", wish={}) == {}


BAD = {
    "forbidden": (403, b'{"errors": ["permission denied sk-canary"]}', 403, False),
    "nothing there": (404, b"", 404, False),
    "too often": (429, b"", 429, True),
    "sealed": (503, b'{"errors": ["Vault is sealed"]}', 503, True),
    "elsewhere": (307, b"", 307, False),
    "no JSON": (200, b"<html>sk-canary", 0, True),
    "no object": (200, b'["sk-canary"]', 0, True),
    "huge": (200, b" " * 70_000, 0, True),
}


@pytest.mark.parametrize("case", BAD)
async def test_every_bad_answer_is_an_error_that_tells_no_secret(server, case):
    server.status, server.body, status, away = BAD[case]
    with pytest.raises(VaultError) as failed:
        await Wire(server.url, None).ask("GET", "secret/data/x", token=Secret(TOKEN))
    assert (failed.value.status, failed.value.away) == (status, away)
    told = repr(failed.value) + repr(failed.value.__cause__)
    assert "canary" not in told
    assert TOKEN not in told
    assert len(server.asked) == 1, "no redirect is followed"


async def test_a_vault_that_does_not_answer_is_left_in_time(server):
    server.held.clear()
    with pytest.raises(VaultError, match="no answer within") as failed:
        await Wire(server.url, None, deadline_s=0.05).ask("GET", "secret/data/x")
    assert failed.value.away


async def test_a_vault_that_is_not_there_is_away(server):
    server.close()
    with pytest.raises(VaultError, match="ConnectError") as failed:
        await Wire(server.url, None).ask("GET", "secret/data/x")
    assert failed.value.away


def test_https_needs_certificates():
    with pytest.raises(ValueError, match="certificates"):
        Wire("https://vault.example", None)
