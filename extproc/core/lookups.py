"""What an exchange looks up while it runs: the interface, and no implementation (`extproc.world.Book`)."""

from typing import Protocol

from extproc.adapt import Keys
from extproc.guardrails.assessor import Assessor
from extproc.guardrails.guard import Guard
from extproc.guardrails.scanner import Scanner
from gateway.latency.estimates import Latencies
from gateway.policy.model import Adviser, Policy, Tenant


class World(Keys, Protocol):
    """What an exchange may look up. Everything in it is in memory."""

    @property
    def latencies(self) -> Latencies:
        """How long backends took lately."""
        ...

    def policy(self, version: str) -> Policy | None:
        """The pinned policy version, or None when this worker does not hold it."""
        ...

    def tenant(self, policy: Policy, tenant_id: str, request_id: str) -> Tenant | None:
        """The tenant as this exchange meets it, or None when the policy does not know it."""
        ...

    def guard(self, policy: Policy, tenant: Tenant, direction: str, obligatory: frozenset[str] = ...) -> Guard:
        """The compiled guard of a tenant for "request" or "response", in which `obligatory` rules block."""
        ...

    def assessor(self, policy: Policy, tenant: Tenant, obligatory: frozenset[str] = ...) -> Assessor:
        """The tenant's judge of prompt injection, in which `obligatory` rules block."""
        ...

    def advisers(self, policy: Policy, guard: Guard) -> tuple[Adviser, ...]:
        """Whom the policy has asked about what that guard passes."""
        ...

    def sieve(self, request: Guard, response: Guard) -> Scanner | None:
        """Every rule on personal data and secrets; None where both guards run all of them."""
        ...

    def pseudonym(self, tenant: Tenant, name: bytes) -> str:
        """What stands for a name that the tenant gives a provider: always the same, and nobody else's."""
        ...

    def ready(self, policy: Policy, backend: str) -> bool:
        """Whether the backend's credential is at hand."""
        ...

    def refused(self, policy: Policy, backend: str) -> None:
        """The backend's provider did not take its credential."""
        ...
