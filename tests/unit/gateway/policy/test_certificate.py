"""certificates.yaml: a good entry becomes a `CertificateIdentity`; what could name two, or nobody, is refused."""

import base64
import hashlib

import pytest
from cryptography import x509

from gateway.policy.certificate import subject_text
from gateway.policy.load import load
from gateway.policy.model import CertificateIdentity
from gateway.policy.problem import PolicyError

FILES = {
    "policy.yaml": "name: test\n",
    "tenants.yaml": "acme: {models: '*', routes: '*'}\nglobex: {models: '*', routes: '*'}\n",
    "backends.yaml": "demo: {url: 'http://127.0.0.1:8091'}\n",
    "models.yaml": "gpt: demo\n",
}
PIN = hashlib.sha256(b"a public key").digest()
LEAST = "ci:\n  tenant: acme\n  principal: ci\n  uri: spiffe://example.org/ci\n"


def read(directory, text, **more):
    files = (
        FILES | {"certificates.yaml": text} | {name.replace("__", "/") + ".yaml": body for name, body in more.items()}
    )
    for name, body in files.items():
        path = directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(body)
    return load(directory, rules=["pii.email"])


def problems(directory, text, **more):
    with pytest.raises(PolicyError) as refused:
        read(directory, text, **more)
    return [str(problem) for problem in refused.value.problems]


def test_the_least_entry_names_somebody_and_asks_nothing_else(tmp_path):
    assert read(tmp_path, LEAST).certificates == {
        "ci": CertificateIdentity(name="ci", tenant="acme", principal="ci", uri="spiffe://example.org/ci")
    }


def test_every_field_is_read(tmp_path):
    text = (
        LEAST
        + f"""  scopes: [chat, embed]
  groups: [builders]
  pins: [{PIN.hex()}, sha256/{base64.b64encode(hashlib.sha256(b"the next").digest()).decode()}]
  required_for_principal: true
"""
    )
    assert read(tmp_path, text).certificates["ci"] == CertificateIdentity(
        name="ci",
        tenant="acme",
        principal="ci",
        uri="spiffe://example.org/ci",
        scopes=("chat", "embed"),
        groups=("builders",),
        spki_sha256=frozenset({PIN.hex(), hashlib.sha256(b"the next").hexdigest()}),
        required_for_principal=True,
    )


@pytest.mark.parametrize("pin", [PIN.hex(), f"sha256/{base64.b64encode(PIN).decode()}"])
def test_one_pin_in_either_spelling_is_the_same_policy(tmp_path, pin):
    policy = read(tmp_path, f"{LEAST}  pins: {pin}\n")
    assert policy.certificates["ci"].spki_sha256 == {PIN.hex()}


@pytest.mark.parametrize(
    ("line", "kind", "expected"),
    [
        ("dns: ci.example.org", "dns", "ci.example.org"),
        ("uri: https://example.org/workloads/ci", "uri", "https://example.org/workloads/ci"),
        ("subject: 'CN=ci,O=Example'", "subject", "CN=ci,O=Example"),
        ("subject: 'OU=b+CN=a,O=Example'", "subject", "CN=a+OU=b,O=Example"),
        ("subject: 'O=A\\, B'", "subject", "O=A\\, B"),
    ],
)
def test_each_kind_of_name_is_read(tmp_path, line, kind, expected):
    entry = read(tmp_path, LEAST.replace("uri: spiffe://example.org/ci", line)).certificates["ci"]
    assert getattr(entry, kind) == expected
    assert sum(map(bool, (entry.uri, entry.dns, entry.subject))) == 1


def test_a_directory_of_files_is_read_too(tmp_path):
    more = LEAST.replace("ci:", "cd:").replace("/ci", "/cd")
    assert set(read(tmp_path, LEAST, certificates__cd=more).certificates) == {"ci", "cd"}


def test_a_policy_without_certificates_has_none(tmp_path):
    assert read(tmp_path, "# none yet\n").certificates == {}


