"""One worker's token of a vault: logged in for, renewed in time, replaced when it ended. Knows no secret of others."""

import asyncio
import hmac
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import structlog

from gateway.clock import Clock
from gateway.policy.model import Vault
from gateway.secrets.reference import Secret, SecretError, read_secret
from gateway.tls import Hop, HopError, HopFiles
from gateway.vault import reading
from gateway.vault.reading import Reading, whole
from gateway.vault.wire import NOT_ALLOWED, Asks, VaultError, Wire

_log: Final = structlog.get_logger("gateway.vault")

#: Makes the way to a vault; relative files start at the directory. May read files.
Dial = Callable[[Vault, Path], Asks]
#: Draws from [0, 1).
Draw = Callable[[], float]

#: Tokens and leases are renewed between these shares of their life: late enough to be worth it, early enough for
#: several attempts, and at another moment in each worker.
_SHARES: Final = (0.5, 0.7)
#: One that was renewed for less than this share of its first life is near its longest life, and is replaced.
_WORN: Final = 0.5
_RELOGIN_S: Final = 5.0  # a path that nobody may read must not make a login of each reading


def dial(vault: Vault, directory: Path) -> Asks:
    """The real way to a vault. Raises HopError."""
    if vault.address.startswith("http://"):
        return Wire(vault.address, None, namespace=vault.namespace)
    files = HopFiles(
        ca_file=_path(directory, vault.ca_file),
        cert_file=_path(directory, vault.auth.cert_file),
        key_file=_path(directory, vault.auth.key_file),
    )
    return Wire(vault.address, Hop(files), namespace=vault.namespace)


def renew_in_s(ttl_s: float, draw: Draw) -> float:
    """When to renew what lives `ttl_s` from now."""
    low, high = _SHARES
    return ttl_s * (low + (high - low) * draw())


def is_worn(ttl_s: float, first_s: float) -> bool:
    """Whether a renewal gave so little that a new one is needed."""
    return ttl_s < first_s * _WORN


@dataclass(slots=True)
class _Token:
    secret: Secret
    ttl_s: int  # when it was made; 0: it does not end
    renewable: bool
    due_s: float  # monotonic
    made_s: float = field(default=0.0)


