"""Constant-time checking of API keys. Makes none (`gateway.apikey` does), reads no file, logs nothing."""

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from authz.identified import Identified, of_key
from gateway.apikey import FORM, ID_CHARS, PREFIX, SECRET_CHARS, Minted, Peppers, RandomBytes, digest, mint, new_id
from gateway.policy.model import Key

#: What authz says about keys, in one place: who checks keys imports from here.
__all__ = [
    "PREFIX",
    "Fault",
    "Genuine",
    "Known",
    "Minted",
    "Peppers",
    "RandomBytes",
    "Rejected",
    "check",
    "digest",
    "mint",
    "new_id",
]

#: As long as a digest. Compared with when there is no digest to compare with; the result is not looked at.
_NO_DIGEST: Final = "0" * 64
#: About 200 bytes each. A key that was forgotten costs one HMAC.
_REMEMBERED: Final = 8192
_NAME_BYTES: Final = 16  # 128 bits under a secret key: nobody can make two keys meet
_KEY_CHARS: Final = len(PREFIX) + ID_CHARS + 1 + SECRET_CHARS


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


class Known(NamedTuple):
    """A key that counts, and whom it names."""

    key: Key
    who: Identified


class Genuine:
    """Remembers which keys matched their records: an HMAC of OpenSSL costs a worker more than all the rest of `check`.

    A key is remembered under a hash of it whose own key never leaves this object, and counts only as long as its
    record is the same object: one that was changed, removed or disabled is another one.
    """

    def __init__(self, remembered: int = _REMEMBERED) -> None:
        self._secret = secrets.token_bytes(32)
        self._remembered = remembered
        self._known: OrderedDict[bytes, Known] = OrderedDict()

    def check(self, presented: str, keys: Mapping[str, Key], peppers: Peppers) -> Known | Rejected:
        """The same as the function `check`, with what the record says of its holder."""
        if len(presented) != _KEY_CHARS or not presented.isascii():
            return Rejected(Fault.MALFORMED)  # before it is hashed
        name = hashlib.blake2b(presented.encode(), digest_size=_NAME_BYTES, key=self._secret).digest()
        known = self._known.get(name)
        if known is not None and keys.get(known.key.id) is known.key:
            return known
        found = check(presented, keys, peppers)
        if isinstance(found, Rejected):
            self._known.pop(name, None)
            return found
        known = self._known[name] = Known(found, of_key(found))
        while len(self._known) > self._remembered:
            self._known.popitem(last=False)
        return known
