"""Marks: the names by which a credential or its holder can be revoked. Pure.

A caller has up to five marks; one revoked mark refuses the caller. Marks are ids of registry entries.
"""

import hashlib
import re
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from gateway.identity import Caller

_ID_DIGITS: Final = 16  # of SHA-256 in hex: 64 bits tell the tokens of a year apart


class What(StrEnum):
    """What a mark names."""

    KEY = "key"  # an API key's id, or the `jwt:`/`opaque:` id of one token, as audit records show it
    SUBJECT = "subject"  # a principal of a tenant
    CLIENT = "client"  # `client_id` of a tenant
    TENANT = "tenant"
    CERTIFICATE = "certificate"  # SHA-256 of its DER, lower-case hex


#: Tenants as policy names them (gateway/policy/load.py): without a slash, so the first one ends the tenant.
_TENANT: Final = r"[a-z0-9][a-z0-9_-]{0,62}"
#: Subjects of tokens have 255 characters at most, and a prefix of 32 (authz/claims.py, gateway/policy/issuer.py).
_NAME: Final = r"[A-Za-z0-9._@+:/|=~*-]{1,287}"
_SHAPES: Final[Mapping[What, re.Pattern[str]]] = MappingProxyType(
    {
        What.KEY: re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII),
        What.SUBJECT: re.compile(f"{_TENANT}/{_NAME}", re.ASCII),
        What.CLIENT: re.compile(f"{_TENANT}/{_NAME}", re.ASCII),
        What.TENANT: re.compile(_TENANT, re.ASCII),
        What.CERTIFICATE: re.compile(r"[0-9a-f]{64}", re.ASCII),
    },
)


def mark(what: What, tenant: str, name: str) -> str:
    """The mark's text. Subjects and clients are names within a tenant; the others are unique by themselves."""
    if what in {What.SUBJECT, What.CLIENT}:
        return f"{what.value}:{tenant}/{name}"
    return f"{what.value}:{tenant if what is What.TENANT else name}"


def name_of_token(issuer: str, token_id: str | bytes) -> str:
    """Names a JWT in records, counters and marks, and is no part of it.

    `token_id` is the token's `jti`, or the SHA-256 of the whole token where it has none.
    """
    plain = token_id.encode("utf-8", "replace") if isinstance(token_id, str) else token_id
    return "jwt:" + hashlib.sha256(issuer.encode() + b"\0" + plain).hexdigest()[:_ID_DIGITS]


def name_of_opaque(endpoint: str, token_id: bytes) -> str:
    """The same for an opaque token, by the server that vouched for it and the SHA-256 of the token."""
    return "opaque:" + hashlib.sha256(endpoint.encode() + b"\0" + token_id).hexdigest()[:_ID_DIGITS]


def split(text: str) -> tuple[What, str]:
    """What a mark names, and the rest of it.

    Raises:
        ValueError: it is no mark, and no caller can ever have it.
    """
    word, _, rest = text.partition(":")
    what = What(word)  # ValueError
    if _SHAPES[what].fullmatch(rest) is None:
        raise ValueError(f"not a mark of a {what.value}")
    return what, rest


def marks_of(caller: Caller) -> tuple[str, ...]:
    """Every mark of an identified caller."""
    found = [
        f"key:{caller.key_id}",
        f"subject:{caller.tenant}/{caller.principal}",
        f"tenant:{caller.tenant}",
    ]
    if caller.client:
        found.append(f"client:{caller.tenant}/{caller.client}")
    if caller.certificate:
        found.append(f"certificate:{caller.certificate}")
    return tuple(found)
