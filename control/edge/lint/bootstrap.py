"""Rules about the process: its admin, overload manager, runtime, secrets, and what comes from elsewhere."""

from collections.abc import Iterator
from typing import Final

from control.edge.lint import quantity
from control.edge.lint.clusters import is_loopback
from control.edge.lint.node import Kind, Node
from control.edge.lint.rule import ERROR, WARNING, Hit, rule
from control.edge.lint.survey import Survey

_GUARD_PREFIXES: Final = ("envoy.reloadable_features.", "envoy.restart_features.", "envoy.features.")
_OVERRIDES: Final = frozenset({"upstream.healthy_panic_threshold"})  # wins over common_lb_config
_OTHERS_BITS: Final = 0o077
#: Fields by which Envoy fetches configuration that this file does not hold.
_FETCHED: Final = {
    "lds_config": "listeners",
    "cds_config": "clusters",
    "ads_config": "resources",
    "rds": "routes",
    "vhds": "virtual hosts",
    "scoped_rds": "routes",
    "config_discovery": "filter configuration",
    "fcds_config": "filter chains",
    "eds_cluster_config": "endpoints",
    "lds_resources_locator": "listeners",
    "cds_resources_locator": "clusters",
}


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


_FETCHED_BOTH: Final = _FETCHED | {_camel(name): what for name, what in _FETCHED.items()}


@rule(
    "bootstrap.admin-public",
    ERROR,
    why=(
        "Envoy's admin has no login: whoever reaches it can stop the process, change runtime, and read keys from dumps."
    ),
    remedy="Bind admin to a UNIX socket: address.pipe with mode 384 (0600).",
)
def _admin_public(survey: Survey) -> Iterator[Hit]:
    place = survey.root.get("admin", "address", "socket_address")
    if place and not is_loopback(place.get("address").text):
        yield Hit(place, "the admin listens beyond loopback")


@rule(
    "bootstrap.admin-tcp",
    ERROR,
    why=("Every local process, and every request forged through a server on this host, reaches a loopback port."),
    remedy="Bind admin to a UNIX socket: address.pipe with mode 384 (0600).",
)
def _admin_tcp(survey: Survey) -> Iterator[Hit]:
    place = survey.root.get("admin", "address", "socket_address")
    if place and is_loopback(place.get("address").text):
        yield Hit(place, "the admin listens on a TCP port")


@rule(
    "bootstrap.admin-mode",
    WARNING,
    why="Other users of the host may open the admin's socket.",
    remedy="Set admin.address.pipe.mode: 384, which is 0600.",
)
def _admin_mode(survey: Survey) -> Iterator[Hit]:
    pipe = survey.root.get("admin", "address", "pipe")
    bits = quantity.number(pipe.get("mode"))
    if pipe and (not bits or int(bits) & _OTHERS_BITS):
        yield Hit(pipe.get("mode"), "the admin's socket is not limited to its owner")


@rule(
    "bootstrap.admin-proxied",
    ERROR,
    why="A cluster towards the admin puts it one route away from clients.",
    remedy="Remove the cluster; scrape metrics over the UNIX socket.",
)
def _admin_proxied(survey: Survey) -> Iterator[Hit]:
    admin = survey.root.get("admin", "address")
    port, path = admin.get("socket_address", "port_value").text, admin.get("pipe", "path").text
    for cluster in survey.clusters:
        for address in cluster.addresses:
            local = is_loopback(address.get("socket_address", "address").text)
            if (path and address.get("pipe", "path").text == path) or (
                port and local and address.get("socket_address", "port_value").text == port
            ):
                yield Hit(address, "a cluster points at Envoy's admin")


@rule(
    "bootstrap.overload-manager",
    ERROR,
    why=("Bodies are buffered before anybody is identified; without a bound Envoy grows until the kernel kills it."),
    remedy="Add overload_manager with a fixed_heap monitor and actions.",
)
def _overload_manager(survey: Survey) -> Iterator[Hit]:
    manager = survey.root.get("overload_manager")
    if not manager.get("resource_monitors").elements:
        yield Hit(manager, "there is no overload manager with a resource monitor")


