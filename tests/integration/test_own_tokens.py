"""Tokens of our own token service on a running gateway: what the registry says about key and account counts at once.

The registry is written here as `control` writes it, so that keys can be withdrawn and accounts changed at any moment.
"""

import asyncio
import time
from dataclasses import replace

import orjson
import pytest

import issuing
import valkey_server
from asking import CHAT, chat
from gateway.registry import accounts, verifying
from gateway.registry.accounts import Account, Method, Secret
from gateway.registry.model import Change, Sort
from gateway.registry.seal import Seals
from gateway.registry.valkey import ValkeyRegistry
from gateway.registry.verifying import VerifyingKey
from gateway.secrets import reference
from gateway.valkey import connect
from stack import Options, Stack, until

ISSUER = "https://gateway.example"
AUDIENCE = "ostiary"
WORKERS = 2
ACCOUNT = Account(
    client_id="batch",
    tenant="narrow",
    principal="batch-job",
    method=Method.SECRET,
    scopes=("chat",),
    secrets=(Secret(digest="0" * 64, pepper="v1", created_at=1),),
    created_at=1,
    created_by="tester",
)
MEMBERS = ("kty", "crv", "x", "y", "n", "e")


class House:
    """A stack whose policy has a token service, and the registry that speaks for it."""

    def __init__(self, root, upstreams):
        self.url = f"unix://{root / valkey_server.SOCKET}"
        self.stack = Stack(root, upstreams, Options(workers=WORKERS, settings={"OSTIARY_VALKEY_URL": self.url}))
        self.seals = Seals(reference.peppers(self.stack.bundle.peppers))
        file = self.stack.bundle.directory / "policy.yaml"
        service = {"issuer": ISSUER, "audience": AUDIENCE}
        file.write_bytes(orjson.dumps(orjson.loads(file.read_bytes()) | {"token_service": service}))

    def tell(self, *changes):
        async def apply():
            client = connect(self.url, retries=0)
            try:
                await ValkeyRegistry(client, self.seals).apply(changes)
            finally:
                await client.aclose()

        asyncio.run(apply())

    def key(self, algorithm="ES256"):
        now_s = int(time.time())
        members = {name: value for name, value in issuing.jwk(algorithm).items() if name in MEMBERS}
        key = VerifyingKey(
            kid=algorithm.lower(), algorithm=algorithm, jwk=members, not_before=now_s - 60, not_after=now_s + 3600
        )
        self.tell(Change(Sort.VERIFYING, key.kid, verifying.write(key)))

    def withdraw(self, algorithm="ES256"):
        self.tell(Change(Sort.VERIFYING, algorithm.lower(), None))

    def account(self, **changes):
        self.tell(Change(Sort.ACCOUNT, "batch", accounts.write(replace(ACCOUNT, **changes))))

    def post(self, token):
        return self.stack.client("").post(CHAT, chat("hello"), [("authorization", f"Bearer {token}")])

    def refused_by_all(self, token, reason):
        """Until every worker refuses it."""
        self.stack.everywhere("a refusal", lambda: self.post(token), lambda answer: answer.status == 401)
        answer = self.post(token)
        assert (answer.status, answer.code) == (401, "credential_invalid")
        assert self.stack.record(answer)["reason"] == f"token: {reason} (token service)"

    def let_in_by_all(self, token):
        self.stack.everywhere("consent", lambda: self.post(token), lambda answer: answer.status == 200)


@pytest.fixture(scope="module")
def house(short_dir, upstreams):
    root = short_dir()
    with valkey_server.running(root):
        made = House(root, upstreams)
        with made.stack:
            yield made


@pytest.fixture
def token(house):
    """A token that every worker has let in, and so remembers."""
    house.key()
    house.account()
    made = ours()
    house.let_in_by_all(made)
    return made


def ours(algorithm="ES256", **changes):
    now_s = int(time.time())
    times = {"iat": now_s, "nbf": now_s, "exp": now_s + 300, "jti": f"{algorithm}-{now_s}"}
    return issuing.token(algorithm, **{"iss": ISSUER, "aud": AUDIENCE, "sub": "batch", **times, **changes})


def test_before_there_is_a_key_its_tokens_are_refused_as_a_fault_of_ours(house):
    house.withdraw()
    answer = until("no keys", lambda: (said := house.post(ours())).status == 503 and said)
    assert answer.code == "issuer_unavailable"


def test_tenant_and_principal_are_the_accounts(house, token):
    record = house.stack.record(house.post(ours(tenant="acme", sub="root", jti="claims-acme")))
    assert (record["tenant"], record["principal"]) == ("narrow", "batch-job")
    assert record["key_id"].startswith("jwt:")


@pytest.mark.parametrize(
    ("changes", "reason"), [({"disabled": True}, "disabled account"), ({"expires_at": 1}, "expired account")]
)
def test_a_changed_account_counts_at_once_for_remembered_tokens(house, token, changes, reason):
    house.account(**changes)
    house.refused_by_all(token, reason)
    house.account()
    house.let_in_by_all(token)


def test_a_removed_account_takes_its_tokens_along(house, token):
    house.tell(Change(Sort.ACCOUNT, "batch", None))
    house.refused_by_all(token, "unknown account")


def test_a_rotation_refuses_nobody_and_a_withdrawn_key_counts_nowhere(house, token):
    house.key("RS256")
    newer = ours("RS256")
    house.let_in_by_all(newer)
    assert house.post(token).status == 200
    house.withdraw("ES256")
    house.refused_by_all(token, "unknown kid")
    assert house.post(newer).status == 200
    house.withdraw("RS256")


def test_a_key_that_nobody_of_ours_wrote_counts_nowhere(house, token):
    """Whoever can write to Valkey and holds no pepper cannot seal an entry."""
    ours_only = house.seals
    house.seals = Seals({"v1": bytes(32)})
    try:
        house.key("RS256")
    finally:
        house.seals = ours_only
    assert [house.post(ours("RS256")).status for _ in range(6 * WORKERS)] == [401] * (6 * WORKERS)
    assert house.post(token).status == 200
