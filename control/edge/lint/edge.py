"""Rules about the HTTP manager: whom it believes, which paths it passes on, what it answers and logs."""

from collections.abc import Iterator
from typing import Final

from control.edge.lint import quantity
from control.edge.lint.node import Node
from control.edge.lint.parts import Manager, extension
from control.edge.lint.routes import copied_credentials
from control.edge.lint.rule import ERROR, WARNING, Hit, rule
from control.edge.lint.survey import Survey
from gateway import contract

_XFCC: Final = ("SANITIZE", "FORWARD_ONLY", "APPEND_FORWARD", "SANITIZE_SET", "ALWAYS_FORWARD_ONLY")
_SLASHES: Final = (
    "IMPLEMENTATION_SPECIFIC_DEFAULT",
    "KEEP_UNCHANGED",
    "REJECT_REQUEST",
    "UNESCAPE_AND_REDIRECT",
    "UNESCAPE_AND_FORWARD",
)
_FIRST_ERROR_STATUS: Final = 400  # RFC 9110 section 15
_NOBODY: Final = ("255.255.255.255", 32)  # limited broadcast: never the source of a connection (RFC 919)
_UNDERSCORES: Final = ("ALLOW", "REJECT_REQUEST", "DROP_HEADER")


def _not_on(survey: Survey, name: str) -> Iterator[Node]:
    for manager in survey.governed:
        if not manager.node.get(name).flag:
            yield manager.node.get(name)


@rule(
    "edge.xfcc",
    ERROR,
    why="A client can write x-forwarded-client-cert itself and name any certificate.",
    remedy="Set forward_client_cert_details to SANITIZE or SANITIZE_SET.",
)
def _xfcc(survey: Survey) -> Iterator[Hit]:
    for manager in survey.governed:
        place = manager.node.get("forward_client_cert_details")
        if quantity.choice(place, *_XFCC) not in {"SANITIZE", "SANITIZE_SET"}:
            yield Hit(place, "x-forwarded-client-cert of clients is passed on")


@rule(
    "edge.remote-address",
    ERROR,
    why="Envoy then takes the client's address from x-forwarded-for, which the client writes.",
    remedy="Set use_remote_address: true.",
)
def _remote_address(survey: Survey) -> Iterator[Hit]:
    yield from (Hit(place, "use_remote_address is not true") for place in _not_on(survey, "use_remote_address"))


@rule(
    "edge.xff-hops",
    WARNING,
    why="With fewer proxies in front than that, clients choose the address that limits and records see.",
    remedy="Keep xff_num_trusted_hops only when exactly so many proxies of yours always stand in front.",
)
def _xff_hops(survey: Survey) -> Iterator[Hit]:
    for manager in survey.governed:
        place = manager.node.get("xff_num_trusted_hops")
        if quantity.number(place):
            yield Hit(place, "x-forwarded-for of proxies in front is believed")


@rule(
    "edge.internal-address",
    WARNING,
    why="Clients from these addresses may send x-envoy-* headers: retries, destinations, the address that limits see.",
    remedy="Remove internal_address_config, or give it the one range 255.255.255.255/32, which is nobody's address.",
)
def _internal_address(survey: Survey) -> Iterator[Hit]:
    for manager in survey.governed:
        place = manager.node.get("internal_address_config")
        ranges = {
            (each.get("address_prefix").text, quantity.number(each.get("prefix_len")))
            for each in place.get("cidr_ranges").elements
        }
        # Present without ranges means RFC 1918 and RFC 4193 (Envoy API, InternalAddressConfig).
        if place and (ranges != {_NOBODY} or place.get("unix_sockets").flag):
            yield Hit(place, "some clients count as internal")


@rule(
    "edge.request-id",
    WARNING,
    why="A client can give two requests the same id, and confuse the audit trail.",
    remedy="Remove preserve_external_request_id.",
)
def _request_id(survey: Survey) -> Iterator[Hit]:
    for manager in survey.governed:
        if manager.node.get("preserve_external_request_id").flag:
            yield Hit(manager.node.get("preserve_external_request_id"), "request ids of clients are kept")


@rule(
    "edge.normalize-path",
    ERROR,
    why="`/v1/../v1/models` and its kin reach the route allow-list unresolved.",
    remedy="Set normalize_path: true.",
)
def _normalize_path(survey: Survey) -> Iterator[Hit]:
    yield from (Hit(place, "normalize_path is not true") for place in _not_on(survey, "normalize_path"))


@rule(
    "edge.merge-slashes",
    WARNING,
    why="`//v1//models` is another path than the one in the policy.",
    remedy="Set merge_slashes: true.",
)
def _merge_slashes(survey: Survey) -> Iterator[Hit]:
    yield from (Hit(place, "merge_slashes is not true") for place in _not_on(survey, "merge_slashes"))


