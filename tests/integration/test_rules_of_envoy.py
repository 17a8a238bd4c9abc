"""What Envoy really does: a test for each observable row of design.md, section 1, named in its docstring.

Rows that other suites prove are not repeated: failing closed (test_fail_closed), framing (test_http_bodies,
test_http_edges), cutting and stalling (test_http_endings).
"""

import asyncio
import contextlib
import ssl
import stat

import orjson
import pytest
import yaml

import provider
from asking import AFTER_FAULT, CARD, CHAT, EMAIL, assert_unseen, chat, padded, say, told
from bundle import PROVIDER_KEYS
from certs import Authority
from gateway import contract
from gateway.errors import Kind
from rawhttp import request_bytes
from stack import Options, Stack, until
from upstream import Call, Doorman, Gate

JSON = [("content-type", "application/json")]
SSE = [("content-type", "text/event-stream")]
MIB = 1 << 20
LONG = "A long and harmless sentence, so that something is released before the end comes. " * 8


@pytest.fixture(scope="module")
def config(stack):
    return yaml.safe_load((stack.root / "envoy.yaml").read_text())


@pytest.fixture(scope="module")
def manager(config):
    chain = config["static_resources"]["listeners"][0]["filter_chains"][0]
    return chain["filters"][0]["typed_config"]


def find(node, key):
    """Every value under `key`, anywhere."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key:
                yield value
            yield from find(value, key)
    elif isinstance(node, list):
        for item in node:
            yield from find(item, key)


# --- fail-closed
def test_until_inspect_has_chosen_only_a_refusal_matches(manager):
    """Row: until `inspect` has chosen, the only matching route must be a direct_response 503."""
    for host in manager["route_config"]["virtual_hosts"]:
        *chosen, last = host["routes"]
        assert last["direct_response"]["status"] in (503, 404)  # 404 where the host itself is not served
        for route in chosen:
            if "direct_response" in route:
                continue  # CONNECT, refused too
            assert [h["name"] for h in route["match"]["headers"]] == [contract.ROUTE_HEADER]


def test_nothing_is_allowed_when_a_filter_fails(manager):
    """Row: `failure_mode_allow: false` on every filter that can have it."""
    assert list(find(manager, "failure_mode_allow"))
    assert not any(find(manager, "failure_mode_allow"))


def test_the_admin_is_a_socket_for_its_owner_only(stack, config):
    """Row: Envoy's admin is a UDS 0600, not a loopback port."""
    mode = stack.admin_socket.stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600
    assert "socket_address" not in config["admin"]["address"]
    assert stack.admin("/ready").startswith(b"LIVE")


def test_the_sockets_directory_is_closed(stack):
    """Row: sockets in a 0750 directory, umask 077: whoever can open one can forge metadata."""
    assert stat.S_IMODE(stack.run_dir.stat().st_mode) & 0o027 == 0
    for index in stack.workers:
        assert stat.S_IMODE(stack.socket(index).stat().st_mode) & 0o177 == 0


def test_a_denial_by_authz_passes_inspect_and_is_recorded_once(stack):
    """Row: denials also open an `inspect` stream, which starts with response_headers."""
    answer = stack.client("").post(CHAT, chat("Hello"))
    assert (answer.status, answer.code) == (401, Kind.CREDENTIAL_MISSING)
    assert contract.REFUSED_BY_HEADER not in answer.names
    assert stack.record(answer)["writer"] == "authz"


@pytest.mark.parametrize(
    ("method", "target", "headers", "status"),
    [
        ("POST", "/v1/chat%2Fcompletions", [], 400),
        ("GET", "/v1/models", [("connection", "upgrade"), ("upgrade", "websocket")], 403),
    ],
)
def test_envoys_own_answers_are_json(client, method, target, headers, status):
    """Row: failures answer with an empty body; `local_reply_config` gives JSON for every local reply."""
    answer = client.ask(method, target, b"{}" if method == "POST" else None, [*JSON, *headers])
    assert answer.status == status
    assert answer.header("content-type") == "application/json"
    assert answer.json["error"]["code"]
    assert answer.header("x-should-retry") == "false"


# --- cutting and holding
def test_headers_are_held_until_the_first_words_are_judged(stack, upstream):
    """Row: response headers may be held until the first body was judged; then ImmediateResponse is a clean 403."""

    async def secret_first(call: Call) -> None:
        await call.head(200, SSE)
        await call.chunk(provider.event(provider.delta(f"{CARD} and then ")))
        await call.until_gone()

    marker = upstream.script(secret_first)
    answer = stack.client("strict").post(CHAT, chat(marker, stream=True))
    assert (answer.status, answer.code) == (403, Kind.ANSWER_BLOCKED)
    upstream.one(marker).gone.wait()
    assert_unseen(answer.raw, CARD)


