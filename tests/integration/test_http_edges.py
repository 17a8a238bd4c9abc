"""Conformance of everything around the body: methods, paths, credentials, smuggled headers, framing tricks, TLS, h2."""

import socket
import ssl

import httpx
import pytest

from asking import CHAT, chat, padded, say
from bundle import PROVIDER_KEYS
from gateway.errors import Kind
from rawhttp import request_bytes

JSON = [("content-type", "application/json")]


# --- methods ------------------------------------------------
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
def test_another_method_is_405_and_names_the_right_one(client, upstream, stack, method):
    marker = upstream.script()
    answer = client.ask(method, CHAT, padded(marker, 300), JSON)
    assert (answer.status, answer.code) == (405, Kind.METHOD_NOT_ALLOWED)
    assert answer.header("allow") == "POST"
    assert upstream.seen(marker) == []
    assert stack.record(answer)["method"] == method


@pytest.mark.parametrize("target", [CHAT, "/v1/models"])
def test_head_is_refused_without_a_body(client, stack, target):
    answer = client.ask("HEAD", target)
    assert (answer.status, answer.body) == (405, b"")
    assert stack.record(answer)["outcome"] == "refused"


def test_the_list_of_models_is_what_the_tenant_may_use(stack):
    assert {m["id"] for m in stack.client("acme").ask("GET", "/v1/models").json["data"]} >= {
        "gpt-test",
        "gpt-other",
    }
    answer = stack.client("narrow").ask("GET", "/v1/models")
    assert [m["id"] for m in answer.json["data"]] == ["gpt-test"]
    assert stack.record(answer)["outcome"] == "completed"


def test_one_model_can_be_looked_up(stack):
    assert stack.client().ask("GET", "/v1/models/gpt-test").json["id"] == "gpt-test"
    hidden = stack.client("narrow").ask("GET", "/v1/models/gpt-other")
    assert (hidden.status, hidden.code) == (404, Kind.MODEL_UNKNOWN)


def test_connect_is_refused(client):
    with client.open() as conn:
        conn.send(b"CONNECT localhost:443 HTTP/1.1\r\nhost: localhost:443\r\n\r\n")
        assert conn.answer(timeout_s=5).status in (400, 401, 403, 404, 405)


# --- paths ------------------------------------------------
TRICKS = [
    "//v1/chat/completions", "/v1//chat/completions", "/v1/chat/completions/", "/v1/chat%2Fcompletions",
    "/v1/chat%2fcompletions", "/v1/chat%5Ccompletions", "/v1\\chat\\completions", "/v1/x/../chat/completions",
    "/v1/x/%2e%2e/chat/completions", "/../v1/chat/completions", "/v1/./chat/completions", "/v1/chat/completions/..",
    "/v1/chat/completions;x=1", "/V1/chat/completions", "/v1/chat/completions%00", "/v1/chat/completions%20",
    "/v1/chat/completion%73", "/v1/chat/completions%3fa", "/v1/chat/completions#x", "/v1/chat/completions?x=1#y",
    "/v1/chat/completions/../../admin", "/v1/models/../chat/completions", "/v1/models/..%2fchat/completions",
    "http://localhost/v1/chat/completions", "http://other.example/v1/chat/completions", "*", "/", "",
    "/v1/chat/completions?" + "q" * 4000, "/%76%31/chat/completions", "/v1/chat/completions\u00e9",
]  # fmt: skip


@pytest.mark.parametrize("target", TRICKS)
def test_a_path_trick_is_refused_or_means_the_canonical_path(client, upstream, target):
    """Whatever spelling passes, the provider sees the one path that was judged, without the query."""
    marker = upstream.script()
    answer = client.ask("POST", target, padded(marker, 300), JSON)
    # 0: what the codec itself refuses is closed without words, see test_what_is_no_http_ends_without_words.
    assert answer.status in (0, 200, 400, 403, 404), answer.raw
    seen = upstream.seen(marker)
    assert len(seen) == (answer.status == 200)
    assert all(one.target == "/base-main/v1/chat/completions" for one in seen)


