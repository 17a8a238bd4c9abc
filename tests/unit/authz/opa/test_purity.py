"""Functions by name: everything that OPA has is either allowed or refused, and nothing else is either."""

import shutil
import subprocess

import orjson
import pytest

from authz.opa import purity
from authz.opa.input import VALUES

#: `opa capabilities --current` of 1.20.2 counts this many; a new version makes somebody look.
KNOWN = 206


def test_nothing_is_both_allowed_and_refused():
    assert not purity.ALLOWED & purity.REFUSED.keys()
    assert len(purity.ALLOWED) + len(purity.REFUSED) == KNOWN


def test_what_opa_calls_nondeterministic_is_refused():
    named = {"http.send", "io.jwt.decode_verify", "io.jwt.encode_sign", "io.jwt.encode_sign_raw", "net.lookup_ip_addr"}
    assert named | {"opa.runtime", "rand.intn", "time.now_ns", "uuid.rfc4122"} <= purity.REFUSED.keys()


@pytest.mark.skipif(shutil.which("opa") is None, reason="no `opa` on the PATH to tell its functions")
def test_every_function_of_opa_is_listed():
    told = orjson.loads(subprocess.run(["opa", "capabilities", "--current"], check=True, capture_output=True).stdout)
    assert {each["name"] for each in told["builtins"]} == purity.ALLOWED | purity.REFUSED.keys()
    assert {each["name"] for each in told["builtins"] if each.get("nondeterministic")} <= purity.REFUSED.keys()


def test_the_input_document_has_the_fields_that_rego_may_read():
    assert {*VALUES, "time", "version"} == purity.INPUT


@pytest.mark.parametrize(
    ("part", "lost"),
    [
        ("", False),
        ("caller", False),
        ("caller.tenant", False),
        ("caller.scopes.0", False),
        ("caller.tenants", True),
        ("headers", True),
        ("request.headers", True),
    ],
)
def test_a_part_that_the_document_never_has_is_known(part, lost):
    assert purity.missing(part) is lost


def test_a_branch_depends_on_all_its_leaves():
    assert purity.leaves("source") == {"source.address"}
    assert purity.leaves("") == purity.INPUT
    assert purity.leaves("caller.scopes.0") == {"caller.scopes"}


def test_a_tree_of_any_depth_is_walked():
    tree = {"type": "ref", "value": [{"type": "var", "value": "http"}, {"type": "string", "value": "send"}]}
    for _ in range(100_000):
        tree = {"type": "array", "value": [tree]}
    assert [each.dotted for each in purity.mentions(tree)] == ["http.send"]
    while isinstance(tree := tree["value"][0], dict) and tree["type"] == "array":
        pass  # taken apart level by level: freeing it at once would recurse in C
