"""Renders a bootstrap for tests and finds its parts by name. Expects nothing of them."""

import warnings
from typing import Any

import yaml
from pydantic.warnings import PydanticDeprecatedSince212

from gateway import contract
from gateway.policy.model import Backend, Limits, Policy

with warnings.catch_warnings():
    # Raised while envoy-data-plane defines its classes; theirs to mend.
    warnings.filterwarnings("ignore", category=PydanticDeprecatedSince212)
    from control.edge.render import render
    from control.edge.spec import EdgeSpec, Tls

SPEC = EdgeSpec(
    tls=Tls(cert="/c.pem", key="/k.pem"),
    run_dir="/run/o",
    admin_socket="/run/o/a.sock",
    policy_dir="/policy",
    workers=2,
)
PLAIN = Backend(name="plain", host="127.0.0.1", port=8000, tls=False)
NAMED = Backend(name="named", host="llm.example", port=443, tls=True)
LITERAL = Backend(name="literal", host="192.0.2.9", port=8443, tls=True, ca_file="private/ca.pem")


def policy(*backends: Backend, limits: Limits | None = None) -> Policy:
    return Policy(
        version="p-0123456789ab",
        name="test",
        tenants={},
        keys={},
        models={},
        backends={backend.name: backend for backend in backends},
        limits=limits or Limits(),
    )


def rendered(edge: EdgeSpec = SPEC, *backends: Backend, limits: Limits | None = None) -> Any:
    return yaml.safe_load(render(edge, policy(*(backends or (PLAIN, NAMED, LITERAL)), limits=limits)))


def manager(data: Any) -> Any:
    return data["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]


def tls(data: Any) -> Any:
    return data["static_resources"]["listeners"][0]["filter_chains"][0]["transport_socket"]["typed_config"]


def http_filter(data: Any, name: str) -> Any:
    return next(f["typed_config"] for f in manager(data)["http_filters"] if f["name"] == name)


def cluster(data: Any, name: str) -> Any:
    return next(c for c in data["static_resources"]["clusters"] if c["name"] == name)


def options(found: Any) -> Any:
    return found["typed_extension_protocol_options"]["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"]


def adapt(data: Any, backend: str = "plain") -> Any:
    return options(cluster(data, contract.route_of(backend)))["http_filters"][0]["typed_config"]