@pytest.mark.parametrize("target", ["/v1/chat%2Fcompletions", "/v1/chat%5Ccompletions"])
def test_escaped_slashes_are_rejected(client, target):
    answer = client.ask("POST", target, b"{}", JSON)
    assert answer.status == 400


@pytest.mark.parametrize("target", ["/v1/nowhere", "/v1/chat", "/", "/admin", "/v1/chat/completions/x", "/v1/models/"])
def test_an_unknown_route_is_404_in_json(client, stack, target):
    answer = client.post(target, {})
    assert (answer.status, answer.code) == (404, Kind.ROUTE_UNKNOWN)
    assert stack.record(answer)["code"] == Kind.ROUTE_UNKNOWN


def test_a_query_is_allowed_and_goes_nowhere(client, upstream):
    marker = upstream.script()
    answer = client.post(CHAT + "?api-version=2024-01-01&key=secret", chat(marker))
    assert answer.status == 200
    assert "secret" not in upstream.one(marker).target


# --- credentials ------------------------------------------------
def test_credentials_are_checked_before_anything_is_told(stack, upstream):
    nobody = stack.client("")
    for target in (CHAT, "/v1/nowhere", "/v1/models"):
        answer = nobody.post(target, {})
        assert (answer.status, answer.code) == (401, Kind.CREDENTIAL_MISSING)
        assert answer.header("www-authenticate") == 'Bearer realm="ostiary"'
        assert stack.record(answer)["tenant"] == ""


def test_the_key_may_come_as_x_api_key(stack, upstream):
    marker = upstream.script()
    answer = stack.client("").post(CHAT, chat(marker), headers=[("x-api-key", stack.bundle.keys["acme"])])
    assert answer.status == 200
    assert "x-api-key" not in upstream.one(marker).names


@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        ([("authorization", "Bearer {acme}"), ("authorization", "Bearer {acme}")], Kind.CREDENTIAL_AMBIGUOUS),
        (
            [("authorization", "Bearer {acme}"), ("authorization", "Bearer {narrow}")],
            Kind.CREDENTIAL_AMBIGUOUS,
        ),
        ([("authorization", "Bearer {acme},Bearer {acme}")], Kind.CREDENTIAL_AMBIGUOUS),
        ([("authorization", "Bearer {acme}"), ("x-api-key", "{acme}")], Kind.CREDENTIAL_AMBIGUOUS),
        ([("x-api-key", "{acme}"), ("x-api-key", "{acme}")], Kind.CREDENTIAL_AMBIGUOUS),
        ([("authorization", "Basic {acme}")], Kind.CREDENTIAL_INVALID),
        ([("authorization", "{acme}")], Kind.CREDENTIAL_INVALID),
        ([("authorization", "Bearer")], Kind.CREDENTIAL_INVALID),
        ([("authorization", "")], None),
        ([("authorization", "Bearer {acme}x")], Kind.CREDENTIAL_INVALID),
        ([("authorization", "Bearer {disabled}")], Kind.CREDENTIAL_INVALID),
        ([("authorization", "Bearer {expired}")], Kind.CREDENTIAL_EXPIRED),
        ([("cookie", "authorization=Bearer {acme}")], Kind.CREDENTIAL_MISSING),
        ([("proxy-authorization", "Bearer {acme}")], Kind.CREDENTIAL_MISSING),
    ],
)
def test_a_doubtful_credential_is_401(stack, upstream, headers, kind):
    marker = upstream.script()
    sent = [(name, value.format(**stack.bundle.keys)) for name, value in headers]
    answer = stack.client("").post(CHAT, chat(marker), headers=sent)
    assert answer.status == 401
    if kind:
        assert answer.code == kind
    assert answer.header("x-should-retry") == "false"
    assert upstream.seen(marker) == []
    assert stack.record(answer)["writer"] == "authz"
    assert not any(key.encode() in answer.raw for key in stack.bundle.keys.values())


def test_a_route_or_model_outside_the_allow_list_is_403(stack, upstream):
    marker = upstream.script()
    narrow = stack.client("narrow")
    route = narrow.post("/v1/embeddings", {"model": "gpt-test", "input": marker})
    assert (route.status, route.code) == (403, Kind.ROUTE_FORBIDDEN)
    model = narrow.post(CHAT, chat(marker, model="gpt-other"))
    assert (model.status, model.code) == (403, Kind.MODEL_FORBIDDEN)
    assert upstream.seen(marker) == []
    assert {stack.record(route)["code"], stack.record(model)["code"]} == {
        "route_forbidden",
        "model_forbidden",
    }


