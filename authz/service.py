"""The Check call: bytes in, bytes out, no allow but through `decide`. Knows nothing about gRPC's library.

Whatever goes wrong here is answered with a refusal. Where even that fails, `check` raises, and Envoy refuses
(`failure_mode_allow: false`).
"""

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from authz import rate, trace, wire
from authz.apikey import Peppers, RandomBytes
from authz.decide import Allowed, Ask, Refused, Waits, decide, nobody
from authz.rate import Limiter
from authz.tokens import Keys, Tokens
from gateway import contract, errors
from gateway.audit.record import Record
from gateway.clock import Clock
from gateway.errors import PLAN, Dialect, GatewayError, Kind
from gateway.identity import Caller
from gateway.policy.model import Issuer, Policy

_log: Final = structlog.get_logger(__name__)

#: The `code` of a check that was not refused, beside the values of `Kind`.
ALLOWED: Final = "allowed"
#: Most of a path and a method that a record keeps: routes have 20 characters, the rest is a probe's.
_PATH_CHARS: Final = 256
_METHOD_CHARS: Final = 16
#: What is known of a request that could not be read.
_UNREAD: Final = Ask("", "", ())


class Policies(Protocol):
    """Where the policy of the moment comes from."""

    @property
    def current(self) -> Policy:
        """The policy that new requests are judged by. May raise GatewayError when there is none."""
        ...


class Issuers(Keys, Protocol):
    """Where the keys of token issuers come from."""

    async def renew(self, issuer: Issuer) -> bool:
        """Fetch them sooner, if it is not too soon. True when there are other ones now."""
        ...


class Meter(Protocol):
    """The counter that authz needs."""

    def count(self, code: str, tenant: str) -> None:
        """One more check that ended with `code`; `tenant` is empty where nobody was identified."""
        ...


class Authorization:
    """Envoy's Authorization service."""

    def __init__(
        self,
        *,
        policies: Policies,
        peppers: Peppers,
        issuers: Issuers,
        limiter: Limiter,
        offer: Callable[[Record], bool],
        meter: Meter,
        clock: Clock,
        deadline_s: float,
        random: RandomBytes = secrets.token_bytes,
    ) -> None:
        self._policies = policies
        self._peppers = peppers
        self._issuers = issuers
        self._tokens = Tokens(issuers)
        self._limiter = limiter
        self._offer = offer
        self._meter = meter
        self._clock = clock
        self._deadline_s = deadline_s
        self._random = random

    async def check(self, raw: bytes, _context: object = None) -> bytes:
        """Answer one serialised CheckRequest with a serialised CheckResponse."""
        started_s, began_s = self._clock.now(), self._clock.monotonic()
        ask = _UNREAD
        try:
            ask = wire.decode(raw)
            until_s = asyncio.get_running_loop().time() + self._deadline_s  # for everything that has to be waited for
            decision = await self._decide(ask, until_s)
            if isinstance(decision, Allowed) and decision.buckets:
                decision = await self._spend(decision, until_s)
            if isinstance(decision, Allowed):
                answer = wire.allowed(decision)
                self._meter.count(ALLOWED, decision.caller.tenant)
                return answer
        except GatewayError as error:
            decision = Refused(error, self._nobody(ask))
        except Exception as bug:  # noqa: BLE001  # fail closed: nothing unforeseen may look like an allow
            decision = Refused(errors.unexpected(bug), self._nobody(ask))
        return self._refuse(ask, decision, started_s, began_s)

    async def _decide(self, ask: Ask, until_s: float) -> Allowed | Refused:
        """Judge the request; once more where newer keys of a token's issuer arrived in time."""
        decision = self._judge(ask)
        if isinstance(decision, Waits):
            renewed = False
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(until_s):
                    renewed = await self._issuers.renew(decision.issuer)
            if renewed:
                decision = self._judge(ask)
        return decision.refused if isinstance(decision, Waits) else decision

    def _judge(self, ask: Ask) -> Allowed | Refused | Waits:
        policy, now_s = self._policies.current, self._clock.now()
        return decide(ask, policy, self._peppers, self._tokens, now_s=now_s, random=self._random)

    async def _spend(self, decision: Allowed, until_s: float) -> Allowed | Refused:
        """Count the request, or refuse it."""
        try:
            async with asyncio.timeout_at(until_s):
                verdict = await self._limiter.spend(decision.buckets)
        except TimeoutError:
            late = GatewayError(
                Kind.OVERLOADED,
                "The gateway could not check your rate limit in time. Try again.",
                cause="limiter deadline",
            )
            return Refused(late, decision.caller)
        except Exception as bug:  # noqa: BLE001  # a limit that cannot be counted is not a limit
            return Refused(errors.unexpected(bug), decision.caller)
        if not verdict.allowed:
            return Refused(rate.throttled(verdict), decision.caller, rate.headers(verdict))
        return decision

    def _refuse(self, ask: Ask, refused: Refused, started_s: float, began_s: float) -> bytes:
        """Put the refusal on record, count it, and say it. What cannot be put on record is told as that."""
        record = _record(ask, refused, started_s, self._clock.monotonic() - began_s)
        if not self._offer(record):
            unrecorded = GatewayError(
                Kind.AUDIT_UNAVAILABLE,
                "The gateway cannot put this request on record and refused it. Tell your platform team.",
                cause=f"audit queue full; it would have recorded {refused.error.kind.value}",
            )
            refused = Refused(unrecorded, refused.caller)
        error, caller = refused.error, refused.caller
        self._meter.count(error.kind.value, caller.tenant)
        _log.warning(
            "request refused",
            code=error.kind.value,
            cause=error.cause,
            tenant=caller.tenant,
            key_id=caller.key_id,
            request_id=caller.request_id,
        )
        rendered = errors.render(error, Dialect.of_path(ask.path), caller.request_id)
        extra = (
            (contract.REFUSED_BY_HEADER, "authz"),
            (contract.REQUEST_ID_HEADER, caller.request_id),
            *refused.headers,
        )
        return wire.denied(rendered, extra, PLAN[error.kind].grpc, caller)

    def _nobody(self, ask: Ask) -> Caller:
        given = [value for name, value in ask.headers if name == contract.REQUEST_ID_HEADER]
        return nobody(trace.request_id(given, self._random), trace.new_traceparent(self._random))


def _record(ask: Ask, refused: Refused, started_s: float, duration_s: float) -> Record:
    error, caller = refused.error, refused.caller
    return Record(
        writer="authz",
        request_id=caller.request_id,
        started_at=started_s,
        duration_s=duration_s,
        tenant=caller.tenant,
        principal=caller.principal,
        key_id=caller.key_id,
        policy=caller.policy,
        method=ask.method[:_METHOD_CHARS],
        path=ask.path[:_PATH_CHARS],
        status=PLAN[error.kind].http,
        outcome="refused",
        code=error.kind.value,
        reason=error.cause,
    )
