"""Asks OPA about a request that everything else allows, and turns its word into obligations or a refusal.

Implements `authz.service.Consult`. A policy that says no, or nothing that can be carried out, is `policy_denied`;
a policy that nobody could evaluate is `policy_engine_unavailable`. Neither is ever an allow.
"""

from dataclasses import dataclass, replace
from typing import Final

import orjson
import structlog

from authz.decide import Allowed, Ask, Refused
from authz.opa import cache, evaluator, input, library, result  # noqa: A004  # `input` is Rego's own word
from authz.opa.embedded import Embedded, Lanes
from authz.opa.evaluator import AwayError, BrokenError, Evaluator
from authz.opa.input import Question
from authz.opa.result import Decided, ResultError
from gateway import obligation
from gateway.aio import spawn, within
from gateway.clock import Clock
from gateway.errors import GatewayError, Kind
from gateway.policy.model import Policy

_log: Final = structlog.get_logger(__name__)
#: Versions whose evaluator is kept: the current one, and the one that requests in flight were taken in with.
_KEPT: Final = 2
_TOLD_REASONS: Final = 4  # in the caller's message; the record has all

_NO_REASON: Final = "The gateway's policy does not allow this request. Ask your platform team."
_UNUSABLE: Final = (
    "The gateway's policy gave no decision about this request, so it was refused. Tell your platform team."
)
_AWAY: Final = "The gateway could not evaluate its policy in time. Try again."


@dataclass(frozen=True, slots=True)
class _Settled:
    """A decision and how it is told when it is given once more."""

    decided: Decided
    again: str


class Consultation:
    """The evaluators of the versions in use, and the decisions that they made. For one event loop."""

    def __init__(self, clock: Clock, *, entries: int = cache.ENTRIES) -> None:
        self._clock = clock
        self._decisions: cache.Decisions[_Settled] = cache.Decisions(entries)
        self._held: dict[str, Evaluator] = {}
        self._lanes: Lanes | None = None

    def build(self, policy: Policy) -> Evaluator | None:
        """Compile or connect, beside what is in use. Blocks for tens of milliseconds: call it in a thread.

        Raises:
            authz.opa.library.LibraryError: the sources do not compile, or there is no library.
            gateway.tls.HopError: the server's certificates cannot be used.
        """
        opa = policy.opa
        if opa is None:
            return None
        held = self._held.get(policy.version)
        if held is not None:
            return held
        if opa.url is not None:
            from authz.opa.remote import Remote  # noqa: PLC0415  # 20 MiB that a policy without a server need not hold

            return Remote(opa, policy.credential_dir, self._clock)
        engine = library.Engine(opa)
        if self._lanes is None:
            self._lanes = Lanes(self._clock)
        return Embedded(engine, self._lanes, opa.deadline_ms / 1000)

    def take(self, policy: Policy, built: Evaluator | None) -> None:
        """From now on `policy` may be asked about. Call it before the policy becomes current."""
        if built is not None:
            before = self._held.pop(policy.version, built)
            if before is not built:  # two reloads at once built the same version
                spawn(before.close(), "opa-close")
            self._held[policy.version] = built
        while len(self._held) > _KEPT:
            version = next(iter(self._held))
            spawn(self._held.pop(version).close(), "opa-close")

    async def close(self) -> None:
        """Let go of everything."""
        while self._held:
            await self._held.popitem()[1].close()
        if self._lanes is not None:
            self._lanes.close()

    async def __call__(self, ask: Ask, allowed: Allowed, policy: Policy) -> Allowed | Refused:
        """See `authz.service.Consult`."""
        question = Question(ask, allowed)
        key = cache.key_of(question, policy)
        settled = self._decisions.get(key) if key is not None else None
        if settled is not None:
            return _carry(settled.decided, settled.again, allowed)
        try:
            decided = result.read(await self._evaluate(question, policy))
            _check_guards(decided, allowed, policy)
        except AwayError as away:
            return _refuse(Kind.POLICY_ENGINE_UNAVAILABLE, _AWAY, str(away), allowed)
        except (BrokenError, ResultError) as broken:
            return _refuse(Kind.POLICY_DENIED, _UNUSABLE, f"decision: {broken}", allowed)
        if key is not None:
            self._decisions.put(key, _Settled(decided, _told(decided, cached=True)))
        return _carry(decided, _told(decided, cached=False), allowed)

    async def _evaluate(self, question: Question, policy: Policy) -> object:
        held = self._held.get(policy.version)
        if held is None or policy.opa is None:
            raise AwayError("no evaluator for this policy version")
        caller = question.allowed.caller
        document = input.document(question, self._clock.now())
        try:
            async with within(policy.opa.deadline_ms / 1000):
                return await held.evaluate(document, (caller.tenant, caller.principal))
        except TimeoutError:
            raise AwayError(evaluator.LATE) from None


def _check_guards(decided: Decided, allowed: Allowed, policy: Policy) -> None:
    """A tenant's policy has a setting for every rule there is."""
    if not decided.obligations.guards <= policy.tenants[allowed.caller.tenant].request.keys():
        raise ResultError("obligations.guards names a rule that does not exist")


def _carry(decided: Decided, told: str, allowed: Allowed) -> Allowed | Refused:
    caller = allowed.caller
    if not decided.allow:
        reasons = decided.reasons[:_TOLD_REASONS]
        public = f"The gateway's policy does not allow this request: {'; '.join(reasons)}" if reasons else _NO_REASON
        return Refused(GatewayError(Kind.POLICY_DENIED, public, cause="denied"), replace(caller, decision=told))
    joined = obligation.join(caller.obligations, decided.obligations)
    return replace(allowed, caller=replace(caller, decision=told, obligations=joined))


def _refuse(kind: Kind, public: str, cause: str, allowed: Allowed) -> Refused:
    caller = replace(allowed.caller, decision=orjson.dumps({"allow": False, "failure": cause}).decode())
    return Refused(GatewayError(kind, public, cause=cause), caller)


def _told(decided: Decided, *, cached: bool) -> str:
    """For the record. Obligations have a line of their own there."""
    told: dict[str, object] = {"allow": decided.allow}
    if decided.reasons:
        told["reasons"] = decided.reasons
    return orjson.dumps({**told, "cached": cached}).decode()
