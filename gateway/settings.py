"""Frozen settings of one process, and the only code that looks at the environment. Opens and starts nothing.

Each field is read from `OSTIARY_<NAME>`. An empty variable counts as unset, because compose files and charts
write `${NAME:-}`. Every problem is reported at once, so that a deployment is put right in one round.
"""

import difflib
import ipaddress
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

PREFIX: Final = "OSTIARY_"
#: prometheus_client decides by this name, when imported, whether values go to files ("Multiprocess Mode").
METRICS_DIR_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"

#: Bytes of a socket's path, without the final NUL: `sun_path` has 108 on Linux (unix(7)).
_SOCKET_PATH_BYTES: Final = 107
_RUN_DIR: Final = Path("/run/ostiary")
_VALKEY_FILES: Final = ("valkey_ca_file", "valkey_cert_file", "valkey_key_file")
_INDEX: Final = ("similar_url", "peppers_file", *_VALKEY_FILES)


class SettingsError(Exception):
    """Everything that is wrong with the environment, one problem a line. Never holds a secret's value."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def _cores() -> int:
    """Cores that this process may use; cpusets of containers are seen, CPU quotas are not."""
    return len(os.sched_getaffinity(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an operator decides about a process. What a tenant may do is policy, never a setting."""

    policy_dir: Path = Path("/etc/ostiary/policy")
    peppers_file: Path = Path("/etc/ostiary/peppers")
    run_dir: Path = _RUN_DIR  # sockets; a tmpfs on most hosts, so none survives a reboot
    audit_dir: Path = Path("/var/lib/ostiary/audit")  # the FHS place for state that must survive
    # Metric files are memory-mapped, and a full disk under a mapping kills (SIGBUS): on a tmpfs, too.
    # `read` puts them below a run_dir that was set.
    metrics_dir: Path = _RUN_DIR / "metrics"
    workers: int = field(default_factory=_cores)  # one event loop fills one core (design, section 3)
    worker_index: int = 0  # the supervisor tells each worker its own
    admin_host: str = "127.0.0.1"  # health and metrics have no authentication: not beyond the host unless asked
    admin_port: int = 9464  # the port that OpenTelemetry gives its Prometheus exporters
    log_level: str = "info"
    log_format: str = "json"  # for collectors; "console" is for people
    drain_s: float = 30.0  # Kubernetes kills after 30 s unless told otherwise (terminationGracePeriodSeconds)
    # May hold a password, so it stays out of every repr. Without it, limits are counted per worker.
    valkey_url: str | None = field(default=None, repr=False)
    # Only with rediss://, of this address or the two below. All three are read again when they change.
    valkey_ca_file: Path | None = None  # None: the host's authorities
    valkey_cert_file: Path | None = None
    valkey_key_file: Path | None = None  # comes with the certificate
    # Where budgets are counted; also redis+sentinel:// and redis+cluster://. None: as `valkey_url`.
    ledger_url: str | None = field(default=None, repr=False)
    ledger_mode: str = "exact"  # "leased": workers hold slices of each limit, and ask once a second
    # A Redis 8, for the index of like questions of all hosts. None: each analysis process has its own in memory.
    similar_url: str | None = field(default=None, repr=False)
    # Under 200 ms, Envoy's default ext_authz timeout: our own answer must win even where nobody raised that.
    authz_deadline_ms: int = 150
    # Open exchanges of all workers together, `bounds.exchanges` of Envoy's spec: beyond it Envoy's own breaker opens,
    # and that cannot say why. Each costs a worker about 60 KiB when its reader is slow (bench/README.md).
    exchanges: int = 1000
    # 8,192 records of about 1 KiB are 8 MiB, and bridge a disk that stalls for 8 s at 1,000 exchanges/s.
    audit_queue_records: int = 8192
    audit_full: str = "deny"  # what cannot be put on record does not happen; v0 knows nothing else
    # Most that a crash can take from the record; 20 fsyncs/s are bearable for any disk.
    audit_fsync_ms: int = 50
    # Of the transformer in the analysis process. A second one saves a third of its time and takes a worker's core.
    analysis_threads: int = 1
    # Whoever can open a socket can forge metadata. 600 is for an Envoy of the same user, 660 for its group.
    socket_mode: int = 0o600
    # What encrypts the token service's signing keys before the registry sees them: a file of `control` alone, or the
    # transit engine of a vault, which never gives its key away.
    kek_file: Path | None = None
    vault_addr: str | None = None
    vault_token_file: Path | None = None  # read anew for each use: an agent renews it
    vault_key: str = "ostiary"
    vault_ca_file: Path | None = None  # None: the host's authorities
    control_admin_port: int | None = None  # health and metrics of `control`; None: nowhere but on its sockets
    # The spec that Envoy's configuration is rendered from: for `control`, which gets the listener's certificate where
    # the spec has `tls.vault`.
    edge_file: Path | None = None

    @property
    def socket(self) -> Path:
        """Where the worker of `worker_index` listens."""
        return self.run_dir / f"worker-{self.worker_index}.sock"


