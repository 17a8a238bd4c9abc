"""The Check call end to end, with a fake limiter and trail: what is told, recorded and counted."""

import asyncio
import json
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

import issuing
from authz.means import Means
from authz.rate import Limiter
from authz.service import Authorization
from authz.tokens import Tokens
from authz_case import (
    EXPIRED,
    GOOD,
    LIMITED,
    NOW_S,
    PEPPERS,
    POLICY,
    REQUEST_ID,
    UNKNOWN,
    NoKeys,
    ask,
    bearer,
    ones,
    raw,
)
from clocks import ManualClock
from gateway import contract
from gateway.errors import GatewayError, Kind
from gateway.limits.bucket import Verdict
from gateway.limits.local import LocalLimiter
from issuing import ISSUER
from protos.ext_authz_pb2 import CheckResponse


@dataclass
class ScriptedLimiter:
    """Allows until `spent`; `fault` raises or `hangs` waits instead."""

    spent: bool = False
    fault: BaseException | None = None
    hangs: bool = False
    calls: list[tuple[str, ...]] = field(default_factory=list)

    def take(self, buckets):
        return None  # always asks somebody

    async def spend(self, buckets):
        self.calls.append(tuple(bucket.scope for bucket in buckets))
        if self.hangs:
            await asyncio.Event().wait()
        if self.fault:
            raise self.fault
        return Verdict(allowed=not self.spent, limit=5, remaining=0, reset_s=60.0, retry_after_s=12.0, which="tenant")


class OnePolicy:
    def __init__(self, policy=POLICY):
        self.policy = policy

    @property
    def current(self):
        if isinstance(self.policy, Exception):
            raise self.policy
        return self.policy


@dataclass
class Door:
    """An Authorization with everything around it in view."""

    limiter: Limiter = field(default_factory=ScriptedLimiter)
    policies: OnePolicy = field(default_factory=OnePolicy)
    issuers: object = field(default_factory=NoKeys)
    full: bool = False
    crowded: bool = False
    deadline_s: float = 60.0
    records: list = field(default_factory=list)
    counts: list = field(default_factory=list)
    clock: ManualClock = field(default_factory=lambda: ManualClock(now=NOW_S))

    def offer(self, record):
        if not self.full:
            self.records.append(record)
        return not self.full

    def count(self, code, tenant):
        self.counts.append((code, tenant))

    async def check(self, data):
        service = Authorization(
            policies=self.policies,
            means=Means(PEPPERS, Tokens(self.issuers)),
            issuers=self.issuers,
            limiter=self.limiter,
            offer=self.offer,
            meter=self,
            clock=self.clock,
            deadline_s=self.deadline_s,
            random=ones,
            full=lambda: self.crowded,
        )
        return CheckResponse.FromString(await service.check(data, None))


def headers_of(answer) -> dict[str, str]:
    return {option.header.key: option.header.value for option in answer.denied_response.headers}


def refused_with(answer, kind: Kind) -> bool:
    return (
        answer.WhichOneof("http_response") == "denied_response"
        and answer.status.code != 0
        and headers_of(answer)[contract.ERROR_CODE_HEADER] == kind.value
    )


async def test_a_worker_that_holds_all_it_may_says_when_to_come_again():
    door = Door(crowded=True)
    answer = await door.check(raw(ask(bearer(GOOD))))
    assert refused_with(answer, Kind.OVERLOADED)
    assert answer.denied_response.status.code == 503
    assert int(headers_of(answer)["retry-after"]) > 0
    assert [record.code for record in door.records] == [Kind.OVERLOADED.value]
    door.crowded = False
    assert (await door.check(raw(ask(bearer(GOOD))))).WhichOneof("http_response") == "ok_response"


async def test_good_key_is_allowed_counted_and_left_to_inspect_to_record():
    door = Door()
    answer = await door.check(raw(ask(bearer(GOOD), ("x-ostiary-route", "x"), ("accept-encoding", "br"))))
    assert answer.WhichOneof("http_response") == "ok_response"
    assert set(answer.ok_response.headers_to_remove) == {
        "authorization",
        "x-ostiary-route",
        "accept-encoding",
    }
    assert answer.dynamic_metadata.fields[contract.TENANT].string_value == "acme"
    assert door.counts == [("allowed", "acme")]
    assert door.records == []


