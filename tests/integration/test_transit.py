"""Signing keys under a real OpenBao: its transit engine wraps them, for a token that may do nothing else."""

import contextlib
from dataclasses import replace

import pytest

import openbao
import valkey_server
from authz_case import PEPPERS
from clocks import ManualClock
from control.oauth import token
from control.oauth.token import Grant
from control.signing import SCHEDULE, Signing, SigningError
from control.transit import Transit
from control.wrapper import WrapError
from gateway.registry.model import Sort
from gateway.registry.seal import Seals
from gateway.registry.valkey import ValkeyRegistry
from oauth_case import HERE, NOW_S, SERVICE

pytestmark = pytest.mark.slow
KEY = "ostiary"
#: What docs/identity.md tells operators to write.
RULES = f"""
path "transit/encrypt/{KEY}" {{ capabilities = ["update"] }}
path "transit/decrypt/{KEY}" {{ capabilities = ["update"] }}
"""
PLAIN = b'{"kty":"EC","d":"the private part"}'


@pytest.fixture(scope="module")
def bao(tmp_path_factory):
    with openbao.running(tmp_path_factory.mktemp("bao")) as running:
        running.call("sys/mounts/transit", {"type": "transit"})
        running.call(f"transit/keys/{KEY}", {"type": "aes256-gcm96"})
        running.call("sys/policies/acl/ostiary-control", {"policy": RULES})
        yield running


@pytest.fixture
def transit(bao, tmp_path):
    made = bao.call("auth/token/create", {"policies": ["ostiary-control"], "no_default_policy": True, "ttl": "10m"})
    file = tmp_path / "token"
    file.touch(0o600)
    file.write_text(made["auth"]["client_token"])
    return Transit(bao.url, KEY, file, None)


@pytest.fixture
async def registry(tmp_path):
    with valkey_server.running(tmp_path) as running:
        client = running.client()
        yield ValkeyRegistry(client, Seals(PEPPERS.secrets))
        await client.aclose()


async def test_what_is_wrapped_is_unwrapped_and_nothing_is_readable(transit):
    wrapped = await transit.wrap("kid-1", PLAIN)
    assert await transit.unwrap("kid-1", wrapped) == PLAIN
    assert transit.is_current(wrapped)
    assert "private" not in wrapped


async def test_the_vault_refuses_a_wrapped_key_under_another_name(transit):
    with pytest.raises(WrapError, match="decrypt was answered 400"):
        await transit.unwrap("kid-2", await transit.wrap("kid-1", PLAIN))


async def test_the_token_may_do_nothing_else(bao, transit, tmp_path):
    limited = replace(bao, token=(tmp_path / "token").read_text())
    for path in (f"transit/export/encryption-key/{KEY}", f"transit/keys/{KEY}", "transit/decrypt/other"):
        with pytest.raises(OSError, match="403"):
            limited.call(path)


async def test_after_a_rotation_of_the_transit_key_old_texts_unwrap_and_new_ones_are_newer(bao, transit):
    old = await transit.wrap("kid-1", PLAIN)
    bao.call(f"transit/keys/{KEY}/rotate", {})
    new = await transit.wrap("kid-1", PLAIN)
    assert await transit.unwrap("kid-1", old) == await transit.unwrap("kid-1", new) == PLAIN
    assert int(new.split(":")[1][1:]) == int(old.split(":")[1][1:]) + 1


async def test_a_token_that_was_taken_back_is_an_error_and_a_new_one_counts_at_once(bao, transit, tmp_path):
    wrapped = await transit.wrap("kid-1", PLAIN)
    bao.call("auth/token/revoke", {"token": (tmp_path / "token").read_text()})
    with pytest.raises(WrapError, match="decrypt was answered 403") as failed:
        await transit.unwrap("kid-1", wrapped)
    assert (tmp_path / "token").read_text() not in repr(failed.value)
    made = bao.call("auth/token/create", {"policies": ["ostiary-control"], "ttl": "10m"})
    (tmp_path / "token").write_text(made["auth"]["client_token"])
    assert await transit.unwrap("kid-1", wrapped) == PLAIN


async def test_signing_keys_live_in_valkey_wrapped_and_a_restart_signs_with_the_same_one(transit, registry):
    clock = ManualClock(now=NOW_S)
    first = Signing(registry, transit, clock)
    await first.tend(SERVICE)
    stored = {entry.id: entry.value for entry in await registry.list(Sort.SIGNING)}
    assert all(b"vault:v" in value for kid, value in stored.items() if kid != SCHEDULE)
    second = Signing(registry, transit, clock)
    await second.tend(SERVICE)
    grant = Grant(
        client_id="svc-1", scopes=("chat",), audience="llm", issued_at=int(NOW_S), ends_at=int(NOW_S) + 300, jti="j"
    )
    text = token.mint(grant, HERE, second.signer())
    assert token.read(text, SERVICE, first.key_set()) == grant
    assert second.signer().kid == first.signer().kid


async def test_while_the_vault_is_away_a_running_control_signs_and_a_new_one_cannot(bao, transit, registry, tmp_path):
    clock = ManualClock(now=NOW_S)
    running = Signing(registry, transit, clock)
    await running.tend(SERVICE)
    away = Transit("http://127.0.0.1:1", KEY, tmp_path / "token", None)
    fresh = Signing(registry, away, clock)
    await fresh.tend(SERVICE)
    assert len(fresh.published()) == 2  # what others signed is still verified
    with pytest.raises(SigningError):
        fresh.signer()
    running._wrapper = away
    clock.advance(SERVICE.rotate_s)
    with contextlib.suppress(WrapError):  # the key after the next one is due, and must wait
        await running.tend(SERVICE)
    assert running.signer().sign(b"text")
