"""Where a URL stands and how far it goes."""

import pytest

import guarded
from extproc.core.holdback import HoldBack
from extproc.detectors.urls.link import LINK_CHARS
from extproc.guardrails.guard import Guard
from gateway.policy.model import Action, RuleSetting
from linking import LISTS, found, rules


@pytest.mark.parametrize(
    "text", ["[x](//evil.com/a)", "[x](https:evil.com)", "<img src='//evil.com/a'>", '<a href="https:evil.com">']
)
def test_in_a_link_position_neither_scheme_nor_slashes_are_needed(text):
    assert "url.forbidden" in rules(text)


def test_what_belongs_to_the_sentence_stays():
    text = "See (https://evil.com/a_(b)), **https://evil.com/c**, [x](https://evil.com/d). Or https://evil.com/e?"
    assert {span for rule, span in found(text) if rule == "url.forbidden"} == {
        "https://evil.com/a_(b)", "https://evil.com/c", "https://evil.com/d", "https://evil.com/e",
    }  # fmt: skip


def test_of_a_url_longer_than_the_window_nothing_leads_anywhere():
    wanted = {"url.exfiltration": RuleSetting(rule="url.exfiltration", action=Action.REDACT)}
    guard = Guard.of(guarded.POOL, wanted, urls=LISTS)
    long = "https://a.net/" + "words/" * 400
    seen = guarded.stream(HoldBack, guard, list(f"x {long} y"))
    assert seen.text == f"x [URL]{long[LINK_CHARS:]} y"
    allowed = long.replace("a.net", "example.com")
    assert guarded.stream(HoldBack, guard, list(allowed)).text == allowed
