"""The policy as one immutable value: tenants, keys, issuers, models, backends, guards, limits. Pure: no files, no time.

A `Policy` is named by a hash of its content, so the same directory gives the same version on every replica.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Final

from gateway.budgets.model import Limit, Outage, Resource
from gateway.budgets.price import PriceBook
from gateway.policy.copies import Mirror
from gateway.policy.kept import Cache


class Action(IntEnum):
    """What policy does with a finding, in order of severity: the maximum of several wins."""

    ALLOW = 0
    FLAG = 1  # pass, and say so in the record
    MASK = 2  # replace the span by a typed placeholder that keeps its last four letters and digits
    HASH = 3  # replace it by a placeholder that is the same for the same text of the same tenant
    TOKENISE = 4  # replace it by a placeholder of this exchange, which its answer gets back; on requests only
    REDACT = 5  # replace the span by a typed placeholder
    REPLACE = 6  # say the tenant's own words in place of the answer, or of the rest of it; on answers only
    BLOCK = 7  # refuse the request, or end the answer before the span


class Mode(StrEnum):
    """Whether an action is carried out. Shadow is applied last: the record shows what would have happened."""

    ENFORCE = "enforce"
    SHADOW = "shadow"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSetting:
    """What one tenant wants of one rule in one direction."""

    rule: str  # stable rule id, for example "pii.email"
    action: Action
    mode: Mode = Mode.ENFORCE
    percent: int = 100  # of exchanges on which it is enforced; on the others it is in shadow
    threshold: float | None = None  # of rules that give a score; None is what training recommends
    text: str = ""  # what REPLACE says


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """Requests in a window, spent by GCRA (ITU-T I.371): `requests` may come at once, then one every interval."""

    requests: int
    window_s: int = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What requests of a tenant may ask for. The default bounds nothing."""

    tools: frozenset[str] | None = None  # names that may be offered to the model; a final * covers any ending
    modalities: frozenset[str] | None = None  # "text", "image", "audio", "file"
    formats: frozenset[str] | None = None  # of answers that may be asked for: "text", "json_object", "json_schema"
    max_tokens: int | None = None  # most output tokens; what a request leaves open is set to it
    system_prompt: str = ""  # the first message must be the tenant's and begin with this
    banned: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # name -> words and phrases, any case
    patterns: Mapping[str, str] | None = None  # name -> a regular expression (gateway.policy.pattern)


class Part(StrEnum):
    """Which part of a request a tenant's JSON Schema judges."""

    ARGUMENTS = "arguments"  # of tool calls
    METADATA = "metadata"
    TOOL = "tool"  # what a request declares of a tool


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundSchema:
    """A JSON Schema of the tenant's, and what it judges. What becomes of a mismatch is the rule `schema.<name>`."""

    name: str
    part: Part
    source: str  # JSON text with sorted keys
    tools: frozenset[str] = frozenset()  # names of tools; a final * covers any ending. Empty for metadata


@dataclass(frozen=True, slots=True, kw_only=True)
class Urls:
    """Hosts of a tenant's that URLs may or may not lead to: names, or `*.name` for whatever is below it."""

    allow: frozenset[str] = frozenset()
    deny: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        """Whether there is a list at all."""
        return bool(self.allow or self.deny)


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore:
    """Whether answers get back what the action `tokenise` took out of their requests, and which tools may be told."""

    on: bool = True
    tools: frozenset[str] = frozenset()  # names whose arguments may hold values; a final * covers any ending


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """What texts may be about. A text about a banned one fires `topic.<name>`, about no allowed one `topic.other`."""

    name: str
    allowed: bool
    terms: tuple[str, ...] = ()  # words and phrases, any case
    examples: tuple[str, ...] = ()  # texts about it


