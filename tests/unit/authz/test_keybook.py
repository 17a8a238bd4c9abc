"""Keys of the registry beside those of the policy, as `apikey.check` and `decide` meet them."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

import authz_case
from authz import apikey
from authz.apikey import Fault, Rejected
from authz.decide import Allowed, Refused, decide
from authz.keybook import KeyBook
from authz.means import Means
from authz.tokens import Tokens
from gateway.errors import GatewayError, Kind
from gateway.policy.model import Key, RateLimit
from gateway.registry import keys
from gateway.registry.keys import KeyRecord
from gateway.registry.memory import MemoryRegistry
from gateway.registry.model import Change, Sort

MINTED = apikey.mint("regis0000001", authz_case.ones, authz_case.PEPPERS)
KEY = Key(
    id=MINTED.id,
    tenant="acme",
    principal="ci",
    scopes=("chat",),
    digest=MINTED.digest,
    pepper=MINTED.pepper,
    expires_at=1_900_000_000,
    rate=RateLimit(requests=5, window_s=10),
    models=frozenset({"gpt", "llama"}),
    cidrs=("192.0.2.0/24",),
)


def entry(key: Key) -> bytes:
    return keys.write(KeyRecord(key=key, created_at=1, created_by="alice"))


def fresh() -> float:
    """The age of a registry that was heard of just now."""
    return 0.0


@pytest.fixture
def book():
    made = KeyBook(fresh)
    made.apply(KEY.id, entry(KEY))
    return made


def check(book: KeyBook, text: str = MINTED.text, policy=authz_case.POLICY):
    return apikey.check(text, book.of(policy), authz_case.PEPPERS)


def test_a_registered_key_is_found_with_all_it_may_do(book):
    assert check(book) == KEY
    assert check(book) == KEY  # out of the memory of unpacked keys


def test_keys_of_the_policy_are_found_too(book):
    assert check(book, authz_case.GOOD) == authz_case.POLICY.keys["alice0000001"]


def test_the_policy_wins_where_both_know_an_id(book):
    disabled = replace(KEY, disabled=True)
    policy = replace(authz_case.POLICY, keys={KEY.id: disabled})
    assert check(book, policy=policy) == Rejected(Fault.DISABLED, KEY.id)


def test_another_policy_is_seen_at_once(book):
    check(book, authz_case.GOOD)
    assert check(book, authz_case.GOOD, replace(authz_case.POLICY, keys={})) == Rejected(Fault.UNKNOWN, "alice0000001")


def test_nothing_is_known_before_it_was_told():
    assert check(KeyBook(fresh)) == Rejected(Fault.UNKNOWN, KEY.id)


@pytest.mark.parametrize("age_s", [60.1, float("inf")])
def test_where_nobody_can_tell_a_key_is_not_called_wrong(age_s):
    book = KeyBook(lambda: age_s)
    with pytest.raises(GatewayError) as caught:
        check(book)
    assert caught.value.kind is Kind.REVOCATIONS_UNAVAILABLE
    assert check(book, authz_case.GOOD).id == "alice0000001"
    assert check(book, "osk_short") == Rejected(Fault.MALFORMED)
    book.apply(KEY.id, entry(KEY))
    assert check(book) == KEY  # its age is judged with its revocations


def test_a_removed_key_is_unknown(book):
    book.apply(KEY.id, None)
    book.apply("never0000001", None)
    assert check(book) == Rejected(Fault.UNKNOWN, KEY.id)
    assert not book.holds(KEY.id)


def test_a_change_counts_from_the_next_request_on(book):
    check(book)
    book.apply(KEY.id, entry(replace(KEY, disabled=True)))
    assert check(book) == Rejected(Fault.DISABLED, KEY.id)
    book.apply(KEY.id, entry(KEY))
    assert check(book) == KEY


@pytest.mark.parametrize("value", [b"", b"null", b"{}", entry(KEY)[:-1], entry(KEY)[:-1] + b',"x":1}'])
def test_a_record_that_cannot_be_read_takes_the_key_away_and_is_told(book, value):
    with capture_logs() as told:
        book.apply(KEY.id, value)
    assert check(book) == Rejected(Fault.UNKNOWN, KEY.id)
    assert [line["event"] for line in told] == ["registry_key_unreadable"]
    assert KEY.digest not in str(told)


def test_a_key_under_a_wrong_id_is_not_taken(book):
    with capture_logs():
        book.apply("REGIS0000001", entry(KEY))
    assert list(book.of(replace(authz_case.POLICY, keys={}))) == [KEY.id]


def test_both_kinds_are_one_mapping(book):
    view = book.of(replace(authz_case.POLICY, keys={KEY.id: KEY, "alice0000001": KEY}))
    book.apply("other0000001", entry(KEY))
    assert sorted(view) == ["alice0000001", "other0000001", KEY.id]
    assert len(view) == 3
    assert view.get("nobody000001") is None


@given(
    digest=st.binary(min_size=32, max_size=32),
    expires_at=st.none() | st.integers(1, 2**37),
    disabled=st.booleans(),
    rate=st.none() | st.builds(RateLimit, requests=st.integers(1, 60), window_s=st.integers(1, 60)),
    models=st.frozensets(st.sampled_from(["a", "b", "c"])),
    cidrs=st.sampled_from([(), ("::/0",), ("192.0.2.0/24", "::/0")]),
    scopes=st.sampled_from([(), ("chat",), ("chat", "embed")]),
)
def test_packing_loses_nothing_that_a_request_needs(digest, **fields):
    key = replace(KEY, digest=digest.hex(), **fields)
    book = KeyBook(fresh)
    book.apply(key.id, entry(key))
    assert book.of(authz_case.POLICY)[key.id] == key


class TestDecide:
    """The book in its place."""

    @staticmethod
    def decide(book: KeyBook, address: str = "192.0.2.9"):
        means = Means(authz_case.PEPPERS, Tokens(authz_case.NoKeys()), keys=book)
        ask = replace(authz_case.ask(authz_case.bearer(MINTED.text)), address=address)
        return decide(ask, authz_case.POLICY, means, now_s=authz_case.NOW_S, random=authz_case.ones)

    def test_a_registered_key_opens_the_door_with_its_limits(self, book):
        decision = self.decide(book)
        assert isinstance(decision, Allowed)
        assert decision.caller.obligations.models == {"gpt", "llama"}
        assert [bucket.requests for bucket in decision.buckets] == [5]

    def test_it_opens_from_its_networks_only(self, book):
        decision = self.decide(book, "198.51.100.1")
        assert isinstance(decision, Refused)
        assert decision.error.kind is Kind.ADDRESS_FORBIDDEN

    def test_before_the_registry_was_loaded_callers_are_told_to_try_again(self):
        decision = self.decide(KeyBook(lambda: float("inf")))
        assert isinstance(decision, Refused)
        assert decision.error.kind is Kind.REVOCATIONS_UNAVAILABLE
        assert not decision.caller.tenant

    def test_a_tenant_that_the_policy_does_not_have_is_refused(self, book):
        book.apply(KEY.id, entry(replace(KEY, tenant="gone")))
        decision = self.decide(book)
        assert isinstance(decision, Refused)
        assert decision.error.kind is Kind.POLICY_UNAVAILABLE


async def test_the_book_follows_a_replica():
    registry = MemoryRegistry()
    replica = registry.replica()
    book = KeyBook(replica.age_s)
    await registry.apply([Change(Sort.KEY, KEY.id, entry(KEY)), Change(Sort.REVOCATION, "key:x", b"{}")])
    replica.follow(Sort.KEY, book.apply)
    assert check(book) == KEY
    await registry.apply([Change(Sort.KEY, KEY.id, None)])
    assert check(book) == Rejected(Fault.UNKNOWN, KEY.id)
