"""Spans and points in time, as operators type and read them."""

import argparse
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.commands import moment


@pytest.mark.parametrize(
    ("text", "seconds"), [("0s", 0), ("90s", 90), ("30m", 1800), ("12h", 43_200), ("90d", 7_776_000), ("2w", 1_209_600)]
)
def test_spans(text, seconds):
    assert moment.span_s(text) == seconds
    assert moment.ending(text) == {"expires_in_s": seconds}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("never", {"expires_at": None}),
        ("now", {"expires_in_s": 0}),
        ("2030-01-31", {"expires_at": 1_896_048_000}),  # its first second, UTC
        ("2030-01-31T00:00Z", {"expires_at": 1_896_048_000}),
        ("2030-01-31T01:00:00+01:00", {"expires_at": 1_896_048_000}),
    ],
)
def test_endings(text, expected):
    assert moment.ending(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "90",
        "d",
        "-1d",
        "1.5h",
        "1y",
        "90 d",
        "2030-02-31",
        "2030-1-31",
        "20300131",
        "2030-01-31T12:00",
        "2030-01-31T12:00:00",
        "٩d",
        "9" * 5000 + "d",
    ],
)
def test_what_is_neither_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="expected"):
        moment.ending(text)


@given(
    st.text(max_size=40)
    | st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9:]{5,8}(Z|[+-][0-9]{2}:[0-9]{2}))?", fullmatch=True)
)
def test_nothing_that_is_typed_breaks_it(text):
    with contextlib.suppress(argparse.ArgumentTypeError):
        assert len(moment.ending(text)) == 1


def test_times_are_told_in_utc():
    assert moment.told(1_896_048_000, absent="never") == "2030-01-31 00:00"
    assert moment.told(None, absent="never") == "never"