#: Percentages of a limit at which somebody is told.
ALERTS: Final = (50, 80, 100)
#: How a model's tokens are counted, where its name does not tell (extproc.counting.tokenizer).
TOKENIZERS: Final = ("o200k", "cl100k", "claude", "other")


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a tenant may use. The default limits nothing."""

    limits: tuple[Limit, ...] = ()  # sorted by name
    outage: Outage = Outage.DENY  # while the ledger does not answer
    alerts: tuple[int, ...] = ALERTS

    @property
    def counts_tokens(self) -> bool:
        """Whether requests have to be estimated: some limit is on tokens or money."""
        return any(limit.resource not in {Resource.REQUESTS, Resource.STREAMS} for limit in self.limits)

    @property
    def counts_money(self) -> bool:
        """Whether a request needs a price."""
        return any(limit.resource is Resource.MICRO_USD for limit in self.limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """One customer of the platform: what it may call, and which guards its texts pass."""

    id: str
    models: frozenset[str]  # public model names; "*" allows every model of the policy
    routes: frozenset[str]  # front-door paths, for example "/v1/chat/completions"; "*" allows all
    request: Mapping[str, RuleSetting]  # rule id -> setting, for texts on the way in
    response: Mapping[str, RuleSetting]  # the same for texts on the way out
    rate: RateLimit | None = None
    principal_rate: RateLimit | None = None  # for each of its principals, whichever credential they show
    address_rate: RateLimit | None = None  # for each client address that its callers come from
    bounds: Bounds = field(default_factory=Bounds)
    budgets: Budget = field(default_factory=Budget)
    restore: Restore = field(default_factory=Restore)
    band: int = 0  # which side of its rules' percentages this variant is for (gateway.policy.canary)
    strict_schema: bool = True  # refuse request fields that the endpoint's schema does not name
    api_versions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # path -> those taken, oldest first
    urls: Urls = field(default_factory=Urls)
    banned: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # of answers: name -> words and phrases
    patterns: Mapping[str, str] | None = None  # of answers: name -> regular expression (gateway.policy.pattern)
    max_answer_chars: int | None = None  # of one answer, as it is said to its reader
    schemas: Mapping[str, BoundSchema] = field(default_factory=dict)  # by name
    topics: Mapping[str, Topic] = field(default_factory=dict)  # by name
    cache: Cache | None = None  # None: every request is sent on
    identities: str | None = None  # "as_sent"; None: names of users and caches reach providers as pseudonyms
    backends: frozenset[str] | None = None  # that may see its requests, wherever a model leads; None: all

    def may_call(self, path: str) -> bool:
        """Whether the tenant's route allow-list names `path`."""
        return "*" in self.routes or path in self.routes

    def may_use(self, model: str) -> bool:
        """Whether the tenant's model allow-list names the public model name."""
        return "*" in self.models or model in self.models


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """An API key as the policy stores it: never the key, only HMAC-SHA-256(pepper, key) in hex."""

    id: str  # public part, found in the key between prefix and secret
    tenant: str
    principal: str
    scopes: tuple[str, ...]
    digest: str
    pepper: str  # version of the pepper that made `digest`
    expires_at: int | None = None  # unix seconds
    disabled: bool = False
    rate: RateLimit | None = None
    models: frozenset[str] = frozenset()  # public model names; empty: as the tenant
    cidrs: tuple[str, ...] = ()  # client addresses that may use it; empty: every one


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """An identity provider whose access tokens open one tenant. A token never chooses the tenant itself."""

    name: str
    tenant: str
    issuer: str  # compared with `iss` character by character (RFC 8725 section 3.8)
    audiences: frozenset[str]  # `aud` must name one of them
    algorithms: frozenset[str]  # pinned; the token's header only picks among them (RFC 8725 section 3.1)
    jwks_uri: str | None = None  # None: from the issuer's discovery document
    ca_file: str | None = None  # None: the system's roots
    typ: str = "at+jwt"  # the header's `typ`; "any" also lets ID tokens in where their audience fits
    clock_skew_s: int = 30
    max_age_s: int | None = None  # oldest `iat`; None: as `exp` says
    clients: frozenset[str] = frozenset()  # allowed `client_id` and `azp`; empty: every client of the issuer
    required_claims: frozenset[str] = frozenset()
    principal_claim: str = "sub"
    principal_prefix: str = ""  # tells the subjects of several issuers apart
    scope_claims: tuple[str, ...] = ("scope", "scp")  # the first one that is there
    group_claim: str = "groups"
    keys_refresh_s: int = 300
    keys_max_age_s: int = 3600  # after this without a successful fetch, its tokens are refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Introspector:
    """An authorization server that is asked about opaque tokens of one tenant (RFC 7662)."""

    name: str
    tenant: str
    endpoint: str  # introspection endpoint, https (http to loopback only)
    client_id: str  # the gateway's own client at that server (RFC 7662 section 2.1)
    secret_file: str  # its secret; relative to the policy directory or absolute
    token_prefix: str = ""  # tells opaque tokens of several servers apart; "" for the only one
    ca_file: str | None = None  # None: the system's roots
    #: What the answer must name, since servers also answer for refresh tokens; "any": not compared.
    token_type: str = "bearer"  # noqa: S105  # a kind of token, no token
    issuer: str | None = None  # `iss` that the answer must name; None: not compared
    audiences: frozenset[str] = frozenset()  # `aud` must name one of them; empty: not compared
    clients: frozenset[str] = frozenset()  # allowed `client_id`; empty: every one
    principal_claim: str = "sub"
    principal_prefix: str = ""
    scope_claims: tuple[str, ...] = ("scope",)
    group_claim: str = "groups"
    cache_s: int = 30  # longest life of a positive answer, within the token's own `exp`
    negative_cache_s: int = 10
    deadline_ms: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateIdentity:
    """Who a client certificate names. Exactly one of `uri`, `dns` and `subject` is set.

    Where `required_for_principal` is set, no other credential of the same tenant and principal counts without it.
    """

    name: str
    tenant: str
    principal: str
    scopes: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    uri: str = ""  # SAN URI, for example a SPIFFE ID, character by character
    dns: str = ""  # SAN DNS name
    subject: str = ""  # RFC 4514 text of the subject
    spki_sha256: frozenset[str] = frozenset()  # pins, lower-case hex; several for a rotation; empty: no pin
    required_for_principal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenService:
    """The gateway's own token service (`ostiary control`). Its accounts live in the registry, not in policy."""

    issuer: str  # `iss` of its tokens, the URL under which clients reach it
    audience: str  # `aud` of its tokens: this gateway
    token_s: int = 300  # life of a token; an account may want less
    rotate_s: int = 86_400  # a signing key signs this long, and verifies for `token_s` and an hour more
    algorithm: str = "ES256"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opa:
    """Decisions by Rego. Sources are part of the policy version; `url` set: a server holds them instead."""

    package: str  # dotted, for example "ostiary.authz"; its rule `decision` is evaluated
    sources: Mapping[str, str]  # file name -> Rego text
    data: str = "{}"  # JSON text, the `data` document
    cache_on: tuple[str, ...] = ()  # input fields that decide, dotted; empty: nothing is cached
    url: str | None = None  # an OPA server; None: the library in the worker
    ca_file: str | None = None
    cert_file: str | None = None  # client certificate for the server
    key_file: str | None = None
    deadline_ms: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertHook:
    """Who is told when a limit fills: anything that takes what Alertmanager takes."""

    url: str  # https (http to loopback only)
    secret_file: str  # signs what is sent; relative to the policy directory or absolute
    ca_file: str | None = None  # None: the system's roots