def test_held_text_leaves_without_another_chunk(client, upstream):
    """Row: hold-back needs no extra chunk: what is held at the end of the stream leaves with it."""

    async def ends_with_half_a_card(call: Call) -> None:
        await call.head(200, SSE)
        await call.chunk(provider.event(provider.delta("the number 4111 1111")))
        await call.end()  # no finish_reason, no [DONE]

    answer = say(client, upstream, ends_with_half_a_card, stream=True)
    assert told(answer.body) == "the number 4111 1111"


def test_completion_and_abort_are_told_apart(stack, client, upstream):
    """Row: normal completion and client abort both end the RPC at random ways; the record knows which it was."""
    outcomes = {stack.record(say(client, upstream, stream=bool(i % 2)))["outcome"] for i in range(12)}
    assert outcomes == {"completed"}


def test_only_inspect_is_full_duplex(manager, config):
    """Row: two FULL_DUPLEX filters truncate (envoy#41654); the table "Modes, in one place"."""
    modes = {f["name"]: f["typed_config"]["processing_mode"] for f in manager["http_filters"]
             if "processing_mode" in f["typed_config"]}  # fmt: skip
    assert list(modes) == [contract.INSPECT_FILTER]
    inspect = modes[contract.INSPECT_FILTER]
    assert inspect["request_header_mode"] == inspect["response_header_mode"] == "SEND"
    assert inspect["request_trailer_mode"] == inspect["response_trailer_mode"] == "SEND"
    assert (inspect["request_body_mode"], inspect["response_body_mode"]) == ("BUFFERED", "FULL_DUPLEX_STREAMED")
    for mode in find(config["static_resources"]["clusters"], "processing_mode"):
        assert mode["response_header_mode"] == "SKIP"
        assert mode.get("request_body_mode", "NONE") == mode.get("response_body_mode", "NONE") == "NONE"


# --- bodies and messages
def test_the_body_chooses_the_route(client, upstreams):
    """Row: request headers are SEND and the body BUFFERED: the route is picked after the body was judged."""
    for model, name in (("gpt-test", "main"), ("gpt-other", "other"), ("gpt-test", "main")):
        marker = upstreams[name].script()
        assert client.post(CHAT, chat(marker, model=model)).status == 200
        assert upstreams[name].one(marker).target == f"/base-{name}/v1/chat/completions"


def test_an_edited_body_arrives_with_its_own_length(client, upstream):
    """Row: a BUFFERED body reply must set content-length itself, else 500."""
    marker = upstream.script()
    assert client.post(CHAT, chat(f"{marker} mail {EMAIL} {EMAIL}")).status == 200
    seen = upstream.one(marker)
    assert seen.header("content-length") == str(len(seen.body))
    assert_unseen(seen.body, EMAIL)


def test_a_body_over_the_limit_is_always_413(client, upstream):
    """Row: bodies over a buffer limit give 413, 200 or a hang at random, unless `buffer` stands before ext_authz."""
    marker = upstream.script()
    body = padded(marker, 10 * MIB + 1)
    statuses = [client.ask("POST", CHAT, body, JSON, chunk_bytes=c).status for c in (0, 1 << 16) * 4]
    assert statuses == [413] * 8
    assert upstream.seen(marker) == []


def test_a_body_over_the_limit_is_413_for_strangers_too(stack, upstream):
    """The same before anybody is identified: the buffer filter stands first."""
    answer = stack.client("").ask("POST", CHAT, padded("x", 11 * MIB), JSON, chunk_bytes=1 << 16)
    assert answer.status in (401, 413)


def test_nothing_compressed_is_asked_for(client, upstream):
    """Row: answers may be gzip; `accept-encoding` is removed."""
    marker = upstream.script()
    client.post(CHAT, chat(marker), headers=[("accept-encoding", "gzip")])
    assert "accept-encoding" not in upstream.one(marker).names


# --- routing and attempts
@pytest.fixture(scope="module")
def secure(short_dir, upstreams, tls_upstream):
    """A stack whose backend "secure" speaks TLS behind a doorman; patience and buffers as in production."""
    from control.edge.spec import ClientCertificates, Deadlines  # noqa: PLC0415

    server, authority = tls_upstream
    doorman = Doorman(server).start()
    options = Options(
        workers=1,
        tls_provider=(doorman.port, authority.pem),
        edge={
            "tls": {"client_certificates": ClientCertificates.REQUIRED},
            "deadlines": Deadlines(request_s=1, headers_s=1),
            "hosts": ("localhost",),
        },
    )
    with Stack(short_dir(), upstreams, options) as running:
        yield running, server, doorman
    doorman.stop()


