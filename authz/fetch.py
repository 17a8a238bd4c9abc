"""One GET of a public document from an identity provider. Follows nothing, trusts no proxy, reads a bounded answer."""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Sequence
from typing import Final

import httpx

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


class FetchError(Exception):
    """A document that could not be had. The text is for the log: it names no content and no address."""


async def get(url: str, ca_file: str | None, max_bytes: int) -> bytes:
    """The body of a 200 answer.

    Raises:
        FetchError: for whatever else happens, the deadline included.
    """
    try:
        async with asyncio.timeout(DEADLINE_S):
            return await _get(url, ca_file, max_bytes)
    except TimeoutError:
        raise FetchError(f"no answer within {DEADLINE_S:g} s") from None
    except httpx.HTTPError as failure:
        raise FetchError(f"failed: {type(failure).__name__}") from None


async def _get(url: str, ca_file: str | None, max_bytes: int) -> bytes:
    fault = url_fault(url)
    if fault:
        raise FetchError("the URL is not allowed")
    asked = httpx.URL(url)
    addresses = await _resolve(asked.host, asked.port or 0, url)
    # Plain http, to loopback, is given a context that trusts nobody: reading the roots takes a while.
    plain = asked.scheme == "http"
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if plain else await asyncio.to_thread(_trust, ca_file)
    patience = httpx.Timeout(DEADLINE_S, connect=_CONNECT_S)
    async with httpx.AsyncClient(verify=trust, trust_env=False, follow_redirects=False, timeout=patience) as client:
        for last, address in enumerate(addresses, start=1 - len(addresses)):
            # The address that was judged is the one that is called: the name cannot change its mind in between.
            request = client.build_request(
                "GET",
                asked.copy_with(host=address),
                headers={"host": asked.netloc.decode(), "accept": "application/json", "accept-encoding": "identity"},
                extensions={"sni_hostname": asked.host},  # and what the certificate must name
            )
            try:
                answer = await client.send(request, stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if last == 0:
                    raise
                continue
            try:
                return await _body(answer, max_bytes)
            finally:
                await answer.aclose()
    raise FetchError("the name has no address")


async def _body(answer: httpx.Response, max_bytes: int) -> bytes:
    if answer.status_code != 200:
        raise FetchError(f"answered {answer.status_code}")
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise FetchError("answered compressed, which was not asked for")  # a bomb unpacks beyond every bound
    found = bytearray()
    async for chunk in answer.aiter_raw():
        found += chunk
        if len(found) > max_bytes:
            raise FetchError(f"answered more than {max_bytes} bytes")
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
