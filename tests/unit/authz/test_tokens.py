"""From bearer text to bearer: which issuer judges, what is remembered, and when it must be judged again."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.claims import Bearer
from authz.jose import Fault
from authz.tokens import Rejected, Tokens, Unsettled
from authz_case import POLICY
from gateway import keyset
from issuing import ISS, ISSUER, NOW_S, jwk, jwks, keys, token


class Ring:
    """Keys that a test sets; counts how often it was asked."""

    def __init__(self, known):
        self.known = known
        self.asked = 0

    def usable(self, issuer):
        self.asked += 1
        return self.known


class Counted(keyset.KeySet):
    """A key set that counts the signatures that were checked with it."""

    looked = 0

    def find(self, kid, algorithm):
        Counted.looked += 1
        return super().find(kid, algorithm)


PARTNER = replace(ISSUER, name="partner", issuer="https://partner.example", tenant="narrow")
SISTER = replace(ISSUER, name="sister", tenant="narrow", audiences=frozenset({"llm-sister"}))
WITH = replace(POLICY, issuers={one.name: one for one in (ISSUER, PARTNER, SISTER)})


@pytest.fixture
def ring():
    found = keys("ES256", "RS256")
    Counted.looked = 0
    return Ring(Counted(found.keys, found.digest, 0))


@pytest.fixture
def tokens(ring):
    return Tokens(ring)


def fault(found):
    return found.fault if isinstance(found, Rejected | Unsettled) else None


def test_the_entry_that_iss_and_aud_name_decides_the_tenant(tokens):
    assert tokens.check(token(), WITH, NOW_S).tenant == "acme"
    assert tokens.check(token(aud=["other", "llm-sister"]), WITH, NOW_S).tenant == "narrow"
    assert tokens.check(token(iss=PARTNER.issuer), WITH, NOW_S).issuer == "partner"


BAD = {
    "another issuer": ({"iss": "https://evil.example"}, Fault.ISSUER),
    "iss with a slash more": ({"iss": ISS + "/"}, Fault.ISSUER),
    "iss in capitals": ({"iss": ISS.upper()}, Fault.ISSUER),
    "iss a list": ({"iss": [ISS]}, Fault.ISSUER),
    "no iss": ({"without": ("iss",)}, Fault.ISSUER),
    "another audience": ({"aud": "other"}, Fault.AUDIENCE),
    "aud in capitals": ({"aud": "LLM"}, Fault.AUDIENCE),
    "aud empty": ({"aud": []}, Fault.AUDIENCE),
    "no aud": ({"without": ("aud",)}, Fault.AUDIENCE),
    "aud of two tenants": ({"aud": ["llm", "llm-sister"]}, Fault.AUDIENCE_UNCLEAR),
    "not valid yet": ({"nbf": NOW_S + 60}, Fault.NOT_YET),
    "no principal": ({"without": ("sub",)}, Fault.PRINCIPAL),
    "another type": ({"header": {"typ": "JWT"}}, Fault.TYPE),
    "unknown kid": ({"header": {"kid": "x"}}, Fault.KID_UNKNOWN),
    "not pinned": ({"algorithm": "ES384"}, Fault.ALG),
    "expired": ({"exp": NOW_S - 30}, Fault.EXPIRED),
}


@pytest.mark.parametrize(("changes", "expected"), BAD.values(), ids=BAD)
def test_a_bad_token_is_refused_and_not_remembered(tokens, changes, expected):
    text = token(**changes)
    for _ in range(2):
        assert fault(tokens.check(text, WITH, NOW_S)) is expected
    assert not tokens._known


def test_every_fault_has_a_text_of_its_own():
    assert len({one.value for one in Fault}) == len(Fault)


@pytest.mark.parametrize(("now_s", "counts"), [(NOW_S + 329.999, True), (NOW_S + 330, False)])
def test_a_token_counts_up_to_its_expiry_and_the_skew(tokens, now_s, counts):
    assert isinstance(tokens.check(token(), WITH, now_s), Bearer) is counts


def test_whose_token_expired_is_known():
    found = Tokens(Ring(keys("ES256"))).check(token(), WITH, NOW_S + 400)
    assert (found.fault, found.issuer, found.bearer.principal) == (Fault.EXPIRED, "corp", "svc-1")


def test_expiry_is_told_only_of_a_genuine_token(tokens):
    head = token(exp=NOW_S - 400).rpartition(".")[0]
    found = tokens.check(f"{head}.{token().rpartition('.')[2]}", WITH, NOW_S)
    assert (found.fault, found.bearer) == (Fault.SIGNATURE, None)


# --- remembering --------------------
def test_a_repeat_is_not_verified_again(tokens):
    text = token()
    assert tokens.check(text, WITH, NOW_S) == tokens.check(text, WITH, NOW_S + 269)
    assert Counted.looked == 1


def test_from_skew_before_its_expiry_a_token_is_verified_each_time(tokens):
    text = token()
    for _ in range(2):
        assert isinstance(tokens.check(text, WITH, NOW_S + 270), Bearer)
    assert Counted.looked == 2


def test_a_remembered_token_still_expires(tokens):
    text = token()
    assert isinstance(tokens.check(text, WITH, NOW_S), Bearer)
    assert fault(tokens.check(text, WITH, NOW_S + 330)) is Fault.EXPIRED


def test_another_policy_judges_a_remembered_token_anew(tokens):
    text = token()
    tokens.check(text, WITH, NOW_S)
    stricter = replace(WITH, version="p-2", issuers={"corp": replace(ISSUER, audiences=frozenset({"other"}))})
    assert fault(tokens.check(text, stricter, NOW_S)) is Fault.AUDIENCE
    moved = replace(WITH, version="p-3", issuers={"corp": replace(ISSUER, tenant="narrow")})
    assert tokens.check(text, moved, NOW_S).tenant == "narrow"
    assert fault(tokens.check(text, replace(WITH, version="p-4", issuers={}), NOW_S)) is Fault.ISSUER


def test_a_withdrawn_key_takes_its_remembered_tokens_along(tokens, ring):
    text = token()
    tokens.check(text, WITH, NOW_S)
    ring.known = keys("RS256")
    assert fault(tokens.check(text, WITH, NOW_S)) is Fault.KID_UNKNOWN


def test_a_key_that_was_replaced_under_its_kid_takes_its_tokens_along(tokens, ring):
    text = token()
    tokens.check(text, WITH, NOW_S)
    ring.known = keyset.parse(jwks(jwk("ES256", "rs256"), jwk("RS256", "es256")))
    assert fault(tokens.check(text, WITH, NOW_S)) is Fault.KEY


def test_keys_that_grew_too_old_refuse_remembered_tokens_too(tokens, ring):
    text = token()
    tokens.check(text, WITH, NOW_S)
    ring.known = None
    assert tokens.check(text, WITH, NOW_S) == Unsettled(ISSUER, None)


def test_only_so_many_are_remembered_and_the_least_used_go_first(ring):
    tokens = Tokens(ring, remembered=2)
    first, second, third = (token(jti=str(number)) for number in range(3))
    for text in (first, second, first, third, first):
        tokens.check(text, WITH, NOW_S)
    assert Counted.looked == 3
    tokens.check(second, WITH, NOW_S)
    assert Counted.looked == 4


def test_bad_tokens_push_no_good_one_out(ring):
    tokens = Tokens(ring, remembered=1)
    good = token()
    tokens.check(good, WITH, NOW_S)
    before = Counted.looked
    for number in range(5):
        tokens.check(token(jti=str(number), exp=NOW_S - 100), WITH, NOW_S)
    tokens.check(good, WITH, NOW_S)
    assert Counted.looked == before + 5


def test_no_token_is_kept(tokens):
    text = token()
    tokens.check(text, WITH, NOW_S)
    assert text not in repr(vars(tokens))


# --- nothing is asked of an issuer that a token only claims ----
def test_keys_are_asked_for_only_once_the_header_is_allowed(tokens, ring):
    for bad in (
        token(iss="https://evil.example"),
        token(header={"alg": "none"}),
        token(header={"typ": "JWT"}),
        "a.b.c",
    ):
        tokens.check(bad, WITH, NOW_S)
    assert ring.asked == 0


@given(
    text=st.text(max_size=60)
    | st.text("eyJ.AQ-_", max_size=60)
    | st.builds("{}.{}.{}".format, st.text(), st.text(), st.text())
)
def test_no_text_is_a_bearer_and_none_raises(text):
    assert isinstance(Tokens(Ring(keys("ES256"))).check(text, WITH, NOW_S), Rejected)


def test_half_a_character_is_refused(tokens):
    assert fault(tokens.check("\ud800.a.b", WITH, NOW_S)) is Fault.ENCODING


@given(data=st.data())
def test_no_change_of_any_byte_authenticates(data):
    tokens = Tokens(Ring(keys("ES256")))
    text = token()
    assert isinstance(tokens.check(text, WITH, NOW_S), Bearer)
    at = data.draw(st.integers(0, len(text) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != ord(text[at])))
    assert not isinstance(tokens.check(text[:at] + chr(byte) + text[at + 1 :], WITH, NOW_S), Bearer)