# --- headers that only we may set ------------------------------------------------
SMUGGLED = {
    "x-ostiary-route": "oc-other",
    "X-Ostiary-Tenant": "narrow",
    "x-ostiary-refused-by": "authz",
    "x_ostiary_route": "oc-other",
    "x-envoy-retry-on": "5xx",
    "x-envoy-max-retries": "9",
    "x-envoy-upstream-rq-timeout-ms": "1",
    "x-envoy-original-path": "/admin",
    "x-envoy-decorator-operation": "x",
    "x-envoy-force-trace": "1",
    "x-forwarded-client-cert": "By=spiffe://evil;URI=spiffe://evil/admin",
    "x-forwarded-for": "127.0.0.1",
    "x-forwarded-host": "evil.example",
    "x-forwarded-proto": "http",
    "forwarded": "for=127.0.0.1",
    "api-key": "client-secret",
    "cookie": "session=client-secret",
    "proxy-authorization": "Basic client-secret",
    "openai-organization": "org-evil",
    "openai-project": "proj-evil",
}


@pytest.mark.parametrize("name", SMUGGLED)
def test_a_smuggled_header_changes_nothing_and_never_arrives(stack, client, upstream, upstreams, name):
    marker = upstream.script()
    answer = client.post(CHAT, chat(marker), headers=[(name, SMUGGLED[name])])
    assert answer.status in (0, 200, 400), answer.raw
    if answer.status == 200:
        seen = upstream.one(marker)
        assert name.lower() not in seen.names
        assert b"client-secret" not in repr(seen.headers).encode()
        assert stack.record(answer)["tenant"] == "acme"


@pytest.mark.parametrize("name", ["x-goog-api-key", "x-api-key"])
def test_a_second_credential_beside_the_first_is_refused(client, upstream, name):
    marker = upstream.script()
    answer = client.post(CHAT, chat(marker), headers=[(name, "client-secret")])
    assert (answer.status, answer.header("x-ostiary-error-code")) == (401, "credential_ambiguous")
    assert upstream.seen(marker) == []


def test_the_provider_gets_its_own_credential_host_and_path_only(stack, client, upstream):
    marker = upstream.script()
    client.post(CHAT, chat(marker), headers=[("user-agent", "test"), ("x-request-id", "client-chosen-id")])
    seen = upstream.one(marker)
    assert seen.header("authorization") == f"Bearer {PROVIDER_KEYS['main']}"
    assert seen.header("host") == f"127.0.0.1:{upstream.port}"
    assert seen.target == "/base-main/v1/chat/completions"
    assert not [name for name in seen.names if name.startswith(("x-ostiary", "x-envoy", "x-forwarded"))]
    assert stack.bundle.keys["acme"] not in repr(seen.headers)


def test_two_backends_never_see_each_others_credential(client, upstreams):
    other = upstreams["other"]
    marker = other.script()
    assert client.post(CHAT, chat(marker, model="gpt-other")).status == 200
    assert other.one(marker).header("authorization") == f"Bearer {PROVIDER_KEYS['other']}"


def test_a_backend_without_a_credential_gets_none(client, upstream):
    marker = upstream.script()
    assert client.post(CHAT, chat(marker, model="gpt-open")).status == 200
    assert "authorization" not in upstream.one(marker).names


def test_a_backend_whose_credential_is_missing_is_503_and_not_called(stack, client, upstream):
    marker = upstream.script()
    answer = client.post(CHAT, chat(marker, model="gpt-keyless"))
    assert (answer.status, answer.code) == (503, Kind.BACKEND_UNAVAILABLE)
    assert upstream.seen(marker) == []
    assert stack.record(answer)["outcome"] in ("refused", "failed")