@dataclass(frozen=True, slots=True, kw_only=True)
class Damping:
    """Failed authentications that one client address may cause before it is refused unheard."""

    failures: int = 30  # 0: nobody is refused for failing
    window_s: int = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultAuth:
    """How a worker logs in to the vault. Files are relative to the policy directory or absolute."""

    method: str  # "token_file" | "approle" | "kubernetes" | "cert"
    mount: str = ""  # where the method is mounted, below auth/
    role: str = ""  # of kubernetes; of cert it may be left open
    token_file: str = ""
    role_id_file: str = ""
    secret_id_file: str = ""
    jwt_file: str = ""
    cert_file: str = ""
    key_file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vault:
    """An OpenBao or HashiCorp Vault that holds credentials of backends."""

    address: str  # https (http to loopback only)
    auth: VaultAuth
    ca_file: str = ""  # "": the system's roots
    namespace: str = ""
    refresh_s: int = 30  # how late a new value of a stored secret may be noticed; leased ones follow their lease
    stale_s: int = 3600  # how long a stored secret counts after the last reading while the vault is away


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultSecret:
    """One field of one secret in the policy's vault."""

    path: str  # below /v1/, for example secret/data/llm/openai
    field: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretsManager:
    """AWS Secrets Manager of one region, which holds credentials of backends. Its key lies in a file alone."""

    region: str
    file: str  # one line: <access key id>:<secret access key>[:<session token>]
    url: str  # https (http to loopback only), without a path
    ca_file: str = ""  # "": the system's roots
    refresh_s: int = 300  # how late a new value may be noticed; each reading costs money
    stale_s: int = 3600  # how long a value counts after the last reading while AWS is away


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedSecret:
    """One secret of the policy's Secrets Manager, or one field of it where it is a JSON object."""

    path: str  # the secret's name or ARN
    field: str = ""  # "": the whole text


