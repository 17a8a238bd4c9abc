"""Tokens of our own token service: verified by registered keys, and worth what their account says at the moment."""

from dataclasses import replace

import pytest

from authz.claims import Bearer
from authz.jose import Fault
from authz.own import NAME, SKEW_S, OwnTokens
from authz.tokens import Rejected, Tokens, Unsettled
from authz_case import POLICY, NoKeys
from gateway.policy.model import TokenService
from gateway.registry import accounts, verifying
from gateway.registry.accounts import Account, Method, Secret
from gateway.registry.verifying import VerifyingKey
from issuing import ISSUER, NOW_S, jwk, keys, token

SERVICE = TokenService(issuer="https://gateway.example", audience="ostiary")
WITH = replace(POLICY, token_service=SERVICE, issuers={"corp": ISSUER})
MEMBERS = ("kty", "crv", "x", "y", "n", "e")
ACCOUNT = Account(
    client_id="batch",
    tenant="narrow",
    principal="batch-job",
    method=Method.SECRET,
    scopes=("chat", "embed"),
    secrets=(Secret(digest="0" * 64, pepper="v1", created_at=1),),
    created_at=1,
    created_by="admin",
)


def public(algorithm="ES256", kid="es256", start=NOW_S - 100, end=NOW_S + 10_000):
    members = {name: value for name, value in jwk(algorithm).items() if name in MEMBERS}
    return VerifyingKey(kid=kid, algorithm=algorithm, jwk=members, not_before=start, not_after=end)


def put(own, *told):
    for one in told:
        own.key_changed(one.kid, verifying.write(one))


@pytest.fixture
def own():
    made = OwnTokens()
    put(made, public())
    made.account_changed("batch", accounts.write(ACCOUNT))
    return made


@pytest.fixture
def tokens(own):
    return Tokens(NoKeys(), own=own)


def ours(algorithm="ES256", **changes):
    return token(algorithm, **{"iss": SERVICE.issuer, "aud": SERVICE.audience, "sub": "batch", **changes})


def fault(found):
    assert isinstance(found, Rejected | Unsettled)
    return found.fault


# --- whose it is --------------------
def test_the_account_says_whose_the_token_is_whatever_the_token_says(tokens):
    bearer = tokens.check(ours(tenant="acme", sub="somebody", principal="root"), WITH, NOW_S)
    assert (bearer.tenant, bearer.principal, bearer.client) == ("narrow", "batch-job", "batch")
    assert bearer.issuer == NAME
    assert bearer.key_id.startswith("jwt:")


def test_scopes_are_those_that_token_and_account_have_in_common(tokens):
    assert tokens.check(ours(scope="embed admin"), WITH, NOW_S).scopes == ("embed",)
    assert tokens.check(ours(without=("scope",)), WITH, NOW_S).scopes == ()


def test_its_binding_travels_along(tokens):
    assert tokens.check(ours(cnf={"x5t#S256": "a" * 43}), WITH, NOW_S).bound_to == "a" * 43


@pytest.mark.parametrize("remembered", [False, True])
@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (None, Fault.ACCOUNT_UNKNOWN),
        (replace(ACCOUNT, disabled=True), Fault.ACCOUNT_DISABLED),
        (replace(ACCOUNT, expires_at=NOW_S), Fault.ACCOUNT_EXPIRED),
    ],
)
def test_what_happens_to_the_account_happens_to_its_tokens_at_once(tokens, own, changed, expected, remembered):
    text = ours()
    if remembered:
        assert isinstance(tokens.check(text, WITH, NOW_S), Bearer)
    own.account_changed("batch", None if changed is None else accounts.write(changed))
    assert fault(tokens.check(text, WITH, NOW_S)) is expected
    own.account_changed("batch", accounts.write(ACCOUNT))
    assert isinstance(tokens.check(text, WITH, NOW_S), Bearer)


def test_an_account_counts_until_its_last_second(tokens, own):
    own.account_changed("batch", accounts.write(replace(ACCOUNT, expires_at=NOW_S + 5)))
    text = ours()
    assert isinstance(tokens.check(text, WITH, NOW_S + 4.999), Bearer)
    assert fault(tokens.check(text, WITH, NOW_S + 5)) is Fault.ACCOUNT_EXPIRED


def test_a_narrowed_account_narrows_tokens_that_are_remembered(tokens, own):
    text = ours()
    assert tokens.check(text, WITH, NOW_S).scopes == ("chat", "embed")
    own.account_changed("batch", accounts.write(replace(ACCOUNT, scopes=("embed",), tenant="acme")))
    bearer = tokens.check(text, WITH, NOW_S)
    assert (bearer.scopes, bearer.tenant) == (("embed",), "acme")


@pytest.mark.parametrize("value", [b"", b"{}", b"[]", accounts.write(replace(ACCOUNT, client_id="other"))])
def test_an_account_that_cannot_be_read_is_none(tokens, own, value):
    own.account_changed("batch", value)
    assert fault(tokens.check(ours(), WITH, NOW_S)) is Fault.ACCOUNT_UNKNOWN


