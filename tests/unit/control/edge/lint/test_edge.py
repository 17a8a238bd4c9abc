"""Rules about the HTTP manager, each against one edit of the reference."""

import pytest

from control.edge.lint import edge
from weakened import HCM, LISTENER, Case, append, check, drop, pointing, problems_after, put, rules_of, typed

JSON_FORMAT = (*HCM, "access_log", 0, "typed_config", "log_format", "json_format")


def file_log(**fields):
    return {"name": "f", "typed_config": typed("access_loggers.file.v3.FileAccessLog", path="/dev/stdout", **fields)}


CASES = [
    *(
        Case("edge.xfcc", put((*HCM, "forward_client_cert_details"), mode), mode)
        for mode in ("FORWARD_ONLY", "APPEND_FORWARD", "ALWAYS_FORWARD_ONLY")
    ),
    Case("edge.remote-address", drop((*HCM, "use_remote_address"))),
    Case("edge.xff-hops", put((*HCM, "xff_num_trusted_hops"), 1)),
    Case("edge.internal-address", put((*HCM, "internal_address_config"), {}), "private networks"),
    Case(
        "edge.internal-address",
        pointing((*HCM, "internal_address_config"), put((*HCM, "internal_address_config", "unix_sockets"), True)),
        "UNIX sockets",
    ),
    Case("edge.request-id", put((*HCM, "preserve_external_request_id"), True)),
    Case("edge.normalize-path", put((*HCM, "normalize_path"), False)),
    Case("edge.merge-slashes", drop((*HCM, "merge_slashes"))),
    Case("edge.escaped-slashes", put((*HCM, "path_with_escaped_slashes_action"), "UNESCAPE_AND_FORWARD")),
    Case("edge.escaped-slashes", drop((*HCM, "path_with_escaped_slashes_action")), "by default"),
    Case("edge.underscores", drop((*HCM, "common_http_protocol_options", "headers_with_underscores_action"))),
    Case("edge.chunked-length", put((*HCM, "http_protocol_options", "allow_chunked_length"), True)),
    Case("edge.local-reply", drop((*HCM, "local_reply_config"))),
    Case("edge.local-reply-status", put((*HCM, "local_reply_config", "mappers", 0, "status_code"), 200)),
    Case("edge.owned-headers", drop((*HCM, "early_header_mutation_extensions"))),
    Case(
        "edge.owned-headers",
        pointing(
            (*HCM, "early_header_mutation_extensions"),
            drop((*HCM, "early_header_mutation_extensions", 0, "typed_config", "mutations", 0)),
        ),
        "one prefix",
    ),
    Case("edge.credential-logged", put((*JSON_FORMAT, "key"), "%REQ(Authorization)%")),
    Case(
        "edge.credential-logged",
        append(
            (*LISTENER, "access_log"),
            file_log(log_format={"text_format_source": {"inline_string": "%REQ(X-A?COOKIE)%\n"}}),
            inside=("typed_config", "log_format", "text_format_source", "inline_string"),
        ),
        "by the listener",
    ),
    Case(
        "edge.credential-logged",
        append(
            (*HCM, "access_log"),
            {
                "name": "g",
                "typed_config": typed(
                    "access_loggers.grpc.v3.HttpGrpcAccessLogConfig",
                    common_config={
                        "log_name": "l",
                        "transport_api_version": "V3",
                        "grpc_service": {"envoy_grpc": {"cluster_name": "be-local"}},
                    },
                    additional_request_headers_to_log=["x-api-key"],
                ),
            },
            inside=("typed_config", "additional_request_headers_to_log", 0),
        ),
        "over gRPC",
    ),
    Case(
        "edge.credential-logged",
        lambda changed: (
            *put((*HCM, "tracing"), {"custom_tags": [{"tag": "k", "request_header": {"name": "authorization"}}]})(
                changed
            ),
            "custom_tags",
            0,
            "request_header",
            "name",
        ),
        "in a trace",
    ),
    Case("edge.access-log", drop((*HCM, "access_log"))),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_manager_that_believes_or_tells_too_much_is_told_with_its_place(case):
    check(case)


def test_every_rule_of_the_area_has_a_case():
    assert {case.rule for case in CASES} == rules_of(edge)


@pytest.mark.parametrize(
    "edit",
    [put((*HCM, "forward_client_cert_details"), "SANITIZE"), drop((*HCM, "internal_address_config"))],
    ids=["the stricter certificate header", "Envoy's own default"],
)
def test_a_safe_variation_is_not_told(edit):
    assert problems_after(edit) == []
