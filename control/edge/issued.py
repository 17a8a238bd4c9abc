"""The `tls.vault` section of an edge's spec: which PKI role signs the listener's certificate. Asks no vault."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from control.edge.mapping import Fields, MappingReader
from gateway.policy.issuer import url_fault
from gateway.policy.model import Vault, VaultAuth
from gateway.policy.vault import METHODS

#: Below ten seconds a certificate is as old as its handshakes; beyond thirty days nobody needs it turned for them.
LASTS_S: Final = (10, 30 * 86_400)
#: A night's outage of the vault is over before a certificate of a day ends: it is replaced at half to seven tenths.
DEFAULT_S: Final = 86_400
#: How late a new or withdrawn CA of clients is noticed.
_REFRESH_S: Final = (1, 3600)
_NAMES: Final = 32  # as many go into any vault's answer; a listener has a few
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME: Final = re.compile(rf"(?=.{{1,253}}\Z)(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")
_SEGMENT: Final = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_PATH: Final = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT}){{0,7}}")
_WORD: Final = re.compile(_SEGMENT)
_JWT_FILE: Final = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # where Kubernetes puts a pod's own


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """How `control` gets the listener's certificate. Files of `vault` are absolute when they come from a spec."""

    vault: Vault
    mount: str
    role: str
    names: tuple[str, ...]  # of the certificate; the first one is also its common name
    addresses: tuple[str, ...] = ()
    lasts_s: int = DEFAULT_S  # asked for; the role may give less
    clients_mount: str = ""  # the PKI engine whose issuers sign clients' certificates; "": a file, or nobody


def read_issued(reader: MappingReader, fields: Fields, base: Path) -> Issued:
    """The section of a spec in the directory `base`. Problems are the reader's; what it returns then is not used."""

    def located(text: str) -> str:
        # Links stay links: Kubernetes swaps them when it renews a token, and removes what they led to.
        return str(base / text) if text else text

    def shaped(place: Fields, name: str, shape: re.Pattern[str], default: str | None = None) -> str:
        text = place.text(name, default)
        reader.check(
            place.where(name), not text or bool(shape.fullmatch(text)), f"{name} may have letters, digits and _ . - /"
        )
        return text

    names, addresses = fields.texts("names", ()), fields.texts("addresses", ())
    reader.check(fields.where("names"), bool(names), "tls.vault.names must name the listener, as clients call it")
    reader.check(fields.where("names"), len(names) + len(addresses) <= _NAMES, f"more than {_NAMES} names")
    for name in names:
        reader.check(fields.where("names"), bool(_NAME.fullmatch(name)), f"{name} is not a DNS name in lower case")
    for address in addresses:
        reader.check(fields.where("addresses"), _is_address(address), f"{address} is not an IP address")
    return Issued(
        vault=_vault(reader, fields, located, shaped),
        mount=shaped(fields, "mount", _PATH, "pki"),
        role=shaped(fields, "role", _WORD),
        names=names,
        addresses=addresses,
        lasts_s=fields.integer("lasts_s", DEFAULT_S, *LASTS_S),
        clients_mount=shaped(fields, "clients_mount", _PATH, ""),
    )


_Shaped = Callable[[Fields, str, re.Pattern[str], str | None], str]


def _vault(reader: MappingReader, fields: Fields, located: Callable[[str], str], shaped: _Shaped) -> Vault:
    address, ca_file = fields.text("address"), located(fields.text("ca_file", ""))
    fault = url_fault(address) or ("has a query" if "?" in address else "")
    reader.check(fields.where("address"), not address or not fault, f"tls.vault.address: {fault}")
    auth = _auth(reader, fields.mapping("auth"), located, shaped)
    plain = bool(address) and not address.startswith("https://")
    reader.check(
        fields.where("address"),
        not (plain and (ca_file or auth.cert_file)),
        "tls.vault: certificates mean nothing without https",
    )
    return Vault(
        address=address,
        auth=auth,
        ca_file=ca_file,
        namespace=shaped(fields, "namespace", _PATH, ""),
        refresh_s=fields.integer("refresh_s", 30, *_REFRESH_S),
    )


def _auth(reader: MappingReader, auth: Fields, located: Callable[[str], str], shaped: _Shaped) -> VaultAuth:
    named = [name for name in METHODS if name in auth]
    reader.check(auth.where("auth"), len(named) == 1, f"tls.vault.auth must have one of {', '.join(METHODS)}")
    method = named[0] if named else "token_file"
    if method == "token_file":
        return VaultAuth(method=method, token_file=located(auth.text("token_file")))
    fields = auth.mapping(method)
    mount = shaped(fields, "mount", _PATH, method)
    match method:
        case "approle":
            role_id, secret_id = located(fields.text("role_id_file")), located(fields.text("secret_id_file"))
            return VaultAuth(method=method, mount=mount, role_id_file=role_id, secret_id_file=secret_id)
        case "kubernetes":
            role, jwt_file = shaped(fields, "role", _WORD, None), located(fields.text("jwt_file", _JWT_FILE))
            return VaultAuth(method=method, mount=mount, role=role, jwt_file=jwt_file)
        case _:
            role = shaped(fields, "role", _WORD, "")
            cert_file, key_file = located(fields.text("cert_file")), located(fields.text("key_file"))
            return VaultAuth(method=method, mount=mount, role=role, cert_file=cert_file, key_file=key_file)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