# --- what the token must be --------------------
BAD = {
    "the audience of another issuer": ({"aud": "llm"}, Fault.AUDIENCE),
    "an ID token": ({"header": {"typ": "JWT"}}, Fault.TYPE),
    "no typ": ({"header": {"typ": None}}, Fault.TYPE),
    "no client_id": ({"without": ("client_id",)}, Fault.CLAIM_MISSING),
    "client_id under another name": ({"without": ("client_id",), "azp": "batch"}, Fault.CLAIM_MISSING),
    "client_id a list": ({"client_id": ["batch"]}, Fault.PRINCIPAL),
    "no jti": ({"without": ("jti",)}, Fault.CLAIM_MISSING),
    "no iat": ({"without": ("iat",)}, Fault.CLAIM_MISSING),
    "no sub": ({"without": ("sub",)}, Fault.CLAIM_MISSING),
    "no exp": ({"without": ("exp",)}, Fault.CLAIM_MISSING),
    "another client": ({"client_id": "other"}, Fault.ACCOUNT_UNKNOWN),
    "unsigned": ({"header": {"alg": "none"}}, Fault.ALG_NONE),
    "an algorithm that its key is not for": ({"header": {"alg": "RS256"}}, Fault.KEY),
    "an unknown kid": ({"header": {"kid": "es257"}}, Fault.KID_UNKNOWN),
    "expired": ({"exp": NOW_S - SKEW_S}, Fault.EXPIRED),
    "not valid yet": ({"nbf": NOW_S + SKEW_S + 1}, Fault.NOT_YET),
}


@pytest.mark.parametrize(("changes", "expected"), BAD.values(), ids=BAD)
def test_a_bad_token_is_refused(tokens, changes, expected):
    assert fault(tokens.check(ours(**changes), WITH, NOW_S)) is expected


def test_an_expired_token_is_told_whose_it_was(tokens):
    found = tokens.check(ours(exp=NOW_S - 100), WITH, NOW_S)
    assert (found.issuer, found.bearer.tenant, found.bearer.principal) == (NAME, "narrow", "batch-job")


def test_of_an_account_that_is_gone_no_expiry_is_told(tokens, own):
    own.account_changed("batch", None)
    found = tokens.check(ours(exp=NOW_S - 100), WITH, NOW_S)
    assert (found.fault, found.bearer) == (Fault.ACCOUNT_UNKNOWN, None)


def test_no_entry_of_the_policy_speaks_for_the_token_service(tokens):
    usurper = replace(ISSUER, name="usurper", issuer=SERVICE.issuer, audiences=frozenset({SERVICE.audience, "llm"}))
    both = replace(WITH, version="p-usurped", issuers={"usurper": usurper})
    assert tokens.check(ours(), both, NOW_S).tenant == "narrow"
    assert fault(tokens.check(ours(aud="llm"), both, NOW_S)) is Fault.AUDIENCE


def test_without_a_token_service_in_the_policy_its_tokens_are_strangers(tokens):
    text = ours()
    assert isinstance(tokens.check(text, WITH, NOW_S), Bearer)
    assert fault(tokens.check(text, replace(WITH, version="p-without", token_service=None), NOW_S)) is Fault.ISSUER
    assert fault(Tokens(NoKeys()).check(text, WITH, NOW_S)) is Fault.ISSUER


def test_other_issuers_are_judged_as_before(tokens):
    class Ring:
        def usable(self, issuer):
            return keys("ES256")

    assert Tokens(Ring(), own=OwnTokens()).check(token(), WITH, NOW_S).tenant == "acme"


# --- keys --------------------
def test_before_the_registry_told_any_key_nobody_can_tell():
    found = Tokens(NoKeys(), own=OwnTokens()).check(ours(), WITH, NOW_S)
    assert isinstance(found, Unsettled)
    assert found.fault is None


def test_a_withdrawn_key_takes_its_remembered_tokens_along(tokens, own):
    put(own, public("RS256", "rs256"))
    text, other = ours(), ours("RS256")
    assert isinstance(tokens.check(text, WITH, NOW_S), Bearer)
    own.key_changed("es256", None)
    assert fault(tokens.check(text, WITH, NOW_S)) is Fault.KID_UNKNOWN
    assert isinstance(tokens.check(other, WITH, NOW_S), Bearer)


def test_a_key_that_takes_the_place_of_another_under_its_kid_is_another_key(tokens, own):
    text = ours()
    assert isinstance(tokens.check(text, WITH, NOW_S), Bearer)
    put(own, public("RS256", "es256"))
    assert fault(tokens.check(text, WITH, NOW_S)) is Fault.KEY


def test_a_rotation_refuses_nobody(tokens, own):
    old, new = ours(), ours("RS256")
    assert isinstance(tokens.check(old, WITH, NOW_S), Bearer)
    assert fault(tokens.check(new, WITH, NOW_S)) is Fault.KID_UNKNOWN
    put(own, public("RS256", "rs256"))
    assert isinstance(tokens.check(new, WITH, NOW_S), Bearer)
    assert isinstance(tokens.check(old, WITH, NOW_S), Bearer)


def test_a_key_that_is_told_again_costs_no_verification(own):
    before = own.usable(NOW_S)
    put(own, public())
    assert own.usable(NOW_S + 1) is before
    own.key_changed("nobody", None)
    assert own.usable(NOW_S + 2) is before


def test_a_key_counts_between_its_times(own):
    put(own, public("RS256", "late", start=NOW_S + 100, end=NOW_S + 200))
    assert not own.usable(NOW_S).knows("late")
    assert not own.usable(NOW_S + 100 - SKEW_S - 0.001).knows("late")
    assert own.usable(NOW_S + 100 - SKEW_S).knows("late")
    assert own.usable(NOW_S + 199.999).knows("late")
    assert not own.usable(NOW_S + 200).knows("late")
    assert own.usable(NOW_S + 150).knows("late"), "a corrected clock goes back as well"


def test_a_token_does_not_outlive_the_key_that_signed_it(tokens, own):
    put(own, public(end=NOW_S + 60))
    text = ours()
    assert isinstance(tokens.check(text, WITH, NOW_S), Bearer)
    assert fault(tokens.check(text, WITH, NOW_S + 60)) is None  # no key is left at all


def test_a_key_that_cannot_be_read_is_none(tokens, own):
    own.key_changed("es256", b'{"kid": "es256"}')
    assert fault(tokens.check(ours(), WITH, NOW_S)) is None