def test_a_provider_behind_tls_gets_its_own_name_and_credential(secure):
    """Row: TLS sockets per sub-cluster work; `:authority` is the provider's."""
    running, server, _ = secure
    marker = server.script()
    assert running.client().post(CHAT, chat(marker, model="gpt-secure")).status == 200
    seen = server.one(marker)
    assert seen.header(
        "host",
    ).startswith("localhost:")
    assert seen.header("x-api-key") == PROVIDER_KEYS["main"]
    assert "authorization" not in seen.names


def test_a_retry_keeps_the_body_and_carries_one_credential(secure):
    """Rows: STREAMED request + retry duplicates the body; headers are shared between attempts."""
    running, server, doorman = secure
    marker = server.script()
    body = orjson.dumps(chat(f"{marker} {'plain words ' * 80_000}", model="gpt-secure"))
    refused = doorman.refused
    doorman.refuse = 1
    doorman.hang_up()
    active = "cluster.be-secure.upstream_cx_active"
    until("an empty pool", lambda: running.envoy_stats(active).get(active) == 0)
    answer = running.client().ask("POST", CHAT, body, JSON)
    assert answer.status == 200
    assert doorman.refused == refused + 1
    seen = server.one(marker)
    assert seen.body == body
    assert [value for name, value in seen.headers if name == "x-api-key"] == [PROVIDER_KEYS["main"]]
    assert running.record(answer)["outcome"] == "completed"
    assert str(running.logged(answer)["attempts"]) == "2"


def test_a_provider_whose_certificate_is_not_trusted_gets_nothing(client, tls_upstream):
    """The session's stack trusts another CA for the backend "secure": no request, no credential, a clean 503."""
    server, _ = tls_upstream
    before = len(server.unmarked)
    answer = client.post(CHAT, chat("Hello", model="gpt-secure"))
    assert (answer.status, answer.code) == (503, Kind.BACKEND_UNAVAILABLE)
    assert len(server.unmarked) == before


@pytest.mark.parametrize(("name", "value"), [("panic", "healthy_panic_threshold"), ("outlier", "outlier_detection")])
def test_clusters_are_configured_to_fail_over(config, name, value):
    """Row: one-host sub-clusters are tried although ejected unless `healthy_panic_threshold: 0`."""
    clusters = {c["name"]: c for c in config["static_resources"]["clusters"]}
    assert value in repr(clusters[contract.SIDECAR_CLUSTER]) or name == "panic"
    for threshold in find(config, "healthy_panic_threshold"):
        assert not threshold.get("value")


def test_any_worker_serves_any_message(stack, client, upstream):
    """Row: no state is shared between filters or processes."""
    answers = [say(client, upstream, stream=bool(i % 2)) for i in range(16)]
    assert {answer.status for answer in answers} == {200}
    until("a record of every worker", lambda: stack.judged_by(answers) == set(stack.workers))


# --- what is shown and what is not
def test_the_configuration_holds_no_secret(stack):
    """Provider keys live in the workers' memory: neither the file nor config_dump has one."""
    dump = stack.admin("/config_dump?include_eds") + (stack.root / "envoy.yaml").read_bytes()
    assert len(dump) > 10_000
    for secret in (*PROVIDER_KEYS.values(), *stack.bundle.keys.values(), stack.bundle.peppers.read_text()[4:40]):
        assert secret.encode() not in dump


def test_logs_and_records_hold_neither_texts_nor_secrets(stack, client, upstream):
    prompt = "a-very-recognisable-sentence"

    async def recognisable(call: Call) -> None:
        await call.json(provider.chat("an-equally-recognisable-answer"))

    marker = upstream.script(recognisable)
    answer = client.post(CHAT + "?key=in-the-query", chat(f"{marker} {prompt} {EMAIL}"))
    stack.record(answer)
    client.post(CHAT, b'{"broken": "a-very-recognisable-sentence')
    kept = stack.logs() + orjson.dumps(stack.audit()).decode() + orjson.dumps(stack.access_log()).decode()
    for text in (prompt, "an-equally-recognisable-answer", EMAIL, "in-the-query", stack.bundle.keys["acme"],
                 *PROVIDER_KEYS.values()):  # fmt: skip
        assert text not in kept


