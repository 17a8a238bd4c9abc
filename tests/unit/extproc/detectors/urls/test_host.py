"""Hosts of URLs: as browsers read them, on which list, and for whom they pass."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.detectors.urls.host import Hosts, canonical
from gateway.policy.model import Urls
from linking import rules


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.com/a", "http://evil.com", "HTTPS://EVIL.COM/", "https://www.evil.com", "https://a.b.evil.com:8443/x",
        "https://user@evil.com/", "https://example.com@evil.com", "https://evil.com.", "https:\\\\evil.com", "http:/evil.com/x",
        "https://ev%69l.com/", "https://evil&#46;com/", "https://\uff45\uff56\uff49\uff4c.com/", "https://evil\u3002com/x",
        "www.evil.com", "http://db.internal/x", "https://evil\\.com/", "https://\u043f\u0440\u0438\u043c\u0435\u0440.example/",
        "https://evil.com?d=1", "https://evil.com#d", "https://" + "u" * 500 + "@example.org",
    ],
)  # fmt: skip
def test_a_denied_host_is_found_however_a_browser_would_get_there(url):
    assert "url.forbidden" in rules(f"see {url} now")
    assert "url.forbidden" in rules(f"[x]({url})")


@pytest.mark.parametrize(
    "url",
    [
        "https://good.evil.com/",
        "https://notevil.com",
        "https://evil.company",
        "https://example.com/evil.com",
        "//evil.com",
    ],
)
def test_other_hosts_are_not_denied(url):
    assert "url.forbidden" not in rules(f"see {url} now")


def test_the_most_specific_line_decides():
    hosts = Hosts(Urls(allow=frozenset({"*.a.com", "x.b.com"}), deny=frozenset({"*", "y.a.com", "*.b.com"})))
    assert [hosts.denied(name) for name in ("z.a.com", "y.a.com", "x.b.com", "b.com", "c.org")] == [
        False, True, False, True, True,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "url",
    [
        "https://\u0440aypal.com", "https://www.paypa1.com/login", "https://rnicrosoft.com", "https://\u0430\u0440\u0440\u04cf\u0435.com",
        "https://xn--80ak6aa92e.com/", "https://rnybank.de", "https://g\u03bf\u03bfgle.example", "https://login.g00gle.com/",
    ],
)  # fmt: skip
def test_a_name_that_passes_for_another_is_found(url):
    assert "url.homograph" in rules(url)


@pytest.mark.parametrize(
    "url",
    ["https://paypal.com", "https://m\u00fcller.de", "https://\u043f\u0440\u0438\u043c\u0435\u0440.\u0440\u0444", "https://mybank.de", "https://xn--mller-kva.de", "https://goggle.com"],
)  # fmt: skip
def test_a_name_of_its_own_is_not(url):
    assert "url.homograph" not in rules(url)


@given(st.text(max_size=80))
def test_any_name_has_one_form(name):
    assert canonical(canonical(name)) == canonical(name) or "xn--" in canonical(name)
