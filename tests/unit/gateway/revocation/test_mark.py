import hashlib

import pytest

from gateway.identity import Caller
from gateway.revocation.mark import What, mark, marks_of, name_of_token, split

CALLER = Caller(
    tenant="acme",
    principal="idp/svc:7",
    key_id="jwt:0011223344556677",
    scopes=(),
    policy="p",
    request_id="r",
    client="batch",
    certificate="ab" * 32,
)


def test_every_mark_of_a_caller_is_one_that_an_operator_can_write():
    written = {
        mark(What.KEY, "", CALLER.key_id),
        mark(What.SUBJECT, "acme", "idp/svc:7"),
        mark(What.TENANT, "acme", ""),
        mark(What.CLIENT, "acme", "batch"),
        mark(What.CERTIFICATE, "", "ab" * 32),
    }
    assert set(marks_of(CALLER)) == written
    assert {split(text)[0] for text in written} == set(What)
    assert all(f"{what.value}:{rest}" in written for what, rest in map(split, written))


def test_a_caller_without_client_and_certificate_has_no_empty_marks():
    plain = Caller(tenant="acme", principal="ci", key_id="k", scopes=(), policy="p", request_id="r")
    assert marks_of(plain) == ("key:k", "subject:acme/ci", "tenant:acme")


@pytest.mark.parametrize(
    "text",
    [
        "", "key", "key:", "nothing:x", "KEY:x", "subject:ci", "subject:/ci", "subject:Acme/ci", "subject:acme/",
        "subject:acme/a b", "client:acme/a\n", "tenant:", "tenant:a/b", "certificate:ab", f"certificate:{'AB' * 32}",
        f"key:{'x' * 129}", f"subject:acme/{'x' * 288}", "key:ключ",
    ],
)  # fmt: skip
def test_what_no_caller_can_have_is_no_mark(text):
    with pytest.raises(ValueError):
        split(text)


def test_a_subject_may_hold_slashes_and_its_tenant_may_not():
    assert split("subject:acme/a/b/c") == (What.SUBJECT, "acme/a/b/c")


def test_the_name_of_a_token_is_a_hash_of_issuer_and_jti():
    named = name_of_token("https://idp.example.com", "token-1")
    digest = hashlib.sha256(b"https://idp.example.com\0token-1").hexdigest()
    assert named == f"jwt:{digest[:16]}"
    assert named == name_of_token("https://idp.example.com", b"token-1")
    assert named != name_of_token("https://idp.example.org", "token-1")


def test_a_jti_that_is_no_unicode_still_has_a_name():
    assert name_of_token("https://idp.example.com", "\ud800").startswith("jwt:")
