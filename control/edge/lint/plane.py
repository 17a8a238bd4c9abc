"""Rules about the way to our own control plane, whose routes alone may switch the guards off: it is one itself."""

from collections.abc import Iterator
from typing import Final

from control.edge.lint import quantity
from control.edge.lint.node import Node
from control.edge.lint.parts import Route, extension, type_name
from control.edge.lint.rule import ERROR, WARNING, Hit, rule
from control.edge.lint.survey import Survey
from gateway import contract

#: What these routes may say of a filter: that it does not run, or what its limit is. Anything else is another filter.
_OFF: Final = {
    "ext_authz": "ext_authz.v3.ExtAuthzPerRoute",
    "ext_proc": "ext_proc.v3.ExtProcPerRoute",
}
_LIMITERS: Final = frozenset({"buffer", "local_ratelimit"})
_BODY_MAX: Final = 1024 * 1024  # ours is 64 KiB; beyond this, strangers choose how much control reads


@rule(
    "control.exposed",
    ERROR,
    why="Control believes what its socket is told of a client's certificate and address; only Envoy may say it.",
    remedy=(
        f"Route {contract.OAUTH_PREFIX}, {contract.METADATA_PATH} and {contract.ADMIN_PREFIX} of the governed chain "
        f"to {contract.CONTROL_CLUSTER}, as `ostiary envoy render` does, and nothing else."
    ),
)
def _exposed(survey: Survey) -> Iterator[Hit]:
    allowed = {id(route.node) for route in survey.control_routes}
    for manager in survey.managers:
        for route in manager.routes:
            if id(route.node) in allowed:
                continue
            yield from (
                Hit(target, "a route of another kind leads to control")
                for target in route.targets
                if target.text in survey.control_names
            )


@rule(
    "control.not-private",
    ERROR,
    why="The routes to it are not guarded, so whatever else this cluster reaches can be reached by anybody.",
    remedy=f"Give {contract.CONTROL_CLUSTER} one endpoint, the UNIX socket of `ostiary control`.",
)
def _not_private(survey: Survey) -> Iterator[Hit]:
    others = {place for each in (*survey.sidecars, *survey.upstreams) for place in each.places}
    for cluster in survey.controls:
        addresses = list(cluster.addresses)
        for address in addresses:
            if not address.get("pipe", "path"):
                yield Hit(address, "control's cluster has an endpoint that is no UNIX socket")
            elif (address.get("pipe", "path").text, "") in others:
                yield Hit(address, "control's cluster leads to a worker or a provider")
        if len(addresses) != 1 or cluster.members or cluster.node.get("cluster_type"):
            yield Hit(cluster.node, "control's cluster does not have exactly one static endpoint")
        for each in cluster.filters:
            if each.kind != "upstream_codec":
                yield Hit(each.node, "control's cluster runs an upstream filter")


@rule(
    "control.rewritten",
    ERROR,
    why="What control is asked must be what Envoy matched; a path rewritten later is not.",
    remedy="Remove rewrites and internal redirects from the routes to control.",
)
def _rewritten(survey: Survey) -> Iterator[Hit]:
    for route in survey.control_routes:
        for name in (
            "prefix_rewrite",
            "regex_rewrite",
            "path_rewrite",
            "path_rewrite_policy",
            "internal_redirect_policy",
        ):
            if route.action.get(name):
                yield Hit(route.action.get(name), f"a route to control has {name}")


@rule(
    "control.overridden",
    ERROR,
    why="A guard that asks somebody else, or in another way, is no guard of ours.",
    remedy="Only switch ext_authz and ext_proc off on the routes to control; everything else stays as it is.",
)
def _overridden(survey: Survey) -> Iterator[Hit]:
    for route in survey.control_routes:
        for kind, value, config in _settings(survey, route):
            if kind in _LIMITERS:
                continue
            only = {key for key, _ in config.entries} <= {"@type", "disabled"} and config.get("disabled").flag
            if kind not in _OFF or not only or not type_name(config).endswith(_OFF[kind]):
                yield Hit(value, "a route to control changes a filter")


@rule(
    "control.unlimited",
    ERROR,
    why="Strangers ask for tokens before anybody knows them: without a limit they choose how much work control has.",
    remedy="Give each route to control a local_ratelimit that is enforced, and a buffer of at most 1 MiB.",
)
def _unlimited(survey: Survey) -> Iterator[Hit]:
    for route in survey.control_routes:
        settings = {kind: (value, config) for kind, value, config in _settings(survey, route)}
        for kind in sorted(_LIMITERS - settings.keys()):
            yield Hit(route.node, f"a route to control has no {kind} of its own")
        if "buffer" in settings:
            value, config = settings["buffer"]
            most = quantity.number(config.get("buffer", "max_request_bytes"))
            if _off(value, config) or most is None or most > _BODY_MAX:
                yield Hit(value, "the body of a request to control is not bounded")
        if "local_ratelimit" in settings:
            value, config = settings["local_ratelimit"]
            if _off(value, config) or not config.get("token_bucket", "max_tokens") or not _enforced(config):
                yield Hit(value, "the rate of requests to control is not bounded")


@rule(
    "control.no-deadline",
    WARNING,
    why="A request that control never answers would hold its place for ever.",
    remedy="Set the timeout of the route above control's own deadline of 8 s, for example 10s.",
)
def _no_deadline(survey: Survey) -> Iterator[Hit]:
    for route in survey.control_routes:
        timeout = route.action.get("timeout")
        if timeout and not quantity.seconds(timeout):  # left out, Envoy's 15 s hold
            yield Hit(timeout, "the route to control has no timeout")


def _off(value: Node, config: Node) -> bool:
    """Switched off by the setting itself, or by the wrapper around it."""
    return bool(value.get("disabled").flag or config.get("disabled").flag)


def _enforced(config: Node) -> bool:
    shares = [config.get(name) for name in ("filter_enabled", "filter_enforced")]
    return all(quantity.fraction(share) == 1 and not share.get("runtime_key") for share in shares)


def _settings(survey: Survey, route: Route) -> Iterator[tuple[str, Node, Node]]:
    """Filter kind, place and content of the settings on one route."""
    kinds = {each.name: each.kind for manager in survey.governed for each in manager.filters}
    for name, value in route.node.get("typed_per_filter_config").entries:
        inner = extension(Node(value.kind, value.line, value.column, entries=(("typed_config", value),)))
        yield kinds.get(name, inner.kind or name), value, inner.config
