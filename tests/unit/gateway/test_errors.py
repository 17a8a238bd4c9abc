import time

import anthropic
import google.genai
import grpc
import httpx2
import openai
import orjson
import pytest
from google.genai.types import HttpOptions
from hypothesis import given
from hypothesis import strategies as st

from gateway import contract
from gateway.errors import PLAN, Dialect, GatewayError, Kind, Plan, Retry, body_of, render, unexpected

SECRET = "hunter2-in-the-cause"
KINDS = pytest.mark.parametrize("kind", list(Kind), ids=lambda kind: kind.value)
#: Google's SDK decides by the status alone whether to ask again, and not unless it is told to.
DIALECTS = pytest.mark.parametrize("dialect", [Dialect.OPENAI, Dialect.ANTHROPIC])

#: Types that the reference pages of both providers know; an SDK's user may match on them.
OPENAI_TYPES = {
    "authentication_error", "permission_error", "not_found_error", "rate_limit_error", "invalid_request_error",
    "server_error", "insufficient_quota",
}  # fmt: skip
ANTHROPIC_TYPES = {
    "invalid_request_error", "authentication_error", "permission_error", "not_found_error", "request_too_large",
    "rate_limit_error", "api_error", "timeout_error", "overloaded_error", "billing_error",
}  # fmt: skip


def error_of(kind: Kind, **more) -> GatewayError:
    return GatewayError(kind, "Say what to do.", cause=SECRET, **more)


def headers_of(kind: Kind, dialect: Dialect = Dialect.OPENAI, **more) -> dict[str, str]:
    return dict(render(error_of(kind, **more), dialect).headers)


def test_every_kind_has_its_line_in_the_plan():
    assert set(PLAN) == set(Kind)


@KINDS
def test_codes_are_stable_words(kind):
    assert kind.value.replace("_", "").isalpha()
    assert kind.value == kind.value.lower()


@KINDS
def test_status_and_grpc_status_are_errors_that_agree(kind):
    plan: Plan = PLAN[kind]
    assert 400 <= plan.http <= 599
    assert 1 <= plan.grpc <= 16
    assert (plan.grpc == 16) == (plan.http == 401)
    assert (plan.grpc == 8) == (plan.http == 429)
    assert (plan.grpc == 14) == (plan.http == 503)


@KINDS
def test_openai_bodies_have_the_shape_of_their_sdk(kind):
    body = body_of(error_of(kind, param="messages"), Dialect.OPENAI, "r-1")
    assert list(body) == ["error"]
    assert body["error"] == {
        "message": "Say what to do.",
        "type": PLAN[kind].openai,
        "param": "messages",
        "code": kind.value,
    }
    assert PLAN[kind].openai in OPENAI_TYPES


@KINDS
def test_anthropic_bodies_have_the_shape_of_their_sdk(kind):
    body = body_of(error_of(kind), Dialect.ANTHROPIC, "r-1")
    assert body == {
        "type": "error",
        "error": {"type": PLAN[kind].anthropic, "message": f"Say what to do. ({kind.value})"},
        "request_id": "r-1",
    }
    assert PLAN[kind].anthropic in ANTHROPIC_TYPES


@DIALECTS
@KINDS
def test_the_rendered_refusal_carries_status_code_and_json(kind, dialect):
    rendered = render(error_of(kind), dialect, "r-1")
    headers = dict(rendered.headers)
    assert rendered.status == PLAN[kind].http
    assert headers["content-type"] == "application/json"
    assert headers[contract.ERROR_CODE_HEADER] == kind.value
    assert orjson.loads(rendered.body) == body_of(error_of(kind), dialect, "r-1")
    assert len(headers) == len(rendered.headers), "a header twice"
    assert all(name == name.lower() for name in headers)


@DIALECTS
@KINDS
def test_no_kind_tells_its_cause(kind, dialect):
    rendered = render(error_of(kind), dialect, "r-1")
    assert SECRET not in repr(rendered)
    assert SECRET not in str(error_of(kind))
    assert SECRET not in repr(error_of(kind))


@KINDS
def test_retry_advice_says_never_or_when(kind):
    headers = headers_of(kind)
    if PLAN[kind].retry is Retry.NEVER:
        assert headers[contract.SHOULD_RETRY_HEADER] == "false"
        assert "retry-after" not in headers
    else:
        assert headers["retry-after"] == "1"
        assert contract.SHOULD_RETRY_HEADER not in headers
        assert headers_of(kind, retry_after_s=17)["retry-after"] == "17"


