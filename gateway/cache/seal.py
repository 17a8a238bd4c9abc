"""Names and seals of cached answers: who has no pepper cannot tell what was asked, read an answer or plant one. Pure.

The name is an HMAC over all that an answer depends on, so the prompt is nowhere in the clear. An answer is encrypted
with AES-256-GCM under a key of its tenant, bound to its name and to the moment since which it counts. Whoever can write
to Valkey can remove an entry, or put back one of the same name that has not ended yet, and nothing else.
"""

import hmac
import secrets
import struct
from collections.abc import Iterable
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

#: Separates these uses of a pepper from all others (RFC 5869 section 3.2).
_NAMES: Final = b"ostiary cache names 1 "
_SEALS: Final = b"ostiary cache seals 1 "
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12  # random, for fewer than 2^32 answers of one key (NIST SP 800-38D section 8.3)
_HEAD: Final = struct.Struct("<dQQ")  # when it was given, tokens of prompt and answer
_TENANTS: Final = 4096  # whose keys are remembered

#: When an answer was given (unix seconds), tokens of its prompt, its own tokens, its bytes.
Opened = tuple[float, int, int, bytes]


class CacheSeals:
    """Makes and opens with one pepper. With another one, everything has other names: the cache begins anew."""

    __slots__ = ("_keys", "_pepper")

    def __init__(self, pepper: bytes) -> None:
        self._pepper = pepper
        self._keys: dict[str, tuple[bytes, AESGCM]] = {}

    def name(self, tenant: str, parts: Iterable[bytes]) -> str:
        """The name of whatever these parts decide. The length of each keeps its end from being read as the next."""
        mac = hmac.new(self._of(tenant)[0], digestmod="sha256")
        for part in parts:
            mac.update(b"%d:" % len(part))
            mac.update(part)
        return mac.hexdigest()

    def close(self, tenant: str, name: str, asked_ms: int, given: Opened) -> bytes:
        """What is stored."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        plain = _HEAD.pack(*given[:3]) + given[3]
        return nonce + self._of(tenant)[1].encrypt(nonce, plain, _bound(name, asked_ms))

    def open(self, tenant: str, name: str, asked_ms: int, sealed: bytes) -> Opened | None:
        """What was closed under that name for that moment; None for anything else."""
        try:
            plain = self._of(tenant)[1].decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _bound(name, asked_ms))
        except (InvalidTag, ValueError):
            return None
        at_s, tokens_in, tokens_out = _HEAD.unpack_from(plain)
        return at_s, tokens_in, tokens_out, plain[_HEAD.size :]

    def _of(self, tenant: str) -> tuple[bytes, AESGCM]:
        found = self._keys.get(tenant)
        if found is None:
            if len(self._keys) >= _TENANTS:
                self._keys.clear()
            sealing = AESGCM(_derive(self._pepper, _SEALS + tenant.encode()))
            found = self._keys[tenant] = _derive(self._pepper, _NAMES + tenant.encode()), sealing
        return found


def _bound(name: str, asked_ms: int) -> bytes:
    return b"%b:%d" % (name.encode(), asked_ms)


def _derive(pepper: bytes, info: bytes) -> bytes:
    # No salt: a pepper is random and as long as the digest (RFC 5869 section 3.1 allows it).
    return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=info).derive(pepper)
