"""Renders a whole Envoy bootstrap from an `EdgeSpec` and a `Policy`. Pure: reads no file, starts nothing."""

from typing import Any, Final

import yaml
from envoy_data_plane.envoy.config.bootstrap.v3 import Admin, Bootstrap, BootstrapStaticResources
from envoy_data_plane.envoy.config.core.v3 import Address, Node, Pipe

from control.edge import clusters, listener, mirror, overload, typed
from control.edge.spec import EdgeSpec
from gateway.policy.model import Policy
from gateway.policy.walk import walks

#: Owner only: whoever reaches the admin socket can read the configuration and stop the process.
_ADMIN_MODE: Final = 0o600

_HEADER: Final = """\
# Made by `ostiary envoy render` from policy {version}. Change ostiary.yaml or the policy, not this file.
# envoy/README.md explains the order of the filters and every number.
"""

#: Defaults that a reader must not have to know. Protobuf leaves them out; here their absence would be a
#: question.
_SPELLED_OUT: Final = {
    "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz": ("failure_mode_allow",),
    "envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor": (
        "failure_mode_allow",
        "allow_mode_override",
        "observability_mode",
    ),
    "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext": ("require_client_certificate",),
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager": (
        "preserve_external_request_id",
        "xff_num_trusted_hops",
    ),
}
_NUMBERS: Final = frozenset({"xff_num_trusted_hops"})
#: The same for a field whose message would be empty.
_PANIC: Final = "healthy_panic_threshold"


def render(spec: EdgeSpec, policy: Policy) -> str:
    """The bootstrap as YAML text. The same spec and policy give the same bytes."""
    return _HEADER.format(version=policy.version) + text(data(spec, policy, pools=bool(walks(policy))))


def data(spec: EdgeSpec, policy: Policy, *, pools: bool) -> dict[str, Any]:
    """The same as plain data; `pools`: more than one backend may answer an exchange."""
    bootstrap = Bootstrap(
        node=Node(id="ostiary-edge", cluster="ostiary"),
        admin=Admin(address=Address(pipe=Pipe(path=spec.admin_socket, mode=_ADMIN_MODE))),
        static_resources=BootstrapStaticResources(
            listeners=[
                listener.listener(spec, policy, body_bytes(spec, policy), pools=pools),
                *mirror.listeners(spec, policy),
            ],
            clusters=[*clusters.every(spec, policy), *mirror.every(spec, policy)],
        ),
        overload_manager=overload.manager(spec),
    )
    plain = typed.plain(bootstrap)
    _spell_out(plain)
    return plain


def text(plain: dict[str, Any]) -> str:
    """Plain data as YAML, in the order in which it was made."""
    written: str = yaml.safe_dump(plain, sort_keys=False, width=120, allow_unicode=False)
    return written


def body_bytes(spec: EdgeSpec, policy: Policy) -> int:
    """The request body limit that Envoy enforces: never above the policy's, which the worker enforces too."""
    return min(spec.body_bytes or policy.limits.body_bytes, policy.limits.body_bytes)


def _spell_out(node: Any) -> None:
    if isinstance(node, list):
        for item in node:
            _spell_out(item)
    if not isinstance(node, dict):
        return
    for name in _SPELLED_OUT.get(str(node.get("@type", "")).rpartition("/")[2], ()):
        node.setdefault(name, 0 if name in _NUMBERS else False)
    if _PANIC in node:
        node[_PANIC].setdefault("value", 0)
    for value in node.values():
        _spell_out(value)
