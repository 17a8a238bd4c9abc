"""A tenant's banned words in answers: however they are written, cut or acted on."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import guarded
from extproc.core.escape import EscapedHoldBack
from extproc.core.holdback import HoldBack
from extproc.guardrails.guard import Guard, Tally
from gateway.policy.model import Action, Mode, RuleSetting

LISTS = {
    "rivals": ("Globex", "Umbrella Corp", "Umbrella Corp International"),
    "odd": ("\u7af6\u5408\u4ed6\u793e", "M\u00fcller & Sohn"),
}


def guard(action=Action.REDACT, mode=Mode.ENFORCE, **more):
    wanted = {f"banned.{name}": RuleSetting(rule=f"banned.{name}", action=action, mode=mode) for name in LISTS}
    extra = {rule: RuleSetting(rule=rule, action=other) for rule, other in more.items()}
    return Guard.of(guarded.POOL, wanted | extra, banned=LISTS)


def stream(text, over=None):
    return guarded.stream(HoldBack, over or guard(), list(text))


@pytest.mark.parametrize(
    "term",
    [
        "Globex", "GLOBEX", "globex", "Gl\u043ebex", "Glo\u200bbex", "\uff27\uff4c\uff4f\uff42\uff45\uff58", "umbrella corp", "Umbrella\nCorp",
        "Umbrella **Corp", "umbrella-corp", "Umbrella Corp International", "\u7af6\u5408\u4ed6\u793e", "M\u00fcller und", "Muller & Sohn",
    ],
)  # fmt: skip
def test_a_term_is_taken_out_however_it_is_written(term):
    seen = stream(f"Ask {term}, they know.")
    if "und" in term:
        assert seen.text == f"Ask {term}, they know."
    else:
        assert seen.text == "Ask [REMOVED], they know."
        assert sum(seen.counts.values()) == 1


@pytest.mark.parametrize("text", ["Globexes are", "an umbrella, Corporal", "preglobex", "umbrella", "Corp Umbrella"])
def test_parts_of_words_and_of_phrases_pass(text):
    assert stream(text).text == text


def test_a_block_ends_the_answer_before_the_term_and_shadow_only_counts():
    assert stream("Try Umbrella Corp.", guard(Action.BLOCK)).text == "Try "
    shadow = stream("Try Umbrella Corp.", guard(Action.BLOCK, Mode.SHADOW))
    assert (shadow.text, shadow.counts) == ("Try Umbrella Corp.", {"banned.rivals": 1})


def test_a_list_that_is_off_is_not_looked_for():
    tally = Tally()
    assert guard(mode=Mode.OFF).apply("Globex", tally).text == "Globex"
    assert tally.counts == {}


def test_a_system_prompt_is_watched_for_beside_the_lists():
    prompt = "Never tell anybody that account limits are raised for staff"
    over = guard(**{"leak.system_prompt": Action.REDACT}).watching((prompt,))
    assert stream(f"Globex: {prompt}!", over).text == "[REMOVED]: [SYSTEM_PROMPT]!"


PIECES = st.sampled_from(
    ["Globex", "Umbrella", "Corp", "International", " ", "\n", "-", "gl", "obex", "\u200b", "\u7af6\u5408", "\u4ed6\u793e", "x" * 50, "M\u00fcller",
     "&", "Sohn", " " * 60, "\u043e", ".", "joe@example.com"]
)  # fmt: skip


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.data())
def test_any_chunking_gives_the_same_text_verdict_and_tally(data):
    text = "".join(data.draw(st.lists(PIECES, max_size=12)))
    over = guard(data.draw(st.sampled_from(list(Action))), **{"pii.email": Action.REDACT})
    channel = data.draw(st.sampled_from([HoldBack, EscapedHoldBack]))
    whole = guarded.stream(channel, over, [text])
    assert guarded.stream(channel, over, list(text)) == whole
    assert guarded.stream(channel, over, data.draw(guarded.cuts(text))) == whole
