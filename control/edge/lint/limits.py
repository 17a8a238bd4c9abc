"""Rules about sizes, rates and times before authz: what a stranger may cost."""

from collections.abc import Iterator
from typing import Final

from control.edge.lint import quantity
from control.edge.lint.node import Node
from control.edge.lint.parts import Extension, Manager
from control.edge.lint.rule import ERROR, WARNING, Hit, rule
from control.edge.lint.survey import Survey

_ROOM_FACTOR: Final = 2  # design, "Bodies and messages": with less than twice, bodies near the limit fail at random
_STREAMS_MAX: Final = 1000  # per connection; more lets one client hold every exchange that a worker can carry


def _buffer(manager: Manager) -> Extension | None:
    early = manager.before(manager.authz)
    return next((each for each in early if each.kind == "buffer" and not each.node.get("disabled").flag), None)


@rule(
    "limits.buffer-missing",
    ERROR,
    why=(
        "A body over the connection's buffer then gives at random 413, 200 or a hang; after ext_authz it does not help."
    ),
    remedy="Put envoy.filters.http.buffer with max_request_bytes before ext_authz.",
)
def _buffer_missing(survey: Survey) -> Iterator[Hit]:
    for manager in survey.governed:
        if _buffer(manager) is None:
            late = next((each for each in manager.filters if each.kind == "buffer"), None)
            place = late.node if late is not None else manager.node.get("http_filters")
            yield Hit(place, "no buffer filter stands before ext_authz")


@rule(
    "limits.buffer-room",
    ERROR,
    why="Bodies near the limit do not fit beside their changed copy: at random 413, 200 or a hang.",
    remedy=("Make the buffer limit (request_body_buffer_limit, or the connection's) at least twice max_request_bytes."),
)
def _buffer_room(survey: Survey) -> Iterator[Hit]:
    for manager in survey.governed:
        buffer = _buffer(manager)
        limit = quantity.number(buffer.config.get("max_request_bytes")) if buffer is not None else None
        if buffer is None or limit is None:
            continue
        connection = manager.listener.get("per_connection_buffer_limit_bytes")
        for host in [host for table in manager.tables for host in table.get("virtual_hosts").elements]:
            room = host.get("request_body_buffer_limit") or connection
            if room and (quantity.number(room) or 0) < _ROOM_FACTOR * limit:
                yield Hit(room, "less than twice the body limit can be buffered")


@rule(
    "limits.connection-buffer",
    WARNING,
    why="Envoy's default of 1 MiB is what each slow reader pins, and no choice of yours.",
    remedy="Set per_connection_buffer_limit_bytes on the listener.",
)
def _connection_buffer(survey: Survey) -> Iterator[Hit]:
    for listener in survey.doors:
        if not listener.get("per_connection_buffer_limit_bytes"):
            yield Hit(listener, "the listener has no per_connection_buffer_limit_bytes")


@rule(
    "limits.rate-missing",
    WARNING,
    why="Guessing keys and flooding cost a worker one check each.",
    remedy="Put envoy.filters.http.local_ratelimit before ext_authz.",
)
def _rate_missing(survey: Survey) -> Iterator[Hit]:
    for manager in survey.governed:
        if not any(each.kind == "local_ratelimit" for each in manager.before(manager.authz)):
            yield Hit(manager.node.get("http_filters"), "no local_ratelimit stands before ext_authz")


@rule(
    "limits.rate-off",
    WARNING,
    why="Both fractions of local_ratelimit are 0 % unless they are set: it counts and refuses nothing.",
    remedy="Set token_bucket, and filter_enabled and filter_enforced to 100 % without a runtime_key.",
)
def _rate_off(survey: Survey) -> Iterator[Hit]:
    for manager in survey.governed:
        for each in manager.before(manager.authz):
            if each.kind == "local_ratelimit":
                yield from _rate_gaps(each)


def _rate_gaps(each: Extension) -> Iterator[Hit]:
    if each.node.get("disabled").flag:
        yield Hit(each.node.get("disabled"), "local_ratelimit is disabled")
    if not each.config.get("token_bucket"):
        yield Hit(each.config.get("token_bucket"), "local_ratelimit has no token_bucket")
    for name in ("filter_enabled", "filter_enforced"):
        share = each.config.get(name)
        if quantity.fraction(share) != 1 or share.get("runtime_key"):
            yield Hit(share, f"{name} of local_ratelimit is not fixed at 100 %")


def _unset(survey: Survey, *names: str) -> Iterator[tuple[Node, str]]:
    """Durations of the HTTP manager that are absent or zero, which switches them off."""
    for manager in survey.governed:
        for name in names:
            if not quantity.seconds(manager.node.get(name)):
                yield manager.node.get(name), name


@rule(
    "limits.request-timeout",
    ERROR,
    why="A body that never ends is held for ever, before anybody was identified.",
    remedy="Set request_timeout on the HTTP connection manager, for example 60s.",
)
def _request_timeout(survey: Survey) -> Iterator[Hit]:
    yield from (Hit(node, f"{name} is not set") for node, name in _unset(survey, "request_timeout"))


@rule(
    "limits.headers-timeout",
    WARNING,
    why="Headers that arrive a byte at a time hold a connection for nothing (slowloris).",
    remedy="Set request_headers_timeout, for example 10s.",
)
def _headers_timeout(survey: Survey) -> Iterator[Hit]:
    yield from (Hit(node, f"{name} is not set") for node, name in _unset(survey, "request_headers_timeout"))


@rule(
    "limits.stream-idle-timeout",
    WARNING,
    why="Envoy's default of 5 minutes, or none, decides how long a silent exchange lives.",
    remedy="Set stream_idle_timeout on the HTTP connection manager.",
)
def _stream_idle_timeout(survey: Survey) -> Iterator[Hit]:
    yield from (Hit(node, f"{name} is not set") for node, name in _unset(survey, "stream_idle_timeout"))


@rule(
    "limits.header-size",
    WARNING,
    why="Headers are sent to authz and inspect whole; the defaults allow far more than an API client sends.",
    remedy="Set max_request_headers_kb, and common_http_protocol_options.max_headers_count.",
)
def _header_size(survey: Survey) -> Iterator[Hit]:
    for manager in survey.governed:
        for path in (("max_request_headers_kb",), ("common_http_protocol_options", "max_headers_count")):
            if not quantity.number(manager.node.get(*path)):
                yield Hit(manager.node.get(*path), f"{path[-1]} is not set")


@rule(
    "limits.concurrent-streams",
    WARNING,
    why="One HTTP/2 connection may open so many exchanges at once that it starves every other client.",
    remedy=f"Set http2_protocol_options.max_concurrent_streams to {_STREAMS_MAX} or less.",
)
def _concurrent_streams(survey: Survey) -> Iterator[Hit]:
    for manager in survey.governed:
        allowed = manager.node.get("http2_protocol_options", "max_concurrent_streams")
        if not 0 < (quantity.number(allowed) or 0) <= _STREAMS_MAX:
            yield Hit(allowed, f"max_concurrent_streams is absent or above {_STREAMS_MAX}")
