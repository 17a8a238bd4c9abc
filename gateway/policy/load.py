"""A directory of YAML as one `Policy`, or every mistake in it at once. Reads files, keeps nothing.

The format is taught in policies/README.md. Whatever is not understood is an error: a misspelt guard must not
be a guard that is off.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from gateway import named_path
from gateway.budgets.price import PriceBook
from gateway.policy import adviser, budget, certificate, guard, introspector, issuer
from gateway.policy.alert_hook import read_alert_hook
from gateway.policy.api_versions import ApiVersions, read_versions
from gateway.policy.bounds import CompilePattern, read_answers, read_bounds
from gateway.policy.cache import read_cache
from gateway.policy.damping import read_damping
from gateway.policy.endpoint import BACKEND_NAME, read_backend
from gateway.policy.field import Shape, Table, read_scalar, shape
from gateway.policy.files import ROOT, Section, read_directory
from gateway.policy.key import KEY_ID, LAST_SECOND, read_key
from gateway.policy.model import (
    ON_LOSS,
    THINKING,
    TOKENIZERS,
    Adviser,
    CertificateIdentity,
    Introspector,
    Issuer,
    Key,
    Limits,
    Model,
    Policy,
    Pool,
    Tenant,
)
from gateway.policy.opa import Compile, read_opa
from gateway.policy.pool import read_pool, read_upstream, refuse_too_many
from gateway.policy.prices import read_prices
from gateway.policy.problem import Mark, Problems, nearest, shown
from gateway.policy.rate import read_rate
from gateway.policy.restore import read_restore
from gateway.policy.schemas import FAMILY as SCHEMA_FAMILY
from gateway.policy.schemas import Compile as CompileSchema
from gateway.policy.schemas import Library
from gateway.policy.secrets_manager import read_secrets_manager
from gateway.policy.shared import read_shared
from gateway.policy.token_service import read_token_service, refuse_own_issuer
from gateway.policy.topics import Shelf, rules_of
from gateway.policy.tree import Broken, Mapping, Node, Scalar
from gateway.policy.urls import read_urls
from gateway.policy.vault import read_vault
from gateway.policy.version import named

#: Front doors that a tenant may be let through.
ROUTES: Final = frozenset(
    {
        *("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/messages", "/v1/models", "/v1/responses"),
        named_path.ROUTE,
    },
)

#: Whether names that a request gives its provider (of users, of prompt caches) reach it as the tenant's own pseudonyms.
IDENTITIES: Final = ("salted", "as_sent")
#: What becomes of request fields that an endpoint's schema does not name: refused, or passed, guarded and recorded.
SCHEMAS: Final = ("strict", "warn")
#: Limits that policy.yaml may set, with the least and the most that make sense.
LIMIT_BOUNDS: Final = MappingProxyType(
    {
        "body_bytes": (1024, 64 * 1024 * 1024),  # Envoy buffers it before anybody is authenticated
        "answer_bytes": (1024, 256 * 1024 * 1024),  # held whole in a worker
        "event_bytes": (1024, 16 * 1024 * 1024),
        "json_depth": (4, 128),  # below 4 no chat request fits; parsers recurse
        "json_nodes": (64, 2_000_000),
        "messages": (1, 100_000),
        "tools": (0, 4096),
        "images": (0, 4096),
        "image_bytes": (0, 64 * 1024 * 1024),
        "exchange_s": (1, 3600),
        "idle_s": (1, 3600),
    },
)
#: Below, system prompts that people write would not fit.
_STRING_CHARS: Final = (1024, 64 * 1024 * 1024)
#: Workers ask the registry three times a second: below 2 s one slow round trip would shut the door.
_REVOCATION_AGE_S: Final = (2, 86_400)
#: Callers may come by any of them, and before there are any.
_OPTIONAL: Final = frozenset({"advisers", "keys", "issuers", "introspectors", "certificates"})

_NAME: Final = shape(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}", "a name of up to 64 letters, digits, spaces, . _ -")
#: Becomes part of store keys, metric labels and metadata: no braces, no spaces.
_TENANT: Final = shape(r"[a-z0-9][a-z0-9_-]{0,62}", "1 to 63 of a-z, 0-9, _ and -, not starting with _ or -")
_MODEL_PATTERN: Final = r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}"
_MODEL: Final = shape(_MODEL_PATTERN, "a model name of up to 128 of A-Z a-z 0-9 . _ : / @ -")
_WANTED: Final = shape(r"\*|" + _MODEL_PATTERN, 'a model name or "*"')
_ROUTE: Final = shape(r"\*|/[A-Za-z0-9/_*:-]{1,127}", 'a path such as /v1/chat/completions, or "*"')
_GROUP: Final = shape(r"[a-z0-9][a-z0-9_-]{0,39}", "a name of up to 40 of a-z, 0-9, _ and -")
_MOST_TOKENS: Final = 10_000_000  # beyond any model's
_OWNER: Final = shape(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}", "a name of up to 64 letters, digits, spaces, . _ -")


def load(
    directory: Path,
    *,
    rules: Collection[str],
    routes: Collection[str] = ROUTES,
    compiled: Compile | None = None,
    schema_compiled: CompileSchema | None = None,
    pattern_compiled: CompilePattern | None = None,
) -> Policy:
    """Read and check the policy in `directory`; `rules` are the ids of every rule that the guards know.

    `compiled` finds fault with Rego, `schema_compiled` with a JSON Schema, `pattern_compiled` with a pattern; without
    them, all are taken as they are.

    Raises:
        PolicyError: with all problems, each with file, line and column.
    """
    problems = Problems()
    sections = read_directory(directory, problems)
    library, shelf = Library(directory, schema_compiled, problems), Shelf(directory, problems)
    loader = _Loader(sections, frozenset(rules), frozenset(routes), problems, compiled, library, shelf)
    advisers = loader.advisers()
    advised = frozenset(rule for one in advisers.values() for rule in one.rules)
    policy = replace(loader, advised=advised, patterns=pattern_compiled).read(directory.absolute(), advisers)
    problems.stop_if_any()
    return named(policy)


@dataclass(frozen=True, slots=True)
class _Loader:
    """Reads sections in the order of their references: backends, models, tenants, keys and issuers."""

    sections: dict[str, Section]
    rules: frozenset[str]
    routes: frozenset[str]
    problems: Problems
    compiled: Compile | None
    schemas: Library
    topics: Shelf
    advised: frozenset[str] = frozenset()  # rules of the policy's advisers
    patterns: CompilePattern | None = None

    def advisers(self) -> dict[str, Adviser]:
        """Read before all else: their findings are rules that guards may name."""
        read = {
            key: adviser.read_adviser(key, Table(node, (key.text,), self.problems), self.problems)
            for key, node in self._entries("advisers", adviser.NAME)
        }
        adviser.refuse_overlaps(read, self.problems)
        return {key.text: one for key, one in read.items()}

    def read(self, directory: Path, advisers: dict[str, Adviser]) -> Policy:
        root = self._root()
        name = root.text("name", _NAME)
        limits = self._limits(root.table("limits"))
        damping = read_damping(root.table("damping"))
        alert_hook = read_alert_hook(root.table("alert_hook"), self.problems)
        max_age_s = root.integer("revocation_max_age_s", *_REVOCATION_AGE_S, default=60)
        defaults = guard.read_guards(root.table("guards"), self.rules, self.problems, of_requests=self.advised)
        schema = root.choice("schema", SCHEMAS, default="strict")
        versions = read_versions(root.table("api_versions"), self.problems)
        over = budget.read_budgets(root.table("budgets"), self.problems)
        opa = read_opa(root.table("opa"), directory, self.compiled, self.problems)
        token_service = read_token_service(root.table("token_service"), self.problems)
        vault = read_vault(root.table("vault"), self.problems)
        manager = read_secrets_manager(root.table("secrets_manager"), self.problems)
        root.close()
        backends = {
            key.text: read_backend(key, table, self.problems, vault=vault is not None, manager=manager is not None)
            for key, table in self._tables("backends")
        }
        served = {key: self._model(key, node, limits) for key, node in self._entries("models", _MODEL)}
        refuse_too_many(served, self.problems)
        models = {key.text: model for key, model in served.items()}
        tenants = {
            key.text: self._tenant(key, table, defaults, schema, versions, over)
            for key, table in self._tables("tenants")
        }
        tenants = read_shared(over.shared, tenants, models, self._refer, self.problems, over.alerts)
        self.schemas.close()
        self.topics.close()
        keys = {key.text: self._key(key, table) for key, table in self._tables("keys")}
        issuers = {key: self._issuer(key, table) for key, table in self._tables("issuers")}
        issuer.refuse_overlaps(issuers, self.problems)
        refuse_own_issuer(issuers, token_service, self.problems)
        introspectors = {key: self._introspector(key, table) for key, table in self._tables("introspectors")}
        introspector.refuse_overlaps(introspectors, self.problems)
        certificates = {key: self._certificate(key, table) for key, table in self._tables("certificates")}
        certificate.refuse_overlaps(certificates, self.problems)
        return Policy(
            version="",
            name=name,
            tenants=MappingProxyType(tenants),
            keys=MappingProxyType(keys),
            models=MappingProxyType(models),
            backends=MappingProxyType(backends),
            limits=limits,
            issuers=MappingProxyType({key.text: one for key, one in issuers.items()}),
            introspectors=MappingProxyType({key.text: one for key, one in introspectors.items()}),
            certificates=MappingProxyType({key.text: one for key, one in certificates.items()}),
            advisers=MappingProxyType(advisers),
            token_service=token_service,
            damping=damping,
            alert_hook=alert_hook,
            opa=opa,
            vault=vault,
            secrets_manager=manager,
            prices=self._prices(),
            revocation_max_age_s=max_age_s,
            credential_dir=str(directory),
        )

    def _root(self) -> Table:
        section = self.sections["policy"]
        if section.whole and not section.files:
            self.problems.add(Mark(ROOT, 1, 1), (), "missing", "every policy has this file, with at least `name:`")
        mark = Mark(ROOT, 1, 1)
        readable = section.whole and section.files
        return Table(Mapping(mark, section.entries) if readable else Broken(mark), (), self.problems)

    def _entries(self, kind: str, what: Shape) -> Iterator[tuple[Scalar, Node]]:
        """The entries of one kind whose names are sound."""
        section = self.sections[kind]
        if section.whole and not section.entries and kind not in _OPTIONAL:
            file = section.files[0] if section.files else f"{kind}.yaml"
            self.problems.add(Mark(file, 1, 1), (), "no entries", f"a policy names at least one of its {kind}")
        for key, node in section.entries.values():
            if read_scalar(key, (key.text,), what, self.problems):
                yield key, node

    def _tables(self, kind: str) -> Iterator[tuple[Scalar, Table]]:
        names = {"issuers": issuer.NAME, "introspectors": issuer.NAME, "certificates": issuer.NAME}
        what = {"tenants": _TENANT, "keys": KEY_ID, "backends": BACKEND_NAME, **names}[kind]
        for key, node in self._entries(kind, what):
            yield key, Table(node, (key.text,), self.problems)

    def _known(self, kind: str) -> Collection[str] | None:
        """Names that may be referred to, or None when a file of that kind could not be read."""
        section = self.sections[kind]
        return section.entries if section.whole else None

    def _refer(self, word: Scalar | None, path: tuple[str, ...], kind: str) -> str:
        """A reference to an entry of another file."""
        known = self._known(kind)
        if word is None:
            return ""
        if known is not None and word.text not in known:
            noun = kind.removesuffix("s")
            self.problems.add(word.mark, path, f"unknown {noun} {shown(word.text)}", nearest(word.text, known))
        return word.text

    def _limits(self, table: Table | None) -> Limits:
        defaults = Limits()
        if table is None:
            return defaults
        read = {
            name: table.integer(name, low, high, default=getattr(defaults, name))
            for name, (low, high) in LIMIT_BOUNDS.items()
        }
        if read["event_bytes"] > read["answer_bytes"]:
            self.problems.add(table.mark, (*table.path, "event_bytes"), "larger than answer_bytes")
        longest = table.integer("string_chars", *_STRING_CHARS, default=0) or None
        table.close()
        return Limits(**read, string_chars=longest)

    def _prices(self) -> PriceBook:
        section = self.sections["prices"]
        if not section.files:
            return PriceBook()
        mark = Mark(section.files[0], 1, 1)
        table = Table(Mapping(mark, section.entries) if section.whole else Broken(mark), (), self.problems)
        return read_prices(table, self._refer, self.problems)

    def _model(self, key: Scalar, node: Node, limits: Limits) -> Model:
        """`name: backend`, `name: {backend, created, owned_by}`, or `backends` in place of the one."""
        if isinstance(node, Scalar) and not node.is_null:
            return Model(name=key.text, backend=self._refer(node, (key.text,), "backends"))
        table = Table(node, (key.text,), self.problems)
        pool = self._pool(table, limits)
        model = Model(
            name=key.text,
            backend=self._refer(table.scalar("backend", BACKEND_NAME), (*table.path, "backend"), "backends")
            if pool is None
            else next(iter(pool.backends), ""),
            pool=pool,
            created=table.integer("created", 0, LAST_SECOND, default=0),
            owned_by=table.text("owned_by", _OWNER, default="ostiary"),
            group=table.text("group", _GROUP, default=""),
            tokenizer=table.choice("tokenizer", TOKENIZERS, default=""),
            max_output_tokens=table.integer("max_output_tokens", 1, _MOST_TOKENS, default=0) or None,
            on_loss=table.choice("on_loss", ON_LOSS, default="drop"),
            thinking=table.choice("thinking", THINKING, default="") or None,
            sampling=None if table.node("sampling") is None else table.flag("sampling"),
        )
        names = read_upstream(table, model.reached, self.problems)
        model = replace(model, upstream=MappingProxyType(names)) if names else model
        table.close()
        return model

    def _pool(self, table: Table, limits: Limits) -> Pool | None:
        if table.node("backends") is None:
            return None
        names = table.words("backends", BACKEND_NAME)
        for at, name in enumerate(names):
            self._refer(name, (*table.path, "backends", f"[{at}]"), "backends")
        return read_pool(table, names, self.rules | self.advised, limits, self._refer, self.problems)

    def _tenant(
        self,
        key: Scalar,
        table: Table,
        defaults: dict[str, guard.Wishes],
        schema: str,
        versions: ApiVersions,
        over: budget.Block,
    ) -> Tenant:
        models = table.words("models", _WANTED)
        for at, word in enumerate(models):
            if word.text != "*":
                self._refer(word, (*table.path, "models", f"[{at}]"), "models")
        routes = table.words("routes", _ROUTE)
        for at, word in enumerate(routes):
            if word.text != "*" and word.text not in self.routes:
                path = (*table.path, "routes", f"[{at}]")
                hint = nearest(word.text, self.routes)
                self.problems.add(word.mark, path, f"unknown route {shown(word.text)}", hint)
        backends = table.words("backends", BACKEND_NAME, optional=True) if table.node("backends") is not None else None
        for at, word in enumerate(backends or ()):
            self._refer(word, (*table.path, "backends", f"[{at}]"), "backends")
        schemas = self.schemas.bind(table.table("schemas"))
        topics = self.topics.bind(table.table("topics"))
        rules = self.rules | {f"{SCHEMA_FAMILY}.{name}" for name in schemas} | rules_of(topics)
        answers = read_answers(table.table("answers"), self.problems, self.patterns)
        of_answers = answers.rules
        wishes = guard.read_guards(
            table.table("guards"), rules, self.problems, of_requests=self.advised, of_answers=of_answers
        )
        own = budget.read_budgets(table.table("budgets"), self.problems, over=over)
        tenant = Tenant(
            id=key.text,
            models=frozenset(word.text for word in models),
            routes=frozenset(word.text for word in routes),
            request=guard.merge((wishes["request"], defaults["request"]), rules | self.advised),
            response=guard.merge((wishes["response"], defaults["response"]), rules | of_answers, "response"),
            urls=read_urls(table.table("urls"), self.problems),
            banned=answers.banned,
            patterns=answers.patterns,
            max_answer_chars=answers.max_chars,
            schemas=MappingProxyType(schemas),
            topics=MappingProxyType(topics),
            bounds=read_bounds(table.table("requests"), self.problems, self.patterns),
            budgets=budget.merge(own, over, table, self.problems),
            identities=None if table.choice("identities", IDENTITIES, default="salted") == "salted" else "as_sent",
            restore=read_restore(table, self.problems),
            cache=read_cache(table.table("cache"), self._refer, self.problems),
            backends=None if backends is None else frozenset(word.text for word in backends),
            strict_schema=table.choice("schema", SCHEMAS, default=schema) == "strict",
            api_versions=read_versions(table.table("api_versions"), self.problems, versions),
            rate=read_rate(table.table("rate")),
            principal_rate=read_rate(table.table("principal_rate")),
            address_rate=read_rate(table.table("address_rate")),
        )
        table.close()
        return tenant

    def _key(self, key: Scalar, table: Table) -> Key:
        tenant = self._refer(table.scalar("tenant", _TENANT), (*table.path, "tenant"), "tenants")
        models = table.words("models", _MODEL, optional=True)
        for at, word in enumerate(models):
            self._refer(word, (*table.path, "models", f"[{at}]"), "models")
        return read_key(key, tenant, frozenset(word.text for word in models), table, self.problems)

    def _issuer(self, key: Scalar, table: Table) -> Issuer:
        tenant = self._refer(table.scalar("tenant", _TENANT), (*table.path, "tenant"), "tenants")
        return issuer.read_issuer(key, tenant, table, self.problems)

    def _introspector(self, key: Scalar, table: Table) -> Introspector:
        tenant = self._refer(table.scalar("tenant", _TENANT), (*table.path, "tenant"), "tenants")
        return introspector.read_introspector(key, tenant, table, self.problems)

    def _certificate(self, key: Scalar, table: Table) -> CertificateIdentity:
        tenant = self._refer(table.scalar("tenant", _TENANT), (*table.path, "tenant"), "tenants")
        return certificate.read_certificate(key, tenant, table, self.problems)
