"""What an operator decides about the Envoy in front: `EdgeSpec`, and its reader. Renders nothing.

Backends, body limit and exchange deadline come from the policy, so that they are said once.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from control.edge.issued import Issued, read_issued
from control.edge.mapping import Fields, MappingReader, SpecError, Where
from gateway import contract

#: `sun_path` of sockaddr_un holds 108 bytes on Linux with the final NUL (man 7 unix).
SOCKET_PATH_BYTES: Final = 107
#: A worker is one process per core; more sockets than this is a typing error, not a machine.
WORKERS_MAX: Final = 256
MIB: Final = 1024 * 1024


class ClientCertificates(StrEnum):
    """Whether clients show certificates (mTLS)."""

    OFF = "off"
    OPTIONAL = "optional"  # one that is shown must verify against `client_ca`
    REQUIRED = "required"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """The listener's certificate, and whose client certificates it believes. No listener is plaintext.

    The certificate lies in files, or `control` gets it from a vault and hands it to Envoy.
    """

    cert: str = ""
    key: str = ""
    issued: Issued | None = None
    client_ca: str | None = None
    client_certificates: ClientCertificates = ClientCertificates.OFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Requests per second that reach authz at all, per Envoy process. The tenants' own rates are policy."""

    requests_per_s: int = 4000  # a Check costs a worker about 0.3 ms: what one core could answer, with room to spare
    burst: int = 4000  # one second's worth: a reconnecting fleet is not an attack
    address_requests_per_s: int = 2000  # one client address may use half of the door, so it cannot close it alone
    address_burst: int = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """Whether clients reach the token service, and operators the admin API, through this Envoy, and how often."""

    enabled: bool = False
    remote_admin: bool = False  # the local operator needs no Envoy: whoever wants more says so
    # A token costs control about 2 ms of its one core. A client asks once in five minutes: 20/s are 6,000 clients
    # behind one address.
    tokens: Door = field(
        default_factory=lambda: Door(requests_per_s=100, burst=200, address_requests_per_s=20, address_burst=40)
    )
    # People and their scripts.
    admin: Door = field(
        default_factory=lambda: Door(requests_per_s=20, burst=40, address_requests_per_s=5, address_burst=20)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much the edge holds at once."""

    connections: int = 2000  # with the body limit, bounds what strangers can make Envoy buffer before authz
    exchanges: int = 1000  # open exchanges; each holds two sidecar streams and, for a moment, a Check
    heap_bytes: int = 1024 * MIB  # Envoy's own; the overload manager sheds before it is reached
    backend_requests: int = 1000  # open requests per backend; beyond it the breaker answers 503


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """How long the edge waits. A worker's own deadlines must be shorter, so that its JSON wins."""

    # One Check: a memory lookup, or one round trip to the policy's helpers. Hundreds at the same moment come through
    # one by one, the last after 2 s and more on a busy host (bench/README.md, "Slow readers").
    authz_ms: int = 5000
    message_ms: int = 10_000  # one ext_proc answer: judging a 10 MiB body takes seconds on a busy core
    request_s: int = 60  # whole request received; 10 MiB at 1.4 Mbit/s. Turns slow bodies into 408
    headers_s: int = 10  # header block received; slowloris
    connect_s: int = 5  # TCP + TLS to a provider: two retransmitted SYNs
    connection_idle_s: int = 300  # idle keep-alive connections of clients


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeSpec:
    """One rendered Envoy. Paths are absolute when they come from `read`."""

    tls: Tls
    run_dir: str  # worker-<i>.sock; 0750, because whoever can open a socket can forge metadata
    admin_socket: str  # Envoy's admin, a UDS of mode 0600: it can stop the process and show the configuration
    policy_dir: str
    address: str = "127.0.0.1"  # the safe side; a deployment says 0.0.0.0 or ::
    port: int = 8443
    workers: int = 1
    access_log: str = "stdout"  # or a file path
    hosts: tuple[str, ...] = ("*",)  # authorities that are served; anything else is 404
    xff_trusted_hops: int = 0  # proxies in front whose x-forwarded-for is believed; 0: none, the peer is the client
    body_bytes: int | None = None  # smaller than the policy's limit if set; None: the policy's
    ca_file: str = "/etc/ssl/certs/ca-certificates.crt"  # roots for backends that name none (Debian's bundle)
    door: Door = field(default_factory=Door)
    control: Control = field(default_factory=Control)
    bounds: Bounds = field(default_factory=Bounds)
    deadlines: Deadlines = field(default_factory=Deadlines)

    def __post_init__(self) -> None:
        tls, clients = self.tls, self.tls.issued.clients_mount if self.tls.issued else ""
        if bool(tls.cert) is not bool(tls.key) or bool(tls.cert) is bool(tls.issued):
            raise ValueError("tls has cert and key, or vault")
        if tls.client_ca and clients:
            raise ValueError("tls.client_ca and tls.vault.clients_mount both say who signs clients' certificates")
        if (tls.client_ca or clients) and tls.client_certificates is ClientCertificates.OFF:
            # Whoever names the CAs wants clients to be known; without a word Envoy would let anybody in.
            named = "tls.vault.clients_mount" if clients else "tls.client_ca"
            raise ValueError(f"{named} means nothing while tls.client_certificates is off: say optional or required")
        if tls.client_certificates is not ClientCertificates.OFF and not (tls.client_ca or clients):
            raise ValueError("tls.client_certificates needs tls.client_ca or tls.vault.clients_mount")
        if not 1 <= self.workers <= WORKERS_MAX:
            raise ValueError(f"workers.count must be 1 to {WORKERS_MAX}")
        for door in (self.door, self.control.tokens, self.control.admin):
            if door.burst < door.requests_per_s or door.address_burst < door.address_requests_per_s:
                raise ValueError("a burst of a door must be at least one second's requests")
        if self.control.remote_admin and not self.control.enabled:
            raise ValueError("control.remote_admin needs control.enabled")
        for path in (*self.worker_sockets, self.control_socket, self.secrets_socket, self.admin_socket):
            if len(path.encode()) > SOCKET_PATH_BYTES:
                raise ValueError(f"socket path is longer than {SOCKET_PATH_BYTES} bytes: {path}")

    @property
    def control_socket(self) -> str:
        """Where `ostiary control` listens for Envoy."""
        return f"{self.run_dir}/{contract.CONTROL_SOCKET}"

    @property
    def secrets_socket(self) -> str:
        """Where `ostiary control` hands out the listener's certificate."""
        return f"{self.run_dir}/{contract.SECRETS_SOCKET}"

    @property
    def worker_sockets(self) -> tuple[str, ...]:
        """The sockets that the supervisor gives its workers, in order."""
        return tuple(f"{self.run_dir}/worker-{index}.sock" for index in range(self.workers))


def read(path: str | Path) -> EdgeSpec:
    """The spec in a file; relative paths are relative to that file.

    Raises:
        SpecError: with every problem found, each as `file:line: what is wrong`.
    """
    source = Path(path)
    base = source.absolute().parent

    def located(value: str) -> str:
        return str((base / value).resolve()) if value else value

    reader = MappingReader(str(source))
    spec = _spec(reader, reader.top(source.read_text(encoding="utf-8")), located, base)
    if spec is None or reader.problems:
        raise SpecError(reader.problems)
    return spec


def _spec(reader: MappingReader, top: Fields, located: Callable[[str], str], base: Path) -> EdgeSpec | None:
    listener = top.mapping("listener", required=False)
    workers = top.mapping("workers")
    admin = top.mapping("admin")
    log = top.mapping("access_log", required=False)
    address = listener.text("address", "127.0.0.1")
    if address:
        reader.check(listener.where("address"), _is_address(address), "address must be an IP address")
    log_path = log.text("path", "stdout")
    required = {
        "tls": _tls(reader, top, located, base),
        "run_dir": located(workers.text("run_dir")),
        "admin_socket": located(admin.text("socket")),
        "policy_dir": located(top.text("policy_dir")),
    }
    optional = {
        "address": address,
        "port": listener.integer("port", 8443, 1, 65535),
        "workers": workers.integer("count", 1, 1, WORKERS_MAX),
        "access_log": log_path if log_path == "stdout" else located(log_path),
        "hosts": top.texts("hosts", ("*",)),
        "xff_trusted_hops": listener.integer("xff_trusted_hops", 0, 0, 10),
        "body_bytes": top.optional_integer("body_bytes", 1024, 64 * MIB),
        "ca_file": located(top.text("ca_file", "/etc/ssl/certs/ca-certificates.crt")),
        "door": _door(top.mapping("door", required=False), Door()),
        "control": _control(reader, top.mapping("control", required=False)),
        "bounds": _bounds(top.mapping("bounds", required=False)),
        "deadlines": _deadlines(top.mapping("deadlines", required=False)),
    }
    reader.refuse_unknown()
    if reader.problems:
        return None
    try:
        return EdgeSpec(**required, **optional)  # type: ignore[arg-type]  # each value was read with its type above
    except ValueError as wrong:
        reader.check(Where(line=1), False, str(wrong))
        return None


def _tls(reader: MappingReader, top: Fields, located: Callable[[str], str], base: Path) -> Tls:
    tls = top.mapping("tls")
    wanted = tls.text("client_certificates", ClientCertificates.OFF.value)
    known = wanted in set(ClientCertificates)
    reader.check(tls.where("client_certificates"), known, "client_certificates must be off, optional or required")
    issued = read_issued(reader, tls.mapping("vault"), base) if "vault" in tls else None
    client_ca = tls.text("client_ca", "")
    mode = ClientCertificates(wanted) if known else ClientCertificates.OFF
    reader.check(
        tls.where("client_certificates"),
        mode is ClientCertificates.OFF or bool(client_ca or (issued and issued.clients_mount)),
        "client_certificates needs client_ca: the CA that signs them",
    )
    return Tls(
        # With a vault they are in the way, and the spec says so below.
        cert=located(tls.text("cert", None if issued is None else "")),
        key=located(tls.text("key", None if issued is None else "")),
        issued=issued,
        client_ca=located(client_ca) or None,
        client_certificates=mode,
    )


def _control(reader: MappingReader, fields: Fields) -> Control:
    default = Control()
    return Control(
        enabled=_flag(reader, fields, "enabled"),
        remote_admin=_flag(reader, fields, "remote_admin"),
        tokens=_door(fields.mapping("tokens", required=False), default.tokens),
        admin=_door(fields.mapping("admin", required=False), default.admin),
    )


def _flag(reader: MappingReader, fields: Fields, name: str) -> bool:
    text = fields.text(name, "false")
    reader.check(fields.where(name), text in {"true", "false"}, f"{name} must be true or false")
    return text == "true"


def _door(fields: Fields, default: Door) -> Door:
    return Door(
        requests_per_s=fields.integer("requests_per_s", default.requests_per_s, 1, 1_000_000),
        burst=fields.integer("burst", default.burst, 1, 1_000_000),
        address_requests_per_s=fields.integer("address_requests_per_s", default.address_requests_per_s, 1, 1_000_000),
        address_burst=fields.integer("address_burst", default.address_burst, 1, 1_000_000),
    )


def _bounds(fields: Fields) -> Bounds:
    default = Bounds()
    return Bounds(
        connections=fields.integer("connections", default.connections, 1, 1_000_000),
        exchanges=fields.integer("exchanges", default.exchanges, 1, 100_000),
        heap_bytes=fields.integer("heap_bytes", default.heap_bytes, 64 * MIB, 1024 * 1024 * MIB),
        backend_requests=fields.integer("backend_requests", default.backend_requests, 1, 100_000),
    )


def _deadlines(fields: Fields) -> Deadlines:
    default = Deadlines()
    return Deadlines(
        authz_ms=fields.integer("authz_ms", default.authz_ms, 10, 60_000),
        message_ms=fields.integer("message_ms", default.message_ms, 10, 600_000),
        request_s=fields.integer("request_s", default.request_s, 1, 3600),
        headers_s=fields.integer("headers_s", default.headers_s, 1, 600),
        connect_s=fields.integer("connect_s", default.connect_s, 1, 60),
        connection_idle_s=fields.integer("connection_idle_s", default.connection_idle_s, 1, 3600),
    )


def _is_address(value: str) -> bool:
    try:
        ip_address(value)
    except ValueError:
        return False
    return True
