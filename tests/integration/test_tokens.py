"""Access tokens through real Envoy and real workers: who comes in, who does not, and what an identity provider's outage does."""

import json
import os
import signal
import time

import pytest

import issuing
from asking import CHAT, chat
from authz.jwks import EAGER_S
from gateway import contract
from idp import Idp
from stack import Options, Stack, until

CANARY = "token-canary-4711"


def issuers(*providers: Idp, **changes: object) -> str:
    entry = {"audiences": ["llm"], "algorithms": ["ES256", "RS256"], "tenant": "acme", **changes}
    return json.dumps({f"idp{at}": {"issuer": idp.url, **entry} for at, idp in enumerate(providers)})


@pytest.fixture(scope="module")
def idp():
    with Idp("ES256", "RS256") as running:
        yield running


@pytest.fixture(scope="module")
def guarded(short_dir, upstreams, idp):
    stack = Stack(short_dir(), upstreams, Options(workers=2))
    (stack.bundle.directory / "issuers.yaml").write_text(issuers(idp))
    rules = stack.bundle.directory / "policy.yaml"
    # The storm below must be held off by the keyring, not by the damping of guesses.
    rules.write_text(json.dumps(json.loads(rules.read_text()) | {"damping": {"failures": 1000}}))
    with stack:
        # The first request may come before a worker's first fetch.
        until("the keys of the issuer", lambda: stack.logs().count("issuer_keys_changed") >= 2)
        yield stack


def post(stack, token, prompt="hello"):
    return stack.client("").post(CHAT, chat(prompt), [("authorization", f"Bearer {token}")])


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_a_good_token_reaches_the_model_as_its_principal(guarded, idp, algorithm):
    answer = post(guarded, idp.token(algorithm, sub="svc-7", jti=f"{CANARY}-{algorithm}"))
    assert answer.status == 200
    record = guarded.record(answer)
    assert (record["tenant"], record["principal"]) == ("acme", "svc-7")
    assert record["key_id"].startswith("jwt:")


def test_the_same_token_again_counts_again(guarded, idp):
    token = idp.token()
    assert [post(guarded, token).status for _ in range(3)] == [200, 200, 200]


BAD = {
    "expired": ({"lasts_s": -60}, "credential_expired", "token: expired"),
    "another audience": ({"aud": "other"}, "credential_invalid", "token: not for this audience"),
    "another issuer": ({"iss": "http://127.0.0.1:1"}, "credential_invalid", "token: unknown issuer"),
    "unsigned": ({"header": {"alg": "none"}}, "credential_invalid", "token: unsigned (idp0)"),
    "an ID token": ({"header": {"typ": "JWT"}}, "credential_invalid", "token: wrong typ (idp0)"),
    "a path as kid": ({"header": {"kid": "../../dev/null"}}, "credential_invalid", "token: unknown kid (idp0)"),
}


@pytest.mark.parametrize(("changes", "code", "reason"), BAD.values(), ids=BAD)
def test_a_bad_token_is_refused_and_recorded(guarded, idp, upstream, changes, code, reason):
    marker = upstream.script()
    answer = post(guarded, idp.token(**changes), marker)
    assert (answer.status, answer.code) == (401, code)
    assert answer.header(contract.SHOULD_RETRY_HEADER) == "false"
    assert guarded.record(answer)["reason"] == reason
    assert not upstream.seen(marker)


def test_a_token_over_8_kib_is_refused(guarded, idp):
    answer = post(guarded, idp.token(pad="x" * 9000))
    assert (answer.status, answer.code) == (401, "credential_invalid")
    assert guarded.record(answer)["reason"] == "token: too large"


def test_two_tokens_in_two_headers_are_ambiguous(guarded, idp):
    twice = [("authorization", f"Bearer {idp.token()}")] * 2
    assert guarded.client("").post(CHAT, chat("hello"), twice).code == "credential_ambiguous"


def test_no_token_travels_on_or_is_written_down(guarded, idp, upstream):
    token = idp.token(jti=CANARY)
    marker = upstream.script()
    assert post(guarded, token, marker).status == 200
    assert post(guarded, token + "x").status == 401
    signature = token.rpartition(".")[2]
    seen = upstream.one(marker)
    sent = repr((seen.headers, seen.body))
    written = guarded.logs() + repr(guarded.audit()) + repr(guarded.access_log())
    for part in (signature, CANARY):
        assert part not in sent
        assert part not in written


def test_a_storm_of_unknown_kids_leaves_the_provider_alone(guarded, idp):
    before, began_s = sum(idp.asked.values()), time.monotonic()
    for number in range(40):
        assert post(guarded, idp.token(header={"kid": f"unknown-{number}"})).status == 401
    # Each of the two workers may ask once in ten seconds: discovery and keys.
    times = 1 + (time.monotonic() - began_s) // EAGER_S
    assert sum(idp.asked.values()) - before <= 2 * 2 * times


def test_a_policy_that_gains_and_loses_an_issuer_is_followed_on_hangup(guarded, idp):
    def hang_up():
        seen = guarded.logs().count("policy_activated")
        for worker in guarded.workers.values():
            os.kill(worker.pid, signal.SIGHUP)
        until("the reload", lambda: guarded.logs().count("policy_activated") >= seen + 2)

    file = guarded.bundle.directory / "issuers.yaml"
    with Idp("ES256") as late:
        assert post(guarded, late.token()).code == "credential_invalid"
        file.write_text(issuers(idp, late))
        hang_up()
        assert post(guarded, late.token()).status == 200
        file.write_text(issuers(idp))
        hang_up()
        assert post(guarded, late.token()).code == "credential_invalid"
        assert post(guarded, idp.token()).status == 200


@pytest.mark.slow
def test_an_outage_is_told_apart_from_a_bad_token_and_ends_by_itself(short_dir, upstreams):
    with Idp("ES256") as idp:
        idp.status = 503
        stack = Stack(short_dir(), upstreams, Options(workers=1))
        (stack.bundle.directory / "issuers.yaml").write_text(issuers(idp))
        with stack:
            until("the first failure", lambda: "issuer_keys_failed" in stack.logs())
            answer = post(stack, idp.token())
            assert (answer.status, answer.code) == (503, "issuer_unavailable")
            assert answer.header("retry-after")
            assert stack.client().post(CHAT, chat("hello")).status == 200  # API keys need no provider
            idp.status = 200
            until("the provider's return", lambda: post(stack, idp.token()).status == 200)
            idp.status = 503
            assert post(stack, idp.token(jti="another")).status == 200
            idp.status = 200
            idp.body = b"<html>"
            assert post(stack, idp.token(jti="a third")).status == 200


@pytest.mark.slow
def test_a_rotated_key_counts_at_once(short_dir, upstreams):
    with Idp("ES256") as idp:
        stack = Stack(short_dir(), upstreams, Options(workers=1))
        (stack.bundle.directory / "issuers.yaml").write_text(issuers(idp))
        with stack:
            until("the keys", lambda: "issuer_keys_changed" in stack.logs())
            idp.keys = [issuing.jwk("RS256")]
            # At most ten seconds after the fetch before: then the first token of the new key brings it in.
            until("the new key", lambda: post(stack, idp.token("RS256")).status == 200, 30)
            assert post(stack, idp.token("ES256")).code == "credential_invalid"