def test_only_listed_headers_of_a_provider_reach_the_client(client, upstream):
    """Upstream response headers by allow-list (no set-cookie, org ids, HSTS or x-ostiary-* of a provider)."""
    foreign = {
        "set-cookie": "a=b", "openai-organization": "org-1", "strict-transport-security": "max-age=0",
        "x-ostiary-route": "oc-other", "x-ostiary-error-code": "rate_limited", "x-request-id": "theirs",
        "server": "theirs", "via": "1.1 theirs", "alt-svc": 'h3=":443"', "link": "</x>; rel=preload",
        "access-control-allow-origin": "*", "x-envoy-upstream-service-time": "7", "cf-ray": "1", "www-authenticate": "x",
        "content-security-policy": "default-src *", "x-unheard-of": "1", "refresh": "0; url=https://evil.example",
    }  # fmt: skip

    async def talkative(call: Call) -> None:
        await call.json(provider.chat(), 200, [*foreign.items(), ("openai-processing-ms", "42")])

    for stream in (False, True):
        answer = say(client, upstream, talkative, stream=stream)
        assert answer.status == 200
        for name, value in foreign.items():
            assert value not in [v for k, v in answer.headers if k == name], name
        assert answer.header("openai-processing-ms") == "42"
        assert "max-age=31536000" in answer.header("strict-transport-security")


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_a_body_end_at_once(stack, client, upstream, status):
    """Row: 204/304/HEAD/content-length 0 arrive as headers with end_of_stream: nothing to hold."""

    async def bare(call: Call) -> None:
        await call.head(status, [("set-cookie", "a=b")])

    answer = say(client, upstream, bare)
    assert (answer.status, answer.ended) == (status, "complete")
    assert "set-cookie" not in answer.names
    assert stack.record(answer)["status"] == status


def test_an_empty_answer_is_no_answer_and_ends_at_once(stack, client, upstream):
    async def empty(call: Call) -> None:
        await call.head(200, JSON, length=0)

    answer = say(client, upstream, empty)
    assert (answer.ended, answer.status) == ("complete", 502)
    assert answer.json["error"]["code"] == "backend_answer_invalid"
    assert stack.record(answer)["status"] == 502


# --- requests that match no route
@pytest.mark.parametrize("key", ["acme", ""])
def test_another_host_is_refused_like_an_unknown_route(secure, upstream, key):
    """ext_authz skips requests without a route: a host that is not served must still get no further."""
    running, _, _ = secure
    marker = upstream.script()
    client = running.client(key)
    wire = request_bytes("POST", CHAT, [*client.headers, *JSON], padded(marker, 300), host="other.example")
    with client.open() as conn:
        conn.send(wire)
        answer = conn.answer()
    assert answer.status in (401, 404, 421)
    assert answer.json["error"]["code"]
    assert upstream.seen(marker) == []


def test_what_envoy_refuses_before_authz_is_recorded_under_its_request_id(stack, client):
    answer = client.ask("POST", CHAT, padded("x", 11 * MIB), JSON, chunk_bytes=1 << 16)
    assert answer.status == 413
    assert stack.record(answer)["status"] == 413


# --- time and memory, with production's patience
def test_a_body_that_trickles_is_408(secure, upstream):
    """Row: `request_timeout` turns hangs into 408."""
    running, _, _ = secure
    client = running.client()
    marker = upstream.script()
    wire = request_bytes("POST", CHAT, [*client.headers, *JSON], padded(marker, 4000))
    with client.open() as conn:
        conn.send(wire[:1000])
        answer = conn.answer(timeout_s=10)
    assert (answer.status, answer.code) == (408, Kind.REQUEST_TIMEOUT)
    assert upstream.seen(marker) == []


def test_headers_that_trickle_are_cut_off(secure):
    """`request_headers_timeout`: slowloris."""
    running, _, _ = secure
    with running.client().open() as conn:
        conn.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nx-slow: ")
        answer = conn.answer(timeout_s=10)
    assert answer.status in (0, 408)
    assert answer.ended != "timeout"


def test_a_slow_reader_costs_envoy_at_most_four_mebibytes(secure, upstream):
    """Row: with default windows one slow reader costs 32 MiB in Envoy and 34 MiB of answer read ahead (billed)."""
    running, _, _ = secure
    read_slowly(running, upstream, readers=1)  # the allocator takes its first 8 MiB at once
    before = running.envoy.rss_bytes()
    readers = 8
    grown, read_ahead = read_slowly(running, upstream, readers)
    assert grown - before <= readers * 4 * MIB
    # Most of it stands in the kernel's socket buffers, 6 MiB a hop at most (tcp_rmem), which windows do not bound.
    assert read_ahead <= readers * 20 * MIB


