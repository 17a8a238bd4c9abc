"""One gateway for the whole session, because Envoy and the workers take seconds to start; faults get their own."""

import shutil
import ssl
import tempfile
from collections import Counter
from pathlib import Path

import pytest

import provider
from certs import Authority
from clients import anthropic_of, openai_of
from stack import Options, Stack, until
from upstream import Upstream

#: Each starts gateways of its own, with control, Valkey or certificates: minutes together, so they run in .ci/run and by
#: `make integration`, not in `make test`. There, unit and contract tests stand for the same parts.
SLOWER = {
    *("test_revocation", "test_control", "test_key_door", "test_key_lifecycle", "test_own_tokens"),
    *(
        "test_client_certificates",
        "test_door",
        "test_opa",
        "test_sdk_responses",
        "test_sdk_messages",
        "test_advisers",
        "test_answer_rules",
        "test_sdk_answer_rules",
        "test_budgets",
        "test_budgets_under_load",
        "test_gemini_door",
        "test_translation",
        "test_failover_matrix",
        "test_strangers",
        "test_cache",
        "test_cache_attacked",
        "test_mirror",
        "test_dynamic",
    ),
    "test_tokenise",
}


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.integration)
            if item.path.stem in SLOWER:
                item.add_marker(pytest.mark.slow)
    # Several processes take one file each: a long one that begins last would leave the others idle.
    items.sort(key=lambda item: Path(__file__).parent not in item.path.parents)


@pytest.fixture(scope="session")
def short_dir():
    """Makes directories with short names: a socket's path may have 107 bytes, and pytest's own are long."""
    made = []

    def make() -> Path:
        made.append(Path(tempfile.mkdtemp(prefix="ost-")))
        made[-1].chmod(0o755)  # tests of permissions run Envoy as another user, which must get here
        return made[-1]

    yield make
    for directory in made:
        shutil.rmtree(directory)


@pytest.fixture(scope="session")
def upstreams():
    """Two providers, so that a request that lands at the wrong one is seen."""
    servers = {"main": Upstream(provider.default).start(), "other": Upstream(provider.default).start()}
    yield servers
    for server in servers.values():
        server.stop()
    assert not [problem for server in servers.values() for problem in server.problems]


@pytest.fixture(scope="session")
def tls_upstream(short_dir):
    """A provider behind TLS, and the CA that vouches for it."""
    authority = Authority(short_dir(), "provider-ca")
    leaf = authority.issue("provider")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(leaf.cert, leaf.key)
    server = Upstream(provider.default, tls=context).start()
    yield server, authority
    server.stop()


@pytest.fixture(scope="session")
def upstream(upstreams):
    return upstreams["main"]


@pytest.fixture(scope="session")
def stack(short_dir, upstreams, tls_upstream):
    # Silence of 3 s counts as a stalled provider here, so that the tests of stalls end soon; 8 MiB of answer do.
    # The CA of the backend "secure" is a wrong one, on purpose.
    stranger = Authority(short_dir(), "stranger")
    options = Options(limits={"idle_s": 3, "answer_bytes": 8 << 20}, tls_provider=(tls_upstream[0].port, stranger.pem))
    with Stack(short_dir(), upstreams, options) as running:
        yield running
        audit_is_exact(running)
        assert "Traceback" not in running.logs()


def audit_is_exact(running: Stack) -> None:
    """Over the whole session: each exchange that Envoy logged has exactly one audit record, and none has two."""

    def each() -> Counter[str]:
        lines = logged(running)
        recorded = Counter(record["request_id"] for record in running.audit())
        missing = lines - set(recorded)
        # What Envoy refused before authz gave it an id is recorded without one.
        assert len(missing) <= recorded[""], f"exchanges without a record: {sorted(missing)[:10]} ({len(missing)})"
        return recorded

    recorded = until("a record of each exchange", each)
    twice = {request_id: count for request_id, count in recorded.items() if request_id and count > 1}
    assert not twice, f"more than one record: {twice}"


def logged(running: Stack) -> set[str]:
    # Status 0 without a tenant: the client left while Envoy still gathered its body, so authz was never asked.
    lines = (line for line in running.access_log() if line["status"] or line["tenant"])
    return {line["request_id"] for line in lines if line["request_id"]}


@pytest.fixture(scope="session")
def client(stack):
    return stack.client()


# --- suites of translation: each brings its own `gateway`
@pytest.fixture
def theirs(upstreams):
    """The upstream that stands for a provider of another dialect."""
    return upstreams["other"]


@pytest.fixture
def gpt(gateway):
    with openai_of(gateway) as sdk:
        yield sdk


@pytest.fixture
def claude(gateway):
    with anthropic_of(gateway) as sdk:
        yield sdk
