"""Seals: what makes an entry of the registry count only when a holder of the peppers wrote it. Pure, keeps no entry.

Stored is `<pepper version>:<mac in hex>:<value>`; the mac is HMAC-SHA-256 over sort, id and value.

Protected against whoever can write to Valkey and holds no pepper: an invented key, account, revocation or signing key;
a changed scope, tenant or expiry; an entry moved to another id or sort.

Not protected: an entry that is removed, and an older entry of the same id put back, such as a key from before it was
disabled. Whoever may write to Valkey can do both and have it look like a change of `control`; so only `control` should
be allowed to (docs/operations.md has the ACL), and its audit trail is the truth about what was done. A roll-back by
accident (a restored backup, a replaced or failed-over server) is limited: the random tips of the log of changes show
it, and a running worker then keeps every revocation that it knew (gateway.registry.replica).

Values can be read by whoever reads Valkey. They hold digests and encrypted keys, never a secret in the clear.
"""

import hmac
from collections.abc import Mapping
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.registry.model import VALUE_BYTES, Sort

#: Separates this use of a pepper from the digests of API keys (RFC 5869 section 3.2).
_INFO: Final = b"ostiary registry seal 1"
_KEY_BYTES: Final = 32  # as long as the digest (RFC 2104 section 3)
_HEX: Final = 64
_VERSION_CHARS: Final = 32  # of a pepper (gateway.secrets.reference)
#: The longest stored form: version, mac, two colons, value.
STORED_BYTES: Final = VALUE_BYTES + _VERSION_CHARS + _HEX + 2


class Seals:
    """Makes seals with the current pepper and checks those of every pepper that is held."""

    __slots__ = ("_current", "_keys")

    def __init__(self, peppers: Mapping[str, bytes]) -> None:
        """`peppers` as `gateway.secrets.reference.peppers` reads them: the last one is the current one."""
        self._keys = {version.encode(): _derive(pepper) for version, pepper in peppers.items()}
        self._current = list(self._keys)[-1]

    def close(self, sort: Sort, entry_id: str, value: bytes) -> bytes:
        """The stored form of an entry."""
        return b"%b:%b:%b" % (self._current, _mac(self._keys[self._current], sort, entry_id, value), value)

    def open(self, sort: Sort, entry_id: str, stored: bytes) -> bytes | None:
        """The value; None when the seal is missing or wrong, or of a pepper that is not held."""
        if len(stored) > STORED_BYTES:
            return None
        version, _, rest = stored.partition(b":")
        mac, _, value = rest.partition(b":")
        key = self._keys.get(version)
        if key is None or not hmac.compare_digest(mac, _mac(key, sort, entry_id, value)):
            return None
        return value


def _derive(pepper: bytes) -> bytes:
    # No salt: a pepper is random and as long as the digest (RFC 5869 section 3.1 allows it).
    return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=_INFO).derive(pepper)


def _mac(key: bytes, sort: Sort, entry_id: str, value: bytes) -> bytes:
    name = entry_id.encode()
    # The length keeps the end of an id from being read as the start of a value.
    return hmac.digest(key, b"%b:%d:%b:%b" % (sort.value.encode(), len(name), name, value), "sha256").hex().encode()