@rule(
    "edge.escaped-slashes",
    ERROR,
    why=("`%2F` means a slash to one reader and a letter to another, so policy and provider see different paths."),
    remedy="Set path_with_escaped_slashes_action: REJECT_REQUEST.",
)
def _escaped_slashes(survey: Survey) -> Iterator[Hit]:
    for manager in survey.governed:
        place = manager.node.get("path_with_escaped_slashes_action")
        if quantity.choice(place, *_SLASHES) != "REJECT_REQUEST":
            yield Hit(place, "escaped slashes are not refused")


@rule(
    "edge.underscores",
    WARNING,
    why="Some servers read x_api_key as x-api-key: a header that no removal list names.",
    remedy="Set common_http_protocol_options.headers_with_underscores_action: REJECT_REQUEST.",
)
def _underscores(survey: Survey) -> Iterator[Hit]:
    for manager in survey.governed:
        place = manager.node.get("common_http_protocol_options", "headers_with_underscores_action")
        if quantity.choice(place, *_UNDERSCORES) == "ALLOW":
            yield Hit(place, "header names with underscores are let in")


@rule(
    "edge.chunked-length",
    ERROR,
    why=("A request with both content-length and chunked encoding can smuggle a second one (RFC 9112 section 6.3)."),
    remedy="Remove http_protocol_options.allow_chunked_length.",
)
def _chunked_length(survey: Survey) -> Iterator[Hit]:
    for manager in survey.governed:
        place = manager.node.get("http_protocol_options", "allow_chunked_length")
        if place.flag:
            yield Hit(place, "allow_chunked_length is on")


@rule(
    "edge.local-reply",
    WARNING,
    why="Envoy's own refusals have empty or plain text bodies, which SDKs cannot read and therefore repeat.",
    remedy="Give local_reply_config a body_format or mappers in JSON.",
)
def _local_reply(survey: Survey) -> Iterator[Hit]:
    for manager in survey.governed:
        replies = manager.node.get("local_reply_config")
        if not replies.get("mappers").elements and not replies.get("body_format"):
            yield Hit(replies, "local replies have no JSON body")


@rule(
    "edge.local-reply-status",
    ERROR,
    why="A refusal that is rewritten to a success hides from clients, dashboards and alerts that it was one.",
    remedy="Remove status_code from the mapper, or give it an error status.",
)
def _local_reply_status(survey: Survey) -> Iterator[Hit]:
    for manager in survey.governed:
        for mapper in manager.node.get("local_reply_config", "mappers").elements:
            if (quantity.number(mapper.get("status_code")) or _FIRST_ERROR_STATUS) < _FIRST_ERROR_STATUS:
                yield Hit(mapper.get("status_code"), "a local reply is given a status that is no error")


@rule(
    "edge.owned-headers",
    WARNING,
    why=("authz removes them by name from what it sees; removal by prefix before the first filter is the second lock."),
    remedy=("Remove the prefixes x-ostiary- and x-envoy- in early_header_mutation_extensions (remove_on_match)."),
)
def _owned_headers(survey: Survey) -> Iterator[Hit]:
    for manager in survey.governed:
        early = manager.node.get("early_header_mutation_extensions")
        removed = {
            matcher.text.lower()
            for each in early.elements
            for mutation in extension(each).config.get("mutations").elements
            for matcher in [mutation.get("remove_on_match", "key_matcher", "prefix")]
        }
        if not set(contract.OWNED_PREFIXES) <= removed:
            yield Hit(early, "inbound x-ostiary-* and x-envoy-* headers are not removed by prefix")


def _logs(survey: Survey) -> Iterator[Node]:
    """Every place whose text ends in a log or a trace."""
    for manager in survey.managers:
        yield from (manager.node.get("access_log"), manager.node.get("tracing"))
        yield from (each.config.get("upstream_log") for each in manager.filters)
        yield from (each.get("access_log") for each in (manager.listener,))
        yield from (route.node.get("tracing") for route in manager.routes)
    yield survey.root.get("admin", "access_log")


@rule(
    "edge.credential-logged",
    ERROR,
    why="Keys in a log are keys in every copy of the log.",
    remedy="Take credential headers out of formats, additional headers and trace tags.",
)
def _credential_logged(survey: Survey) -> Iterator[Hit]:
    for place in _logs(survey):
        for node in place.walk():
            # Whole names: additional_request_headers_to_log and custom_tags.request_header.name.
            if copied_credentials(node.text) or node.text.lower() in contract.CREDENTIAL_HEADERS:
                yield Hit(node, "a log or trace would hold client credentials")


@rule(
    "edge.access-log",
    WARNING,
    why="Refusals that never reach the sidecar leave no trace at all.",
    remedy="Add an access_log to the HTTP connection manager.",
)
def _access_log(survey: Survey) -> Iterator[Hit]:
    for manager in survey.governed:
        if not _logged(manager):
            yield Hit(manager.node.get("access_log"), "the chain writes no access log")


def _logged(manager: Manager) -> bool:
    return bool(manager.node.get("access_log").elements)