@pytest.mark.parametrize("joined", [False, True])
async def test_two_credentials_are_refused_in_both_header_encodings(joined):
    answer = await Door().check(raw(ask(bearer(GOOD), bearer(UNKNOWN)), joined=joined))
    assert refused_with(answer, Kind.CREDENTIAL_AMBIGUOUS)


async def test_refusal_speaks_openai_on_openai_routes():
    answer = await Door().check(raw(ask(("x-request-id", REQUEST_ID))))
    assert answer.denied_response.status.code == 401
    assert answer.status.code == 16
    body = json.loads(answer.denied_response.body)
    assert body["error"]["type"] == "authentication_error"
    assert body["error"]["code"] == "credential_missing"
    headers = headers_of(answer)
    assert headers[contract.REFUSED_BY_HEADER] == "authz"
    assert headers[contract.REQUEST_ID_HEADER] == REQUEST_ID
    assert headers["content-type"] == "application/json"
    assert headers["www-authenticate"].startswith("Bearer")
    assert headers[contract.SHOULD_RETRY_HEADER] == "false"


async def test_refusal_speaks_anthropic_on_anthropic_routes():
    answer = await Door().check(raw(ask(("x-request-id", REQUEST_ID), target="/v1/messages?beta=true")))
    body = json.loads(answer.denied_response.body)
    assert body["type"] == "error"
    assert body["error"]["type"] == "authentication_error"
    assert body["request_id"] == REQUEST_ID


async def test_refusal_is_put_on_record_once_with_its_reason():
    door = Door()
    await door.check(raw(ask(bearer(EXPIRED), ("x-request-id", REQUEST_ID), target="/v1/chat/completions?q=secret")))
    (record,) = door.records
    assert (record.writer, record.outcome, record.code) == ("authz", "refused", "credential_expired")
    assert (record.status, record.method, record.path) == (401, "POST", "/v1/chat/completions")
    assert (record.request_id, record.started_at) == (REQUEST_ID, NOW_S)
    assert door.counts == [("credential_expired", "acme")]


async def test_record_of_an_identified_caller_names_them():
    door = Door()
    await door.check(raw(ask(bearer(GOOD), target="/nowhere")))
    (record,) = door.records
    assert (record.tenant, record.principal, record.key_id) == ("acme", "alice@acme", "alice0000001")
    assert record.policy == POLICY.version
    assert door.counts == [("route_unknown", "acme")]


async def test_record_of_a_probe_stays_small():
    door = Door()
    await door.check(raw(ask(method="X" * 5000, target="/" * 50_000)))
    assert len(door.records[0].line()) < 1500


async def test_refusal_is_logged_once_without_the_key():
    with capture_logs() as logs:
        await Door().check(raw(ask(bearer(UNKNOWN))))
    (line,) = logs
    assert (line["code"], line["cause"]) == ("credential_invalid", "unknown key id (nobody000001)")
    assert UNKNOWN not in repr(line)


async def test_full_audit_queue_refuses_instead_of_staying_silent():
    door = Door(full=True)
    answer = await door.check(raw(ask()))
    assert refused_with(answer, Kind.AUDIT_UNAVAILABLE)
    assert answer.denied_response.status.code == 503
    assert door.counts == [("audit_unavailable", "")]


# --- access tokens --------------------
@dataclass
class Issuers:
    """Has `known` keys; `renew` brings `next`, hangs, or fails."""

    known: object = None
    next: object = None
    hangs: bool = False
    fault: Exception | None = None
    renewed: int = 0

    def usable(self, issuer):
        return self.known

    async def renew(self, issuer):
        self.renewed += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.fault:
            raise self.fault
        found, self.known = self.next is not self.known, self.next
        return found


WITH_ISSUER = OnePolicy(replace(POLICY, issuers={ISSUER.name: ISSUER}))


def token_door(issuers, **more):
    return Door(policies=WITH_ISSUER, issuers=issuers, **more)


