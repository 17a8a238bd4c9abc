"""The Check call of callers that were revoked: refused with their code, on record, and no guess."""

from authz.damper import AddressDamper
from authz.means import Means
from authz.service import Authorization
from authz.tokens import Tokens
from authz_case import GOOD, NOW_S, PEPPERS, POLICY, UNKNOWN, NoKeys, ask, bearer, ones, raw
from clocks import ManualClock
from gateway import contract
from gateway.limits.local import LocalLimiter
from gateway.revocation import record
from gateway.revocation.book import RevocationBook
from gateway.revocation.record import Revocation
from protos.ext_authz_pb2 import CheckResponse


class Policies:
    current = POLICY


class Meter:
    def count(self, code, tenant):
        pass


class Door:
    """An authz with a book of revocations and a damper."""

    def __init__(self):
        self.clock = ManualClock(now=NOW_S)
        self.age_s = 0.0
        self.book = RevocationBook(self.clock, lambda: self.age_s)
        self.records = []
        self.service = Authorization(
            policies=Policies(),
            means=Means(PEPPERS, Tokens(NoKeys()), revocations=self.book),
            issuers=NoKeys(),
            limiter=LocalLimiter(self.clock, workers=1),
            offer=lambda one: self.records.append(one) or True,
            meter=Meter(),
            clock=self.clock,
            deadline_s=60.0,
            damper=AddressDamper(self.clock, workers=1),
            random=ones,
        )

    def revoke(self, mark):
        self.book.apply(mark, record.write(Revocation(mark=mark, reason="leaked", actor="ada", at=1)))

    async def code(self, key=GOOD):
        answer = CheckResponse.FromString(await self.service.check(raw(ask(bearer(key)))))
        if answer.WhichOneof("http_response") == "ok_response":
            return "ok"
        return {one.header.key: one.header.value for one in answer.denied_response.headers}[contract.ERROR_CODE_HEADER]


async def test_a_revoked_caller_is_refused_and_named_on_record():
    door = Door()
    assert await door.code() == "ok"
    door.revoke("subject:acme/alice@acme")
    assert await door.code() == "credential_revoked"
    (written,) = door.records
    assert (written.principal, written.reason) == ("alice@acme", "subject:acme/alice@acme: leaked")


async def test_a_wrong_key_never_learns_that_its_id_was_revoked():
    door = Door()
    door.revoke("key:nobody000001")
    assert await door.code(UNKNOWN) == "credential_invalid"


async def test_a_revoked_caller_that_goes_on_trying_shuts_out_nobody_at_its_address():
    door = Door()
    door.revoke("key:alice0000001")
    for _ in range(3 * POLICY.damping.failures):
        assert await door.code() == "credential_revoked"
    door.book.apply("key:alice0000001", None)
    assert await door.code() == "ok"


async def test_nobody_comes_in_while_nobody_can_tell():
    door = Door()
    door.age_s = POLICY.revocation_max_age_s + 1.0
    assert await door.code() == "revocations_unavailable"
    assert await door.code(UNKNOWN) == "credential_invalid"
