"""Signing keys under the transit engine of OpenBao or HashiCorp Vault: the key-encryption key never leaves the vault.

Each use is one request with the token of the moment: an agent renews the token's file, and this reads it anew.
"""

import asyncio
import base64
import re
from pathlib import Path
from typing import Any, Final

from control.wrapper import WrapError
from gateway.secrets.reference import SecretError, read_secret
from gateway.tls import Hop
from gateway.vault.wire import DEADLINE_S, VaultError, Wire

_WRAPPED: Final = re.compile(r"vault:v[0-9]{1,9}:[A-Za-z0-9+/=]{1,32768}", re.ASCII)  # OpenBao kept Vault's word
_KEY_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)  # part of a path


class Transit:
    """Satisfies `Wrapper`.

    Every signing key lives for some days, and is wrapped once: a rotated transit key reaches all of them by itself,
    so nothing is ever wrapped anew. Keep the old versions that long (`min_decryption_version`).
    """

    def __init__(
        self, address: str, key: str, token_file: Path, hop: Hop | None, *, deadline_s: float = DEADLINE_S
    ) -> None:
        """`hop` carries the vault's CA; None for plain http, which settings allow to loopback alone."""
        if _KEY_NAME.fullmatch(key) is None:
            raise ValueError("the transit key's name has up to 64 of A-Z a-z 0-9 . _ -")
        self._wire = Wire(address, hop, deadline_s=deadline_s)
        self._key = key
        self._token_file = token_file

    async def wrap(self, name: str, plain: bytes) -> str:
        """See `Wrapper`."""
        wish = {"plaintext": base64.b64encode(plain).decode(), "associated_data": _about(name)}
        wrapped = (await self._ask("encrypt", wish)).get("ciphertext")
        if not isinstance(wrapped, str) or _WRAPPED.fullmatch(wrapped) is None:
            raise WrapError("vault: encrypt answered without a ciphertext")
        return wrapped

    async def unwrap(self, name: str, wrapped: str) -> bytes:
        """See `Wrapper`."""
        if _WRAPPED.fullmatch(wrapped) is None:
            raise WrapError("not wrapped by a vault")
        plain = (await self._ask("decrypt", {"ciphertext": wrapped, "associated_data": _about(name)})).get("plaintext")
        try:
            return base64.b64decode(plain if isinstance(plain, str) else "*", validate=True)
        except ValueError:  # binascii.Error is one; characters beyond ASCII are another
            raise WrapError("vault: decrypt answered without a plaintext") from None

    def is_current(self, wrapped: str) -> bool:
        """See `Wrapper`."""
        return _WRAPPED.fullmatch(wrapped) is not None

    async def _ask(self, verb: str, wish: dict[str, str]) -> dict[str, Any]:
        """`data` of the answer. Nothing of wish, token or answer gets into an error."""
        try:
            token = await asyncio.to_thread(read_secret, self._token_file, Path())
            answer = await self._wire.ask("POST", f"transit/{verb}/{self._key}", token=token, wish=wish)
        except SecretError as failure:
            raise WrapError(f"vault: {failure}") from None
        except VaultError as failure:
            raise WrapError(f"vault: {verb} {failure}") from None
        data = answer.get("data")
        if not isinstance(data, dict):
            raise WrapError(f"vault: {verb} was answered without data")
        return data


def _about(name: str) -> str:
    """Bound to the ciphertext (AEAD), so that a wrapped key cannot be put into another's place."""
    return base64.b64encode(f"ostiary signing key\0{name}".encode()).decode()
