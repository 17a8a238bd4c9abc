"""A vault's transit engine: what is asked, and that every bad answer ends in an error that tells no secret."""

import base64
import json

import pytest

from control.transit import Transit
from control.wrapper import WrapError
from stub_http import StubHttp

TOKEN = "s.a-token-that-nobody-may-see"
PLAIN = b'{"kty":"EC","d":"the private part"}'


def sealing(asked):
    """What is asked for, wrapped or unwrapped: the ciphertext is the wish itself, in base64."""
    wish = json.loads(asked.body)
    if "/encrypt/" in asked.path:
        return json.dumps({"data": {"ciphertext": f"vault:v1:{base64.b64encode(asked.body).decode()}"}}).encode()
    made = json.loads(base64.b64decode(wish["ciphertext"].split(":")[2]))
    return json.dumps({"data": {"plaintext": made["plaintext"]}}).encode()


@pytest.fixture
def vault():
    server = StubHttp(sealing)
    yield server
    server.close()


@pytest.fixture
def transit(vault, tmp_path):
    token = tmp_path / "token"
    token.write_text(TOKEN + "\n")
    token.chmod(0o600)
    return Transit(vault.url, "ostiary", token, None)


async def test_what_is_wrapped_is_unwrapped_and_the_name_goes_along(vault, transit):
    wrapped = await transit.wrap("kid-1", PLAIN)
    assert await transit.unwrap("kid-1", wrapped) == PLAIN
    assert transit.is_current(wrapped)
    assert [each.path for each in vault.asked] == ["/v1/transit/encrypt/ostiary", "/v1/transit/decrypt/ostiary"]
    assert all(each.headers["x-vault-token"] == TOKEN for each in vault.asked)
    bound = {base64.b64decode(json.loads(each.body)["associated_data"]) for each in vault.asked}
    assert bound == {b"ostiary signing key\0kid-1"}


async def test_a_renewed_token_counts_at_once(vault, transit, tmp_path):
    await transit.wrap("kid-1", PLAIN)
    (tmp_path / "token").write_text("s.renewed")
    await transit.wrap("kid-1", PLAIN)
    assert vault.asked[1].headers["x-vault-token"] == "s.renewed"


BAD = {
    "forbidden": (403, b'{"errors":["permission denied"]}'),
    "sealed": (503, b""),
    "elsewhere": (307, b""),
    "no JSON": (200, b"<html>" + TOKEN.encode()),
    "no data": (200, b"{}"),
    "no text": (200, b'{"data":{"ciphertext":1,"plaintext":1}}'),
    "not of a vault": (200, b'{"data":{"ciphertext":"x","plaintext":"*"}}'),
    "huge": (200, b" " * 70_000),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("verb", ["wrap", "unwrap"])
async def test_every_bad_answer_is_an_error_without_secrets(vault, transit, case, verb):
    vault.status, vault.body = BAD[case]
    with pytest.raises(WrapError) as failed:
        await (transit.wrap("kid-1", PLAIN) if verb == "wrap" else transit.unwrap("kid-1", "vault:v1:AAAA"))
    told = repr(failed.value) + str(failed.value.__cause__)
    assert TOKEN not in told
    assert "private" not in told
    assert len(vault.asked) == 1, "no redirect is followed, nothing is tried again"


async def test_a_plaintext_in_no_base64_at_all_is_an_error(vault, transit):
    vault.body = '{"data": {"plaintext": "\u00e9"}}'.encode()
    with pytest.raises(WrapError, match="without a plaintext"):
        await transit.unwrap("kid-1", "vault:v1:AAAA")


async def test_a_vault_that_does_not_answer_is_left_in_time(vault, tmp_path):
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    vault.held.clear()
    with pytest.raises(WrapError, match="no answer within"):
        await Transit(vault.url, "ostiary", token, None, deadline_s=0.05).wrap("kid-1", PLAIN)


async def test_a_vault_that_is_not_there_is_an_error(vault, transit):
    vault.close()
    with pytest.raises(WrapError, match="ConnectError"):
        await transit.wrap("kid-1", PLAIN)


async def test_a_token_that_everybody_may_read_is_not_sent(vault, transit, tmp_path):
    (tmp_path / "token").chmod(0o644)
    with pytest.raises(WrapError, match="open to every local user"):
        await transit.wrap("kid-1", PLAIN)
    assert vault.asked == []


async def test_what_no_vault_has_wrapped_is_not_sent(vault, transit):
    with pytest.raises(WrapError):
        await transit.unwrap("kid-1", "kek1.v1.AAAA")
    assert vault.asked == []
    assert not transit.is_current("kek1.v1.AAAA")


@pytest.mark.parametrize("key", ["", "a/b", "../sys", "a b", "k" * 65])
def test_a_key_name_is_no_path(tmp_path, key):
    with pytest.raises(ValueError, match="name"):
        Transit("http://127.0.0.1:8200", key, tmp_path, None)


def test_https_needs_certificates(tmp_path):
    with pytest.raises(ValueError, match="certificates"):
        Transit("https://vault.example", "ostiary", tmp_path, None)
