"""What exchanges look up: credentials by reference, taken up anew on reload, never lost by a slip."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

import aws
from extproc.world import Book
from gateway.policy.model import Credential, Grant, ManagedSecret, Signing, VaultSecret
from gateway.policy.store import PolicyStore
from gateway.secrets.reference import Secret
from vaulting import PLACE
from worlds import policy


@pytest.fixture
def held(tmp_path):
    key = tmp_path / "demo.key"
    key.write_text("first-key\n")
    key.chmod(0o600)
    return replace(policy(), credential_dir=str(tmp_path))


def test_a_credential_is_read_with_its_prefix_and_a_rotated_one_is_taken_up_on_reload(held, tmp_path):
    book = Book(PolicyStore(held))
    book.warm(held)
    assert book.value(held, "demo") == "Bearer first-key"
    (tmp_path / "demo.key").write_text("second-key\n")
    assert book.value(held, "demo") == "Bearer first-key"
    book.warm(held)
    assert book.value(held, "demo") == "Bearer second-key"


_WARM = """
from dataclasses import replace
import sys
from extproc.counting.tokenizer import loaded
import aws
from extproc.world import Book
from gateway.budgets.model import PER_DAY, Dimension, Limit, Resource
from gateway.policy.model import Budget
from gateway.policy.store import PolicyStore
from worlds import policy