async def test_a_good_token_is_allowed_and_waits_for_nothing():
    door = token_door(Issuers(known=issuing.keys("ES256")))
    answer = await door.check(raw(ask(bearer(issuing.token()))))
    assert answer.WhichOneof("http_response") == "ok_response"
    assert answer.dynamic_metadata.fields[contract.PRINCIPAL].string_value == "svc-1"
    assert answer.dynamic_metadata.fields[contract.TENANT].string_value == "acme"
    assert door.issuers.renewed == 0


async def test_a_token_of_a_rotated_key_waits_for_the_new_keys():
    issuers = Issuers(known=issuing.keys("RS256"), next=issuing.keys("ES256", "RS256"))
    answer = await token_door(issuers).check(raw(ask(bearer(issuing.token()))))
    assert answer.WhichOneof("http_response") == "ok_response"
    assert issuers.renewed == 1


async def test_an_unknown_kid_is_asked_for_once_and_then_refused():
    known = issuing.keys("ES256")
    issuers = Issuers(known=known, next=known)
    door = token_door(issuers)
    answer = await door.check(raw(ask(bearer(issuing.token(header={"kid": "nobody"})))))
    assert refused_with(answer, Kind.CREDENTIAL_INVALID)
    assert issuers.renewed == 1
    assert door.records[0].reason == "token: unknown kid (corp)"


async def test_new_keys_that_do_not_help_end_in_a_refusal():
    issuers = Issuers(known=issuing.keys("ES256"), next=issuing.keys("RS256"))
    answer = await token_door(issuers).check(raw(ask(bearer(issuing.token(header={"kid": "nobody"})))))
    assert refused_with(answer, Kind.CREDENTIAL_INVALID)
    assert issuers.renewed == 1


@pytest.mark.parametrize("issuers", [Issuers(), Issuers(hangs=True)], ids=["failing", "hanging"])
async def test_without_keys_tokens_are_refused_for_now(issuers):
    door = token_door(issuers, deadline_s=0.0)
    answer = await door.check(raw(ask(bearer(issuing.token()))))
    assert refused_with(answer, Kind.ISSUER_UNAVAILABLE)
    assert answer.denied_response.status.code == 503
    assert headers_of(answer)["retry-after"]
    assert door.records[0].reason == "no keys young enough (corp)"


async def test_a_fault_while_waiting_for_keys_refuses():
    answer = await token_door(Issuers(fault=OSError("secret"))).check(raw(ask(bearer(issuing.token()))))
    assert refused_with(answer, Kind.INTERNAL)


async def test_no_part_of_a_refused_token_is_logged_or_recorded():
    for text in (issuing.token(aud="other"), issuing.token(exp=1), "eyJhbGciOiJub25lIn0.e30.canary"):
        door = token_door(Issuers(known=issuing.keys("ES256")))
        with capture_logs() as logs:
            answer = await door.check(raw(ask(bearer(text))))
        told = repr((logs, door.records, answer))
        assert not [part for part in text.split(".") if part in told]


# --- limits --------------------
async def test_request_is_counted_once_against_all_its_limits():
    door = Door()
    answer = await door.check(raw(ask(bearer(LIMITED))))
    assert answer.WhichOneof("http_response") == "ok_response"
    assert door.limiter.calls == [("key:larry0000001", "tenant")]


async def test_an_allowed_request_is_told_the_state_of_its_limits_and_no_time_to_retry():
    answer = await Door().check(raw(ask(bearer(LIMITED))))
    assert {option.header.key: option.header.value for option in answer.ok_response.response_headers_to_add} == {
        "x-ratelimit-limit-requests": "5",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "1m0s",
    }
    unlimited = await Door().check(raw(ask(bearer(GOOD))))
    assert not unlimited.ok_response.response_headers_to_add


async def test_key_without_limits_is_not_counted():
    door = Door()
    await door.check(raw(ask(bearer(GOOD))))
    assert door.limiter.calls == []


async def test_spent_limit_is_told_with_its_state():
    door = Door(limiter=ScriptedLimiter(spent=True))
    answer = await door.check(raw(ask(bearer(LIMITED))))
    assert refused_with(answer, Kind.RATE_LIMITED)
    headers = headers_of(answer)
    assert answer.denied_response.status.code == 429
    assert headers["retry-after"] == "12"
    assert headers["x-ratelimit-limit-requests"] == "5"
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert headers["x-ratelimit-reset-requests"] == "1m0s"
    assert contract.SHOULD_RETRY_HEADER not in headers
    assert (door.records[0].tenant, door.counts) == ("limited", [("rate_limited", "limited")])