#: What a credential may lie at, other than a file.
StoredSecret = VaultSecret | ManagedSecret


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """Requests to AWS are signed: for which region, and where the keys lie, in `file` or in `vault`."""

    region: str
    file: str = ""  # one line: <access key id>:<secret access key>[:<session token>]
    vault: tuple[VaultSecret, ...] = ()  # of one path: the key's id, the secret key, and a session's token if there is


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Access tokens of a cloud are had at its token endpoint, by a secret that lies in `file` or in `vault`."""

    kind: str  # "google" | "azure"
    token_url: str
    scope: str
    proof: str  # "account": a service account's key, JSON; "secret"; "certificate": PEM with its key
    client: str = ""  # of azure; google's stands in the account
    file: str = ""
    vault: VaultSecret | None = None
    ca_file: str = ""  # "": the system's roots


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """How a backend wants its key: header, prefix and where the secret lies. The secret itself is never in policy.

    It lies in `file`, `vault` or `secrets_manager`, or each request is signed as `aws` says, or a token is had as
    `grant` says.
    """

    file: str = ""  # path, read by the worker; relative to the policy directory or absolute
    vault: VaultSecret | None = None
    header: str = "authorization"
    prefix: str = "Bearer "
    aws: Signing | None = None
    grant: Grant | None = None
    secrets_manager: ManagedSecret | None = None

    @property
    def stored(self) -> StoredSecret | None:
        """Where the secret lies that is kept fresh and sent as it is; None for files, signatures and tokens."""
        return self.vault if self.vault is not None else self.secrets_manager


@dataclass(frozen=True, slots=True, kw_only=True)
class Adviser:
    """A process that is asked about texts of requests: one of our own engines, or somebody's service."""

    name: str
    engine: str = ""  # "injection" | "ner": of `ostiary analyse` on this host; "" for a service
    url: str = ""  # of a service: https (http to loopback only)
    credential: Credential | None = None
    ca_file: str | None = None  # None: the system's roots
    deadline_ms: int = 250
    on_failure: str = "refuse"  # "refuse" | "pass": what becomes of a request that nobody advised on

    @property
    def rules(self) -> frozenset[str]:
        """What its findings are called in policy."""
        return ADVISED.get(self.engine) or frozenset({f"advice.{self.name}"})


