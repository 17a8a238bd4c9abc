"""Marks: the names by which a credential or its holder can be revoked. Pure.

A caller has up to five marks; one revoked mark refuses the caller. Marks are ids of registry entries.
"""

import hashlib
from enum import StrEnum
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


def mark(what: What, tenant: str, name: str) -> str:
    """The mark's text. Subjects and clients are names within a tenant; the others are unique by themselves."""
    if what in {What.SUBJECT, What.CLIENT}:
        return f"{what.value}:{tenant}/{name}"
    return f"{what.value}:{tenant if what is What.TENANT else name}"


def name_of_token(issuer: str, token_id: bytes) -> str:
    """Names a JWT in records, counters and marks, and is no part of it. `token_id`: its `jti` where it has one."""
    return "jwt:" + hashlib.sha256(issuer.encode() + b"\0" + token_id).hexdigest()[:_ID_DIGITS]


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
