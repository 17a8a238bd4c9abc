"""One attempt: everything of ours and of other attempts goes, then path, authority and credential are set."""

from dataclasses import replace

import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

import aws
from extproc.adapt import prepare
from extproc.translate.attempt import Sent
from gateway.errors import GatewayError, Kind
from gateway.policy.model import Credential, Signing
from worlds import FakeWorld, policy

NOW_S = 1_790_000_000.0
TOLD = {"backends": "demo", "policy": "p-test", "front_path": "/v1/chat/completions"}
CLIENT = (
    (":path", "/other?x=1"),
    (":authority", "gateway"),
    ("authorization", "Bearer of-the-client"),
    ("x-api-key", "of-another-attempt"),
    ("api-key", "azure"),
    ("cookie", "a=b"),
    ("x-ostiary-route", "oc-demo"),
    ("x-envoy-attempt-count", "2"),
    ("x-forwarded-for", "10.1.2.3"),
    ("accept-encoding", "gzip"),
    ("content-type", "application/json"),
    ("user-agent", "openai"),
)


def test_credentials_and_internal_headers_go_and_the_backends_own_are_set():
    change = prepare(CLIENT, "demo", TOLD, policy(), FakeWorld(), now_s=NOW_S)
    assert dict(change.put) == {
        ":path": "/base/v1/chat/completions",
        ":authority": "127.0.0.1:8091",
        "authorization": "Bearer provider-secret",
    }
    assert set(change.remove) == {
        "x-api-key", "api-key", "cookie", "x-ostiary-route", "x-envoy-attempt-count", "x-forwarded-for", "accept-encoding",
    }  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        "x-goog-fieldmask",  # Google would leave the usage out, by which budgets settle
        "x-goog-quota-user",
        "x-goog-request-params",
        "x-http-method-override",
        "x-vertex-ai-llm-request-type",
        "azureml-model-deployment",
    ],
)
def test_a_client_does_not_tell_a_provider_how_to_take_the_gateways_call(name):
    change = prepare((*CLIENT, (name, "candidates")), "demo", TOLD, policy(), FakeWorld(), now_s=NOW_S)
    assert name in change.remove


@pytest.mark.parametrize(
    ("backend", "told", "held", "secret"),
    [
        ("other", TOLD, policy(), "Bearer x"),
        ("", TOLD, policy(), "Bearer x"),
        ("demo", TOLD | {"backends": "else"}, policy(), "Bearer x"),
        ("demo", {}, policy(), "Bearer x"),
        ("demo", TOLD, None, "Bearer x"),
        ("demo", TOLD, policy(), None),
        ("demo", TOLD | {"front_path": ""}, policy(), "Bearer x"),
    ],
    ids=[
        "unknown host",
        "no host",
        "outside the set",
        "mirrored: no metadata",
        "unknown policy",
        "no key",
        "no path",
    ],
)
def test_an_attempt_that_must_not_happen_is_refused(backend, told, held, secret):
    with pytest.raises(GatewayError) as caught:
        prepare(CLIENT, backend, told, held, FakeWorld(policy(), secret), now_s=NOW_S)
    assert caught.value.kind is Kind.BACKEND_UNAVAILABLE


VERTEX = "/v1/projects/p/locations/l/publishers/google"


@pytest.mark.parametrize(
    ("base", "dialect", "path", "wanted"),
    [
        (VERTEX, "gemini", "/v1/models/m:generateContent", f"{VERTEX}/models/m:generateContent"),
        (
            VERTEX,
            "gemini",
            "/v1beta1/models/m:streamGenerateContent?alt=sse",
            f"{VERTEX}/models/m:streamGenerateContent?alt=sse",
        ),
        (VERTEX, "gemini", "/v1/other", f"{VERTEX}/v1/other"),
        ("/base", "gemini", "/v1/models/m:generateContent", "/base/v1/models/m:generateContent"),
        (VERTEX, "openai", "/v1/models/m", f"{VERTEX}/v1/models/m"),
    ],
)
def test_vertex_names_the_version_in_front_of_the_project(base, dialect, path, wanted):
    held = policy()
    held = replace(held, backends={"demo": replace(held.backends["demo"], base_path=base, dialect=dialect)})
    change = prepare(CLIENT, "demo", TOLD, held, FakeWorld(), replace(SENT, path=path), now_s=NOW_S)
    assert dict(change.put)[":path"] == wanted


def test_a_header_that_opens_another_backend_goes_too():
    held = policy()
    other = replace(held.backends["demo"], name="other", credential=Credential(file="o", header="X-Other-Key"))
    held = replace(held, backends={**held.backends, "other": other})
    for rewrite_host in (True, False):
        client = (*CLIENT, ("x-other-key", "k"))
        change = prepare(client, "demo", TOLD, held, FakeWorld(), now_s=NOW_S, rewrite_host=rewrite_host)
        assert "x-other-key" in change.remove
        assert "authorization" not in change.remove


SENT = Sent("/model/a%3A0/converse", (("content-type", "application/json"),), b'{"messages":[]}', (), stream=False)


def signing(world=None, sent=SENT, **more):
    held = policy()
    credential = Credential(prefix="", aws=Signing(region="eu-west-1"))
    held = replace(held, backends={"demo": replace(held.backends["demo"], dialect="bedrock", credential=credential)})
    client = (*CLIENT, ("x-amz-date", "20200101T000000Z"), ("x-amz-security-token", "t"), ("x-amzn-trace-id", "r"))
    return prepare(client, "demo", TOLD, held, world or FakeWorld(held, aws.SECRET), sent, now_s=NOW_S, **more)


@pytest.mark.parametrize("rewrite_host", [True, False])
def test_an_attempt_at_amazon_is_signed_for_its_path_host_and_body(rewrite_host):
    change = signing(rewrite_host=rewrite_host)
    put = dict(change.put)
    assert put["x-amz-date"] == "20260921T141320Z"
    headers = {"Host": "127.0.0.1:8091", "Content-Type": "application/json"}
    ask = AWSRequest("POST", f"http://127.0.0.1:8091{put[':path']}", headers, SENT.body)
    theirs = aws.signature(ask, put["x-amz-date"], Credentials(aws.KEY_ID, aws.SECRET), "eu-west-1")
    assert put["authorization"] == theirs
    assert put[":path"] == "/base/model/a%3A0/converse"
    assert {"x-amz-security-token", "x-amzn-trace-id"} <= set(change.remove)
    assert "x-amz-date" not in change.remove


def test_what_was_signed_for_another_attempt_does_not_stay():
    client = (*CLIENT, ("x-amz-date", "20200101T000000Z"), ("x-amz-security-token", "of-the-attempt-before"))
    change = prepare(client, "demo", TOLD, policy(), FakeWorld(), now_s=NOW_S)
    assert {"x-amz-date", "x-amz-security-token"} <= set(change.remove)


@pytest.mark.parametrize(("sent", "secret"), [(None, aws.SECRET), (SENT, None)], ids=["no body", "no key"])
def test_nothing_leaves_for_amazon_without_a_signature(sent, secret):
    with pytest.raises(GatewayError) as caught:
        signing(FakeWorld(secret=secret), sent)
    assert caught.value.kind is Kind.BACKEND_UNAVAILABLE
