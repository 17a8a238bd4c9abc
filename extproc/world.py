"""What exchanges look up, in memory: pinned policies, compiled guards, provider credentials."""

import hmac
from collections.abc import Mapping
from pathlib import Path
from secrets import token_bytes
from typing import Final

import structlog

from extproc.counting.tokenizer import tokenizer
from extproc.detectors.catalogue import ALL_RULES, SENSITIVE
from extproc.detectors.injection.assess import Injection
from extproc.guardrails.assessor import Assessor, Memory
from extproc.guardrails.classifier import Classifier
from extproc.guardrails.contracts import Contracts
from extproc.guardrails.guard import Guard
from extproc.guardrails.lookout import Lookout
from extproc.guardrails.obliged import obliged
from extproc.guardrails.scanner import Scanner, ScannerPool
from extproc.guardrails.topics import Topics
from gateway.clock import SystemClock
from gateway.credentials import Credentials
from gateway.latency.estimates import Latencies
from gateway.policy.canary import Bands
from gateway.policy.model import Adviser, Credential, Policy, Tenant
from gateway.policy.store import PolicyStore
from gateway.secrets.reference import Secret, SecretError, read_secret
from gateway.sigv4 import AwsKey, aws_key, key_of_line

_log = structlog.get_logger("extproc.world")

#: Guards of this many (policy, tenant, direction) are kept; a guard is small once its scanner is shared.
_GUARDS: Final = 4096
_NAME_CHARS: Final = 32  # half of what OpenAI's `user` and its kin may have


