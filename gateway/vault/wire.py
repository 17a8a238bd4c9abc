"""One request to OpenBao or HashiCorp Vault: bounded in time and bytes, nothing of it in an error. Keeps no token."""

import asyncio
import ssl
from typing import Any, Final, Protocol

import httpx

from gateway import strict
from gateway.secrets.reference import Secret
from gateway.tls import Hop

DEADLINE_S: Final = 3.0  # a vault answers within milliseconds
_ANSWER_BYTES: Final = 64 * 1024  # a wrapped RSA key has 3 KiB, a secret of a provider less
_TOO_MANY: Final = 429  # the vault's own quota
_SERVER: Final = 500  # from here on the vault speaks of itself; sealed is 503
NOT_ALLOWED: Final = 403  # a token that ended, or one that may not


class VaultError(Exception):
    """Why there is no answer. Completes the sentence "the request ..."; holds no secret, no path and no address."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status  # 0: no answer

    @property
    def away(self) -> bool:
        """Whether the vault could not serve, rather than refused this request."""
        return not self.status or self.status == _TOO_MANY or self.status >= _SERVER


class Asks(Protocol):
    """A way to a vault: `Wire`, or a test's own."""

    async def ask(
        self, method: str, path: str, *, token: Secret | None = None, wish: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """The answer to one request, {} where it has none. Raises VaultError."""
        ...


class Wire:
    """Satisfies `Asks`. A connection for each request: they are seconds apart, and certificates may turn between."""

    def __init__(self, address: str, hop: Hop | None, *, namespace: str = "", deadline_s: float = DEADLINE_S) -> None:
        """`hop` carries the vault's CA and our certificate; None for plain http, which is for loopback alone."""
        if (hop is None) is not address.startswith("http://"):
            raise ValueError("https needs certificates, and nothing else does")
        self._base = f"{address.rstrip('/')}/v1/"
        self._hop = hop
        self._deadline_s = deadline_s
        # A client that forwards is told by `x-vault-request` that this is no forged browser request.
        self._headers = {"x-vault-request": "true", "accept-encoding": "identity"}
        if namespace:
            self._headers["x-vault-namespace"] = namespace

    async def ask(
        self, method: str, path: str, *, token: Secret | None = None, wish: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """See `Asks`."""
        headers = dict(self._headers)
        if token is not None:
            headers["x-vault-token"] = token.reveal()
        try:
            async with asyncio.timeout(self._deadline_s):
                status, raw = await self._send(method, path, headers, wish)
        except TimeoutError:
            raise VaultError(f"got no answer within {self._deadline_s:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as failure:
            raise VaultError(f"failed: {type(failure).__name__}") from None
        if status == httpx.codes.NO_CONTENT:
            return {}
        if status != httpx.codes.OK:
            raise VaultError(f"was answered {status}", status)  # the body may quote what was asked
        try:
            return strict.json_object(raw)
        except ValueError:
            raise VaultError("was answered without a JSON object") from None

    async def _send(
        self, method: str, path: str, headers: dict[str, str], wish: dict[str, Any] | None
    ) -> tuple[int, bytes]:
        # Plain http is given a context that trusts nobody: reading the host's roots takes a while.
        trust = self._hop.context() if self._hop is not None else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        async with (
            httpx.AsyncClient(
                verify=trust, trust_env=False, follow_redirects=False, timeout=self._deadline_s
            ) as client,
            client.stream(method, self._base + path, json=wish, headers=headers) as answer,
        ):
            raw = bytearray()
            async for chunk in answer.aiter_raw():
                raw += chunk
                if len(raw) > _ANSWER_BYTES:
                    raise VaultError(f"was answered more than {_ANSWER_BYTES} bytes")
            return answer.status_code, bytes(raw)
