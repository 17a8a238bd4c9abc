"""GETs and kept lines to an identity provider on loopback: bounded, verified, redirected nowhere."""

import asyncio
import socket
import ssl
from contextlib import asynccontextmanager

import pytest

from certs import Authority
from clocks import ManualClock
from gateway import fetch
from gateway.fetch import FetchError, Line, StatusError, forbidden, get


@asynccontextmanager
async def provider(answer, *, tls=None):
    """A server that sends the parts to everybody (None: hangs), keeps what it was asked, and then closes."""
    heads = []

    async def serve(reader, writer):
        try:
            heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
            for part in answer if isinstance(answer, list) else [answer]:
                if part is None:
                    await reader.read()  # until the client gives up
                    break
                writer.write(part)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        scheme = "https" if tls else "http"
        yield f"{scheme}://localhost:{server.sockets[0].getsockname()[1]}", heads


def http(body, status="200 OK", *headers):
    return "\r\n".join([f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers, "", ""]).encode() + body


async def test_a_document_is_read_whole():
    async with provider(http(b'{"keys":[]}')) as (url, heads):
        assert await get(url + "/a/jwks?b=c", None, 100) == b'{"keys":[]}'
    head = heads[0].lower()
    assert head.startswith("get /a/jwks?b=c http/1.1\r\n")
    assert f"host: {url.removeprefix('http://')}\r\n" in head
    assert "accept-encoding: identity\r\n" in head
    assert "authorization" not in head


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_loopback_may_be_named_either_way(host):
    async with provider(http(b"{}")) as (url, _):
        assert await get(url.replace("localhost", host), None, 100) == b"{}"