def read_process() -> Settings:
    """Settings of this process: the one place that touches the environment."""
    return read(os.environ)  # noqa: TID251  # this function is where the ban sends callers


def run_dir_of_process() -> Path | None:
    """Where the sockets are, if the environment says so: commands of an operator need nothing else of the settings."""
    text = os.environ.get(PREFIX + "RUN_DIR", "")  # noqa: TID251  # as above
    return Path(text) if text else None


def index_of_process() -> Settings | None:
    """What the analysis process needs where the index of like questions is not its own. Reads and checks no more.

    Raises:
        SettingsError: with every problem that was found.
    """
    if not os.environ.get(PREFIX + "SIMILAR_URL", ""):  # noqa: TID251  # as above
        return None
    values, problems = _parsed(os.environ, _INDEX)  # noqa: TID251  # as above
    if problems:
        raise SettingsError(tuple(problems.values()))
    return Settings(**values)


def read(environ: Mapping[str, str]) -> Settings:
    """Settings from `environ`; raises `SettingsError` with every problem that was found."""
    problems = {name: f"{name}: {advice}" for name, advice in _unknown(environ)}
    values, wrong = _parsed(environ, _PARSERS)
    problems |= wrong
    if "run_dir" in values:
        values.setdefault("metrics_dir", values["run_dir"] / "metrics")
    settings = Settings(**values)
    for name, problem in _conflicts(settings):
        variable = PREFIX + name.upper()
        problems.setdefault(variable, f"{variable}: {problem}")  # one problem for each variable is enough
    if problems:
        raise SettingsError(tuple(problems.values()))
    return settings


def for_worker(settings: Settings, index: int) -> dict[str, str]:
    """The variables that the supervisor adds to a worker's environment; `read` gives the same settings back.

    `PROMETHEUS_MULTIPROC_DIR` is among them: it must be there before the worker imports prometheus_client.
    """
    environ = {METRICS_DIR_VARIABLE: str(settings.metrics_dir)}
    for name in _PARSERS:
        value = index if name == "worker_index" else getattr(settings, name)
        if value is not None:
            environ[PREFIX + name.upper()] = f"{value:o}" if name == "socket_mode" else str(value)
    return environ


def for_analysis(settings: Settings) -> dict[str, str]:
    """The variables that the supervisor adds to the analysis process's environment: none where its index is its own."""
    if settings.similar_url is None:
        return {}
    found = {name: getattr(settings, name) for name in _INDEX}
    return {PREFIX + name.upper(): str(value) for name, value in found.items() if value is not None}


