"""Request JSON comes back as it was sent, or is refused with a kind, a place and no quote."""

import json
import traceback

import orjson
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from extproc.core.body import parse
from gateway.errors import GatewayError, Kind
from gateway.policy.model import Limits

EXAMPLES = settings(max_examples=300, deadline=None, derandomize=True)
LIMITS = Limits()
SMALL = Limits(json_depth=4, json_nodes=10)
SHORT = Limits(string_chars=1024)
LONG = "x" * 1025

keys = st.one_of(st.text(max_size=4), st.sampled_from(["a", "b", ":", '":', "\\", '\\"', " :"]))
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False, allow_infinity=False), keys
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
)
documents = st.dictionaries(keys, values, max_size=5)


def kind_of(body: bytes, limits: Limits = LIMITS) -> Kind | None:
    try:
        parse(body, limits)
    except GatewayError as refusal:
        return refusal.kind
    return None


def spellings(document) -> list[bytes]:
    return [
        orjson.dumps(document),
        json.dumps(document, indent=1).encode(),
        json.dumps(document, separators=("\n,\t", " \r\n:  ")).encode(),
    ]


@EXAMPLES
@given(documents)
def test_every_document_comes_back_as_it_was(document):
    for body in spellings(document):
        assert parse(body, LIMITS) == json.loads(body)


@st.composite
def sources(draw, depth=0):
    """JSON source whose objects may name a key twice."""
    if depth > 3 or draw(st.integers(0, 2)) == 0:
        return json.dumps(draw(scalars))
    space = draw(st.sampled_from(["", " ", "\n", "\t"]))
    inner = [draw(sources(depth + 1)) for _ in range(draw(st.integers(0, 3)))]
    if depth and draw(st.booleans()):
        return f"[{','.join(inner)}]"
    names = [
        json.dumps(draw(st.sampled_from(["a", ":", "b", '"', "\\", "é"])), ensure_ascii=draw(st.booleans()))
        for _ in inner
    ]
    return "{" + ",".join(f"{name}{space}:{space}{value}" for name, value in zip(names, inner, strict=True)) + "}"


@EXAMPLES
@given(sources())
@example('{"a":{"b":1,"b":2}}')
@example('{"a:":1,"\\u0061:":2}')
@example('{"a":":","a":"b"}')
@example('{"x":[{"a":1},{"a":2}]}')
def test_a_key_that_is_there_twice_is_refused_at_any_level(source):
    twice = False

    def pairs(found):
        nonlocal twice
        twice = twice or len(dict(found)) != len(found)
        return dict(found)

    document = json.loads(source, object_pairs_hook=pairs)
    assume(isinstance(document, dict))
    assert kind_of(source.encode()) is (Kind.JSON_DUPLICATE_KEY if twice else None)


