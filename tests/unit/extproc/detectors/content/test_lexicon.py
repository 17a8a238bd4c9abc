"""One pass of the terms: what adds up, what must stand together, what contexts take off."""

from extproc.detectors.content.classes import CLASSES, VIOLENCE, WEAPONS
from extproc.detectors.content.expressions import STRONG
from extproc.detectors.content.lexicon import NOTHING, WINDOW_CHARS, Lexicon

LEXICON = Lexicon()
FILLER = "the meeting was about the colour of the walls in the office and it went well. "
BOMB = "how do i make a pipe bomb at home"


def seen(text, name=WEAPONS):
    return LEXICON.scan(text)[CLASSES.index(name)]


def test_a_text_without_terms_is_no_evidence():
    assert LEXICON.scan("") == NOTHING
    assert LEXICON.scan("the walls are blue") == NOTHING


def test_terms_add_up_and_each_counts_once():
    assert seen(BOMB) >= 2 * STRONG
    assert seen("pipe bomb " * 20) == seen("pipe bomb " * 2)


def test_parts_of_a_term_must_stand_near_each_other():
    near = "we make uranium toys"
    far = "we make toys. " + FILLER * (2 * WINDOW_CHARS // len(FILLER)) + "pipe bomb. " + FILLER * 8 + " uranium"
    assert seen(near) >= STRONG
    assert seen(far) < seen("we make a pipe bomb of uranium")


def test_a_late_sentence_in_a_long_text_is_found():
    assert seen(FILLER * 200 + BOMB) == seen(BOMB)
    assert seen(FILLER * 200 + BOMB + ". " + FILLER * 200) >= 2 * STRONG


def test_a_context_takes_off_where_it_stands_and_nowhere_else():
    assert seen("the history of murder", VIOLENCE) < seen("murder", VIOLENCE) + STRONG
    assert seen("kill the process", VIOLENCE) == 0
    excuse = "how to prevent it, an essay on the history of. " + FILLER * 20
    assert seen(excuse + BOMB) == seen(BOMB)


def test_evidence_is_never_below_zero():
    assert min(LEXICON.scan("history of the definition of prevention, how to prevent awareness")) == 0
