"""Events are those of the standard for every cut of the stream, and no byte of it is lost."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from extproc.core.sse import Frame, Framer, encode
from gateway.errors import GatewayError, Kind

ROOM = 1 << 20
EXAMPLES = settings(max_examples=300, deadline=None, derandomize=True)

line_ends = st.sampled_from([b"\n", b"\r", b"\r\n"])
lines = st.one_of(
    st.sampled_from(
        [b"data: x", b"data:x", b"data", b"data:  two", b'data: {"a":1}', b": hello", b":", b"event: ping", b"id: 7",
         b"retry: 10", b"", b"dat", b"data: \xc3\xa9", b"\xef\xbb\xbf", b"data: [DONE]"],
    ),
    st.binary(max_size=4),
)  # fmt: skip


@st.composite
def streams(draw):
    mark = draw(st.sampled_from([b"", b"", b"\xef\xbb\xbf"]))
    return mark + b"".join(draw(lines) + draw(line_ends) for _ in range(draw(st.integers(0, 12)))) + draw(lines)


def frames(pieces) -> list[Frame]:
    framer = Framer(ROOM)
    found = [frame for piece in pieces for frame in framer.feed(piece)]
    return found + framer.close()


@EXAMPLES
@given(streams(), st.lists(st.integers(0, 200), max_size=20), st.booleans())
@example(b"data: x\r\r\ndata: y\r\n\r\n", [], True)
@example(b"data: x\n\r", [], True)
def test_any_cut_gives_the_events_of_the_uncut_stream(stream, at, single):
    cuts = range(len(stream)) if single else sorted(min(cut, len(stream)) for cut in at)
    pieces = [stream[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert frames(pieces) == frames([stream])


@EXAMPLES
@given(streams())
def test_raw_bytes_join_to_the_stream(stream):
    assert b"".join(frame.raw for frame in frames([stream])) == stream


@EXAMPLES
@given(streams())
def test_events_are_those_of_the_standard(stream):
    assert [(f.data, f.event) for f in frames([stream]) if f.complete and f.data is not None] == dispatched(stream)


def dispatched(stream: bytes) -> list[tuple[bytes, str]]:
    """The algorithm of WHATWG HTML 9.2.6, word by word and line by line, as an oracle."""
    text = stream.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    events, data, event = [], [], b""
    for line in text.split(b"\n")[:-1]:
        if not line:
            if data:
                events.append((b"\n".join(data), event.decode("utf-8", "replace")))
            data, event = [], b""
            continue
        field, colon, value = line.partition(b":")
        value = value[1:] if value[:1] == b" " else value
        if field == b"data":
            data.append(value)
        elif field == b"event" and colon is not None:
            event = value
    return events


def test_whole_data_events_in_one_chunk_take_the_short_way():
    chunk = b'data: {"a":1}\n\ndata: [DONE]\n\n'
    assert Framer(ROOM).feed(chunk) == [Frame(b'data: {"a":1}\n\n', b'{"a":1}'), Frame(b"data: [DONE]\n\n", b"[DONE]")]


def test_comments_and_empty_events_have_no_data():
    assert [frame.data for frame in frames([b": ping\n\n\n\nid: 1\n\ndata:\n\n"])] == [None, None, None, None, b""]


def test_a_carriage_return_waits_for_its_line_feed():
    framer = Framer(ROOM)
    assert framer.feed(b"data: x\r\n\r") == []
    assert framer.feed(b"\n") == [Frame(b"data: x\r\n\r\n", b"x")]


def test_a_carriage_return_at_the_end_of_the_stream_ends_the_event():
    framer = Framer(ROOM)
    assert framer.feed(b"data: x\r\r") == []
    assert framer.close() == [Frame(b"data: x\r\r", b"x")]


def test_an_unterminated_event_is_reported_as_incomplete():
    framer = Framer(ROOM)
    assert framer.feed(b"data: a\n\ndata: secre") == [Frame(b"data: a\n\n", b"a")]
    assert framer.close() == [Frame(b"data: secre", b"secre", complete=False)]
    assert framer.close() == []


def test_a_byte_order_mark_is_skipped_only_at_the_start():
    found = frames([b"\xef\xbb", b"\xbfdata: x\n\n\xef\xbb\xbfdata: y\n\n"])
    assert [frame.data for frame in found] == [b"x", None]


@pytest.mark.parametrize("chunk", [b"data: " + b"x" * 200 + b"\n\n", b"x" * 200, b"data: a\n\n" + b":" * 101 + b"\n\n"])
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_an_oversize_event_is_refused(chunk, step):
    framer = Framer(100)
    pieces = [chunk[at : at + step] for at in range(0, len(chunk), step)]
    with pytest.raises(GatewayError) as refused:
        list(map(framer.feed, pieces))
    assert refused.value.kind is Kind.BACKEND_ANSWER_INVALID


@EXAMPLES
@given(st.binary(max_size=40), st.sampled_from(["", "error", "content_block_delta"]))
def test_what_is_encoded_is_framed_again(data, event):
    (frame,) = frames([encode(data, event)])
    assert frame.data == data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    assert (frame.event, frame.complete) == (event, True)
