"""Keys of a policy: which models and networks they are limited to. Their other fields are in test_load.py."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.key import network_fault
from gateway.policy.load import load
from gateway.policy.model import Key
from gateway.policy.problem import PolicyError

FILES = {
    "policy.yaml": "name: test\n",
    "tenants.yaml": "acme:\n  models: '*'\n  routes: '*'\n",
    "backends.yaml": "demo:\n  url: http://127.0.0.1:8091\n",
    "models.yaml": "gpt: demo\nllama: demo\n",
}
KEY = f"abcdefghijkl:\n  tenant: acme\n  principal: alice\n  digest: {'0123456789abcdef' * 4}\n  pepper: v1\n"


def read(directory, fields: str) -> Key:
    for name, text in (FILES | {"keys.yaml": KEY + fields}).items():
        (directory / name).write_text(text)
    return load(directory, rules=()).keys["abcdefghijkl"]


def test_without_a_word_a_key_may_use_the_tenants_models_from_anywhere(tmp_path):
    key = read(tmp_path, "")
    assert (key.models, key.cidrs) == (frozenset(), ())


def test_models_and_networks_are_read(tmp_path):
    key = read(tmp_path, "  models: [gpt, llama]\n  cidrs: [2001:db8::/32, 192.0.2.0/24, 192.0.2.7/32, 192.0.2.7/32]\n")
    assert key.models == {"gpt", "llama"}
    assert key.cidrs == ("192.0.2.0/24", "192.0.2.7/32", "2001:db8::/32")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("  models: [gtp]", 'keys.yaml:6:12: abcdefghijkl.models.[0]: unknown model "gtp"; did you mean "gpt"?'),
        ("  models: '*'", "abcdefghijkl.models.[0]: expected a model name"),
        # An empty list reads like "none" and would mean "all".
        ("  models: []", "abcdefghijkl.models: empty; leave it out for all models of the tenant"),
        ("  cidrs: []", "abcdefghijkl.cidrs: empty; leave it out for every address"),
        ("  cidrs: [192.0.2.1/24]", "abcdefghijkl.cidrs.[0]: bits are set beyond the prefix"),
        ("  cidrs: [192.0.2.1]", "abcdefghijkl.cidrs.[0]: expected a network such as"),
        ("  cidrs: [192.0.2.0/33]", "abcdefghijkl.cidrs.[0]: expected a network such as"),
        ("  cidrs: ['2001:DB8::/32']", "abcdefghijkl.cidrs.[0]: expected a network such as"),
        ("  cidrs: ['2001:db8:0::/32']", "did you mean 2001:db8::/32?"),
        ("  cidrs: ['::ffff:c000:200/120']", "an IPv4 network is written as such"),
        ("  cidrs: [" + ", ".join(f"10.0.{n}.0/24" for n in range(65)) + "]", "more than 64 networks"),
        ("  cidr: 192.0.2.0/24", 'unknown field "cidr"; did you mean "cidrs"?'),
    ],
)
def test_each_mistake_is_told_with_its_place(tmp_path, fields, expected):
    with pytest.raises(PolicyError) as caught:
        read(tmp_path, fields)
    assert any(expected in str(problem) for problem in caught.value.problems), caught.value.problems


@given(st.ip_addresses(v=4), st.integers(0, 32))
def test_every_ipv4_network_in_its_own_spelling_is_allowed(address, prefix):
    assert not network_fault(str(ipaddress.ip_network((address, prefix), strict=False)))


@given(st.text(max_size=60))
def test_whatever_is_let_through_is_a_network_that_can_be_compared_with(text):
    if not network_fault(text):
        assert str(ipaddress.ip_network(text)) == text
