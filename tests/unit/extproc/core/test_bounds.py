"""What a tenant's requests may ask for."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.core import bounds
from extproc.core.commands import PassRequestBody
from gateway.errors import GatewayError, Kind
from gateway.policy.model import Bounds
from playbook import Play, chat
from worlds import policy

USER = {"role": "user", "content": "hello"}


def tool(name):
    return {"type": "function", "function": {"name": name}}


def refused(asked, body):
    with pytest.raises(GatewayError) as caught:
        bounds.check(body, asked)
    assert caught.value.kind is Kind.REQUEST_BLOCKED
    return caught.value.cause


def test_no_bounds_let_everything_pass():
    bounds.check({"messages": [USER], "tools": [tool("x")]}, Bounds())
    bounds.banned(["anything"], Bounds())


@pytest.mark.parametrize(
    ("name", "fits"),
    [("get_weather", True), ("search_web", True), ("search_", True), ("Search_web", False), ("rm", False)],
)
def test_tools_are_allowed_by_name_or_beginning(name, fits):
    asked = Bounds(tools=frozenset({"get_weather", "search_*"}))
    for body in (
        {"tools": [tool(name)]},
        {"functions": [{"name": name}]},
        {"tools": [{"type": "custom", "custom": {"name": name}}]},
    ):
        if fits:
            bounds.check(body, asked)
        else:
            assert refused(asked, body) == "tenant.tools"


def test_an_empty_list_allows_no_tool_and_a_tool_without_a_name_is_none():
    assert refused(Bounds(tools=frozenset()), {"tools": [tool("x")]}) == "tenant.tools"
    assert refused(Bounds(tools=frozenset({"*"})), {"tools": [{"type": "web_search"}]}) == "tenant.tools"
    bounds.check({"messages": [USER]}, Bounds(tools=frozenset()))


@pytest.mark.parametrize(
    ("kind", "fits"), [("text", True), ("image_url", False), ("input_audio", False), ("file", False), ("video", False)]
)
def test_modalities_are_those_of_the_parts(kind, fits):
    body = {"messages": [USER, {"role": "user", "content": [{"type": kind}]}]}
    if fits:
        bounds.check(body, Bounds(modalities=frozenset({"text"})))
    else:
        assert refused(Bounds(modalities=frozenset({"text"})), body) == "tenant.modalities"


@pytest.mark.parametrize(
    ("first", "fits"),
    [
        ({"role": "system", "content": "You are Acme's. Be brief."}, True),
        ({"role": "developer", "content": [{"type": "text", "text": "You are Acme's."}]}, True),
        ({"role": "system", "content": "you are acme's."}, False),
        ({"role": "user", "content": "You are Acme's."}, False),
        (
            {
                "role": "system",
                "content": [{"type": "text", "text": "Hm."}, {"type": "text", "text": "You are Acme's."}],
            },
            False,
        ),
        ({"role": "system", "content": []}, False),
    ],
)
def test_the_tenants_own_prompt_comes_first(first, fits):
    asked = Bounds(system_prompt="You are Acme's.")
    body = {"messages": [first, USER]}
    if fits:
        bounds.check(body, asked)
    else:
        assert refused(asked, body) == "tenant.system_prompt"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("tell me of Bluebird", True), ("BLUEBIRD!", True), ("operation dawn?", True), ("(bluebird)", True),
        ("bluebirds", False), ("mybluebird", False), ("operation", False), ("", False),
    ],
)  # fmt: skip
def test_banned_words_stand_between_words_in_any_case(text, found):
    asked = Bounds(banned={"codenames": ("bluebird", "operation dawn")})
    if not found:
        bounds.banned([text], asked)
        return
    with pytest.raises(GatewayError) as caught:
        bounds.banned(["harmless", text], asked)
    assert caught.value.cause == "tenant.banned.codenames"
    assert "bluebird" not in caught.value.public.lower()


def test_a_term_is_a_literal_not_an_expression():
    bounds.banned(["aaaaaaaaaaaaaaaaaaaa"], Bounds(banned={"x": ("(a+)+$",)}))


def held(asked):
    base = policy()
    tenant = replace(base.tenants["acme"], bounds=asked)
    return replace(base, tenants={"acme": tenant})


def test_an_exchange_is_refused_with_the_rule_on_record():
    play = Play(held(Bounds(banned={"codenames": ("bluebird",)})))
    play.asked(chat("where is bluebird"))
    assert play.refused() == (403, "request_blocked")
    assert play.record.reason == "tenant.banned.codenames"


def test_the_cap_on_tokens_is_written_into_what_is_sent():
    play = Play(held(Bounds(max_tokens=50)))
    _, passed = play.asked(chat("hello"))
    assert isinstance(passed, PassRequestBody)
    assert json.loads(passed.body)["max_completion_tokens"] == 50
    greedy = Play(held(Bounds(max_tokens=50)))
    greedy.asked(chat("hello", max_tokens=51))
    assert greedy.refused() == (403, "max_tokens_exceeded")


@pytest.mark.parametrize(
    "text",
    [
        "blue\u200bbird", "blue\u00adbird", "\uff22\uff2c\uff35\uff25\uff22\uff29\uff32\uff24", "operation  dawn", "operation\ndawn",
        "operation\u00a0dawn", "bluebi\u0301rd", "Caf\u00e9 Noir", "cafe\u0301 noir",
    ],
)  # fmt: skip
def test_invisible_characters_other_forms_and_gaps_do_not_hide_a_banned_word(text):
    asked = Bounds(banned={"codenames": ("bluebird", "operation dawn", "caf\u00e9 noir")})
    with pytest.raises(GatewayError):
        bounds.banned([text], asked)


@pytest.mark.parametrize(
    "text", ["blu\u0435bird", "\u0412lu\u0435birD", "\u1d0f\u1d18\u1d07r\u1d00tion d\u0430wn", "\u03c3p\u0435ration d\u0430wn", "\u0435c\u043e"]
)  # fmt: skip
def test_letters_that_look_alike_do_not_hide_a_banned_word(text):
    asked = Bounds(banned={"codenames": ("bluebird", "operation dawn", "eco")})
    if "\u03c3" in text:  # a small sigma passes for nothing
        bounds.banned([text], asked)
        return
    with pytest.raises(GatewayError):
        bounds.banned([text], asked)


def test_latin_letters_do_not_hide_a_banned_word_of_another_script():
    asked = Bounds(banned={"x": ("\u0431\u043e\u043c\u0431\u0430",)})  # "bomb" in Russian
    for text in ("\u0431\u043e\u043c\u0431\u0430", "\u0431o\u043c\u0431a"):
        with pytest.raises(GatewayError):
            bounds.banned([text], asked)
    bounds.banned(["bomba", "\u0431\u043e\u043c\u0431\u044b"], asked)


@given(st.lists(st.text("ab c.\\(", min_size=2, max_size=8), min_size=1, max_size=12), st.text("ab c.\\(", max_size=30))
def test_terms_in_one_expression_say_what_they_say_one_by_one(terms, text):
    words = tuple(term for term in terms if term.split())
    if not words:
        return

    def holds(some):
        try:
            bounds.banned([text], Bounds(banned={"x": some}))
        except GatewayError:
            return True
        return False

    assert holds(words) == any(holds((word,)) for word in words)


def test_terms_that_begin_alike_are_nested_no_deeper_than_can_be_compiled():
    deep = tuple("a" * size for size in range(2, 101))
    bounds.banned(["a" * 101], Bounds(banned={"x": deep}))
    with pytest.raises(GatewayError):
        bounds.banned(["a" * 100], Bounds(banned={"x": deep}))


def test_a_web_search_is_a_tool_and_a_tool_is_read_whatever_its_type_says():
    assert refused(Bounds(tools=frozenset()), {"web_search_options": {}}) == "tenant.tools"
    bounds.check({"web_search_options": {}}, Bounds(tools=frozenset({"web_search"})))
    both = {"type": "custom", "custom": {"name": "ok"}, "function": {"name": "rm"}}
    assert refused(Bounds(tools=frozenset({"ok"})), {"tools": [both]}) == "tenant.tools"


def test_a_system_prompt_cannot_be_left_out_by_another_endpoint():
    asked = Bounds(system_prompt="You are Acme's.")
    assert refused(asked, {"prompt": "Once upon a time"}) == "tenant.system_prompt"
    assert refused(asked, {"messages": []}) == "tenant.system_prompt"
    bounds.check({"input": "to embed"}, asked)


def test_what_a_pattern_matches_is_refused_by_its_name_and_not_repeated():
    base = policy()
    asked = Bounds(banned={"names": ("bluebird",)}, patterns={"tickets": "TKT-[0-9]{6,8}"})
    tenant = replace(base.tenants["acme"], bounds=asked)
    held = replace(base, tenants={"acme": tenant})
    for text, rule in (("see TKT-1234567, please", "tenant.banned.tickets"), ("Bluebird", "tenant.banned.names")):
        play = Play(held)
        told = play.asked(chat(text))
        assert play.records[0].record.reason == rule
        assert b"1234567" not in told[-1].rendered.body
    for text in ("TKT-12345", "tickets"):
        assert any(isinstance(each, PassRequestBody) for each in Play(held).asked(chat(text)))


FORMATTED = [
    ({"response_format": {"type": "json_schema"}}, True),
    ({"text": {"format": {"type": "json_schema"}}}, True),
    ({"output_config": {"format": {"type": "json_schema"}}}, True),
    ({}, False),
    ({"response_format": None}, False),
    ({"response_format": {"type": "json_object"}}, False),
    ({"response_format": {"type": ["json_schema"]}}, False),
    ({"response_format": {}}, False),
    ({"text": {"verbosity": "low"}}, False),
]


@pytest.mark.parametrize(("body", "fits"), FORMATTED)
def test_an_answer_is_asked_for_in_a_format_of_the_policy(body, fits):
    asked = Bounds(formats=frozenset({"json_schema"}))
    bounds.check_format(body, Bounds())
    if fits:
        bounds.check_format(body, asked)
        return
    with pytest.raises(GatewayError, match="in the format json_schema") as caught:
        bounds.check_format(body, asked)
    assert (caught.value.kind, caught.value.cause) == (Kind.REQUEST_BLOCKED, "tenant.output_formats")


def test_a_request_without_the_format_is_refused_before_it_leaves():
    base = policy()
    tenant = replace(base.tenants["acme"], bounds=Bounds(formats=frozenset({"text"})))
    play = Play(replace(base, tenants={"acme": tenant}))
    play.asked(chat(response_format={"type": "json_object"}))
    assert play.records[0].record.reason == "tenant.output_formats"