limit = Limit("day", (Dimension.TENANT,), Resource(sys.argv[1]), 5, PER_DAY)
held = policy()
tenants = {name: replace(one, budgets=Budget(limits=(limit,))) for name, one in held.tenants.items()}
held = replace(held, tenants=tenants)
Book(PolicyStore(held)).warm(held)
print(loaded(next(iter(held.models))))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("resource", "loads"), [("requests", "False"), ("tokens", "True")])
def test_a_tokenizer_is_loaded_only_where_a_budget_needs_it(resource, loads):
    """In a process of its own: tables stay loaded."""
    path = os.pathsep.join(sys.path)
    told = subprocess.run(
        [sys.executable, "-c", _WARM, resource], env={"PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    assert told.stdout.splitlines()[-1] == loads


def test_a_credential_that_cannot_be_read_any_more_keeps_its_last_value(held, tmp_path):
    book = Book(PolicyStore(held))
    book.warm(held)
    (tmp_path / "demo.key").unlink()
    book.warm(held)
    assert book.value(held, "demo") == "Bearer first-key"


def test_a_backend_without_readable_credential_is_not_ready(held, tmp_path):
    (tmp_path / "demo.key").chmod(0o644)
    book = Book(PolicyStore(held))
    book.warm(held)
    assert not book.ready(held, "demo")
    assert not book.ready(held, "unknown")
    open_backend = replace(held.backends["demo"], credential=None)
    free = replace(held, backends={"demo": open_backend})
    assert book.ready(free, "demo")


GRANT = Grant(kind="google", token_url="https://oauth2.example/token", scope="s", proof="account", file="account.json")


class FakeCredentials:
    """A vault that holds one value."""

    def __init__(self):
        self.text = "sk-vault"
        self.told = []

    def secret(self, policy, place):
        return Secret(self.text) if self.text and place == PLACE else None

    def refused(self, policy, place):
        self.told.append(place)


def test_a_credential_in_the_vault_is_asked_for_each_time_and_without_it_the_backend_is_not_ready(held):
    credential = Credential(vault=PLACE)
    stored = replace(held, backends={"demo": replace(held.backends["demo"], credential=credential)})
    vault = FakeCredentials()
    book = Book(PolicyStore(stored), vault=vault)
    book.warm(stored)
    assert book.value(stored, "demo") == "Bearer sk-vault"
    vault.text = "sk-rotated"
    assert book.value(stored, "demo") == "Bearer sk-rotated"
    vault.text = ""
    assert not book.ready(stored, "demo")
    assert not Book(PolicyStore(stored)).ready(stored, "demo")


class FakeTokens:
    """A cloud whose token a test decides."""

    def __init__(self):
        self.text = "ya29.one"
        self.told = []

    def token(self, policy, grant):
        return Secret(self.text) if self.text and grant == GRANT else None

    def token_refused(self, policy, grant):
        self.told.append(grant)


def test_a_clouds_token_is_a_bearers_of_its_moment_and_a_refusal_is_told(held):
    stored = replace(held, backends={"demo": replace(held.backends["demo"], credential=Credential(grant=GRANT))})
    cloud = FakeTokens()
    book = Book(PolicyStore(stored), vault=cloud)
    book.warm(stored)
    assert book.value(stored, "demo") == "Bearer ya29.one"
    cloud.text = "ya29.two"
    assert book.value(stored, "demo") == "Bearer ya29.two"
    cloud.text = ""
    assert not book.ready(stored, "demo")
    assert not Book(PolicyStore(stored)).ready(stored, "demo")
    book.refused(stored, "demo")
    assert cloud.told == [GRANT]


def test_a_providers_refusal_goes_to_the_vault_alone(held):
    stored = replace(held, backends={"demo": replace(held.backends["demo"], credential=Credential(vault=PLACE))})
    vault = FakeCredentials()
    book = Book(PolicyStore(stored), vault=vault)
    book.refused(stored, "demo")
    book.refused(held, "demo")
    book.refused(held, "unknown")
    assert vault.told == [PLACE]


def signing(held, **where):
    credential = Credential(aws=Signing(region="eu-west-1", **where))
    return replace(held, backends={"demo": replace(held.backends["demo"], dialect="bedrock", credential=credential)})


def test_keys_that_sign_are_read_from_one_line_and_no_header_holds_them(held, tmp_path):
    signed = signing(held, file="demo.key")
    book = Book(PolicyStore(signed))
    book.warm(signed)
    assert not book.ready(signed, "demo")  # a line that holds another credential
    (tmp_path / "demo.key").write_text(f"{aws.KEY_ID}:{aws.SECRET}:token\n")
    book.warm(signed)
    key = book.aws_key(signed, "demo")
    assert (key.id, key.secret.reveal(), key.token.reveal()) == (aws.KEY_ID, aws.SECRET, "token")
    assert book.value(signed, "demo") == ""
    assert book.aws_key(held, "demo") is None
    assert book.aws_key(held, "unknown") is None


PARTS = tuple(VaultSecret(path="aws/creds/llm", field=name) for name in ("access_key", "secret_key", "session_token"))


class Places:
    """A vault that holds a value for each field."""

    def __init__(self, **values):
        self.values = values
        self.told = []

    def secret(self, policy, place):
        return Secret(self.values[place.field]) if place.field in self.values else None

    def refused(self, policy, place):
        self.told.append(place.path)


@pytest.mark.parametrize("named", [2, 3], ids=["stored", "temporary"])
def test_keys_that_sign_come_from_the_vault_whole_or_not_at_all(held, named):
    signed = signing(held, vault=PARTS[:named])
    vault = Places(access_key=aws.KEY_ID, secret_key=aws.SECRET, session_token="token")
    book = Book(PolicyStore(signed), vault=vault)
    book.warm(signed)
    key = book.aws_key(signed, "demo")
    assert (key.id, key.secret.reveal()) == (aws.KEY_ID, aws.SECRET)
    assert (key.token is not None) is (named == 3)
    book.refused(signed, "demo")
    assert vault.told == ["aws/creds/llm"]
    for field in PARTS[:named]:
        rest = {name: value for name, value in vault.values.items() if name != field.field}
        assert not Book(PolicyStore(signed), vault=Places(**rest)).ready(signed, "demo")
    assert not Book(PolicyStore(signed)).ready(signed, "demo")


def test_a_policy_is_found_by_its_version_only(held):
    book = Book(PolicyStore(held))
    assert book.policy("p-test") is held
    assert book.policy("p-other") is None


def test_guards_are_compiled_once_for_each_tenant_and_direction(held):
    book = Book(PolicyStore(held))
    tenant = held.tenants["acme"]
    assert book.guard(held, tenant, "request") is book.guard(held, tenant, "request")
    assert book.guard(held, tenant, "request") is not book.guard(held, tenant, "response")


def test_a_secret_of_the_secrets_manager_is_the_headers_value_and_its_refusal_reaches_who_keeps_it(held):
    place = ManagedSecret(path="llm/main", field="key")
    backend = replace(held.backends["demo"], credential=Credential(secrets_manager=place))
    managed = replace(held, backends={"demo": backend})
    kept = Places()
    book = Book(PolicyStore(managed), vault=kept)
    assert not book.ready(managed, "demo")
    kept.values["key"] = "sk-1"
    assert book.value(managed, "demo") == "Bearer sk-1"
    book.refused(managed, "demo")
    assert kept.told == ["llm/main"]
    assert Book(PolicyStore(managed)).value(managed, "demo") is None
