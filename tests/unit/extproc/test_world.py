"""What exchanges look up: credentials by reference, taken up anew on reload, never lost by a slip."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from extproc.world import Book
from gateway.policy.model import Credential
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


def test_a_providers_refusal_goes_to_the_vault_alone(held):
    stored = replace(held, backends={"demo": replace(held.backends["demo"], credential=Credential(vault=PLACE))})
    vault = FakeCredentials()
    book = Book(PolicyStore(stored), vault=vault)
    book.refused(stored, "demo")
    book.refused(held, "demo")
    book.refused(held, "unknown")
    assert vault.told == [PLACE]


def test_a_policy_is_found_by_its_version_only(held):
    book = Book(PolicyStore(held))
    assert book.policy("p-test") is held
    assert book.policy("p-other") is None


def test_guards_are_compiled_once_for_each_tenant_and_direction(held):
    book = Book(PolicyStore(held))
    tenant = held.tenants["acme"]
    assert book.guard(held, tenant, "request") is book.guard(held, tenant, "request")
    assert book.guard(held, tenant, "request") is not book.guard(held, tenant, "response")
