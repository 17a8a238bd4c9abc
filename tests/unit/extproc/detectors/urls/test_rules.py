"""The rules on URLs: schemes, lists, redaction, and the streaming invariant."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import guarded
from extproc.core.escape import EscapedHoldBack
from extproc.core.holdback import HoldBack
from extproc.detectors.urls.rules import URLS
from extproc.guardrails.guard import Guard, Tally
from gateway.policy.model import Action, Mode, RuleSetting
from linking import ENCODED, LISTS, PLAIN, rules


def test_a_list_of_allowed_hosts_makes_all_others_unknown():
    assert rules("https://example.org/") == {"url.unknown"}
    assert rules("https://docs.example.com/a?b=c#d") == set()
    assert rules("https://example.org/", PLAIN) == set()


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


def test_redacting_takes_the_address_and_leaves_the_words():
    wanted = {rule.id: RuleSetting(rule=rule.id, action=Action.REDACT, mode=Mode.ENFORCE) for rule in URLS}
    guard = Guard.of(guarded.POOL, wanted, urls=LISTS)
    seen = guarded.stream(
        HoldBack, guard, list(f"![a](https://a.net/?d={ENCODED}) [b](https://docs.example.com/?x) {'x' * 9}")
    )
    assert seen.text == "![a]([URL]) [b](https://docs.example.com/?x) xxxxxxxxx"


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


def test_prose_with_allowed_links_passes_and_is_not_counted():
    guard = Guard.of(
        guarded.POOL, {rule.id: RuleSetting(rule=rule.id, action=Action.BLOCK) for rule in URLS}, urls=LISTS
    )
    tally = Tally()
    text = "Read https://docs.example.com/a and mail us; www. and http: are no addresses, nor is https:// alone."
    assert (guard.apply(text, tally).text, tally.counts) == (text, {})
