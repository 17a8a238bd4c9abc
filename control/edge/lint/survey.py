"""What a bootstrap means: its listeners, chains, routes, clusters; which are governed. Judges nothing.

A chain is *governed* when one of our guards stands in it; a cluster, when a governed chain routes to it.
A chain without any guard that reaches a governed cluster is a way *around* the gateway.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from control.edge.lint.node import Node
from control.edge.lint.parts import Cluster, Extension, Manager, Route, cluster, managers
from control.edge.lint.quantity import number
from gateway import contract

#: Of a socket's mode: whoever is neither owner nor of the group.
_OTHERS: Final = 0o007


@dataclass(frozen=True, eq=False)
class Survey:
    """The whole file, understood."""

    root: Node

    @cached_property
    def listeners(self) -> tuple[Node, ...]:
        """Every static listener."""
        return self.root.get("static_resources", "listeners").elements

    @cached_property
    def clusters(self) -> tuple[Cluster, ...]:
        """Every static cluster."""
        return tuple(cluster(each) for each in self.root.get("static_resources", "clusters").elements)

    @cached_property
    def managers(self) -> tuple[Manager, ...]:
        """Every HTTP connection manager."""
        return tuple(managers(self.listeners))

    @cached_property
    def governed(self) -> tuple[Manager, ...]:
        """The chains that must hold: those with a guard, or all when the file has no guard anywhere."""
        guarded = tuple(each for each in self.managers if each.guards)
        return guarded or self.managers

    @cached_property
    def sidecars(self) -> tuple[Cluster, ...]:
        """The clusters whose members are our workers."""
        ours = {contract.SIDECAR_CLUSTER, contract.AUTHZ_CLUSTER, contract.ADAPT_CLUSTER}
        names = ours | {guard.service_cluster for guard in self.guards}
        return tuple(each for each in self.clusters if each.name in names)

    @cached_property
    def front_sidecars(self) -> tuple[Cluster, ...]:
        """Those that authz and `inspect` call: answers flow through them at the pace of the reader."""
        names = {contract.SIDECAR_CLUSTER} | {guard.service_cluster for guard in (*self.authzs, *self.inspects)}
        return tuple(each for each in self.clusters if each.name in names)

    @cached_property
    def adapt_sidecars(self) -> tuple[Cluster, ...]:
        """Those that only `adapt` calls."""
        names = {guard.service_cluster for guard in self.adapts}
        return tuple(each for each in self.clusters if each.name in names and each not in set(self.front_sidecars))

    @cached_property
    def inspects(self) -> tuple[Extension, ...]:
        """Every `inspect` filter."""
        return tuple(each.inspect for each in self.governed if each.inspect is not None)

    @cached_property
    def authzs(self) -> tuple[Extension, ...]:
        """Every ext_authz filter of ours."""
        return tuple(each.authz for each in self.governed if each.authz is not None)

    @cached_property
    def adapts(self) -> tuple[Extension, ...]:
        """Every `adapt` filter."""
        return tuple(each.adapt for each in self.clusters if each.adapt is not None)

    @cached_property
    def processors(self) -> tuple[Extension, ...]:
        """Every ext_proc filter of ours."""
        return (*self.inspects, *self.adapts)

    @cached_property
    def guards(self) -> tuple[Extension, ...]:
        """Every filter of ours."""
        return (*self.authzs, *self.processors)

    @cached_property
    def routed(self) -> tuple[Cluster, ...]:
        """The clusters that governed routes name."""
        asked = (route for manager in self.governed for route in manager.routes if not route.to_control)
        names = {target.text for route in asked for target in route.targets}
        return tuple(each for each in self.clusters if each.name in names and each not in set(self.sidecars))

    @cached_property
    def upstreams(self) -> tuple[Cluster, ...]:
        """Governed clusters: those routed to or holding `adapt`, the members of such, and those of mirrors."""
        routed, private = set(self.routed), set(self.sidecars)
        copied = {target.text for manager in self.mirrors for route in manager.routes for target in route.targets}
        by_name = {each.name: each for each in self.clusters}
        known = (each for each in self.clusters if each in routed or each.adapt is not None or each.name in copied)
        found = dict.fromkeys(known)
        todo = list(found)
        while todo:
            fresh = [by_name[name] for name in todo.pop().members if name in by_name and by_name[name] not in found]
            found.update(dict.fromkeys(fresh))
            todo.extend(fresh)
        return tuple(each for each in found if each not in private)

    @cached_property
    def backends(self) -> tuple[Cluster, ...]:
        """Governed clusters that connect to a provider themselves."""
        return tuple(each for each in self.upstreams if not each.members)

    @cached_property
    def governed_names(self) -> frozenset[str]:
        """Names under which a governed upstream can be reached, also clusters that share an endpoint with one."""
        return self._twins(self.upstreams)

    @cached_property
    def sidecar_names(self) -> frozenset[str]:
        """The same for the workers' sockets."""
        return self._twins(self.sidecars)

    @cached_property
    def controls(self) -> tuple[Cluster, ...]:
        """The cluster of our own control plane: a guard of its own, so neither a worker nor a provider."""
        return tuple(each for each in self.clusters if each.name == contract.CONTROL_CLUSTER)

    @cached_property
    def control_names(self) -> frozenset[str]:
        """Names under which control's socket can be reached."""
        return self._twins(self.controls)

    @cached_property
    def control_routes(self) -> tuple[Route, ...]:
        """The governed routes to it."""
        return tuple(route for route in self.routes if route.to_control)

    def is_control_route(self, level: Node) -> bool:
        """Whether a mapping that may hold per-route settings is such a route itself."""
        return any(level is route.node for route in self.control_routes)

    def _twins(self, known: tuple[Cluster, ...]) -> frozenset[str]:
        reached = {place for each in known for place in each.places}
        shared = (each.name for each in self.clusters if not reached.isdisjoint(each.places))
        return frozenset((*(each.name for each in known), *shared)) - {""}

    @cached_property
    def bare(self) -> tuple[Manager, ...]:
        """Chains without a guard, beside chains that have one."""
        return tuple(each for each in self.managers if each not in set(self.governed))

    @cached_property
    def mirrors(self) -> tuple[Manager, ...]:
        """The way by which workers send copies, if it is that: a socket that no stranger can open, to clusters of its
        own that no request is routed to.
        """
        requests = {each.name for each in self.routed}

        def private(manager: Manager) -> bool:
            pipe = manager.listener.get("address", "pipe")
            mode = number(pipe.get("mode"))
            targets = [target.text for route in manager.routes for target in route.targets]
            return (
                pipe.get("path").text.endswith(f"/{contract.MIRROR_SOCKET}")
                and mode is not None
                and int(mode) & _OTHERS == 0
                and all(each.startswith(contract.mirror_route_of("")) and each not in requests for each in targets)
                and not any(route.action.get("cluster_header") for route in manager.routes)
            )

        return tuple(each for each in self.bare if private(each))

    @cached_property
    def doors(self) -> tuple[Node, ...]:
        """Listeners with a governed chain."""
        return _distinct(each.listener for each in self.governed)

    @cached_property
    def routes(self) -> tuple[Route, ...]:
        """Every governed route."""
        return tuple(route for manager in self.governed for route in manager.routes)

    @cached_property
    def levels(self) -> tuple[Node, ...]:
        """Every weighted cluster, route, virtual host and route table of governed chains, once each."""
        bare = (
            host
            for each in self.governed
            for table in each.tables
            for host in (table, *table.get("virtual_hosts").elements)
        )
        return _distinct((*bare, *(level for route in self.routes for level in route.levels)))


def _distinct(nodes: Iterable[Node]) -> tuple[Node, ...]:
    return tuple({id(node): node for node in nodes}.values())
