"""Signing keys under the transit engine of OpenBao or HashiCorp Vault: the key-encryption key never leaves the vault.

Each use is one request with the token of the moment: an agent renews the token's file, and this reads it anew.
"""

import asyncio
import base64
import re
import ssl
from pathlib import Path
from typing import Any, Final

import httpx

from control.wrapper import WrapError
from gateway import strict
from gateway.secrets.reference import SecretError, read_secret
from gateway.tls import Hop

_DEADLINE_S: Final = 3.0  # a vault answers within milliseconds; `control` asks at start and once a turn of the keys
_ANSWER_BYTES: Final = 64 * 1024  # a wrapped RSA key has 3 KiB
_WRAPPED: Final = re.compile(r"vault:v[0-9]{1,9}:[A-Za-z0-9+/=]{1,32768}", re.ASCII)  # OpenBao kept Vault's word
_KEY_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)  # part of a path


class Transit:
    """Satisfies `Wrapper`.

    Every signing key lives for some days, and is wrapped once: a rotated transit key reaches all of them by itself,
    so nothing is ever wrapped anew. Keep the old versions that long (`min_decryption_version`).
    """

    def __init__(
        self, address: str, key: str, token_file: Path, hop: Hop | None, *, deadline_s: float = _DEADLINE_S
    ) -> None:
        """`hop` carries the vault's CA; None for plain http, which settings allow to loopback alone."""
        if _KEY_NAME.fullmatch(key) is None:
            raise ValueError("the transit key's name has up to 64 of A-Z a-z 0-9 . _ -")
        if (hop is None) is not address.startswith("http://"):
            raise ValueError("https needs certificates, and nothing else does")
        self._base = f"{address.rstrip('/')}/v1/transit"
        self._key = key
        self._token_file = token_file
        self._hop = hop
        self._deadline_s = deadline_s

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
            async with asyncio.timeout(self._deadline_s):
                token = (await asyncio.to_thread(read_secret, self._token_file, Path())).reveal()
                status, raw = await self._post(f"{self._base}/{verb}/{self._key}", wish, token)
        except SecretError as failure:
            raise WrapError(f"vault: {failure}") from None
        except TimeoutError:
            raise WrapError(f"vault: no answer within {self._deadline_s:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as failure:
            raise WrapError(f"vault: {verb} failed: {type(failure).__name__}") from None
        if status != httpx.codes.OK:
            raise WrapError(f"vault: {verb} answered {status}")
        try:
            data = strict.json_object(raw).get("data")
        except ValueError:
            data = None
        if not isinstance(data, dict):
            raise WrapError(f"vault: {verb} answered without data")
        return data

    async def _post(self, url: str, wish: dict[str, str], token: str) -> tuple[int, bytes]:
        # Plain http is given a context that trusts nobody: reading the host's roots takes a while.
        trust = self._hop.context() if self._hop is not None else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        headers = {"x-vault-token": token, "x-vault-request": "true", "accept-encoding": "identity"}
        # A client for each use: they are hours apart, and the next one may need other certificates.
        async with (
            httpx.AsyncClient(
                verify=trust, trust_env=False, follow_redirects=False, timeout=self._deadline_s
            ) as client,
            client.stream("POST", url, json=wish, headers=headers) as answer,
        ):
            raw = bytearray()
            async for chunk in answer.aiter_raw():
                raw += chunk
                if len(raw) > _ANSWER_BYTES:
                    raise WrapError(f"vault: answered more than {_ANSWER_BYTES} bytes")
            return answer.status_code, bytes(raw)


def _about(name: str) -> str:
    """Bound to the ciphertext (AEAD), so that a wrapped key cannot be put into another's place."""
    return base64.b64encode(f"ostiary signing key\0{name}".encode()).decode()