def test_a_wait_that_no_sdk_keeps_is_told_and_not_worth_a_retry():
    headers = headers_of(Kind.BUDGET_EXCEEDED, retry_after_s=61)
    assert (headers["retry-after"], headers[contract.SHOULD_RETRY_HEADER]) == ("61", "false")
    assert contract.SHOULD_RETRY_HEADER not in headers_of(Kind.BUDGET_EXCEEDED, retry_after_s=60)


def test_headers_of_one_refusal_travel_with_it():
    assert (
        headers_of(Kind.BUDGET_EXCEEDED, headers=(("x-ratelimit-limit-tokens", "5"),))["x-ratelimit-limit-tokens"]
        == "5"
    )


@KINDS
def test_refusals_by_policy_are_never_worth_a_retry(kind):
    """A retry of a refusal is the same refusal, and costs a check each time; so does a closed trail."""
    if PLAN[kind].http in {401, 403, 404, 405, 413, 415} or kind in {
        Kind.AUDIT_UNAVAILABLE,
        Kind.POLICY_UNAVAILABLE,
        Kind.INTERNAL,
    }:
        assert PLAN[kind].retry is Retry.NEVER


@KINDS
def test_exactly_the_unauthenticated_are_challenged(kind):
    challenge = headers_of(kind).get("www-authenticate", "")
    assert challenge.startswith("Bearer ") == (PLAN[kind].http == 401)


def test_a_wrong_method_is_told_the_right_ones():
    assert headers_of(Kind.METHOD_NOT_ALLOWED, allow="GET, POST")["allow"] == "GET, POST"
    assert "allow" not in headers_of(Kind.METHOD_NOT_ALLOWED)


def test_an_unexpected_exception_is_told_by_type_only_and_only_to_the_log():
    error = unexpected(ValueError(SECRET))
    assert error.kind is Kind.INTERNAL
    assert error.cause == "ValueError"
    assert "ValueError" not in render(error, Dialect.OPENAI).body.decode()


#: Our own words never hold lone surrogates, and names taken from a body were valid Unicode.
_words = st.text(st.characters(codec="utf-8"))


@given(public=_words, param=st.none() | _words, request_id=_words)
def test_whatever_the_words_are_the_body_is_json_of_the_right_shape(public, param, request_id):
    error = GatewayError(Kind.REQUEST_INVALID, public, param=param)
    openai_body = orjson.loads(render(error, Dialect.OPENAI, request_id).body)
    assert (openai_body["error"]["message"], openai_body["error"]["param"]) == (public, param)
    anthropic_body = orjson.loads(render(error, Dialect.ANTHROPIC, request_id).body)
    assert anthropic_body["request_id"] == request_id


@pytest.mark.parametrize(
    ("path", "dialect"),
    [
        ("/v1/messages", Dialect.ANTHROPIC),
        ("/v1/messages?beta=true", Dialect.ANTHROPIC),
        ("/v1/messages/count_tokens", Dialect.ANTHROPIC),
        ("/v1beta/models/m:generateContent", Dialect.GEMINI),
        ("/v1beta/models", Dialect.GEMINI),
        ("/v1alpha/models/m:generateContent", Dialect.GEMINI),
        ("/v1beta2/models", Dialect.GEMINI),
        ("/v1alphabet/models", Dialect.OPENAI),
        ("/v1/models/m:streamGenerateContent?alt=sse", Dialect.GEMINI),
        ("/v1/models/m:countTokens", Dialect.GEMINI),
        ("/v1/models/llama:8b", Dialect.OPENAI),
        ("/v1/models/m?x=:generateContent", Dialect.OPENAI),
        ("/v1/chat/completions", Dialect.OPENAI),
        ("/v1/models", Dialect.OPENAI),
        ("/V1/MESSAGES", Dialect.OPENAI),
        ("/v1/chat/completions?x=/v1/messages", Dialect.OPENAI),
        ("//v1/messages", Dialect.OPENAI),
        ("", Dialect.OPENAI),
    ],
)
def test_the_dialect_follows_the_path(path, dialect):
    assert Dialect.of_path(path) is dialect