# --- upgrades ------------------------------------------------
WEBSOCKET = [
    ("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
]  # fmt: skip


@pytest.mark.parametrize("target", [CHAT, "/v1/realtime", "/v1/models"])
@pytest.mark.parametrize("upgrade", ["websocket", "h2c"])
def test_an_upgrade_is_refused(client, upgrade, target):
    headers = [(k, upgrade if k == "upgrade" else v) for k, v in WEBSOCKET]
    answer = client.ask("GET", target, None, headers)
    assert answer.status in (400, 403, 404, 405, 426) or (target == "/v1/models" and upgrade == "h2c")
    assert answer.status != 101


# --- framing tricks ------------------------------------------------
def _wire(client, marker: str, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"POST {CHAT} HTTP/1.1", "host: localhost", f"authorization: {client.headers[0][1]}"]
    return "\r\n".join([*lines, "content-type: application/json", *headers, "", ""]).encode("latin-1") + body


@pytest.mark.parametrize(
    "headers",
    [
        ["content-length: {n}", "transfer-encoding: chunked"],
        ["transfer-encoding: chunked", "content-length: {n}"],
        ["content-length: {n}", "content-length: 1"],
        ["content-length: {n}", "Content-Length : {n}"],
        ["content-length: +{n}"],
        ["content-length: {n}, {n}"],
        ["content-length: 0x{n}"],
        ["content-length: -1"],
        ["content-length: 99999999999999999999"],
        ["transfer-encoding: gzip, chunked"],
        ["transfer-encoding: chunked, chunked"],
        ["transfer-encoding: identity"],
        ["transfer-encoding:\x0bchunked"],
        ["content-length: {n}", "x-nul: a\x00b"],
        ["content-length: {n}", "bad name: x"],
    ],
)
def test_ambiguous_framing_never_reaches_the_provider(client, upstream, headers):
    """Request smuggling (RFC 9112, sections 6.3 and 11.2): refuse what two parsers could read differently."""
    marker = upstream.script()
    body = padded(marker, 300)
    smuggled = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if "chunked" in "".join(headers) else body
    wire = _wire(client, marker, *(h.format(n=len(body)) for h in headers), body=smuggled)
    with client.open() as conn:
        conn.send(wire)
        answer = conn.answer(timeout_s=10)
    assert answer.status in (0, 400, 408, 411, 413, 501), answer.raw
    assert upstream.seen(marker) == []


@pytest.mark.parametrize("size", [b"g", b"-1", b"0x10", b"1 2", b"ffffffffffffffffff", b""])
def test_a_bad_chunk_size_never_reaches_the_provider(client, upstream, size):
    marker = upstream.script()
    wire = _wire(client, marker, "transfer-encoding: chunked", body=b"%s\r\n%s\r\n" % (size, marker.encode()))
    with client.open() as conn:
        conn.send(wire)
        answer = conn.answer(timeout_s=3)
    assert answer.status in (0, 400, 413)
    assert upstream.seen(marker) == []


def test_pipelined_requests_are_answered_in_order(client, upstream):
    markers = [upstream.script() for _ in range(3)]
    wires = [request_bytes("POST", CHAT, [*client.headers, *JSON], padded(m, 300)) for m in markers]
    with client.open() as conn:
        conn.send(b"".join(wires))
        assert [conn.answer().status for _ in markers] == [200, 200, 200]
    assert [len(upstream.seen(m)) for m in markers] == [1, 1, 1]


@pytest.mark.parametrize("count", [1, 200])
def test_headers_beyond_the_bounds_are_refused(client, upstream, count):
    marker = upstream.script()
    headers = [(f"x-big-{i}", "v" * (200_000 // count)) for i in range(count)]
    with client.open() as conn:
        conn.send(request_bytes("POST", CHAT, [*client.headers, *JSON, *headers], padded(marker, 300)))
        answer = conn.answer(timeout_s=10)
    assert answer.status in (0, 400, 431)
    assert upstream.seen(marker) == []


@pytest.mark.parametrize("wire", [b"\x00\x01\x02 nonsense \r\n\r\n", b"POST * HTTP/1.1\r\nhost: localhost\r\n\r\n"])
def test_what_is_no_http_ends_without_words(client, wire):
    """Envoy's 400 would pass `inspect`, whose answer comes after the codec has closed: the client sees the end."""
    with client.open() as conn:
        conn.send(wire)
        answer = conn.answer(timeout_s=10)
    assert answer.status in (0, 400)
    assert answer.ended != "timeout"


@pytest.mark.parametrize("line", ["x-odd: a\rb: c", "x-odd: a\r\n b: c", "host: other.example"])
def test_what_is_tolerated_reaches_the_provider_in_one_reading(client, upstream, line):
    """Folded lines and bare CRs may be refused or replaced (RFC 9112, sections 2.2 and 5.2), never passed on."""
    marker = upstream.script()
    body = padded(marker, 300)
    with client.open() as conn:
        conn.send(_wire(client, marker, "content-length: 300", line, body=body))
        assert conn.answer(timeout_s=10).status in (0, 200, 400)
    for seen in upstream.seen(marker):
        assert seen.header("host") == f"127.0.0.1:{upstream.port}"
        assert not [value for _, value in seen.headers if "\r" in value or "\n" in value]
        assert "b" not in seen.names


# --- TLS ------------------------------------------------
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2])
def test_only_tls_1_3_is_spoken(stack, version):
    context = ssl.create_default_context(cafile=str(stack.authority.pem))
    context.maximum_version = version
    with (
        socket.create_connection(("127.0.0.1", stack.port), 10) as raw,
        pytest.raises((ssl.SSLError, ConnectionError)),
        context.wrap_socket(raw, server_hostname="localhost"),
    ):
        pass


def test_plaintext_gets_no_http(stack):
    with socket.create_connection(("127.0.0.1", stack.port), 10) as raw:
        raw.sendall(b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n")
        raw.settimeout(10)
        try:
            received = raw.recv(100)
        except ConnectionError:
            received = b""
    assert not received.startswith(b"HTTP/")


# --- HTTP/2 ------------------------------------------------
@pytest.fixture(scope="module")
def h2(stack):
    context = ssl.create_default_context(cafile=str(stack.authority.pem))
    headers = {"authorization": f"Bearer {stack.bundle.keys['acme']}"}
    base = f"https://localhost:{stack.port}"
    with httpx.Client(http2=True, http1=False, verify=context, base_url=base, headers=headers, timeout=20) as client:
        yield client


def test_http2_answers_like_http1(h2, upstream, stack):
    marker = upstream.script()
    answer = h2.post(CHAT, json=chat(marker))
    assert (answer.http_version, answer.status_code) == ("HTTP/2", 200)
    assert stack.record(answer.headers["x-request-id"])["status"] == 200
    assert upstream.one(marker).target == "/base-main/v1/chat/completions"


def test_http2_streams(h2, upstream):
    marker = upstream.script()
    with h2.stream("POST", CHAT, json=chat(marker, stream=True)) as answer:
        assert b"".join(answer.iter_bytes()).endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("name", ["x-ostiary-route", "x-envoy-retry-on", "x-forwarded-client-cert"])
def test_http2_smuggles_no_better(h2, upstream, name):
    marker = upstream.script()
    answer = h2.post(CHAT, json=chat(marker), headers={name: SMUGGLED[name]})
    assert answer.status_code == 200
    assert name not in upstream.one(marker).names


def test_http2_with_two_credentials_is_401(h2, stack, upstream):
    marker = upstream.script()
    answer = h2.post(CHAT, json=chat(marker), headers=[("authorization", "Bearer x"), ("authorization", "Bearer y")])
    assert answer.status_code == 401
    assert upstream.seen(marker) == []


# --- what every answer carries ------------------------------------------------
@pytest.mark.parametrize("target", [CHAT, "/v1/models", "/v1/nowhere"])
def test_every_answer_carries_the_security_headers_and_a_request_id(client, upstream, target):
    marker = upstream.script()
    answer = client.post(target, chat(marker))
    assert "max-age=" in (answer.header("strict-transport-security") or "")
    assert answer.header("x-content-type-options") == "nosniff"
    assert answer.header("x-request-id")
    assert not [name for name in answer.names if name.startswith("x-envoy")]
    assert "x-ostiary-refused-by" not in answer.names


def test_the_server_does_not_say_what_it_is(client, upstream):
    assert "envoy" not in (say(client, upstream).header("server") or "").lower()
