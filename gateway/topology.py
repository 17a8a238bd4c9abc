"""How scripts reach Valkey: one server, the master that Sentinel names, or a cluster. Runs nothing itself.

Addresses: what `gateway.valkey` takes; `redis+sentinel://host:port,host:port/NAME`; `redis+cluster://host:port,host:port`
with any of the nodes. `rediss+...` is with TLS. User and password stand before the hosts, percent-encoded.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from gateway.cluster import Cluster
from gateway.script import DEADLINE_S, Pipe, Runner
from gateway.tls import HopFiles
from gateway.valkey import connect

_CONNECT_S: Final = 0.5  # a node that does not take a connection by then is skipped for the next
_PORT: Final = 6379
_SENTINEL_PORT: Final = 26379


@dataclass(frozen=True, slots=True)
class Reached:
    """A way to Valkey, and how to end it."""

    runner: Runner
    close: Callable[[], Awaitable[None]]


def reach(url: str, files: HopFiles | None = None, *, deadline_s: float = DEADLINE_S) -> Reached:
    """A way that connects when first used.

    Raises:
        ValueError: not such an address. The message holds no part of it.
        HopError: the certificates cannot be used.
    """
    scheme = url.partition("://")[0]
    if "+" not in scheme:
        client = connect(url, files)
        return Reached(Pipe(client, deadline_s=deadline_s), client.aclose)
    transport, _, kind = scheme.partition("+")
    if transport not in {"redis", "rediss"} or kind not in {"sentinel", "cluster"}:
        raise ValueError("not an address of Valkey")
    if kind == "cluster":
        login, hosts, _ = _parts(url, _PORT)
        cluster = Cluster(hosts, lambda host, port: connect(f"{transport}://{login}{host}:{port}", files), deadline_s)
        return Reached(cluster, cluster.aclose)
    login, hosts, name = _parts(url, _SENTINEL_PORT)
    user, _, password = login.rstrip("@").partition(":")
    options: dict[str, Any] = {"socket_connect_timeout": _CONNECT_S}
    if login:
        options |= {"username": unquote(user) or None, "password": unquote(password)}
    if transport == "rediss":
        options |= _tls(files or HopFiles())
    return _sentinel(hosts, name, options, deadline_s)


def _sentinel(hosts: list[tuple[str, int]], name: str, options: dict[str, Any], deadline_s: float) -> Reached:
    if not name:
        raise ValueError("Sentinel needs the name of the master: redis+sentinel://host:port/NAME")
    told = {key: value for key, value in options.items() if key.startswith("ssl")}
    sentinel = Sentinel(hosts, sentinel_kwargs={**told, "socket_connect_timeout": _CONNECT_S}, **options)  # type: ignore[no-untyped-call]
    client = sentinel.master_for(name, retry=Retry(NoBackoff(), 0))

    async def close() -> None:
        await client.aclose()
        for one in sentinel.sentinels:
            await one.aclose()

    return Reached(Pipe(client, deadline_s=deadline_s), close)


def _parts(url: str, port: int) -> tuple[str, list[tuple[str, int]], str]:
    """User and password with their "@" as they stand there, hosts, and the path."""
    try:
        split = urlsplit(url)
        login, at, listed = split.netloc.rpartition("@")
        parsed = [urlsplit("//" + one) for one in listed.split(",")]
        hosts = [(one.hostname or "", one.port or port) for one in parsed]
    except ValueError:
        raise ValueError("not an address of Valkey") from None
    if not all(host for host, _ in hosts):
        raise ValueError("not an address of Valkey")
    return login + at, hosts, split.path.strip("/")


def _tls(files: HopFiles) -> dict[str, Any]:
    named = {"ssl_ca_certs": files.ca_file, "ssl_certfile": files.cert_file, "ssl_keyfile": files.key_file}
    return {"ssl": True, **{key: str(value) for key, value in named.items() if value is not None}}
