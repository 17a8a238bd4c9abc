"""Weakens the rendered reference bootstrap in one place and says where a linter must point. Knows no rule.

Positions come from PyYAML's own node marks, not from the reader under test.
"""

import copy
import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import yaml
from pydantic.warnings import PydanticDeprecatedSince212

from control.edge.lint.engine import Problem, lint
from control.edge.lint.rule import Rule
from gateway.policy.model import Backend, Credential, Limits, Policy

with warnings.catch_warnings():
    # Raised while envoy-data-plane defines its classes; theirs to mend.
    warnings.filterwarnings("ignore", category=PydanticDeprecatedSince212)
    from control.edge.render import render
    from control.edge.spec import ClientCertificates, Control, EdgeSpec, Tls

type_url = "type.googleapis.com/envoy.extensions."
OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

Path = tuple[str | int, ...]
Edit = Callable[[Any], Path]


def spec(
    *, client_certificates: ClientCertificates = ClientCertificates.REQUIRED, files: str = "/etc/ostiary"
) -> EdgeSpec:
    """A deployment on a public address, with client certificates unless told otherwise."""
    asked = client_certificates is not ClientCertificates.OFF
    return EdgeSpec(
        tls=Tls(
            cert=f"{files}/cert.pem",
            key=f"{files}/key.pem",
            client_ca=f"{files}/ca.pem" if asked else None,
            client_certificates=client_certificates,
        ),
        run_dir="/run/ostiary",
        admin_socket="/run/ostiary/admin.sock",
        policy_dir="/etc/ostiary/policy",
        address="0.0.0.0",
        workers=2,
        control=Control(enabled=True, remote_admin=True),
    )


def policy() -> Policy:
    """One self-hosted backend on loopback and one provider with TLS."""
    provider = Backend(
        name="provider", host="llm.example", port=443, tls=True, ca_file="/etc/ssl/certs/ca-certificates.crt",
        credential=Credential(file="/run/secrets/provider"),
    )  # fmt: skip
    local = Backend(name="local", host="127.0.0.1", port=8091, tls=False)
    return Policy(
        version="p-000000000000", name="lint", tenants={}, keys={}, models={},
        backends={"local": local, "provider": provider}, limits=Limits(),
    )  # fmt: skip


@functools.cache
def text() -> str:
    """The reference, as `ostiary envoy render` writes it."""
    return render(spec(), policy())


