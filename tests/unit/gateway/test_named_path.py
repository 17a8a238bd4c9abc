"""Paths that name model and method: one spelling for each, and what of their queries is taken."""

import pytest

from gateway import named_path
from gateway.errors import Kind
from gateway.named_path import Named

ONCE, STREAM = Named("v1beta", "m", streams=False), Named("v1", "a/b", streams=True)


@pytest.mark.parametrize(
    "path",
    [
        "/v1beta/models/a:generateContent",
        "/v1/models/a/b@1:streamGenerateContent",
        "/v1beta/models/a:b:generateContent",
    ],
)
def test_a_named_path_is_told_on_as_it_came(path):
    found = named_path.named(path)
    assert found is not None
    assert found.path == path
    assert not named_path.is_foreign(path)


def test_a_servers_address_has_the_servers_name():
    assert ONCE.at("their/model") == "/v1beta/models/their%2Fmodel:generateContent"
    assert STREAM.at("x") == "/v1/models/x:streamGenerateContent?alt=sse"


@pytest.mark.parametrize(
    "path",
    ["/v1beta/models/a%2Fb:generateContent", "/v1beta/models/a:generatecontent", "/v1beta/models/../a:generateContent",
     "/v1beta/models/a/:generateContent", "/v1beta/models/a/./b:generateContent", "/v1beta/models/a\n:generateContent",
     "/v1beta/models/a:generateContent\n", f"/v1beta/models/{'a' * 129}:generateContent", named_path.ROUTE,
     "/v1beta/models/a:countTokens", "/v1beta/models/\u00e4:generateContent", "/v1beta/models/:generateContent",
     "/v2/models/a:generateContent", "/v1beta/tunedModels/a:generateContent", ""],
)  # fmt: skip
def test_other_paths_are_none(path):
    assert named_path.named(path) is None


@pytest.mark.parametrize("path", ["/v1beta/models/a:countTokens", "/v1beta/models", "/v1/models/a:embedContent",
                                  "/v1alpha/models/a:generateContent", "/v1/models/a:predict"])  # fmt: skip
def test_the_rest_of_the_api_is_known_as_such(path):
    assert named_path.is_foreign(path)


@pytest.mark.parametrize("path", ["/v1/models/gpt-4o", "/v1/chat/completions", "/v2/x", "/v1/models", "/v1/x:y%41"])
def test_paths_of_others_are_not(path):
    assert not named_path.is_foreign(path)


@pytest.mark.parametrize("path", ["/v1beta/models", "/v1beta/models/m", "/v1beta/models/a/b", "/v1beta/models/m:x"])
def test_where_models_are_listed(path):
    assert named_path.lists(path)


@pytest.mark.parametrize("path", ["/v1/models", "/v1beta/models/", "/v1beta/modelsx", "/v1alpha/models",
                                  "/v1beta/models/m:generateContent", "/v1beta/tunedModels"])  # fmt: skip
def test_and_where_not(path):
    assert not named_path.lists(path)


@pytest.mark.parametrize("query", ["", "alt=json", "alt=json&alt=json"])
def test_a_query_that_changes_nothing_is_taken(query):
    assert named_path.refuse_query(ONCE, query) is None


@pytest.mark.parametrize("query", ["key=x", "%6bey=x", "access_token=x", "$key=x", "alt=sse", "alt=", "fields=x", "$alt=json",
                                   "x", "alt=json&key", "ALT=json", "=x"])  # fmt: skip
def test_any_other_is_refused_and_no_value_repeated(query):
    told = named_path.refuse_query(ONCE, f"{query}secret")
    assert told is not None
    assert told.kind is Kind.REQUEST_INVALID
    assert "secret" not in told.public.replace("xsecret", "") or query in {"x", "alt=json&key"}


def test_streams_are_asked_for_as_events():
    assert named_path.refuse_query(STREAM, "alt=sse") is None
    for query in ("", "alt=json", "alt=SSE", "alt=sse&alt=json"):
        assert "alt=sse" in named_path.refuse_query(STREAM, query).public


@pytest.mark.parametrize(
    ("query", "brings"), [("key=x", True), ("a=b&%6b%65y=x", True), ("key", True), ("keys=x", False)]
)
def test_a_key_in_an_address_is_seen(query, brings):
    assert named_path.brings_key(query) is brings
