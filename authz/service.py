"""The Check call: bytes in, bytes out, no allow but through `decide`. Knows nothing about gRPC's library.

Whatever goes wrong here is answered with a refusal. Where even that fails, `check` raises, and Envoy refuses
(`failure_mode_allow: false`).
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from authz import rate, trace, wire
from authz.apikey import RandomBytes
from authz.decide import Allowed, Ask, Refused, Waits, decide, nobody
from authz.means import Means, Opaque
from authz.rate import Limiter
from authz.tokens import Keys
from gateway import contract, errors
from gateway.audit.record import Record
from gateway.clock import Clock
from gateway.errors import PLAN, Dialect, GatewayError, Kind
from gateway.identity import Caller
from gateway.limits.bucket import Verdict
from gateway.policy.model import Issuer, Policy

_log: Final = structlog.get_logger(__name__)

#: The `code` of a check that was not refused, beside the values of `Kind`.
ALLOWED: Final = "allowed"
#: Most of a path and a method that a record keeps: routes have 20 characters, the rest is a probe's.
_PATH_CHARS: Final = 256
_METHOD_CHARS: Final = 16
#: Refusals that a guesser of credentials would meet: they count against the client's address. A revoked credential is
#: none: it is genuine, its holder will go on trying for a while, and others may come from the same address.
_GUESSES: Final = frozenset({Kind.CREDENTIAL_INVALID, Kind.CREDENTIAL_UNBOUND})
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


class Introspection(Protocol):
    """Asks servers about opaque tokens."""

    async def ask(self, token: Opaque) -> bool:
        """Ask, or join whoever asks already. True when `check` can answer now; never raises."""
        ...


class Consult(Protocol):
    """Asks OPA about a request that everything else allows."""

    async def __call__(self, ask: Ask, allowed: Allowed, policy: Policy) -> Allowed | Refused:
        """The same with obligations, or the refusal. Called only where the policy has Rego."""
        ...


class Damper(Protocol):
    """Slows down guessing: failed authentications by client address."""

    def judge(self, address: str, policy: Policy) -> GatewayError | None:
        """The refusal of an address that failed too often, before its credential is looked at."""
        ...

    def failed(self, address: str, policy: Policy) -> None:
        """The address has shown a credential that does not count."""
        ...


class Usage(Protocol):
    """Remembers when credentials were last used."""

    def used(self, key_id: str) -> None:
        """The registry's key was used now. Called for every allowed request, so it costs next to nothing."""
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
        means: Means,
        issuers: Issuers,
        limiter: Limiter,
        offer: Callable[[Record], bool],
        meter: Meter,
        clock: Clock,
        deadline_s: float,
        introspection: Introspection | None = None,
        consult: Consult | None = None,
        damper: Damper | None = None,
        usage: Usage | None = None,
        random: RandomBytes | None = None,
        full: Callable[[], bool] | None = None,
    ) -> None:
        """`full`: whether as many exchanges are open as this process may hold."""
        self._policies = policies
        self._means = means
        self._issuers = issuers
        self._limiter = limiter
        self._offer = offer
        self._meter = meter
        self._clock = clock
        self._deadline_s = deadline_s
        self._introspection = introspection
        self._consult = consult
        self._damper = damper
        self._usage = usage
        self._random = random or trace.Pool()
        self._full = full

    async def check(self, raw: bytes, _context: object = None) -> bytes:
        """Answer one serialised CheckRequest with a serialised CheckResponse."""
        started_s, began_s = self._clock.now(), self._clock.monotonic()
        ask = _UNREAD
        try:
            ask = wire.decode(raw)
            if self._full is not None and self._full():
                # Before anybody is identified: who is let in beyond it slows down those who are in.
                raise GatewayError(
                    Kind.OVERLOADED,
                    "The gateway is full. Try again shortly.",
                    cause="as many exchanges are open as this worker may hold",
                )
            policy = self._policies.current
            until_s = began_s + self._deadline_s  # for everything that has to be waited for
            decision = await self._decide(ask, policy, until_s)
            if isinstance(decision, Allowed) and policy.opa is not None:
                decision = await self._ask_opa(ask, decision, policy, until_s)
            told: tuple[tuple[str, str], ...] = ()
            if isinstance(decision, Allowed) and decision.buckets:
                spent = await self._spend(decision, until_s)
                if isinstance(spent, Refused):
                    decision = spent
                else:
                    told = rate.headers(spent)
            if isinstance(decision, Allowed):
                answer = wire.allowed(decision, told)
                self._meter.count(ALLOWED, decision.caller.tenant)
                if self._usage is not None and decision.method == "api_key":
                    self._usage.used(decision.caller.key_id)
                return answer
        except GatewayError as error:
            decision = Refused(error, self._nobody(ask))
        except Exception as bug:  # noqa: BLE001  # fail closed: nothing unforeseen may look like an allow
            decision = Refused(errors.unexpected(bug), self._nobody(ask))
        return self._refuse(ask, decision, started_s, began_s)

    async def _decide(self, ask: Ask, policy: Policy, until_s: float) -> Allowed | Refused:
        """Judge the request; once more where what it waits for arrived in time."""
        throttled = self._damper.judge(ask.address, policy) if self._damper is not None else None
        if throttled is not None:
            return Refused(throttled, self._nobody(ask))
        decision = self._judge(ask, policy)
        if isinstance(decision, Waits):
            settled = False
            with contextlib.suppress(TimeoutError):
                async with self._until(until_s):
                    settled = await self._settle(decision.what)
            if settled:
                decision = self._judge(ask, policy)
        if isinstance(decision, Waits):
            decision = decision.refused
        if isinstance(decision, Refused) and decision.error.kind in _GUESSES and self._damper is not None:
            self._damper.failed(ask.address, policy)
        return decision

    async def _settle(self, what: Issuer | Opaque) -> bool:
        if isinstance(what, Issuer):
            return await self._issuers.renew(what)
        return self._introspection is not None and await self._introspection.ask(what)

    def _judge(self, ask: Ask, policy: Policy) -> Allowed | Refused | Waits:
        return decide(ask, policy, self._means, now_s=self._clock.now(), random=self._random)

    async def _ask_opa(self, ask: Ask, decision: Allowed, policy: Policy, until_s: float) -> Allowed | Refused:
        """What Rego says. No answer is a refusal."""
        away = GatewayError(
            Kind.POLICY_ENGINE_UNAVAILABLE,
            "The gateway could not evaluate its policy in time. Try again.",
            cause="no policy engine" if self._consult is None else "policy engine: deadline",
        )
        if self._consult is None:
            return Refused(away, decision.caller)
        try:
            async with self._until(until_s):
                return await self._consult(ask, decision, policy)
        except TimeoutError:
            return Refused(away, decision.caller)
        except Exception as bug:  # noqa: BLE001  # a policy that cannot be evaluated allows nothing
            return Refused(errors.unexpected(bug), decision.caller)

    async def _spend(self, decision: Allowed, until_s: float) -> Verdict | Refused:
        """Count the request, or refuse it."""
        try:
            verdict = self._limiter.take(decision.buckets)
            if verdict is None:
                async with self._until(until_s):
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
        return verdict

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

    def _until(self, until_s: float) -> asyncio.Timeout:
        """What is left of the deadline. Timers cost, so only those who wait have one."""
        return asyncio.timeout(until_s - self._clock.monotonic())

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
        details={"opa": caller.decision} if caller.decision else {},
    )