@pytest.mark.parametrize("text", [" : ", '":"', '\\":', "a\n:b", "http://x", ': "a": ', "\\\\"])
def test_colons_in_text_are_no_keys(text):
    assert parse(orjson.dumps({"a": text, text: 1}), LIMITS) == {"a": text, text: 1}


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", Kind.BODY_EMPTY),
        (b" \r\n\t ", Kind.BODY_EMPTY),
        (b"[]", Kind.REQUEST_INVALID),
        (b'"text"', Kind.REQUEST_INVALID),
        (b"null", Kind.REQUEST_INVALID),
        (b"7", Kind.REQUEST_INVALID),
        (b"{", Kind.JSON_INVALID),
        (b'{"a":1} x', Kind.JSON_INVALID),
        (b'{"a":1}{"a":1}', Kind.JSON_INVALID),
        (b'{"a":1}\0', Kind.JSON_INVALID),
        (b'{"a":1,}', Kind.JSON_INVALID),
        (b"{'a':1}", Kind.JSON_INVALID),
        (b'{"a":NaN}', Kind.JSON_INVALID),
        (b'{"a":Infinity}', Kind.JSON_INVALID),
        (b'{"a":1e999}', Kind.JSON_INVALID),
        (b'{"a":01}', Kind.JSON_INVALID),
        (b'{"a":"\x01"}', Kind.JSON_INVALID),
        (b'{"a":"\\ud800"}', Kind.JSON_INVALID),
        (b'{"a":"\xff"}', Kind.JSON_INVALID),
        (b'{"a":"\xed\xa0\x80"}', Kind.JSON_INVALID),
        (b"\xef\xbb\xbf{}", Kind.JSON_INVALID),
        ('{"a":1}'.encode("utf-16"), Kind.JSON_INVALID),
        ('{"a":1}'.encode("utf-16-le"), Kind.JSON_INVALID),
        ('{"a":1}'.encode("utf-32-be"), Kind.JSON_INVALID),
        (b'{"a":18446744073709551616}', Kind.REQUEST_INVALID),
        (b'{"a":-9223372036854775809}', Kind.REQUEST_INVALID),
        (b'{"a":[1,{"b":1000000000000000000000000000000}]}', Kind.REQUEST_INVALID),
        (b"[" * 100_000, Kind.JSON_TOO_DEEP),
        (b'{"a":' * 100_000, Kind.JSON_TOO_DEEP),
        (b'{"a":' + b"[" * 32 + b"]" * 32 + b"}", Kind.JSON_TOO_DEEP),
        (b'{"a":[' + b"[]," * 300_000 + b"1]}", Kind.JSON_TOO_COMPLEX),
        (b'{"a":[' + b'"",' * 700_000 + b"1]}", Kind.JSON_TOO_COMPLEX),
        (b'{"a":[' + b"1," * 200_000 + b"1]}", Kind.JSON_TOO_COMPLEX),
    ],
)
def test_what_readers_disagree_on_is_refused(body, kind):
    assert kind_of(body) is kind


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":18446744073709551615,"b":-9223372036854775808}',
        b'{"a":"123456789012345678901234567890"}',
        b'{"a":0.1234567890123456789012345678901}',
        b'{"a":1e25,"b":123456789012345678901.5,"c":12345678901234567890123e-3}',
        b'{"a":"' + b"," * 500_000 + b'"}',
        b'{"a":' + b"[" * 31 + b"]" * 31 + b"}",
    ],
)
def test_what_is_unusual_but_clear_passes(body):
    assert parse(body, LIMITS) == orjson.loads(body)


def test_limits_are_those_of_the_policy():
    assert kind_of(b'{"a":[[[]]]}', SMALL) is None
    assert kind_of(b'{"a":[[[[]]]]}', SMALL) is Kind.JSON_TOO_DEEP
    assert kind_of(b'{"a":[1,2,3,4,5,6,7,8,9]}', SMALL) is None
    assert kind_of(b'{"a":[1,2,3,4,5,6,7,8,9,10]}', SMALL) is Kind.JSON_TOO_COMPLEX


def test_a_refusal_says_where_and_quotes_nothing():
    body = b'{"password":\n "hunter2", oops}'
    with pytest.raises(GatewayError) as refused:
        parse(body, LIMITS)
    assert "line 2" in refused.value.public
    assert "hunter2" not in "".join(traceback.format_exception(refused.value))
    assert refused.value.__context__ is None  # the parser's own error holds the body


@pytest.mark.parametrize(
    ("tree", "place"),
    [
        ({"messages": [{"content": "hi"}, {"content": LONG}]}, "messages[1].content"),
        ({"input": ["a", LONG]}, "input[1]"),
        ({"a\n": {"b": LONG}}, "a?.b"),
        ({"metadata": {LONG: 1}}, "metadata." + "x" * 64),
        ({"messages": [{"content": [{"text": "\u00e9" * 1025}]}]}, "messages[0].content[0].text"),
    ],
)
def test_a_text_that_is_too_long_is_refused_by_its_place(tree, place):
    body = json.dumps(tree).encode()
    assert parse(body, Limits()) == tree
    with pytest.raises(GatewayError) as caught:
        parse(body, SHORT)
    assert (caught.value.kind, caught.value.param) == (Kind.REQUEST_INVALID, place)
    assert "policy allows 1024 in one text" in caught.value.public
    assert LONG not in caught.value.public


@pytest.mark.parametrize(
    "tree",
    [
        {"input": ["x" * 1024] * 9},
        {"messages": [{"content": [{"image_url": {"url": LONG}}, {"image_url": LONG}]}]},
        {"messages": [{"content": [{"source": {"data": LONG}}, {"file_data": LONG}]}]},
    ],
)
def test_many_texts_and_files_may_be_longer_together(tree):
    assert parse(json.dumps(tree).encode(), SHORT) == tree
