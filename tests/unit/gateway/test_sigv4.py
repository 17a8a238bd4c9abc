"""Signatures as Amazon's guide describes them, of keys that are shown to nobody."""

import copy
import hashlib
import hmac
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import aws
from gateway.sigv4 import Ask, AwsKey, aws_key, key_of_line, sign

visible = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=":"), min_size=1, max_size=40)
ids = st.from_regex(r"\A[A-Z0-9]{16,24}\Z")
models = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=30).filter(
    lambda name: name.strip(".")  # segments of dots alone are no names
)
hosts = st.from_regex(r"\A[a-z0-9][a-z0-9.-]{0,20}[a-z0-9](:[1-9][0-9]{0,4})?\Z")
moments = st.integers(0, 4_000_000_000)
bases = st.sampled_from(["", "/proxy", "/a/b~c"])
parameters = st.dictionaries(
    st.from_regex(r"\A[A-Za-z0-9_.~-]{1,8}\Z"), st.from_regex(r"\A[A-Za-z0-9_.~%-]{0,8}\Z"), max_size=3
)


@settings(max_examples=100, deadline=None)
@given(
    base=bases, model=models, host=hosts, body=st.binary(max_size=300), moment=moments, key_id=ids, secret=visible,
    token=st.none() | visible, region=st.from_regex(r"\A[a-z]{2}-[a-z]{4,9}-[0-9]\Z"), query=parameters,
    content_type=st.sampled_from(["application/json", "application/json;  charset=utf-8 "]),
)  # fmt: skip
def test_a_signature_is_the_one_that_amazon_s_guide_describes(
    base, model, host, body, moment, key_id, secret, token, region, query, content_type
):
    path = f"{base}/model/{quote(model, safe='')}/converse"
    told = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query.items())
    key = aws_key(key_id, secret, token or "")
    ask = Ask(method="POST", host=host, path=path, query=told, headers=(("content-type", content_type),), body=body)
    made = dict(sign(ask, key, region=region, service="bedrock", now_s=moment + 0.9))
    stamp = datetime.fromtimestamp(moment, UTC).strftime("%Y%m%dT%H%M%SZ")
    assert made.pop("authorization") == by_the_guide(ask, key_id, secret, token, region, stamp)
    assert made == {"x-amz-date": stamp, **({} if token is None else {"x-amz-security-token": token})}


def by_the_guide(ask, key_id, secret, token, region, stamp):
    """Step by step: canonical request, string to sign, signing key, signature. A second opinion on the library's use."""
    headers = {"host": ask.host, "x-amz-date": stamp, **dict(ask.headers)}
    if token is not None:
        headers["x-amz-security-token"] = token
    names = ";".join(sorted(headers))
    lines = [f"{name}:{' '.join(headers[name].split())}" for name in sorted(headers)]
    query = "&".join(sorted(ask.query.split("&"), key=lambda pair: pair.partition("=")[::2])) if ask.query else ""
    hashed = hashlib.sha256(ask.body).hexdigest()
    canonical = "\n".join([ask.method, quote(ask.path, safe="/~"), query, *lines, "", names, hashed])
    scope = f"{stamp[:8]}/{region}/bedrock/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    signing = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        signing = hmac.digest(signing, part.encode(), "sha256")
    made = hmac.digest(signing, text.encode(), "sha256").hex()
    return f"AWS4-HMAC-SHA256 Credential={key_id}/{scope}, SignedHeaders={names}, Signature={made}"


def test_a_key_is_not_shown():
    key = aws_key(aws.KEY_ID, aws.SECRET, "the-token")
    assert key is not None
    for part in (aws.KEY_ID, aws.SECRET, "the-token"):
        assert part not in repr(key)
        assert part not in f"{key}"
    with pytest.raises(TypeError):
        copy.deepcopy(key)


def test_a_body_is_not_shown():
    assert "prompt" not in repr(Ask(method="POST", host="h", path="/", body=b"a prompt"))


@pytest.mark.parametrize("token", ["", "FwoGZXIvYXdzEBYaD//////////wEaDH="])
def test_a_line_holds_a_key(token):
    key = key_of_line(":".join([aws.KEY_ID, aws.SECRET, *([token] if token else [])]))
    assert isinstance(key, AwsKey)
    assert (key.id, key.secret.reveal()) == (aws.KEY_ID, aws.SECRET)
    assert (key.token.reveal() if key.token else "") == token


@pytest.mark.parametrize(
    "line",
    [
        "", "sk-one-word", "AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE:", ":secret", "short:secret",
        "AKIAIOSFODNN7EXAMPLE:a b", "AKIAIOSFODNN7EXAMPLE:secret:to ken", "AKIAIOSFODNN7EXAMPLE:secret:",
        "AKIAIOSFODNN7EXAMPLE:a:b:c", "AKIA,IOSFODNN7EXAMPLE:secret", "AKIAIOSFODNN7EXAMPLÉ:secret",
    ],
)  # fmt: skip
def test_a_line_that_holds_no_key_is_none(line):
    assert key_of_line(line) is None
