"""Small real policies and worlds for unit tests: built by hand, no files, the real detectors."""

import hmac

from extproc.detectors.catalogue import ALL_RULES, RULE_IDS, SENSITIVE
from extproc.detectors.injection.assess import Injection
from extproc.guardrails.assessor import Assessor, Memory
from extproc.guardrails.classifier import Classifier
from extproc.guardrails.guard import Guard
from extproc.guardrails.lookout import Lookout
from extproc.guardrails.obliged import obliged
from extproc.guardrails.scanner import Scanner, ScannerPool
from gateway.identity import Caller
from gateway.latency.estimates import Latencies
from gateway.policy.canary import Bands
from gateway.policy.model import Action, Adviser, Backend, Credential, Limits, Mode, Model, Policy, RuleSetting, Tenant
from gateway.secrets.reference import Secret
from gateway.sigv4 import AwsKey

_POOL = ScannerPool(ALL_RULES)
_MEMORY = Memory(Injection.load())
_CLASSIFIER = Classifier()

CALLER = Caller(
    tenant="acme",
    principal="alice",
    key_id="k1",
    scopes=("chat",),
    policy="p-test",
    request_id="req-1",
    traceparent="",
)


def settings(action: Action = Action.REDACT, mode: Mode = Mode.ENFORCE, **special: Action) -> dict[str, RuleSetting]:
    """All rules with one action; `pii_card=Action.BLOCK` style exceptions."""
    out = {rule: RuleSetting(rule=rule, action=action, mode=mode) for rule in RULE_IDS}
    for name, other in special.items():
        rule = name.replace("_", ".", 1)
        out[rule] = RuleSetting(rule=rule, action=other, mode=mode)
    return out


def policy(
    *,
    request: dict[str, RuleSetting] | None = None,
    response: dict[str, RuleSetting] | None = None,
    limits: Limits | None = None,
    models: frozenset[str] = frozenset({"gpt-4o-mini", "text-embedding-3-small"}),
    strict_schema: bool = True,
) -> Policy:
    """One tenant "acme", one backend "demo" with a credential, three models of which acme may use two."""
    tenant = Tenant(
        id="acme",
        models=models,
        routes=frozenset({"*"}),
        request=settings() if request is None else request,
        response=settings() if response is None else response,
        strict_schema=strict_schema,
    )
    credential = Credential(file="demo.key")
    names = ("gpt-4o-mini", "text-embedding-3-small", "forbidden-model")
    return Policy(
        version="p-test",
        name="test",
        tenants={"acme": tenant},
        keys={},
        models={name: Model(name=name, backend="demo") for name in names},
        backends={
            "demo": Backend(
                name="demo", host="127.0.0.1", port=8091, tls=False, base_path="/base", credential=credential
            )
        },
        limits=limits or Limits(),
    )


class FakeWorld:
    """A world with one policy and one credential; both can be taken away."""

    def __init__(self, held: Policy | None = None, secret: str | None = "Bearer provider-secret") -> None:
        self.held = held or policy()
        self.latencies = Latencies(FakeClock())
        self.told_refused: list[str] = []
        self.secret = secret

    def policy(self, version: str) -> Policy | None:
        return self.held if version == self.held.version else None

    def tenant(self, policy: Policy, tenant_id: str, request_id: str) -> Tenant | None:
        tenant = policy.tenants.get(tenant_id)
        return None if tenant is None else Bands(tenant).of(request_id)

    def guard(self, policy: Policy, tenant: Tenant, direction: str, obligatory: frozenset[str] = frozenset()) -> Guard:
        tenant = obliged(tenant, obligatory)
        if direction == "request":
            return Guard.of(_POOL, tenant.request, urls=tenant.urls)
        lookout = Lookout(_MEMORY, _CLASSIFIER, tenant.response, tenant.topics)
        return Guard.of(
            _POOL, tenant.response, urls=tenant.urls, banned=tenant.banned, lookout=lookout, patterns=tenant.patterns
        )

    def assessor(self, policy: Policy, tenant: Tenant, obligatory: frozenset[str] = frozenset()) -> Assessor:
        return Assessor(_MEMORY, _CLASSIFIER, obliged(tenant, obligatory).request)

    def pseudonym(self, tenant: Tenant, name: bytes) -> str:
        return hmac.digest(b"k", tenant.id.encode() + b":" + name, "sha256").hex()[:32]

    def advisers(self, policy: Policy, guard: Guard) -> tuple[Adviser, ...]:
        return tuple(each for each in policy.advisers.values() if any(map(guard.runs, each.rules)))

    def sieve(self, request: Guard, response: Guard) -> Scanner | None:
        whole = all(request.runs(rule) and response.runs(rule) for rule in SENSITIVE)
        return None if whole else _POOL.scanner(SENSITIVE)

    def ready(self, policy: Policy, backend: str) -> bool:
        return self.value(policy, backend) is not None

    def refused(self, policy: Policy, backend: str) -> None:
        self.told_refused.append(backend)

    def value(self, policy: Policy, backend: str) -> str | None:
        return self.secret if backend in policy.backends else None

    def aws_key(self, policy: Policy, backend: str) -> AwsKey | None:
        return None if self.secret is None else AwsKey("AKIAIOSFODNN7EXAMPLE", Secret(self.secret))


class FakeClock:
    """Time that stands still until it is told."""

    def __init__(self) -> None:
        self.at = 1_000_000.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at
