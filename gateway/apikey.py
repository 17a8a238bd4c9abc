"""API keys `osk_<id>_<secret>`: their form, minting and digests. Checks no key, reads no file, logs nothing."""

import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, TypeAlias

#: Random bytes of the given number: `secrets.token_bytes`, or a test's own.
RandomBytes: TypeAlias = Callable[[int], bytes]

PREFIX: Final = "osk_"  # lets secret scanners and our own redaction recognise a key
ID_CHARS: Final = 12
SECRET_CHARS: Final = 43  # 62**43 > 2**256: holds the SECRET_BYTES without loss
SECRET_BYTES: Final = 32

_BASE36: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#: Fixed length, so that matching hostile input ends after 60 characters.
FORM: Final = re.compile(rf"osk_([0-9a-z]{{{ID_CHARS}}})_[0-9A-Za-z]{{{SECRET_CHARS}}}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Peppers:
    """HMAC keys by version. New API keys use `current`; older versions stay for as long as keys name them."""

    current: str
    secrets: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def of(cls, secrets: Mapping[str, bytes]) -> "Peppers":
        """Peppers as `gateway.secrets.reference.peppers` reads them: the last one is the current one."""
        return cls(current=list(secrets)[-1], secrets=MappingProxyType(dict(secrets)))


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


def new_id(random: RandomBytes) -> str:
    """A public key id. 128 random bits reduced to 62: the bias is beyond notice, and an id is no secret."""
    return _spell(int.from_bytes(random(16)) % len(_BASE36) ** ID_CHARS, _BASE36, ID_CHARS)


def mint(key_id: str, random: RandomBytes, peppers: Peppers) -> Minted:
    """A new key under the current pepper."""
    secret = _spell(int.from_bytes(random(SECRET_BYTES)), _BASE62, SECRET_CHARS)
    text = f"{PREFIX}{key_id}_{secret}"
    if FORM.fullmatch(text) is None:
        raise ValueError(f"a key id has {ID_CHARS} characters of 0-9 and a-z")
    return Minted(text, key_id, digest(text, peppers.secrets[peppers.current]), peppers.current)


def _spell(number: int, alphabet: str, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(alphabet))
        digits.append(alphabet[digit])
    return "".join(reversed(digits))