@rule(
    "bootstrap.overload-bypassed",
    ERROR,
    why="Connections of this listener count towards no limit and are not shed under overload.",
    remedy="Remove bypass_overload_manager and ignore_global_conn_limit from the listener.",
)
def _overload_bypassed(survey: Survey) -> Iterator[Hit]:
    for listener in survey.doors:
        for name in ("bypass_overload_manager", "ignore_global_conn_limit"):
            if listener.get(name).flag:
                yield Hit(listener.get(name), f"{name} is on")


def _flat(layer: Node) -> Iterator[tuple[str, Node]]:
    """Runtime keys with their dots; a layer may also nest them."""
    todo = [("", layer)]
    while todo:
        prefix, node = todo.pop()
        for key, value in node.entries:
            name = f"{prefix}{key}"
            yield name, value
            if value.kind is Kind.MAPPING:
                todo.append((f"{name}.", value))


@rule(
    "bootstrap.runtime-guard",
    WARNING,
    why=(
        "These keys switch off fixes of Envoy, security fixes among them; the facts that this gateway "
        "rests on are tested without."
    ),
    remedy="Remove the key from layered_runtime.",
)
def _runtime_guard(survey: Survey) -> Iterator[Hit]:
    for layer in survey.root.get("layered_runtime", "layers").elements:
        for name, value in _flat(layer.get("static_layer")):
            if name.startswith(_GUARD_PREFIXES) and value.kind is Kind.SCALAR:
                yield Hit(value, "a runtime key changes a feature guard of Envoy")
            elif name in _OVERRIDES:
                yield Hit(value, "a runtime key overrides a setting of this file")


@rule(
    "bootstrap.runtime-mutable",
    WARNING,
    why=("Fractions, limits and feature guards can be changed while Envoy runs, and this file does not say to what."),
    remedy="Keep only static_layer in layered_runtime.",
)
def _runtime_mutable(survey: Survey) -> Iterator[Hit]:
    for layer in survey.root.get("layered_runtime", "layers").elements:
        # `admin_layer: {}` is the usual spelling: present, but empty.
        for name in ("admin_layer", "disk_layer", "rtds_layer"):
            if layer.get(name):
                yield Hit(layer.get(name), f"{name} can change runtime values")


@rule(
    "bootstrap.dynamic",
    WARNING,
    why="What comes from elsewhere at run time cannot be checked here, and can replace what was.",
    remedy="Configure it in static_resources, or lint the configuration that the server hands out.",
)
def _dynamic(survey: Survey) -> Iterator[Hit]:
    for key, value in survey.root.walk_entries():
        if key in _FETCHED_BOTH and value.kind is Kind.MAPPING:
            yield Hit(value, f"{_FETCHED_BOTH[key]} come from elsewhere")


@rule(
    "bootstrap.header-prefix",
    ERROR,
    why="Envoy then obeys control headers under another name than x-envoy-*, which authz does not remove.",
    remedy="Remove header_prefix.",
)
def _header_prefix(survey: Survey) -> Iterator[Hit]:
    if survey.root.get("header_prefix"):
        yield Hit(survey.root.get("header_prefix"), "Envoy's control headers are renamed")


@rule(
    "bootstrap.inline-secret",
    WARNING,
    why="A private key or credential in the file is in every copy of the file and in the admin's dump.",
    remedy="Name a file (filename) or a secret service instead of inline_string or inline_bytes.",
)
def _inline_secret(survey: Survey) -> Iterator[Hit]:
    holders = {"private_key", "privateKey", "password", "secret", "hmac_secret", "token_secret"}
    for key, value in survey.root.walk_entries():
        if key in holders:
            for name in ("inline_string", "inline_bytes"):
                if value.get(name):
                    yield Hit(value.get(name), f"{name} holds a secret")
