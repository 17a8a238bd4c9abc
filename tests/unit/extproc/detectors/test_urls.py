"""The rules on URLs: hosts as browsers read them, lists, look-alikes, what loads by itself, what carries data out."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import guarded
from extproc.core.escape import EscapedHoldBack
from extproc.core.holdback import HoldBack
from extproc.detectors.urls.host import Hosts, canonical
from extproc.detectors.urls.link import LINK_CHARS
from extproc.detectors.urls.rules import URLS, finds
from extproc.guardrails.guard import Guard, Tally
from extproc.guardrails.scanner import Scanner
from gateway.policy.model import Action, Mode, RuleSetting, Urls

LISTS = Urls(
    allow=frozenset({"example.com", "*.example.com", "good.evil.com", "mybank.de"}),
    deny=frozenset({"evil.com", "*.evil.com", "*.internal", "xn--e1afmkfd.example"}),
)
PLAIN = Scanner(URLS)
LISTED = PLAIN.finding_by(finds(LISTS))
ENCODED = "dGhlIHVzZXIgaXMg" * 4


def found(text, scanner=LISTED):
    return {(finding.rule, text[finding.start : finding.end]) for finding in scanner.scan(text)}


def rules(text, scanner=LISTED):
    return {rule for rule, _ in found(text, scanner)}


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
    "text", ["[x](//evil.com/a)", "[x](https:evil.com)", "<img src='//evil.com/a'>", '<a href="https:evil.com">']
)
def test_in_a_link_position_neither_scheme_nor_slashes_are_needed(text):
    assert "url.forbidden" in rules(text)


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


def test_a_list_of_allowed_hosts_makes_all_others_unknown():
    assert rules("https://example.org/") == {"url.unknown"}
    assert rules("https://docs.example.com/a?b=c#d") == set()
    assert rules("https://example.org/", PLAIN) == set()


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


@pytest.mark.parametrize(
    "text",
    [
        f"https://a.net/?d={ENCODED}", f"https://a.net/{ENCODED}", f"https://a.net/#{ENCODED}", f"[x](https://a.net/?d={ENCODED})",
        "https://a.net/c?q=the+user+said+that+her+account+number+is+on+the+way+to+us",
        "https://a.net/c?q=the%20user%20said%20that%20her%20account%20number%20is%20on%20the%20way",
        f"https://{'0123456789abcdef' * 3}.a.net/", "https://a.net/?" + "&".join(f"k{n}={'xy'[n % 2] * 9}" for n in range(20)),
        "![x](https://a.net/p.png?x)", "![a [b] c](https://a.net/p.png?x=1)", "![" + "long " * 30 + "](https://a.net/?x)",
        "[![x](https://a.net/p.png?x=1)](https://example.com)", "<img alt='a' src='https://a.net/p?x'>", "[r]: https://a.net/p?x",
        "background: url(https://a.net/p?x)", "![x]( <https://a.net/p.png?x>)", "https://a.net/" + "word-" * 60,
        "![x](//a.net/p.png?x)",
    ],
)  # fmt: skip
def test_a_url_that_carries_data_out_is_found(text):
    assert "url.exfiltration" in rules(text, PLAIN)
    assert "url.exfiltration" not in rules(text.replace("a.net", "example.com"))


@pytest.mark.parametrize(
    "text",
    [
        "https://github.com/a/b/commit/8d89aa0c2f1b6d7e9a0b1c2d3e4f5a6b7c8d9e0f", "https://www.youtube.com/watch?v=dQw4w9WgXcQ",
        "https://a.net/blog/2024/05/how-to-install-ubuntu-22-04-on-a-raspberry-pi-4-model-b-in-ten-minutes",
        "https://a.net/x?id=123e4567-e89b-12d3-a456-426614174000&page=2", "https://maps.a.net/?q=52.5,13.4&z=12",
        "https://www.google.com/search?q=how+to+cook+rice", "![x](https://a.net/p.png)", "[x](https://a.net/p?x=1)", "https://a.net",
    ],
)  # fmt: skip
def test_everyday_addresses_carry_nothing(text):
    assert rules(text, PLAIN) == set()


@pytest.mark.parametrize(
    "text",
    [
        "[a](javascript:alert(1))", "[a](JaVaScript:x)", "[a](<vbscript:x>)", "<a href='javascript:x'>", '<form action="data:text/html,x">',
        "![a](data:text/html,x)", "[a](file:///etc/passwd)", "[a](java&#115;cript:x)", "[a](javascript&colon;x)", "<javascript:x>",
        "[a]: javascript:x", "[a](&#106;avascript:x)", "[a](custom-app:open)",
    ],
)  # fmt: skip
def test_a_scheme_that_runs_or_reads_something_is_found_where_a_link_leads(text):
    assert "url.scheme" in rules(text)


@pytest.mark.parametrize(
    "text",
    ["[a](mailto:a)", "[a](#top)", "[a](/x:y)", "![a](data:image/png;base64,AAAA)", 'xmlns="urn:x:y"', 'style="color:red"', "x = 'note: y'",
     "[1]: note: see", "javascript: the language", "[a](tel:+1)", "<xs:element>"],
)  # fmt: skip
def test_other_colons_are_not(text):
    assert "url.scheme" not in rules(text)


def test_what_belongs_to_the_sentence_stays():
    text = "See (https://evil.com/a_(b)), **https://evil.com/c**, [x](https://evil.com/d). Or https://evil.com/e?"
    assert {span for rule, span in found(text) if rule == "url.forbidden"} == {
        "https://evil.com/a_(b)", "https://evil.com/c", "https://evil.com/d", "https://evil.com/e",
    }  # fmt: skip


def test_redacting_takes_the_address_and_leaves_the_words():
    wanted = {rule.id: RuleSetting(rule=rule.id, action=Action.REDACT, mode=Mode.ENFORCE) for rule in URLS}
    guard = Guard.of(guarded.POOL, wanted, urls=LISTS)
    seen = guarded.stream(
        HoldBack, guard, list(f"![a](https://a.net/?d={ENCODED}) [b](https://docs.example.com/?x) {'x' * 9}")
    )
    assert seen.text == "![a]([URL]) [b](https://docs.example.com/?x) xxxxxxxxx"


def test_of_a_url_longer_than_the_window_nothing_leads_anywhere():
    wanted = {"url.exfiltration": RuleSetting(rule="url.exfiltration", action=Action.REDACT)}
    guard = Guard.of(guarded.POOL, wanted, urls=LISTS)
    long = "https://a.net/" + "words/" * 400
    seen = guarded.stream(HoldBack, guard, list(f"x {long} y"))
    assert seen.text == f"x [URL]{long[LINK_CHARS:]} y"
    allowed = long.replace("a.net", "example.com")
    assert guarded.stream(HoldBack, guard, list(allowed)).text == allowed


PIECES = st.sampled_from(
    ["https://", "http:", "https:\\\\", "www.", "//", "evil.com", "example.com", "a.net", "\u0440aypal.com", "/", "?d=", ENCODED, "#",
     "@", "](", "![a", "[", ")", " ", "<", "javascript:", "data:", "&#115;", "=", "'", "src=", "]: ", ".", "x" * 70, "é", "\n", "%69"]
)  # fmt: skip


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.data())
def test_any_chunking_gives_the_same_text_verdict_and_tally(data):
    text = "".join(data.draw(st.lists(PIECES, max_size=14)))
    actions = st.sampled_from(list(Action))
    wanted = {rule.id: RuleSetting(rule=rule.id, action=data.draw(actions)) for rule in URLS}
    guard = Guard.of(guarded.POOL, wanted, urls=LISTS)
    channel = data.draw(st.sampled_from([HoldBack, EscapedHoldBack]))
    whole = guarded.stream(channel, guard, [text])
    assert guarded.stream(channel, guard, list(text)) == whole
    assert guarded.stream(channel, guard, data.draw(guarded.cuts(text))) == whole


@given(st.text(max_size=80))
def test_any_name_has_one_form(name):
    assert canonical(canonical(name)) == canonical(name) or "xn--" in canonical(name)


def test_prose_with_allowed_links_passes_and_is_not_counted():
    guard = Guard.of(
        guarded.POOL, {rule.id: RuleSetting(rule=rule.id, action=Action.BLOCK) for rule in URLS}, urls=LISTS
    )
    tally = Tally()
    text = "Read https://docs.example.com/a and mail us; www. and http: are no addresses, nor is https:// alone."
    assert (guard.apply(text, tally).text, tally.counts) == (text, {})