class Gateway:
    """Answers every request with one refusal, and counts them."""

    def __init__(self, kind: Kind, dialect: Dialect) -> None:
        self.calls = 0
        self._rendered = render(error_of(kind, param="model"), dialect, "r-1")

    def __call__(self, _request: httpx2.Request) -> httpx2.Response:
        self.calls += 1
        return httpx2.Response(self._rendered.status, headers=list(self._rendered.headers), content=self._rendered.body)


def ask_openai(gateway: Gateway, retries: int) -> openai.APIStatusError:
    http = httpx2.Client(transport=httpx2.MockTransport(gateway))
    with (
        openai.OpenAI(api_key="k", base_url="http://gateway/v1", http_client=http, max_retries=retries) as client,
        pytest.raises(openai.APIStatusError) as caught,
    ):
        client.chat.completions.create(model="gpt", messages=[{"role": "user", "content": "hello"}])
    return caught.value


def ask_anthropic(gateway: Gateway, retries: int) -> anthropic.APIStatusError:
    http = httpx2.Client(transport=httpx2.MockTransport(gateway))
    with (
        anthropic.Anthropic(api_key="k", base_url="http://gateway", http_client=http, max_retries=retries) as client,
        pytest.raises(anthropic.APIStatusError) as caught,
    ):
        client.messages.create(model="claude", max_tokens=8, messages=[{"role": "user", "content": "hello"}])
    return caught.value


def ask_google(gateway: Gateway) -> google.genai.errors.APIError:
    with httpx2.Client(transport=httpx2.MockTransport(gateway)) as http:
        options = HttpOptions(base_url="http://gateway", httpx_client=http)
        client = google.genai.Client(api_key="k", http_options=options)
        with pytest.raises(google.genai.errors.APIError) as caught:
            client.models.generate_content(model="gemini", contents="hello")
    return caught.value


ASK = {Dialect.OPENAI: ask_openai, Dialect.ANTHROPIC: ask_anthropic}


def typed(sdk, status: int) -> type[Exception]:
    names = {
        400: "BadRequestError",
        401: "AuthenticationError",
        403: "PermissionDeniedError",
        404: "NotFoundError",
        429: "RateLimitError",
    }
    return getattr(sdk, names.get(status, "InternalServerError" if status >= 500 else "APIStatusError"))


@KINDS
def test_the_openai_sdk_raises_its_typed_exception_with_our_words(kind):
    raised = ask_openai(Gateway(kind, Dialect.OPENAI), retries=0)
    assert isinstance(raised, typed(openai, PLAN[kind].http))
    assert raised.status_code == PLAN[kind].http
    assert (raised.code, raised.type, raised.param) == (kind.value, PLAN[kind].openai, "model")
    assert "Say what to do." in raised.message


@KINDS
def test_the_anthropic_sdk_raises_its_typed_exception_with_our_words(kind):
    raised = ask_anthropic(Gateway(kind, Dialect.ANTHROPIC), retries=0)
    assert isinstance(raised, typed(anthropic, PLAN[kind].http))
    assert raised.status_code == PLAN[kind].http
    assert isinstance(raised.body, dict)
    assert raised.body["error"]["type"] == PLAN[kind].anthropic
    assert f"Say what to do. ({kind.value})" in str(raised)
    assert raised.response.headers[contract.ERROR_CODE_HEADER] == kind.value


@KINDS
def test_the_google_sdk_raises_its_typed_exception_with_our_words(kind):
    gateway = Gateway(kind, Dialect.GEMINI)
    raised = ask_google(gateway)
    plan = PLAN[kind]
    assert isinstance(raised, google.genai.errors.ClientError if plan.http < 500 else google.genai.errors.ServerError)
    assert (raised.code, raised.message) == (plan.http, "Say what to do.")
    assert raised.status == next(code.name for code in grpc.StatusCode if code.value[0] == plan.grpc)
    (info,) = raised.details["error"]["details"]
    assert (info["reason"], info["metadata"]) == (kind.value.upper(), {"field": "model"})


@DIALECTS
@KINDS
def test_the_sdks_retry_exactly_what_is_worth_it_and_wait_as_told(kind, dialect, monkeypatch):
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    gateway = Gateway(kind, dialect)
    ASK[dialect](gateway, retries=2)
    if PLAN[kind].retry is Retry.NEVER:
        assert (gateway.calls, waits) == (1, [])
    else:
        assert (gateway.calls, waits) == (3, [1, 1])
