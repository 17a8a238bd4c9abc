"""Asks a server that policy names: a GET, or POSTs over kept connections. Follows nothing, trusts no proxy.

Every address that is called was judged first, and answers are bounded in bytes and in time.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import httpx

from gateway.aio import spawn, within
from gateway.clock import Clock
from gateway.policy.issuer import on_loopback, url_fault

#: A whole fetch, names and handshake included. Nobody waits for it but a loop of ours.
DEADLINE_S: Final = 5.0
_CONNECT_S: Final = 2.0  # leaves time for a second address
_ADDRESSES: Final = 3  # tried in the order of the resolver (RFC 6724)

#: Where clouds keep the credentials of the machine, beside link-local: AWS over IPv6, Alibaba, Oracle, Azure's host.
_METADATA: Final = frozenset(
    map(ipaddress.ip_address, ("fd00:ec2::254", "100.100.100.200", "192.0.0.192", "168.63.129.16")),
)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: the last four bytes are an IPv4 address
#: How long a line believes a name's addresses and a CA file: a moved server or rotated roots count after this.
_LOOKUP_S: Final = 60.0
#: Idle connections are dropped before the server drops them (Node after 5 s): a request would be lost in between.
_KEEP_S: Final = 4.0
_CONNECTIONS: Final = 16  # as many as `authz.introspect` asks at a time


class FetchError(Exception):
    """A document that could not be had. The text is for the log: it names no content and no address."""


class StatusError(FetchError):
    """The server answered, with another status than 200."""

    def __init__(self, status: int, body: bytes = b"") -> None:
        super().__init__(f"answered {status}")
        self.status = status
        self.body = body  # where it was asked for; may quote the request, so it is for no log


async def get(url: str, ca_file: str | None, max_bytes: int) -> bytes:
    """The body of a 200 answer.

    Raises:
        FetchError: for whatever else happens, the deadline included.
    """
    try:
        async with asyncio.timeout(DEADLINE_S):
            way = await _way(url, ca_file)
            async with way.client:
                return await _ask(way, "GET", {}, None, max_bytes)
    except TimeoutError:
        raise FetchError(f"no answer within {DEADLINE_S:g} s") from None
    except httpx.HTTPError as failure:
        raise FetchError(f"failed: {type(failure).__name__}") from None


class Line:
    """One server that is asked often: its connections are kept, its addresses and roots for a minute. One loop."""

    def __init__(self, url: str, ca_file: str | None, clock: Clock) -> None:
        self._url = url
        self._ca_file = ca_file
        self._clock = clock
        self._way: _Way | None = None
        self._former: _Way | None = None  # requests may be under way on it, each shorter than `_LOOKUP_S`
        self._found_s = 0.0
        self._finding: asyncio.Task[_Way | str] | None = None

    async def post(
        self,
        headers: Mapping[str, str],
        content: bytes,
        max_bytes: int,
        deadline_s: float,
        *,
        refusals: bool = False,
    ) -> bytes:
        """The body of a 200 answer. `refusals`: others are read as well, into `StatusError.body`.

        Raises:
            FetchError: for whatever else happens, the deadline included.
        """
        try:
            async with within(deadline_s):
                return await _ask(await self._current(), "POST", headers, content, max_bytes, refusals=refusals)
        except TimeoutError:
            raise FetchError(f"no answer within {deadline_s:g} s") from None
        except httpx.HTTPError as failure:
            raise FetchError(f"failed: {type(failure).__name__}") from None

    async def close(self) -> None:
        """Hang up."""
        if self._finding is not None:
            self._finding.cancel()
        for way in (self._way, self._former):
            if way is not None:
                await way.client.aclose()

    async def _current(self) -> "_Way":
        if self._way is not None and self._clock.monotonic() - self._found_s < _LOOKUP_S:
            return self._way
        finding = self._finding
        if finding is None:
            # A task of its own: whoever gives up on it leaves it to the next one.
            finding = self._finding = spawn(self._find(), "issuer-lookup")
            finding.add_done_callback(lambda _: self._found())
        await asyncio.wait({finding})
        found = finding.result()
        if isinstance(found, str):
            raise FetchError(found)
        return found

    async def _find(self) -> "_Way | str":
        """The way, or why there is none: raised by those who wait, since a task that raises is logged as a crash."""
        try:
            way = await _way(self._url, self._ca_file)
        except FetchError as failure:
            return str(failure)
        if self._former is not None:
            await self._former.client.aclose()
        self._former, self._way, self._found_s = self._way, way, self._clock.monotonic()
        return way

    def _found(self) -> None:
        self._finding = None


class Pipe:
    """A process of our own behind a Unix socket, asked like a `Line`. The socket's permissions say who it is."""

    def __init__(self, socket_path: str, path: str) -> None:
        self._url = f"http://localhost{path}"  # nobody resolves it
        limits = httpx.Limits(max_connections=_CONNECTIONS)
        unused = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # else httpx reads every root: 25 ms of the worker's loop
        transport = httpx.AsyncHTTPTransport(uds=socket_path, verify=unused, limits=limits)
        self._client = httpx.AsyncClient(transport=transport, trust_env=False, timeout=None)  # noqa: S113 - below

    async def post(self, headers: Mapping[str, str], content: bytes, max_bytes: int, deadline_s: float) -> bytes:
        """See `Line.post`."""
        try:
            async with (
                within(deadline_s),
                self._client.stream("POST", self._url, headers=headers, content=content) as answer,
            ):
                return await _body(answer, max_bytes)
        except TimeoutError:
            raise FetchError(f"no answer within {deadline_s:g} s") from None
        except httpx.HTTPError as failure:
            raise FetchError(f"failed: {type(failure).__name__}") from None

    async def close(self) -> None:
        """Hang up."""
        await self._client.aclose()


