"""API keys `osk_<id>_<secret>`: minting, digests and constant-time checking. Reads no file, logs nothing."""

import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Final, TypeAlias

from gateway.policy.model import Key

#: Random bytes of the given number: `secrets.token_bytes`, or a test's own.
RandomBytes: TypeAlias = Callable[[int], bytes]

PREFIX: Final = "osk_"  # lets secret scanners and our own redaction recognise a key
ID_CHARS: Final = 12
SECRET_CHARS: Final = 43  # 62**43 > 2**256: holds the SECRET_BYTES without loss
SECRET_BYTES: Final = 32

_BASE36: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#: Fixed length, so that matching hostile input ends after 60 characters.
_FORM: Final = re.compile(rf"osk_([0-9a-z]{{{ID_CHARS}}})_[0-9A-Za-z]{{{SECRET_CHARS}}}", re.ASCII)
#: As long as a digest. Compared with when there is no digest to compare with; the result is not looked at.
_NO_DIGEST: Final = "0" * 64


@dataclass(frozen=True, slots=True)
class Peppers:
    """HMAC keys by version. New API keys use `current`; older versions stay for as long as keys name them."""

    current: str
    secrets: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def of(cls, secrets: Mapping[str, bytes]) -> "Peppers":
        """Peppers as `gateway.secrets.reference.peppers` reads them: the last one is the current one."""
        return cls(current=list(secrets)[-1], secrets=MappingProxyType(dict(secrets)))


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


@dataclass(frozen=True, slots=True)
class Minted:
    """A new key: `text` goes to its owner and is not kept; the rest goes into the policy."""

    text: str = field(repr=False)
    id: str
    digest: str
    pepper: str


def digest(text: str, pepper: bytes) -> str:
    """HMAC-SHA-256 of the whole key in hex: what the policy stores."""
    return hmac.digest(pepper, text.encode(), "sha256").hex()


def check(presented: str, keys: Mapping[str, Key], peppers: Peppers) -> Key | Rejected:
    """The policy's record of the presented key, or why there is none.

    Every well-formed key costs one digest and one comparison, so time does not tell which ids exist. Expiry
    is left to the caller of this function: it may be told to whoever holds the secret.
    """
    form = _FORM.fullmatch(presented)
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


def new_id(random: RandomBytes) -> str:
    """A public key id. 128 random bits reduced to 62: the bias is beyond notice, and an id is no secret."""
    return _spell(int.from_bytes(random(16)) % len(_BASE36) ** ID_CHARS, _BASE36, ID_CHARS)


def mint(key_id: str, random: RandomBytes, peppers: Peppers) -> Minted:
    """A new key under the current pepper."""
    secret = _spell(int.from_bytes(random(SECRET_BYTES)), _BASE62, SECRET_CHARS)
    text = f"{PREFIX}{key_id}_{secret}"
    if _FORM.fullmatch(text) is None:
        raise ValueError(f"a key id has {ID_CHARS} characters of 0-9 and a-z")
    return Minted(text, key_id, digest(text, peppers.secrets[peppers.current]), peppers.current)


def _spell(number: int, alphabet: str, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(alphabet))
        digits.append(alphabet[digit])
    return "".join(reversed(digits))