def test_what_an_entry_says_is_part_of_the_version(tmp_path):
    first = read(tmp_path, LEAST).version
    assert read(tmp_path, LEAST + "  required_for_principal: true\n").version != first


BAD = {
    "no name": (LEAST.replace("  uri: spiffe://example.org/ci\n", ""), "exactly one of uri, dns and subject, found 0"),
    "two names": (LEAST + "  dns: ci.example.org\n", "exactly one of uri, dns and subject, found 2"),
    "an unknown tenant": (LEAST.replace("acme", "acne"), 'unknown tenant "acne"; did you mean "acme"?'),
    "an unknown field": (LEAST + "  spki: x\n", 'unknown field "spki"'),
    "no principal": (LEAST.replace("  principal: ci\n", ""), "ci.principal: missing"),
    "a URI without a scheme": (LEAST.replace("spiffe://", "//"), "expected a URI"),
    "a trust domain alone": (LEAST.replace("/ci", ""), "expected a SPIFFE ID"),
    "a SPIFFE ID with a port": (LEAST.replace("org/", "org:8443/"), "expected a SPIFFE ID"),
    "a SPIFFE ID with a query": (LEAST.replace("/ci\n", "/ci?x=1\n"), "expected a SPIFFE ID"),
    "a SPIFFE ID with an empty part": (LEAST.replace("/ci", "//ci"), "expected a SPIFFE ID"),
    "a SPIFFE ID with a dot part": (LEAST.replace("/ci\n", "/../ci\n"), "expected a SPIFFE ID"),
    "a wildcard": (LEAST.replace("uri: spiffe://example.org/ci", "dns: '*.example.org'"), "whole DNS name"),
    "a name in capitals": (LEAST.replace("uri: spiffe://example.org/ci", "dns: CI.example.org"), "whole DNS name"),
    "a name with a final dot": (LEAST.replace("uri: spiffe://example.org/ci", "dns: ci.example."), "whole DNS name"),
    "a name too long": (LEAST.replace("uri: spiffe://example.org/ci", f"dns: {'a.' * 130}a"), "whole DNS name"),
    "no subject": (LEAST.replace("uri: spiffe://example.org/ci", "subject: just words"), "RFC 4514"),
    "half a pin": (f"{LEAST}  pins: [{PIN.hex()[:40]}]\n", "SHA-256 of the public key"),
    "a pin in capitals": (f"{LEAST}  pins: [{PIN.hex().upper()}]\n", "SHA-256 of the public key"),
    "no pins": (LEAST + "  pins: []\n", "empty"),
    "a flag that is a word": (LEAST + "  required_for_principal: yes\n", "required_for_principal"),
}


@pytest.mark.parametrize(("text", "expected"), BAD.values(), ids=BAD)
def test_what_names_nobody_or_two_is_refused_with_its_place(tmp_path, text, expected):
    found = problems(tmp_path, text)
    assert any(expected in problem for problem in found), found
    assert all(problem.startswith("certificates.yaml:") for problem in found)


@pytest.mark.parametrize("line", ["uri: spiffe://example.org/ci", "dns: ci.example.org", "subject: 'CN=ci'"])
def test_two_entries_for_one_name_are_refused_in_every_tenant(tmp_path, line):
    first = LEAST.replace("uri: spiffe://example.org/ci", line)
    second = first.replace("ci:\n", "copy:\n", 1).replace("acme", "globex")
    kind = line.partition(":")[0]
    assert problems(tmp_path, first + second) == [
        f'certificates.yaml:5:1: copy.{kind}: same {kind} as "ci"; the first one is at certificates.yaml:1'
    ]


def test_parts_of_a_subject_in_any_order_are_one_subject():
    written = x509.Name.from_rfc4514_string("OU=b+CN=a,O=Example")
    encoded = x509.Name.from_rfc4514_string("CN=a+OU=b,O=Example")
    assert subject_text(written) == subject_text(encoded)
    assert subject_text(written) != subject_text(x509.Name.from_rfc4514_string("O=Example,CN=a+OU=b"))
