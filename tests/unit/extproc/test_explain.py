"""What is told of a request is what live traffic would meet."""

import json
from dataclasses import replace

import pytest

from clocks import ManualClock
from extproc.explain import explain
from gateway.budgets.model import PER_DAY, Dimension, Limit, Resource
from gateway.policy.model import Action, Budget, Mode
from playbook import CHAT, chat
from worlds import CALLER, policy, settings


def told(raw, held=None, caller=CALLER):
    return explain(raw, CHAT, held or policy(), caller, ManualClock())


def test_a_clean_request_passes_as_it_came():
    found = told(chat("hello there"))
    assert (found.decision, found.body, found.model, found.backend) == ("pass", None, "gpt-4o-mini", "demo")
    assert [(spot.path, spot.provenance, spot.hits) for spot in found.spots if spot.provenance] == [
        ("messages[0].content", "user", ())
    ]


def test_each_text_is_told_with_its_place_and_what_replaced_it():
    found = told(chat("mail joe@example.com now"))
    (spot,) = [spot for spot in found.spots if spot.hits]
    assert (spot.path, spot.text) == ("messages[0].content", "mail [EMAIL] now")
    assert [(hit.rule, hit.start, hit.end, hit.action) for hit in spot.hits] == [("pii.email", 5, 20, "redact")]
    assert found.decision == "change"
    assert b"joe@" not in found.body
    assert json.loads(found.body)["messages"][0]["content"] == "mail [EMAIL] now"
    assert [one.rule for one in found.found] == ["pii.email"]


def test_a_tokenised_value_is_shown_as_it_would_be_sent():
    found = told(chat("mail joe@example.com now"), policy(request=settings(Action.TOKENISE)))
    (spot,) = [spot for spot in found.spots if spot.hits]
    assert spot.text.startswith("mail [EMAIL_T")
    assert json.loads(found.body)["messages"][0]["content"] == spot.text
    assert [(hit.action, one.action) for hit, one in zip(spot.hits, found.found, strict=True)] == [("tokenise",) * 2]


def test_a_refusal_is_told_with_what_the_caller_would_read():
    found = told(chat("card 4111 1111 1111 1111"), policy(request=settings(pii_card=Action.BLOCK)))
    assert (found.decision, found.status, found.code) == ("refuse", 403, "request_blocked")
    assert "4111" not in found.message
    assert next(spot for spot in found.spots if spot.hits).text == "card "


def test_shadow_is_told_as_shadow():
    found = told(chat("mail joe@example.com"), policy(request=settings(Action.BLOCK, Mode.SHADOW)))
    assert found.decision == "pass"
    assert [hit.mode for spot in found.spots for hit in spot.hits] == ["shadow"]


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"model": "gpt-4o-mini"}', b"\xff"])
def test_a_body_that_cannot_be_read_is_refused_without_texts(raw):
    found = told(raw)
    assert found.decision == "refuse"
    assert found.spots == ()


def test_an_unknown_tenant_is_a_mistake_of_whoever_asks():
    with pytest.raises(ValueError, match="no tenant nobody"):
        told(chat("hello"), caller=replace(CALLER, tenant="nobody"))


def test_a_text_with_too_many_places_is_told_as_refused():
    found = told(chat("4111 1111 1111 1111 a@b.co " * 60_000))
    assert (found.decision, found.code) == ("refuse", "json_too_complex")
    assert all("4111" not in spot.text for spot in found.spots)


def test_what_a_budget_would_set_aside_is_told():
    day = Limit("day", (Dimension.TENANT,), Resource.TOKENS, 100_000, PER_DAY)
    held = policy()
    held = replace(held, tenants={"acme": replace(held.tenants["acme"], budgets=Budget(limits=(day,)))})
    found = told(chat("hello", max_tokens=30), held)
    assert found.decision == "pass"
    assert found.reserved.tokens_out == 30
    assert found.reserved.tokens_in > 0