@functools.cache
def _parsed() -> Any:
    parsed = yaml.load(text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506  # a safe loader
    # Most of the file is local replies, one per status and dialect; two stand for all, and hundreds of tests are faster.
    del at(parsed, (*HCM, "local_reply_config", "mappers"))[2:]
    return parsed


def tree() -> Any:
    """A fresh copy of the reference, to be changed."""
    return copy.deepcopy(_parsed())


def dump(changed: Any) -> str:
    """A tree as YAML text, without aliases."""
    dumper = type("Plain", (getattr(yaml, "CSafeDumper", yaml.SafeDumper),), {"ignore_aliases": lambda *_: True})
    return str(yaml.dump(changed, Dumper=dumper, sort_keys=False, width=120))


# --- places of the reference -----------------------------------------------------------------------------------
def _find(base: Path, name: str) -> Path:
    return (*base, next(index for index, each in enumerate(at(_parsed(), base)) if each["name"] == name))


def at(changed: Any, path: Path) -> Any:
    """What stands at `path`."""
    return functools.reduce(lambda here, step: here[step], path, changed)


LISTENERS: Path = ("static_resources", "listeners")
LISTENER: Path = (*LISTENERS, 0)
CHAIN: Path = (*LISTENER, "filter_chains", 0)
DOWNSTREAM_TLS: Path = (*CHAIN, "transport_socket", "typed_config")
HCM: Path = (*CHAIN, "filters", 0, "typed_config")
FILTERS: Path = (*HCM, "http_filters")
HOST: Path = (*HCM, "route_config", "virtual_hosts", 0)
ROUTES: Path = (*HOST, "routes")
CLUSTERS: Path = ("static_resources", "clusters")


def http_filter(name: str) -> Path:
    """The entry of an HTTP filter, by name."""
    return _find(FILTERS, name)


def cluster(name: str) -> Path:
    """A cluster, by name."""
    return _find(CLUSTERS, name)


AUTHZ_FILTER = http_filter("envoy.filters.http.ext_authz")
AUTHZ: Path = (*AUTHZ_FILTER, "typed_config")
INSPECT_FILTER = http_filter("ostiary.inspect")
INSPECT: Path = (*INSPECT_FILTER, "typed_config")
ROUTE: Path = (*ROUTES, 0)
DIRECT_ROUTE: Path = _find(ROUTES, "od-provider")
DEFAULT_ROUTE: Path = (*ROUTES, len(at(_parsed(), ROUTES)) - 1)
SIDECAR = cluster("ostiary_sidecar")
ADAPT_SIDECAR = cluster("ostiary_sidecar_adapt")
COMPOSITE = cluster("oc-provider")
ADAPT_FILTERS: Path = (*COMPOSITE, "typed_extension_protocol_options", OPTIONS, "http_filters")
ADAPT: Path = (*ADAPT_FILTERS, 0, "typed_config")
PROVIDER = cluster("be-provider")
UPSTREAM_TLS: Path = (*PROVIDER, "transport_socket", "typed_config")


def typed(name: str, **fields: Any) -> dict[str, Any]:
    """An Any of an Envoy extension: the name after `envoy.extensions.`."""
    return {"@type": f"{type_url}{name}", **fields}


def filter_entry(name: str, message: str, **fields: Any) -> dict[str, Any]:
    """An HTTP filter."""
    return {"name": name, "typed_config": typed(f"filters.http.{message}", **fields)}


# --- edits: each gives the path at which the linter must point ----------------------------------------------------
def put(path: Path, value: Any) -> Edit:
    """Set a value, making the mappings on the way; the problem is there."""

    def edit(changed: Any) -> Path:
        here = changed
        for step in path[:-1]:
            here = here.setdefault(step, {}) if isinstance(step, str) else here[step]
        here[path[-1]] = value
        return path

    return edit


def drop(path: Path, *, up: int = 1) -> Edit:
    """Remove a value; the problem is where it was missed, `up` levels above."""

    def edit(changed: Any) -> Path:
        del at(changed, path[:-1])[path[-1]]
        return path[: len(path) - up]

    return edit


def insert(path: Path, value: Any, *, inside: Path = ()) -> Edit:
    """Insert before the list index that ends `path`; the problem is there, or `inside` the inserted value."""

    def edit(changed: Any) -> Path:
        at(changed, path[:-1]).insert(path[-1], value)
        return (*path, *inside)

    return edit


def append(path: Path, value: Any, *, inside: Path = ()) -> Edit:
    """Append to the list at `path`, making it if need be."""

    def edit(changed: Any) -> Path:
        here = at(changed, path[:-1]).setdefault(path[-1], [])
        here.append(value)
        return (*path, len(here) - 1, *inside)

    return edit


def move(path: Path, to: int) -> Edit:
    """Move a list entry; the problem is at its new place."""

    def edit(changed: Any) -> Path:
        entries = at(changed, path[:-1])
        entries.insert(to, entries.pop(path[-1]))
        return (*path[:-1], to)

    return edit


def pointing(where: Path, edit: Edit) -> Edit:
    """The same edit, where the problem is told at another place."""

    def both(changed: Any) -> Path:
        edit(changed)
        return where

    return both


@dataclass(frozen=True)
class Case:
    """One rule, one edit, and what the edit is."""

    rule: str
    edit: Edit
    what: str = ""

    def __str__(self) -> str:
        return f"{self.rule} {self.what}".strip()


def problems_after(edit: Edit) -> list[Problem]:
    """What the linter says of the reference after one edit."""
    changed = tree()
    edit(changed)
    return lint(dump(changed))


def check(case: Case) -> None:
    """Exactly the rule of the case speaks, and at the place of the edit."""
    changed = tree()
    where = case.edit(changed)
    written = dump(changed)
    found = lint(written)
    assert {each.rule for each in found} == {case.rule}, [(each.rule, each.line, each.message) for each in found]
    assert {(each.line, each.column) for each in found} == {position(written, where)}


def rules_of(area: ModuleType) -> set[str]:
    """The ids of the rules that a module defines."""
    return {each.id for each in vars(area).values() if isinstance(each, Rule)}


def position(written: str, where: Path) -> tuple[int, int]:
    """Line and column of the key or list entry at `where`, from the parser's own marks."""
    node = yaml.compose(written, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    mark = node.start_mark
    for step in where:
        if isinstance(step, int):
            node = node.value[step]
            mark = node.start_mark
        else:
            key, node = next(pair for pair in node.value if pair[0].value == step)
            mark = key.start_mark
    return mark.line + 1, mark.column + 1