def read_slowly(running: Stack, upstream, readers: int) -> tuple[int, int]:
    """Envoy's memory and the provider's bytes when `readers` clients have read a few words and no more."""

    async def flood(call: Call) -> None:
        await call.head(200, SSE)
        event = provider.event(provider.delta("words and more words " * 700))
        for _ in range(4000):  # 60 MiB
            await call.chunk(event)
        await call.end()

    markers = [upstream.script(flood) for _ in range(readers)]
    client = running.client(receive_buffer_bytes=16_384)
    sizes: list[int] = []
    with contextlib.ExitStack() as opened:
        conns = [opened.enter_context(client.open()) for _ in markers]
        for conn, marker in zip(conns, markers, strict=True):
            body = orjson.dumps(chat(marker, stream=True))
            conn.send(request_bytes("POST", CHAT, [*client.headers, *JSON], body))
            conn.rest(conn.head(), until=b"words")
        seen = [upstream.one(marker) for marker in markers]

        def standing_still() -> bool:
            sizes.append(sum(len(one.sent) for one in seen))
            return len(sizes) > 50 and len(set(sizes[-50:])) == 1  # a second without progress

        until("back pressure", standing_still, 60)
        memory = running.envoy.rss_bytes()
        for conn in conns:
            conn.abort()
    for one in seen:
        one.gone.wait()
        one.sent.clear()
    return memory, sizes[-1]


# --- client certificates
def test_without_a_client_certificate_nobody_gets_in(secure):
    running, _, _ = secure
    from rawhttp import RawClient  # noqa: PLC0415

    stranger = RawClient(running.port, running.authority.pem, running.client().headers)
    try:
        answer = stranger.ask("GET", "/v1/models")
    except (ssl.SSLError, ConnectionError):
        return
    assert answer.status == 0


def test_a_client_certificate_of_another_authority_is_refused(secure, short_dir):
    running, _, _ = secure
    foreign = Authority(short_dir(), "foreign").issue("client", client=True, uri="spiffe://test/ci")
    try:
        answer = running.client(cert=(foreign.cert, foreign.key)).ask("GET", "/v1/models")
    except (ssl.SSLError, ConnectionError):
        return
    assert answer.status == 0


@pytest.mark.parametrize("forged", ["", "By=spiffe://evil;URI=spiffe://evil/admin"])
def test_the_certificates_header_is_ours_and_stays_inside(secure, upstream, forged):
    """Sanitised XFCC: neither a forged one nor our own reaches a provider."""
    running, _, _ = secure
    marker = upstream.script()
    headers = [("x-forwarded-client-cert", forged)] if forged else []
    assert running.client().post(CHAT, chat(marker), headers=headers).status == 200
    assert "x-forwarded-client-cert" not in upstream.one(marker).names


def test_a_cut_ends_cleanly_and_closes_the_provider_at_once(stack, upstream):
    """Row: FULL_DUPLEX + end_of_stream ends the client's stream cleanly and Envoy closes the upstream at once."""

    async def long(call: Call) -> None:
        await call.head(200, SSE)
        await call.chunk(provider.event(provider.delta(LONG)))
        await heard.passed()
        await call.chunk(provider.event(provider.delta(f"{CARD} then ")))
        await call.until_gone()
        raise ConnectionResetError("closed, as it should be")

    heard = Gate()
    marker = upstream.script(long)
    client = stack.client("strict")
    with client.open() as conn:
        conn.send(request_bytes("POST", CHAT, [*client.headers, *JSON], orjson.dumps(chat(marker, stream=True))))
        answer = conn.rest(conn.head(), until=b"harmless")
        heard.open()
        answer = conn.rest(answer)
    assert answer.ended == "complete"
    assert upstream.one(marker).gone.is_open or not upstream.one(marker).gone.wait()
    assert_unseen(answer.raw, CARD, AFTER_FAULT)


async def test_many_streams_at_once_do_not_mix(stack, upstream):
    """One writer per stream: 24 concurrent streams, each with words of its own."""

    async def own_words(call: Call) -> None:
        word = call.seen.json["messages"][0]["content"].split()[-1]
        await call.sse(provider.stream([f"{word} "] * 30), size=64)

    client = stack.client()

    def one(number: int):
        answer = client.post(CHAT, chat(f"{upstream.script(own_words)} word{number}x", stream=True))
        return told(answer.body) == f"word{number}x " * 30

    assert all(await asyncio.gather(*(asyncio.to_thread(one, n) for n in range(24))))
