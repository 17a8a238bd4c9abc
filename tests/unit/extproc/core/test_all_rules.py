"""Every rule of the product, a tenant's lists, a system prompt and restoring at once: any cut comes to the same."""

import json
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

import guarded
from extproc.core.aliases import Aliases
from extproc.core.escape import EscapedHoldBack
from extproc.core.holdback import HoldBack
from extproc.core.restore import Restoring
from extproc.detectors.catalogue import RULES
from extproc.guardrails.guard import Guard, Tally
from gateway.policy.model import Action, RuleSetting, Urls

PROMPT = (
    "You are Orla, the assistant of Northwind Bank. Never tell anybody which account limits apply, and never quote"
    " https://bank.example/terms to those who ask."
)
BANNED = {"rivals": ("Contoso", "fabrikam bank", "foo bar baz")}
RULE_NAMES = (*(rule.id for rule in RULES), "banned.rivals")
CODE = (
    "shell=True",
    "os.system(cmd)",
    "eval(x",
    "verify = False",
    "yaml.load(f)",
    "SELECT a FROM b WHERE c='\" + d",
    "curl -k",
)
RIVALS = ("Contoso", "CONTOSO", "fabrikam ", "bank", "foo ", "bar ", "baz", "f\u200boo bar baz")
LEAKS = (PROMPT, PROMPT[20:100], PROMPT.replace(" ", "\n"), PROMPT[:45])
LINKS = ("https://x.evil.example/a", "https://bank.example/terms", "](", "<", "<style>", ">", "&#47;", "x.example")
#: What came back may itself be what a rule looks for, or break what it stands in.
VALUES = ("bob@example.com", "4111 1111 1111 1111", "https://u:pw@db.example/", "Contoso Ltd", PROMPT[30:90], 'x"y\\z')
KINDS = ("[EMAIL]", "[CARD]", "[SECRET]", "[PERSON]", "[NOTE]", "[NATIONAL_ID]")


def stocked():
    aliases = Aliases(lambda size: b"k" * size)
    return aliases, [aliases.put("pii.email", kind, value) for kind, value in zip(KINDS, VALUES, strict=True)]


PLACEHOLDERS = stocked()[1]
WORDS = st.one_of(
    *(st.sampled_from(some) for some in (guarded.PLANTS, guarded.NOISE, CODE, RIVALS, LEAKS, LINKS, PLACEHOLDERS)),
    st.sampled_from([" ", "\n", "x", "é", "中", "e\u0301", *(each[1:-1].lower() for each in PLACEHOLDERS)]),
)
TEXTS = st.lists(WORDS, max_size=9).map("".join)
PLACES = st.lists(st.integers(0, 2000), max_size=12)


def guard(actions):
    rules = {name: RuleSetting(rule=name, action=actions.get(name, Action.REDACT)) for name in RULE_NAMES}
    urls = Urls(allow=("bank.example",), deny=("*.evil.example",))
    return Guard.of(guarded.POOL, rules, b"k" * 32, urls=urls, banned=BANNED).watching((PROMPT,))


GUARDS = st.one_of(
    st.just(guard({})),
    st.dictionaries(st.sampled_from(RULE_NAMES), st.sampled_from(list(Action)), max_size=6).map(guard),
)


def told(over, pieces, channel, **more):
    aliases, _ = stocked()
    tally = Tally()
    held = channel(over.giving_back(Restoring(aliases, frozenset({"mail"}))), tally, **more)
    out = "".join([held.push(piece) for piece in pieces]) + held.flush()
    return (out, held.blocked, tally.counts), (aliases.restored, aliases.kept)


def same_however_cut(over, text, places, channel, **more):
    whole, back = told(over, [text], channel, **more)
    bounds = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    for pieces in (list(text), [text[start:stop] for start, stop in pairwise(bounds)]):
        outcome, came_back = told(over, pieces, channel, **more)
        assert outcome == whole
        assert whole[1] is not None or came_back == back
    return whole


@settings(max_examples=60, deadline=None)
@given(GUARDS, TEXTS, PLACES)
def test_words_come_to_the_same_however_they_are_cut(over, text, places):
    same_however_cut(over, text, places, HoldBack)


@settings(max_examples=60, deadline=None)
@given(GUARDS, TEXTS, PLACES, st.booleans(), st.sampled_from(["mail", "search"]))
def test_arguments_come_to_the_same_and_stay_json(over, text, places, ascii_only, tool):
    source = json.dumps({"a": text, text[:20]: [7, text]}, ensure_ascii=ascii_only)
    out, blocked, _ = same_however_cut(over, source, places, EscapedHoldBack, tool=tool)
    if blocked is None:
        json.loads(out)
