"""What becomes of OPA's word: obligations, a refusal with reasons, and never an allow by accident."""

import asyncio
import json
from dataclasses import replace

import pytest

import rego
from authz.decide import Allowed, Refused
from authz.opa.consult import Consultation
from authz.opa.evaluator import AwayError, BrokenError
from authz.opa.library import LibraryError
from clocks import ManualClock
from gateway.errors import Kind
from gateway.identity import Obligations
from gateway.tls import HopError


class Says:
    """An evaluator with one answer, or one failure."""

    def __init__(self, answer):
        self.answer = answer
        self.documents = []
        self.closed = False

    async def evaluate(self, document, who):
        self.documents.append(json.loads(document))
        if isinstance(self.answer, Exception):
            raise self.answer
        if isinstance(self.answer, asyncio.Event):
            await self.answer.wait()
        return self.answer

    async def close(self):
        self.closed = True


async def consult(answer, policy=None, allowed=None):
    policy = policy or rego.policy()
    consultation = Consultation(ManualClock())
    consultation.take(policy, Says(answer))
    return await consultation(rego.ask(), allowed or rego.allowed(), policy)


async def test_an_allow_changes_nothing_but_the_record():
    allowed = rego.allowed()
    said = await consult({"allow": True}, allowed=allowed)
    assert said == replace(allowed, caller=replace(allowed.caller, decision='{"allow":true,"cached":false}'))


async def test_obligations_are_joined_with_those_of_the_key():
    mine = rego.allowed(obligations=Obligations(models=frozenset({"small", "large"})))
    said = await consult(
        {"allow": True, "obligations": {"models": ["large", "huge"], "max_tokens": 9, "guards": ["pii.email"]}},
        allowed=mine,
    )
    assert said.caller.obligations == Obligations(
        models=frozenset({"large"}), max_tokens=9, guards=frozenset({"pii.email"})
    )


async def test_a_deny_tells_its_reasons_to_the_caller_and_to_the_record():
    said = await consult({"allow": False, "reasons": ["not at night", "not from there"]})
    assert said.error.kind is Kind.POLICY_DENIED
    assert "not at night; not from there" in said.error.public
    assert json.loads(said.caller.decision) == {
        "allow": False,
        "reasons": ["not at night", "not from there"],
        "cached": False,
    }


async def test_a_deny_without_reasons_is_a_sentence():
    assert "does not allow" in (await consult({"allow": False})).error.public


@pytest.mark.parametrize(
    ("answer", "kind", "cause"),
    [
        (None, Kind.POLICY_DENIED, "decision: undefined"),
        (True, Kind.POLICY_DENIED, "decision: not an object"),
        ({"allow": "true"}, Kind.POLICY_DENIED, "decision: allow is not a boolean"),
        ({"allow": True, "obligations": {"log": 1}}, Kind.POLICY_DENIED, "decision: an unknown obligation"),
        ({"allow": True, "obligations": {"guards": ["pii.aura"]}}, Kind.POLICY_DENIED, "names a rule that does not"),
        (BrokenError("evaluation failed (x)"), Kind.POLICY_DENIED, "decision: evaluation failed (x)"),
        (AwayError("nobody there"), Kind.POLICY_ENGINE_UNAVAILABLE, "nobody there"),
    ],
)
async def test_whatever_is_no_decision_is_a_refusal(answer, kind, cause):
    said = await consult(answer)
    assert isinstance(said, Refused)
    assert said.error.kind is kind
    assert cause in said.error.cause
    assert json.loads(said.caller.decision)["allow"] is False


async def test_a_decision_that_does_not_come_in_time_is_a_refusal():
    said = await consult(asyncio.Event(), rego.policy(deadline_ms=1))
    assert (said.error.kind, said.error.cause) == (
        Kind.POLICY_ENGINE_UNAVAILABLE,
        "no decision within the policy's deadline_ms",
    )


async def test_a_policy_that_nobody_took_up_is_a_refusal():
    said = await Consultation(ManualClock())(rego.ask(), rego.allowed(), rego.policy())
    assert said.error.kind is Kind.POLICY_ENGINE_UNAVAILABLE


