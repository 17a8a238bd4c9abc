"""One backend of a policy: its URL in parts, and where its credential lies. Opens no connection, no file."""

import re
from typing import Final

from gateway import contract
from gateway.policy.field import Shape, Table, shape
from gateway.policy.grant import KINDS, read_grant
from gateway.policy.host import bad_host, is_loopback
from gateway.policy.model import Backend, Credential
from gateway.policy.place import FILE as _FILE
from gateway.policy.place import read_place
from gateway.policy.problem import Problems, shown
from gateway.policy.secrets_manager import read_managed
from gateway.policy.signing import SIGNED, read_signing
from gateway.policy.tree import Broken, Scalar

#: Dialects of providers. Chat is translated between them (docs/translation.md); all else needs the caller's own.
DIALECTS: Final = ("openai", "azure", "anthropic", "gemini", "bedrock")
_NO_VAULT: Final = "policy.yaml has no `vault:` section"
_NO_MANAGER: Final = "policy.yaml has no `secrets_manager:` section"
_ADAPT: Final = ("auto", "always")
_RESPONSES: Final = ("own", "translated")
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}  # RFC 9110, sections 4.2.1 and 4.2.2
_MAX_PORT: Final = 65_535

_URL: Final = shape(r"[!-~]{1,512}", "a URL such as https://api.openai.com, without spaces")
_PARTS: Final = re.compile(
    r"(?P<scheme>[a-z]+)://(?:\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<host>[A-Za-z0-9.-]+))(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>(?:/[A-Za-z0-9._~-]*)*)",
)
_SNI: Final = shape(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?", "a host name in lower case")
_HEADER: Final = shape(r"[a-z0-9][a-z0-9-]{0,63}", "a header name in lower case")
_PREFIX: Final = shape(r"[ -~]{0,32}", 'at most 32 printable ASCII characters, such as "Bearer "')
#: Headers that HTTP itself owns (RFC 9110, section 7.6.1) or that frame the message: never a credential.
_FRAMING: Final = frozenset(
    {"connection", "content-length", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"},
)


def read_backend(
    name: Scalar, table: Table, problems: Problems, *, vault: bool = True, manager: bool = True
) -> Backend:
    """One entry of backends.yaml. `vault` and `manager` (of secrets): whether the policy names one."""
    url = table.scalar("url", _URL)
    scheme, host, port, base_path = _split(url, table, problems) if url else ("https", "", 443, "")
    dialect = table.choice("dialect", DIALECTS, default="openai")
    backend = Backend(
        name=name.text,
        host=host,
        port=port,
        tls=scheme == "https",
        dialect=dialect,
        base_path=base_path,
        ca_file=table.maybe("ca_file", _FILE),
        sni=table.maybe("sni", _SNI),
        adapt=table.choice("adapt", _ADAPT, default="auto") == "always",
        responses=_responses(table, dialect, problems),
        credential=_credential(
            table.table("credential"),
            problems,
            (dialect, host),
            vault="" if vault else _NO_VAULT,
            manager="" if manager else _NO_MANAGER,
        ),
    )
    if table.node("allow_plaintext") is not None:
        why = "prompts and provider keys would cross the network in the clear"
        problems.add(table.mark, (*table.path, "allow_plaintext"), f"there is no such switch: {why}", "use https")
    table.close()
    return backend


def _credential(
    table: Table | None, problems: Problems, of: tuple[str, str], *, vault: str, manager: str
) -> Credential | None:
    """A key or a token in a header, or keys that sign each request. `of`: the backend's dialect and host."""
    clouds = [] if table is None else [each for each in KINDS if table.node(each) is not None]
    if table is not None and clouds:
        return _granted(clouds, table, problems, vault=vault)
    aws = None if table is None else table.table("aws")
    if table is None or aws is None:
        return read_credential(table, problems, vault=vault, manager=manager)
    dialect, host = of
    if dialect != SIGNED:
        problems.add(aws.mark, aws.path, f"only requests to `dialect: {SIGNED}` are signed")
    credential = Credential(prefix="", aws=read_signing(aws, problems, host, vault=vault))
    table.close()
    return credential


def _granted(clouds: list[str], table: Table, problems: Problems, *, vault: str) -> Credential | None:
    """A token of a cloud, always as `authorization: Bearer`."""
    if len(clouds) > 1:
        problems.add(table.mark, table.path, "more than one cloud", "keep one")
    block = table.table(clouds[0])
    if block is None:
        return None
    credential = Credential(grant=read_grant(clouds[0], block, problems, vault=vault))
    table.close()
    return credential


def _responses(table: Table, dialect: str, problems: Problems) -> bool | None:
    """Whether a server of OpenAI's dialect speaks Responses too: many compatible ones do not, nor all of Azure's."""
    if table.node("responses") is None:
        return None
    if dialect not in ("openai", "azure"):
        problems.add(table.mark, (*table.path, "responses"), f"for {dialect}, responses are always translated")
    return table.choice("responses", _RESPONSES) == "own"


def _split(url: Scalar, table: Table, problems: Problems) -> tuple[str, str, int, str]:
    """(scheme, host, port, base path); what cannot be used is reported."""
    path = (*table.path, "url")
    parts = _PARTS.fullmatch(url.text)
    if parts is None or parts["scheme"] not in _DEFAULT_PORTS:
        # The URL is not shown: the usual reason is a user name and password in it.
        form = "scheme://host[:port][/base_path] with https, or http for loopback; no user, query or fragment"
        problems.add(url.mark, path, f"expected {form}")
        return "https", "", 443, ""
    scheme = parts["scheme"]
    host = (parts["v6"] or parts["host"]).lower().rstrip(".")
    port = int(parts["port"]) if parts["port"] else _DEFAULT_PORTS[scheme]
    if not 1 <= port <= _MAX_PORT:
        problems.add(url.mark, path, f"expected a port from 1 to {_MAX_PORT}, found {port}")
    reason = bad_host(host, v6=parts["v6"] is not None)
    if reason:
        problems.add(url.mark, path, f"{reason}: {shown(host)}")
    elif scheme == "http" and not is_loopback(host):
        why = "prompts and provider keys would cross the network in the clear"
        problems.add(url.mark, path, f"plaintext http goes to loopback only: {why}", "use https")
    return scheme, host, port, _base_path(parts["path"], url, path, problems)


def _base_path(text: str, url: Scalar, path: tuple[str, ...], problems: Problems) -> str:
    base = text.rstrip("/")
    segments = base.split("/")[1:]
    if any(segment in {"", ".", ".."} for segment in segments):
        problems.add(url.mark, path, "the base path holds an empty, `.` or `..` segment")
    if segments and segments[-1] == "v1":
        # Front paths start with /v1, so that https://host/v1 would call /v1/v1/chat/completions.
        problems.add(url.mark, path, "the base path ends in /v1", "leave /v1 away: the called path brings its own")
    return base


def read_credential(table: Table | None, problems: Problems, *, vault: str, manager: str) -> Credential | None:
    """A `credential` block: in which header a secret travels, and where it lies.

    `vault`, `manager`: why it cannot lie there.
    """
    if table is None:
        return None
    header = table.scalar("header", _HEADER, optional=True)
    if header and (header.text in _FRAMING or header.text.startswith(contract.OWNED_PREFIXES)):
        problems.add(header.mark, (*table.path, "header"), f"{shown(header.text)} cannot carry a credential")
    name = header.text if header else "authorization"
    place, managed = (
        None if isinstance(table.node(kind), Broken) else table.table(kind) for kind in ("vault", "secrets_manager")
    )
    for found, fault in ((place, vault), (managed, manager)):
        if found is not None and fault:
            problems.add(found.mark, found.path, fault)
    if place is not None and table.node("file") is not None:
        problems.add(table.mark, (*table.path, "file"), "the secret lies in a file or in the vault", "remove one")
    if managed is not None and (place is not None or table.node("file") is not None):
        problems.add(managed.mark, managed.path, "the secret lies in another place too", "keep one")
    credential = Credential(
        file=table.text("file", _FILE, default=None if place is None and managed is None else ""),
        vault=None if place is None else read_place(place, problems),
        secrets_manager=None if managed is None else read_managed(managed),
        header=name,
        prefix=table.text("prefix", _PREFIX, default="Bearer " if name == "authorization" else ""),
    )
    table.close()
    return credential


BACKEND_NAME: Final[Shape] = shape(r"[a-z0-9-]{1,40}", "1 to 40 of a-z, 0-9 and -")
