"""One access token in this process's memory, kept fresh: fetched ahead, replaced when its secret was. Knows no policy.

Whoever needs it reads memory and never waits. What was sent with the token before goes on with it: tokens overlap by
their own lives.
"""

import asyncio
import contextlib
import hmac
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

import structlog

from gateway.aio import cancel_and_wait, spawn
from gateway.breaker import Breaker
from gateway.clock import Clock
from gateway.fetch import FetchError
from gateway.grants import form
from gateway.grants.form import GrantError
from gateway.policy.model import Grant
from gateway.secrets.reference import Secret, SecretError
from gateway.vault.session import Draw, renew_in_s

_log: Final = structlog.get_logger("gateway.grants")

_LOOK_S: Final = 5.0  # how late a new secret is noticed, once it is in this process or in its file
_SOON_S: Final = 0.1  # the same while there is none at all, as at the start, before the vault has answered
_OPENS_AFTER: Final = 1  # a token endpoint that refuses does so for a reason: ask it ever less
_OPEN_S: Final = (1.0, 30.0)
_MARGIN_S: Final = 30.0  # before its end a token counts no more: requests and clocks take a while
_MARGIN: Final = 0.1  # of a short life, where that is less
_LEAST_S: Final = 1.0  # between two tokens, however short they live
_REFUSED_S: Final = 30.0  # how soon after a token a provider's 401 makes another one
_DEADLINE_S: Final = 5.0
_ANSWER_BYTES: Final = 64 * 1024  # tokens have 1 to 4 KiB


class Line(Protocol):
    """A kept connection: `gateway.fetch.Line`, or a test's own."""

    async def post(self, headers: Mapping[str, str], content: bytes, max_bytes: int, deadline_s: float) -> bytes:
        """The body of a 200 answer. Raises FetchError."""
        ...

    async def close(self) -> None:
        """Hang up."""
        ...


#: The secret of this moment; None while there is none. May raise SecretError.
Read = Callable[[], Awaitable[Secret | None]]


class TokenKeeper:
    """For one event loop."""

    def __init__(
        self, grant: Grant, read: Read, line: Line, clock: Clock, draw: Draw, unique: Callable[[], str]
    ) -> None:
        self._grant = grant
        self._read = read
        self._line = line
        self._clock = clock
        self._draw = draw
        self._unique = unique
        self._breaker = Breaker(failures_to_open=_OPENS_AFTER, first_open_s=_OPEN_S[0], longest_open_s=_OPEN_S[1])
        self._token: Secret | None = None
        self._by: Secret | None = None  # the secret that it was had by
        self._until_s = -math.inf
        self._due_s = -math.inf
        self._had_s = -math.inf
        self._told = ""
        self._wake = asyncio.Event()
        self._tried = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to ask, or go on."""
        if self._task is None or self._task.cancelling():
            self._task = spawn(self._run(), "cloud-token")

    def rest(self) -> None:
        """Ask no more: the token that there is counts until its end. `start` goes on."""
        if self._task is not None:
            self._task.cancel()

    async def settled(self, within_s: float) -> bool:
        """Wait until a token was asked for once, whatever came of it. False: that took longer."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._tried.wait()
        return self._tried.is_set()

    def token(self) -> Secret | None:
        """The token of this moment, or None. Never waits."""
        return self._token if self._clock.monotonic() < self._until_s else None

    def refused(self) -> None:
        """The provider did not take it: perhaps it was revoked. Never waits."""
        now = self._clock.monotonic()
        if now - self._had_s >= _REFUSED_S:
            self._had_s, self._due_s = now, -math.inf
            self._wake.set()

    async def tend(self) -> float:
        """Do what is due. Returns the seconds until there may be more; never raises, but for cancellation."""
        now = self._clock.monotonic()
        try:
            secret, cause = await self._read(), "its secret is not there"
        except SecretError as failure:
            secret, cause = None, str(failure)
            self._tried.set()
        except Exception as bug:  # noqa: BLE001  # such as no thread to read in; a loop that ended would renew nothing
            secret, cause = None, type(bug).__name__
            self._tried.set()
        if secret is None:
            if now >= self._due_s:  # until then nobody needs it
                self._tell(cause)
            return _SOON_S if self._token is None and not self._tried.is_set() else _LOOK_S
        turned = self._by is None or not hmac.compare_digest(self._by.reveal(), secret.reveal())
        if (now >= self._due_s or turned) and self._breaker.start(now):
            try:
                await self._fetch(secret, now)
            except asyncio.CancelledError:
                self._breaker.abandoned()
                raise
            finally:
                self._tried.set()
        return max(0.0, min(self._due_s - self._clock.monotonic(), _LOOK_S)) if self._breaker.closed else _LEAST_S

    async def close(self) -> None:
        """Stop asking, forget, hang up."""
        if self._task is not None:
            await cancel_and_wait(self._task)
        self._token = self._by = None
        await self._line.close()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            pause_s = await self.tend()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._wake.wait()

    async def _fetch(self, secret: Secret, now: float) -> None:
        headers = {"content-type": "application/x-www-form-urlencoded"}
        try:
            # Reading and using an RSA key takes tens of milliseconds: not on the loop that serves requests.
            asked = await asyncio.to_thread(form.ask, self._grant, secret, self._clock.now(), self._unique())
            found = form.token_of(await self._line.post(headers, asked, _ANSWER_BYTES, _DEADLINE_S))
        except (FetchError, GrantError) as failure:
            cause = f"the token endpoint {failure}" if isinstance(failure, FetchError) else str(failure)
            self._breaker.failed(self._clock.monotonic())
            self._tell(cause)
            return
        except Exception as bug:  # noqa: BLE001  # its text may hold a secret; the circuit must hear of it
            self._breaker.failed(self._clock.monotonic())
            self._tell(type(bug).__name__)
            return
        self._breaker.succeeded()
        self._token, self._by, self._had_s = found.secret, secret, now
        self._until_s = now + found.lasts_s - min(_MARGIN_S, _MARGIN * found.lasts_s)
        self._due_s = now + max(_LEAST_S, renew_in_s(found.lasts_s, self._draw))
        self._told = ""
        _log.info("cloud_token_taken", endpoint=self._grant.token_url, lasts_s=found.lasts_s)

    def _tell(self, cause: str) -> None:
        if cause != self._told:
            self._told = cause
            _log.error("cloud_token_unavailable", endpoint=self._grant.token_url, cause=cause)