#: Rules of our own engines. They exist in a policy that declares the engine, for requests alone.
ADVISED: Final = MappingProxyType(
    {
        "injection": frozenset({"injection.transformer"}),
        "ner": frozenset({"pii.location", "pii.organization", "pii.person"}),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One place that answers: a provider's endpoint or a self-hosted server."""

    name: str
    host: str
    port: int
    tls: bool
    dialect: str = "openai"
    base_path: str = ""  # put before the front path, for example "/openai"
    ca_file: str | None = None  # None: the system's roots
    sni: str | None = None  # None: `host`
    #: Whether the per-attempt filter runs although this backend needs no translation and stands alone on its route.
    #: False is cheaper by a gRPC stream; True binds the credential at the last moment (ADR 0009).
    adapt: bool = False
    responses: bool | None = None  # whether it is asked in Responses; None: as is usual of its dialect
    credential: Credential | None = None

    @property
    def speaks_responses(self) -> bool:
        """Whether it is asked in OpenAI's Responses where its caller speaks them; else they are translated."""
        return self.dialect == "openai" if self.responses is None else self.responses

    @property
    def authority(self) -> str:
        """Host and, where it is not the scheme's own, port (RFC 9110 section 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


class Select(StrEnum):
    """Which backend of a pool is asked first."""

    ORDERED = "ordered"  # the first one listed
    WEIGHTED = "weighted"  # drawn by weight, for each request
    STICKY = (
        "sticky"  # always the same one for a principal, as long as it is there: its prompt cache stays warm; by weight
    )
    CHEAPEST = "cheapest"  # by the price book, for what this request may cost
    LATENCY = "lowest_latency"  # who answered fastest lately
    COMPLEXITY = "complexity"  # by how hard the request looks


@dataclass(frozen=True, slots=True, kw_only=True)
class Restriction:
    """Where a request may go in which a rule fired."""

    rule: str  # id, or a family such as `pii.*`
    backends: frozenset[str]

    def covers(self, rule: str) -> bool:
        """Whether `rule` is meant. Wider than in guards: a family has no exceptions here."""
        return rule == self.rule or (self.rule.endswith("*") and rule.startswith(self.rule[:-1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Backends that stand in for each other: when one fails before its first byte, the next is asked."""

    backends: tuple[str, ...]  # in the order in which they are asked
    select: Select = Select.ORDERED
    weights: Mapping[str, int] = field(default_factory=dict)  # by backend; of WEIGHTED always, of STICKY perhaps
    scores: Mapping[str, int] = field(default_factory=dict)  # of COMPLEXITY: from which score on each is asked first
    retry_on: frozenset[str] = frozenset()  # of `RETRY_ON`; a failure to connect always
    first_byte_s: int = 120  # longest silence before an answer begins
    restrictions: tuple[Restriction, ...] = ()
    tell: bool = False  # whether clients are told which backend answered, and after how many attempts
    lacks: Mapping[str, frozenset[str]] = field(default_factory=dict)  # by backend: of `FEATURES`, what it cannot do
    context: Mapping[str, int] = field(default_factory=dict)  # by backend: tokens of prompt and answer that it takes
    mirror: Mirror | None = None  # what is said of backends above may be said of its backend too


#: What a request may ask of a model beyond text.
FEATURES: Final = ("image", "audio", "file", "tools", "json_schema")

#: A field that cannot be carried over to a backend is left out and told, or the backend is.
ON_LOSS: Final = ("drop", "refuse")
#: In which words a model is told how much to think, where a request of another dialect asks for it.
THINKING: Final = ("effort", "budget", "none")

#: What makes the next backend of a pool be asked.
RETRY_ON: Final = ("5xx", "429", "no_answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A public model name and the backend that serves it."""

    name: str
    backend: str  # of a pool the first one listed
    created: int = 0  # unix seconds, shown by /v1/models
    owned_by: str = "ostiary"
    group: str = ""  # limits may be for a group of models
    tokenizer: str = ""  # of `TOKENIZERS`; "": as the name tells
    max_output_tokens: int | None = None  # the most that it ever answers: what to reserve where nothing else says less
    pool: Pool | None = None  # None: `backend` alone
    upstream: Mapping[str, str] = field(default_factory=dict)  # what backends call it, where that is not `name`
    on_loss: str = "drop"  # of `ON_LOSS`: what becomes of a field that a backend's dialect has no word for
    thinking: str | None = None  # of `THINKING`; None: by effort
    sampling: bool | None = None  # whether it takes temperature and its kin; None: as its dialect's models of today

    def upstream_name(self, backend: str) -> str:
        """What that backend calls the model."""
        return self.upstream.get(backend, self.name)

    @property
    def backends(self) -> tuple[str, ...]:
        """Every backend that may serve it."""
        return (self.backend,) if self.pool is None else self.pool.backends

    @property
    def reached(self) -> tuple[str, ...]:
        """Every backend that may be told a request of it: those, and the mirror's."""
        mirror = None if self.pool is None else self.pool.mirror
        return self.backends if mirror is None else (*self.backends, mirror.backend)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on what is parsed and held. Each is per exchange."""

    body_bytes: int = 10 * 1024 * 1024  # largest request body; four places enforce it (envoy/README.md)
    answer_bytes: int = 50 * 1024 * 1024  # largest JSON answer that is held to be judged whole
    event_bytes: int = 1024 * 1024  # largest single SSE event
    json_depth: int = 32  # chat requests of real clients stay below 12
    json_nodes: int = 200_000  # keys and items of one body
    string_chars: int | None = None  # longest text of a body, files aside; None: as long as the body may be
    messages: int = 2048  # of one request; a long agent run has some hundred turns
    tools: int = 128  # what OpenAI takes
    images: int = 64
    image_bytes: int = 32 * 1024 * 1024  # decoded, of all pictures that travel in the body
    exchange_s: int = 600  # longest exchange, also a streamed one
    idle_s: int = 120  # longest silence of an upstream


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One version of everything above. `version` is derived from the content by the loader."""

    version: str
    name: str
    tenants: Mapping[str, Tenant]
    keys: Mapping[str, Key]
    models: Mapping[str, Model]
    backends: Mapping[str, Backend]
    limits: Limits
    issuers: Mapping[str, Issuer] = field(default_factory=dict)  # none in most policies of tests
    introspectors: Mapping[str, Introspector] = field(default_factory=dict)
    certificates: Mapping[str, CertificateIdentity] = field(default_factory=dict)
    advisers: Mapping[str, Adviser] = field(default_factory=dict)
    token_service: TokenService | None = None
    opa: Opa | None = None
    vault: Vault | None = None
    secrets_manager: SecretsManager | None = None
    prices: PriceBook = field(default_factory=PriceBook)  # empty: nothing has a price
    damping: Damping = field(default_factory=Damping)
    alert_hook: AlertHook | None = None
    revocation_max_age_s: int = 60  # without word from the registry for this long, every credential is refused
    credential_dir: str = ""  # base of relative paths (`Credential.file`, `Issuer.ca_file`); not part of the version
