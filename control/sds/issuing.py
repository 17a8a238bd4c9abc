"""Keeps the listener's certificate young: issued by a vault, replaced long before its end, kept when the vault is away.

Its key is made here and goes to Envoy alone: neither the vault nor the network sees it (`pki/sign`, not `pki/issue`).
"""

import asyncio
import contextlib
import math
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog

from control.edge.issued import Issued
from control.sds import leaf, wire
from control.sds.handed import Handed
from control.sds.leaf import Leaf, LeafError
from gateway import contract
from gateway.clock import Clock
from gateway.vault.session import Draw, Session, renew_in_s
from gateway.vault.wire import VaultError

_log: Final = structlog.get_logger(__name__)

#: Between two tries: twice as long each time, up to these. The first one holds while clients cannot come in at all.
_AGAIN_S: Final = 1.0
_LONGEST_S: Final = (5.0, 30.0)
_IDLE_S: Final = 60.0  # the longest sleep: a clock that jumped costs no more
_SPREAD: Final = 0.2  # of the time between readings, either way, so that replicas drift apart
#: What is left of a life when it is time to wake somebody: renewals were due since half of it.
_LATE: Final = (0.0, 0.2)
_LEAST_S: Final = 1.0  # between two certificates: a CA that is about to end gives ever shorter ones
_MOST: Final = 16  # issuers of clients that are asked for, one by one
_ID: Final = re.compile("[A-Za-z0-9-]{1,128}")  # a vault gives UUIDs


@dataclass(frozen=True, slots=True)
class Standing:
    """How things stand, for metrics and health."""

    ends_s: float  # unix seconds; 0: there is no certificate
    failures: int  # tries that failed in a row