class Session:
    """For one event loop, and one request at a time."""

    def __init__(self, vault: Vault, directory: Path, clock: Clock, draw: Draw, dial: Dial = dial) -> None:
        self.name = "vault"  # in log lines
        self._vault = vault
        self._directory = directory
        self._clock = clock
        self._draw = draw
        self._dial = dial
        self._way: Asks | None = None
        self._token: _Token | None = None
        #: Counts tokens: what was leased under an earlier one ends with it.
        self.epoch = 0

    @property
    def due_s(self) -> float:
        """When `tend` has something to do, in monotonic seconds."""
        return -math.inf if self._token is None else self._token.due_s

    async def tend(self) -> None:
        """Log in or renew, where it is due. Raises VaultError."""
        token = await self._current()
        if self._clock.monotonic() < token.due_s:
            return
        if token.renewable and await self._renewed(token):
            return
        if self._vault.auth.method == "token_file":
            # Whoever wrote the file puts a new one there; until then this one is all there is.
            token.due_s = self._clock.monotonic() + _RELOGIN_S
            return
        await self._log_in()

    async def read(self, path: str) -> dict[str, Any]:
        """The answer to a read. Raises VaultError."""
        return await self._do("GET", path, None)

    async def reading(self, path: str) -> Reading:
        """The secret that such an answer holds. Raises VaultError."""
        return reading.read(await self.read(path))

    async def write(self, path: str, wish: dict[str, Any]) -> dict[str, Any]:
        """The answer to a write. Raises VaultError."""
        return await self._do("POST", path, wish)

    async def renew(self, lease_id: str, ttl_s: int) -> int:
        """How long the lease lives on from now. Raises VaultError."""
        wish = {"lease_id": lease_id, "increment": ttl_s}
        return whole((await self._do("POST", "sys/leases/renew", wish)).get("lease_duration"))

    async def close(self) -> None:
        """Give the token back, with all that was leased under it. One out of a file is not ours to end."""
        token, self._token = self._token, None
        if token is None or self._vault.auth.method == "token_file":
            return
        try:
            await (await self._line()).ask("POST", "auth/token/revoke-self", token=token.secret, wish={})
        except VaultError as failure:
            _log.info("vault_token_left", cause=str(failure))  # it ends by itself

    async def _do(self, method: str, path: str, wish: dict[str, Any] | None) -> dict[str, Any]:
        token = await self._current()
        way = await self._line()
        try:
            return await way.ask(method, path, token=token.secret, wish=wish)
        except VaultError as failure:
            if failure.status != NOT_ALLOWED or not await self._ended(token):
                raise
        self._token = None
        token = await self._current()
        return await way.ask(method, path, token=token.secret, wish=wish)

    async def _ended(self, token: _Token) -> bool:
        """Whether a refusal is about the token, which can be replaced, and not about what it may."""
        if self._clock.monotonic() - token.made_s < _RELOGIN_S:
            return False
        try:
            await (await self._line()).ask("GET", "auth/token/lookup-self", token=token.secret)
        except VaultError as failure:
            return failure.status == NOT_ALLOWED
        return False

    async def _current(self) -> _Token:
        if self._vault.auth.method == "token_file":
            return await self._of_file()
        return self._token or await self._log_in()

    async def _of_file(self) -> _Token:
        """The token in the file of this moment: an agent may have renewed it."""
        secret = await self._secret(self._vault.auth.token_file)
        held = self._token
        if held is not None and hmac.compare_digest(held.secret.reveal(), secret.reveal()):
            return held
        try:
            told = (await (await self._line()).ask("GET", "auth/token/lookup-self", token=secret)).get("data")
        except VaultError as failure:
            if failure.away or failure.status == NOT_ALLOWED:
                raise
            told = None
        told = told if isinstance(told, dict) else {}
        return self._take(secret, whole(told.get("ttl")), renewable=told.get("renewable") is True)

    async def _log_in(self) -> _Token:
        auth = self._vault.auth
        match auth.method:
            case "approle":
                wish = {
                    "role_id": (await self._secret(auth.role_id_file)).reveal(),
                    "secret_id": (await self._secret(auth.secret_id_file)).reveal(),
                }
            case "kubernetes":
                wish = {"role": auth.role, "jwt": (await self._secret(auth.jwt_file)).reveal()}
            case "cert":  # the certificate of the connection says who this is
                wish = {"name": auth.role} if auth.role else {}
            case other:
                raise VaultError(f"has no way to log in: {other}")
        way = await self._line()
        try:
            answer = await way.ask("POST", f"auth/{auth.mount}/login", wish=wish)
        except VaultError as failure:
            raise VaultError(f"for a login {failure}", failure.status) from None
        told = answer.get("auth")
        text = told.get("client_token") if isinstance(told, dict) else None
        if not isinstance(told, dict) or not isinstance(text, str) or not text:
            raise VaultError("was answered without a token")
        token = self._take(Secret(text), whole(told.get("lease_duration")), renewable=told.get("renewable") is True)
        _log.info("vault_login", method=auth.method, ttl_s=token.ttl_s, renewable=token.renewable)
        return token

    async def _renewed(self, token: _Token) -> bool:
        """Whether the token lives on for long enough."""
        way = await self._line()
        try:
            told = (await way.ask("POST", "auth/token/renew-self", token=token.secret, wish={})).get("auth")
        except VaultError as failure:
            if failure.away:
                raise
            return False
        ttl_s = whole(told.get("lease_duration")) if isinstance(told, dict) else 0
        if is_worn(ttl_s, token.ttl_s):
            return False
        token.due_s = self._clock.monotonic() + renew_in_s(ttl_s, self._draw)
        return True

    def _take(self, secret: Secret, ttl_s: int, *, renewable: bool) -> _Token:
        now = self._clock.monotonic()
        due_s = now + renew_in_s(ttl_s, self._draw) if ttl_s else math.inf
        self._token = _Token(secret, ttl_s, renewable, due_s, now)
        self.epoch += 1
        return self._token

    async def _line(self) -> Asks:
        """The way to the vault. Made late: a file that is not there yet must not keep a worker from starting."""
        if self._way is None:
            try:
                self._way = await asyncio.to_thread(self._dial, self._vault, self._directory)
            except (HopError, ValueError) as failure:
                raise VaultError(f"cannot be made: {failure}") from None
        return self._way

    async def _secret(self, file: str) -> Secret:
        try:
            return await asyncio.to_thread(read_secret, file, self._directory)
        except SecretError as failure:
            raise VaultError(f"cannot be made: {failure}") from None


def _path(directory: Path, file: str) -> Path | None:
    return directory / file if file else None
