"""The same configuration in three files: a bootstrap, and the clusters and routes that Envoy takes while it runs.

It is the whole of `render`, parted: what Envoy puts together again is what one file would have said. Writes nothing.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import yaml

from control.edge import render, routes
from control.edge.spec import EdgeSpec
from gateway import contract
from gateway.policy.model import Policy
from gateway.policy.walk import walks

CLUSTERS: Final = "clusters.yaml"
ROUTES: Final = "routes.yaml"
#: The route table's name, and so what Envoy's statistics call it (http.ostiary.rds.ostiary.*).
TABLE: Final = "ostiary"

_CLUSTER: Final = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
_TABLE: Final = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
#: Of SHA-256: enough to tell two files apart, short enough to read.
_VERSION_CHARS: Final = 16

_BOOTSTRAP: Final = """\
# Made by `ostiary envoy render`. Change ostiary.yaml, not this file. Clusters of backends and routes come from
# {directory}. envoy/README.md explains the order of the filters and every number.
"""
_RESOURCES: Final = "# Made by `ostiary envoy render` from policy {version}. Change the policy, not this file.\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """One file that Envoy watches: its text, and the version by which Envoy tells that it has taken it."""

    text: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a directory of dynamic configuration and its bootstrap hold."""

    bootstrap: str
    clusters: Resources
    routes: Resources


def parts(spec: EdgeSpec, policy: Policy, directory: str) -> Parts:
    """The three texts. The bootstrap changes only where Envoy must be started anew."""
    # Whether there are pools must not change the chain of filters: the first one would need a restart.
    data = render.data(spec, policy, pools=True)
    static = data["static_resources"]
    moving = _moving(policy)
    clusters = [each for each in static["clusters"] if each["name"] in moving]
    static["clusters"] = [each for each in static["clusters"] if each["name"] not in moving]
    manager = static["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    table = manager.pop("route_config")
    # The order of arrival is ours (ostiary/edgefiles.py). A table that Envoy had refused would be read again only after
    # the next move; until a cluster is there, its route answers 503.
    table.pop("validate_clusters", None)
    manager["rds"] = {"config_source": _source(directory, ROUTES), "route_config_name": TABLE}
    dynamic = {"dynamic_resources": {"cds_config": _source(directory, CLUSTERS)}}
    return Parts(
        bootstrap=_BOOTSTRAP.format(directory=directory) + render.text(data | dynamic),
        clusters=resources([{"@type": _CLUSTER, **each} for each in clusters], policy.version),
        routes=resources([{"@type": _TABLE, **table}], policy.version),
    )


def resources(found: list[dict[str, Any]], policy_version: str) -> Resources:
    """A DiscoveryResponse, whose version is what it says."""
    body = render.text({"resources": found})
    version = hashlib.sha256(body.encode()).hexdigest()[:_VERSION_CHARS]
    head = _RESOURCES.format(version=policy_version) + render.text({"version_info": version})
    return Resources(text=head + body, version=version)


def united(old: str, new: Resources, policy_version: str) -> Resources:
    """The new clusters, and those of the old file that no longer are: while a table changes, both tables find theirs.

    Raises:
        ValueError: the old file is none of ours.
    """
    try:
        before, after = yaml.safe_load(old)["resources"], yaml.safe_load(new.text)["resources"]
        kept = {each["name"] for each in after}
        leaving = [each for each in before if each["name"] not in kept]
    except (yaml.YAMLError, TypeError, KeyError):
        raise ValueError("the old file holds no clusters") from None
    return resources([*after, *leaving], policy_version) if leaving else new


def _moving(policy: Policy) -> frozenset[str]:
    """The clusters of backends and pools. Those of our own sockets stay, and those of mirrors with their listener."""
    own = (name for each in policy.backends for name in (contract.route_of(each), f"{routes.BACKEND_PREFIX}{each}"))
    return frozenset((*own, *(walk.route for walk in walks(policy))))


def _source(directory: str, name: str) -> dict[str, Any]:
    return {
        "resource_api_version": "V3",
        # With the directory watched, any file that is moved into it, or any link that is switched (Kubernetes), has
        # both files read anew.
        "path_config_source": {"path": f"{directory}/{name}", "watched_directory": {"path": directory}},
    }
