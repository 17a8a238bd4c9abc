"""Points in time and spans as operators type and read them. Knows no clock: spans are counted where they are used."""

import argparse
import re
from datetime import UTC, datetime
from typing import Any, Final

_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_SPAN: Final = re.compile(r"([0-9]{1,9})([smhdw])", re.ASCII)
_MOMENT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9:]{5,8}(?:Z|[+-][0-9]{2}:[0-9]{2}))?", re.ASCII)
EXPECTED: Final = "90d, 12h, 30m, a date such as 2030-01-31, a time such as 2030-01-31T12:00Z, or never"


def span_s(text: str) -> int:
    """`12h` in seconds; for argparse."""
    found = _SPAN.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text[:32]!r} is no span of time; expected for example 90d, 12h, 30m or 0s")
    return int(found[1]) * _UNITS_S[found[2]]


def ending(text: str) -> dict[str, Any]:
    """When something shall end, as the admin API wants it; for argparse.

    A span is counted by control's clock. A date means its first second, UTC: on that day it has ended.
    """
    if text == "never":
        return {"expires_at": None}
    if text == "now":
        return {"expires_in_s": 0}
    if _SPAN.fullmatch(text):
        return {"expires_in_s": span_s(text)}
    try:
        if _MOMENT.fullmatch(text) is None:
            raise ValueError
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text[:32]!r} is no time; expected {EXPECTED}") from None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return {"expires_at": int(moment.timestamp())}


def told(seconds: int | None, *, absent: str) -> str:
    """Unix seconds for people, in UTC: whose night it is differs between operators."""
    return absent if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
