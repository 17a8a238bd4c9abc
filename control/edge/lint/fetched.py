"""Puts what Envoy takes from files where a static bootstrap has it, so that every rule sees it. Judges nothing."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from control.edge.lint.node import Kind, Node, Repeated, Tree, read
from control.edge.lint.parts import type_name

#: The text of the file at a path that the bootstrap names; OSError where there is none.
Opened = Callable[[str], str]

_ROUTES: Final = "config.route.v3.RouteConfiguration"
_CLUSTER: Final = "config.cluster.v3.Cluster"


class Assembly:
    """One bootstrap with its files. What a file cannot give stays a reference, of which `bootstrap.dynamic` speaks."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._read: dict[str, tuple[Node, ...] | None] = {}
        self.repeated: list[tuple[str, Repeated]] = []
        self.more_documents: list[tuple[str, int]] = []

    def whole(self, tree: Tree) -> Node:
        """The root, its clusters and route tables in place.

        Raises:
            Unreadable: one of the files is no tree that may be judged; `source` names it.
        """
        root = self._tables(tree.root)
        dynamic = root.get("dynamic_resources")
        fetched = self._resources(dynamic.get("cds_config"), _CLUSTER)
        if fetched is None:
            return root
        static = root.get("static_resources")
        own = static.get("clusters")
        kind = replace(own, kind=Kind.SEQUENCE, elements=(*own.elements, *fetched))
        static = replace(static, kind=Kind.MAPPING, entries=(*_without(static, "clusters"), ("clusters", kind)))
        left = replace(dynamic, entries=_without(dynamic, "cds_config", "cdsConfig"))
        spelled = ("static_resources", "staticResources", "dynamic_resources", "dynamicResources")
        entries = (*_without(root, *spelled), ("static_resources", static), ("dynamic_resources", left))
        return replace(root, entries=entries)

    def _tables(self, node: Node) -> Node:
        """The tree with each `rds` that a file answers as the table itself. As deep as `read` lets a tree be."""
        if node.kind is Kind.SEQUENCE:
            return replace(node, elements=tuple(map(self._tables, node.elements)))
        if node.kind is not Kind.MAPPING:
            return node
        entries = tuple((key, value) if key == "rds" else (key, self._tables(value)) for key, value in node.entries)
        asked = next((value for key, value in reversed(entries) if key == "rds"), None)
        if asked is None:
            return replace(node, entries=entries)
        name = asked.get("route_config_name").text
        found = self._resources(asked.get("config_source"), _ROUTES) or ()
        table = next((each for each in found if each.get("name").text == name), None)
        if table is not None:
            entries = (*((key, value) for key, value in entries if key != "rds"), ("route_config", table))
        return replace(node, entries=entries)

    def _resources(self, source: Node, kind: str) -> tuple[Node, ...] | None:
        """What the file of a config source hands out, or None: it comes from elsewhere, or nobody can read it here."""
        path = source.get("path_config_source", "path").text
        if not path:
            return None
        if path not in self._read:
            self._read[path] = self._file(path)
        found = self._read[path]
        return None if found is None else tuple(each for each in found if type_name(each).endswith(kind))

    def _file(self, path: str) -> tuple[Node, ...] | None:
        try:
            text = self._opened(path)
        except OSError:
            return None
        tree = read(text, path)
        self.repeated += [(path, each) for each in tree.repeated]
        if tree.more_documents_line:
            self.more_documents.append((path, tree.more_documents_line))
        listed = tree.root.get("resources").elements
        return tuple(each.get("resource") or each for each in listed)  # envoy.service.discovery.v3.Resource wraps one


def _without(node: Node, *names: str) -> tuple[tuple[str, Node], ...]:
    return tuple((key, value) for key, value in node.entries if key not in names)