def _parsed(environ: Mapping[str, str], names: Iterable[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Values of those that are set, and what is wrong with them."""
    values: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for name in names:
        variable = PREFIX + name.upper()
        text = environ.get(variable, "")
        if not text:
            continue
        try:
            values[name] = _PARSERS[name](text)
        except ValueError as error:  # the parsers below word it for operators, without secrets
            problems[variable] = f"{variable}: {error}"
    return values, problems


def _unknown(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    known = [PREFIX + name.upper() for name in _PARSERS]
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in known:
            continue
        near = difflib.get_close_matches(name, known, n=1)
        advice = f"did you mean {near[0]}?" if near else f"known names: {', '.join(known)}"
        yield name, f"no such setting; {advice}"


def _conflicts(settings: Settings) -> Iterator[tuple[str, str]]:
    """What single values cannot show: files that must be there, and fields that contradict each other."""
    if not _there(settings.policy_dir, Path.is_dir):
        yield (
            "policy_dir",
            f"no directory at {settings.policy_dir}; give the directory that holds the policy's YAML",
        )
    if not _there(settings.peppers_file, Path.is_file):
        yield (
            "peppers_file",
            f"no file at {settings.peppers_file}; give a file with one `version: hex` a line",
        )
    for name in ("kek_file", "edge_file", "vault_token_file", "vault_ca_file", *_VALKEY_FILES):
        file: Path | None = getattr(settings, name)
        if file is not None and not _there(file, Path.is_file):
            yield (name, f"no file at {file}")
    if settings.kek_file is not None and settings.vault_addr is not None:
        yield ("kek_file", "a vault is set as well; one of them encrypts signing keys, not both")
    if (settings.vault_addr is None) is not (settings.vault_token_file is None):
        yield ("vault_token_file", "comes with OSTIARY_VAULT_ADDR, and that with it")
    unused = _unused(settings)
    for name in _VALKEY_FILES:
        if unused is not None and getattr(settings, name) is not None:
            yield (name, unused)
    if (settings.valkey_cert_file is None) is not (settings.valkey_key_file is None):
        yield ("valkey_key_file", "comes with OSTIARY_VALKEY_CERT_FILE, and that with it")
    for name in ("run_dir", "audit_dir", "metrics_dir"):
        path: Path = getattr(settings, name)
        if _there(path, Path.exists) and not _there(path, Path.is_dir):
            yield (name, f"{path} is not a directory")
    if settings.worker_index >= settings.workers:
        yield ("worker_index", f"{settings.worker_index} with {settings.workers} workers; indexes start at 0")
    last = settings.run_dir / f"worker-{settings.workers - 1}.sock"
    if len(os.fsencode(last)) > _SOCKET_PATH_BYTES:
        yield (
            "run_dir",
            f"{last} is longer than the {_SOCKET_PATH_BYTES} bytes that a socket's path may have",
        )


def _unused(settings: Settings) -> str | None:
    """Why certificates for Valkey would not do what their names promise, if so. The three addresses share them."""
    urls = (settings.valkey_url, settings.ledger_url, settings.similar_url)
    transports = [(url or "").partition("://")[0].partition("+")[0].lower() for url in urls]
    if transports[0] == "redis":  # whatever the others are: the files are named after this one
        return "OSTIARY_VALKEY_URL is redis://, where nothing would be encrypted; make it rediss:// or unix://"
    if "rediss" not in transports:
        return (
            "only with a rediss address in OSTIARY_VALKEY_URL, OSTIARY_LEDGER_URL or OSTIARY_SIMILAR_URL; "
            "on any other nothing would be encrypted"
        )
    return None


def _there(path: Path, kind: Callable[[Path], bool]) -> bool:
    try:
        return kind(path)
    except OSError:  # a parent that may not be searched: for this process the file is not there
        return False


def _absolute(text: str) -> Path:
    path = Path(text)
    if not path.is_absolute():
        # Workers, Envoy and the supervisor need not share a working directory.
        # The value is not shown: whoever puts a pepper where its file belongs must not find it in a log.
        raise ValueError("not an absolute path")
    return path


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        # int() also takes signs, underscores and other scripts' digits: none of them is meant in a setting.
        if not re.fullmatch("[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise ValueError(f"{_shown(text)} is not a whole number from {low} to {high}")
        return int(text)

    return parse


def _seconds(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,3})?", text) or not low <= float(text) <= high:
            raise ValueError(f"{_shown(text)} is not a number of seconds from {low:g} to {high:g}")
        return float(text)

    return parse


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"{_shown(text)} is not one of: {', '.join(choices)}")
        return text

    return parse


def _host(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.:\-]{1,253}", text):
        raise ValueError(f"{_shown(text)} is neither an address nor a host name")
    return text


_OWNER: Final = 0o600


def _mode(text: str) -> int:
    if not re.fullmatch("0?[0-7]{3}", text):
        raise ValueError(f"{_shown(text)} is not an octal file mode such as 600 or 660")
    mode = int(text, 8)
    if mode & 0o007:
        raise ValueError(f"{_shown(text)} lets every local user open the socket and forge identities; use 600 or 660")
    if mode & _OWNER != _OWNER:
        raise ValueError(f"{_shown(text)} does not let the owner read and write")
    return mode


def _valkey(text: str) -> str:
    """A URL without a plaintext hop between hosts. It may hold a password: never shown."""
    try:
        url = urlsplit(text)
        host, _ = url.hostname, url.port
    except ValueError:
        raise ValueError("not a URL; use unix:///path, rediss://host:port or redis://127.0.0.1:port") from None
    if url.query and not re.fullmatch("db=[0-9]{1,2}", url.query):
        raise ValueError("options behind ? are not taken, but for db=; they could switch the check of certificates off")
    if url.scheme == "unix":
        if not url.path.startswith("/"):
            raise ValueError("unix:// needs an absolute path: unix:///run/valkey/valkey.sock")
        return text
    if url.scheme not in {"redis", "rediss"}:
        raise ValueError("scheme must be unix, rediss or redis")
    if not host:
        raise ValueError("no host")
    if url.scheme == "redis" and not _is_loopback(host):
        raise ValueError("redis:// is plaintext and goes only to loopback; use rediss:// (TLS) beyond this host")
    return text


def _ledger(text: str) -> str:
    """As `_valkey`, and Sentinel's and cluster's own forms, whose many hosts must all be reached by TLS or loopback."""
    transport, plus, rest = text.partition("+")
    kind, _, tail = rest.partition("://")
    if not plus or "/" in transport:
        return _valkey(text)
    if kind not in {"sentinel", "cluster"}:
        raise ValueError("expected redis+sentinel://, redis+cluster://, the same with rediss, or one server's URL")
    login, _, hosts = tail.partition("/")[0].rpartition("@")
    for host in hosts.split(","):
        _valkey(f"{transport}://{login}@{host}" if login else f"{transport}://{host}")
    return text


def _vault(text: str) -> str:
    """A vault's address: TLS, or loopback."""
    try:
        url = urlsplit(text)
        host, _ = url.hostname, url.port
    except ValueError:
        raise ValueError("not a URL; use https://host:port") from None
    if not host or url.path not in {"", "/"} or url.query or url.fragment or url.username is not None:
        raise ValueError("expected https://host:port and nothing behind it")
    if url.scheme != "https" and not (url.scheme == "http" and _is_loopback(host)):
        raise ValueError("scheme must be https; http goes only to loopback")
    return text.rstrip("/")


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", text):
        raise ValueError(f"{_shown(text)} is not a name of letters, digits, and _ . -")
    return text


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # any other name may resolve to anything


def _shown(text: str) -> str:
    """A value as an error shows it: quoted, and short, since it may be a file pasted by mistake."""
    return repr(text if len(text) <= 64 else f"{text[:61]}...")  # fits a terminal line


#: One parser for each field; a test holds the two against each other.
_PARSERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "policy_dir": _absolute,
    "peppers_file": _absolute,
    "run_dir": _absolute,
    "audit_dir": _absolute,
    "metrics_dir": _absolute,
    "workers": _whole(1, 256),  # more sockets than that in one Envoy cluster are a mistake
    "worker_index": _whole(0, 255),
    "admin_host": _host,
    "admin_port": _whole(0, 65_535),  # 0: any free port, for tests
    "log_level": _one_of("debug", "info", "warning", "error"),
    "log_format": _one_of("json", "console"),
    "drain_s": _seconds(0, 3600),  # nobody waits longer than an hour for a deployment
    "valkey_url": _valkey,
    "ledger_url": _ledger,
    "ledger_mode": _one_of("exact", "leased"),
    "similar_url": _valkey,
    "valkey_ca_file": _absolute,
    "valkey_cert_file": _absolute,
    "valkey_key_file": _absolute,
    "authz_deadline_ms": _whole(1, 10_000),  # a door that takes 10 s is shut
    "exchanges": _whole(1, 100_000),  # as in Envoy's spec
    "audit_queue_records": _whole(16, 1_000_000),  # about 1 GiB of records
    "audit_full": _one_of("deny"),
    "audit_fsync_ms": _whole(1, 10_000),
    "analysis_threads": _whole(1, 64),
    "socket_mode": _mode,
    "kek_file": _absolute,
    "control_admin_port": _whole(0, 65_535),
    "edge_file": _absolute,
    "vault_addr": _vault,
    "vault_token_file": _absolute,
    "vault_key": _name,
    "vault_ca_file": _absolute,
}
