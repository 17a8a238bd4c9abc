"""A real Envoy that speaks mutual TLS 1.3 in front of a server on a UNIX socket which speaks none."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from certs import Authority
from ports import free_port
from stack import until

_END_S = 10
_START_S = 60.0


@contextmanager
def running(directory: Path, authority: Authority, behind: Path) -> Iterator[int]:
    """Start Envoy with a certificate for localhost; clients need one of `authority`. Yields the port."""
    port, leaf = free_port(), authority.issue("valkey")
    admin = directory / "admin.sock"
    config = directory / "front.json"
    config.write_text(json.dumps(_bootstrap(port, authority.pem, leaf.cert, leaf.key, behind, admin)))
    log = directory / "front.log"
    command = [str(Path(sys.executable).with_name("envoy")), "-c", str(config), "--disable-hot-restart"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, "--concurrency", "1", "-l", "warning", "--file-flush-interval-msec", "100"],
            env={"PATH": os.environ["PATH"], "HOME": str(directory)},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:

        def there() -> bool:
            if process.poll() is not None:
                raise RuntimeError(f"envoy ended: {log.read_text()[-3000:]}")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
            except OSError:
                return False
            return True

        until("the TLS front", there, _START_S)
        yield port
    finally:
        process.terminate()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _bootstrap(port: int, ca: Path, cert: Path, key: Path, behind: Path, admin: Path) -> dict[str, object]:
    tls = {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "require_client_certificate": True,
        "common_tls_context": {
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
            "tls_certificates": [
                {"certificate_chain": {"filename": str(cert)}, "private_key": {"filename": str(key)}},
            ],
            "validation_context": {"trusted_ca": {"filename": str(ca)}},
        },
    }
    proxy = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "valkey",
        "cluster": "valkey",
        "access_log": [
            {
                "name": "file",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                    "path": str(admin.with_name("access.log")),
                    "log_format": {
                        "text_format_source": {"inline_string": "%DOWNSTREAM_TLS_VERSION% %DOWNSTREAM_PEER_SUBJECT%\n"}
                    },
                },
            }
        ],
    }
    return {
        "admin": {"address": {"pipe": {"path": str(admin)}}},
        "static_resources": {
            "listeners": [
                {
                    "name": "front",
                    "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
                    # Loopback as well, and not in the certificate.
                    "additional_addresses": [
                        {"address": {"socket_address": {"address": "127.0.0.2", "port_value": port}}},
                    ],
                    "filter_chains": [
                        {
                            "filters": [{"name": "tcp", "typed_config": proxy}],
                            "transport_socket": {"name": "tls", "typed_config": tls},
                        }
                    ],
                }
            ],
            "clusters": [
                {
                    "name": "valkey",
                    "type": "STATIC",
                    "connect_timeout": "5s",
                    "load_assignment": {
                        "cluster_name": "valkey",
                        "endpoints": [
                            {"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": str(behind)}}}}]},
                        ],
                    },
                }
            ],
        },
    }
