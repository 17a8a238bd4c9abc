"""Who may ask what: credentials, routes, sizes, and the headers that must not travel on."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import issuing
from authz.apikey import Peppers
from authz.decide import FRONT_DOORS, Allowed, Refused, Waits, decide
from authz.means import Means
from authz.tokens import Tokens
from authz_case import (
    DISABLED,
    EXPIRED,
    GOOD,
    LIMITED,
    NARROW,
    NOW_S,
    ORPHAN,
    PEPPERS,
    POLICY,
    REQUEST_ID,
    TRACEPARENT,
    UNKNOWN,
    NoKeys,
    ask,
    bearer,
    ones,
)
from gateway import contract
from gateway.errors import Dialect, Kind, render
from gateway.limits.bucket import Bucket
from issuing import ISSUER, token

WRONG = GOOD[:-1] + ("a" if GOOD[-1] != "a" else "b")


def judge(asked, policy=POLICY, peppers=PEPPERS, now_s=NOW_S):
    return decide(asked, policy, Means(peppers, Tokens(NoKeys())), now_s=now_s, random=ones)


def kind(decision):
    assert isinstance(decision, Refused)
    return decision.error.kind


# --- credentials --------------------
@pytest.mark.parametrize(
    "header",
    [
        bearer(GOOD),
        ("authorization", f"bearer {GOOD}"),
        ("authorization", f"BEARER   {GOOD}"),
        ("x-api-key", GOOD),
    ],
)
def test_one_good_credential_is_enough(header):
    decision = judge(ask(header))
    assert isinstance(decision, Allowed)
    caller = decision.caller
    assert (caller.tenant, caller.principal, caller.key_id) == ("acme", "alice@acme", "alice0000001")
    assert caller.scopes == ("chat", "embed")
    assert caller.policy == POLICY.version


BAD_CREDENTIALS = [
    ([], Kind.CREDENTIAL_MISSING),
    ([("api-key", GOOD)], Kind.CREDENTIAL_MISSING),
    ([("cookie", f"authorization=Bearer {GOOD}")], Kind.CREDENTIAL_MISSING),
    ([("x_api_key", GOOD)], Kind.CREDENTIAL_MISSING),
    ([("proxy-authorization", f"Bearer {GOOD}")], Kind.CREDENTIAL_MISSING),
    ([bearer(GOOD), ("x-api-key", GOOD)], Kind.CREDENTIAL_AMBIGUOUS),
    ([bearer(GOOD), bearer(GOOD)], Kind.CREDENTIAL_AMBIGUOUS),
    ([bearer(GOOD), ("authorization", "")], Kind.CREDENTIAL_AMBIGUOUS),
    ([("x-api-key", GOOD), ("x-api-key", WRONG)], Kind.CREDENTIAL_AMBIGUOUS),
    ([("authorization", f"Bearer {GOOD},Bearer {GOOD}")], Kind.CREDENTIAL_AMBIGUOUS),
    ([("x-api-key", f"{GOOD}, {GOOD}")], Kind.CREDENTIAL_AMBIGUOUS),
    ([("x-api-key", f"{GOOD},")], Kind.CREDENTIAL_AMBIGUOUS),
    ([("authorization", "")], Kind.CREDENTIAL_INVALID),
    ([("authorization", "Bearer")], Kind.CREDENTIAL_INVALID),
    ([("authorization", "Bearer ")], Kind.CREDENTIAL_INVALID),
    ([("authorization", GOOD)], Kind.CREDENTIAL_INVALID),
    ([("authorization", f"Basic {GOOD}")], Kind.CREDENTIAL_INVALID),
    ([("authorization", f"Bearer\t{GOOD}")], Kind.CREDENTIAL_INVALID),
    ([("authorization", f"Bearer {GOOD} {GOOD}")], Kind.CREDENTIAL_INVALID),
    ([("x-api-key", f"Bearer {GOOD}")], Kind.CREDENTIAL_INVALID),
    ([("x-api-key", "sk-proj-0123456789")], Kind.CREDENTIAL_INVALID),
    ([bearer(UNKNOWN)], Kind.CREDENTIAL_INVALID),
    ([bearer(WRONG)], Kind.CREDENTIAL_INVALID),
    ([bearer(DISABLED)], Kind.CREDENTIAL_INVALID),
    ([bearer(GOOD.upper())], Kind.CREDENTIAL_INVALID),
    ([bearer(EXPIRED)], Kind.CREDENTIAL_EXPIRED),
]


@pytest.mark.parametrize(("headers", "expected"), BAD_CREDENTIALS)
def test_bad_credential_is_refused(headers, expected):
    assert kind(judge(ask(*headers))) is expected


def test_every_key_that_does_not_count_is_told_the_same():
    invalid = [headers for headers, expected in BAD_CREDENTIALS if expected is Kind.CREDENTIAL_INVALID]
    told = {render(judge(ask(*headers)).error, Dialect.OPENAI) for headers in invalid}
    assert len(invalid) > 5
    assert len(told) == 1


def test_log_learns_the_cause_and_the_claimed_id_but_never_the_key():
    causes = [judge(ask(bearer(key))).error.cause for key in (UNKNOWN, WRONG, DISABLED)]
    assert causes == [
        "unknown key id (nobody000001)",
        "digest differs (alice0000001)",
        "disabled key (dinah0000001)",
    ]


def test_expiry_is_told_only_to_who_holds_the_secret():
    wrong = EXPIRED[:-1] + ("a" if EXPIRED[-1] != "a" else "b")
    assert kind(judge(ask(bearer(wrong)))) is Kind.CREDENTIAL_INVALID


def test_holder_of_an_expired_key_learns_nothing_else():
    for target in ("/nowhere", "/v1/chat/completions"):
        refused = judge(ask(bearer(EXPIRED), ("content-length", "x"), method="GET", target=target))
        assert kind(refused) is Kind.CREDENTIAL_EXPIRED


def test_key_works_until_the_second_it_expires():
    assert isinstance(judge(ask(bearer(EXPIRED)), now_s=NOW_S - 0.001), Allowed)


def test_retired_pepper_refuses_its_keys():
    retired = Peppers(current="v3", secrets={"v3": bytes(32)})
    decision = judge(ask(bearer(GOOD)), peppers=retired)
    assert kind(decision) is Kind.CREDENTIAL_INVALID
    assert "pepper" in decision.error.cause


def test_key_whose_tenant_is_gone_is_refused():
    assert kind(judge(ask(bearer(ORPHAN)))) is Kind.POLICY_UNAVAILABLE


# --- access tokens --------------------
class Ring:
    def __init__(self, known=None):
        self.known = known

    def usable(self, issuer):
        return self.known


ISSUERS = replace(
    POLICY, issuers={ISSUER.name: ISSUER, "other": replace(ISSUER, name="other", issuer="https://b.example")}
)


def judge_token(text, *, known=True, policy=ISSUERS, header=None, **asked):
    tokens = Tokens(Ring(issuing.keys("ES256", "RS256") if known else None))
    given = ask(header or bearer(text), **asked)
    return decide(given, policy, Means(PEPPERS, tokens), now_s=NOW_S, random=ones)


def test_a_token_identifies_its_bearer_for_the_tenant_of_its_issuer():
    decision = judge_token(token(tenant="narrow", groups=["ops"]))
    assert isinstance(decision, Allowed)
    caller = decision.caller
    assert (caller.tenant, caller.principal, caller.scopes, caller.groups) == (
        "acme",
        "svc-1",
        ("chat", "embed"),
        ("ops",),
    )
    assert caller.key_id.startswith("jwt:")
    assert caller.policy == POLICY.version
    assert decision.remove == ("authorization",)


def test_a_token_counts_against_the_limits_of_its_tenant():
    limited = replace(ISSUERS, issuers={"corp": replace(ISSUER, tenant="limited")})
    assert judge_token(token(), policy=limited).buckets == (Bucket("limited", "tenant", 50, 60),)


BAD_TOKENS = {
    "not for us": ({"aud": "other"}, "token: not for this audience"),
    "from nowhere": ({"iss": "https://evil.example"}, "token: unknown issuer"),
    "unsigned": ({"header": {"alg": "none"}}, "token: unsigned (corp)"),
    "an ID token": ({"header": {"typ": "JWT"}}, "token: wrong typ (corp)"),
    "early": ({"nbf": NOW_S + 99}, "token: not valid yet (corp)"),
    "nobody's": ({"without": ("sub",)}, "token: no usable principal (corp)"),
}


@pytest.mark.parametrize(("changes", "cause"), BAD_TOKENS.values(), ids=BAD_TOKENS)
def test_the_log_learns_what_is_wrong_with_a_token(changes, cause):
    refused = judge_token(token(**changes))
    assert kind(refused) is Kind.CREDENTIAL_INVALID
    assert refused.error.cause == cause
    assert refused.caller.tenant == ""


def test_every_token_that_does_not_count_is_told_the_same():
    texts = [token(**changes) for changes, _ in BAD_TOKENS.values()] + ["a.b.c", "..", "eyJhbGciOiJub25lIn0.e30."]
    assert len({render(judge_token(text).error, Dialect.OPENAI) for text in texts}) == 1


def test_expiry_of_a_token_is_told_and_recorded_with_its_bearer():
    refused = judge_token(token(exp=NOW_S - 31), target="/nowhere")
    assert kind(refused) is Kind.CREDENTIAL_EXPIRED
    assert (refused.caller.principal, refused.error.cause) == ("svc-1", "token: expired")


def test_without_keys_a_token_waits_and_is_refused_as_a_fault_of_ours():
    waits = judge_token(token(), known=False)
    assert isinstance(waits, Waits)
    assert waits.what is ISSUER
    assert kind(waits.refused) is Kind.ISSUER_UNAVAILABLE
    assert "corp" in waits.refused.error.cause
    assert "corp" not in waits.refused.error.public


def test_an_unknown_kid_waits_and_is_refused_like_any_bad_token():
    waits = judge_token(token(header={"kid": "next"}))
    assert isinstance(waits, Waits)
    assert waits.refused.error.public == judge_token("a.b.c").error.public


@pytest.mark.parametrize(
    "header", [("x-api-key", token()), ("authorization", f"Basic {token()}"), ("authorization", token())]
)
def test_a_token_counts_as_a_bearer_credential_only(header):
    assert kind(judge_token("", header=header)) is Kind.CREDENTIAL_INVALID


def test_a_token_beside_a_key_is_ambiguous():
    both = ask(bearer(token()), ("x-api-key", GOOD))
    assert kind(judge(both, policy=ISSUERS)) is Kind.CREDENTIAL_AMBIGUOUS


def test_a_token_whose_tenant_is_gone_is_refused():
    orphan = replace(ISSUERS, issuers={"corp": replace(ISSUER, tenant="gone")})
    assert kind(judge_token(token(), policy=orphan)) is Kind.POLICY_UNAVAILABLE


def test_a_policy_without_issuers_refuses_every_token():
    assert kind(judge_token(token(), policy=POLICY)) is Kind.CREDENTIAL_INVALID


# --- nobody learns anything before 401 --------------------
@pytest.mark.parametrize("headers", [[], [bearer(WRONG)]])
@pytest.mark.parametrize(
    ("method", "target", "more"),
    [
        ("POST", "/nowhere", []),
        ("GET", "/v1/chat/completions", []),
        ("CONNECT", "/", []),
        ("POST", "/v1/chat/completions", [("content-length", "x")]),
        ("POST", "/v1/chat/completions", [("content-length", "1001")]),
        ("GET", "/v1/models", [("upgrade", "websocket")]),
    ],
)
def test_unidentified_caller_learns_nothing_but_401(headers, method, target, more):
    refused = judge(ask(*headers, *more, method=method, target=target))
    plain = judge(ask(*headers))
    assert (refused.error.kind, refused.error.public) == (plain.error.kind, plain.error.public)


# --- routes, methods, sizes --------------------
@pytest.mark.parametrize(("path", "method"), FRONT_DOORS.items())
def test_front_doors_are_open_with_their_method_only(path, method):
    path = path.replace("*", "gemini-test")
    assert isinstance(judge(ask(bearer(GOOD), method=method, target=path)), Allowed)
    for other in {"GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE", "get", ""} - {method}:
        refused = judge(ask(bearer(GOOD), method=other, target=path))
        assert kind(refused) is Kind.METHOD_NOT_ALLOWED
        assert refused.error.allow == method


GEMINI = "/v1beta/models/gemini-test:generateContent"


def test_googles_sdk_shows_its_key_in_a_header_of_its_own():
    assert isinstance(judge(ask(("x-goog-api-key", GOOD), target=GEMINI)), Allowed)
    assert kind(judge(ask(("x-goog-api-key", GOOD), ("x-api-key", GOOD), target=GEMINI))) is Kind.CREDENTIAL_AMBIGUOUS
    assert kind(judge(ask(("x-goog-api-key", GOOD[:-1] + "x"), target=GEMINI))) is Kind.CREDENTIAL_INVALID


@pytest.mark.parametrize("query", ["key=%s", "%%6bey=%s", "access_token=%s", "alt=json&key=%s"])
def test_a_key_in_the_address_is_never_read_and_never_repeated(query):
    refused = judge(ask(target=f"{GEMINI}?{query % GOOD}"))
    assert kind(refused) is Kind.CREDENTIAL_MISSING
    assert "replace it" in refused.error.public
    refused = judge(ask(bearer(GOOD), target=f"{GEMINI}?{query % GOOD}"))
    assert kind(refused) is Kind.REQUEST_INVALID
    assert GOOD not in refused.error.public


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        (f"{GEMINI}?alt=json", None),
        (f"{GEMINI}?alt=sse", Kind.REQUEST_INVALID),
        (f"{GEMINI}?$httpHeaders=x", Kind.REQUEST_INVALID),
        ("/v1/models/m:streamGenerateContent?alt=sse", None),
        ("/v1beta/models/m:streamGenerateContent", Kind.REQUEST_INVALID),
        ("/v1beta/models/m:countTokens", Kind.ROUTE_UNKNOWN),
        ("/v1/models/m:embedContent", Kind.ROUTE_UNKNOWN),
        ("/v1beta/models", Kind.ROUTE_UNKNOWN),
        ("/v1beta/models/*:generateContent", Kind.ROUTE_UNKNOWN),
    ],
)
def test_googles_paths_and_queries(target, wanted):
    decision = judge(ask(bearer(GOOD), target=target))
    assert isinstance(decision, Allowed) if wanted is None else kind(decision) is wanted


@pytest.mark.parametrize("target", ["/v1/models/gpt-5", "/v1/models/meta/llama", "/v1/models?a=b", "/v1beta/models",
                                    "/v1beta/models/a/b", "/v1beta/models?pageSize=2"])  # fmt: skip
def test_one_models_page_and_queries_are_allowed(target):
    assert isinstance(judge(ask(bearer(GOOD), method="GET", target=target)), Allowed)


@pytest.mark.parametrize(
    "target",
    [
        "", "/", "/v1", "/v1/models/", "/v1/models/?x", "/v1/modelsx", "/v1/chat/completions/", "//v1/models",
        "/v1/Chat/completions", "/v1/files", "/v1/chat/completions#x", "/v1/chat/completions;x", "*",
        "/v1/messages/count_tokens",
    ],
)  # fmt: skip
def test_unknown_route_is_404(target):
    assert kind(judge(ask(bearer(GOOD), target=target))) is Kind.ROUTE_UNKNOWN


def test_tenant_calls_only_its_routes():
    assert kind(judge(ask(bearer(NARROW)))) is Kind.ROUTE_FORBIDDEN
    for target in ("/v1/models", "/v1/models/m", "/v1beta/models", "/v1beta/models/m"):
        assert isinstance(judge(ask(bearer(NARROW), method="GET", target=target)), Allowed)


@pytest.mark.parametrize(
    ("method", "header"),
    [
        ("CONNECT", ("x", "y")),
        ("GET", ("upgrade", "websocket")),
        ("POST", ("upgrade", "")),
        ("POST", (":protocol", "websocket")),
    ],
)
def test_upgrades_are_refused(method, header):
    assert kind(judge(ask(bearer(GOOD), header, method=method))) is Kind.UPGRADE_REFUSED


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        (["0"], None),
        (["1000"], None),
        (["0001000"], None),
        (["1001"], Kind.BODY_TOO_LARGE),
        (["9" * 100_000], Kind.BODY_TOO_LARGE),
        (["-1"], Kind.HEADER_INVALID),
        (["+1"], Kind.HEADER_INVALID),
        ([""], Kind.HEADER_INVALID),
        (["1 "], Kind.HEADER_INVALID),
        (["1_0"], Kind.HEADER_INVALID),
        (["0x10"], Kind.HEADER_INVALID),
        (["²"], Kind.HEADER_INVALID),
        (["5,5"], Kind.HEADER_INVALID),
        (["5", "5"], Kind.HEADER_INVALID),
    ],
)
def test_announced_body_length_is_judged(lengths, expected):
    decision = judge(ask(bearer(GOOD), *(("content-length", length) for length in lengths)))
    assert (None if isinstance(decision, Allowed) else decision.error.kind) is expected


# --- what travels on --------------------
HARMLESS = [
    ("user-agent", "x"),
    ("x-request-id", REQUEST_ID),
    ("traceparent", TRACEPARENT),
    ("tracestate", "a=b"),
    ("content-type", "application/json"),
    ("x-ostiaryish", "1"),
    ("x-api-keys", "1"),
]


def test_credentials_owned_headers_and_encodings_are_removed():
    smuggled = [
        *(
            (name, "x")
            for name in sorted(contract.CREDENTIAL_HEADERS - {"authorization", "x-api-key", "x-goog-api-key"})
        ),
        ("accept-encoding", "gzip"),
        ("x-ostiary-route", "oc-expensive"),
        ("x-ostiary-", "x"),
        ("x_ostiary_route", "x"),
        ("x-ostiary_route", "x"),
        ("x-envoy-upstream-rq-timeout-ms", "1"),
        ("x_api_key", "x"),
    ]
    decision = judge(ask(*HARMLESS, bearer(GOOD), *smuggled, *smuggled))
    assert sorted(decision.remove) == sorted({"authorization", *(name for name, _ in smuggled)})


def test_nothing_harmless_is_removed():
    assert judge(ask(*HARMLESS, bearer(GOOD))).remove == ("authorization",)


def test_trace_context_is_kept_when_it_is_well_formed():
    caller = judge(ask(*HARMLESS, bearer(GOOD))).caller
    assert (caller.request_id, caller.traceparent) == (REQUEST_ID, TRACEPARENT)


@pytest.mark.parametrize("bad", [[("traceparent", "00-x")], [("traceparent", TRACEPARENT)] * 2])
def test_malformed_trace_context_is_removed_with_its_state_and_made_anew(bad):
    decision = judge(ask(bearer(GOOD), *bad, ("tracestate", "a=b")))
    assert set(decision.remove) == {"authorization", "traceparent", "tracestate"}
    assert decision.caller.traceparent == f"00-{'01' * 16}-{'01' * 8}-00"


def test_refused_request_still_has_ids():
    caller = judge(ask(("x-request-id", REQUEST_ID), ("traceparent", TRACEPARENT))).caller
    assert (caller.request_id, caller.traceparent, caller.tenant) == (REQUEST_ID, TRACEPARENT, "")


def test_request_counts_against_the_limits_of_key_and_tenant():
    assert judge(ask(bearer(LIMITED))).buckets == (
        Bucket("limited", "key:larry0000001", 5, 60),
        Bucket("limited", "tenant", 50, 60),
    )
    assert judge(ask(bearer(GOOD))).buckets == ()


def test_credential_does_not_show_in_repr():
    assert GOOD not in repr(ask(bearer(GOOD)))
    assert GOOD not in repr(judge(ask(bearer(GOOD))))


# --- properties --------------------
NAMES = st.sampled_from(
    [
        "authorization", "x-api-key", "api-key", "cookie", "content-length", "upgrade", ":protocol",
        "traceparent", "x-request-id", "x-ostiary-route", "x_envoy_x", "accept-encoding", "",
    ],
) | st.text(max_size=20)  # fmt: skip
VALUES = (
    st.sampled_from([UNKNOWN, WRONG, f"Bearer {WRONG}", f"Bearer {EXPIRED}", "Bearer ", TRACEPARENT, "5"])
    | st.text(max_size=80)
    | st.text("0123456789abcdefghijklmnopqrstuvwxyz_", min_size=60, max_size=60).map("osk_".__add__)
)
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=12)
METHODS = st.sampled_from(["GET", "POST", "CONNECT"]) | st.text(max_size=5)
TARGETS = st.sampled_from([*FRONT_DOORS, "/v1/models/x"]) | st.text(max_size=20)


@given(headers=HEADERS, method=METHODS, target=TARGETS)
def test_without_a_valid_key_nothing_is_allowed_and_nothing_raises(headers, method, target):
    refused = judge(ask(*headers, method=method, target=target))
    assert isinstance(refused, Refused)
    assert refused.caller.request_id


@given(headers=HEADERS, method=METHODS, target=TARGETS)
def test_with_a_valid_key_no_owned_or_credential_header_travels_on(headers, method, target):
    decision = judge(ask(*headers, bearer(GOOD), method=method, target=target))
    if isinstance(decision, Allowed):
        names = [name for name, _ in headers if name not in decision.remove]
        assert not any(name.replace("_", "-").startswith(contract.OWNED_PREFIXES) for name in names)
        assert not contract.CREDENTIAL_HEADERS & set(names)
        assert contract.ACCEPT_ENCODING not in names


@given(headers=HEADERS)
def test_a_key_that_is_valid_elsewhere_opens_nothing(headers):
    other = replace(POLICY, keys={})
    assert isinstance(judge(ask(*headers, bearer(GOOD)), policy=other), Refused)
