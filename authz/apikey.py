"""Constant-time checking of API keys. Makes none (`gateway.apikey` does), reads no file, logs nothing."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from gateway.apikey import FORM, PREFIX, Minted, Peppers, RandomBytes, digest, mint, new_id
from gateway.policy.model import Key

#: What authz says about keys, in one place: who checks keys imports from here.
__all__ = ["PREFIX", "Fault", "Minted", "Peppers", "RandomBytes", "Rejected", "check", "digest", "mint", "new_id"]

#: As long as a digest. Compared with when there is no digest to compare with; the result is not looked at.
_NO_DIGEST: Final = "0" * 64


class Fault(Enum):
    """Why a key was refused: for the log. Callers are told one thing for all, or they could probe for ids."""

    MALFORMED = "malformed key"
    UNKNOWN = "unknown key id"
    PEPPER = "the key names a pepper version that this process does not hold"
    MISMATCH = "digest differs"
    DISABLED = "disabled key"


@dataclass(frozen=True, slots=True)
class Rejected:
    """A key that does not count, with the public id that it claimed: operators look for guessing by it."""

    fault: Fault
    key_id: str = ""


def check(presented: str, keys: Mapping[str, Key], peppers: Peppers) -> Key | Rejected:
    """The policy's record of the presented key, or why there is none.

    Every well-formed key costs one digest and one comparison, so time does not tell which ids exist. Expiry
    is left to the caller of this function: it may be told to whoever holds the secret.
    """
    form = FORM.fullmatch(presented)
    if form is None:
        return Rejected(Fault.MALFORMED)
    key = keys.get(form[1])
    pepper = peppers.secrets.get(key.pepper) if key is not None else None
    made = digest(presented, pepper if pepper is not None else peppers.secrets[peppers.current])
    expected = key.digest if key is not None else _NO_DIGEST
    same = hmac.compare_digest(made, expected)
    if key is None:
        return Rejected(Fault.UNKNOWN, form[1])
    if pepper is None:
        return Rejected(Fault.PEPPER, form[1])
    if not same:
        return Rejected(Fault.MISMATCH, form[1])
    return Rejected(Fault.DISABLED, form[1]) if key.disabled else key
