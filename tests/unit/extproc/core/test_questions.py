from extproc.core.questions import Advice, Advised, Failed


def test_a_finding_is_a_whole_text_unless_it_says_from_where_to_where():
    whole, part = Advice("advice.x", 0, 0.9), Advice("pii.person", 0, 0.9, 2, 5)
    assert (whole.start, whole.end) == (None, None)
    assert (part.start, part.end) == (2, 5)
    assert Advised((whole, part)) != Failed("deadline")
