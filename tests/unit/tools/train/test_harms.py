"""Generated harms and look-alikes: the same each time, on both sides, never the same text on both."""

from tools.train.harms import harms


def test_the_same_seed_gives_the_same_texts_and_another_one_others():
    assert list(harms(1)) == list(harms(1))
    assert list(harms(1)) != list(harms(2))


def test_both_sides_are_made_and_share_no_text():
    texts = list(harms(1))
    sides = [{text for text, harmful in texts if harmful is side} for side in (True, False)]
    assert min(map(len, sides)) > 200
    assert not sides[0] & sides[1]
    assert not any("{" in text for text, _ in texts)
