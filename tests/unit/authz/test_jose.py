"""One token against one issuer's keys: every algorithm, every way in which a header or signature can be wrong."""

import base64
import json
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from authz import jose
from authz.jose import Bad, Fault
from gateway import keyset
from gateway.policy.issuer import ALGORITHMS
from issuing import (
    CLAIMS,
    ISSUER,
    SHAPES,
    b64,
    hmac_with_the_public_key,
    jwk,
    jwks,
    keys,
    segment,
    sign,
    token,
)

EVERY = replace(ISSUER, algorithms=frozenset(ALGORITHMS))
KEYS = keys("ES256", "RS256")


def judge(text, issuer=ISSUER, known=KEYS):
    """The fault of a token, or None."""
    try:
        parsed = jose.parse(text)
        jose.check_header(parsed, issuer)
        jose.verify(parsed, known)
    except Bad as bad:
        return bad.fault
    return None


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_pinned_algorithm_verifies(algorithm):
    assert judge(token(algorithm), EVERY, keys(algorithm)) is None
    assert set(SHAPES) == set(ALGORITHMS)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_algorithm_that_is_not_pinned_does_not_count(algorithm):
    others = replace(ISSUER, algorithms=frozenset(ALGORITHMS) - {algorithm})
    assert judge(token(algorithm), others, keys(algorithm)) is Fault.ALG


