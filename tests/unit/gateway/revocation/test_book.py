import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from clocks import ManualClock
from gateway.errors import Kind
from gateway.identity import Caller
from gateway.revocation import record
from gateway.revocation.book import RevocationBook
from gateway.revocation.mark import What, mark, marks_of
from gateway.revocation.record import Revocation
from worlds import policy

POLICY = policy()
ALICE = Caller(
    tenant="acme",
    principal="alice",
    key_id="k1",
    scopes=(),
    policy="p",
    request_id="r",
    client="batch",
    certificate="ab" * 32,
    issued_at=1_000,
)


class Told:
    """A book, its clock and its replica's age."""

    def __init__(self):
        self.clock = ManualClock()
        self.age_s = 0.0
        self.book = RevocationBook(self.clock, lambda: self.age_s)

    def revoke(self, text, **fields):
        entry = Revocation(**{"mark": text, "reason": "leaked", "actor": "ada", "at": 1} | fields)
        self.book.apply(text, record.write(entry))

    def judge(self, caller=ALICE):
        return self.book.judge(caller, POLICY)


def test_nobody_is_revoked_by_an_empty_book():
    assert Told().judge() is None


def test_each_mark_of_a_caller_revokes_it_and_the_cause_names_mark_and_reason():
    for text in marks_of(ALICE):
        told = Told()
        told.revoke(text)
        error = told.judge()
        assert error.kind is Kind.CREDENTIAL_REVOKED
        assert error.cause == f"{text}: leaked"
        assert "leaked" not in error.public
        assert text not in error.public


def test_a_lifted_revocation_counts_no_more():
    told = Told()
    told.revoke("key:k1")
    told.book.apply("key:k1", None)
    told.book.apply("key:k1", None)  # a replica may say the same twice
    assert told.judge() is None
    assert len(told.book) == 0


def test_an_expired_revocation_does_not_count_and_is_dropped():
    told = Told()
    told.revoke("key:k1", until=int(told.clock.now()) + 10)
    assert told.judge() is not None
    told.clock.advance(10)
    assert told.judge() is None
    assert len(told.book) == 0


def test_only_credentials_issued_earlier_are_concerned():
    told = Told()
    told.revoke("subject:acme/alice", issued_before=1_000)
    assert told.judge() is None
    assert told.judge(dataclasses.replace(ALICE, issued_at=999)) is not None
    assert told.judge(dataclasses.replace(ALICE, issued_at=0)) is not None


def test_a_name_of_another_tenant_is_another_name():
    told = Told()
    told.revoke("subject:other/alice")
    told.revoke("client:other/batch")
    assert told.judge() is None


def test_without_word_from_the_registry_nobody_comes_in():
    told = Told()
    told.age_s = POLICY.revocation_max_age_s
    assert told.judge() is None
    told.age_s += 0.1
    assert told.judge().kind is Kind.REVOCATIONS_UNAVAILABLE
    told.age_s = float("inf")  # before the first load
    assert told.judge().kind is Kind.REVOCATIONS_UNAVAILABLE


def test_running_exchanges_are_judged_by_what_is_known_however_old():
    told = Told()
    told.age_s = float("inf")
    assert told.book.revoked(ALICE) is None
    told.revoke("key:k1")
    assert told.book.revoked(ALICE).kind is Kind.CREDENTIAL_REVOKED


def test_a_record_that_cannot_be_read_revokes_all_the_same():
    told = Told()
    told.book.apply("key:k1", b"{}")
    assert told.judge().cause == "key:k1: its record cannot be read"


def test_a_mark_of_a_newer_control_plane_is_passed_over():
    told = Told()
    told.book.apply("planet:earth", b"{}")
    assert told.judge() is None


NAMES = st.sampled_from(["a", "b", "a/b"])
CALLERS = st.builds(
    Caller,
    tenant=st.sampled_from(["a", "b"]),
    principal=NAMES,
    key_id=st.sampled_from(["a", "b"]),
    scopes=st.just(()),
    policy=st.just("p"),
    request_id=st.just("r"),
    client=st.just("") | NAMES,
    certificate=st.sampled_from(["", "aa" * 32, "bb" * 32]),
    issued_at=st.integers(0, 3),
)
MARKS = st.builds(
    lambda what, tenant, name: mark(what, tenant, f"{name}{name}" * 32 if what is What.CERTIFICATE else name),
    st.sampled_from(What),
    st.sampled_from(["a", "b"]),
    st.sampled_from(["a", "b"]),
)
REVOCATIONS = st.builds(
    Revocation,
    mark=MARKS,
    reason=st.just("x"),
    actor=st.just("y"),
    at=st.just(0),
    until=st.none() | st.integers(0, 4),
    issued_before=st.none() | st.integers(0, 4),
)


@given(st.lists(st.tuples(REVOCATIONS, st.booleans()), max_size=12), st.lists(st.tuples(CALLERS, st.integers(0, 2))))
def test_the_book_judges_as_the_marks_say(entries, questions):
    clock = ManualClock(now=0)
    book = RevocationBook(clock, lambda: 0.0)
    stands = {}
    for entry, lifted in entries:
        book.apply(entry.mark, None if lifted else record.write(entry))
        stands.pop(entry.mark, None)
        if not lifted:
            stands[entry.mark] = entry
    for caller, later_s in questions:
        clock.advance(later_s)
        hit = [
            entry
            for text in marks_of(caller)
            if (entry := stands.get(text))
            and (entry.until is None or clock.now() < entry.until)
            and (entry.issued_before is None or not caller.issued_at or caller.issued_at < entry.issued_before)
        ]
        error = book.judge(caller, POLICY)
        assert (error is not None) == bool(hit)
        assert error is None or error.cause.partition(": ")[0] in {entry.mark for entry in hit}