class Book:
    """Implements `World` and `Keys` over a policy store."""

    def __init__(
        self,
        store: PolicyStore,
        pseudonym_key: bytes = b"",
        vault: Credentials | None = None,
        latencies: Latencies | None = None,
    ) -> None:
        """`pseudonym_key`: secret, 32 bytes; without it the action `hash` redacts. `vault`: of what lies in no file.
        `latencies`: those that are shared; without them its own.
        """
        self.latencies = latencies or Latencies(SystemClock())
        self._store = store
        self._vault = vault
        self._pseudonym_key = pseudonym_key
        self._passing_key = token_bytes(32)  # stands in where there is none: names that mean nothing tomorrow
        self._scanners = ScannerPool(ALL_RULES)
        self._bands: dict[tuple[str, str], Bands] = {}
        self._guards: dict[tuple[str, str, int, str, frozenset[str]], Guard] = {}
        self._memory = Memory(Injection.load())
        self._classifier = Classifier()
        self._assessors: dict[tuple[str, str, int, frozenset[str]], Assessor] = {}
        self._secrets: dict[tuple[str, str], Secret | None] = {}

    def policy(self, version: str) -> Policy | None:
        """The policy of that version, if it is held."""
        return self._store.get(version)

    def tenant(self, policy: Policy, tenant_id: str, request_id: str) -> Tenant | None:
        """The tenant as the exchange of that request id meets it, or None when the policy has none."""
        key = (policy.version, tenant_id)
        bands = self._bands.get(key)
        if bands is None:
            tenant = policy.tenants.get(tenant_id)
            if tenant is None:
                return None
            if len(self._bands) >= _GUARDS:
                self._bands.clear()
            bands = self._bands[key] = Bands(tenant)
        return bands.of(request_id)

    def guard(self, policy: Policy, tenant: Tenant, direction: str, obligatory: frozenset[str] = frozenset()) -> Guard:
        """The tenant's guard for one direction, compiled once. Rules of `obligatory` block."""
        key = (policy.version, tenant.id, tenant.band, direction, obligatory)
        guard = self._guards.get(key)
        if guard is None:
            if len(self._guards) >= _GUARDS:
                self._guards.clear()
            tenant = obliged(tenant, obligatory)
            settings = tenant.request if direction == "request" else tenant.response
            lookout, patterns = None, None
            if direction == "response":
                patterns = tenant.patterns
                lookout = Lookout(self._memory, self._classifier, settings, tenant.topics)
            guard = self._guards[key] = Guard.of(
                self._scanners,
                settings,
                self._key_of(tenant),
                tenant.urls,
                _banned(tenant, direction),
                lookout,
                patterns,
            )
        return guard

    def _key_of(self, tenant: Tenant) -> bytes:
        """Each tenant has pseudonyms of its own: two of them cannot compare their data by these."""
        if not self._pseudonym_key:
            return b""
        return hmac.digest(self._pseudonym_key, f"ostiary pseudonym {tenant.id}".encode(), "sha256")

    def pseudonym(self, tenant: Tenant, name: bytes) -> str:
        """See `World`. 128 bits in hexadecimal: as long as providers take, and no form that any rule looks for."""
        key = self._key_of(tenant) or self._passing_key
        told = b"name at a provider\0" + tenant.id.encode() + b"\0" + name
        return hmac.digest(key, told, "sha256").hex()[:_NAME_CHARS]

    def assessor(self, policy: Policy, tenant: Tenant, obligatory: frozenset[str] = frozenset()) -> Assessor:
        """The tenant's judge of whole texts, made once. Rules of `obligatory` block."""
        key = (policy.version, tenant.id, tenant.band, obligatory)
        assessor = self._assessors.get(key)
        if assessor is None:
            if len(self._assessors) >= _GUARDS:
                self._assessors.clear()
            settings = obliged(tenant, obligatory).request
            assessor = self._assessors[key] = Assessor(self._memory, self._classifier, settings)
        return assessor

    def advisers(self, policy: Policy, guard: Guard) -> tuple[Adviser, ...]:
        """The policy's advisers of whose rules the guard runs any."""
        return tuple([each for each in policy.advisers.values() if any(map(guard.runs, each.rules))])

    def sieve(self, request: Guard, response: Guard) -> Scanner | None:
        """Every rule on personal data and secrets; None where both guards run all of them."""
        if all(request.runs(rule) and response.runs(rule) for rule in SENSITIVE):
            return None
        return self._scanners.scanner(SENSITIVE)

    def ready(self, policy: Policy, backend: str) -> bool:
        """Whether the backend can be reached with what is at hand."""
        return self.value(policy, backend) is not None

    def value(self, policy: Policy, backend: str) -> str | None:
        """The credential header's value; "" when the backend needs none, None when there is none to be had."""
        described = policy.backends.get(backend)
        if described is None:
            return None
        if described.credential is None:
            return ""
        if described.credential.aws is not None:
            return None if self.aws_key(policy, backend) is None else ""
        if described.credential.grant is not None:
            secret = None if self._vault is None else self._vault.token(policy, described.credential.grant)
        else:
            secret = self._secret(policy, backend, described.credential)
        return None if secret is None else described.credential.prefix + secret.reveal()

    def aws_key(self, policy: Policy, backend: str) -> AwsKey | None:
        """What requests to the backend are signed with, or None when there is none to be had."""
        described = policy.backends.get(backend)
        if described is None or described.credential is None or described.credential.aws is None:
            return None
        places = described.credential.aws.vault
        if not places:
            line = self._of_file(policy, backend)
            return None if line is None else key_of_line(line.reveal())
        found = [None if self._vault is None else self._vault.secret(policy, place) for place in places]
        parts = [each.reveal() for each in found if each is not None]
        return aws_key(*parts) if len(parts) == len(places) else None

    def _secret(self, policy: Policy, backend: str, credential: Credential) -> Secret | None:
        place = credential.stored
        if place is not None:
            return None if self._vault is None else self._vault.secret(policy, place)
        return self._of_file(policy, backend)

    def _of_file(self, policy: Policy, backend: str) -> Secret | None:
        key = (policy.version, backend)
        if key not in self._secrets:
            self._secrets[key] = _read(policy, backend)
        return self._secrets[key]

    def refused(self, policy: Policy, backend: str) -> None:
        """The provider did not take the backend's credential. One in a file is read again on reload only."""
        described = policy.backends.get(backend)
        credential = None if described is None else described.credential
        if credential is None or self._vault is None:
            return
        if credential.grant is not None:
            self._vault.token_refused(policy, credential.grant)
            return
        places = (credential.stored,) if credential.aws is None else credential.aws.vault[:1]  # of one path
        for place in places:
            if place is not None:
                self._vault.refused(policy, place)

    def warm(self, policy: Policy) -> None:
        """Compile guards and read credentials before the first request needs them.

        Called for every policy that is activated, also for the same one again: that is how a rotated credential
        is taken up. One that cannot be read any more keeps its last value, so that a slip costs no traffic.
        """
        for tenant in policy.tenants.values():
            self.guard(policy, tenant, "request")
            self.assessor(policy, tenant)
            self.guard(policy, tenant, "response")
            Contracts.of(tenant.schemas)
            Topics.of(tenant.topics)
        if any(tenant.budgets.counts_tokens for tenant in policy.tenants.values()):
            for model in policy.models.values():
                tokenizer(model.name, model.tokenizer).count("a")  # a table takes 50 ms, which no request shall wait
        for backend in policy.backends:
            key = (policy.version, backend)
            self._secrets[key] = _read(policy, backend) or self._secrets.get(key)


def _banned(tenant: Tenant, direction: str) -> Mapping[str, tuple[str, ...]]:
    """Words of requests are bounds (core.bounds), which refuse; those of answers are rules."""
    return tenant.banned if direction == "response" else {}


def _read(policy: Policy, backend: str) -> Secret | None:
    credential = policy.backends[backend].credential
    file = "" if credential is None else credential.file if credential.aws is None else credential.aws.file
    if not file:
        return None
    try:
        return read_secret(Path(file), Path(policy.credential_dir))
    except SecretError as error:
        _log.error("credential_unreadable", backend=backend, reason=str(error))  # names file and remedy only
        return None
