"""Addresses in networks."""

import pytest

from authz.cidr import any_holds


@pytest.mark.parametrize(
    ("cidrs", "address", "held"),
    [
        (("192.0.2.0/24",), "192.0.2.7", True),
        (("192.0.2.0/24",), "198.51.100.7", False),
        (("198.51.100.0/24", "192.0.2.7/32"), "192.0.2.7", True),
        (("192.0.2.0/24",), "::ffff:192.0.2.7", True),
        (("2001:db8::/32",), "2001:db8::1", True),
        (("2001:db8::/32",), "192.0.2.7", False),
        (("0.0.0.0/0",), "", False),
        (("0.0.0.0/0",), "no address", False),
        ((), "192.0.2.7", False),
    ],
)
def test_an_address_lies_in_a_network_or_does_not(cidrs, address, held):
    assert any_holds(cidrs, address) is held
