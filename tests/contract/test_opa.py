"""One decision by whoever evaluates: the golden corpus by the library and by a real OPA server, and any input by both."""

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rego
from authz.opa.library import Engine
from tools.golden_opa import corpora, decided, policy_of

CORPORA = corpora()
CASES = [
    pytest.param(path, case, id=f"{path.parent.name}: {case['name']}")
    for path, corpus in CORPORA.items()
    for case in corpus["cases"]
]


@pytest.fixture(scope="module")
def engines():
    held = {path: Engine(policy_of(corpus)) for path, corpus in CORPORA.items()}
    yield held
    for engine in held.values():
        engine.close()


@rego.needs_library
@pytest.mark.parametrize(("path", "case"), CASES)
def test_the_library_decides_as_it_did(engines, path, case):
    assert decided(engines[path], case["input"]) == case["decision"]


@pytest.fixture(scope="module")
def server():
    """A server that holds each corpus under a package of its own: the sources name one and the same."""
    with rego.server() as url:
        for path, corpus in CORPORA.items():
            opa = policy_of(corpus)
            apart = package_of(path)
            for name, text in opa.sources.items():
                moved = text.replace(f"package {opa.package}", f"package {apart}").replace(
                    "data.tenants", f"data.{path.parent.name}.tenants"
                )
                rego.put(url, f"policies/{path.parent.name}/{name}", moved, "text/plain")
            rego.put(url, f"data/{path.parent.name}", opa.data)
        yield url


def package_of(path):
    return f"golden.{path.parent.name}"


@pytest.mark.slow
@pytest.mark.parametrize(("path", "case"), CASES)
def test_a_server_decides_as_the_library_did(server, path, case):
    assert rego.evaluated(server, package_of(path), case["input"]) == case["decision"]


WORDS = st.sampled_from(
    ["acme", "globex", "research", "support", "tokens:unlimited", "llm:chat", "", "ü\u2028", "1.40.0"]
)
ADDRESSES = st.ip_addresses().map(str) | st.sampled_from(["10.0.0.1", "127.0.0.1", "", "10.0.0.0/8"])
PATHS = st.sampled_from(["/v1/embeddings", "/v1/chat/completions", "/v1/models", "/v1/models/a"]) | st.text(max_size=20)
ANSWERS = st.sampled_from(
    sorted(
        {
            case["input"]["caller"]["principal"]
            for corpus in CORPORA.values()
            for case in corpus["cases"]
            if case["input"]
        }
    )
)
DOCUMENTS = st.fixed_dictionaries(
    {
        "version": st.just(1),
        "caller": st.fixed_dictionaries(
            {
                "tenant": WORDS | st.text(max_size=8),
                "principal": ANSWERS,
                "key_id": st.just("k1"),
                "method": st.sampled_from(["api_key", "jwt", "opaque", "mtls"]),
                "client": st.from_regex(r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}(-[a-z0-9]{1,5})?\Z") | WORDS,
                "scopes": st.lists(WORDS, max_size=4),
                "groups": st.lists(WORDS, max_size=4),
                "certificate": st.just(""),
            }
        ),
        "request": st.fixed_dictionaries(
            {"method": st.just("POST"), "path": PATHS}, optional={"size": st.integers(0, 2**40)}
        ),
        "source": st.fixed_dictionaries({"address": ADDRESSES}),
        "time": st.integers(0, 4_000_000_000),
    }
)


@pytest.mark.slow
@rego.needs_library
@pytest.mark.parametrize("path", CORPORA, ids=lambda path: path.parent.name)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=DOCUMENTS)
def test_library_and_server_decide_alike_whatever_is_asked(engines, server, path, document):
    document = orjson.loads(orjson.dumps(document))
    assert decided(engines[path], document) == rego.evaluated(server, package_of(path), document)
