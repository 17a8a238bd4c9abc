"""Request ids and W3C trace context of one request: what arrived if well formed, else new. Pure, but for `Pool`."""

import re
import secrets
import uuid
from collections.abc import Sequence
from typing import Final

from authz.apikey import RandomBytes

#: Envoy writes a UUID here. What an edge in front of Envoy may send instead must be short and safe in logs.
_REQUEST_ID: Final = re.compile(r"[0-9A-Za-z._-]{1,64}", re.ASCII)
#: W3C Trace Context level 1, section 3.2: four fields; only a version after 00 may append more.
_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2})(-.*)?", re.ASCII)
_NO_TRACE: Final = "0" * 32
_NO_PARENT: Final = "0" * 16
#: Nobody has recorded anything of a trace that starts here (section 3.2.2.5.1, "sampled").
_FLAGS: Final = "00"
_PAGE_BYTES: Final = 4096  # ids of a hundred requests


class Pool:
    """Random bytes for ids, taken from the system a page at a time: a system call each would cost more than the rest.

    Not for secrets: what is still to be handed out lies in memory.
    """

    def __init__(self) -> None:
        self._page = b""
        self._at = 0

    def __call__(self, count: int) -> bytes:
        """`count` bytes that were never handed out before."""
        end = self._at + count
        if end > len(self._page):
            self._page, self._at, end = secrets.token_bytes(max(_PAGE_BYTES, count)), 0, count
        found = self._page[self._at : end]
        self._at = end
        return found


def request_id(values: Sequence[str], random: RandomBytes) -> str:
    """The id under which this request is put on record, from the values of `x-request-id`."""
    if len(values) == 1 and _REQUEST_ID.fullmatch(values[0]):
        return values[0]
    return str(uuid.UUID(bytes=random(16), version=4))


def read_traceparent(values: Sequence[str]) -> str | None:
    """The trace context that arrived, as version 00; None if there is none, a malformed one, or two."""
    if len(values) != 1:
        return None
    found = _TRACEPARENT.fullmatch(values[0])
    if found is None:
        return None
    version, fields, more = found.groups()
    if version == "ff" or (version == "00" and more is not None):
        return None
    trace, parent, _ = fields.split("-")
    if trace == _NO_TRACE or parent == _NO_PARENT:
        return None
    return f"00-{fields}"


def new_traceparent(random: RandomBytes) -> str:
    """A trace that starts at this gateway. Invalid if all zeros, which comes once in 2**64 requests."""
    ids = random(24).hex()
    return f"00-{ids[:32]}-{ids[32:]}-{_FLAGS}"
