"""Which hosts a URL may name, and which of them are this machine."""

import pytest

from gateway.policy.host import bad_host, is_loopback


@pytest.mark.parametrize("host", ["api.example.com", "localhost", "10.0.0.7", "a" * 63 + ".example"])
def test_names_and_addresses_of_servers_are_fine(host):
    assert bad_host(host, v6=False) == ""


@pytest.mark.parametrize("host", ["169.254.169.254", "224.0.0.1", "0.0.0.0", "a..b", "-a", "1.2.3", "0x7f", "a" * 254])
def test_nobodys_and_the_clouds_own_are_not(host):
    assert bad_host(host, v6=False)


def test_a_name_in_brackets_is_none():
    assert bad_host("::1", v6=True) == ""
    assert bad_host("localhost", v6=True)


def test_only_what_cannot_leave_counts_as_this_machine():
    assert [
        each
        for each in ("127.0.0.1", "127.9.9.9", "::1", "localhost", "localhost.example", "10.0.0.1")
        if is_loopback(each)
    ] == [
        "127.0.0.1",
        "127.9.9.9",
        "::1",
        "localhost",
    ]
