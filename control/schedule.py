"""When which signing key of the token service is made, signs, still verifies and is gone. Pure: no keys, no store.

One entry of the registry holds the whole schedule. Whoever changes it says which one stood there before, so several
replicas of `control` cannot each make a next key: one of them wins, the others read again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import orjson

from gateway import strict
from gateway.policy.key import LAST_SECOND
from gateway.policy.model import TokenService
from gateway.policy.token_service import ALGORITHMS

#: A key verifies this long beyond the life of its last token: clocks, caches, and a `token_s` that was raised since.
SLACK_S: Final = 3600
#: Replicas' clocks may differ by this much; what one of them may still do, no other one undoes.
SKEW_S: Final = 60
#: Replicas under two policies, in the middle of a deployment, would each replace the other's next key without end.
_SETTLED_S: Final = 600
MAX_SLOTS: Final = 64  # thirty days of keys that live an hour and sign for a quarter of it are far fewer
_MAX_KID_CHARS: Final = 64  # thumbprints have 43


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One signing key's times, in unix seconds. It verifies from `made_at` on: publishing comes first."""

    kid: str
    algorithm: str
    made_at: int
    signs_from: int
    signs_until: int
    ends_at: int  # from then on it verifies nothing, and its entries go
    private: bool = True  # whether its private part is still stored

    def signs(self, now_s: float) -> bool:
        """Whether tokens may be signed with it now."""
        return self.private and self.signs_from <= now_s < self.signs_until


@dataclass(frozen=True, slots=True)
class Need:
    """A key that has to be made."""

    algorithm: str
    signs_from: int
    signs_until: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What the schedule should become: these slots, and a key for each need."""

    slots: tuple[Slot, ...]
    needs: tuple[Need, ...]


def plan(slots: Sequence[Slot], service: TokenService, now: int) -> Plan:
    """One key that signs, one that is published and signs next, and those that still verify. Stable when repeated."""
    kept = tuple(
        replace(slot, private=slot.private and now < slot.signs_until + SKEW_S) for slot in slots if now < slot.ends_at
    )
    kept = tuple(slot for slot in kept if not _is_outdated(slot, service, now))
    signing, needs = current(kept, now), []
    until = now + service.rotate_s if signing is None else signing.signs_until
    if signing is None:
        needs.append(Need(service.algorithm, now, until))
    if _coming(kept, now) is None:
        needs.append(Need(service.algorithm, until, until + service.rotate_s))
    return Plan(kept, tuple(needs))


def turned(slots: Sequence[Slot], service: TokenService, now: int) -> tuple[Slot, ...]:
    """The schedule after a turn ahead of time: the next key signs from now on. `plan` then adds another next one."""
    signing, coming = current(slots, now), _coming(slots, now)
    if coming is None:
        return tuple(slots)
    until = now + service.rotate_s
    sooner = replace(coming, signs_from=now, signs_until=until, ends_at=_end(until, service))
    late = None if signing is None else replace(signing, signs_until=now, ends_at=_end(now, service))
    return tuple(sooner if slot is coming else late if late and slot is signing else slot for slot in slots)


def current(slots: Sequence[Slot], now_s: float) -> Slot | None:
    """The key that signs now: the youngest of those that may."""
    return max((slot for slot in slots if slot.signs(now_s)), key=lambda slot: slot.signs_from, default=None)


def slot_of(need: Need, kid: str, service: TokenService, now: int) -> Slot:
    """The slot of a key that was made for a need."""
    return Slot(
        kid=kid,
        algorithm=need.algorithm,
        made_at=now,
        signs_from=need.signs_from,
        signs_until=need.signs_until,
        ends_at=_end(need.signs_until, service),
    )


def write(slots: Sequence[Slot]) -> bytes:
    """The schedule as the registry keeps it."""
    told = [{one.name: getattr(slot, one.name) for one in fields(slot)} for slot in slots]
    return orjson.dumps({"slots": told}, option=orjson.OPT_SORT_KEYS)


def read(value: bytes) -> tuple[Slot, ...]:
    """The same back.

    Raises:
        ValueError: not written by `write`.
    """
    told = strict.json_object(value)
    listed = told.get("slots")
    if told.keys() != {"slots"} or not isinstance(listed, list) or len(listed) > MAX_SLOTS:
        raise ValueError("schedule: slots")
    return tuple(_slot(one) for one in listed)


_NAMES: Final = frozenset(one.name for one in fields(Slot))
_TIMES: Final = ("made_at", "signs_from", "signs_until", "ends_at")


def _slot(told: Any) -> Slot:
    if not isinstance(told, dict) or told.keys() != _NAMES:
        raise ValueError("schedule: names")
    if not (isinstance(told["kid"], str) and 0 < len(told["kid"]) <= _MAX_KID_CHARS):
        raise ValueError("schedule: kid")
    if told["algorithm"] not in ALGORITHMS or not isinstance(told["private"], bool):
        raise ValueError("schedule: algorithm")
    if any(type(told[name]) is not int or not 0 <= told[name] <= LAST_SECOND for name in _TIMES):
        raise ValueError("schedule: times")
    if not told["signs_from"] <= told["signs_until"] < told["ends_at"]:
        raise ValueError("schedule: order")
    return Slot(**told)


def _coming(slots: Sequence[Slot], now: int) -> Slot | None:
    return min((slot for slot in slots if slot.signs_from > now), key=lambda slot: slot.signs_from, default=None)


def _is_outdated(slot: Slot, service: TokenService, now: int) -> bool:
    """A next key of another algorithm than the policy's. It has signed nothing yet, on nobody's clock."""
    unused = slot.signs_from > now + SKEW_S and slot.made_at + _SETTLED_S <= now
    return unused and slot.algorithm != service.algorithm


def _end(signs_until: int, service: TokenService) -> int:
    return signs_until + service.token_s + SLACK_S
