"""The list of models: whose words, which models, which page."""

from dataclasses import replace
from urllib.parse import urlencode

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.core.listing import asks_for_models, models_page
from gateway.errors import GatewayError, Kind
from gateway.identity import Obligations
from gateway.policy.model import Backend, Model
from worlds import policy

NAMES = ("a", "b/c", "d", "e", "f")


def _held(names=NAMES, **model):
    base = policy(models=frozenset(names))
    return replace(base, models={name: Model(name=name, backend="demo", **model) for name in (*names, "hidden")})


def _told(target, held=None, **more):
    held = held or _held()
    return orjson.loads(models_page(target, held, held.tenants["acme"], **more).body)


def test_googles_path_answers_in_googles_words():
    told = _told("/v1beta/models", _held(max_output_tokens=64))
    assert told["models"][1] == {
        "name": "models/b/c",
        "displayName": "b/c",
        "supportedGenerationMethods": ["generateContent"],
        "outputTokenLimit": 64,
    }
    assert [each["displayName"] for each in told["models"]] == [*NAMES]
    assert told.keys() == {"models"}
    assert _told("/v1beta/models/b/c", _held(max_output_tokens=64)) == told["models"][1]


def test_the_path_of_both_reads_as_either():
    told = _told("/v1/models")
    assert told.keys() == {"object", "data", "models"}
    assert [each["id"] for each in told["data"]] == [*NAMES]
    assert told["models"] == _told("/v1beta/models")["models"]
    one = _told("/v1/models/b/c")
    assert one == {**told["data"][1], **told["models"][1]}


def test_a_model_that_no_backend_answers_for_at_that_door_says_so():
    held = _held()
    other = Backend(name="demo", host="127.0.0.1", port=1, tls=False, dialect="none-of-them")
    told = _told("/v1beta/models/a", replace(held, backends={"demo": other}))
    assert told["supportedGenerationMethods"] == []


@pytest.mark.parametrize("path", ["/v1/models", "/v1beta/models"])
def test_what_the_caller_may_not_use_is_not_there(path):
    few = Obligations(models=frozenset({"d", "hidden"}))
    assert [each["displayName"] for each in _told(path, obligations=few)["models"]] == ["d"]
    for name in ("a", "hidden", "nowhere", "a/", ""):
        with pytest.raises(GatewayError) as refused:
            _told(f"{path}/{name}", obligations=few)
        assert refused.value.kind is Kind.MODEL_UNKNOWN


@given(
    names=st.sets(st.text("ab0-./:_", min_size=1, max_size=6), max_size=12),
    size=st.integers(1, 14),
    path=st.sampled_from(["/v1/models", "/v1beta/models"]),
)
def test_pages_are_the_list_whatever_their_size(names, size, path):
    held, seen, token = _held(tuple(names)), [], ""
    for _ in range(len(names) + 1):
        told = _told(f"{path}?{urlencode({'pageSize': size, 'pageToken': token})}", held)
        assert len(told["models"]) <= size
        assert len(told.get("data", told["models"])) == len(told["models"])
        seen += [each["displayName"] for each in told["models"]]
        token = told.get("nextPageToken")
        if token is None:
            break
        assert len(told["models"]) == size
    assert seen == sorted(names)


def test_pages_have_googles_sizes_at_its_own_path_and_none_at_openais():
    held = _held(tuple(f"m{number:04}" for number in range(1001)))
    for query, size in {"": 50, "?pageSize=0": 50, "?pageSize=2000": 1000, "?alt=json": 50}.items():
        told = _told(f"/v1beta/models{query}", held)
        assert (len(told["models"]), told["nextPageToken"]) == (size, f"m{size - 1:04}")
    assert len(_told("/v1/models?limit=3", held)["data"]) == 1001


@pytest.mark.parametrize("size", ["-1", "x", "1.5", "", "9" * 11, "\u0663"])
@pytest.mark.parametrize("path", ["/v1/models", "/v1beta/models"])
def test_a_size_that_is_none_is_refused(path, size):
    with pytest.raises(GatewayError) as refused:
        _told(f"{path}?{urlencode({'pageSize': size})}")
    assert (refused.value.kind, refused.value.param) == (Kind.REQUEST_INVALID, "pageSize")


@pytest.mark.parametrize("query", ["filter=x", "key=secret", "alt=sse", "fields=models", "$alt=json", "x"])
def test_other_parameters_are_refused_at_googles_path_and_their_values_not_repeated(query):
    with pytest.raises(GatewayError) as refused:
        _told(f"/v1beta/models?{query}")
    assert refused.value.kind is Kind.REQUEST_INVALID
    assert "secret" not in refused.value.public


@pytest.mark.parametrize(
    ("path", "asks"),
    [
        ("/v1/models", True),
        ("/v1/models/a:b", True),
        ("/v1beta/models/a", True),
        ("/v1/models/a:generateContent", False),
        ("/v1beta/models/a:generateContent", False),
        ("/v1beta/models/", False),
        ("/v1/chat/completions", False),
    ],
)
def test_which_paths_the_gateway_answers_itself(path, asks):
    assert asks_for_models(path) is asks
