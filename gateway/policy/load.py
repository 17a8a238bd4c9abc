"""A directory of YAML as one `Policy`, or every mistake in it at once. Reads files, keeps nothing.

The format is taught in policies/README.md. Whatever is not understood is an error: a misspelt guard must not
be a guard that is off.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Final

from gateway.policy import guard, issuer
from gateway.policy.endpoint import BACKEND_NAME, read_backend
from gateway.policy.field import Shape, Table, read_scalar, shape
from gateway.policy.files import ROOT, Section, read_directory
from gateway.policy.model import Issuer, Key, Limits, Model, Policy, RateLimit, Tenant
from gateway.policy.problem import Mark, Problems, nearest, shown
from gateway.policy.tree import Broken, Mapping, Node, Scalar
from gateway.policy.version import named

#: Front doors that a tenant may be let through.
ROUTES: Final = frozenset({"/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/models"})

#: Limits that policy.yaml may set, with the least and the most that make sense.
LIMIT_BOUNDS: Final = MappingProxyType(
    {
        "body_bytes": (1024, 64 * 1024 * 1024),  # Envoy buffers it before anybody is authenticated
        "answer_bytes": (1024, 256 * 1024 * 1024),  # held whole in a worker
        "event_bytes": (1024, 16 * 1024 * 1024),
        "json_depth": (4, 128),  # below 4 no chat request fits; parsers recurse
        "json_nodes": (64, 2_000_000),
        "exchange_s": (1, 3600),
        "idle_s": (1, 3600),
    },
)
MAX_REQUESTS_PER_S: Final = 10_000  # GCRA counts whole microseconds: at this rate rounding costs at most 1 %
_MAX_WINDOW_S: Final = 86_400
_OPTIONAL: Final = frozenset({"keys", "issuers"})  # callers may come by either, and before there are any
_LAST_SECOND: Final = 253_402_300_799  # 9999-12-31, the last date that Python can print

_NAME: Final = shape(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}", "a name of up to 64 letters, digits, spaces, . _ -")
#: Becomes part of store keys, metric labels and metadata: no braces, no spaces.
_TENANT: Final = shape(r"[a-z0-9][a-z0-9_-]{0,62}", "1 to 63 of a-z, 0-9, _ and -, not starting with _ or -")
_KEY: Final = shape(r"[a-z0-9]{12}", "the 12 characters (a-z, 0-9) between osk_ and the secret")
_MODEL_PATTERN: Final = r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}"
_MODEL: Final = shape(_MODEL_PATTERN, "a model name of up to 128 of A-Z a-z 0-9 . _ : / @ -")
_WANTED: Final = shape(r"\*|" + _MODEL_PATTERN, 'a model name or "*"')
_ROUTE: Final = shape(r"\*|/[a-z0-9/_-]{1,127}", 'a path such as /v1/chat/completions, or "*"')
_PRINCIPAL: Final = shape(r"[A-Za-z0-9][A-Za-z0-9._@+:/-]{0,127}", "up to 128 of A-Z a-z 0-9 . _ @ + : / -")
#: RFC 6749 section 3.3 allows more; these need no quoting anywhere.
_SCOPE: Final = shape(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}", "a scope of up to 64 of A-Z a-z 0-9 . _ : / -")
_DIGEST: Final = shape(r"[0-9a-f]{64}", "the HMAC-SHA-256 of the key, 64 hex digits in lower case")
_PEPPER: Final = shape(r"[A-Za-z0-9._-]{1,32}", "the version of a pepper, 1 to 32 of A-Z a-z 0-9 . _ -")
_OWNER: Final = shape(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}", "a name of up to 64 letters, digits, spaces, . _ -")
_EXPIRY: Final = shape(r"[0-9]{1,12}|[0-9T:.Z+-]{19,35}", "unix seconds or a time such as 2030-01-31T00:00:00Z")


def load(directory: Path, *, rules: Collection[str], routes: Collection[str] = ROUTES) -> Policy:
    """Read and check the policy in `directory`; `rules` are the ids of every rule that the guards know.

    Raises:
        PolicyError: with all problems, each with file, line and column.
    """
    problems = Problems()
    sections = read_directory(directory, problems)
    policy = _Loader(sections, frozenset(rules), frozenset(routes), problems).read(str(directory.absolute()))
    problems.stop_if_any()
    return named(policy)


@dataclass(frozen=True, slots=True)
class _Loader:
    """Reads sections in the order of their references: backends, models, tenants, keys and issuers."""

    sections: dict[str, Section]
    rules: frozenset[str]
    routes: frozenset[str]
    problems: Problems

    def read(self, credential_dir: str) -> Policy:
        root = self._root()
        name = root.text("name", _NAME)
        limits = self._limits(root.table("limits"))
        defaults = guard.read_guards(root.table("guards"), self.rules, self.problems)
        root.close()
        backends = {key.text: read_backend(key, table, self.problems) for key, table in self._tables("backends")}
        models = {key.text: self._model(key, node) for key, node in self._entries("models", _MODEL)}
        tenants = {key.text: self._tenant(key, table, defaults) for key, table in self._tables("tenants")}
        keys = {key.text: self._key(key, table) for key, table in self._tables("keys")}
        issuers = {key: self._issuer(key, table) for key, table in self._tables("issuers")}
        issuer.refuse_overlaps(issuers, self.problems)
        return Policy(
            version="",
            name=name,
            tenants=MappingProxyType(tenants),
            keys=MappingProxyType(keys),
            models=MappingProxyType(models),
            backends=MappingProxyType(backends),
            limits=limits,
            issuers=MappingProxyType({key.text: one for key, one in issuers.items()}),
            credential_dir=credential_dir,
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
        what = {"tenants": _TENANT, "keys": _KEY, "issuers": issuer.NAME, "backends": BACKEND_NAME}[kind]
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
        table.close()
        return Limits(**read)

    def _model(self, key: Scalar, node: Node) -> Model:
        """`name: backend`, or `name: {backend, created, owned_by}`."""
        if isinstance(node, Scalar) and not node.is_null:
            return Model(name=key.text, backend=self._refer(node, (key.text,), "backends"))
        table = Table(node, (key.text,), self.problems)
        model = Model(
            name=key.text,
            backend=self._refer(table.scalar("backend", BACKEND_NAME), (*table.path, "backend"), "backends"),
            created=table.integer("created", 0, _LAST_SECOND, default=0),
            owned_by=table.text("owned_by", _OWNER, default="ostiary"),
        )
        table.close()
        return model

    def _tenant(self, key: Scalar, table: Table, defaults: dict[str, guard.Wishes]) -> Tenant:
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
        wishes = guard.read_guards(table.table("guards"), self.rules, self.problems)
        tenant = Tenant(
            id=key.text,
            models=frozenset(word.text for word in models),
            routes=frozenset(word.text for word in routes),
            request=guard.merge((wishes["request"], defaults["request"]), self.rules),
            response=guard.merge((wishes["response"], defaults["response"]), self.rules),
            rate=self._rate(table.table("rate")),
        )
        table.close()
        return tenant

    def _key(self, key: Scalar, table: Table) -> Key:
        read = Key(
            id=key.text,
            tenant=self._refer(table.scalar("tenant", _TENANT), (*table.path, "tenant"), "tenants"),
            principal=table.text("principal", _PRINCIPAL),
            scopes=tuple(word.text for word in table.words("scopes", _SCOPE, optional=True)),
            digest=table.text("digest", _DIGEST),
            pepper=table.text("pepper", _PEPPER),
            expires_at=self._expiry(table),
            disabled=table.flag("disabled"),
            rate=self._rate(table.table("rate")),
        )
        table.close()
        return read

    def _issuer(self, key: Scalar, table: Table) -> Issuer:
        tenant = self._refer(table.scalar("tenant", _TENANT), (*table.path, "tenant"), "tenants")
        return issuer.read_issuer(key, tenant, table, self.problems)

    def _expiry(self, table: Table) -> int | None:
        word = table.scalar("expires_at", _EXPIRY, optional=True)
        if word is None:
            return None
        path = (*table.path, "expires_at")
        if word.text.isdigit():
            seconds = int(word.text)
        else:
            try:
                moment = datetime.fromisoformat(word.text)
            except ValueError:
                self.problems.add(word.mark, path, f"expected {_EXPIRY.expected}, found {shown(word.text)}")
                return None
            if moment.tzinfo is None:
                self.problems.add(word.mark, path, f"{shown(word.text)} has no time zone", "end it in Z for UTC")
                return None
            seconds = int(moment.timestamp())
        if not 0 < seconds <= _LAST_SECOND:
            self.problems.add(word.mark, path, "expected a time between 1970 and 9999")
            return None
        return seconds

    def _rate(self, table: Table | None) -> RateLimit | None:
        if table is None:
            return None
        window_s = table.integer("window_s", 1, _MAX_WINDOW_S, default=60)
        most = MAX_REQUESTS_PER_S * window_s
        rate = RateLimit(requests=table.integer("requests", 1, most), window_s=window_s)
        table.close()
        return rate