@pytest.mark.parametrize("kind", ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"])
def test_access_tokens_say_so(kind):
    assert judge(token(header={"typ": kind})) is None


@pytest.mark.parametrize("kind", ["JWT", None, "", "at+jwt ", "at+jwt+x", "jwt", ["at+jwt"], 1, {}, "dpop+jwt"])
def test_other_types_count_only_where_the_issuer_says_so(kind):
    assert judge(token(header={"typ": kind})) is Fault.TYPE
    assert judge(token(header={"typ": kind}), replace(ISSUER, typ="any")) is None


#: Signed by others: RFC 7515 appendices A.2 and A.3, RFC 8037 appendix A.4. (header, payload, signature, key)
_JOE = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
PUBLISHED = {
    "RS256": (
        "eyJhbGciOiJSUzI1NiJ9",
        _JOE,
        (
            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1"
            "dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jz"
            "DwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQG"
            "e77Rw"
        ),
        {
            "kty": "RSA",
            "e": "AQAB",
            "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SF"
            "d2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTB"
            "EMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2"
            "PAcDTW9gb54h4FRWyuXpoQ",
        },
    ),
    "ES256": (
        "eyJhbGciOiJFUzI1NiJ9",
        _JOE,
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        {
            "kty": "EC",
            "crv": "P-256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        },
    ),
    "EdDSA": (
        "eyJhbGciOiJFZERTQSJ9",
        "RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
        {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
    ),
}


@pytest.mark.parametrize("algorithm", PUBLISHED)
def test_signatures_of_the_standards_verify(algorithm):
    header, payload, signature, public = PUBLISHED[algorithm]
    raw = base64.urlsafe_b64decode(signature + "==")
    genuine = jose.Token({"alg": algorithm}, {}, f"{header}.{payload}".encode(), raw)
    jose.verify(genuine, keyset.parse(jwks(public)))
    with pytest.raises(Bad):
        jose.verify(replace(genuine, signed=f"{header}.{payload}x".encode()), keyset.parse(jwks(public)))


HEADERS = {
    "alg none": ({"alg": "none"}, Fault.ALG_NONE),
    "alg NoNe": ({"alg": "NoNe"}, Fault.ALG_NONE),
    "alg HS256": ({"alg": "HS256"}, Fault.ALG_SYMMETRIC),
    "alg hs256": ({"alg": "hs256"}, Fault.ALG_SYMMETRIC),
    "alg es256": ({"alg": "es256"}, Fault.ALG),
    "alg empty": ({"alg": ""}, Fault.ALG),
    "alg missing": ({"alg": None}, Fault.ALG),
    "alg a list": ({"alg": ["ES256"]}, Fault.ALG),
    "alg a number": ({"alg": 256}, Fault.ALG),
    "alg of another key": ({"alg": "RS256"}, Fault.KEY),
    "alg ES256K": ({"alg": "ES256K"}, Fault.ALG),
    "alg for encryption": ({"alg": "RSA-OAEP"}, Fault.ALG),
    "crit": ({"crit": ["exp"]}, Fault.CRITICAL),
    "crit empty": ({"crit": []}, Fault.CRITICAL),
    "b64 false": ({"b64": False, "crit": ["b64"]}, Fault.CRITICAL),
    "b64 alone": ({"b64": False}, Fault.CRITICAL),
    "b64 true": ({"b64": True}, Fault.CRITICAL),
    "zip": ({"zip": "DEF"}, Fault.CRITICAL),
    "enc": ({"enc": "A128GCM"}, Fault.CRITICAL),
    "nested": ({"cty": "JWT"}, Fault.NESTED),
    "kid unknown": ({"kid": "nobody"}, Fault.KID_UNKNOWN),
    "kid a path": ({"kid": "../../../../dev/null"}, Fault.KID_UNKNOWN),
    "kid a query": ({"kid": "x' UNION SELECT 'key"}, Fault.KID_UNKNOWN),
    "kid a command": ({"kid": "|/bin/true"}, Fault.KID_UNKNOWN),
    "kid a URL": ({"kid": "https://evil.example/jwks"}, Fault.KID_UNKNOWN),
    "kid with a zero byte": ({"kid": "es256\0"}, Fault.KID_UNKNOWN),
    "kid in capitals": ({"kid": "ES256"}, Fault.KID_UNKNOWN),
    "kid of the other key": ({"kid": "rs256"}, Fault.KEY),
    "kid empty": ({"kid": ""}, Fault.KID),
    "kid a list": ({"kid": ["es256"]}, Fault.KID),
    "kid a number": ({"kid": 0}, Fault.KID),
    "kid endless": ({"kid": "x" * 257}, Fault.KID),
    "kid missing": ({"kid": None}, Fault.KID_MISSING),
}


@pytest.mark.parametrize(("header", "fault"), HEADERS.values(), ids=HEADERS)
def test_a_header_that_is_not_allowed_is_refused_although_the_signature_is_genuine(header, fault):
    assert judge(token(header=header)) is fault


def test_a_single_key_may_stand_without_a_kid():
    assert judge(token(header={"kid": None}), known=keys("ES256")) is None
    assert judge(token("RS256", header={"kid": None}), known=keys("ES256")) is Fault.KEY


@pytest.mark.parametrize("form", ["pem", "der", "n"])
def test_a_public_key_is_no_shared_secret(form):
    assert judge(hmac_with_the_public_key(form), EVERY) is Fault.ALG_SYMMETRIC


OWN_KEY = {
    "jwk": jwk("ES384"),
    "jku": "http://127.0.0.1:1/jwks",
    "x5u": "http://127.0.0.1:1/x",
    "x5c": ["AAAA"],
    "x5t": "x",
}


def test_keys_that_a_token_brings_along_are_not_looked_at():
    assert judge(token(header=OWN_KEY)) is None
    forged = sign({"alg": "ES384", "typ": "at+jwt", "kid": "es256", **OWN_KEY}, CLAIMS, "ES384")
    assert judge(forged, EVERY) is Fault.KEY


def test_a_signature_of_another_key_differs():
    text = sign({"alg": "PS256", "typ": "at+jwt", "kid": "k"}, CLAIMS, "RS256")
    assert judge(text, EVERY, keyset.parse(jwks(jwk("RS256", "k")))) is Fault.SIGNATURE


@pytest.mark.parametrize(
    "signature", ["AA", b64(bytes(64)), b64(b"\xff" * 64), b64(bytes(63)), b64(bytes(65)), b64(bytes(600))]
)
@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "EdDSA"])
def test_a_made_up_signature_differs(algorithm, signature):
    text = token(algorithm).rpartition(".")[0] + "." + signature
    assert judge(text, EVERY, keys(algorithm)) is Fault.SIGNATURE


def test_a_signature_in_der_differs():
    head, _, last = token().rpartition(".")
    raw = base64.urlsafe_b64decode(last + "==")
    der = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    assert judge(f"{head}.{b64(der)}") is Fault.SIGNATURE


HEAD, BODY, SIGNATURE = token().split(".")
SHAPED = {
    "nothing": ("..", Fault.HEADER),
    "empty header": (f".{BODY}.{SIGNATURE}", Fault.HEADER),
    "empty payload": (f"{HEAD}..{SIGNATURE}", Fault.PAYLOAD),
    "no signature": (f"{HEAD}.{BODY}.", Fault.SIGNATURE),
    "two parts": (f"{HEAD}.{BODY}", Fault.ENCRYPTED),
    "four parts": (f"{HEAD}.{BODY}.{SIGNATURE}.", Fault.ENCRYPTED),
    "a JWE": (f"{segment({'alg': 'RSA-OAEP', 'enc': 'A128GCM'})}.a.b.c.d", Fault.ENCRYPTED),
    "padding": (f"{HEAD}.{BODY}.{SIGNATURE}==", Fault.ENCODING),
    "plain base64": (f"{HEAD}.{BODY}.+{SIGNATURE[1:]}", Fault.ENCODING),
    "a space": (f"{HEAD}.{BODY} .{SIGNATURE}", Fault.ENCODING),
    "a line end": (f"{HEAD}.{BODY}.{SIGNATURE}\n", Fault.ENCODING),
    "not ASCII": (f"{HEAD}.{BODY}.é{SIGNATURE[1:]}", Fault.ENCODING),
    "another last character": (f"{HEAD}.{BODY}.{SIGNATURE[:-1]}{'B' if SIGNATURE[-1] != 'B' else 'C'}", Fault.ENCODING),
    "too large": (f"{HEAD}.{'A' * 8192}.{SIGNATURE}", Fault.TOO_LARGE),
    "header a list": (sign(["ES256"], CLAIMS), Fault.HEADER),
    "header no JSON": (sign("{", CLAIMS), Fault.HEADER),
    "header in UTF-16": (sign('{"alg":"ES256"}'.encode("utf-16"), CLAIMS), Fault.HEADER),
    "header twice": (sign('{"alg":"ES256","kid":"es256","alg":"none"}', CLAIMS), Fault.DUPLICATE),
    "header deep": (sign("[" * 4000, CLAIMS), Fault.HEADER),
    "payload a text": (sign({"alg": "ES256"}, '"x"'), Fault.PAYLOAD),
    "payload a token": (sign({"alg": "ES256"}, token()), Fault.PAYLOAD),
    "payload twice": (sign({"alg": "ES256"}, '{"sub":"a","sub":"b"}'), Fault.DUPLICATE),
    "payload twice, deep": (sign({"alg": "ES256"}, '{"act":{"sub":"a","sub":"b"}}'), Fault.DUPLICATE),
    "payload NaN": (sign({"alg": "ES256"}, '{"exp":NaN}'), Fault.PAYLOAD),
    "payload deep": (sign({"alg": "ES256"}, '{"a":' * 1000 + "1" + "}" * 1000), Fault.PAYLOAD),
    "payload not UTF-8": (sign({"alg": "ES256"}, b'{"sub":"\xff"}'), Fault.PAYLOAD),
}


@pytest.mark.parametrize(("text", "fault"), SHAPED.values(), ids=SHAPED)
def test_a_token_out_of_shape_is_refused(text, fault):
    assert judge(text) is fault


def test_the_largest_token_is_read():
    filler = jose.MAX_CHARS * 3 // 4 - 400
    text = token(pad="x" * filler)
    assert len(text) <= jose.MAX_CHARS
    assert judge(text) is None


def test_every_fault_is_explained_to_operators():
    page = (Path(__file__).resolve().parents[3] / "docs" / "operations.md").read_text(encoding="utf-8")
    causes = page.split("| `cause` of a refused token |")[1].split("\n\n")[0]
    assert not [fault.value for fault in Fault if f"`{fault.value.removeprefix('token: ')}`" not in causes]
    assert all(fault.value.startswith("token: ") for fault in Fault)


def test_a_token_does_not_show_in_repr():
    assert "svc-1" not in repr(jose.parse(token()))


@pytest.mark.parametrize(
    ("text", "token_like"), [("a.b.c", True), ("a.b.c.d.e", True), ("..", True), ("a.b", False), ("", False)]
)
def test_tokens_are_told_from_keys(text, token_like):
    assert jose.looks_like_token(text) is token_like


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "EdDSA"])
@given(data=st.data())
def test_no_change_of_any_byte_passes(algorithm, data):
    text = token(algorithm)
    at = data.draw(st.integers(0, len(text) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != ord(text[at])))
    changed = text[:at] + chr(byte) + text[at + 1 :]
    assert judge(changed, EVERY, keys(algorithm)) is not None


@given(data=st.data())
def test_no_cut_and_no_addition_passes(data):
    text = token()
    start, end = sorted(data.draw(st.lists(st.integers(0, len(text)), min_size=2, max_size=2)))
    middle = data.draw(st.text("ab.=_-", max_size=4))
    changed = text[:start] + middle + text[end:]
    assert (judge(changed) is None) is (changed == text)


@given(
    header=st.dictionaries(
        st.sampled_from(["alg", "typ", "kid", "crit", "b64", "cty", "jwk"]), st.none() | st.text(max_size=5)
    )
)
def test_no_header_raises_anything_else(header):
    text = f"{segment(header)}.{BODY}.{SIGNATURE}"
    assert judge(text) is not None or json.loads(base64.urlsafe_b64decode(HEAD + "==")) == header
