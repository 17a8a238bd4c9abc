"""The `urls` block: lists of hosts, and what is no host."""

import pytest

from gateway.policy.field import Table
from gateway.policy.model import Urls
from gateway.policy.problem import PolicyError, Problems
from gateway.policy.tree import parse
from gateway.policy.urls import read_urls


def read(text):
    problems = Problems()
    urls = read_urls(Table(parse(text, "t.yaml", problems), ("urls",), problems), problems)
    problems.stop_if_any()
    return urls


def test_lists_are_read_and_may_be_missing():
    wanted = Urls(allow=frozenset({"example.com", "*.example.com"}), deny=frozenset({"*"}))
    assert read('{allow: [example.com, "*.example.com"], deny: "*"}') == wanted
    assert not read("{}")
    assert read("deny: [b\u00fccher.example]")


@pytest.mark.parametrize(
    "host", ["https://example.com", "example.com/", "example.com:443", "a*.com", ".", "a b", "u@h", '"**"']
)
def test_what_is_no_host_is_refused(host):
    with pytest.raises(PolicyError, match="expected a host"):
        read(f"deny: [{host!r}]".replace("'\"", "'").replace("\"'", "'"))


def test_a_host_on_both_lists_is_refused():
    with pytest.raises(PolicyError, match="allowed too"):
        read("{allow: [a.com], deny: [a.com]}")
