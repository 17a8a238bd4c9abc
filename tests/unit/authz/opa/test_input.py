"""The input document: version 1, exactly as docs/opa.md has it, without anything that opens a door."""

import orjson

import rego
from authz.decide import Allowed, Ask
from authz.opa.input import VERSION, Question, document
from gateway.policy.opa import FIELDS

CERTIFICATE = "ab" * 32


def read(question, now_s=1_700_000_000.75):
    return orjson.loads(document(question, now_s))


def test_the_whole_document():
    caller = rego.allowed(scopes=("chat", "embed"), groups=("dev",), client="batch", certificate=CERTIFICATE).caller
    asked = rego.ask("/v1/chat/completions?x=1")
    assert read(Question(asked, Allowed(caller, (), (), method="jwt"))) == {
        "version": VERSION,
        "caller": {
            "tenant": "acme",
            "principal": "alice",
            "key_id": "k1",
            "method": "jwt",
            "client": "batch",
            "scopes": ["chat", "embed"],
            "groups": ["dev"],
            "certificate": CERTIFICATE,
        },
        "request": {"method": "POST", "path": "/v1/chat/completions", "size": 17},
        "source": {"address": "192.0.2.7"},
        "time": 1_700_000_000,
    }


def test_a_size_that_nobody_announced_is_left_out():
    assert "size" not in read(Question(rego.ask(size=""), rego.allowed()))["request"]


def test_the_document_has_the_fields_that_policies_may_name():
    told = read(rego.question())
    assert {f"{part}.{name}" for part in ("caller", "request", "source") for name in told[part]} == set(FIELDS)


def test_no_header_reaches_the_document():
    asked = Ask(
        "POST", "/v1/models", (("authorization", "Bearer osk_secret"), ("x-prompt", "words"), ("content-length", "5"))
    )
    told = document(Question(asked, rego.allowed()), 0)
    assert b"osk_secret" not in told
    assert b"words" not in told