class Issuing:
    """For one event loop."""

    def __init__(self, issued: Issued, session: Session, handed: Handed, clock: Clock, draw: Draw) -> None:
        self._issued = issued
        self._session = session
        self._handed = handed
        self._clock = clock
        self._draw = draw
        self._wake = asyncio.Event()
        self._leaf: Leaf | None = None
        self._lasts_s = 0.0
        self._due_s = -math.inf  # unix seconds: what ends does so by that clock
        self._clients_due_s = -math.inf if issued.clients_mount else math.inf  # monotonic
        self._again_s = -math.inf  # monotonic
        self._failures = 0
        self._told = ""
        self._told_left = 1.0  # share of the life that was left when somebody was last woken

    @property
    def standing(self) -> Standing:
        """See `Standing`."""
        return Standing(self._leaf.ends_s if self._leaf else 0.0, self._failures)

    def renew(self) -> None:
        """Get a new certificate now: the CA was replaced, or somebody may know the key."""
        self._due_s = self._again_s = -math.inf
        if self._issued.clients_mount:
            self._clients_due_s = -math.inf
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._wake.clear()
            pause_s = await self.tend()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._wake.wait()

    async def tend(self) -> float:
        """Do what is due. Returns the seconds until there may be more; never raises, but for cancellation."""
        if self._clock.monotonic() >= self._again_s:
            causes = await self._round()
            if causes:
                self._failed(causes)
            elif self._failures:
                self._failures, self._told = 0, ""
                _log.info("listener_certificate_well")
        self._tell_late()
        return self._pause()

    async def close(self) -> None:
        """Give the token back. What Envoy has it keeps."""
        await self._session.close()

    async def _round(self) -> list[str]:
        """Whatever is due, each by itself: a role that may not sign must not keep the clients' CAs from changing."""
        causes: list[str] = []
        for due, act in self._acts():
            if not due():
                continue
            try:
                await act()
            except VaultError as failure:
                causes.append(f"the request {failure}")
                if failure.away or act == self._session.tend:
                    break  # the others would only log in again
            except LeafError as failure:
                causes.append(str(failure))
            except Exception as bug:  # noqa: BLE001  # its text may hold a key; a loop that ended would renew nothing
                causes.append(type(bug).__name__)
        return causes

    def _acts(self) -> tuple[tuple[Callable[[], bool], Callable[[], Awaitable[None]]], ...]:
        return (
            (lambda: self._clock.monotonic() >= self._session.due_s, self._session.tend),
            (lambda: self._clock.now() >= self._due_s, self._issue),
            (lambda: self._clock.monotonic() >= self._clients_due_s, self._read_clients),
        )

    async def _issue(self) -> None:
        asked = leaf.wanted(self._issued.names, self._issued.addresses)
        wish = {
            "csr": asked.csr,
            "common_name": self._issued.names[0],  # for roles that do not take them from the request
            "alt_names": ",".join(self._issued.names),
            "ip_sans": ",".join(self._issued.addresses),
            "ttl": f"{self._issued.lasts_s}s",
        }
        answer = await self._session.write(f"{self._issued.mount}/sign/{self._issued.role}", wish)
        now = self._clock.now()
        made = leaf.accept(answer, asked, now)
        self._leaf, self._lasts_s, self._told_left = made, made.ends_s - now, 1.0
        self._due_s = now + max(_LEAST_S, renew_in_s(self._lasts_s, self._draw))
        name = contract.LISTENER_CERTIFICATE
        self._handed.put(name, wire.certificate(name, made.sha256, made.chain, made.key))
        _log.info("listener_certificate_issued", serial=made.serial, lasts_s=round(self._lasts_s))

    async def _read_clients(self) -> None:
        """Every issuer of the engine that was not revoked: while a CA is replaced the old and the new one are there."""
        mount = self._issued.clients_mount
        data = (await self._session.read(f"{mount}/issuers?list=true")).get("data")
        listed = data.get("keys") if isinstance(data, dict) else None
        if not isinstance(listed, list) or not all(isinstance(each, str) and _ID.fullmatch(each) for each in listed):
            raise LeafError("the engine of the clients' CAs lists no issuers")
        if len(listed) > _MOST:
            raise LeafError(f"the engine of the clients' CAs has more than {_MOST} issuers")
        # Not `/json`, which everybody may read: it does not say that an issuer was revoked.
        found = [await self._session.read(f"{mount}/issuer/{each}") for each in listed]
        texts = [_certificate(each) for each in found if not _is_revoked(each)]
        if texts or not found:
            version, bundle = leaf.authorities(texts, self._clock.now())
        else:
            version, bundle = leaf.nobody(self._clock.now())
        name = contract.CLIENT_AUTHORITIES
        held = self._handed.get(name)
        if held is None or held.version != version:
            self._handed.put(name, wire.authorities(name, version, bundle))
            _log.info("client_authorities_taken", version=version[:12], count=bundle.count(b"BEGIN CERTIFICATE"))
        spread = 1 - _SPREAD + 2 * _SPREAD * self._draw()
        self._clients_due_s = self._clock.monotonic() + self._issued.vault.refresh_s * spread

    def _failed(self, causes: list[str]) -> None:
        longest_s = _LONGEST_S[self._leaf is not None]
        pause_s = min(longest_s, _AGAIN_S * 2.0 ** min(self._failures, 10)) * (0.5 + 0.5 * self._draw())
        self._failures += 1
        self._again_s = self._clock.monotonic() + pause_s
        told = "; ".join(dict.fromkeys(causes))
        if told == self._told:
            return
        self._told = told
        if self._leaf is None:
            _log.error("listener_certificate_missing", cause=told, detail="Envoy opens no port before there is one")
        else:
            left_s = round(self._leaf.ends_s - self._clock.now())
            _log.error("listener_certificate_not_renewed", cause=told, left_s=left_s)

    def _tell_late(self) -> None:
        if self._leaf is None:
            return
        left_s = self._leaf.ends_s - self._clock.now()
        share = left_s / self._lasts_s
        reached = next((each for each in _LATE if share <= each), 1.0)
        if reached < self._told_left:
            self._told_left = reached
            event = "listener_certificate_ends_soon" if reached else "listener_certificate_ended"
            _log.error(event, left_s=round(left_s), serial=self._leaf.serial)

    def _pause(self) -> float:
        now = self._clock.monotonic()
        wall_s = self._due_s - self._clock.now()
        due_s = min(self._session.due_s - now, wall_s, self._clients_due_s - now)
        return max(0.0, min(max(due_s, self._again_s - now), _IDLE_S))


def _certificate(answer: dict[str, object]) -> str:
    data = answer.get("data")
    text = data.get("certificate") if isinstance(data, dict) else None
    if not isinstance(text, str):
        raise LeafError("an issuer of clients has no certificate")
    return text


def _is_revoked(answer: dict[str, object]) -> bool:
    """Anything but a plain no: a vault from before issuers could be revoked says nothing."""
    data = answer.get("data")
    return isinstance(data, dict) and data.get("revoked", False) is not False
