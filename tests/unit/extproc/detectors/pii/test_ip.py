"""Addresses that tell something about somebody, and versions, times and code that do not."""

from ipaddress import AddressValueError, IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extproc.detectors.pii.ip import V4, V6
from extproc.guardrails.scanner import Scanner

SCANNER = Scanner([V4, V6])


def spans(text):
    return [text[finding.start : finding.end] for finding in SCANNER.scan(text)]


@pytest.mark.parametrize(
    "address",
    [
        "203.0.113.7", "8.8.8.8", "10.0.0.1", "192.168.178.254", "1.2.3.4", "223.255.255.255", "100.64.0.0",
        "2001:db8::1", "2001:0db8:85a3:0000:0000:8a2e:0370:7334", "2001:DB8::", "fe80::1ff:fe23:4567:890a", "fd12:3456:789a::1",
        "::ffff:203.0.113.9", "64:ff9b::203.0.113.33", "2a00:1450:4001:81b::200e", "ff02::1", "2001:db8:0:0:0:0:203.0.113.33",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    ("left", "right"),
    [("", ""), (" ", " "), ("from ", ", to"), ("[", "]:443"), ("(", ")."), ("http://", "/x"), ("ip=", "&"), ("server ", "/24"),
     ("x -", "-"), ("driver: ", "\n")],
)  # fmt: skip
def test_an_address_is_found_whatever_stands_around_it(address, left, right):
    first, *inner = spans(f"{left}{address}{right}")
    assert first == address
    assert all(address.endswith(found) for found in inner)  # the version 4 address of a mapped one


def test_ports_and_zones_are_not_part_of_the_address():
    assert spans("203.0.113.7:8080") == ["203.0.113.7"]
    assert spans("fe80::1%eth0") == ["fe80::1"]
    assert spans("at 2001:db8::1: reachable") == ["2001:db8::1"]
    assert spans("203.0.113.7-203.0.113.9") == ["203.0.113.7", "203.0.113.9"]


@pytest.mark.parametrize(
    "text",
    [
        "1.2.3.4.5", "1.2.3", "v1.2.3.4", "version 1.2.3.4", "Version: 1.2.3.4", "ver. 10.0.19041.1", "release 4.3.2.1",
        "Section 3.2.1.4", "§ 1.2.3.4", "build=1.2.3.4", "lib-1.2.3.4", "256.1.1.1", "1.2.3.256", "01.2.3.4", "1.2.3.4567",
        "1.3.6.1.4.1.311", "120.0.6099.109", "127.0.0.1", "0.0.0.0", "255.255.255.0", "1.2.3.4b", "a1.2.3.4", "1..2.3.4",
        "12:34:56", "12:34:56:78", "00:1a:2b:3c:4d:5e", "02:00:5e:10:00:00:00:01", "std::vector", "a::b", "abc::def", "Foo::Bar",
        "::", "::1", "1:2:3", "12::34", "10:30::", "face::Bad", "x2001:db8::1", "2001:db8::1::2", "a:b:c:d:e:f:1:2", "{a::1}",
        "16:9:4:3:2:1:1:1", "C::C", "sha256:2001db8", "dead:beef",
    ],
)  # fmt: skip
def test_what_only_looks_like_an_address_is_not_found(text):
    assert spans(text) == []


@settings(max_examples=500, deadline=None, derandomize=True)
@given(
    st.lists(st.one_of(st.integers(0, 300).map(str), st.sampled_from(["00", "01", "", "1a"])), min_size=4, max_size=4)
)
def test_version_4_follows_the_standard_library(parts):
    text = ".".join(parts)
    try:
        address = IPv4Address(text)
    except AddressValueError:
        assert text not in spans(text)
        return
    silent = address.is_loopback or address.is_unspecified or text.startswith("255.")
    assert spans(text) == ([] if silent else [text])