# --- remembered decisions -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer", [{"allow": True, "obligations": {"max_tokens": 5}}, {"allow": False, "reasons": ["no"]}]
)
async def test_a_remembered_decision_is_the_same_and_says_so(answer):
    policy, says = rego.policy(cache_on=("caller.tenant",)), Says(answer)
    consultation = Consultation(ManualClock())
    consultation.take(policy, says)
    first, second = [await consultation(rego.ask(), rego.allowed(who), policy) for who in ("alice", "bob")]
    assert len(says.documents) == 1
    assert second.caller.principal == "bob"
    assert second.caller.obligations == first.caller.obligations
    assert json.loads(second.caller.decision) == {**json.loads(first.caller.decision), "cached": True}
    assert type(first) is type(second) is (Allowed if answer["allow"] else Refused)


@pytest.mark.parametrize("answer", [None, AwayError("gone")])
async def test_failures_are_not_remembered(answer):
    policy, says = rego.policy(cache_on=("caller.tenant",)), Says(answer)
    consultation = Consultation(ManualClock())
    consultation.take(policy, says)
    await consultation(rego.ask(), rego.allowed(), policy)
    says.answer = {"allow": True}
    assert isinstance(await consultation(rego.ask(), rego.allowed(), policy), Allowed)


# --- versions come and go -----------------------------------------------------------------------------


async def test_a_new_version_decides_by_itself_and_the_old_one_is_kept_for_what_is_in_flight():
    consultation = Consultation(ManualClock())
    policies = [rego.policy(version=f"p-{number}") for number in range(3)]
    evaluators = [Says({"allow": number != 1}) for number in range(3)]
    for policy, each in zip(policies[:2], evaluators, strict=False):
        consultation.take(policy, each)
    assert isinstance(await consultation(rego.ask(), rego.allowed(), policies[0]), Allowed)
    assert isinstance(await consultation(rego.ask(), rego.allowed(), policies[1]), Refused)
    consultation.take(policies[2], evaluators[2])
    await asyncio.sleep(0)
    assert [each.closed for each in evaluators] == [True, False, False]
    await consultation.close()
    assert all(each.closed for each in evaluators)


async def test_a_version_that_was_built_twice_leaves_nothing_behind():
    consultation, twice = Consultation(ManualClock()), [Says(None), Says(None)]
    for each in twice:
        consultation.take(rego.policy(), each)
    await asyncio.sleep(0)
    assert [each.closed for each in twice] == [True, False]


@rego.needs_library
async def test_the_library_decides():
    source = """package ostiary.authz

decision := {"allow": input.caller.groups == ["dev"], "reasons": [sprintf("not %s", [input.caller.principal])]}
"""
    policy, consultation = rego.policy(source, deadline_ms=1000), Consultation(ManualClock())
    consultation.take(policy, consultation.build(policy))
    assert isinstance(await consultation(rego.ask(), rego.allowed(groups=("dev",)), policy), Allowed)
    refused = await consultation(rego.ask(), rego.allowed("bob"), policy)
    assert "not bob" in refused.error.public
    assert consultation.build(policy) is consultation.build(policy)  # the same version is not compiled again
    await consultation.close()


@rego.needs_library
def test_a_policy_that_does_not_compile_is_not_built():
    with pytest.raises(LibraryError, match="unexpected eof"):
        Consultation(ManualClock()).build(rego.policy("package p\n\ndecision := {"))


def test_a_server_with_unreadable_certificates_is_not_built(tmp_path):
    policy = rego.policy(url="https://127.0.0.1:1", ca_file=str(tmp_path / "missing.pem"))
    with pytest.raises(HopError):
        Consultation(ManualClock()).build(policy)


def test_a_policy_without_rego_needs_nobody():
    consultation = Consultation(ManualClock())
    policy = replace(rego.policy(), opa=None)
    assert consultation.build(policy) is None
    consultation.take(policy, None)
