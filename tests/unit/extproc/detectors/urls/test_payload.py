"""URLs that carry data out, and everyday ones that do not."""

import pytest

from linking import ENCODED, PLAIN, rules


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
