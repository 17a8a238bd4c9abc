"""Signing keys under a key-encryption key of this host: AES-256-GCM, the key in a file, versions for its rotation.

The file has lines `version: hex`, 32 bytes each; the last one encrypts, all of them decrypt. To change the key, add a
line; once `control` has said that every signing key is wrapped anew, the old line may go.
"""

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from control.wrapper import WrapError
from gateway.apikey import RandomBytes
from gateway.secrets.reference import SecretError, versions

_KEY_BYTES: Final = 32
#: Drawn at random for each wrap. At 2**32 of them under one key a repetition becomes likely enough to matter (NIST
#: SP 800-38D section 8.3); a gateway wraps two keys a day.
_NONCE_BYTES: Final = 12
_FORM: Final = "kek1"  # names this format, so that another one can be told from it


class LocalKek:
    """Satisfies `Wrapper`."""

    def __init__(self, keys: Mapping[str, bytes], random: RandomBytes) -> None:
        """Keys by version; the last one is the current one."""
        for version, key in keys.items():
            if len(key) != _KEY_BYTES:
                raise SecretError(f"key-encryption key {version} has {len(key)} bytes, not {_KEY_BYTES}")
        self._ciphers = {version: AESGCM(key) for version, key in keys.items()}
        self._current = list(keys)[-1]
        self._random = random

    @classmethod
    def read(cls, path: Path, random: RandomBytes) -> "LocalKek":
        """The keys in a file that not every local user may read.

        Raises:
            SecretError: the file cannot be used; says why and tells no byte of it.
        """
        return cls(versions(path, "key-encryption key"), random)

    async def wrap(self, name: str, plain: bytes) -> str:
        """See `Wrapper`."""
        nonce = self._random(_NONCE_BYTES)
        sealed = nonce + self._ciphers[self._current].encrypt(nonce, plain, _about(self._current, name))
        return f"{_FORM}.{self._current}.{base64.b64encode(sealed).decode()}"

    async def unwrap(self, name: str, wrapped: str) -> bytes:
        """See `Wrapper`."""
        version, text = _split(wrapped)
        cipher = self._ciphers.get(version)
        if cipher is None:
            raise WrapError("wrapped under a version of the key-encryption key that is not in the file")
        try:
            sealed = base64.b64decode(text, validate=True)
            return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _about(version, name))
        except (InvalidTag, binascii.Error, ValueError):
            raise WrapError("not wrapped by this key-encryption key, or under another name") from None

    def is_current(self, wrapped: str) -> bool:
        """See `Wrapper`."""
        try:
            return _split(wrapped)[0] == self._current
        except WrapError:
            return False


def _split(wrapped: str) -> tuple[str, str]:
    """Version and text. Versions may hold dots, base64 holds none."""
    form, _, rest = wrapped.partition(".")
    version, dot, text = rest.rpartition(".")
    if form != _FORM or not dot:
        raise WrapError("not wrapped by a local key-encryption key")
    return version, text


def _about(version: str, name: str) -> bytes:
    """Bound to the text, so that a wrapped key cannot be put into another's place."""
    return f"ostiary signing key\0{version}\0{name}".encode()
