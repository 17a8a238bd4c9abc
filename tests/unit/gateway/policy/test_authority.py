"""The authority of a backend, as RFC 9110 section 7.2 writes it."""

import pytest

from gateway.policy.model import Backend


@pytest.mark.parametrize(
    ("host", "port", "tls", "expected"),
    [
        ("api.example", 443, True, "api.example"),
        ("api.example", 8443, True, "api.example:8443"),
        ("::1", 80, False, "[::1]"),
        ("10.0.0.1", 443, False, "10.0.0.1:443"),
    ],
)
def test_authority_names_the_port_only_where_it_is_not_the_schemes_own(host, port, tls, expected):
    assert Backend(name="b", host=host, port=port, tls=tls).authority == expected