REFUSED = {
    "too large": (http(b"x" * 101), "answered more than 100 bytes"),
    "endless": ([b"HTTP/1.1 200 OK\r\n\r\n", *[b"x" * 65536] * 50], "answered more than 100 bytes"),
    "endless in chunks": ([b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", *[b"40\r\n" + b"x" * 64 + b"\r\n"] * 50], "more than 100"),
    "moved": (http(b"", "302 Found", "location: http://127.0.0.1:1/"), "answered 302"),
    "failing": (http(b"{}", "500 Oops"), "answered 500"),
    "absent": (http(b"{}", "404 Not Found"), "answered 404"),
    "compressed": (http(b"{}", "200 OK", "content-encoding: gzip"), "answered compressed"),
    "cut": (http(b"x" * 50)[:-10], "failed: RemoteProtocolError"),
    "no HTTP": (b"SSH-2.0-OpenSSH\r\n\r\n", "failed: RemoteProtocolError"),
    "silent": (b"", "failed: RemoteProtocolError"),
    "endless head": (b"HTTP/1.1 200 OK\r\nx: " + b"x" * 200_000, "failed: RemoteProtocolError"),
}  # fmt: skip


@pytest.mark.parametrize(("answer", "why"), REFUSED.values(), ids=REFUSED)
async def test_every_other_answer_is_refused(answer, why):
    async with provider(answer) as (url, _):
        with pytest.raises(FetchError, match=why):
            await get(url, None, 100)


async def test_nobody_there_is_told():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(FetchError, match="failed: ConnectError"):
            await get(f"http://127.0.0.1:{closed.getsockname()[1]}/", None, 100)


async def test_a_provider_that_hangs_meets_the_deadline(monkeypatch):
    monkeypatch.setattr(fetch, "DEADLINE_S", 0.05)
    async with provider([b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n12", None]) as (url, _):
        with pytest.raises(FetchError, match=r"no answer within 0\.05 s"):
            await get(url, None, 100)


@pytest.mark.parametrize(
    "url", ["http://idp.example.com/", "file:///etc/passwd", "https://169.254.169.254/", "https://a@b/", ""]
)
async def test_other_urls_are_not_even_looked_up(url):
    with pytest.raises(FetchError, match="the URL is not allowed"):
        await get(url, None, 100)


async def test_a_proxy_of_the_environment_is_not_asked(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with provider(http(b"{}")) as (url, _):
        assert await get(url, None, 100) == b"{}"


# --- names ----
def resolving(monkeypatch, *addresses):
    async def getaddrinfo(_self, _host, port, **_):
        if not addresses:
            raise socket.gaierror
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(type(asyncio.get_running_loop()), "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["169.254.169.254"], ["192.0.2.1", "169.254.169.254"], ["::1"], ["0.0.0.0"]]
)
async def test_a_public_name_that_leads_inside_is_refused(monkeypatch, addresses):
    resolving(monkeypatch, *addresses)
    with pytest.raises(FetchError, match="an address that is not allowed"):
        await get("https://idp.example.com/jwks", None, 100)


async def test_a_name_without_address_is_told(monkeypatch):
    resolving(monkeypatch)
    with pytest.raises(FetchError, match="does not resolve"):
        await get("https://idp.example.com/jwks", None, 100)


async def test_the_next_address_is_tried_when_one_refuses(monkeypatch):
    async with provider(http(b"{}")) as (url, _):
        resolving(monkeypatch, "127.0.0.2", "127.0.0.1")
        assert await get(url, None, 100) == b"{}"


@pytest.mark.parametrize(
    ("address", "verdict"),
    [
        ("192.0.2.7", False),
        ("10.1.2.3", False),
        ("2001:db8::1", False),
        ("127.0.0.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("169.254.169.254", True),
        ("::ffff:169.254.169.254", True),
        ("64:ff9b::a9fe:a9fe", True),
        ("fe80::1%eth0", True),
        ("fd00:ec2::254", True),
        ("100.100.100.200", True),
        ("168.63.129.16", True),
        ("0.0.0.0", True),
        ("::", True),
        ("224.0.0.1", True),
        ("nonsense", True),
    ],
)
def test_addresses_are_judged(address, verdict):
    assert forbidden(address, loopback=False) is verdict


def test_loopback_is_allowed_where_the_policy_names_it():
    assert not forbidden("127.0.0.1", loopback=True)
    assert not forbidden("::1", loopback=True)
    assert forbidden("169.254.169.254", loopback=True)


# --- TLS ----
def server_side(pair):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    return context


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("certs"))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_a_certificate_of_the_issuers_ca_is_trusted(authority, host):
    async with provider(http(b"{}"), tls=server_side(authority.issue("server"))) as (url, _):
        assert await get(url.replace("localhost", host), str(authority.pem), 100) == b"{}"


async def test_a_certificate_of_another_ca_is_not(authority, tmp_path):
    other = Authority(tmp_path)
    async with provider(http(b"{}"), tls=server_side(other.issue("server"))) as (url, heads):
        for ca_file in (str(authority.pem), None):
            with pytest.raises(FetchError, match="failed: ConnectError"):
                await get(url, ca_file, 100)
    assert not heads


async def test_a_certificate_of_another_name_is_not(authority):
    pair = authority.issue("spiffe", uri="spiffe://test/other")
    async with provider(http(b"{}"), tls=server_side(pair)) as (url, heads):
        with pytest.raises(FetchError, match="failed: ConnectError"):
            await get(url, str(authority.pem), 100)
    assert not heads


async def test_a_ca_file_that_is_not_there_is_told(tmp_path):
    async with provider(http(b"{}")) as (url, _):
        with pytest.raises(FetchError, match="the CA file cannot be read"):
            await get(url.replace("http", "https"), str(tmp_path / "none.pem"), 100)


def test_no_tls_before_1_2(authority):
    assert fetch._trust(str(authority.pem)).minimum_version is ssl.TLSVersion.TLSv1_2
    assert fetch._trust(None).verify_mode is ssl.CERT_REQUIRED
    assert fetch._trust(None).check_hostname


# --- lines ----
FINE = http(b"{}")


@asynccontextmanager
async def keeping(answer=FINE, *, tls=None):
    """A server that answers every request of every connection; lists (connection, head, body)."""
    seen = []
    connections = 0

    async def serve(reader, writer):
        nonlocal connections
        connections += 1
        number = connections
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
                seen.append((number, head, await reader.readexactly(length)))
                if not answer:
                    await reader.read()  # until the client gives up
                    break
                for part in answer if isinstance(answer, list) else [answer]:
                    writer.write(part)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield f"{'https' if tls else 'http'}://localhost:{server.sockets[0].getsockname()[1]}/introspect", seen


@asynccontextmanager
async def line(url, ca_file=None):
    clock = ManualClock()
    made = Line(url, ca_file, clock)
    try:
        yield made, clock
    finally:
        await made.close()


async def test_a_line_posts_over_one_connection_and_keeps_no_cookies():
    async with keeping(http(b"{}", "200 OK", "set-cookie: a=b")) as (url, seen), line(url) as (made, _):
        for _ in range(3):
            assert await made.post({"authorization": "Basic abc"}, b"token=x", 100, 5) == b"{}"
    assert [(number, body) for number, _, body in seen] == [(1, b"token=x")] * 3
    head = seen[-1][1]
    assert head.startswith("post /introspect http/1.1\r\n")
    assert "authorization: basic abc\r\n" in head
    assert "accept: application/json\r\n" in head
    assert "cookie" not in head


@pytest.mark.parametrize(
    ("answer", "why"),
    [REFUSED[one] for one in ("too large", "moved", "compressed")],
    ids=("large", "moved", "compressed"),
)
async def test_a_line_refuses_what_a_get_refuses(answer, why):
    async with keeping(answer) as (url, _), line(url) as (made, _):
        with pytest.raises(FetchError, match=why):
            await made.post({}, b"x", 100, 5)


async def test_a_line_tells_the_status():
    async with keeping(http(b"{}", "401 No")) as (url, _), line(url) as (made, _):
        with pytest.raises(StatusError) as refused:
            await made.post({}, b"x", 100, 5)
    assert refused.value.status == 401


async def test_a_line_meets_its_own_deadline():
    async with keeping(None) as (url, _), line(url) as (made, _):
        with pytest.raises(FetchError, match=r"no answer within 0\.05 s"):
            await made.post({}, b"x", 100, 0.05)


async def test_a_line_looks_up_name_and_roots_once_a_minute(authority, tmp_path):
    roots = tmp_path / "ca.pem"
    roots.write_bytes(authority.pem.read_bytes())
    tls = server_side(authority.issue("server"))
    async with keeping(tls=tls) as (url, seen), line(url, str(roots)) as (made, clock):
        await asyncio.gather(*(made.post({}, b"x", 100, 5) for _ in range(3)))
        roots.unlink()
        clock.advance(59)
        await made.post({}, b"x", 100, 5)
        clock.advance(2)
        with pytest.raises(FetchError, match="the CA file cannot be read"):
            await made.post({}, b"x", 100, 5)
        roots.write_bytes(authority.pem.read_bytes())
        await made.post({}, b"x", 100, 5)
    assert len(seen) == 5


async def test_a_line_reads_a_refusal_where_that_was_asked_for_and_within_the_same_bound():
    async with keeping(http(b"told", "400 Bad Request")) as (url, _), line(url) as (made, _):
        for refusals, body in ((False, b""), (True, b"told")):
            with pytest.raises(StatusError) as refused:
                await made.post({}, b"x", 4, 5, refusals=refusals)
            assert (refused.value.status, refused.value.body) == (400, body)
            assert "told" not in repr(refused.value)
        with pytest.raises(FetchError, match="more than 3 bytes"):
            await made.post({}, b"x", 3, 5, refusals=True)


async def test_a_line_calls_no_forbidden_address(monkeypatch):
    resolving(monkeypatch, "169.254.169.254")
    async with line("https://idp.example.com/introspect") as (made, _):
        with pytest.raises(FetchError, match="an address that is not allowed"):
            await made.post({}, b"x", 100, 5)


async def test_a_line_trusts_no_other_ca(authority, tmp_path):
    other = Authority(tmp_path)
    async with (
        keeping(tls=server_side(other.issue("server"))) as (url, seen),
        line(url, str(authority.pem)) as (made, _),
    ):
        with pytest.raises(FetchError, match="failed: ConnectError"):
            await made.post({"authorization": "Basic abc"}, b"x", 100, 5)
    assert not seen
