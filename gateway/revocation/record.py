"""A revocation as it is written down: what is taken back, by whom, why, from when, until when. Pure.

Value of a registry entry of `Sort.REVOCATION`, whose id is the mark. JSON with exactly the names of `Revocation`.
"""

from dataclasses import dataclass, fields
from typing import Final

import orjson

from gateway.revocation.mark import split

REASON_CHARS: Final = 500  # as the admin API takes them (control/admin.py); a ticket's number is enough
ACTOR_CHARS: Final = 128  # `ada (uid:1000)`, or an account's name
_LAST_SECOND: Final = 253_402_300_799  # 9999-12-31, the last date that Python can print


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """One thing taken back. Times are whole unix seconds."""

    mark: str
    reason: str
    actor: str
    at: int
    until: int | None = None  # counts no more from this moment on; None: until it is lifted
    issued_before: int | None = None  # concerns only credentials issued earlier; None: every one

    def __post_init__(self) -> None:
        split(self.mark)  # ValueError
        if not (0 < len(self.reason) <= REASON_CHARS and self.reason.isprintable() and self.reason.strip()):
            raise ValueError("revocation: reason")
        if not (0 < len(self.actor) <= ACTOR_CHARS and self.actor.isprintable()):
            raise ValueError("revocation: actor")
        for moment in (self.at, self.until, self.issued_before):
            if moment is not None and not 0 <= moment <= _LAST_SECOND:
                raise ValueError("revocation: times")

    def counts(self, now_s: float) -> bool:
        """Whether it has not expired."""
        return self.until is None or now_s < self.until

    def concerns(self, issued_at: int) -> bool:
        """Whether it is about a credential of that age; 0, one that does not tell, counts as the oldest."""
        return self.issued_before is None or not issued_at or issued_at < self.issued_before


_NAMES: Final = frozenset(field.name for field in fields(Revocation))


def write(revocation: Revocation) -> bytes:
    """The entry's value."""
    return orjson.dumps({name: getattr(revocation, name) for name in sorted(_NAMES)})


def read(entry_id: str, value: bytes) -> Revocation:
    """The revocation of one entry.

    Raises:
        ValueError: not written by `write`, or under another id.
    """
    told = orjson.loads(value)
    if not isinstance(told, dict) or told.keys() != _NAMES or told["mark"] != entry_id:
        raise ValueError("revocation: names")
    if not (isinstance(told["reason"], str) and isinstance(told["actor"], str) and _is_second(told["at"])):
        raise ValueError("revocation: types")
    if not all(told[name] is None or _is_second(told[name]) for name in ("until", "issued_before")):
        raise ValueError("revocation: types")
    return Revocation(**told)


def read_or_worst(entry_id: str, value: bytes) -> Revocation:
    """The revocation of one entry; where only its mark can be read, everything of that mark for good.

    Raises:
        ValueError: the id is no mark that this version knows.
    """
    try:
        return read(entry_id, value)
    except ValueError:
        return Revocation(mark=entry_id, reason="its record cannot be read", actor="unknown", at=0)


def _is_second(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