@dataclass(frozen=True, slots=True)
class _Way:
    """How to reach a server: what was found out about its name and its roots."""

    url: httpx.URL
    addresses: Sequence[str]
    client: httpx.AsyncClient


async def _way(url: str, ca_file: str | None) -> _Way:
    fault = url_fault(url)
    if fault:
        raise FetchError("the URL is not allowed")
    asked = httpx.URL(url)
    addresses = await _resolve(asked.host, asked.port or 0, url)
    # Plain http, to loopback, is given a context that trusts nobody: reading the roots takes a while.
    plain = asked.scheme == "http"
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if plain else await asyncio.to_thread(_trust, ca_file)
    client = httpx.AsyncClient(
        verify=trust,
        trust_env=False,
        follow_redirects=False,
        timeout=httpx.Timeout(DEADLINE_S, connect=_CONNECT_S),
        limits=httpx.Limits(max_connections=_CONNECTIONS, keepalive_expiry=_KEEP_S),
    )
    return _Way(asked, addresses, client)


async def _ask(
    way: _Way,
    method: str,
    headers: Mapping[str, str],
    content: bytes | None,
    max_bytes: int,
    *,
    refusals: bool = False,
) -> bytes:
    way.client.cookies.clear()  # no state but connections: a server could fill the jar without end
    for last, address in enumerate(way.addresses, start=1 - len(way.addresses)):
        # The address that was judged is the one that is called: the name cannot change its mind in between.
        request = way.client.build_request(
            method,
            way.url.copy_with(host=address),
            headers={
                "host": way.url.netloc.decode(),
                "accept": "application/json",
                "accept-encoding": "identity",
                **headers,
            },
            content=content,
            extensions={"sni_hostname": way.url.host},  # and what the certificate must name
        )
        try:
            answer = await way.client.send(request, stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            if last == 0:
                raise
            continue
        try:
            return await _body(answer, max_bytes, refusals=refusals)
        finally:
            await answer.aclose()
    raise FetchError("the name has no address")


async def _body(answer: httpx.Response, max_bytes: int, *, refusals: bool = False) -> bytes:
    well = answer.status_code == 200
    if not well and not refusals:
        raise StatusError(answer.status_code)
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise FetchError("answered compressed, which was not asked for")  # a bomb unpacks beyond every bound
    found = bytearray()
    async for chunk in answer.aiter_raw():
        found += chunk
        if len(found) > max_bytes:
            raise FetchError(f"answered more than {max_bytes} bytes")
    if not well:
        raise StatusError(answer.status_code, bytes(found))
    return bytes(found)


def _trust(ca_file: str | None) -> ssl.SSLContext:
    """Made anew for each fetch, so that a rotated CA file counts without a restart."""
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError):
        raise FetchError("the CA file cannot be read") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 9325 section 3.1.1; public IdPs do not all speak 1.3
    return context


async def _resolve(host: str, port: int, url: str) -> Sequence[str]:
    """The addresses of a host, if all of them may be called."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        raise FetchError("the name does not resolve") from None
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if any(forbidden(address, loopback=on_loopback(url)) for address in addresses):
        raise FetchError("the name resolves to an address that is not allowed")
    return addresses[:_ADDRESSES]


def forbidden(text: str, *, loopback: bool) -> bool:
    """Whether an address is none of an identity provider's: this host, the cloud's metadata, nobody's.

    Private networks are allowed: that is where a company's own provider is. Loopback only where the policy says
    so by name, or a record in somebody's DNS could reach what listens beside the gateway.
    """
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return True
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            address = address.ipv4_mapped
        elif address in _NAT64:
            address = ipaddress.IPv4Address(address.packed[-4:])
    if address.is_loopback:
        return not loopback
    return address.is_link_local or address.is_multicast or address.is_unspecified or address in _METADATA
