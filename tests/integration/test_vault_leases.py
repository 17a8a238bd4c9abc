"""Leased secrets of a real OpenBao: users of a real Valkey, made for a few seconds, renewed, replaced, never missing."""

import asyncio
import random
import secrets
import time

import pytest
from redis.asyncio import Redis

import openbao
import valkey_server
import vaulted
from gateway.clock import SystemClock
from gateway.policy.model import Vault, VaultAuth, VaultSecret
from gateway.vault.keeper import Keeper
from gateway.vault.session import Session
from ports import free_port
from stack import POLL_S

pytestmark = pytest.mark.slow
USER = VaultSecret(path="database/creds/gw", field="username")
PASSWORD = VaultSecret(path="database/creds/gw", field="password")
TTL_S, LONGEST_S = 4, 7
RULES = vaulted.RULES + 'path "database/creds/gw" { capabilities = ["read"] }\n'


def users_of_valkey(bao: openbao.Bao, port: int, password: str) -> None:
    """The database engine, with a role whose users live for seconds."""
    bao.call("sys/mounts/database", {"type": "database"})
    config = {"plugin_name": "valkey-database-plugin", "allowed_roles": "*", "host": "127.0.0.1", "port": port}
    bao.call("database/config/vk", config | {"username": "default", "password": password, "persistence_mode": ""})
    statements = '["~gw:*","+@read","+@write"]'
    role = {"db_name": "vk", "creation_statements": statements, "default_ttl": f"{TTL_S}s", "max_ttl": f"{LONGEST_S}s"}
    bao.call("database/roles/gw", role)


async def test_a_leased_user_is_renewed_and_replaced_before_it_ends_and_ends_while_the_vault_is_away(tmp_path):
    port, password = free_port(), secrets.token_hex(8)
    with valkey_server.running(tmp_path, "--port", str(port), "--requirepass", password):
        with openbao.running(tmp_path) as bao:
            users_of_valkey(bao, port, password)
            token = bao.call("auth/token/create", {"policies": ["gateway"], "ttl": "10m"})
            bao.call("sys/policies/acl/gateway", {"policy": RULES})
            file = tmp_path / "token"
            file.touch(0o600)
            file.write_text(token["auth"]["client_token"])
            vault = Vault(address=bao.url, auth=VaultAuth(method="token_file", token_file="token"))
            draw = random.SystemRandom().random
            session = Session(vault, tmp_path, SystemClock(), draw)
            keeper = Keeper(session, SystemClock(), draw, stale_s=60, refresh_s=1)
            keeper.follow([USER, PASSWORD])
            keeper.start()
            assert await keeper.settled(10)
            seen = set()
            until_s = time.monotonic() + LONGEST_S + TTL_S
            while time.monotonic() < until_s:
                user, text = keeper.secret(USER), keeper.secret(PASSWORD)
                assert user is not None
                assert text is not None
                client = Redis(port=port, username=user.reveal(), password=text.reveal())
                await client.get("gw:x")
                await client.aclose()
                seen.add(user.reveal())
                await asyncio.sleep(POLL_S)
            assert 2 <= len(seen) <= 4, "renewed at times, replaced at others"
        async with asyncio.timeout(2 * LONGEST_S):
            while keeper.secret(PASSWORD) is not None:
                await asyncio.sleep(POLL_S)
        await keeper.close()