async def test_refused_requests_spend_nothing():
    door = Door()
    await door.check(raw(ask(bearer(LIMITED), target="/nowhere")))
    assert door.limiter.calls == []


async def test_broken_limiter_refuses():
    door = Door(limiter=ScriptedLimiter(fault=ConnectionError("redis://:password@host")))
    with capture_logs() as logs:
        answer = await door.check(raw(ask(bearer(LIMITED))))
    assert refused_with(answer, Kind.INTERNAL)
    assert "password" not in answer.denied_response.body
    assert "password" not in repr(logs)
    assert door.records[0].tenant == "limited"


async def test_hanging_limiter_refuses_at_the_deadline():
    answer = await Door(limiter=ScriptedLimiter(hangs=True), deadline_s=0.0).check(raw(ask(bearer(LIMITED))))
    assert refused_with(answer, Kind.OVERLOADED)


async def test_cancelled_check_gives_no_answer():
    door = Door(limiter=ScriptedLimiter(fault=asyncio.CancelledError()))
    with pytest.raises(asyncio.CancelledError):
        await door.check(raw(ask(bearer(LIMITED))))


# --- failures --------------------
@pytest.mark.parametrize("garbage", [b"\xff", b"\x0a\x05abc"])
async def test_garbage_is_refused(garbage):
    door = Door()
    answer = await door.check(garbage)
    assert refused_with(answer, Kind.INTERNAL)
    assert door.records[0].reason == "DecodeError"
    assert headers_of(answer)[contract.REQUEST_ID_HEADER]


async def test_unexpected_exception_refuses_and_keeps_the_request_id():
    door = Door(policies=OnePolicy(RuntimeError(GOOD)))
    with capture_logs() as logs:
        answer = await door.check(raw(ask(bearer(GOOD), ("x-request-id", REQUEST_ID))))
    assert refused_with(answer, Kind.INTERNAL)
    assert headers_of(answer)[contract.REQUEST_ID_HEADER] == REQUEST_ID
    assert door.records[0].reason == "RuntimeError"
    assert GOOD not in repr((answer, logs, door.records))


async def test_missing_policy_refuses_by_its_own_code():
    missing = OnePolicy(GatewayError(Kind.POLICY_UNAVAILABLE, "No policy is loaded."))
    assert refused_with(await Door(policies=missing).check(raw(ask(bearer(GOOD)))), Kind.POLICY_UNAVAILABLE)


async def test_broken_meter_never_leads_to_an_allow():
    class BrokenMeter(Door):
        def count(self, code, tenant):
            if code == "allowed":
                raise OSError

    answer = await BrokenMeter().check(raw(ask(bearer(GOOD))))
    assert refused_with(answer, Kind.INTERNAL)


@given(data=st.binary(max_size=400))
async def test_no_bytes_are_allowed_and_none_raise(data):
    # Invariant: whatever arrives, the answer is a well-formed refusal (no key of the policy fits by chance).
    answer = await Door().check(data)
    assert answer.WhichOneof("http_response") == "denied_response"
    assert answer.denied_response.status.code >= 400


@given(data=st.data())
async def test_damaged_requests_never_raise(data):
    whole = bytearray(raw(ask(bearer(GOOD), ("x-request-id", REQUEST_ID), ("content-length", "5"))))
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    answer = await Door().check(bytes(whole))
    assert answer.WhichOneof("http_response") in {"ok_response", "denied_response"}


async def test_the_local_limiter_fits():
    clock = ManualClock(now=NOW_S)
    door = Door(limiter=LocalLimiter(clock, workers=1), clock=clock)
    allowed = [await door.check(raw(ask(bearer(LIMITED)))) for _ in range(6)]
    assert [answer.WhichOneof("http_response") for answer in allowed] == ["ok_response"] * 5 + ["denied_response"]
    assert headers_of(allowed[-1])["x-ratelimit-limit-requests"] == "5"
